"""parlai_cu/serving/talk.py: what is said when, without sockets, models or ParlAI."""

import json
from pathlib import Path
from typing import Any, Dict, List

import pytest

from parlai_cu.errors import ConversationError, UsageError
from parlai_cu.serving import talk as talking
from parlai_cu.serving.conversations import Conversations
from parlai_cu.serving.feedback import FeedbackLog
from parlai_cu.serving.talk import Settings, Talk

FACT = {"id": "fee", "text": "It costs 5 euros.", "source": "facts.db", "score": 2.0}


@pytest.fixture
def store(tmp_path: Path) -> Conversations:
    """A store on disk."""
    return Conversations(f"sqlite:///{tmp_path}/c.db")


def start(store: Conversations, token: str = "t", **more: Any) -> Talk:
    """A conversation under way."""
    settings = Settings(greeting="Hello!", quick_replies=("prices",), longest=50)
    return Talk(store, settings, token, version="v1", **more)


def turn(talk: Talk, text: str, reply: str, mid: Any = None, **more: Any) -> List[Dict[str, Any]]:
    """A turn that the model answers."""
    heard = talk.hear({"text": text, "mid": mid})
    assert heard.ask == text and not heard.say
    return talk.answered({"text": reply, **more})


def only(acts: List[Dict[str, Any]]) -> Dict[str, Any]:
    """The one act there is."""
    (act,) = acts
    return act


def told(talk: Talk, text: str) -> str:
    """What the service says to a message that is not for the model."""
    heard = talk.hear({"text": text})
    assert heard.ask is None
    return str(only(heard.say)["text"])


def test_greeting(store: Conversations) -> None:
    """The first act greets and offers quick replies."""
    opening = start(store).opening()
    assert opening["text"] == "Hello!" and opening["quick_replies"] == ["prices"]
    assert opening["history"] == [] and opening["version"] == "v1"


def test_a_turn(store: Conversations) -> None:
    """A reply says its number, the version and the facts it used."""
    talk = start(store)
    act = only(turn(talk, "what does it cost?", "5 euros", version="v2", knowledge=[FACT]))
    assert (act["text"], act["turn"], act["version"]) == ("5 euros", 1, "v2")
    assert act["knowledge"] == [FACT] and act["type"] == "message"
    assert only(turn(talk, "and then?", "nothing"))["turn"] == 2


def test_resuming(store: Conversations) -> None:
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


def test_back_on_the_same_connection(store: Conversations) -> None:
    """A page that comes back is shown the conversation as it is."""
    talk = start(store)
    turn(talk, "one", "two")
    act = only(talk.hear({"type": "resumed", "text": ""}).say)
    assert [one["reply"] for one in act["history"]] == ["two"]


def test_a_turn_sent_twice(store: Conversations) -> None:
    """A client that never saw the reply is given it again; the model is not asked twice."""
    turn(start(store), "buy", "bought", mid="m1")
    for talk in (start(store), start(store)):
        heard = talk.hear({"text": "buy", "mid": "m1"})
        assert heard.ask is None
        assert (only(heard.say)["text"], only(heard.say)["turn"]) == ("bought", 1)


def test_reset(store: Conversations) -> None:
    """[RESET], whole and alone, forgets; now and for those who come back."""
    talk = start(store)
    turn(talk, "please [RESET] my router", "done")
    heard = talk.hear({"text": " [reset] "})
    assert heard.reset and heard.ask is None and not heard.done
    assert only(heard.say)["history"] == [] and talk.replay() == []
    assert start(store).replay() == []
    assert only(turn(talk, "one", "two"))["turn"] == 2  # numbers name a turn for good


def test_done(store: Conversations) -> None:
    """[DONE] ends the conversation; the same token begins another."""
    talk = start(store)
    turn(talk, "is [DONE] a word?", "it is")
    heard = talk.hear({"text": "[DONE]"})
    assert heard.done and only(heard.say)["text"] == "Goodbye!"
    after = start(store)
    assert not after.resumed and after.conversation.id != talk.conversation.id


def test_where_it_is_from(store: Conversations) -> None:
    """The facts of the last reply in words; or that there were none."""
    talk = start(store)
    assert talk.hear({"text": "where is that from?"}).ask == "where is that from?"
    talk.failed()
    turn(talk, "cost?", "5 euros", version="v2", knowledge=[FACT])
    assert told(talk, "Where is that from?") == 'From fee in facts.db: "It costs 5 euros".'
    other = {"id": "door", "text": "It has a door.", "source": "facts.db"}
    turn(talk, "cost?", "It costs 5 euros.", knowledge=[other, FACT])
    assert told(talk, "Where is that from?") == 'From fee in facts.db: "It costs 5 euros".'
    turn(talk, "hello", "hi")
    said = told(talk, "[SOURCE]")
    assert said == "From the model itself, version v2: I looked nothing up for that."


