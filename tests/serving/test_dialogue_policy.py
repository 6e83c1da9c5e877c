"""parlai_cu/serving/dialogue_policy.py: what is said when, without sockets, models or ParlAI."""

import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ConversationError, UsageError
from parlai_cu.serving import dialogue_policy as talking
from parlai_cu.serving.dialogue_policy import DialoguePolicy, PolicySettings
from parlai_cu.serving.feedback import FeedbackLog
from parlai_cu.serving.transcript_store import TranscriptStore

FACT = {"id": "fee", "text": "It costs 5 euros.", "source": "facts.db", "score": 2.0}


@pytest.fixture
def store(tmp_path: Path) -> TranscriptStore:
    """A store on disk."""
    return TranscriptStore(f"sqlite:///{tmp_path}/c.db")


def start(store: TranscriptStore, token: str = "t", **more: Any) -> DialoguePolicy:
    """A conversation under way."""
    settings = PolicySettings(greeting="Hello!", quick_replies=("prices",), longest=50)
    more.setdefault("version", "v1")
    return DialoguePolicy(store, settings, token, **more)


def turn(
    policy: DialoguePolicy, text: str, reply: str, mid: Any = None, **more: Any
) -> list[dict[str, Any]]:
    """A turn that the model answers."""
    heard = policy.hear({"text": text, "mid": mid})
    assert heard.ask == text and not heard.say
    return policy.answered({"text": reply, **more})


def only(acts: list[dict[str, Any]]) -> dict[str, Any]:
    """The one act there is."""
    (act,) = acts
    return act


def told(policy: DialoguePolicy, text: str) -> str:
    """What the service says to a message that is not for the model."""
    heard = policy.hear({"text": text})
    assert heard.ask is None
    return str(only(heard.say)["text"])


def test_greeting(store: TranscriptStore) -> None:
    """The first act greets and offers quick replies."""
    opening = start(store).opening()
    assert opening["text"] == "Hello!" and opening["quick_replies"] == ["prices"]
    assert opening["history"] == [] and opening["version"] == "v1"


def test_a_turn(store: TranscriptStore) -> None:
    """A reply says its number, the version and the facts it used."""
    policy = start(store)
    act = only(turn(policy, "what does it cost?", "5 euros", version="v2", knowledge=[FACT]))
    assert (act["text"], act["turn"], act["version"]) == ("5 euros", 1, "v2")
    assert act["knowledge"] == [FACT] and act["type"] == "message"
    assert only(turn(policy, "and then?", "nothing"))["turn"] == 2


def test_resuming(store: TranscriptStore) -> None:
    """Whoever has the token sees what was said, and the model is given it."""
    first = start(store)
    turn(first, "one", "two", version="v2", knowledge=[FACT])
    again = start(store)
    opening = again.opening()
    assert again.resumed and opening["text"] == talking.WELCOME_BACK
    assert opening["history"] == [
        {"turn": 1, "text": "one", "reply": "two", "version": "v2", "knowledge": [FACT]}
    ]
    assert "quick_replies" not in opening
    assert again.replay() == [("one", "two")]
    assert only(turn(again, "three", "four"))["turn"] == 2
    assert not start(store, "another").resumed


def test_back_on_the_same_connection(store: TranscriptStore) -> None:
    """A page that comes back is shown the conversation as it is."""
    policy = start(store)
    turn(policy, "one", "two")
    act = only(policy.hear({"type": "resumed", "text": ""}).say)
    assert [one["reply"] for one in act["history"]] == ["two"]


def test_a_turn_sent_twice(store: TranscriptStore) -> None:
    """A client that never saw the reply is given it again; the model is not asked twice."""
    turn(start(store), "buy", "bought", mid="m1")
    for policy in (start(store), start(store)):
        heard = policy.hear({"text": "buy", "mid": "m1"})
        assert heard.ask is None
        assert (only(heard.say)["text"], only(heard.say)["turn"]) == ("bought", 1)


def test_reset(store: TranscriptStore) -> None:
    """[RESET], whole and alone, forgets; now and for those who come back."""
    policy = start(store)
    turn(policy, "please [RESET] my router", "done")
    heard = policy.hear({"text": " [reset] "})
    assert heard.reset and heard.ask is None and not heard.done
    assert only(heard.say)["history"] == [] and policy.replay() == []
    assert start(store).replay() == []
    assert only(turn(policy, "one", "two"))["turn"] == 2  # numbers name a turn for good


