"""ShareGPT: records with ``conversations`` of ``from`` and ``value``."""

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
from parlai_cu.data.source import Source

_ROLES = {
    "human": USER,
    "user": USER,
    "gpt": SERVICE,
    "assistant": SERVICE,
    "chatgpt": SERVICE,
    "bing": SERVICE,
    "bard": SERVICE,
    "model": SERVICE,
    "bot": SERVICE,
    "system": CONTEXT,
    "tool": CONTEXT,
    "observation": CONTEXT,
    "function_call": CONTEXT,
}
_LISTS = ("conversations", "conversation", "messages", "chat")


class ShareGPT:
    """Also with the names that its descendants use."""

    title = "ShareGPT conversations"

    def recognises(self, source: Source) -> bool:
        """Whether it has a list of from and value."""
        return any(_turns(record) for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        for number, record in source.records:
            turns = _turns(record)
            if not turns:
                reading.leave_out('no "conversations" with from and value', [number])
                continue
            said = []
            if isinstance(record.get("system"), str) and record["system"].strip():
                said.append(Utterance("system", record["system"].strip(), number, CONTEXT))
            for turn in turns:
                text, who = text_of(turn["value"]), str(turn["from"]).lower()
                learnt = turn.get("weight", 1) not in (0, 0.0)
                if text:
                    said.append(Utterance(who, text, number, _ROLES.get(who, ""), learnt))
            reading.conversations.append(Conversation(str(record.get("id", number)), said, number))
        return reading


def _turns(record: dict[str, object]) -> list[dict[str, object]]:
    for name in _LISTS:
        held = record.get(name)
        if isinstance(held, list) and held:
            if all(isinstance(one, dict) and "from" in one and "value" in one for one in held):
                return held
    return []
