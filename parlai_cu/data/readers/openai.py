"""
OpenAI's chat format: records with ``messages`` of ``role`` and ``content``.

Calls of tools and what they returned stand in the text that the next reply answers: the reply
follows from them. Messages with weight 0 are heard and not learnt.
"""

import json
from collections.abc import Iterator
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
from parlai_cu.data.readers.rows import note_unused
from parlai_cu.data.source import Source

_ROLES = {
    **dict.fromkeys(("user", "human"), USER),
    **dict.fromkeys("assistant model gpt chatgpt bing bard bot".split(), SERVICE),
    **dict.fromkeys(
        "system developer tool function observation function_call function_response".split(),
        CONTEXT,
    ),
}
# where makers keep messages, who says one, and what
_LISTS = (
    "messages conversations conversation contents chat chat_messages dialogue dialog turns history "
    "input"
).split()
_WHO = ("role", "from", "sender", "author")
_WHAT = ("content", "value", "text", "parts")
# where an answer stands beside what was asked
_ANSWERS = ("output", "response", "choices", "message")
_USED = frozenset(
    (*_LISTS, *_ANSWERS, "body", "request", "mapping", "system", "tools", "functions")
)
Message = dict[str, Any]


class OpenAIMessages:
    """Also of other makers who write roles and contents, and ChatGPT's own export."""

    title = "OpenAI messages"
    names: tuple[str, ...] = ("role", "sender", "author")

    def recognises(self, source: Source) -> bool:
        """Whether it has messages with roles."""
        held = (messages_of(record) for _, record in source.records[:20])
        return any(messages and set(self.names) & set(messages[0]) for messages in held)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All conversations."""
        reading = Reading()
        defined: list[int] = []
        for number, record in source.records:
            messages = messages_of(record)
            if not messages:
                reading.leave_out("no messages that say who speaks and what", [number])
                continue
            said = [*system_of(record, number), *utterances(messages, number, reading)]
            if any(
                held not in (None, [], "", "[]") for held in map(record.get, ("tools", "functions"))
            ):
                defined.append(number)
            name = str(record.get("id") or record.get("conversation_id") or number)
            split = split_of(record.get("split"))
            reading.conversations.append(Conversation(name, said, number, split))
        if defined:
            reading.notes.append(
                f"definitions of tools are left out ({len(defined)} conversations); their calls "
                "and results stand in the text that is answered"
            )
        note_unused(
            reading, sorted(source.keys()), {*_USED, *SYSTEM, "id", "conversation_id", "split"}
        )
        return reading


# of a record: what is said to the model before all else
SYSTEM = ("system", "system_prompt", "system_instruction", "systemInstruction")


def system_of(record: dict[str, Any], line: int) -> list[Utterance]:
    """The system message that stands in a record on a line, beside its messages."""
    text = next(filter(None, (text_of(record.get(name)) for name in SYSTEM)), "")
    return [Utterance("system", text, line, CONTEXT)] if text else []


def messages_of(record: dict[str, Any]) -> list[Message]:
    """The messages of a record, wherever it keeps them; empty where it has none."""
    thread = list(_thread(record))
    if thread:
        return thread
    for name in ("body", "request"):  # of requests to a service
        if isinstance(record.get(name), dict):
            record = {**record, **record[name]}
    held = {name.lower(): value for name, value in record.items()}
    for name in _LISTS:
        if is_messages(held.get(name)):
            found = [{key.lower(): v for key, v in one.items()} for one in held[name]]
            return found + (_answer(held) if name == "input" or "request" in held else [])
    return []


def _answer(held: Any) -> list[Message]:
    """The messages of an answer, which stands in what a service returned."""
    if is_messages(held):
        return list(held)
    if isinstance(held, list):
        return _answer(held[0]) if held else []
    if isinstance(held, dict):
        if is_messages([held]):
            return [held]
        return next((found for name in _ANSWERS if (found := _answer(held.get(name)))), [])
    return []


def _thread(record: dict[str, Any]) -> Iterator[Message]:
    """The branch of a ChatGPT conversation that was shown last."""
    mapping = record.get("mapping")
    held = mapping.items() if isinstance(mapping, dict) else ()
    nodes = {name: node for name, node in held if isinstance(node, dict)}
    leaves = [name for name, node in nodes.items() if not node.get("children")]
    name = record.get("current_node") or (leaves[-1] if leaves else None)
    found: list[Message] = []
    while isinstance(name, str) and name in nodes:
        node = nodes.pop(name)  # so that a circle ends
        message = node.get("message")
        if isinstance(message, dict):
            found.append(message)
        name = node.get("parent")
    return reversed(found)


def is_messages(held: object) -> bool:
    """Whether what JSON held is a list of messages."""
    return (
        isinstance(held, list)
        and bool(held)
        and all(isinstance(one, dict) and who(one) and not set(one) <= {"role"} for one in held)
    )


def who(message: Message) -> str:
    """Who says a message; empty where nothing says so."""
    for name, held in message.items():
        if name.lower() in _WHO:
            held = held.get("role") if isinstance(held, dict) else held
            if isinstance(held, str):
                return held.lower()
    return ""


def utterances(messages: list[Message], line: int, reading: Reading) -> list[Utterance]:
    """Messages of the record on a line as what was said; the reading counts what is left out."""
    found: list[Utterance] = []
    names: dict[str, str] = {}
    for message in messages:
        speaker = who(message)
        content = next((message[name] for name in _WHAT if message.get(name)), None)
        parts = content if isinstance(content, list) else []
        text = text_of([part for part in parts if not _is_tool(part)] if parts else content)
        if any(isinstance(p, dict) and not text_of(p) and not _is_tool(p) for p in parts):
            reading.leave_out("parts that are no text (images, sound)", [line])
        for part in parts:
            if _is_tool(part) and part["type"] != "tool_use":
                result = text_of(part.get("content"))
                found.append(_tool(names.get(str(part.get("tool_use_id"))), result, line))
        called: list[Utterance] = []
        for call in _calls(message):
            names[str(call.get("id"))] = name = str(call.get("name", "tool"))
            called.append(Utterance("tool", f"{name}({call.get('arguments')})", line, CONTEXT))
        text = text or str(message.get("refusal") or "")
        if text and speaker in ("tool", "function"):
            called_by = message.get("name") or names.get(str(message.get("tool_call_id")))
            found.append(_tool(called_by, text, line))
        elif text:
            learnt = message.get("weight", 1) != 0
            found.append(Utterance(speaker, text, line, _ROLES.get(speaker, ""), learnt))
        elif not called and not parts:
            reading.leave_out("messages without text", [line])
        found += called  # what is said with a call is said before it
    return found


def _tool(name: str | None, returned: str, line: int) -> Utterance:
    return Utterance("tool", f"{name}: {returned}" if name else returned, line, CONTEXT)


def _is_tool(part: object) -> bool:
    return isinstance(part, dict) and part.get("type") in ("tool_use", "tool_result")


def _calls(message: Message) -> list[dict[str, Any]]:
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
