"""Numbered lines, as bAbI has them: ``1 question<tab>answer|another<tab>reward<tab>candidates``."""

import re

from parlai_cu.data.base import (
    CONTEXT,
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
)
from parlai_cu.data.source import Source

_NUMBERED = re.compile(r"(\d+) (.*)")


class FbDialog:
    """Read by ParlAI's ``fromfile:fbformat`` as well."""

    title = "numbered lines (FbDialog)"

    def recognises(self, source: Source) -> bool:
        """Whether the lines are numbered from 1, some with an answer behind a tab."""
        first = [line for line in source.text[:20_000].split("\n")[:20] if line.strip()]
        numbered = all(_NUMBERED.match(line) for line in first)
        return bool(first) and numbered and first[0].startswith("1 ") and "\t" in source.text

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All episodes; a line without an answer is context."""
        reading = Reading(stock="fromfile:fbformat", counted="episode")
        said: list[Utterance] = []
        begins = 1
        for number, line in enumerate(source.text.split("\n"), 1):
            found = _NUMBERED.match(line.strip())
            if not found:
                if line.strip():
                    reading.leave_out("no number", [number])
                continue
            if found[1] == "1" and said:
                reading.conversations.append(Conversation(str(begins), said, begins))
                said = []
            begins = number if not said else begins
            text, *rest = found[2].split("\t")
            answer = rest[0].split("|")[0].strip() if rest else ""
            said.append(Utterance("user", text, number, USER if answer else CONTEXT))
            if answer:
                said.append(Utterance("service", answer, number, SERVICE))
        if said:
            reading.conversations.append(Conversation(str(begins), said, begins))
        return reading
