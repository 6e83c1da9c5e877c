"""ParlAI's conversations: JSON Lines with ``dialog``, a list of rounds of turns."""

import re
from dataclasses import replace
from typing import Any

from parlai_cu.data.base import (
    REJECTED,
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
)
from parlai_cu.data.column_names import split_of
from parlai_cu.data.source import Source


class ParlAIJson:
    """Who speaks second is the service, as ParlAI's ``jsonfile`` has it, unless one is named."""

    title = "ParlAI conversations"

    def recognises(self, source: Source) -> bool:
        """Whether it has a dialog."""
        return "dialog" in source.keys()

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        lines = source.table is None and source.given is None and source.text[:1] == "{"
        # a broken line is an error there, which names it
        if lines and not re.match(r"\{\s*\n", source.text):
            reading.stock = "jsonfile"
        for number, record in source.records:
            turns = _turns(record.get("dialog"))
            if turns is None:
                reading.leave_out('a "dialog" that is no list of turns with text', [number])
                continue
            said = [_utterance(turn, number) for turn in turns]
            split = split_of(record.get("split"))
            if split or any(one.rejected for one in said):
                reading.stock = None  # which knows of neither
            contexts = sum(one.speaker == "context" for one in said)
            if contexts or record.get("context"):
                reading.leave_out("context, which ParlAI leaves out as well", [number])
            said = [one for one in said if one.speaker != "context"]
            if options.service is None:
                said = [replace(one, role=SERVICE if i % 2 else USER) for i, one in enumerate(said)]
            name = str(record.get("id", number))
            reading.conversations.append(Conversation(name, said, number, split))
        return reading


def _utterance(turn: dict[str, Any], line: int) -> Utterance:
    rejected = turn.get(REJECTED)
    wrong = tuple(map(str, rejected)) if isinstance(rejected, list) else ()
    return Utterance(str(turn.get("id", "")), str(turn["text"]), line, rejected=wrong)


def _turns(dialog: object) -> list[dict[str, Any]] | None:
    if not isinstance(dialog, list):
        return None
    turns: list[Any] = []
    for part in dialog:
        turns += part if isinstance(part, list) else [part]
    good = all(isinstance(turn, dict) and "text" in turn for turn in turns)
    return turns if good else None
