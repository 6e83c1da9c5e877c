"""
Text files of any encoding.

UTF-8 and files with a mark of their encoding are read as that; where only some lines are UTF-8
(two programs wrote them) each is read as what it is. Else charset-normalizer judges; but of a few
words it takes one code page for another, so a text that makes sense in that of western languages,
of Turkish or of central Europe is read so.
"""

import codecs
import gzip
import re
import unicodedata
from dataclasses import dataclass

from parlai_cu.errors import DataError

_MARKS = (
    (codecs.BOM_UTF8, "utf-8-sig"),
    (codecs.BOM_UTF32_LE, "utf-32"),
    (codecs.BOM_UTF32_BE, "utf-32"),
    (codecs.BOM_UTF16_LE, "utf-16"),
    (codecs.BOM_UTF16_BE, "utf-16"),
)
# what western languages write outside ASCII: letters, quotes, dashes, currencies
_WESTERN = frozenset(
    "äöüßÄÖÜàâæçéèêëîïôœùûÿÀÂÇÉÈÊËÎÏÔŒÙÛáíóúñÁÍÓÚÑ¿¡ãõÃÕåøÅØÆìòÌÒ€£¥§°²³½¼«»„“”‘’‚–—…•·©®™×±´µ\xa0"
)
# the same of Turkish, whose own letters another encoding has in the place of western ones
_TURKISH = frozenset("çğıöşüÇĞİÖŞÜâîûÂÎÛ€£§°«»„“”‘’–—…•©\xa0")
_CENTRAL = frozenset(
    "ąćęłńóśźżĄĆĘŁŃÓŚŹŻáčďéěíňřšťúůýžÁČĎÉĚÍŇŘŠŤÚŮÝŽľĺŕĽôäöüÄÖÜßőűŐŰăâîşţĂÂÎŞŢđĐ€§°«»„“”‘’–—…•©\xa0"
)
# more letters outside ASCII than this share is no western text
_MOST_ACCENTS = 0.25
_FEWEST_KNOWN = 0.9

# one after the other
_CODE_PAGES = (("cp1252", _WESTERN), ("cp1254", _TURKISH), ("cp1250", _CENTRAL))
# Czech and Polish letters as western ones, where no western word has those
_CENTRAL_AS_WESTERN = re.compile(r"[ìù][a-zéíá]|[a-z]ï\b|[a-zóê][³¹][a-z]", re.IGNORECASE)


@dataclass(frozen=True)
class DecodedText:
    """A text with line ends as ``\\n``, and its encoding, or both of lines in two."""

    text: str
    encoding: str


def read_bytes(path: str) -> bytes:
    """
    What is in a file; of ``*.gz`` what was packed.

    :raises DataError: when it cannot be read
    """
    try:
        if path.lower().endswith(".gz"):
            with gzip.open(path, "rb") as packed:
                return packed.read()
        with open(path, "rb") as file:
            return file.read()
    except (OSError, EOFError) as error:
        raise DataError(f"{path}: cannot be read ({error})") from error


def read_text(path: str) -> DecodedText:
    """
    The text of a file, in whatever encoding.

    :raises DataError: when it is no text
    """
    raw = read_bytes(path)
    decoded = decode(raw)
    if decoded is None:
        raise DataError(f"{path}: this is no text in an encoding that is known")
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
    return DecodedText(text, decoded.encoding)


def decode(raw: bytes) -> DecodedText | None:
    """The raw bytes of a file as text; None where they are none."""
    for mark, encoding in _MARKS:
        if raw.startswith(mark):
            try:
                return DecodedText(raw.decode(encoding), encoding)
            except UnicodeDecodeError:
                return None
    if b"\0" not in raw:
        try:
            return DecodedText(raw.decode("utf-8"), "utf-8")
        except UnicodeDecodeError:
            pass
        mixed = _by_lines(raw)
        if mixed:
            return mixed
        page = _code_page(raw)
        if page:
            return DecodedText(raw.decode(page), page)
    elif raw[:256].count(b"\0") < len(raw[:256]) // 4:
        return None
    from charset_normalizer import from_bytes  # late: it takes longer than most files

    best = from_bytes(raw).best()
    return DecodedText(str(best), best.encoding) if best is not None else None


def _by_lines(raw: bytes) -> DecodedText | None:
    """A text of which only some lines beyond ASCII are UTF-8; None of any other."""
    texts: list[str | bytes] = []
    for line in raw.split(b"\n"):
        try:
            texts.append(line.decode("utf-8"))
        except UnicodeDecodeError:
            texts.append(line)
    if all(isinstance(text, bytes) or text.isascii() for text in texts):
        return None
    page = _code_page(b"\n".join(text for text in texts if isinstance(text, bytes)))
    if page is None:
        return None
    lines = (text.decode(page) if isinstance(text, bytes) else text for text in texts)
    return DecodedText("\n".join(lines), f"utf-8 and {page}")


def _code_page(raw: bytes) -> str | None:
    pages = _CODE_PAGES
    if _CENTRAL_AS_WESTERN.search(raw.decode("cp1252", "replace")):
        pages = pages[::-1]
    return next((name for name, usual in pages if _is_written_in(raw, name, usual)), None)


def _is_written_in(raw: bytes, encoding: str, usual: frozenset[str]) -> bool:
    try:
        text = raw.decode(encoding)
    except UnicodeDecodeError:
        return False
    beyond = [letter for letter in text if letter > "\x7f"]
    letters = [letter for letter in text if unicodedata.category(letter)[0] == "L"]
    accents = sum(letter > "\x7f" for letter in letters)
    known = sum(letter in usual for letter in beyond)
    return known >= _FEWEST_KNOWN * len(beyond) and accents <= _MOST_ACCENTS * max(1, len(letters))
