"""
What every agent of ours that trains has in common: interruption, divergence, whole saves.

``FrozenLayerAgent`` and ``DistillStudentAgent`` are this on top of the deployed model's agent
(:func:`parlai_cu.agents.base_agent.compose`).
"""

import contextlib
import os
import random
from collections.abc import Callable, Iterator
from typing import Any

import torch
from parlai.core.agents import Agent
from parlai.core.build_data import modelzoo_path
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.torch_generator_agent import TorchGeneratorAgent

from parlai_cu import checkpoints, plugin
from parlai_cu.agents import base_agent, model_files, replay
from parlai_cu.agents.batches import ScoreRecorder
from parlai_cu.agents.penalties import make_penalty
from parlai_cu.compat.fp16_padding import is_padded, padding_as
from parlai_cu.errors import DivergedError, ModelFileError, UsageError


class UpdatingAgent(Agent):
    """
    A base agent of ParlAI whose training can be interrupted, and whose saves are whole.

    Instances are of a composed class: the subclass on top of the base agent's.
    """

    base_class: type | None = None
    # what to say where nothing tells which agent is below
    no_base = "-m {name}: no base agent"

    def __new__(
        cls, opt: Opt | None = None, shared: dict[str, Any] | None = None
    ) -> "UpdatingAgent":
        """Compose with the base that the options name; a copy is of a class that is composed."""
        if cls.base_class is None and opt is not None:
            if not opt.get("base_agent"):
                raise UsageError(cls.no_base)
            cls = base_agent.compose(cls, base_agent.base_agent_class(opt["base_agent"]))
        return object.__new__(cls)

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        # kept by the training loop (compat/train_loop.py)
        self.resume_point: Any = None
        self.fast_forward = False
        self._penalty: Any = None
        # of the batch in training, where a loss of ours needs them
        self.recorder: ScoreRecorder | None = None
        self.batch: Any = None
        self.candidates_scored: Any = None
        with padding_as(self.starts_from(opt) if shared is None else None):
            super().__init__(opt, shared)

    def starts_from(self, opt: Opt) -> Opt | None:
        """The options of the model whose dictionary this one has; None where it is its own."""
        return None

    def watches_scores(self) -> bool:
        """Whether :meth:`whole_loss` needs the scores of each batch."""
        return False

    def build_criterion(self) -> Any:
        """The base's criterion, watched in training where a loss of ours needs it."""
        criterion = super().build_criterion()
        if not self.watches_scores():
            return criterion
        self.recorder = ScoreRecorder(criterion)
        return self.recorder

    def batchify(self, obs_batch: Any, *args: Any, **kwargs: Any) -> Any:
        """The base's batch, with the observations it is made of: they tell the task."""
        batch = super().batchify(obs_batch, *args, **kwargs)
        if batch.valid_indices is not None:
            batch.observations = [obs_batch[i] for i in batch.valid_indices]
        return batch

    def score_candidates(self, batch: Any, cand_vecs: Any, cand_encs: Any = None) -> Any:
        """The base's scores (rankers); a teacher will be asked about the same candidates."""
        if self.batch is not None:
            self.candidates_scored = cand_vecs
        return super().score_candidates(batch, cand_vecs, cand_encs=cand_encs)

    def whole_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """
        What is to be learnt from the batch, its scores being in ``self.recorder``.

        :param loss: scalar, the base's, on gold labels
        :return: scalar
        """
        return loss

    def train_step(self, batch: Any) -> Any:
        """One step of the base; none while a resumed run winds the data forward."""
        if self.fast_forward:
            return None
        if self._penalty is None and self.opt.get("penalty") in plugin.PENALTIES:
            self._penalty = make_penalty(self, self.bare_model())
        if self.recorder is None or batch.text_vec is None:
            return super().train_step(batch)
        self.recorder.active = True
        self.batch = batch
        try:
            return super().train_step(batch)
        finally:
            self.recorder.active = False
            self.recorder.clear()
            self.batch = self.candidates_scored = None

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """
        The base's backward pass, on a loss that is a number, penalty (``--penalty``) included.

        :raises DivergedError: before the gradients could reach a parameter
        """
        if self.recorder is not None and self.recorder.active and self.recorder.scores is not None:
            loss = self.whole_loss(loss)
        if self._penalty is not None:
            penalty = self._penalty(self.bare_model())
            self.global_metrics.add("penalty", AverageMetric(penalty.item()))
            loss = loss + replay.penalty_weight(self.opt) * penalty
        if not torch.isfinite(loss.detach()).all():
            raise DivergedError(
                f"the loss is {loss.detach().float().sum().item()} at update "
                f"{self._number_training_updates + 1}, with --learningrate "
                f"{self.opt['learningrate']}. Lower it, or set --gradient-clip; models saved "
                "before are whole"
            )
        super().backward(loss, **kwargs)

    def row_mask(self) -> torch.Tensor:
        """Which rows of scores are no padding: BoolTensor[rows]."""
        assert self.recorder is not None and self.recorder.targets is not None
        if isinstance(self, TorchGeneratorAgent):
            return self.recorder.targets.ne(self.NULL_IDX)
        return torch.ones_like(self.recorder.targets, dtype=torch.bool)

    def bare_model(self) -> torch.nn.Module:
        """The model without what wraps it for several devices."""
        wrappers = (torch.nn.parallel.DistributedDataParallel, torch.nn.DataParallel)
        bare: torch.nn.Module = getattr(self.model, "module", self.model)
        return bare if isinstance(self.model, wrappers) else self.model

    def save(self, path: str | None = None) -> None:
        """Save as the base does, all files or none."""
        path = path or self.opt.get("model_file")
        if not path:
            return
        if "://" in path:
            # remote storage through iopath: its handlers decide how writes become visible
            super().save(path)
            return
        with model_files.written_whole(path) as staged:
            super().save(staged)
            if os.path.isfile(f"{staged}.opt"):
                self.file_opt().save(f"{staged}.opt")

    def file_opt(self) -> Opt:
        """The options as they are written beside the weights."""
        own = Opt(self.opt)
        if own.get("fp16") and not own.get("force_fp16_tokens"):
            source = self.starts_from(own)
            # by "fp16" ParlAI would pad the dictionary of a model that has no padding
            own["fp16"] = source is None or is_padded(source)
        return own

    def is_resumed_from(self, path: str | None) -> bool:
        """Whether a file is this run's own model or checkpoint, not another one to start from."""
        model_file = self.opt.get("model_file")
        return model_files.same_file(path, model_file) or model_files.same_file(
            path, f"{model_file}.checkpoint"
        )


