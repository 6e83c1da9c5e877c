"""A language model behind HTTP: what it is asked, what it costs, and what when it fails."""

import logging
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends.openai import LanguageModel
from parlai_cu.knowledge.cached_source import CircuitBreaker
from parlai_cu.knowledge.factory import SeveralKnowledgeBases, open_knowledge_base
from parlai_cu.types import Turn
from tests.knowledge.servers import ChatServer, chat_server, completion
from tests.knowledge.test_sqlite import HOSTILE


class Clock:
    """Time that passes when it is told to."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def fine(asked: dict[str, Any]) -> tuple[int, Any]:
    """A sure answer."""
    return completion("Parking costs\n 5 pounds.", [-0.1, -0.3])


def busy(asked: dict[str, Any]) -> tuple[int, Any]:
    """Too many requests."""
    return 503, {"error": "busy"}


def cut(asked: dict[str, Any]) -> tuple[int, Any]:
    """A connection that breaks."""
    raise ConnectionError


@pytest.fixture
def server() -> Iterator[ChatServer]:
    """A server that answers well."""
    with chat_server(fine) as made:
        yield made


@pytest.fixture
def model(server: ChatServer) -> LanguageModel:
    """The model behind it."""
    return LanguageModel(f"openai+{server.url}#expert", backoff_s=0.0, clock=Clock())


def texts(model: LanguageModel, text: str) -> list[str]:
    """What is found."""
    return [found.text for found in model.query(Turn(text))]


def test_it_is_asked_the_conversation(model: LanguageModel, server: ChatServer) -> None:
    """Roles alternate back from the user's last utterance; the answer is the fact."""
    turn = Turn("what does it cost?", ("is there parking?", "Yes, there is."))
    (found,) = model.query(turn)
    assert found.text == "Parking costs 5 pounds." and found.question == turn.text
    assert found.score == pytest.approx(0.8187, abs=1e-4)
    assert found.source == model.name and found.snapshot == model.snapshot_id()
    assert model.get(found.id) == found and model.get("other") is None
    (asked,) = server.seen
    assert asked["model"] == "expert" and asked["temperature"] == 0
    assert [(m["role"], m["content"]) for m in asked["messages"][1:]] == [
        ("user", "is there parking?"),
        ("assistant", "Yes, there is."),
        ("user", "what does it cost?"),
    ]


@pytest.mark.parametrize("said", ["NONE", "none.", "", None])
def test_it_may_know_nothing(said: Any, model: LanguageModel, server: ChatServer) -> None:
    """Then nothing is found."""
    server.reply = lambda asked: completion(said)
    assert model.query(Turn("hello")) == []


def test_answers_are_remembered(model: LanguageModel, server: ChatServer) -> None:
    """The same conversation is asked once, until the answer is old."""
    for _ in range(3):
        assert texts(model, "parking?")
    assert len(server.seen) == 1 and model.stats()["cached"] == 2
    model._clock.now += 601  # type: ignore[attr-defined]
    assert texts(model, "parking?") and len(server.seen) == 2


