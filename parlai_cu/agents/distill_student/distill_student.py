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
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.utils.distributed import is_distributed, is_primary_worker

from parlai_cu.agents import base_agent, model_files, replay, updating_agent
from parlai_cu.agents.batches import ScoreRecorder, TaskRoles, examples, rows_of
from parlai_cu.agents.distill_student import flags
from parlai_cu.agents.distill_student.layers import LayerMatching
from parlai_cu.agents.distill_student.on_policy import sample_replies
from parlai_cu.agents.soft_label_loss import CachedRows, SoftRows, load_divergence
from parlai_cu.agents.teacher import Teacher, kind_of
from parlai_cu.agents.token_loss import can_skip_padding, token_loss
from parlai_cu.agents.updating_agent import UpdatingAgent
from parlai_cu.compat.fp16_padding import is_padded
from parlai_cu.distillation.soft_labels import SoftLabelLoss
from parlai_cu.distillation.student_init import copy_layers
from parlai_cu.errors import UsageError

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
        self._samples: Any = None
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
        self.kind = kind_of(student, f"--student-agent {opt['base_agent']}")
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
        flags.check_classes(opt, self.teachers)
        sample = replay.sample_file(opt)
        self.roles = TaskRoles(
            opt["task"].split(","),
            opt.get("update_task"),
            replay.task_of(sample) if sample else None,
        )
        self._log_roles(opt)
        divergence = load_divergence(opt["distill_loss"], opt["distill_beta"])
        self._soft_loss = SoftLabelLoss(divergence, opt["distill_temperature"])
        self._soft_label_loss: list[SoftRows] = []
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
        across = self.opt.get("distill_across_vocabularies")
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
            self._soft_label_loss = [
                self._make_soft_label_loss(teacher) for teacher in self.teachers
            ]

    def _make_soft_label_loss(self, teacher: Teacher) -> SoftRows:
        order = teacher.class_order(self.class_dict) if self.kind == "classifier" else None
        if not self.opt.get("teacher_cache"):
            return SoftRows(teacher, self._soft_loss, order)
        return CachedRows(teacher, self._soft_loss, order, self)

    # -- building and loading ----------------------------------------------------------------

    def build_model(self) -> Any:
        """The base's model; a new one starts from the teacher's layers (``--student-init``)."""
        model = super().build_model()
        if self._is_new and self.opt["student_init"] == "layers":
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
        if self.teachers and flags.matches_layers(self.opt):
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

    def train_step(self, batch: Any) -> Any:
        """One step of the base, whose loss is mixed with the teacher's soft labels on the way."""
        if self.fast_forward or self.recorder is None or batch.text_vec is None:
            return super().train_step(batch)
        if self.opt["distill_across_vocabularies"]:
            self._replace_labels(batch)
        elif self.opt["distill_on_policy"] and torch.rand(()) < self.opt["distill_on_policy"]:
            self._samples = sample_replies(self, batch)
        if self._matching:
            self._matching.record(True)
        try:
            return super().train_step(batch)
        finally:
            self._samples = None
            if self._matching:
                self._matching.record(False)

    def compute_loss(self, batch: Any, return_output: bool = False) -> Any:
        """The base's (generators); in training without what is spent on padding."""
        recorder = self.recorder
        if recorder is None or not recorder.active or return_output:
            return super().compute_loss(batch, return_output=return_output)
        chunked = self.opt["distill_chunked"]
        if can_skip_padding(self):
            return token_loss(self, batch, recorder, chunked)
        if chunked:
            raise UsageError(
                f"--distill-chunked: {self.opt['base_agent']} computes its loss in a way of its own"
            )
        return super().compute_loss(batch)

    def watches_scores(self) -> bool:
        """Whether there is a teacher to follow."""
        return bool(self.teachers)

    def whole_loss(self, loss: torch.Tensor) -> torch.Tensor:
        """
        Gold and soft labels of the batch, weighted.

        On examples that follow a teacher: ``distill_weight`` x soft + the rest x gold; on the
        others gold alone. Divided by what the base divides by: tokens, or examples.
        """
        if self.opt["distill_across_vocabularies"]:
            return loss
        recorder, batch = self.recorder, self.batch
        assert recorder is not None
        device, size = recorder.losses.device, batch.batchsize
        mask = self.row_mask()
        length = len(mask) // size
        count = int(mask.sum())
        gold = mask.float()
        soft: list[torch.Tensor] = []
        per_example = torch.zeros(size, device=device)
        follows = self._followed(batch)
        for number, rows in enumerate(self._soft_label_loss):
            which = [i for i, teacher in enumerate(follows) if teacher == number]
            if not which:
                continue
            chosen = torch.tensor(which, device=device)
            of_chosen = rows_of(chosen, length)
            of_chosen = of_chosen[mask[of_chosen]]
            gold[of_chosen] *= 1.0 - self.opt["distill_weight"]
            if self._samples is not None:
                soft.append(self._on_policy_loss(rows, chosen) * len(which) / size)
                continue
            values = rows.losses(batch, chosen, mask, recorder, self.candidates_scored)
            soft.append(values.sum() / max(count, 1))
            per_example.index_add_(0, of_chosen // length, values.detach())
        total = (recorder.losses * gold).sum() / max(count, 1)
        if soft:
            total = total + self.opt["distill_weight"] * torch.stack(soft).sum()
            tokens = mask.view(size, length).sum(dim=1)
            self.record_local_metric("distill_loss", AverageMetric.many(per_example, tokens))
        if self._matching and 0 in follows:
            total = total + self._matching_loss(follows, mask.view(size, length))
        return total

    def _followed(self, batch: Any) -> list[int | None]:
        """Which teacher each example follows, if any."""
        second = 1 if len(self.teachers) > 1 else None
        return [second if self.roles.is_update(seen) else 0 for seen in batch.observations]

    def _on_policy_loss(self, rows: SoftRows, chosen: torch.Tensor) -> torch.Tensor:
        """
        The mean soft loss on tokens that the student itself has drawn.

        Agarwal et al. 2024 (GKD, https://arxiv.org/abs/2306.13649), algorithm 1.
        """
        batch = examples(self.batch, chosen)
        batch.label_vec = self._samples[chosen]
        scores, *_ = self.model(*self._model_input(batch), ys=batch.label_vec)
        scores = scores[:, -batch.label_vec.size(1) :]
        mask = batch.label_vec.ne(self.NULL_IDX).flatten()
        seen = ScoreRecorder(torch.nn.Identity())
        seen.scores = scores.reshape(-1, scores.size(-1))
        everything = torch.arange(len(chosen), device=mask.device)
        values = rows.fresh_losses(batch, everything, mask, seen, None)
        return values.sum() / max(int(mask.sum()), 1)

    def _matching_loss(self, follows: list[int | None], mask: torch.Tensor) -> torch.Tensor:
        assert self._matching is not None
        which = torch.tensor([i for i, number in enumerate(follows) if number == 0])
        which = which.to(mask.device)
        hidden, attention = self._matching.losses(which, mask[which])
        self.global_metrics.add("distill_hidden", AverageMetric(hidden.item()))
        self.global_metrics.add("distill_attention", AverageMetric(attention.item()))
        weights = self.opt["distill_hidden_weight"], self.opt["distill_attention_weight"]
        return weights[0] * hidden + weights[1] * attention

    def _replace_labels(self, batch: Any) -> None:
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

    @property
    def _decoded(self) -> dict[int, dict[str, str]]:
        return self.__dict__.setdefault("_decoded_replies", {})

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
        for rows in getattr(self, "_soft_label_loss", []):
            rows.flush()
        path = path or self.opt.get("model_file")
        self._saves_checkpoint = bool(path) and str(path).endswith(".checkpoint")
        super().save(path)

    def file_opt(self) -> Opt:
        """The student's options as a ParlAI without us wants them."""
        return flags.plain_opt(super().file_opt())
