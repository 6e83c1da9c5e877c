"""
Chats that WhatsApp exports: ``[24.11.26, 10:15:03] Anna: text``, ``11/24/26, 10:15 - Anna: text``.

Not by whatstk, which brings seaborn, plotly and a NumPy newer than ParlAI's pins allow.
"""

import re

from parlai_cu.data.base import Reading, ReadOptions, Utterance
from parlai_cu.data.cleaning import tidy
from parlai_cu.data.pauses import by_pauses
from parlai_cu.data.source import Source
from parlai_cu.data.speakers import role_of

_DATE = r"\d{1,4}[./-]\d{1,2}[./-]\d{2,4}\.?"
_CLOCK = r"\d{1,2}[:.]\d{2}(?:[:.]\d{2})?(?:\s?[AaPp]\.?\s?[Mm]\.?)?"
_HEAD = re.compile(
    rf"\[?(?P<time>{_DATE},?\s{_CLOCK})\]?(?:\s[-–])?\s(?:(?P<who>[^:\n]{{1,60}}?):(?:\s|$))?(?P<text>.*)"
)
_LEFT_OUT = (
    "omitted|weggelassen|ausgeschlossen|excluded|omitid[ao]s?|ocult[ao]|omise?s?|absente?|"
    r"omess[aio]|weggelaten|пропущен[оы]?|не включен\w*|attached|angehängt"
)
_THINGS = (
    r"imagen?|imagem|immagine|v[ií]deo|[aá]udio|sticker|figurinha|gif|document\w*|contact card|"
    "bild|dokument|изображение|видео|аудио|media|medien|multimedia|médias?"
)
_MEDIA = re.compile(
    rf"<[^<>]{{0,40}}\b(?:{_LEFT_OUT}|{_THINGS})\b[^<>]{{0,60}}>|(?:{_THINGS}) (?:{_LEFT_OUT})|"
    r".{1,80}\.(?:jpg|png|opus|mp4|webp|pdf|vcf) \([^)]{3,30}\)",
    re.IGNORECASE,
)
# "Messages and calls are end-to-end encrypted", said in the name of the business
_OWN = re.compile(
    r"end-to-end|ende-zu-ende|bout en bout|extremo a extremo|ponta a ponta|end-to-end-versleuteld|"
    r"сквозным шифрованием|uçtan uca|端到端|エンドツーエンド|طرف إلى طرف|(?:missed|verpasster?|"
    r"verpasste) (?:voice|video|sprach|video)-?\s?(?:call|anruf)",
    re.IGNORECASE,
)
_DELETED = re.compile(
    r"(?:this message was deleted|you deleted this message|diese nachricht wurde gelöscht|"
    r"se eliminó este mensaje|ce message a été supprimé|null)\.?",
    re.IGNORECASE,
)


class WhatsApp:
    """Of any phone and language; long silences part conversations."""

    title = "a WhatsApp chat"

    def recognises(self, source: Source) -> bool:
        """Whether the lines begin with a date and a time."""
        if source.table is not None or source.given is not None:
            return False
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
                    last = said.pop()
                    joined = f"{last.text}\n{text}"
                    said.append(
                        Utterance(last.speaker, joined, last.line, last.role, time=last.time)
                    )
                elif text:
                    reading.leave_out("captions of what was left out", [number])
                continue
            goes_on = _is_said(found, number, reading)
            if goes_on:
                who = found["who"].strip()
                time = re.sub(r"(?<=\d)\.(?=\s|,|$)", "", found["time"]).replace("\u202f", " ")
                said.append(Utterance(who, found["text"].strip(), number, role_of(who), time=time))
        reading.conversations += by_pauses("", said)
        return reading


def _is_said(found: "re.Match[str]", number: int, reading: Reading) -> bool:
    text = found["text"].strip()
    if not found["who"] or _OWN.search(text):
        reading.leave_out("WhatsApp's own messages (encryption, calls, members)", [number])
    elif _MEDIA.fullmatch(text):
        reading.leave_out("pictures, sound or files", [number])
    elif not text or _DELETED.fullmatch(text):
        reading.leave_out("deleted or empty", [number])
    else:
        return True
    return False