def test_memory_is_bounded(model: LanguageModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """The oldest is forgotten."""
    monkeypatch.setattr("parlai_cu.knowledge.cached_source._REMEMBERED", 2)
    for text in ("a b", "c d", "e f"):
        texts(model, text)
    assert len(model._answers) == 2


def test_what_it_costs_is_counted(model: LanguageModel) -> None:
    """Calls, tokens and the time; each is told once."""
    texts(model, "parking?")
    texts(model, "parking?")
    spent = model.spent()
    spent.pop("seconds", None)
    assert spent == {"calls": 1, "cached": 1, "tokens_in": 20, "tokens_out": 7}
    assert model.spent() == {} and model.stats()["tokens_in"] == 20
    texts(model, "bicycles?")
    both = SeveralKnowledgeBases([model, model])
    assert both.spent()["tokens_out"] == 7


def test_it_is_tried_again(model: LanguageModel, server: ChatServer) -> None:
    """A busy server and a broken connection are no failure yet."""
    server.replies = [busy, cut]
    assert texts(model, "parking?") == ["Parking costs 5 pounds."]
    assert len(server.seen) == 3 and model.stats()["failures"] == 0


def test_a_server_without_probabilities(model: LanguageModel, server: ChatServer) -> None:
    """One that refuses to tell them is asked without, from then on."""

    def refuses(asked: dict[str, Any]) -> tuple[int, Any]:
        if "logprobs" in asked:
            return 400, {"error": "unknown field: logprobs"}
        return completion("Yes.")

    server.reply = refuses
    assert [found.score for found in model.query(Turn("parking?"))] == [1.0]
    texts(model, "bicycles?")
    assert ["logprobs" in asked for asked in server.seen] == [True, False, False]


@pytest.mark.parametrize(
    ("reply", "message"),
    [
        (lambda asked: (401, {"error": "bad key"}), "HTTP status 401: .*bad key"),
        (busy, "HTTP status 503: .*busy"),
        (cut, "openai"),
        (lambda asked: (200, b"<html>"), "no chat completion"),
        (lambda asked: (200, {"choices": []}), "no chat completion"),
        (lambda asked: (200, [1]), "no chat completion"),
        (lambda asked: (302, {}), "HTTP status 302"),
        (lambda asked: (200, b"x" * 2**20), "more than 524,288 bytes"),
    ],
)
def test_failures_are_told(
    reply: Any, message: str, server: ChatServer, model: LanguageModel, monkeypatch: Any
) -> None:
    """As the one error that lets a conversation go on without knowledge."""
    monkeypatch.setattr("parlai_cu.knowledge.endpoint.MOST_BYTES", 2**19)
    server.reply = reply
    with pytest.raises(KnowledgeError, match=message):
        model.query(Turn("parking?"))
    server.reply = fine
    assert texts(model, "parking?"), "and it is asked again"


def test_a_server_that_hangs(server: ChatServer) -> None:
    """No answer within the URI's timeout is a failure."""
    release = threading.Event()

    def hangs(asked: dict[str, Any]) -> tuple[int, Any]:
        release.wait(30)
        return fine(asked)

    server.reply = hangs
    model = LanguageModel(f"openai+{server.url}?timeout=0.1#expert", backoff_s=0.0)
    try:
        with pytest.raises(KnowledgeError, match="(?i)timed out|timeout"):
            model.query(Turn("parking?"))
    finally:
        release.set()


def test_what_fails_is_left_alone(server: ChatServer, model: LanguageModel) -> None:
    """After five failures nobody waits for it; later one asks, and all is well again."""
    clock: Any = model._clock
    server.reply = lambda asked: (401, {})
    for number in range(5):
        with pytest.raises(KnowledgeError, match="401"):
            model.query(Turn(f"parking {number}?"))
    server.reply = fine
    with pytest.raises(KnowledgeError, match="5 times in a row .* another 30 s"):
        model.query(Turn("parking?"))
    assert len(server.seen) == 5
    clock.now += 31
    assert texts(model, "parking?") and texts(model, "bicycles?")


def test_one_tries_for_all() -> None:
    """While a source is tried again after a rest, the others go on without it."""
    clock = Clock()
    breaker = CircuitBreaker(failures=2, rest_s=10, clock=clock)
    breaker.failed()
    assert breaker.wait() == 0
    breaker.failed()
    assert breaker.wait() == 10
    clock.now = 10
    assert breaker.wait() == 0 and breaker.wait() == 10
    breaker.succeeded()
    assert breaker.wait() == 0 == breaker.wait()


def test_the_key_is_nowhere_else(
    server: ChatServer, monkeypatch: Any, caplog: pytest.LogCaptureFixture
) -> None:
    """It is in the header and in no name, message or log; user and password neither."""
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    uri = f"openai+{server.url}#expert"
    with caplog.at_level(logging.DEBUG):
        model = LanguageModel(uri, backoff_s=0.0)
        model.query(Turn("parking?"))
        server.reply = lambda asked: (401, {"error": "no"})
        with pytest.raises(KnowledgeError) as error:
            model.query(Turn("bicycles?"))
    assert server.headers[0]["Authorization"] == "Bearer sk-secret"
    said = " ".join([str(error.value), model.name, repr(model.stats()), caplog.text])
    assert "sk-secret" not in said
    named = LanguageModel(uri.replace("://", "://me:hidden@"), backoff_s=0.0)
    with pytest.raises(KnowledgeError) as error:
        named.query(Turn("bicycles?"))
    assert server.headers[-1]["Authorization"].startswith("Basic ")
    assert "hidden" not in str(error.value) + named.name


@pytest.mark.parametrize("text", HOSTILE, ids=range(len(HOSTILE)))
def test_any_text_can_be_asked(text: str, model: LanguageModel, server: ChatServer) -> None:
    """It is one message of the user, cut where it is too long."""
    model.query(Turn(text, (text, text)))
    sent = server.seen[0]["messages"][-1]
    assert sent["role"] == "user" and len(sent["content"]) <= 2000


@pytest.mark.parametrize(
    ("uri", "message"),
    [
        ("openai+https://host/v1", "expected #MODEL at its end"),
        ("openai+ftp://host/v1#m", "expected openai.https://host/path"),
        ("openai://host/v1#m", "expected openai.https://host/path"),
        ("openai+https://host/v1?timeout=x#m", "expected .timeout=SECONDS, found 'x'"),
        ("openai+ftp://me:hidden@host/v1#m", "expected openai"),
    ],
)
def test_what_is_no_endpoint_is_refused(uri: str, message: str) -> None:
    """At the start, without the password."""
    with pytest.raises(KnowledgeError, match=message) as error:
        open_knowledge_base(uri)
    assert "hidden" not in str(error.value)
    with pytest.raises(KnowledgeError, match="only read"):
        open_knowledge_base("openai+https://host/v1#m", writable=True)
