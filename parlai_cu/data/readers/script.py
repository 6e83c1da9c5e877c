"""Scripts: ``Speaker: text``, a line each; a blank line or a rule begins another conversation."""

import re
from collections import Counter
from dataclasses import replace

from parlai_cu.data.base import Conversation, Reading, ReadOptions, Utterance
from parlai_cu.data.cleaning import tidy
from parlai_cu.data.source import Source
from parlai_cu.data.speakers import role_of

_CLOCK = r"\d{1,2}:\d{2}(?::\d{2})?(?:\s?[AaPp]\.?[Mm]\.?)?"
_LINE = re.compile(
    rf"(?:(?:[-*>]|\d+[.)]|#+)\s+)?(?:[\[(]?(?P<time>{_CLOCK})[)\]]?\s*[-–]?\s*)?"
    rf"\**(?P<who>[^\W\d_](?:[^:\n*|]{{0,38}}?[^\s:*|])?)\**(?:\s*[\[(]{_CLOCK}[)\]])?\s*[:：]\**\s*"
    r"(?P<text>.*)"
)
_MARKED = re.compile(r"(?:(?<=\])\s*|^)(?:<(?=[^<>:]{1,40}> ))?([^\t:?!.<>]{1,40})(?:\t|> )")
_RULE = re.compile(r"\s*(?:[-=*_#~]{3,}.*|#+ .*)")
# a line, and who says what in it
Line = tuple[str, "re.Match[str] | None"]
# more speakers than this are no speakers, but words before a colon
_MOST_SPEAKERS = 12


class Script:
    """Also with times, dashes or stars around names; a line without a speaker goes on."""

    title = "a script"

    def recognises(self, source: Source) -> bool:
        """Whether most lines name one of few speakers."""
        lines = [one for one in _lines(source.text[:40_000]) if one[0]][:200]
        spoken = [found["who"] for _, found in lines if found]
        counts = Counter(spoken)
        known = any(role_of(who) for who in counts)
        again = sum(count for count in counts.values() if count > 1)
        if len(counts) < 2 or len(counts) > _MOST_SPEAKERS or 2 * len(spoken) < len(lines):
            return False
        return known or 2 * again >= len(spoken)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        lines = _lines(source.text)
        speakers = _speakers(lines)
        said: list[Utterance] = []
        blank = False

        def end() -> None:
            if said:
                line = said[0].line
                reading.conversations.append(Conversation(str(line), list(said), line))
                said.clear()

        last = len(source.text.rstrip().split("\n"))
        parted = _parted_by_blanks(lines[:last], speakers)
        for number, (text, found) in enumerate(lines, 1):
            spoken = found is not None and found["who"] in speakers
            if not text or (_RULE.fullmatch(text) and not spoken):
                if (text or parted) and (text or not blank):
                    end()
                blank = not text
                continue
            blank = False
            if found and spoken:
                who, time = found["who"], found["time"] or ""
                said.append(Utterance(who, found["text"], number, role_of(who), time=time))
            elif said:
                said[-1] = replace(said[-1], text=f"{said[-1].text} {text}".strip())
            else:
                reading.leave_out("said before anybody is named", [number])
        end()
        for conversation in reading.conversations:
            mute = [one.line for one in conversation.utterances if not one.text]
            reading.leave_out("a speaker who says nothing", mute)
        return reading


def _spoken_line(text: str) -> "re.Match[str] | None":
    """Who says what in a line; a heading ("# Chat: 12") says nothing, but for usual speakers."""
    found = _LINE.fullmatch(text)
    return None if found and text[0] == "#" and not role_of(found["who"]) else found


def _lines(text: str) -> list[Line]:
    """Lines as :data:`_LINE` has them, also of ``<speaker> text``, or with a tab between them."""
    tidied = (tidy(_MARKED.sub(r"\1: ", line)) for line in text.split("\n"))
    return [(line, _spoken_line(line)) for line in tidied]


def _speakers(lines: list[Line]) -> set[str]:
    """Who speaks more than once, or is known by the name."""
    counts = Counter(found["who"] for _, found in lines if found)
    return {who for who, count in counts.items() if count > 1 or role_of(who)}


def _parted_by_blanks(lines: list[Line], speakers: set[str]) -> bool:
    """Whether blank lines part conversations: not where one stands after nearly every line."""
    spoken = sum(found is not None and found["who"] in speakers for _, found in lines)
    blanks = sum(not line and bool(before) for (before, _), (line, _) in zip(lines, lines[1:]))
    return 2 * blanks < spoken
