"""
What every agent of ours that trains has in common: interruption, divergence, whole saves.

``FrozenLayerAgent`` and ``DistillStudentAgent`` are this on top of the deployed model's agent
(:func:`parlai_cu.agents.base_agent.compose`).
"""

import contextlib
import contextvars
import os
import random
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import parlai.utils.logging as logging
import torch
from parlai.core.agents import Agent
from parlai.core.build_data import modelzoo_path
from parlai.core.metrics import SumMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.utils.distributed import is_distributed

from parlai_cu import checkpoints
from parlai_cu.agents import base_agent, model_files, own_flags, replay
from parlai_cu.agents.penalties import kind_of_penalty, make_penalty
from parlai_cu.agents.token_loss import can_skip_padding, token_loss
from parlai_cu.agents.training_step.optimizer import parameter_versions, settle_before_steps
from parlai_cu.agents.training_step.parameter_term import ParameterTerm
from parlai_cu.agents.training_step.proof import Proof
from parlai_cu.agents.training_step.result import LossTerm
from parlai_cu.agents.training_step.step import TrainingStep
from parlai_cu.errors import DivergedError, ModelFileError, UsageError
from parlai_cu.host.fp16_padding import is_padded, padding_as
from parlai_cu.parlai_types import Act, Batch
from parlai_cu.retention.base import SOFT_LABELS

