"""Whole messages on their way through the files of training: replay, from the model, an update."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from parlai.core.message import Message
from parlai.core.mutators import MessageMutator, register_mutator
from parlai.core.opt import Opt
from parlai.core.teachers import DialogTeacher, register_teacher

from parlai_cu.agents import episodes
from parlai_cu.agents.updating_agent import UpdatingAgent
from parlai_cu.errors import DataError, UsageError
from parlai_cu.update.steps import data as task_data
from tests.conftest import NEW, TINY_TRANSFORMER

GENERATOR = "transformer/generator"
RICH = "rich_messages"


@register_teacher(RICH)
class RichTeacher(DialogTeacher):
    """Conversations of two turns whose messages carry all sorts of things."""

    def __init__(self, opt: Opt, shared: Any = None) -> None:
        opt["datafile"] = opt["datatype"]
        super().__init__(opt, shared)
        self.id = RICH

    def setup_data(self, datafile: str) -> Any:
        """Ten conversations."""
        for number in range(10):
            for turn, first in (("one", True), ("two", False)):
                yield (
                    {
                        "text": f"{NEW[number % 5]} {number} {turn}",
                        "labels": ("yes please",),
                        "knowledge": {"fact": f"fact {number}", "rank": (number, 0.5)},
                        "features": torch.full((3,), float(number)),
                        "mask": np.array([True, False]),
                        "reward": -1,
                        "answer": "yes please",
                        "helper": len,
                    },
                    first,
                )


@register_mutator("exclaiming")
class Exclaiming(MessageMutator):
    """Shows how often it was applied."""

    def message_mutation(self, message: Message) -> Message:
        """Add a sign."""
        message.force_set("text", message["text"] + "!")
        return message


@pytest.fixture
def observed(monkeypatch: pytest.MonkeyPatch) -> list[Message]:
    """Every message that the model in training gets."""
    seen: list[Message] = []
    stock = UpdatingAgent.batchify

    def batchify(self: Any, obs_batch: Any, *args: Any, **kwargs: Any) -> Any:
        seen.extend(obs for obs in obs_batch if "labels" in obs)
        return stock(self, obs_batch, *args, **kwargs)

    monkeypatch.setattr(UpdatingAgent, "batchify", batchify)
    return seen


@pytest.fixture
def update(
    deployed: Callable[[str], str], train: Callable[..., Any], data: Path, tmp_path: Path
) -> Callable[..., str]:
    """``update(**options)``: a tiny update of a generator; the candidate's path."""

    def run(**options: Any) -> str:
        settings: dict[str, Any] = dict(
            model="frozen_layer",
            init_model=deployed(GENERATOR),
            tune="*",
            model_file=str(tmp_path / "candidate" / "model"),
            max_train_steps=6,
        )
        settings.update(options)
        train(**settings)
        return str(settings["model_file"])

    return run


def rich(seen: list[Message]) -> list[Message]:
    """Those of the teacher above."""
    return [message for message in seen if "knowledge" in message]


def test_replayed_messages_are_whole(
    update: Callable[..., str], observed: list[Message], warned: list[str]
) -> None:
    """What the agent gets is what it would get of the task itself."""
    update(replay_task=RICH, replay_size=8)
    assert len(rich(observed)) > 4
    for message in rich(observed):
        number = int(message["text"].split()[-2])
        assert message["knowledge"] == {"fact": f"fact {number}", "rank": (number, 0.5)}
        assert message["labels"] == ("yes please",) and message["reward"] == -1
        assert torch.equal(message["features"], torch.full((3,), float(number)))
        assert message["mask"].dtype == bool
        with pytest.raises(DataError, match="'helper' of a stored example held a "):
            message["helper"]("a")
    assert any(f"replay of {RICH}: the field 'helper' holds a " in line for line in warned)


def test_mutators_are_applied_once(update: Callable[..., str], observed: list[Message]) -> None:
    """To the old data as to the new."""
    update(replay_task=RICH, replay_size=8, mutators="exclaiming")
    assert rich(observed) and len(rich(observed)) < len(observed)
    assert all(message["text"].count("!") == 1 for message in observed)


