"""
The turn protocol: what a frame says, what is refused and how, and how a conversation is going.

Logic only: no sockets, no clock, no ParlAI. README.md beside this file shows the messages.
"""

import json
import unicodedata
from collections.abc import Mapping
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
class Message:
    """
    What a user or a world says. JSON at the socket, an act of ParlAI's in worlds; this in between.

    :param type: ``message``, ``hello``, ``rating``, ``typing``, ...
    :param text: what is said
    :param payload: an attachment
    :param fields: what else it says: of :data:`TAKEN_IN` from a user, of :data:`PASSED_ON` to one
    """

    type: str = "message"
    text: str = ""
    payload: Mapping[str, Any] | None = None
    fields: Mapping[str, Any] = field(default_factory=dict)

    @classmethod
    def of_act(cls, act: Mapping[str, Any], **known: Any) -> "Message":
        """
        What a user is to see of an act.

        :param act: ``text`` or ``payload``, ``quick_replies``, and of :data:`PASSED_ON`
        :param known: fields for a reply that does not say them itself
        """
        quick_replies = act.get("quick_replies")
        fields: dict[str, Any] = {
            "quick_replies": None if quick_replies is None else list(quick_replies)
        }
        fields |= {name: act[name] for name in PASSED_ON if act.get(name) is not None}
        kind = fields.pop("type", "message")
        if kind == "message":
            fields = {**known, **fields}
        return cls(kind, act.get("text") or "", act.get("payload") or None, fields)

    def act(self) -> dict[str, Any]:
        """As a world hears it."""
        said = {"text": self.text, "payload": self.payload, "episode_done": False}
        return {**said, "type": self.type, **self.fields}

    def content(self) -> dict[str, Any]:
        """As the wire has it, in ParlAI's format and with what else it says."""
        attached = {"payload": self.payload} if self.payload else {}
        return {"type": self.type, "text": self.text, **attached, **self.fields}

    def encode(self) -> str:
        """As the text of a frame; what JSON does not know is written as text."""
        return json.dumps(self.content(), default=str)


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

    def message(self) -> Message:
        """What the user is told."""
        named = {} if self.mid is None else {"mid": self.mid}
        text = REFUSALS[self.code].format(why=self.why)
        return Message("error", text, fields={"code": self.code, **named})


def read_frame(frame: str | bytes, limits: ServiceLimits) -> Message | Refusal:
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


def read_message(content: object, limits: ServiceLimits) -> Message | Refusal:
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
    return Message(kind, text, payload, fields)


def clean(text: str) -> bool:
    """Whether a text has neither control characters nor halves of characters."""
    if text.isprintable():
        return True
    return all(
        character in _LAYOUT or unicodedata.category(character) not in ("Cc", "Cs")
        for character in text
    )
