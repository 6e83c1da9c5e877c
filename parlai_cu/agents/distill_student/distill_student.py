"""
``-m distill_student``: a smaller student learns what the deployed teacher knows, and the update.

::

    parlai train_model -m distill_student --teacher-model deployed/model \\
        --n-encoder-layers 1 --n-decoder-layers 1 -t OLD,UPDATE -mf student/model

The student is the teacher's agent with other sizes, or another agent with the same dictionary. On
the original data it follows the teacher's soft labels, on the update the gold labels. The result
is an ordinary model of that agent: no teacher, and nothing of ours is needed to serve it.
"""

import os
from typing import Any

import parlai.utils.logging as logging
import torch
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.utils.distributed import is_distributed, is_primary_worker

from parlai_cu.agents import base_agent, kinds, model_files, replay, updating_agent
from parlai_cu.agents.batches import TaskRoles
from parlai_cu.agents.distill_student import flags
from parlai_cu.agents.distill_student.layers import LayerMatching
from parlai_cu.agents.soft_label_loss import CachedRows, SoftRows, load_divergence
from parlai_cu.agents.teacher import Teacher
from parlai_cu.agents.token_loss import can_skip_padding
from parlai_cu.agents.training_step.layer_term import LayerTerm
from parlai_cu.agents.training_step.on_policy_term import OnPolicyTerm
from parlai_cu.agents.training_step.result import LossTerm
from parlai_cu.agents.training_step.soft_label_term import SoftLabelTerm
from parlai_cu.agents.updating_agent import UpdatingAgent
from parlai_cu.distillation.soft_labels import SoftLabelLoss
from parlai_cu.distillation.student_init import copy_layers
from parlai_cu.errors import UsageError
from parlai_cu.host.fp16_padding import is_padded
from parlai_cu.parlai_types import Batch

# what we add to a model file, beside what its base saves
RECORD = "distill_student"
DEFAULT_EPOCHS = 10
_NO_BASE = "-m distill_student needs --teacher-model MODEL (the deployed ParlAI model)"


