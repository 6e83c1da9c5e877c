"""What a base agent is told and keeps: its name, its run's wishes, its tasks, its files."""

import copy
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.agents.transformer.transformer import TransformerGeneratorAgent
from parlai.core.agents import create_agent_from_model_file
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import DialogTeacher, MultiTaskTeacher, register_teacher

from parlai_cu.agents.base_agent import inherited_options
from parlai_cu.agents.updating_agent import UpdatingAgent
from parlai_cu.errors import UsageError
from tests.conftest import NEW, OLD, TINY_TRANSFORMER

PLACE = "tests.agents.test_of_the_base"


class Particular(TransformerGeneratorAgent):
    """Asks what it is called, began with somebody's weights, and keeps a table."""

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Flags of a run, and flags of the model."""
        super().add_cmdline_args(parser, partial_opt)
        group = parser.add_argument_group("Particular")
        for name in ("copy-teacher-weights", "reset-head", "copy-attention"):
            group.add_argument(f"--{name}", type="bool", default=False)
        group.add_argument("--warm-start-from", default=None)
        return parser

    def __init__(self, opt: Opt, shared: Any = None) -> None:
        assert opt["model"] == f"{PLACE}:Particular", opt["model"]
        super().__init__(opt, shared)
        assert self.opt["model"] == f"{PLACE}:Particular"

    def save(self, path: str | None = None) -> None:
        """With a table beside the weights."""
        super().save(path)
        if path and self.opt["model"] == f"{PLACE}:Particular":
            Path(f"{path}.table").write_text("one\ttwo\n")


@register_teacher("of_one_half")
class Half(DialogTeacher):
    """Lines said backwards."""

    lines = OLD

    def __init__(self, opt: Opt, shared: Any = None) -> None:
        opt["datafile"] = opt["datatype"]
        super().__init__(opt, shared)
        self.id = type(self).__name__

    def setup_data(self, datafile: str) -> Any:
        """One turn each."""
        for line in self.lines:
            yield {"text": line, "labels": [" ".join(reversed(line.split()))]}, True

    def act(self) -> Any:
        """Who speaks is not who teaches."""
        message = super().act().copy()
        message.force_set("id", "a passer-by")
        return message


@register_teacher("of_the_other_half")
class OtherHalf(Half):
    """Of the update."""

    lines = NEW


@register_teacher("of_several")
class Several(MultiTaskTeacher):
    """Several tasks under one name."""

    def __init__(self, opt: Opt, shared: Any = None) -> None:
        both = "integration_tests:nocandidate,of_one_half"
        super().__init__(Opt({**opt, "task": both}), shared)


@pytest.fixture(scope="module")
def particular(train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory) -> str:
    """A deployed model of that agent."""
    path = str(tmp_path_factory.mktemp("particular") / "model")
    train(model=f"{PLACE}:Particular", model_file=path, copy_attention=True, **TINY_TRANSFORMER)
    return path


@pytest.mark.parametrize(
    "options",
    [
        dict(model="frozen_layer", tune="*"),
        dict(model="distill_student", n_layers=1),
        dict(model="kb_augmented", kb_gate="never"),
    ],
    ids=lambda options: options["model"],
)
def test_the_base_is_told_its_own_name(
    options: dict[str, Any],
    particular: str,
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
) -> None:
    """While it is made, trained, shared, saved and loaded; the file says ours."""
    path = str(tmp_path / "candidate" / "model")
    source = "teacher_model" if options["model"] == "distill_student" else "init_model"
    settings = {**options, source: particular, "model_file": path}
    if options["model"] == "kb_augmented":
        from parlai.core.agents import create_agent

        parser = ParlaiParser(True, True)
        settings.update(kb=f"sqlite:///{tmp_path / 'facts.db'}", model_file=None)
        from parlai_cu.knowledge.backends.sqlite import SQLiteFacts

        SQLiteFacts(settings["kb"], writable=True)
        opt = parser.parse_kwargs(**{k: v for k, v in settings.items() if v is not None})
        made = create_agent(Opt({**opt, "interactive_mode": True, "datatype": "valid"}))
        assert made.clone().opt["model"] == f"{PLACE}:Particular"
        return
    train(**settings)
    opt = json.loads(Path(path + ".opt").read_text())
    # a student is a plain model of its base
    named = f"{PLACE}:Particular" if options["model"] == "distill_student" else options["model"]
    assert (
        opt["model"] == named
        and opt.get("base_agent", f"{PLACE}:Particular") == f"{PLACE}:Particular"
    )
    assert Path(path + ".table").exists()
    loaded = create_agent_from_model_file(path)
    assert isinstance(loaded, Particular)
    assert loaded.clone().opt["model"] == f"{PLACE}:Particular"


def test_wishes_of_a_finished_run_are_not_inherited() -> None:
    """What the model is goes on, what its run began with does not."""
    opt = Opt(
        copy_teacher_weights=True,
        reset_head=True,
        warm_start_from="elsewhere/model",
        copy_attention=True,
        n_layers=2,
    )
    inherited = inherited_options(Particular, opt)
    assert inherited["copy_attention"] is True and inherited["n_layers"] == 2
    assert not {"reset_head", "warm_start_from"} & {n for n, v in inherited.items() if v}
    # off, even where the base has it on by default: the weights come from the deployed model
    assert inherited["copy_teacher_weights"] is False


@pytest.mark.parametrize("batch", [dict(batchsize=3), dict(dynamic_batching="full")])
def test_roles_are_those_of_the_task_that_was_named(
    batch: dict[str, Any],
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Not of the id in a message, which a task of several and a speaker have of their own."""
    seen: list[tuple[str, bool]] = []
    stock = UpdatingAgent.batchify

    def batchify(self: Any, obs_batch: Any, *args: Any, **kwargs: Any) -> Any:
        for obs in obs_batch:
            if "labels" in obs:
                assert obs["id"] not in ("of_several", "of_the_other_half")
                seen.append((obs["text"], self.roles.is_update(obs)))
        return stock(self, obs_batch, *args, **kwargs)

    monkeypatch.setattr(UpdatingAgent, "batchify", batchify)
    train(
        model="distill_student",
        teacher_model=deployed("transformer/generator"),
        model_file=str(tmp_path / "student" / "model"),
        task="of_several,of_the_other_half",
        n_layers=1,
        max_train_steps=12,
        **batch,
    )
    assert {role for _, role in seen} == {True, False}
    assert all(role == (text in NEW) for text, role in seen)