def is_training(opt: Opt) -> bool:
    """Whether an agent with these options is to learn."""
    datatype = opt.get("datatype") or ""
    return "train" in datatype and "evalmode" not in datatype and not opt.get("interactive_mode")


def model_path(opt: Opt, name: str) -> str | None:
    """The path in an option that may say ``zoo:...``."""
    path = opt.get(name)
    return modelzoo_path(opt.get("datapath"), path) if path else None


def add_flags_once_known(
    parser: ParlaiParser,
    partial: Opt,
    add: Callable[[Opt], bool],
    missing: str | None = None,
) -> None:
    """
    Add the flags of an agent that other flags name, as soon as those are read.

    ParlAI asks an agent once for its flags, before values of them are known, and then parses
    again.

    :param parser: gets the flags when it parses
    :param partial: what ParlAI has read of the command so far
    :param add: given what is known; adds flags and defaults, and returns whether it could
    :param missing: what to say, rather than that flags are unknown, when it never could; None
        where that is no error
    :raises UsageError: while parsing: with ``missing``
    """
    stock = parser.parse_known_args
    added = False

    def parse_known_args(args: Any = None, namespace: Any = None, nohelp: bool = False) -> Any:
        nonlocal added
        known, unknown = stock(args, namespace, nohelp=nohelp)
        if not added:
            added = add(Opt({**partial, **{k: v for k, v in vars(known).items() if v is not None}}))
            if added:
                known, unknown = stock(args, namespace, nohelp=nohelp)
        # `nohelp` marks ParlAI's first passes, in which flags may be unknown still
        if missing and unknown and not nohelp and not added:
            raise UsageError(f"{missing} (without it, {' '.join(unknown)} mean nothing)")
        return known, unknown

    parser.parse_known_args = parse_known_args


def training_defaults(parser: ParlaiParser, partial: Opt, epochs: int) -> None:
    """
    What a run gets where the user says nothing: a seed that is recorded, and an end.

    :param parser: its defaults are set
    :param partial: what ParlAI has read of the command so far
    :param epochs: where no other limit is given
    """
    _record_seed(parser, model_files.find_opt(model_path(partial, "model_file")))
    _limit_training(parser, partial, epochs)


@contextlib.contextmanager
def misfit_told(path: str, what: Callable[[str], str]) -> Iterator[None]:
    """
    Within, a model file is loaded; that it is damaged, or of another model, is told as ours.

    :param path: the file
    :param what: what to say of weights of another model, given what torch says
    :raises ModelFileError: when it is one or the other
    """
    with checkpoints.translate_errors(path):
        try:
            yield
        except RuntimeError as error:
            if "size mismatch" not in str(error) and "state_dict" not in str(error):
                raise
            raise ModelFileError(what(str(error))) from error


def _limit_training(parser: ParlaiParser, partial: Opt, epochs: int) -> None:
    """Without any limit ParlAI trains for ever: give ``--num-epochs`` a default."""
    limits = ("num_epochs", "max_train_time", "max_train_steps")
    validations = ("secs", "steps", "epochs")
    limits += tuple(f"validation_every_n_{unit}" for unit in validations)  # patience ends these
    if "num_epochs" not in {action.dest for action in parser._actions}:
        return
    if all((partial.get(limit) or -1) <= 0 for limit in limits):
        parser.set_defaults(num_epochs=epochs)


def _record_seed(parser: ParlaiParser, existing: Opt | None) -> None:
    """
    A run without ``--seed`` gets one drawn and recorded, so that it can be resumed exactly.

    :param parser: its default is set
    :param existing: the options of the model at ``-mf``, if there is one
    """
    if "seed" not in {action.dest for action in parser._actions}:
        return
    seed = (existing or {}).get("seed")
    if seed is None:
        seed = parser.get_default("seed")
    parser.set_defaults(seed=random.SystemRandom().randrange(2**31) if seed is None else seed)
