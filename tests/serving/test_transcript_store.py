"""parlai_cu/serving/transcript_store.py: what was said is there again after a restart."""

import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ConversationError
from parlai_cu.serving.transcript_store import StoredTurn, TranscriptStore
from tests.knowledge import postgres

HOSTILE = ["'; DROP TABLE chat_turns; --", "a\0b", "half \ud83d of a pair", "日本語 🙂", "%s :text"]


@pytest.fixture(params=["sqlite", "sqlalchemy", "none", "postgresql"])
def store(request: Any, tmp_path: Path) -> Iterator[TranscriptStore]:
    """A store of each kind."""
    urls = {"sqlite": f"sqlite:///{tmp_path}/c.db", "none": "none"}
    if request.param == "sqlalchemy":
        pytest.importorskip("sqlalchemy")
        urls["sqlalchemy"] = f"sqlite+pysqlite:///{tmp_path}/c.db"
    if request.param == "postgresql":
        pytest.importorskip("sqlalchemy")
        urls["postgresql"] = postgres.empty()
    made = TranscriptStore(urls[request.param])
    yield made
    made.close()


def turn(text: str, **more: Any) -> StoredTurn:
    """A first turn, as whoever keeps it believes, whose reply is its text backwards."""
    return StoredTurn(1, text, text[::-1], **more)


def test_what_was_said_is_there_again(store: TranscriptStore) -> None:
    """A token gives back the turns with all that is known of them, in order."""
    conversation, token = store.start()
    facts = [{"id": "fee", "text": "It is 5 euros.", "score": 1.5}]
    store.add(conversation.id, turn("one", mid="a", version="v7", knowledge=facts))
    store.add(conversation.id, turn("two"))
    assert store.judge(conversation.id, 1, "down", "It is 6 euros.")
    again = store.resume(token)
    assert again is not None and again.id == conversation.id
    assert again.turns == [
        StoredTurn(1, "one", "eno", "a", "v7", facts, "down", "It is 6 euros."),
        StoredTurn(2, "two", "owt"),
    ]


def test_after_a_restart(tmp_path: Path) -> None:
    """Another process on the same file goes on where the first one stopped."""
    url = f"sqlite:///{tmp_path}/c.db"
    first = TranscriptStore(url)
    conversation, token = first.start()
    first.add(conversation.id, turn("before"))
    first.close()
    second = TranscriptStore(url)
    found = second.resume(token)
    assert found is not None and [one.text for one in found.turns] == ["before"]
    assert second.add(conversation.id, turn("after")).turn == 2
    second.close()


@pytest.mark.parametrize("token", [None, "", "guessed", "done:x", *HOSTILE])
def test_other_tokens_resume_nothing(store: TranscriptStore, token: Any) -> None:
    """Only the token that was given resumes a conversation."""
    store.start()
    assert store.resume(token) is None


def test_the_store_does_not_hold_the_token(tmp_path: Path) -> None:
    """Who reads the file cannot take a conversation over."""
    store = TranscriptStore(f"sqlite:///{tmp_path}/c.db")
    _, token = store.start()
    store.close()
    assert all(token.encode() not in path.read_bytes() for path in tmp_path.iterdir())


def test_a_turn_sent_twice_is_kept_once(store: TranscriptStore) -> None:
    """The client's own name for a turn finds the answer it had; other conversations' do not."""
    conversation, _ = store.start()
    other, _ = store.start()
    first = store.add(conversation.id, turn("hello", mid="m1"))
    again = store.add(conversation.id, StoredTurn(1, "hello", "another answer", "m1"))
    assert again == first and store.answered(conversation.id, "m1") == first
    assert store.answered(other.id, "m1") is None
    assert store.answered(conversation.id, None) is None


