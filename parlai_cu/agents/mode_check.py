"""
Which modes work over an agent, whoever wrote it: each is tried on a tiny model of it.

The battery of ``parlai doctor --agent`` and of tests/agents_of_others. Beside the agent's own
commands each mode has to give the same: the weights of its own training, the report of its own
evaluation.
"""

import contextlib
import io
import math
import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import torch

from parlai_cu import checkpoints
from parlai_cu.agents import base_agent, episodes, kinds
from parlai_cu.errors import ParlaiCuError

# what makes an agent small and its steps repeatable, of the flags that it has
_SMALL: dict[str, str] = {
    **dict(embedding_size="16", n_layers="1", n_heads="2", ffn_size="16", n_positions="64"),
    **dict(embeddingsize="16", hiddensize="16", numlayers="1", truncate="32"),
    # replies of a model that knows nothing end at this length
    **dict(label_truncate="8"),
    **dict(dropout="0.0", attention_dropout="0.0", relu_dropout="0.0"),
}
_RANKER = {"candidates": "batch", "eval_candidates": "inline"}
_CLASSES = ("one", "zero")
_LINES = "open the door,close the window,call a taxi,book a table,good night,what is it".split(",")
_STEPS = ["-tstep", "4", "-bs", "3", "-dt", "train:ordered", "--seed", "0", "-vmt", "loss"]
_QUIET = ["--loglevel", "critical", "--no-cuda"]
# beyond which two trainings are not the same; sums may be in another order
_SAME = 1e-5
# metrics that tell of time, of the command, or of the knowledge base
_APART = ("exps", "ups", "tpb", "ctpb", "ltpb", "gpu_mem", "lr", "total_train_updates")


class ModeResult(NamedTuple):
    """
    What came of a mode.

    :param mode: its name
    :param works: whether it does
    :param said: what was compared, or why it does not work
    """

    mode: str
    works: bool
    said: str