def test_which_version(store: Conversations) -> None:
    """The version of the last reply, or that there is none."""
    talk = start(store)
    assert told(talk, "which version are you?") == "This is version v1."
    turn(talk, "hello", "hi", version=7)
    assert told(talk, "which version are you?") == "This is version 7."
    assert "no version" in told(Talk(store, Settings()), "[VERSION]")


def records(path: Path) -> List[Dict[str, Any]]:
    """What was logged, without the time."""
    found = [json.loads(line) for line in path.read_text().splitlines()]
    for one in found:
        del one["time"]
    return found


def test_ratings(store: Conversations, tmp_path: Path) -> None:
    """A thumb on any reply is kept, logged with its context, and shown when one is back."""
    talk = start(store, log=FeedbackLog(str(tmp_path / "f.jsonl")))
    turn(talk, "one", "two", version="v2", knowledge=[FACT])
    turn(talk, "three", "four")
    act = only(talk.hear({"type": "rating", "turn": 1, "rating": "up", "text": ""}).say)
    assert (act["type"], act["turn"], act["rating"]) == ("feedback", 1, "up")
    talk.hear({"text": "👎"})
    assert [one["rating"] for one in start(store).opening()["history"]] == ["up", "down"]
    assert records(tmp_path / "f.jsonl") == [
        {
            "conversation": talk.conversation.id,
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
            "conversation": talk.conversation.id,
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


def test_corrections(store: Conversations, tmp_path: Path) -> None:
    """In words for the last reply, by its number for any; the model never sees them."""
    talk = start(store, log=FeedbackLog(str(tmp_path / "f.jsonl")))
    turn(talk, "one", "two")
    turn(talk, "three", "four")
    assert "what I should have said" in told(talk, "That is wrong, say five.")
    talk.hear({"type": "correction", "turn": 1, "text": " six "})
    found = [
        (one["turn"], one["rating"], one["correction"]) for one in records(tmp_path / "f.jsonl")
    ]
    assert found == [(2, "down", "five."), (1, "down", "six")]
    assert talk.replay() == [("one", "two"), ("three", "four")]


def test_nothing_is_logged_unless_asked(store: Conversations, tmp_path: Path) -> None:
    """Without a log judgements stay in the store alone."""
    talk = start(store)
    turn(talk, "one", "two")
    talk.hear({"text": "👍"})
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
def test_what_cannot_be_used(store: Conversations, act: Dict[str, Any], expected: str) -> None:
    """An error message; nothing changed, and the conversation goes on."""
    talk = start(store)
    turn(talk, "one", "two")
    heard = talk.hear(act)
    assert heard.ask is None and expected in only(heard.say)["text"]
    assert only(heard.say)["type"] == "error"
    assert only(turn(talk, "three", "four"))["turn"] == 2
    assert start(store).opening()["history"][0].get("rating") is None


@pytest.mark.parametrize("mid", [5, "", "x" * 201, ["m"], "a\0b", "\ud83d"])
def test_odd_names_of_turns(store: Conversations, mid: Any) -> None:
    """What is no name is left out."""
    talk = start(store)
    assert "mid" not in only(turn(talk, "one", "two", mid=mid))


@pytest.mark.parametrize("reply", [{}, {"text": None}, {"text": "Sorry", "failed": True}])
def test_a_model_without_an_answer(store: Conversations, reply: Dict[str, Any]) -> None:
    """An apology, which is no turn."""
    talk = start(store)
    talk.hear({"text": "one"})
    act = only(talk.answered(reply))
    assert (act["type"], act["text"]) == ("error", talking.APOLOGY)
    assert talk.replay() == [] and start(store).replay() == []


def test_a_store_out_of_reach(store: Conversations, monkeypatch: pytest.MonkeyPatch) -> None:
    """The conversation goes on without; only judgements say that they are lost."""
    talk = start(store)

    def broken(*_: Any) -> None:
        raise ConversationError("out of reach")

    monkeypatch.setattr(store._rows, "read", broken)
    monkeypatch.setattr(store._rows, "write", broken)
    for one in (talk, start(store, "new")):
        assert only(turn(one, "one", "two", mid="m"))["text"] == "two"
        assert only(turn(one, "three", "four"))["turn"] == 2
        heard = one.hear({"type": "rating", "turn": 1, "rating": "up"})
        assert only(heard.say)["type"] == "error"
        assert one.hear({"text": "[RESET]"}).reset and one.hear({"text": "[DONE]"}).done


def test_memory_is_given_back() -> None:
    """Without a store nothing is left of a conversation whose user is gone."""
    store = Conversations("none")
    talk = start(store)
    turn(talk, "one", "two")
    talk.close()
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
        Settings.read(given)
    assert expected in str(error.value)


def test_settings() -> None:
    """What is given is taken, the rest has defaults; feedback is off unless named."""
    read = Settings.read({"quick_replies": ["a", "b"], "keep_days": 7, "feedback": None})
    assert read == Settings(quick_replies=("a", "b"), keep_days=7)
    assert Settings.read(None).feedback == ""
