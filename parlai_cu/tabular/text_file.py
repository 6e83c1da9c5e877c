"""
Text files of any encoding.

UTF-8 and files with a mark of their encoding are read as that. Else charset-normalizer judges; but
of a few words it takes one code page for another, so a text that makes sense in that of western
languages, of Turkish or of central Europe is read so.
"""

import codecs
import gzip
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


@dataclass(frozen=True)
class DecodedText:
    """
    The text of a file.

    :param text: with line ends as ``\\n``
    :param encoding: as Python calls it
    """

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
        kind = ", found a zip archive (unpack it)" if raw[:2] == b"PK" else ""
        raise DataError(f"{path}: this is no text in an encoding that is known{kind}")
    text = decoded.text.replace("\r\n", "\n").replace("\r", "\n")
    return DecodedText(text, decoded.encoding)


def decode(raw: bytes) -> DecodedText | None:
    """
    Bytes as text; None where they are none.

    :param raw: all of a file
    """
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
        for encoding, letters in _CODE_PAGES:
            if _is_written_in(raw, encoding, letters):
                return DecodedText(raw.decode(encoding), encoding)
    elif raw[:256].count(b"\0") < len(raw[:256]) // 4:
        return None
    from charset_normalizer import from_bytes  # late: it takes longer than most files

    best = from_bytes(raw).best()
    return DecodedText(str(best), best.encoding) if best is not None else None


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
