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
from parlai_cu.data.column_names import split_of
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


# where other makers keep them
_LISTS = "messages conversations conversation contents chat dialogue dialog turns history".split()


class OpenAIMessages:
    """Also of other makers who write roles and contents."""

    title = "OpenAI messages"

    def recognises(self, source: Source) -> bool:
        """Whether it has messages with roles."""
        return any(_messages(record) for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        defined: list[int] = []
        for number, record in source.records:
            messages = _messages(record)
            if not messages:
                reading.leave_out('no "messages" with role and content', [number])
                continue
            said = utterances(messages, number, reading)
            system = text_of(record.get("system") or record.get("system_instruction"))
            if system:
                said.insert(0, Utterance("system", system, number, CONTEXT))
            if record.get("tools") or record.get("functions"):
                defined.append(number)
            name = str(record.get("id") or record.get("conversation_id") or number)
            split = split_of(record.get("split"))
            reading.conversations.append(Conversation(name, said, number, split))
        if defined:
            reading.notes.append(
                f"definitions of tools are left out ({len(defined)} conversations); their calls "
                "and results stand in the text that is answered"
            )
        return reading


def _messages(record: dict[str, Any]) -> list[dict[str, Any]]:
    return next((record[name] for name in _LISTS if is_messages(record.get(name))), [])


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
        content = message.get("content", message.get("parts"))
        parts = content if isinstance(content, list) else []
        text = text_of([part for part in parts if not _is_tool(part)] if parts else content)
        if any(isinstance(p, dict) and not text_of(p) and not _is_tool(p) for p in parts):
            reading.leave_out("parts that are no text (images, sound)", [line])
        results = [part for part in parts if _is_tool(part) and part["type"] != "tool_use"]
        for part in results:
            name = names.get(str(part.get("tool_use_id")), "")
            told = text_of(part.get("content"))
            found.append(Utterance("tool", f"{name}: {told}" if name else told, line, CONTEXT))
        called: list[Utterance] = []
        for call in _calls(message):
            name = str(call.get("name", "tool"))
            names[str(call.get("id"))] = name
            called.append(Utterance("tool", f"{name}({call.get('arguments')})", line, CONTEXT))
        if message["role"] in ("tool", "function"):
            name = message.get("name") or names.get(str(message.get("tool_call_id")), "")
            text = f"{name}: {text}" if name else text
        if not text and message.get("refusal"):
            text = str(message["refusal"])
        if text:
            learnt = message.get("weight", 1) != 0
            found.append(Utterance(speaker, text, line, role, learnt))
        found += called  # what is said with a call is said before it
    return found


def _is_tool(part: Any) -> bool:
    return isinstance(part, dict) and part.get("type") in ("tool_use", "tool_result")


def _calls(message: dict[str, Any]) -> list[dict[str, Any]]:
    calls = message.get("tool_calls") or []
    if isinstance(message.get("function_call"), dict):
        calls = [{"function": message["function_call"]}, *calls]
    parts = message.get("content")
    for part in parts if isinstance(parts, list) else ():  # Anthropic's
        if _is_tool(part) and part["type"] == "tool_use":
            function = {"name": part.get("name"), "arguments": part.get("input") or {}}
            calls = [*calls, {"id": part.get("id"), "function": function}]
    found = []
    for call in calls if isinstance(calls, list) else []:
        inner = call.get("function") if isinstance(call, dict) else None
        if isinstance(inner, dict):
            arguments = inner.get("arguments", "")
            if not isinstance(arguments, str):
                arguments = json.dumps(arguments, ensure_ascii=False)
            found.append({"id": call.get("id"), "name": inner.get("name"), "arguments": arguments})
    return found