def test_another_dictionary_is_refused(
    deployed: Callable[[str], str], train: Callable[..., Any], data: Path, tmp_path: Path
) -> None:
    """The same one under another name is none."""
    base = deployed("transformer/generator")
    for name in ("same.dict", "other.dict"):
        (tmp_path / name).write_bytes(Path(base + ".dict").read_bytes())
    with (tmp_path / "other.dict").open("a") as f:
        f.write("more\t1\n")
    settings: dict[str, Any] = dict(model="frozen_layer", init_model=base, tune="*")
    settings.update(model_file=str(tmp_path / "candidate" / "model"))
    for name in ("other.dict", "none.dict"):
        with pytest.raises(UsageError, match=f"--dict-file .*{name}: .* other numbers"):
            train(**settings, dict_file=str(tmp_path / name))
    train(**settings, dict_file=str(tmp_path / "same.dict"))


@pytest.mark.parametrize("mode", ["frozen_layer", "distill_student", "kb_augmented"])
def test_copies(
    mode: str,
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
) -> None:
    """A deep copy replies as its original and shares no tensor with it."""
    from parlai.core.agents import create_agent

    from parlai_cu.knowledge.backends.sqlite import SQLiteFacts

    base = deployed("transformer/generator")
    path = str(tmp_path / "made" / "model")
    if mode == "kb_augmented":
        kb = f"sqlite:///{tmp_path / 'facts.db'}"
        SQLiteFacts(kb, writable=True)
        opt = ParlaiParser(True, True).parse_kwargs(model=mode, init_model=base, kb=kb)
        agent = create_agent(Opt({**opt, "interactive_mode": True, "datatype": "valid"}))
    else:
        source = "teacher_model" if mode == "distill_student" else "init_model"
        chosen = {"tune": "*"} if mode == "frozen_layer" else {}
        train(**{"model": mode, source: base, "model_file": path, "max_train_steps": 1, **chosen})
        agent = create_agent_from_model_file(path)
    twin = copy.deepcopy(agent)
    assert twin.respond("hello there") == agent.respond("hello there")
    pairs = zip(twin.model.parameters(), agent.model.parameters())
    assert all(a is not b and torch.equal(a, b) for a, b in pairs)
