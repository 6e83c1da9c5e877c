"""Chats that Telegram Desktop exports as JSON: one chat, or all of an account."""

from typing import Any

from parlai_cu.data.base import Reading, ReadOptions, Utterance
from parlai_cu.data.pauses import by_pauses
from parlai_cu.data.source import Source, lines_within
from parlai_cu.data.speakers import role_of


class Telegram:
    """Long silences part conversations."""

    title = "a Telegram chat"

    def recognises(self, source: Source) -> bool:
        """Whether it has messages with from, date and text."""
        return any(_messages(record) for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All messages."""
        reading = Reading()
        for number, chat in source.records:
            said = []
            messages = _messages(chat)
            lines = lines_within(source.text, "messages", len(messages), number)
            for line, message in zip(lines, messages):
                text = _text(message.get("text"))
                if message.get("type") != "message":
                    reading.leave_out("Telegram's own messages (calls, members)", [line])
                elif not text:
                    reading.leave_out("pictures, sound or files", [line])
                else:
                    who = str(message.get("from") or message.get("from_id") or "")
                    time = str(message.get("date") or message.get("date_unixtime") or "")
                    said.append(Utterance(who, text, line, role_of(who), time=time))
            reading.conversations += by_pauses(str(chat.get("name") or chat.get("id") or ""), said)
        return reading


def _messages(chat: dict[str, Any]) -> list[dict[str, Any]]:
    held = chat.get("messages")
    if isinstance(held, list) and any(
        isinstance(one, dict) and "type" in one and "text" in one and "date" in one for one in held
    ):
        return [one for one in held if isinstance(one, dict)]
    return []


def _text(held: object) -> str:
    """A text with formats is a list of strings and of objects with text."""
    if isinstance(held, list):
        return "".join(part if isinstance(part, str) else _text(part) for part in held).strip()
    if isinstance(held, dict):
        return str(held.get("text", ""))
    return str(held or "").strip()