def test_done(store: TranscriptStore) -> None:
    """[DONE] ends the conversation; the same token begins another."""
    policy = start(store)
    turn(policy, "is [DONE] a word?", "it is")
    heard = policy.hear({"text": "[DONE]"})
    assert heard.done and only(heard.say)["text"] == "Goodbye!"
    after = start(store)
    assert not after.resumed and after.conversation.id != policy.conversation.id


def test_where_it_is_from(store: TranscriptStore) -> None:
    """The facts of the last reply in words; or that there were none."""
    policy = start(store)
    assert policy.hear({"text": "where is that from?"}).ask == "where is that from?"
    policy.failed()
    turn(policy, "cost?", "5 euros", version="v2", knowledge=[FACT])
    assert told(policy, "Where is that from?") == 'From fee in facts.db: "It costs 5 euros".'
    other = {"id": "door", "text": "It has a door.", "source": "facts.db"}
    turn(policy, "cost?", "It costs 5 euros.", knowledge=[other, FACT])
    assert told(policy, "Where is that from?") == 'From fee in facts.db: "It costs 5 euros".'
    turn(policy, "hello", "hi")
    said = told(policy, "[SOURCE]")
    assert said == "From the model itself, version v2: I looked nothing up for that."


def test_which_version(store: TranscriptStore) -> None:
    """The version of the last reply, or that there is none."""
    policy = start(store)
    assert told(policy, "which version are you?") == "This is version v1."
    turn(policy, "hello", "hi", version=7)
    assert told(policy, "which version are you?") == "This is version 7."
    assert "no version" in told(DialoguePolicy(store, PolicySettings()), "[VERSION]")


