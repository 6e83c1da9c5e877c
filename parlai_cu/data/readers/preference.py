"""
Preference pairs: ``prompt``, ``chosen`` and ``rejected``.

What was chosen is learnt; what was rejected stays with it, for the gate and for unlikelihood. The
prompt may be a text or messages, or stand before both answers ("Human: ... Assistant: ...").
"""

import re
from dataclasses import replace
from typing import Any

from parlai_cu.data.base import (
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
    text_of,
)
from parlai_cu.data.readers.openai import is_messages, utterances
from parlai_cu.data.source import Source

_PROMPTS = ("prompt", "question", "instruction", "input")
_CHOSEN = ("chosen", "preferred", "preferred_output", "accepted", "response_chosen")
_REJECTED = ("rejected", "non_preferred", "non_preferred_output", "response_rejected")
_SPEAKER = re.compile(r"(?:^|\n\n?)(Human|User|Assistant|H|A):\s*")


class PreferencePairs:
    """Also OpenAI's, with ``input``, ``preferred_output`` and ``non_preferred_output``."""

    title = "preference pairs"

    def recognises(self, source: Source) -> bool:
        """Whether it has a chosen and a rejected answer."""
        keys = source.keys()
        return bool(keys.intersection(_CHOSEN) and keys.intersection(_REJECTED))

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All pairs."""
        reading = Reading(counted="preference pair")
        for number, record in source.records:
            chosen = _said(_first(record, _CHOSEN), number, reading, SERVICE)
            rejected = _said(_first(record, _REJECTED), number, reading, SERVICE)
            prompt = _said(_first(record, _PROMPTS), number, reading, USER)
            if not chosen or not rejected:
                reading.leave_out("no chosen or no rejected answer", [number])
                continue
            if len(chosen) > 1:  # the prompt stands in both
                prompt = chosen[:-1]
            if not prompt:
                reading.leave_out("no prompt", [number])
                continue
            wrong = rejected[-1].text
            same = wrong == chosen[-1].text
            if same:
                reading.leave_out("a rejected answer that is the chosen one", [number])
            answer = replace(chosen[-1], role=SERVICE, rejected=() if same else (wrong,))
            reading.conversations.append(Conversation(str(number), [*prompt, answer], number))
        return reading


def _first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name)), None)


def _said(held: Any, line: int, reading: Reading, role: str) -> list[Utterance]:
    if isinstance(held, dict) and is_messages(held.get("messages")):
        held = held["messages"]
    if is_messages(held):
        return utterances(held, line, reading)
    text = text_of(held)
    parts = _SPEAKER.split(text)
    if len(parts) > 1:
        pairs = zip(parts[1::2], parts[2::2])
        return [
            Utterance(who, said.strip(), line, SERVICE if who[0] == "A" else USER)
            for who, said in pairs
            if said.strip()
        ]
    return [Utterance(role, text, line, role)] if text else []