class DistillStudentAgent(UpdatingAgent):
    """
    The student's own agent, which in training learns from a teacher as well.

    Instances are of a composed class: this one on top of the student's
    (:func:`parlai_cu.agents.base_agent.compose`). Outside of training it adds nothing to it.

    :raises UsageError: when flags do not go together, or teacher and student do not
    """

    no_base = _NO_BASE

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Our flags, then those of the student's agent with the teacher's values as defaults."""
        return flags.add_flags(parser, partial_opt or Opt(), _NO_BASE, DEFAULT_EPOCHS)

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        self.teachers: list[Teacher] = []
        self._matching: LayerMatching | None = None
        self._is_new = False
        self._loaded: dict[str, Any] = {}
        self._soft_rows: list[SoftRows] = []
        self._decoded: dict[int, dict[str, str]] = {}
        self._saves_checkpoint = False
        if shared is None and updating_agent.is_training(opt):
            self._check_before_work(opt)
        super().__init__(opt, shared)
        if self.teachers:
            self._check_student()
            if self.opt.get("model_file"):
                self.opt["dict_file"] = self.opt["model_file"] + ".dict"

    # -- before the work ---------------------------------------------------------------------

    def starts_from(self, opt: Opt) -> Opt | None:
        """The teacher's options: its dictionary is the student's."""
        if not self.teachers or opt.get("distill_across_vocabularies"):
            return None
        return self.teachers[0].opt

    def _check_before_work(self, opt: Opt) -> None:
        if not opt.get("teacher_model"):
            raise UsageError(_NO_BASE)
        flags.check(opt)
        student = base_agent.base_agent_class(opt["base_agent"], "--student-agent")
        self.kind = kinds.check_soft_labels(student, f"--student-agent {opt['base_agent']}")
        self.teachers = [Teacher(opt["teacher_model"], opt)]
        if opt.get("update_teacher"):
            self.teachers.append(Teacher(opt["update_teacher"], opt, "--update-teacher"))
        for teacher in self.teachers:
            if model_files.same_file(opt.get("model_file"), teacher.model_file):
                raise UsageError(
                    f"-mf {opt['model_file']} is the teacher itself ({teacher.flag}), which is "
                    "never written. Give the student a path of its own"
                )
            if teacher.kind != self.kind:
                raise UsageError(
                    f"{teacher.flag} {teacher.model_file} is a {teacher.kind} "
                    f"({teacher.agent_name}), the student a {self.kind} ({opt['base_agent']}); "
                    "they predict different things"
                )
        flags.check_kind(opt, self.kind)
        flags.settle_classes(opt, student, self.teachers)
        sample = replay.sample_file(opt)
        self.roles = TaskRoles(
            opt["task"].split(","),
            opt.get("update_task"),
            replay.task_of(sample) if sample else None,
        )
        self._log_roles(opt)
        divergence = load_divergence(opt["distill_loss"], opt["distill_beta"])
        self._soft_loss = SoftLabelLoss(divergence, opt["distill_temperature"])
        flags.resolve_student(opt)
        if is_padded(self.teachers[0].opt) and not opt.get("distill_across_vocabularies"):
            opt["force_fp16_tokens"] = True
        self._is_new = not any(
            os.path.isfile(path)
            for path in (opt.get("model_file"), opt.get("init_model"))
            if path is not None
        )

    def _log_roles(self, opt: Opt) -> None:
        if not is_primary_worker():
            return
        roles, second = self.roles, bool(opt.get("update_teacher"))
        gold = "the update teacher" if second else "the gold labels alone"
        if roles.original:
            logging.info(f"original data, follows the teacher: {', '.join(roles.original)}")
        if roles.update:
            logging.info(f"update, follows {gold}: {', '.join(roles.update)}")
        if not roles.original and not second:
            logging.warning(
                "no original data in -t: nothing follows the teacher, and the student will know "
                "the update alone. Name it before the update (-t OLD,UPDATE). Where there is none "
                "left, let the teacher write pseudo-examples: parlai self_chat -mf "
                f"{opt['teacher_model']} --save-format conversations --outfile pseudo.jsonl, then "
                "-t jsonfile:jsonfile_datapath=pseudo.jsonl,UPDATE"
            )

    def _check_student(self) -> None:
        across = self.own.get("distill_across_vocabularies")
        for teacher in self.teachers:
            if not across:
                teacher.check_dictionary(self.dict, self.opt.get("dict_file") or "")
        sizes = [sum(p.numel() for p in self.bare_model().parameters())]
        sizes += [teacher.parameters() for teacher in self.teachers]
        if is_primary_worker():
            logging.info(
                f"student {sizes[0]:,d} parameters, teacher {sizes[1]:,d} "
                f"({sizes[0] / sizes[1]:.0%})"
            )
            if sizes[0] > sizes[1]:
                logging.warning(
                    f"the student is larger than the teacher ({sizes[0]:,d} > {sizes[1]:,d} "
                    "parameters): it costs more in service and can hardly know more. Give it fewer "
                    "layers or smaller sizes, or use -m frozen_layer"
                )
        if not across:
            self._soft_rows = [self._rows_of(teacher) for teacher in self.teachers]

    def _rows_of(self, teacher: Teacher) -> SoftRows:
        classes = self.class_dict if self.kind == "classifier" else None
        if not self.own.get("teacher_cache"):
            return SoftRows(teacher, self._soft_loss, classes)
        return CachedRows(teacher, self._soft_loss, classes, self)

    # -- building and loading ----------------------------------------------------------------

    def build_model(self) -> Any:
        """The base's model; a new one starts from the teacher's layers (``--student-init``)."""
        model = super().build_model()
        if self._is_new and self.own["student_init"] == "layers":
            state, copied = copy_layers(
                model.state_dict(), self.teachers[0].agent.model.state_dict()
            )
            model.load_state_dict(state)
            share = sum(state[name].numel() for name in copied) / sum(
                tensor.numel() for tensor in state.values()
            )
            if is_primary_worker():
                logging.info(
                    f"{len(copied)} of {len(state)} tensors ({share:.0%} of the numbers) start "
                    "as in the teacher"
                )
        return model

    def load(self, path: str) -> dict[str, Any]:
        """Load as the base does; damage is named, and a run goes on with its own teacher only."""

        def misfit(error: str) -> str:
            return f"{path} does not fit the student's flags: {error.splitlines()[-1].strip()}"

        with updating_agent.misfit_told(path, misfit):
            states = super().load(path)
        if self.teachers and self.is_resumed_from(path):
            record = states.get(RECORD)
            if record is None:
                raise UsageError(
                    f"-mf {self.opt['model_file']} is a finished {self.opt['base_agent']} model "
                    "that was not distilled; choose another path for the student. To start from "
                    f"it: --student-init {path}"
                )
            hashes = [teacher.sha256 for teacher in self.teachers]
            if record["teachers"] != hashes:
                raise UsageError(
                    f"-mf {self.opt['model_file']} was begun with the teacher "
                    f"{record['teacher_model']}, which {self.teachers[0].model_file} is not; name "
                    "that one, or choose another -mf"
                )
            self._loaded = record
        return states

    def init_optim(self, params: Any, *args: Any, **kwargs: Any) -> bool:
        """The base's optimizer, which also trains projections (``--distill-hidden-weight``)."""
        params = list(params)
        if self.teachers and flags.matches_layers(self.own):
            self._matching = LayerMatching(self.bare_model(), self.teachers[0].agent.model)
            projections = self._matching.hidden_loss
            if "projections" in self._loaded:
                projections.load_state_dict(self._loaded["projections"])
            device = next(self.model.parameters()).device
            params += list(projections.to(device).parameters())
        self.resume_point = self._loaded.get("resume_point")
        self._loaded = {}
        return super().init_optim(params, *args, **kwargs)

    # -- training ----------------------------------------------------------------------------

    def name_tasks(self, ids: list[str]) -> None:
        """
        Learn by which ``id`` the messages of each task come (called by the training loop).

        :param ids: in the order of ``-t``
        """
        if self.teachers:
            self.roles.name_teachers(ids)

    def train_step(self, batch: Batch) -> Any:
        """One step of the base, whose loss is mixed with the teacher's soft labels on the way."""
        if self.teachers and self.own["distill_across_vocabularies"] and not self.fast_forward:
            self._replace_labels(batch)
        return super().train_step(batch)

    def make_terms(self) -> list[LossTerm]:
        """The teachers' soft labels, hidden states and attention, and what all agents have."""
        terms = super().make_terms()
        if not self._soft_rows:
            return terms
        settings: dict[str, Any] = dict(
            name="--distill-weight",
            teachers=self._soft_rows,
            follows=self._followed,
            weight=self.own["distill_weight"],
            metric="distill_loss",
            by_example=True,
        )
        if self.own["distill_on_policy"]:
            soft: LossTerm = OnPolicyTerm(self, self.own["distill_on_policy"], **settings)
        else:
            soft = SoftLabelTerm(**settings)
        layers = self.own["distill_hidden_weight"], self.own["distill_attention_weight"]
        matched: list[LossTerm] = []
        if self._matching:
            matched = [LayerTerm(self._matching, self._followed, *layers)]
        return [soft, *matched, *terms]

    def gold_weights(self, batch: Batch) -> torch.Tensor | None:
        """On examples that follow a teacher the gold labels have what its soft labels leave."""
        if not self._soft_rows:
            return None
        share = 1.0 - self.own["distill_weight"]
        weights = [1.0 if number is None else share for number in self._followed(batch)]
        return torch.tensor(weights, device=next(self.model.parameters()).device)

    def may_skip_padding(self) -> bool:
        """
        Where there is a teacher.

        :raises UsageError: when logits of a few rows at a time were asked for, and cannot be had
        """
        if not self.teachers:
            return False
        if self.own["distill_chunked"] and not (
            can_skip_padding(self) and self._skips_padding.holds
        ):
            raise UsageError(
                f"--distill-chunked: {self.opt['base_agent']} computes its loss in a way of its own"
            )
        return True

    def _followed(self, batch: Batch) -> list[int | None]:
        """Which teacher each example follows, if any."""
        second = 1 if len(self.teachers) > 1 else None
        return [second if self.roles.is_update(seen) else 0 for seen in batch.observations]

    def _replace_labels(self, batch: Batch) -> None:
        """Put the teacher's decoded replies in the place of the labels (Kim and Rush 2016)."""
        follows = self._followed(batch)
        for number, teacher in enumerate(self.teachers):
            which = [i for i, followed in enumerate(follows) if followed == number]
            texts = [batch.observations[i].get("full_text", "") for i in which]
            known = self._decoded.setdefault(number, {})
            new = sorted({text for text in texts if text not in known})
            if new:
                known.update(zip(new, teacher.replies(new)))
            for i, text in zip(which, texts):
                batch.labels[i] = known[text] or batch.labels[i]
        vectors = [
            self._vectorize_text(text, False, True, self.label_truncate, False)
            for text in batch.labels
        ]
        padded, _ = self._pad_tensor(vectors, is_label=True)
        batch.label_vec = padded.to(batch.label_vec.device)

    def update_params(self) -> None:
        """The base's step; projections, which no wrapper keeps equal, are averaged first."""
        if self._matching and is_distributed() and self._number_grad_accum == 0:
            for parameter in self._matching.hidden_loss.parameters():
                if parameter.grad is None:  # no example of this process followed the teacher
                    parameter.grad = torch.zeros_like(parameter)
                torch.distributed.all_reduce(parameter.grad)
                parameter.grad /= torch.distributed.get_world_size()
        super().update_params()

    # -- saving ------------------------------------------------------------------------------

    def state_dict(self) -> dict[str, Any]:
        """The base's states and a record of the run; projections are in checkpoints only."""
        states = super().state_dict()
        if not self.teachers or "model" not in states:
            return states
        states[RECORD] = {
            "format": 1,
            "teacher_model": self.teachers[0].model_file,
            "teachers": [teacher.sha256 for teacher in self.teachers],
            "resume_point": self.resume_point,
        }
        if self._matching:
            if self._saves_checkpoint:
                states[RECORD]["projections"] = self._matching.hidden_loss.state_dict()
            else:
                # its moments of the projections
                states.pop("optimizer", None)
        return states

    def save(self, path: str | None = None) -> None:
        """Save an ordinary model of the student's agent."""
        path = path or self.opt.get("model_file")
        self._saves_checkpoint = bool(path) and str(path).endswith(".checkpoint")
        super().save(path)

    def file_opt(self) -> Opt:
        """The student's options as a ParlAI without us wants them."""
        return flags.plain_opt(super().file_opt())
