"""-m deployed: promotions between turns, history, pins, canaries, memory, failures."""

import copy
import gc
import json
import shutil
import threading
import weakref
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.agents.deployed import service as service_module
from parlai_cu.agents.deployed.deployed import TURN
from parlai_cu.errors import UsageError, VersionsError
from tests.agents.served import GENERATOR, PATIENCE, Versions, heard, plain, say, serve, until
from tests.conftest import NEW


def test_a_promotion_is_noticed(versions: Versions) -> None:
    """The background thread loads it, the next turn is answered by it, the old model goes."""
    agent = serve(versions)
    talk = agent.clone()
    assert say(talk, "hello there")["version"] == versions.store.get("v1").id
    old = weakref.ref(agent.service.residents[agent.version].agent.model)
    versions.store.promote("v2")
    until(lambda: agent.version == versions.store.get("v2").id)
    assert say(talk, "how are you")["version"] == agent.version
    gc.collect()
    assert old() is None, "the old model is still in memory"
    status = agent.status()
    assert status["swaps"] == 1 and status["loaded"] == [agent.version]
    assert status["last_promotion"]["id"] == agent.version and status["load_errors"] == []
    agent.shutdown()


def test_history_goes_over(versions: Versions, by_hand: None) -> None:
    """After the swap it replies as the new version would that had had the conversation so far."""
    agent, lines = serve(versions), ["hello there", "how are you", "thank you"]
    replies = [say(agent, line)["text"] for line in lines]
    versions.store.promote("v2")
    agent.service.look()
    after = say(agent, "where is the shop")
    alone = plain(versions, "v2")
    for line, reply in zip(lines, replies):
        alone.observe({"id": "user", "text": line, "episode_done": False})
        alone.self_observe({"id": "us", "text": reply, "episode_done": False})
    assert after["text"] == say(alone, "where is the shop")["text"]
    assert heard(agent) == heard(alone) and len(heard(agent)) == 8
    assert after["version"] == versions.store.get("v2").id


