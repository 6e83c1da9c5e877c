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
        numbered = sum(bool(_NUMBERED.match(line)) for line in first)
        known = bool(first) and first[0].startswith("1 ") and "\t" in source.text
        return known and 5 * numbered >= 4 * len(first)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """
        All episodes; a line without an answer is context.

        ParlAI's teacher serves rewards, candidates and further answers as well; here an answer with
        a negative reward is heard and not learnt.
        """
        reading = Reading(stock="fromfile:fbformat", counted="episode")
        said: list[Utterance] = []
        more: list[int] = []
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
            answers = rest[0].split("|") if rest else [""]
            answer = answers[0].strip()
            punished = len(rest) > 1 and rest[1].strip().startswith("-")
            if len(answers) > 1 or punished or any(rest[2:]):
                more.append(number)
            said.append(Utterance("user", text, number, USER if answer else CONTEXT))
            if answer:
                said.append(Utterance("service", answer, number, SERVICE, not punished))
        if said:
            reading.conversations.append(Conversation(str(begins), said, begins))
        if more:
            reading.notes.append(
                f"{len(more)} lines (the first: {more[0]}) have candidates, further answers or a "
                f"negative reward: -t serves them; --hold-out and --fix keep the first right answer"
            )
        return reading