def records(path: Path) -> list[dict[str, Any]]:
    """What was logged, without the time."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for one in found:
        del one["time"]
    return found


def test_ratings(store: TranscriptStore, tmp_path: Path) -> None:
    """A thumb on any reply is kept, logged with its context, and shown when one is back."""
    policy = start(store, log=FeedbackLog(str(tmp_path / "f.jsonl")))
    turn(policy, "one", "two", version="v2", knowledge=[FACT])
    turn(policy, "three", "four")
    act = only(policy.hear({"type": "rating", "turn": 1, "rating": "up", "text": ""}).say)
    assert (act["type"], act["turn"], act["rating"]) == ("feedback", 1, "up")
    policy.hear({"text": "👎"})
    assert [one["rating"] for one in start(store).opening()["history"]] == ["up", "down"]
    assert records(tmp_path / "f.jsonl") == [
        {
            "conversation": policy.conversation.id,
            "turn": 1,
            "version": "v2",
            "context": [],
            "text": "one",
            "reply": "two",
            "rating": "up",
            "correction": None,
            "knowledge": [FACT],
        },
        {
            "conversation": policy.conversation.id,
            "turn": 2,
            "version": "v2",
            "context": ["one", "two"],
            "text": "three",
            "reply": "four",
            "rating": "down",
            "correction": None,
            "knowledge": None,
        },
    ]


def test_corrections(store: TranscriptStore, tmp_path: Path) -> None:
    """In words for the last reply, by its number for any; the model never sees them."""
    policy = start(store, log=FeedbackLog(str(tmp_path / "f.jsonl")))
    turn(policy, "one", "two")
    turn(policy, "three", "four")
    assert "what I should have said" in told(policy, "That is wrong, say five.")
    policy.hear({"type": "correction", "turn": 1, "text": " six "})
    found = [
        (one["turn"], one["rating"], one["correction"]) for one in records(tmp_path / "f.jsonl")
    ]
    assert found == [(2, "down", "five."), (1, "down", "six")]
    assert policy.replay() == [("one", "two"), ("three", "four")]


def test_nothing_is_logged_unless_asked(store: TranscriptStore, tmp_path: Path) -> None:
    """Without a log judgements stay in the store alone."""
    policy = start(store)
    turn(policy, "one", "two")
    policy.hear({"text": "👍"})
    assert not list(tmp_path.glob("*.jsonl"))
    assert start(store).opening()["history"][0]["rating"] == "up"


@pytest.mark.parametrize(
    "act, expected",
    [
        ({}, talking.NO_TEXT),
        ({"text": None}, talking.NO_TEXT),
        ({"text": 5}, talking.NO_TEXT),
        ({"text": ["a"]}, talking.NO_TEXT),
        ({"text": " \n"}, talking.NO_TEXT),
        ({"text": "x" * 51}, "51 characters, 50 are the most"),
        ({"type": "rating"}, "expected one of up, down"),
        ({"type": "rating", "rating": ["up"]}, "expected one of up, down"),
        ({"type": "rating", "rating": "up", "turn": 9}, "no such reply"),
        ({"type": "rating", "rating": "up", "turn": "1"}, "no such reply"),
        ({"type": "rating", "rating": "up", "turn": True}, "no such reply"),
        ({"type": "correction", "turn": 1, "text": ""}, "correction: expected"),
        ({"type": "correction", "turn": 1}, "correction: expected"),
        ({"type": "correction", "turn": 1, "text": "x" * 51}, "50 are the most"),
    ],
)
def test_what_cannot_be_used(store: TranscriptStore, act: dict[str, Any], expected: str) -> None:
    """An error message; nothing changed, and the conversation goes on."""
    policy = start(store)
    turn(policy, "one", "two")
    heard = policy.hear(act)
    assert heard.ask is None and expected in only(heard.say)["text"]
    assert only(heard.say)["type"] == "error"
    assert only(turn(policy, "three", "four"))["turn"] == 2
    assert start(store).opening()["history"][0].get("rating") is None


@pytest.mark.parametrize("mid", [5, "", "x" * 201, ["m"], "a\0b", "\ud83d"])
def test_odd_names_of_turns(store: TranscriptStore, mid: Any) -> None:
    """What is no name is left out."""
    policy = start(store)
    assert "mid" not in only(turn(policy, "one", "two", mid=mid))


@pytest.mark.parametrize("reply", [{}, {"text": None}, {"text": "Sorry", "failed": True}])
def test_a_model_without_an_answer(store: TranscriptStore, reply: dict[str, Any]) -> None:
    """An apology, which is no turn."""
    policy = start(store)
    policy.hear({"text": "one"})
    act = only(policy.answered(reply))
    assert (act["type"], act["text"]) == ("error", talking.APOLOGY)
    assert policy.replay() == [] and start(store).replay() == []


class Trouble:
    """A store's database that fails while it is told to."""

    def __init__(self, store: TranscriptStore, monkeypatch: pytest.MonkeyPatch) -> None:
        self.on = True
        for name in ("read", "write"):
            real = getattr(store._rows, name)
            monkeypatch.setattr(store._rows, name, lambda *a, real=real: self.call(real, *a))

    def call(self, real: Any, *arguments: Any) -> Any:
        """Fail, or not."""
        if self.on:
            raise ConversationError("out of reach")
        return real(*arguments)


