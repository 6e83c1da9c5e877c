"""
OpenAI's chat format: records with ``messages`` of ``role`` and ``content``.

Calls of tools and what they returned stand in the text that the next reply answers: the reply
follows from them. Messages with weight 0 are heard and not learnt.
"""

import json
from typing import Any

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
    "user": USER,
    "human": USER,
    "assistant": SERVICE,
    "model": SERVICE,
    "system": CONTEXT,
    "developer": CONTEXT,
    "tool": CONTEXT,
    "function": CONTEXT,
}


class OpenAIMessages:
    """Also of other makers who write roles and contents."""

    title = "OpenAI messages"

    def recognises(self, source: Source) -> bool:
        """Whether it has messages with roles."""
        held = [record.get("messages") for _, record in source.records[:20]]
        return any(is_messages(messages) for messages in held)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        defined: list[int] = []
        for number, record in source.records:
            if not is_messages(record.get("messages")):
                reading.leave_out('no "messages" with role and content', [number])
                continue
            said = utterances(record["messages"], number, reading)
            if record.get("tools") or record.get("functions"):
                defined.append(number)
            name = str(record.get("id") or record.get("conversation_id") or number)
            split = record.get("split")
            reading.conversations.append(
                Conversation(name, said, number, split if isinstance(split, str) else None)
            )
        if defined:
            reading.notes.append(
                f"definitions of tools are left out ({len(defined)} conversations); their calls "
                "and results stand in the text that is answered"
            )
        return reading


def is_messages(held: Any) -> bool:
    """
    Whether something is a list of messages.

    :param held: anything of JSON
    """
    return (
        isinstance(held, list)
        and bool(held)
        and all(isinstance(one, dict) and isinstance(one.get("role"), str) for one in held)
    )


def utterances(messages: list[dict[str, Any]], line: int, reading: Reading) -> list[Utterance]:
    """
    Messages as what was said.

    :param messages: role and content
    :param line: of their record
    :param reading: where it is said what was left out
    """
    found: list[Utterance] = []
    names: dict[str, str] = {}
    for message in messages:
        role = _ROLES.get(message["role"].lower(), "")
        speaker = message["role"].lower()
        text = text_of(message.get("content"))
        if isinstance(message.get("content"), list) and _other_parts(message["content"]):
            reading.leave_out("parts that are no text (images, sound)", [line])
        for call in _calls(message):
            name = str(call.get("name", "tool"))
            names[str(call.get("id"))] = name
            found.append(Utterance("tool", f"{name}({call.get('arguments')})", line, CONTEXT))
        if message["role"] in ("tool", "function"):
            name = message.get("name") or names.get(str(message.get("tool_call_id")), "")
            text = f"{name}: {text}" if name else text
        if not text and message.get("refusal"):
            text = str(message["refusal"])
        if text:
            learnt = message.get("weight", 1) != 0
            found.append(Utterance(speaker, text, line, role, learnt))
    return found


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls") or []
    if isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}, *calls]
    found = []
    for call in calls if isinstance(calls, list) else []:
        inner = call.get("function") if isinstance(call, dict) else None
        if isinstance(inner, dict):
            arguments = inner.get("arguments", "")
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False)
            found.append({"id": call.get("id"), "name": inner.get("name"), "arguments": arguments})
    return found


def _other_parts(content: list[Any]) -> bool:
    return any(isinstance(part, dict) and not text_of(part) for part in content)
