"""Alpaca: ``instruction``, ``input``, which may be empty, and ``output``; also ``history``."""

from parlai_cu.data.base import (
    CONTEXT,
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
    text_of,
)
from parlai_cu.data.column_names import split_of
from parlai_cu.data.source import Source


class Alpaca:
    """The input stands in a line of its own below the instruction."""

    title = "Alpaca instructions"

    def recognises(self, source: Source) -> bool:
        """Whether it has instruction and output."""
        return {"instruction", "output"} <= source.keys()

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All instructions."""
        reading = Reading(counted="instruction")
        for number, record in source.records:
            asked = [text_of(record.get("instruction")), text_of(record.get("input"))]
            text, output = "\n".join(filter(None, asked)), text_of(record.get("output"))
            if not text or not output:
                reading.leave_out("no instruction or no output", [number])
                continue
            said = []
            if text_of(record.get("system")):
                said.append(Utterance("system", text_of(record["system"]), number, CONTEXT))
            for question, answer in _history(record.get("history")):
                said.append(Utterance("user", question, number, USER))
                said.append(Utterance("assistant", answer, number, SERVICE))
            said.append(Utterance("user", text, number, USER))
            said.append(Utterance("assistant", output, number, SERVICE))
            split = split_of(record.get("split"))
            reading.conversations.append(Conversation(str(number), said, number, split))
        return reading


def _history(held: object) -> list[tuple[str, str]]:
    if not isinstance(held, list):
        return []
    return [(str(p[0]), str(p[1])) for p in held if isinstance(p, list) and len(p) == 2]
