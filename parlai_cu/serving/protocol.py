"""
The turn protocol: what a frame says, what is refused and how, and how a conversation is going.

Logic only: no sockets, no clock, no ParlAI. README.md beside this file shows the messages.
"""

import json
import unicodedata
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

from parlai_cu.serving.limits import ServiceLimits

# what an act may carry to the client beside text, payload and quick_replies
PASSED_ON = (
    *("type", "id", "mid", "turn", "version", "knowledge", "sources", "failed", "code"),
    *("history", "title", "rating", "correction", "kept"),
)
# what a message may carry to the world beside text and payload
TAKEN_IN = ("mid", "turn", "rating", "knowledge", "token", "password", "have")
# characters a text may have though they are control characters
_LAYOUT = "\n\r\t"
_MAX_MID = 200

REFUSALS: dict[str, str] = {
    "malformed": "Sorry, that message could not be read: {why}.",
    "too_long": "Sorry, that message is too long: {why}.",
    "busy": "Sorry, I am busy: {why}. Please try again in a moment.",
    "rate": "Sorry, that was too fast. Please wait a moment and say it again.",
    "draining": "The service is about to restart and takes no new messages. "
    "Please come back in a moment.",
    "password": "Sorry, this conversation bot is password-protected. If you have the password, "
    "please send it now.",
    "waiting": "Please wait while we pair you with another person. "
    "If you wish to exit, type *EXIT*.",
    "idle": "This conversation ended because nothing was said for a long time.",
    "failed": "Sorry, something went wrong and this turn could not be answered. Please try again.",
}


@dataclass(frozen=True)
class Incoming:
    """
    A message that was understood.

    :param type: ``message``, ``hello``, ``rating``, ...
    :param text: what the user said; empty for other types than ``message``
    :param payload: an attachment
    :param fields: what else the client sent, of :data:`TAKEN_IN`
    """

    type: str
    text: str = ""
    payload: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Refusal:
    """
    A message that was refused.

    :param code: a key of :data:`REFUSALS`
    :param why: what was wrong with it
    :param mid: the client's own name for it
    """

    code: str
    why: str = ""
    mid: str | None = None

    def message(self) -> dict[str, Any]:
        """What the user is told."""
        told = {
            "type": "error",
            "code": self.code,
            "text": REFUSALS[self.code].format(why=self.why),
        }
        return {**told, "mid": self.mid} if self.mid is not None else told


def read_frame(frame: str | bytes, limits: ServiceLimits) -> Incoming | Refusal:
    """
    Read one websocket frame or HTTP body.

    :param frame: str from a text frame, bytes from a binary one
    :param limits: how long it may be
    """
    if isinstance(frame, bytes):
        return Refusal("malformed", "it is binary; send JSON as text")
    # in UTF-8 a character has at most four bytes: most need not be encoded to be counted
    size = (
        len(frame) if len(frame) * 4 <= limits.max_frame else len(frame.encode("utf-8", "replace"))
    )
    if size > limits.max_frame:
        return Refusal("too_long", f"{size:,d} bytes; {limits.max_frame:,d} are allowed")
    try:
        content = json.loads(frame)
    except (ValueError, RecursionError):
        return Refusal("malformed", 'it is not JSON; send {"text": "..."}')
    return read_message(content, limits)


def read_message(content: Any, limits: ServiceLimits) -> Incoming | Refusal:
    """
    Check what a frame holds.

    :param content: what the JSON says
    :param limits: how long its text may be
    """
    if not isinstance(content, dict):
        return Refusal("malformed", 'expected a JSON object such as {"text": "..."}')
    mid = content.get("mid")
    if mid is not None and not (isinstance(mid, str) and len(mid) <= _MAX_MID):
        return Refusal("malformed", f"mid must be a string of at most {_MAX_MID} characters")
    kind = content.get("type") or "message"
    if not isinstance(kind, str):
        return Refusal("malformed", "type must be a string", mid)
    payload = content.get("payload")
    if payload is not None and not isinstance(payload, dict):
        return Refusal("malformed", "payload must be an object", mid)
    text = content.get("text", "" if payload or kind != "message" else None)
    if not isinstance(text, str):
        return Refusal("malformed", "text must be a string, and is missing or something else", mid)
    if len(text) > limits.max_text:
        return Refusal(
            "too_long", f"{len(text):,d} characters; {limits.max_text:,d} are allowed", mid
        )
    if kind == "message" and not text.strip() and not payload:
        return Refusal("malformed", "it is empty", mid)
    if not clean(text):
        return Refusal("malformed", "it has control characters", mid)
    fields = {name: content[name] for name in TAKEN_IN if content.get(name) is not None}
    return Incoming(kind, text, payload, fields)


def clean(text: str) -> bool:
    """Whether a text has neither control characters nor halves of characters."""
    if text.isprintable():
        return True
    return all(
        character in _LAYOUT or unicodedata.category(character) not in ("Cc", "Cs")
        for character in text
    )


def outgoing(act: Mapping[str, Any]) -> dict[str, Any]:
    """
    The message for an act, in ParlAI's format and with what else it says.

    :param act: ``text`` or ``payload``, ``quick_replies``, and of :data:`PASSED_ON`
    """
    quick_replies: Iterable[str] | None = act.get("quick_replies")
    message: dict[str, Any] = {"text": act.get("text") or ""}
    if act.get("payload"):
        message["payload"] = act["payload"]
    listed: list[str] | None = None if quick_replies is None else list(quick_replies)
    message["quick_replies"] = listed
    for name in PASSED_ON:
        if act.get(name) is not None:
            message[name] = act[name]
    message.setdefault("type", "message")
    return message


def encode(message: Mapping[str, Any]) -> str:
    """A message as the text of a frame; what JSON does not know is written as text."""
    return json.dumps(message, default=str)
