"""
Chats that WhatsApp exports: ``[24.11.26, 10:15:03] Anna: text``, ``11/24/26, 10:15 - Anna: text``.

Not by whatstk, which brings seaborn, plotly and a NumPy newer than ParlAI's pins allow.
"""

import re
import unicodedata
from dataclasses import replace

from parlai_cu.data.base import Reading, ReadOptions, Utterance
from parlai_cu.data.cleaning import tidy
from parlai_cu.data.pauses import by_pauses
from parlai_cu.data.source import Source
from parlai_cu.data.speakers import role_of

_DATE = r"\d{1,4}(?:[./-]\s?\d{1,2}[./-]\s?\d{1,4}\.?|年\d{1,2}月\d{1,2}日)"
_BEFORE_NOON = r"[Aa]\.?\s?[Mm]\.?|ص|오전|上午|午前|π\.?μ\.?|de\."
_AFTERNOON = r"[Pp]\.?\s?[Mm]\.?|م|오후|下午|午後|μ\.?μ\.?|du\."
_HALF = rf"(?:{_BEFORE_NOON}|{_AFTERNOON})"
_CLOCK = (
    rf"(?:(?:klo|kl\.?|um|at|às|alle|à|u) )?(?P<first>{_HALF})?\s?"
    rf"(?P<clock>\d{{1,2}}[:.]\d{{2}}(?:[:.]\d{{2}})?)\s?(?P<half>{_HALF})?"
)
_HEAD = re.compile(
    rf"\[?(?P<date>{_DATE})[,،]?\s{_CLOCK}(?:\]|\s?[-–]|,)\s"
    r"(?:(?P<who>[^:\n]{1,60}?)\s?:(?:\s|$))?(?P<text>.*)"
)
_LEFT_OUT = (
    "omitted|weggelassen|ausgeschlossen|excluded|omitid[ao]s?|ocult[ao]|omise?s?|absente?|"
    r"omess[aio]|weggelaten|пропущен[оы]?|не включен\w*|attached|angehängt"
)
_THINGS = (
    r"imagen?|imagem|immagine|v[ií]deo|[aá]udio|sticker|figurinha|gif|document\w*|contact card|"
    "bild|afbeelding|foto|dokument|изображение|видео|аудио|media|medien|multimedia|médias?"
)
# in whatever language: what Android writes for a file stands in angle brackets
_MEDIA = re.compile(
    rf"<[^<>]{{3,60}}>|(?:{_THINGS}) (?:{_LEFT_OUT})|"
    r".{1,80}\.(?:jpe?g|png|opus|m4a|mp4|webp|pdf|vcf|docx?|xlsx?) \([^)]{3,30}\)",
    re.IGNORECASE,
)
_EDITED = re.compile(
    r"\s?<[^<>]{0,30}\b(?:edited|bearbeitet|edit[óée]\w*|modifi\w+|bewerkt)\b[^<>]*>$"
)
# "Messages and calls are end-to-end encrypted", said in the name of the business
_OWN = re.compile(
    r"end-to-end|ende-zu-ende|bout en bout|extremo a extremo|ponta a ponta|end-to-end-versleuteld|"
    r"сквозным шифрованием|uçtan uca|端到端|エンドツーエンド|종단간|طرف إلى طرف|"
    r"(?:missed|verpasster?|verpasste) (?:voice|video|sprach|video)-?\s?(?:call|anruf)",
    re.IGNORECASE,
)
_DELETED = re.compile(
    r"(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht|du hast "
    r"diese nachricht gelöscht|se eliminó este mensaje|ce message a été supprimé|mensagem apagada|"
    r"questo messaggio è stato eliminato|dit bericht is verwijderd|null)\.?",
    re.IGNORECASE,
)
# an iPhone puts this mark before what it writes itself
_MARK = "\u200e"


class WhatsApp:
    """Of any phone and language; long silences part conversations."""

    title = "a WhatsApp chat"

    def recognises(self, source: Source) -> bool:
        """Whether the lines begin with a date and a time."""
        lines = [tidy(line) for line in source.text[:40_000].split("\n")[:200]]
        held = [line for line in lines if line]
        heads = [found for line in held if (found := _HEAD.fullmatch(line))]
        return len(heads) > 1 and any(h["who"] for h in heads) and 4 * len(heads) > len(held)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All messages."""
        reading = Reading()
        said: list[Utterance] = []
        goes_on = False
        for number, line in enumerate(source.text.split("\n"), 1):
            text = tidy(line)
            found = _HEAD.fullmatch(text)
            if found is None:
                if text and goes_on:
                    said[-1] = replace(said[-1], text=f"{said[-1].text}\n{text}")
                elif text:
                    reading.leave_out("captions of what was left out", [number])
                continue
            goes_on = _is_said(found, f": {_MARK}" in line, number, reading)
            if goes_on:
                who = found["who"].strip()
                text = _EDITED.sub("", found["text"].strip())
                said.append(Utterance(who, text, number, role_of(who), time=_time(found)))
        reading.conversations += by_pauses("", said)
        return reading


def _time(head: "re.Match[str]") -> str:
    """Date and time as the clocks of other exports write them."""
    date = re.sub(r"\s|\.$", "", head["date"])
    half = head["first"] or head["half"] or ""
    half = half and (" PM" if re.fullmatch(_AFTERNOON, half) else " AM")
    written = f"{date} {head['clock'].replace('.', ':')}{half}"
    return "".join(
        str(unicodedata.digit(letter)) if letter.isdigit() else letter for letter in written
    )


def _is_said(head: "re.Match[str]", marked: bool, number: int, reading: Reading) -> bool:
    text = head["text"].strip()
    if not head["who"] or _OWN.search(text):
        reading.leave_out("WhatsApp's own messages (encryption, calls, members)", [number])
    elif not text or _DELETED.fullmatch(text):
        reading.leave_out("deleted or empty", [number])
    elif _MEDIA.fullmatch(text) or marked:
        reading.leave_out("pictures, sound or files", [number])
    else:
        return True
    return False