def test_the_model_is_asked_with_all_fields(update: Callable[..., str]) -> None:
    """What is true of the gold reply only is not stored with another one."""
    candidate = update(task=RICH, replay_from_model=True, replay_size=8)
    stored = episodes.read(Opt(datapath=""), episodes.task_of(candidate + ".replay.jsonl"))
    turns = [turn for episode in stored for turn in episode]
    assert turns and all(turn["knowledge"]["fact"] for turn in turns)
    assert not any({"reward", "answer"} & set(turn) for turn in turns)
    assert any("\nyes please\n" in turn["text"] for turn in turns)


def test_a_judgement_of_the_gold_reply_is_refused(
    update: Callable[..., str], data: Path, tmp_path: Path
) -> None:
    """Nobody said it of the model's reply."""
    rows = [[{"text": line, "labels": ["yes"], "classifier_label": "neg"}] for line in NEW]
    episodes.store(str(tmp_path / "judged.jsonl"), rows, "a test")
    with pytest.raises(UsageError, match="'classifier_label' judges the reply"):
        update(task=episodes.task_of(str(tmp_path / "judged.jsonl")), replay_from_model=True)


def test_an_updates_files_are_whole(data: Path, tmp_path: Path) -> None:
    """Held out, without what is put right, with other questions: all fields are there."""
    opt = Opt(datapath=str(data))
    held = task_data.prepare(opt, RICH, str(tmp_path / "data"), seed=0)
    assert not held.own_splits
    less = task_data.without(opt, held, {"no such context"}, str(tmp_path / "data"))
    for one in (held, less):
        for split in ("train:evalmode", "valid", "test"):
            for episode in task_data.read(opt, one.task, split):
                assert [turn["features"].shape for turn in episode] == [(3,), (3,)]
                assert type(episode[0]["knowledge"]["rank"]) is tuple
    other = list(held.examples["train"])
    for place, example in enumerate(other):
        other[place] = type(example)(example.text, f"answer {place}", (), example.fields)
    own, swapped = task_data.swapped(other, str(tmp_path / "swapped"))
    for one, two in zip(*(task_data.read(opt, data.task, "test") for data in (own, swapped))):
        assert one[0]["labels"] == two[0]["labels"]
        assert one[0]["knowledge"] != two[0]["knowledge"]
        assert two[0]["knowledge"]["fact"].split()[1] == two[0]["text"].split()[-2]


def test_a_record_tells_fields_apart(data: Path, tmp_path: Path) -> None:
    """The same texts with other knowledge are other data."""
    opt = Opt(datapath=str(data))
    prints = []
    for fact in ("a", "b", "b"):
        rows = [[{"text": str(i), "labels": ["x"], "knowledge": fact}] for i in range(9)]
        path = str(tmp_path / "rows.jsonl")
        episodes.store(path, rows, "a test")
        held = task_data.prepare(opt, episodes.task_of(path), str(tmp_path / "data"), seed=0)
        prints.append(held.fingerprint)
    assert prints[0] != prints[1] == prints[2]


@pytest.mark.parametrize("damage", ["not json\n", '["a list"]\n', '{"a": {"__type__": "?", '])
def test_damage_is_named_by_its_line(damage: str, tmp_path: Path) -> None:
    """A stored file that somebody cut or edited."""
    path = tmp_path / "held.jsonl"
    path.write_text(
        json.dumps({"text": "a", "labels": ["b"], "episode_done": True}) + "\n" + damage
    )
    with pytest.raises(DataError, match=r"held.jsonl, line 2"):
        list(episodes.read(Opt(datapath=""), episodes.task_of(str(path))))


def test_speakers_are_data(tmp_path: Path) -> None:
    """An id that is not the teacher's own name comes back."""
    path = str(tmp_path / "held.jsonl")
    rows = [[{"id": "Ann", "text": "a", "labels": ["b"]}, {"text": "c", "labels": ["d"]}]]
    episodes.store(path, rows, "a test")
    assert list(episodes.read(Opt(datapath=""), episodes.task_of(path))) == rows


def test_the_stored_task_trains_and_evaluates(
    train: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    """As -t, in batches, shuffled and in order, like any task."""
    path = str(tmp_path / "held.jsonl")
    episodes.store(path, list(episodes.read(Opt(datapath=str(data)), RICH)), "a test")
    valid, test = train(
        model=GENERATOR,
        model_file=str(tmp_path / "model"),
        task=episodes.task_of(path),
        num_epochs=1,
        max_train_steps=None,
        validation_max_exs=-1,
        **TINY_TRANSFORMER,
    )
    assert valid["exs"] == test["exs"] == 20
