"""parlai_cu/serving/protocol.py: what is understood, what is refused, and what is sent."""

import json
from typing import Any

import pytest

from parlai_cu.serving.limits import ServiceLimits
from parlai_cu.serving.protocol import (
    REFUSALS,
    Message,
    Refusal,
    clean,
    read_frame,
)

LIMITS = ServiceLimits(max_text=10, max_frame=100)


def test_a_plain_message() -> None:
    """ParlAI's own format."""
    assert read_frame('{"text": "hello"}', LIMITS) == Message("message", "hello")


def test_what_a_message_may_carry() -> None:
    """An attachment, a name of its own and a rating; anything else is left out."""
    frame = {"text": "", "payload": {"type": "image"}, "mid": "m", "turn": 3, "evil": "x"}
    message = read_frame(json.dumps(frame), LIMITS)
    assert message == Message("message", "", {"type": "image"}, {"mid": "m", "turn": 3})
    rating = read_frame('{"type": "rating", "turn": 1, "rating": "up"}', LIMITS)
    assert rating == Message("rating", "", None, {"turn": 1, "rating": "up"})


@pytest.mark.parametrize(
    "frame, code, words",
    [
        (b"{}", "malformed", "it is binary"),
        ("hello", "malformed", "it is not JSON"),
        ("[" * 99, "malformed", "it is not JSON"),
        ("[1]", "malformed", "expected a JSON object"),
        ("{}", "malformed", "text must be a string"),
        ('{"text": 5}', "malformed", "text must be a string"),
        ('{"text": ""}', "malformed", "it is empty"),
        ('{"text": " \\n "}', "malformed", "it is empty"),
        ('{"text": "a", "payload": []}', "malformed", "payload must be an object"),
        ('{"text": "a", "type": 5}', "malformed", "type must be a string"),
        ('{"text": "a", "mid": 5}', "malformed", "mid must be a string"),
        ('{"text": "a\\u0000"}', "malformed", "control characters"),
        ('{"text": "a\\u001b[2J"}', "malformed", "control characters"),
        ('{"text": "a\\ud800"}', "malformed", "control characters"),
        ('{"text": "12345678901"}', "too_long", "11 characters; 10 are allowed"),
        ('{"text": "' + "ü" * 50 + '"}', "too_long", "112 bytes; 100 are allowed"),
    ],
)
def test_refusals(frame: Any, code: str, words: str) -> None:
    """Each says what was wrong."""
    refusal = read_frame(frame, LIMITS)
    assert isinstance(refusal, Refusal) and refusal.code == code
    assert words in refusal.message().text


def test_a_refusal_names_the_message() -> None:
    """By the client's own name for it."""
    refusal = read_frame('{"text": 5, "mid": "m"}', LIMITS)
    assert isinstance(refusal, Refusal)
    told = refusal.message().content()
    assert told["mid"] == "m" and told["type"] == "error"
    for code in REFUSALS:
        assert Refusal(code, "why").message().fields["code"] == code


def test_layout_and_letters_of_all_scripts_are_text() -> None:
    """Lines, tabs, emoji and joiners are no control characters."""
    assert clean("a\nb\tc\r") and clean("é ß 漢字 \U0001f600 \u200d") and not clean("\x07")


def test_what_is_sent() -> None:
    """ParlAI's three fields, and of an act what is meant for the user."""
    act = {
        "text": "hi",
        "quick_replies": {"a": 1}.keys(),
        "version": "v1",
        "metrics": {},
        "id": "x",
    }
    sent = {"text": "hi", "quick_replies": ["a"], "version": "v1", "id": "x", "type": "message"}
    assert Message.of_act(act).content() == sent
    assert Message.of_act({"payload": {"type": "image"}}).content()["payload"] == {"type": "image"}
    assert Message.of_act({}).text == ""
    assert json.loads(Message(fields={"odd": {1}}).encode())["odd"] == "{1}"