def test_going_over_costs_one_turn(
    versions: Versions, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """However long the conversation is: only what is to be answered is made tensors of."""
    from parlai.core.torch_agent import TorchAgent

    agent = serve(versions)
    for _ in range(3):
        say(agent, "hello there")
    versions.store.promote("v2")
    agent.service.look()
    texts: list[str] = []
    stock = TorchAgent.vectorize

    def counted(self: Any, seen: Any, *args: Any, **kwargs: Any) -> Any:
        texts.append(seen["text"])
        return stock(self, seen, *args, **kwargs)

    monkeypatch.setattr(TorchAgent, "vectorize", counted)
    assert say(agent, "how are you")["version"] == agent.version
    assert texts == ["how are you"]
    agent.shutdown()


def test_a_long_conversation_is_bounded(
    versions: Versions, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The model at work forgets what was said long ago."""
    from parlai_cu.serving import history

    monkeypatch.setattr(history, "MOST_TURNS", 2)
    agent = serve(versions)
    for line in ("one", "two", "three"):
        reply = say(agent, line)
    assert len(heard(agent)) == 4 and heard(agent)[-2:] == ["three", reply["text"]]
    agent.shutdown()


def test_another_dictionary(
    versions: Versions, by_hand: None, train: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    """History is read again by the new version's dictionary: its token ids, not the old ones."""
    other = str(tmp_path / "other" / "model")
    words = tmp_path / "other.jsonl"
    turns = [{"id": "a", "text": "hello shop"}, {"id": "b", "text": "the time is"}]
    words.write_text(json.dumps({"dialog": [turns]}) + "\n")
    opt = json.loads(Path(versions.model_file + ".opt").read_text())
    sizes = ("embedding_size", "n_layers", "n_heads", "ffn_size", "n_positions", "truncate")
    train(
        model=GENERATOR,
        model_file=other,
        jsonfile_datapath=str(words),
        max_train_steps=1,
        **{name: opt[name] for name in sizes},
    )
    agent = serve(versions)
    say(agent, "hello there")
    before = agent.inner.dict.txt2vec("hello shop")
    versions.store.promote(versions.keep(other))
    agent.service.look()
    say(agent, "hello shop")
    vectors = agent.history.history_vecs
    assert list(vectors[2]) == agent.inner.dict.txt2vec("hello shop") != before
    assert list(vectors[0]) == agent.inner.dict.txt2vec("hello there")
    assert len(agent.inner.dict) != len(plain(versions, "v1").dict)


def test_a_turn_under_way_is_finished_where_it_began(versions: Versions, by_hand: None) -> None:
    """A swap between hearing and replying takes effect with the turn after."""
    agent = serve(versions)
    agent.observe({"id": "user", "text": "hello there", "episode_done": False})
    versions.store.promote("v2")
    agent.service.look()
    assert agent.version == versions.store.get("v2").id
    assert agent.status()["loaded"] == [versions.store.get(n).id for n in ("v1", "v2")]
    assert agent.act()["version"] == versions.store.get("v1").id
    assert agent.status()["loaded"] == [agent.version]
    assert say(agent, "how are you")["version"] == agent.version


def test_a_pinned_conversation_stays(versions: Versions, by_hand: None) -> None:
    """Its replies are those of its version alone, also after promotions; a new one gets the new."""
    agent = serve(versions, pin="conversation")
    pinned, alone = agent.clone(), plain(versions, "v1")
    for i, line in enumerate(NEW):
        if i == 2:
            versions.store.promote("v2")
            agent.service.look()
        reply, expected = say(pinned, line), say(alone, line)
        assert reply["text"] == expected["text"]
        assert reply["version"] == versions.store.get("v1").id
    assert heard(pinned) == heard(alone)
    assert say(agent.clone(), "hello there")["version"] == versions.store.get("v2").id
    back = agent.clone()
    back.set_conversation("interrupted", begun_on=versions.store.get("v1").id)
    assert say(back, "hello there")["version"] == versions.store.get("v1").id
    pinned.reset()
    assert say(pinned, "hello there")["version"] == versions.store.get("v2").id


def test_a_third_model_takes_the_oldest_ones_place(versions: Versions, by_hand: None) -> None:
    """Two models in memory: who was pinned to the first goes on with the live one."""
    agent = serve(versions, pin="conversation")
    first, second = agent.clone(), agent.clone()
    reply = say(first, "hello there")["text"]
    most: list[int] = []
    load = agent.service._load

    def counted(version: str) -> Any:
        most.append(len(agent.service.residents) + 1)
        return load(version)

    agent.service._load = counted
    for number in ("v2", versions.add(2)):
        versions.store.promote(number)
        agent.service.look()
        say(second, "thank you")
    ids = [version.id for version in versions.store.list()]
    assert most == [2, 2] and agent.status()["loaded"] == [ids[1], ids[2]]
    assert say(first, "how are you")["version"] == ids[2]
    assert heard(first)[:3] == ["hello there", reply, "how are you"]
    assert say(second, "thank you")["version"] == ids[1], "it is pinned to where it began"


def test_a_turn_that_is_open_for_too_long(
    versions: Versions, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It keeps no third model waiting for ever; the live one hears it again and answers."""
    monkeypatch.setattr(service_module, "PATIENCE", 0.0)
    agent = serve(versions, pin="conversation")
    slow = agent.clone()
    reply = say(slow, "hello there")["text"]
    slow.observe({"id": "user", "text": "how are you", "episode_done": False})
    for name in ("v2", versions.add(2)):
        versions.store.promote(name)
        agent.service.look()
    assert agent.status()["loaded"] == [agent.version]
    answer = slow.act()
    assert answer["version"] == versions.store.channel()
    assert heard(slow) == ["hello there", reply, "how are you", answer["text"]]


def test_a_version_that_cannot_be_loaded(versions: Versions, by_hand: None) -> None:
    """It never goes live, it is told of, and it is tried again only when promoted again."""
    agent = serve(versions)

    def wrong_size(states: dict[str, Any], opt: dict[str, Any]) -> None:
        opt["ffn_size"] = 64

    bad = versions.add(5, wrong_size)
    versions.store.promote(bad)
    for _ in range(3):
        agent.service.look()
    assert say(agent, "hello there")["version"] == versions.store.get("v1").id == agent.version
    (told,) = agent.status()["load_errors"]
    assert told["version"] == bad and "size mismatch" in told["error"]
    versions.store.promote(bad)
    agent.service.look()
    assert len(agent.status()["load_errors"]) == 2
    # a service that starts now serves what was live before
    assert serve(versions).version == versions.store.get("v1").id
    versions.store.rollback()
    versions.store.promote("v2")
    agent.service.look()
    assert say(agent, "hello there")["version"] == versions.store.get("v2").id


def test_a_model_that_cannot_reply_does_not_serve(
    versions: Versions, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Loading is not enough: its numbers are numbers, and it is asked once before."""
    from parlai.core.torch_generator_agent import TorchGeneratorAgent

    agent = serve(versions)

    def diverged(states: dict[str, Any], opt: dict[str, Any]) -> None:
        states["model"]["encoder.layers.0.ffn.lin1.weight"][0, 0] = float("nan")

    versions.store.promote(versions.add(6, diverged))
    agent.service.look()
    monkeypatch.setattr(TorchGeneratorAgent, "eval_step", lambda self, batch: None)
    versions.store.promote("v2")
    agent.service.look()
    assert agent.version == versions.store.get("v1").id
    first, second = (told["error"] for told in agent.status()["load_errors"])
    assert "encoder.layers.0.ffn.lin1.weight holds what is no number" in first
    assert "it replied with None" in second


def test_a_model_that_was_trained_without_replies(versions: Versions, tmp_path: Path) -> None:
    """--skip-generation of its training does not count in a chat service (no interactive_mode)."""
    from parlai.core.agents import create_agent
    from parlai.core.opt import Opt

    def mute(states: dict[str, Any], opt: dict[str, Any]) -> None:
        opt["skip_generation"] = True

    versions.store.promote(versions.add(7, mute))
    opt = Opt(model="deployed", versions=versions.store.path, datapath=str(tmp_path))
    agent = create_agent(opt)
    assert say(agent, "hello there")["version"] == versions.store.channel()
    agent.shutdown()


def test_a_canary_answers_its_share(versions: Versions, by_hand: None) -> None:
    """By conversation, the same each time; promoted it serves all without being loaded again."""
    versions.store.promote("v2", "canary")
    agent = serve(versions, canary_share=0.5)
    agent.service.look()
    live, trial = (versions.store.get(name).id for name in ("v1", "v2"))
    answered: dict[str, str] = {}
    for _ in range(2):
        for number in range(12):
            talk = agent.clone()
            talk.conversation = f"person {number}"
            version = say(talk, "hello there")["version"]
            assert answered.setdefault(talk.conversation, version) == version
    assert set(answered.values()) == {live, trial}
    agent.rate("person 0", up=True)
    guard = agent.status()["guard"]
    assert sum(int(arm["failed"].split()[-1]) for arm in guard.values()) == 12
    assert sum(int(arm["rated down"].split()[-1]) for arm in guard.values()) == 1
    agent.service._load = None  # type: ignore[assignment]
    versions.store.promote("v2")
    agent.service.look()
    assert agent.version == trial and agent.status()["canary"] is None


def test_a_canary_that_fails_loses_no_turn_and_goes(
    versions: Versions, by_hand: None, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its turns are answered by the live version, with history; then its channel is rolled back."""
    lines: list[str] = []
    monkeypatch.setattr(service_module.logging, "error", lines.append)
    versions.store.promote("v2", "canary")
    agent = serve(versions, canary_share=0.5)
    agent.service.look()
    live, trial = (versions.store.get(name).id for name in ("v1", "v2"))

    def fail(*_: Any) -> None:
        raise RuntimeError("no such kernel")

    model = agent.service.residents[trial].agent
    model.model.forward = model.model.encoder.forward = fail
    talks = [agent.clone() for _ in range(40)]
    for number, talk in enumerate(talks):
        talk.conversation = f"person {number}"
    rounds = 0
    while agent.status()["canary"] and rounds < 20:
        rounds += 1
        seen = [t.observe({"text": "hello there", "episode_done": False}) for t in talks]
        replies = agent.batch_act(seen)
        assert all(reply["text"] and reply["version"] == live for reply in replies)
        for talk, reply in zip(talks, replies):
            talk.self_observe(reply)
    assert 0 < rounds < 20, "the guard never took it back"
    # errors may quote a user
    assert "failed on a turn: RuntimeError at " in lines[0] and "kernel" not in "".join(lines)
    agent.service.look()
    last = versions.store.history("canary")[-1]
    assert (last.id, last.action) == (live, "rollback") and "failed: " in last.why
    assert all(len(heard(talk)) == 2 * rounds for talk in talks)
    assert agent.status()["loaded"] == [live]


def test_a_directory_that_goes_away(versions: Versions, by_hand: None, tmp_path: Path) -> None:
    """Serving goes on, the status tells of it, and promotions are seen when it is back."""
    agent = serve(versions)
    away = tmp_path / "away"
    shutil.move(versions.store.path, away)
    agent.service.look()
    assert say(agent, "hello there")["text"] and agent.status()["live"] == agent.version
    assert "serves nothing yet" in agent.status()["trouble"]
    shutil.move(away, versions.store.path)
    versions.store.promote("v2")
    agent.service.look()
    assert say(agent, "hello there")["version"] == versions.store.get("v2").id
    assert agent.status()["trouble"] is None


def test_many_conversations_through_many_swaps(versions: Versions) -> None:
    """Six threads talk while versions are promoted and rolled back: no turn and no word is lost."""
    agent = serve(versions)
    third = versions.add(2)
    known = {version.id for version in versions.store.list()}
    stop, failures, used = threading.Event(), [], set()  # type: ignore[var-annotated]

    def converse(number: int) -> None:
        talk, said, turn = agent.clone(), [], 0
        try:
            while not stop.is_set() or turn < 4:
                line = NEW[(number + turn) % len(NEW)]
                reply = say(talk, line)
                said += [line, reply["text"]]
                assert isinstance(reply["text"], str) and reply["version"] in known
                used.add(reply["version"])
                assert heard(talk) == said
                turn += 1
                if turn == 30:  # or replies take longer and longer
                    talk.reset()
                    said, turn = [], 0
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=converse, args=(n,)) for n in range(6)]
    for thread in threads:
        thread.start()
    try:
        for name in ("v2", third, "v1", "v2"):
            versions.store.promote(name)
            head = versions.store.channel()
            until(lambda head=head: (agent.version == head and head in used) or failures)
        versions.store.rollback()
        until(lambda: agent.version == versions.store.get("v1").id or failures)
    finally:
        stop.set()
        for thread in threads:
            thread.join(PATIENCE)
    assert not failures, failures[0]
    assert not any(thread.is_alive() for thread in threads)
    assert used == known and agent.status()["swaps"] == 5
    assert len(agent.status()["loaded"]) <= 2
    agent.shutdown()


def test_turns_are_batched_by_version(versions: Versions, by_hand: None) -> None:
    """One batch_act of any clone answers pinned and new conversations, each by its model."""
    agent = serve(versions, pin="conversation")
    old = [agent.clone() for _ in range(2)]
    for talk in old:
        say(talk, "hello there")
    versions.store.promote("v2")
    agent.service.look()
    new = [agent.clone() for _ in range(2)]
    mixed = [old[0], new[0], new[1], old[1]]
    sizes: list[int] = []
    for resident in agent.service.residents.values():
        batch_act = resident.agent.batch_act
        resident.agent.batch_act = lambda seen, act=batch_act: (sizes.append(len(seen)), act(seen))[
            1
        ]
    seen = [talk.observe({"text": line, "episode_done": False}) for talk, line in zip(mixed, NEW)]
    assert copy.deepcopy(seen[0])[TURN].conversation is mixed[0]
    replies = agent.batch_act([*seen, {}])
    assert sizes == [2, 2]
    ids = [versions.store.get(name).id for name in ("v1", "v2", "v2", "v1")]
    assert [reply["version"] for reply in replies[:4]] == ids
    for talk, reply in zip(mixed, replies):
        talk.self_observe(reply)
    for number in (1, 2):
        assert say(plain(versions, "v2"), NEW[number])["text"] == replies[number]["text"]
    assert agent.batch_respond([{"text": "thank you"}, {"text": "hello there"}])


def test_a_turn_that_failed_can_be_taken_back(versions: Versions, by_hand: None) -> None:
    """keep_history(): the conversation is where it was, and its turn is closed."""
    agent = serve(versions)
    reply = say(agent, "hello there")["text"]
    undo = agent.keep_history()
    agent.observe({"text": "lost", "episode_done": False})
    undo()
    say(agent, "how are you")
    assert heard(agent)[:3] == ["hello there", reply, "how are you"] and len(heard(agent)) == 4


def test_an_episode_ends(versions: Versions, by_hand: None) -> None:
    """With episode_done the history is empty again, also on another version."""
    agent = serve(versions)
    say(agent, "hello there", episode_done=True)
    versions.store.promote("v2")
    agent.service.look()
    say(agent, "how are you")
    assert heard(agent)[0] == "how are you"


def test_what_is_wrong_is_said_at_once(
    versions: Versions, tmp_path: Path, by_hand: None, train: Callable[..., Any]
) -> None:
    """No directory, nothing live, a share that is none, training."""
    from parlai.core.agents import create_agent
    from parlai.core.opt import Opt

    with pytest.raises(UsageError, match="-m deployed needs --versions DIR"):
        create_agent(Opt(model="deployed", datapath=str(tmp_path)))
    with pytest.raises(UsageError, match="--canary-share 2.0: expected a share"):
        serve(versions, canary_share=2.0)
    with pytest.raises(VersionsError, match="--channel beta serves nothing yet"):
        serve(versions, channel="beta")
    with pytest.raises(UsageError, match="serves and does not learn"):
        train(model="deployed", versions=versions.store.path, model_file=str(tmp_path / "x"))