def test_two_writers_of_one_conversation(store: TranscriptStore) -> None:
    """Turns of several threads get a number each, and none is lost."""
    conversation, token = store.start()

    def write(name: int) -> None:
        for number in range(10):
            store.add(conversation.id, turn(f"{name} {number}", mid=f"{name} {number}"))

    threads = [threading.Thread(target=write, args=(name,)) for name in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = store.resume(token)
    assert found is not None
    assert [one.turn for one in found.turns] == list(range(1, 41))
    assert len({one.text for one in found.turns}) == 40


@pytest.mark.parametrize("text", HOSTILE)
def test_any_text_is_only_text(store: TranscriptStore, text: str) -> None:
    """What a database refuses is left out, all else comes back as it was."""
    conversation, token = store.start()
    kept = store.add(conversation.id, StoredTurn(1, text, text, mid="m"))
    store.judge(conversation.id, kept.turn, "down", text)
    found = store.resume(token)
    expected = text.replace("\0", "").replace("\ud83d", "?")
    assert found is not None
    assert [(one.text, one.reply, one.correction) for one in found.turns] == [(expected,) * 3]


def test_forgetting(store: TranscriptStore) -> None:
    """After [RESET] what was said does not come back, and numbers go on."""
    conversation, token = store.start()
    store.add(conversation.id, turn("secret"))
    assert store.forget(conversation.id) == 1
    assert store.add(conversation.id, turn("new")).turn == 2
    found = store.resume(token)
    assert found is not None and [one.text for one in found.turns] == ["new"]
    assert found.since == 1


def test_a_finished_conversation_is_not_resumed(store: TranscriptStore) -> None:
    """[DONE] ends what a token is good for."""
    conversation, token = store.start()
    store.delete(conversation.id)
    assert store.resume(token) is None


def test_old_conversations_are_deleted(store: TranscriptStore) -> None:
    """Purging takes those nobody spoke in since, with their turns, and no others."""
    old, old_token = store.start()
    store.add(old.id, turn("old"))
    between = store._now()
    while store._now() <= between:  # the clock's own resolution
        pass
    new, new_token = store.start()
    talked, talked_token = store.start()
    store.add(talked.id, turn("new"))
    assert store.purge(store._now() - 3600) == 0
    assert store.purge(between) == 1
    assert store.resume(old_token) is None and store.turn(old.id, 1) is None
    assert store.resume(new_token) is not None
    assert store.resume(talked_token).turns[0].text == "new"  # type: ignore[union-attr]


def test_purging_by_itself(tmp_path: Path) -> None:
    """A service that keeps conversations for no time at all deletes at its next start."""
    url = f"sqlite:///{tmp_path}/c.db"
    first = TranscriptStore(url)
    _, token = first.start()
    first.close()
    second = TranscriptStore(url, keep_days=0)
    second.start()
    assert second.resume(token) is None
    second.close()


def wrong(tmp_path: Path) -> list[Any]:
    """(URL, what the error says)."""
    (tmp_path / "text.db").write_text("this is no database, however long it may be" * 100)
    return [
        ("conversations.db", "did you mean sqlite:///conversations.db"),
        ("sqlite://c.db", "expected sqlite:///relative.db"),
        (f"sqlite:///{tmp_path}/no/such/folder/c.db", "cannot be opened"),
        (f"sqlite:///{tmp_path}/text.db", "not a database"),
        ("nosuchdb://host/x", "nosuchdb"),
    ]


def test_what_cannot_be_opened(tmp_path: Path) -> None:
    """Each wrong URL is an error that says what was expected."""
    pytest.importorskip("sqlalchemy")
    for url, expected in wrong(tmp_path):
        with pytest.raises(ConversationError) as error:
            TranscriptStore(url)
        assert expected in str(error.value)


def test_passwords_are_not_told() -> None:
    """A database that is out of reach is named without its password."""
    pytest.importorskip("sqlalchemy")
    pytest.importorskip("psycopg")
    with pytest.raises(ConversationError) as error:
        TranscriptStore("postgresql+psycopg://me:hidden@127.0.0.1:1/x")
    assert "hidden" not in str(error.value) and "127.0.0.1" in str(error.value)


def test_a_database_that_goes_away() -> None:
    """While it is gone each use is an error of ours without user text; then all is there again."""
    pytest.importorskip("sqlalchemy")
    store = TranscriptStore(postgres.empty())
    conversation, token = store.start()
    store.add(conversation.id, turn("kept"))
    with postgres.stopped():
        with pytest.raises(ConversationError) as error:
            store.add(conversation.id, turn("what the user wrote"))
        assert "what the user wrote" not in str(error.value)
    found = store.resume(token)
    assert found is not None and [one.text for one in found.turns] == ["kept"]
    store.close()


def test_replicas_that_start_at_once() -> None:
    """Several processes make the tables at the same time, and each has a store."""
    pytest.importorskip("sqlalchemy")
    url, failed = postgres.empty(), []

    def start() -> None:
        try:
            store = TranscriptStore(url)
            store.start()
            store.close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=start) for _ in range(6)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