# whether ParlAI's training loop is making its agent
_IN_LOOP: contextvars.ContextVar[bool] = contextvars.ContextVar("in_loop", default=False)
# batches from which nothing could be learnt, and none from which something could: it is an error
NOTHING_LEARNT = 100


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
        if opt is not None and shared is None:
            own_flags.as_we_read(opt)
        return object.__new__(cls)

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        # kept by the training loop (host/train_loop.py)
        self.resume_point: Any = None
        self.fast_forward = False
        # of the batch in training
        self.step: TrainingStep | None = None
        self._terms: list[LossTerm] | None = None
        self._skips_padding = Proof("skipping padding at the output layer")
        self._batches = {"learnt": 0, "reaching nothing": 0}
        starts_from = self.starts_from(opt) if shared is None else None
        if shared is None:
            own_flags.as_the_base_reads(opt)
        self._name, base = opt.get("model"), opt["base_agent"]
        # a base that asks what it is called is told its own name
        opt["model"] = base
        try:
            with padding_as(starts_from):
                super().__init__(opt, shared)
        finally:
            opt["model"] = self._name
        self.opt = Opt({**self.opt, "model": base}) if self.opt is opt else self.opt

    @property
    def own(self) -> Opt:
        """The options as we read them: a base may have flags that are called like ours."""
        return own_flags.of_ours(self.opt)

    def starts_from(self, opt: Opt) -> Opt | None:
        """
        The options of the model whose dictionary this one has; None where it is its own.

        Those of the deployed model, or of the candidate that a run goes on with.
        """
        from parlai_cu.agents import deployed_model  # it is built on this module

        return deployed_model.find(opt) or model_files.find_opt(opt.get("model_file"))

    # -- what is learnt beside the base's own loss -------------------------------------------

    def make_terms(self) -> list[LossTerm]:
        """What joins the base's loss; asked once, before the first step."""
        name = self.own.get("penalty")
        if not name or kind_of_penalty(name).needs == SOFT_LABELS:
            return []
        penalty = make_penalty(self, self.bare_model())
        weight = replay.penalty_weight(self.own)
        return [ParameterTerm(f"--penalty {name}", penalty, self.bare_model, weight)]

    def gold_weights(self, batch: Batch) -> torch.Tensor | None:
        """
        How much the gold labels of each example count.

        :param batch: in training
        :return: FloatTensor[bsz]; None where they count as the base has it
        """
        return None

    def may_skip_padding(self) -> bool:
        """Whether the output layer is to be run on tokens only, where that gives the same."""
        return True

    # -- the step ----------------------------------------------------------------------------

    def batchify(self, obs_batch: Sequence[Act], *args: Any, **kwargs: Any) -> Any:
        """The base's batch, with the observations it is made of: they tell the task."""
        batch = super().batchify(obs_batch, *args, **kwargs)
        if batch.valid_indices is not None:
            batch.observations = [obs_batch[i] for i in batch.valid_indices]
        return batch

    def train_step(self, batch: Batch) -> Any:
        """One step of the base; none while a resumed run winds the data forward."""
        if self.fast_forward:
            return None
        if self._terms is None:
            self._terms = self.make_terms()
        if not batch.batchsize:
            return super().train_step(batch)
        gold = self.gold_weights(batch) if self._terms else None
        step = self.step = TrainingStep(self, batch, self._terms, gold)
        # only to be compared where a term is left over
        before = parameter_versions(self.bare_model()) if step.pending else None
        output = None
        try:
            with step.watching():
                output = super().train_step(batch)
        except RuntimeError as error:
            if "does not require grad" not in str(error):
                raise
            step.reaches_nothing = True
        finally:
            self.step = None
        self._count(step)
        if step.pending and parameter_versions(self.bare_model()) != before:
            asked = ", ".join(term.name for term in step.pending)
            raise UsageError(
                f"{asked}: the training step of {self.opt['base_agent']} neither calls backward "
                "nor uses its own optimizer, so that nothing can be added to what it learns from; "
                "leave the flag away"
            )
        self._report(step)
        return output

    def _report(self, step: TrainingStep) -> None:
        for name, metric in (step.result.metrics if step.result else {}).items():
            if isinstance(metric, list):
                self.record_local_metric(name, metric)
            else:
                self.global_metrics.add(name, metric)

    def _count(self, step: TrainingStep) -> None:
        self._batches["reaching nothing" if step.reaches_nothing else "learnt"] += 1
        if not step.reaches_nothing:
            return
        self.global_metrics.add("batches_reaching_nothing", SumMetric(1))
        if self._batches["reaching nothing"] == 1:
            logging.info(
                "no parameter that learns has a part in the loss of a batch: no step is taken on "
                "such batches. They are counted as batches_reaching_nothing"
            )
        if not self._batches["learnt"] and self._batches["reaching nothing"] >= NOTHING_LEARNT:
            raise self._nothing_learnt()

    def _nothing_learnt(self) -> UsageError:
        return UsageError(
            f"no parameter that learns had a part in the loss of any of the first "
            f"{self._batches['reaching nothing']} batches: nothing can be learnt from this data. "
            "Let others learn (--tune)"
        )

    def training_is_done(self) -> None:
        """
        The last step was taken (called by the training loop).

        :raises UsageError: when there was none from which anything could be learnt
        """
        if self._batches["reaching nothing"] and not self._batches["learnt"]:
            raise self._nothing_learnt()

    def compute_loss(self, batch: Batch, return_output: bool = False) -> Any:
        """The base's (generators); in training without what is spent on padding."""
        step = self.step
        plain = super().compute_loss
        if (
            step is None
            or step.result is not None
            or return_output
            or batch is not step.batch
            or batch.label_vec is None
            or not self.may_skip_padding()
            or not can_skip_padding(self)
        ):
            return plain(batch, return_output=return_output)
        chunked = bool(self.own.get("distill_chunked"))
        with step.paused():
            tried = self._skips_padding.left
            proven = self._skips_padding.try_batch(
                self,
                lambda: plain(batch),
                lambda: token_loss(self, batch, chunked=chunked)[0],
                half=self.fp16 or torch.is_autocast_enabled("cuda" if self.use_cuda else "cpu"),
            )
            if self._skips_padding.left != tried:
                step.start_anew()
            if proven:
                gold = None if step.gold is None else step.gold.weights
                loss, step.result = token_loss(self, batch, gold, chunked)
                return loss
        return plain(batch)

    def score_candidates(self, batch: Batch, cand_vecs: object, cand_encs: object = None) -> Any:
        """The base's scores (rankers), observed in training."""
        scores = super().score_candidates(batch, cand_vecs, cand_encs=cand_encs)
        if self.step is None or batch is not self.step.batch:
            return scores
        return self.step.see_ranking(scores, cand_vecs)

    def backward(self, loss: torch.Tensor, **kwargs: Any) -> None:
        """
        The base's backward pass, on a loss that is a number, with what else is to be learnt.

        :raises DivergedError: before the gradients could reach a parameter
        """
        if self.step is not None:
            loss = self.step.add_to(loss)
            if self.step.reaches_nothing:
                if not is_distributed():
                    return
                # the other processes wait for this one's gradients
                loss = loss + 0 * sum(p.sum() for p in self.model.parameters() if p.requires_grad)
        if not torch.isfinite(loss.detach()).all():
            raise DivergedError(
                f"the loss is {loss.detach().float().sum().item()} at update "
                f"{self._number_training_updates + 1}, with --learningrate "
                f"{self.opt['learningrate']}. Lower it, or set --gradient-clip; models saved "
                "before are whole"
            )
        super().backward(loss, **kwargs)

    def init_optim(self, params: object, *args: Any, **kwargs: Any) -> bool:
        """The base's optimizer, before whose steps what is missing in the gradients is added."""
        reset = super().init_optim(params, *args, **kwargs)
        settle_before_steps(self)
        return reset

    def update_params(self) -> None:
        """The base's update, on gradients that are complete; none where there are none."""
        if self.step is not None:
            if self.step.reaches_nothing and not is_distributed():
                return
            self.step.settle()
        super().update_params()

    def _fake_forward_backward_pass(self) -> None:
        """The base's, after a batch that did not fit the memory: terms are not for it."""
        self.step = None
        super()._fake_forward_backward_pass()

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
        own = Opt({**self.opt, "model": self._name})
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


@contextlib.contextmanager
def training_loop() -> Iterator[None]:
    """Within, ParlAI's training loop makes its agent."""
    before = _IN_LOOP.set(True)
    try:
        yield
    finally:
        _IN_LOOP.reset(before)


def trains(opt: Opt) -> bool:
    """
    Whether an agent that serves once it has learnt is to learn.

    Some commands read training data to look at it, and a file's options say "train" for ever.
    """
    if not is_training(opt):
        return False
    new = bool(opt.get("model_file")) and not os.path.isfile(opt["model_file"])
    return _IN_LOOP.get() or new


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

    def parse_known_args(
        args: Sequence[str] | None = None, namespace: object = None, nohelp: bool = False
    ) -> Any:
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