def test_a_store_out_of_reach(store: TranscriptStore, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation goes on without; each turn says so, and once it is said in words."""
    policy = start(store)
    Trouble(store, monkeypatch)
    for one in (policy, start(store, "new")):
        act, word = turn(one, "one", "two", mid="m")
        assert act["text"] == "two" and act["kept"] is False and word["text"] == talking.UNKEPT
        act = only(turn(one, "three", "four"))
        assert act["turn"] == 2 and act["kept"] is False
        heard = one.hear({"type": "rating", "turn": 1, "rating": "up"})
        assert only(heard.say)["type"] == "error"
        assert one.opening()["history"][0].get("rating") is None
        heard = one.hear({"text": "[RESET]"})
        assert heard.reset
        heard = one.hear({"text": "[DONE]"})
        assert heard.done
    assert talking.NOT_ERASED in [act["text"] for act in policy.hear({"text": "[DONE]"}).say]


def test_what_was_not_kept_is_kept_later(
    store: TranscriptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a conversation that the store has, and of one that it never heard of; ratings as well."""
    known = start(store)
    turn(known, "zero", "nought")
    trouble = Trouble(store, monkeypatch)
    unknown = start(store, "new")
    for policy in (known, unknown):
        turn(policy, "one", "two", mid="m")
    trouble.on = False
    for policy, token, before in ((known, "t", ["zero"]), (unknown, "new", [])):
        act, word = turn(policy, "three", "four")
        assert "kept" not in act and word["text"] == talking.KEPT_AGAIN
        again = start(store, token)
        assert [text for text, _ in again.replay()] == [*before, "one", "three"]
        assert [one.mid for one in again.conversation.turns[-2:]] == ["m", None]


def test_a_history_that_can_be_read_later(
    store: TranscriptStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The user is told at once; what he says meanwhile follows his history, as does the model."""
    turn(start(store, "old"), "one", "two")
    trouble = Trouble(store, monkeypatch)
    policy = start(store, "new", claimed="old")
    opening = policy.opening()
    assert opening["text"] == talking.UNREAD and "history" not in opening
    turn(policy, "three", "four")
    trouble.on = False
    _, back = turn(policy, "five", "six")
    assert [one["text"] for one in back["history"]] == ["one", "three", "five"]
    assert [one["turn"] for one in back["history"]] == [1, 2, 3]
    assert policy.recalled() and not policy.recalled()
    assert [text for text, _ in start(store, "new").replay()] == ["one", "three", "five"]


def test_the_store_was_moved_away(tmp_path: Path) -> None:
    """What is known of the conversation goes to the new file; nothing acknowledged is missing."""
    path = tmp_path / "c.db"
    store = TranscriptStore(f"sqlite:///{path}")
    policy = start(store)
    turn(policy, "one", "two")
    path.rename(tmp_path / "moved.db")
    assert "kept" not in turn(policy, "three", "four")[0]
    assert [text for text, _ in start(store).replay()] == ["one", "three"]
    again = TranscriptStore(f"sqlite:///{path}")
    assert [text for text, _ in start(again).replay()] == ["one", "three"]
    # what was in the log of writes beside the file went with it
    moved = TranscriptStore(f"sqlite:///{tmp_path}/moved.db")
    assert [text for text, _ in start(moved).replay()] == ["one"]


def test_a_store_that_may_only_be_read(store: TranscriptStore) -> None:
    """The history is shown; what is said now says that it is not kept."""
    turn(start(store), "one", "two")
    store._rows._db.execute("PRAGMA query_only = ON")  # type: ignore[attr-defined]
    policy = start(store)
    assert [one["reply"] for one in policy.opening()["history"]] == ["two"]
    assert turn(policy, "three", "four")[0]["kept"] is False


def test_forgotten_is_gone(store: TranscriptStore, tmp_path: Path) -> None:
    """After [RESET] and [DONE] no byte of it is in the files; a used name gives no old reply."""
    policy = start(store)
    turn(policy, "my secret is ZEBRA", "QUAGGA it is", mid="m1")
    policy.hear({"text": "[RESET]"})
    assert only(turn(policy, "hello OKAPI", "hi GNU", mid="m1"))["text"] == "hi GNU"

    def held(word: bytes) -> bool:
        return any(word in path.read_bytes() for path in tmp_path.glob("c.db*"))

    assert not held(b"ZEBRA") and not held(b"QUAGGA") and held(b"OKAPI")
    policy.hear({"text": "[DONE]"})
    assert not held(b"OKAPI") and not held(b"GNU")


def test_memory_is_given_back() -> None:
    """Without a store nothing is left of a conversation whose user is gone."""
    store = TranscriptStore("none")
    policy = start(store)
    turn(policy, "one", "two")
    policy.close()
    assert not store.knows("t") and not start(store).resumed


@pytest.mark.parametrize(
    "given, expected",
    [
        ({"greetin": "x"}, "nearest: greeting"),
        ({"greeting": 5}, "greeting: found 5, expected text"),
        ({"quick_replies": "x"}, "expected a list of texts"),
        ({"keep_days": -1}, "expected a number from 0 on"),
        ({"keep_days": True}, "expected no boolean"),
        ({"rating_replies": "yes"}, "expected true or false"),
        (["x"], "expected keys and values"),
    ],
)
def test_wrong_settings(given: Any, expected: str) -> None:
    """Each is named with what was expected."""
    with pytest.raises(UsageError) as error:
        PolicySettings.read(given)
    assert expected in str(error.value)


def test_settings() -> None:
    """What is given is taken, the rest has defaults; feedback is off unless named."""
    read = PolicySettings.read({"quick_replies": ["a", "b"], "keep_days": 7, "feedback": None})
    assert read == PolicySettings(quick_replies=("a", "b"), keep_days=7)
    assert PolicySettings.read(None).feedback == ""