class ModeCheck:
    """
    The modes, over one agent.

    :param agent: as for ``-m``
    :param folder: an empty one
    :param flags: more flags that the agent needs, as words
    :raises UsageError: when there is no such agent, or it has no torch model
    """

    def __init__(self, agent: str, folder: str, flags: Sequence[str] = ()) -> None:
        self.agent, self.folder = agent, folder
        self.base_class = base_agent.base_agent_class(agent, "--agent")
        self._kind = kinds.kind_of_class(self.base_class)
        self.base = os.path.join(folder, "base", "model")
        self.flags = [*self._small(), *flags]
        self.old, self.new = self._data("old", _LINES), self._data("new", _LINES[:3])

    def run(self) -> Iterator[ModeResult]:
        """Try all; without a base model there is nothing more to try."""
        first = self._tried("train", self._train)
        yield first
        if not first.works:
            return
        tries: dict[str, Callable[[], str]] = {
            "frozen_layer, one batch": self._one_batch,
            "frozen_layer": self._frozen_layer,
            "frozen_layer, nothing learnt": self._nothing_learnt,
            "frozen_layer --tune one tensor": self._one_tensor,
            "--replay-task, --penalty l2sp": lambda: self._defended("l2sp"),
            "--replay-task, --penalty ewc": lambda: self._defended("ewc"),
            "--replay-task, --penalty lwf": lambda: self._defended("lwf"),
            "distill_student": self._student,
            "domain_adapters": self._adapters,
            "kb_augmented": self._knowledge,
            "versions, deployed": self._deployed,
        }
        for mode, work in tries.items():
            yield self._tried(mode, work)

    def _tried(self, mode: str, work: Callable[[], str]) -> ModeResult:
        try:
            with contextlib.redirect_stdout(io.StringIO()), _same_random_numbers():
                return ModeResult(mode, True, work())
        except (ParlaiCuError, _Differs) as error:
            return ModeResult(mode, False, str(error))
        except SystemExit:
            return ModeResult(mode, False, "its flags are not understood: give --agent-flags")
        except Exception as error:  # of anybody's agent
            return ModeResult(mode, False, f"{type(error).__name__}: {error}".splitlines()[0])

    # -- what is tried -----------------------------------------------------------------------

    def _train(self) -> str:
        self._learn(["-m", self.agent, *self.flags, "-t", self.old, "-mf", self.base])
        report = self._report(["-mf", self.base])
        return f"trained and evaluated by ParlAI's own commands ({len(report)} metrics)"

    def _frozen_layer(self) -> str:
        start = ["--init-model", self.base, "--dict-file", f"{self.base}.dict"]
        plain = self._learn(["-m", self.agent, *self.flags, *start, *self._update("plain")])
        ours = self._learn([*self._frozen(), "--tune", "*", *self._update("frozen")])
        far = max(
            ((plain[n].float() - ours[n].float()).abs().max().item() for n in plain), default=0
        )
        if not far <= _SAME:
            raise _Differs(f"other weights than its own training gives, by {far:.2g}")
        return f"the weights of its own training, to {max(far, 1e-9):.0e}"

    def _one_batch(self) -> str:
        """Asked of the agents themselves: their loss and gradients, and what a clone says."""
        plain = self._gradients(["-m", self.agent, *self.flags], self._update("plain-one"))
        ours = self._gradients([*self._frozen(), "--tune", "*"], self._update("frozen-one"))
        for (name, one), (_, other) in zip(plain, ours, strict=True):
            size = max(one.abs().max().item(), _SAME)
            if not (one - other).abs().max().item() <= _SAME * size:
                raise _Differs(f"another gradient of {name} than its own")
        return f"the gradients of its own training step ({len(plain)} tensors), and metrics"

    def _nothing_learnt(self) -> str:
        path = self._update("nothing")
        after = self._learn([*self._frozen(), "--tune", "*", *path, "-lr", "0"])
        self._same_tensors(after, "")
        self._same_report(["-mf", path[-1]])
        return "weights bit-identical after saving; loaded, the report of the base"

    def _one_tensor(self) -> str:
        name = [n for n, t in self._weights(self.base).items() if t.is_floating_point()][-1]
        after = self._learn([*self._frozen(), "--tune", name, *self._update("one")])
        self._same_tensors(after, name)
        return f"all but {name} bit-identical"

    def _defended(self, penalty: str) -> str:
        old = ["--replay-task", self.old, "--replay-size", "4", "--penalty", penalty]
        self._learn([*self._frozen(), "--tune", "*", *old, *self._update(penalty)])
        return "trained with old examples, whole messages"

    def _student(self) -> str:
        self._learn(
            ["-m", "distill_student", "--teacher-model", self.base, *self._update("student")]
        )
        self._report(["-mf", self._update("student")[-1]])
        return "trained; the student is evaluated as a plain model"

    def _adapters(self) -> str:
        adapter = self._update("frozen")[-1]
        words = ["-m", "domain_adapters", "--init-model", self.base, "--adapters", f"new={adapter}"]
        path = self._update("assistant")[-1]
        self._learn([*words, "-t", f"{self.old},{self.new}", "-mf", path, "-lr", "0.02"])
        self._same_report(["-mf", path, "--adapter", "old"])
        return "where the router says old, the report and the replies of the base"

    def _knowledge(self) -> str:
        from parlai_cu.knowledge.backends.sqlite import SQLiteFacts

        uri = f"sqlite:///{os.path.join(self.folder, 'facts.db')}"
        SQLiteFacts(uri, writable=True)
        words = ["-m", "kb_augmented", "--init-model", self.base, "--kb", uri, "--kb-gate", "never"]
        self._same_report(words)
        return "the report of the base, with a knowledge base that is not asked"

    def _deployed(self) -> str:
        from parlai_cu.versions.store import VersionStore

        store = VersionStore(
            os.path.join(self.folder, "versions"),
            create=True,
            cache=os.path.join(self.folder, "cache"),
        )
        store.promote(store.add(self.base, mode="import").id, force=True)
        self._same_report(["-m", "deployed", "--versions", store.path])
        return "the report of the base, as the live version"

    # -- how ---------------------------------------------------------------------------------

    def _small(self) -> list[str]:
        known = base_agent.option_names(self.base_class)
        wanted = {name: value for name, value in _SMALL.items() if name in known}
        words = [word for n, v in wanted.items() for word in (f"--{n.replace('_', '-')}", v)]
        if self._kind == "ranker":
            words += [word for n, v in _RANKER.items() for word in (f"--{n.replace('_', '-')}", v)]
        return [*words, "--classes", *_CLASSES] if self._kind == "classifier" else words

    def _data(self, name: str, lines: Sequence[str]) -> str:
        """Conversations whose messages carry what agents are known to read."""
        found = []
        for number, line in enumerate(lines):
            turn = self._turn(line, number)
            found.append([turn, {**turn, "text": f"{line} please"}])
        path = os.path.join(self.folder, name)
        return episodes.store_splits(path, dict.fromkeys(("train", "valid", "test"), found), name)

    def _turn(self, line: str, number: int) -> dict[str, Any]:
        reply = " ".join(reversed(line.split()))
        label = _CLASSES[number % 2] if self._kind == "classifier" else reply
        return {
            "text": line,
            "labels": [label],
            "label_candidates": [label, *(c for c in (*_CLASSES, "no") if c != label)],
            "knowledge": f"doors __knowledge__ {line}\nwindows __knowledge__ two\n",
            "title": "doors",
            "checked_sentence": line,
            "chosen_topic": "doors",
            "reward": 1,
        }

    def _update(self, name: str) -> list[str]:
        return ["-t", self.new, "-mf", os.path.join(self.folder, name, "model")]

    def _frozen(self) -> list[str]:
        return ["-m", "frozen_layer", "--init-model", self.base]

    def _learn(self, words: list[str]) -> dict[str, torch.Tensor]:
        from parlai.scripts.train_model import TrainModel

        rate = [] if "-lr" in words else ["-lr", "0.05"]
        rate += ["--datapath", self.folder]
        skips = ["--optimizer", "sgd", "-vme", "4", "--short-final-eval", "true"]
        TrainModel.main(*words, *_STEPS, *rate, *skips, *_QUIET)
        return self._weights(words[words.index("-mf") + 1])

    def _weights(self, model_file: str) -> dict[str, torch.Tensor]:
        found: dict[str, torch.Tensor] = checkpoints.load(model_file)["model"]
        return found

    def _report(self, words: list[str]) -> dict[str, float]:
        from parlai.scripts.eval_model import EvalModel

        where = ["--datapath", self.folder]
        report = EvalModel.main(*words, "-t", self.old, "-dt", "valid", "-bs", "3", *where, *_QUIET)
        return self._told(report)

    def _told(self, report: Mapping[str, Any]) -> dict[str, float]:
        return {
            name: float(value)
            for name, value in report.items()
            if name not in _APART and not name.startswith("kb_") and not name.endswith("tps")
        }

    def _same_report(self, words: list[str]) -> None:
        """Evaluated, and answering as a clone does in service, it is the base."""
        said: list[str] = []
        with contextlib.suppress(Exception):  # of an agent that no service could use
            said = self._replies(["-mf", self.base])
        for one, other in zip(said, self._replies(words) if said else []):
            if one != other:
                raise _Differs(f"a clone of it replies {other!r:.60}, one of the base {one!r:.60}")
        expected, found = self._report(["-mf", self.base]), self._report(words)
        for name in expected:
            first, second = expected[name], found.get(name, math.nan)
            if first != second and not (math.isnan(first) and math.isnan(second)):
                raise _Differs(f"evaluated it has {name} {second:.6g}, the base {first:.6g}")

    def _gradients(self, words: list[str], where: list[str]) -> list[tuple[str, torch.Tensor]]:
        """Of one training step on the first batch, at rate 0, from the base's weights."""
        from parlai.scripts.train_model import TrainLoop, setup_args

        start = ["--init-model", self.base, "--dict-file", f"{self.base}.dict"]
        steps = [
            "-bs",
            "3",
            "-dt",
            "train:ordered",
            "--optimizer",
            "sgd",
            "-lr",
            "0",
            "--seed",
            "0",
        ]
        known = [*words, *start, *where, *steps, "--datapath", self.folder, *_QUIET]
        torch.manual_seed(0)
        loop = TrainLoop(setup_args().parse_args(known))
        loop.world.parley()
        metrics = self._told(loop.world.get_agents()[1].report())
        model = loop.agent.model
        gradients = [(n, p.grad.clone()) for n, p in model.named_parameters() if p.grad is not None]
        return [*gradients, *((n, torch.tensor([v])) for n, v in sorted(metrics.items()))]

    def _replies(self, words: list[str]) -> list[str]:
        from parlai.core.agents import create_agent
        from parlai.core.params import ParlaiParser

        parser = ParlaiParser(True, True)
        where = ["-t", self.old, "-dt", "valid", "--datapath", self.folder, *_QUIET]
        opt = parser.parse_args([*words, *where])
        agent = create_agent(opt, requireModelExists=True)
        said = []
        for number, line in enumerate(_LINES[:3]):
            clone, turn = agent.clone(), self._turn(line, number)
            turn["eval_labels"] = turn.pop("labels")
            clone.observe({**turn, "episode_done": True})
            said.append(str(clone.act().get("text")))
        return said

    def _same_tensors(self, after: dict[str, torch.Tensor], but: str) -> None:
        held = self._weights(self.base)
        # one tensor may have several names
        learns = held[but].data_ptr() if but else None
        for name, tensor in held.items():
            if tensor.data_ptr() != learns and not torch.equal(tensor, after[name]):
                raise _Differs(f"{name} moved, which was not to learn")


class _Differs(Exception):
    """A mode does something else than the agent itself."""


@contextlib.contextmanager
def _same_random_numbers() -> Iterator[None]:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(0)
        yield
