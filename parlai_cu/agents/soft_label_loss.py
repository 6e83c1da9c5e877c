"""The soft-label loss on some examples of a batch, from the teacher or from its cache."""

import contextlib
import inspect
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import parlai.utils.logging as logging
import torch
from parlai.core.torch_generator_agent import TorchGeneratorAgent

from parlai_cu import named, plugin
from parlai_cu.agents import base_agent
from parlai_cu.agents.batches import examples, rows_of
from parlai_cu.agents.teacher import Teacher
from parlai_cu.agents.training_step.result import StepResult
from parlai_cu.distillation.base import Divergence
from parlai_cu.distillation.chunked import chunked_rows
from parlai_cu.distillation.soft_labels import Abridged, SoftLabelLoss, abridge
from parlai_cu.distillation.teacher_cache import Entry, TeacherCache, digest
from parlai_cu.errors import UsageError
from parlai_cu.files import file_hash
from parlai_cu.parlai_types import Batch, ModelAgent


def load_divergence(name: str, beta: float) -> Divergence:
    """The divergence that ``--distill-loss`` names; ``beta`` is for those that have one."""
    kind = named.load(plugin.DIVERGENCES[name], "--distill-loss")
    divergence: Divergence = kind(beta) if inspect.signature(kind).parameters else kind()
    return divergence


class SoftRows:
    """
    The loss of one teacher's examples.

    :param teacher: asked about each of them
    :param loss: on rows of logits
    :param classes: of a classifying student, and their columns. Of those that the teacher does not
        know it says nothing
    """

    def __init__(self, teacher: Teacher, loss: SoftLabelLoss, classes: dict[str, int] | None):
        self.teacher = teacher
        self.loss = loss
        self.columns = None if classes is None else teacher.columns_of(classes)
        self._by_position: bool | None = None

    def losses(self, batch: Batch, chosen: torch.Tensor, result: StepResult) -> torch.Tensor:
        """
        :param batch: the student's
        :param chosen: LongTensor[examples chosen], indices of those that follow this teacher
        :param result: holds the student's scores, [rows, choices]
        :return: FloatTensor[rows of ``chosen`` that are no padding], the loss of each, in order
        :raises UsageError: when the teacher does not score what the student does
        """
        rows = rows_of(chosen, len(result.mask) // batch.batchsize)
        kept, candidates = result.mask[rows], result.candidates
        assert result.scores is not None
        if result.output is not None and self._ends_by_position(batch, chosen):
            with hidden_only(self.teacher.agent.model) as output:
                hidden = self.teacher_logits(batch, chosen, candidates)[kept]
            return _chunked(
                result, rows[kept], lambda own, theirs: self.loss(own, output(theirs)), hidden
            )
        logits = self.teacher_logits(batch, chosen, candidates)
        if result.output is not None:
            return _chunked(result, rows[kept], self.loss, logits[kept])
        student, log_probs = self._compared(result, rows[kept])
        if logits.size(0) != len(rows) or logits.size(1) != student.size(1):
            raise UsageError(
                f"{self.teacher.flag} {self.teacher.model_file} ({self.teacher.agent_name}) gives "
                f"{list(logits.shape)} scores where the student gives "
                f"{[len(rows), student.size(1)]}; they cannot be compared row by row"
            )
        return self.loss(student, logits[kept], log_probs)

    def _compared(self, result: StepResult, which: torch.Tensor) -> Any:
        """The student's scores of some rows, of the choices that the teacher has as well."""
        student, log_probs = _rows(result, which)
        if self.columns is None or len(self.columns.own) == student.size(1):
            return student, log_probs
        return student[:, self.columns.own.to(student.device)], None

    def _ends_by_position(self, batch: Batch, chosen: torch.Tensor) -> bool:
        """Whether the teacher's output layer works row by row, tried on its first examples."""
        if self._by_position is None:
            logits = self.teacher_logits(batch, chosen, None)
            try:
                with hidden_only(self.teacher.agent.model) as output:
                    hidden = self.teacher_logits(batch, chosen, None)
                difference = (output(hidden) - logits).float().clamp(-1e4, 1e4).norm()
                size = logits.float().clamp(-1e4, 1e4).norm()
                self._by_position = bool(difference <= 1e-2 * size)
            except (RuntimeError, IndexError, ValueError):  # it wants whole replies
                self._by_position = False
            if not self._by_position:
                logging.info("--distill-chunked: the teacher's logits are made whole all the same")
        return self._by_position

    def teacher_logits(
        self, batch: Batch, chosen: torch.Tensor, candidates: torch.Tensor | None
    ) -> torch.Tensor:
        """
        The teacher's rows of some examples.

        :param batch: the student's
        :param chosen: LongTensor[examples chosen]
        :param candidates: rankers' candidates, LongTensor[candidates, length] or [bsz, candidates,
            length]
        :return: FloatTensor[rows of ``chosen``, choices]
        """
        if candidates is not None and candidates.dim() == 3:
            candidates = candidates[chosen]
        logits = self.teacher.logits(examples(batch, chosen), candidates)
        return logits if self.columns is None else logits[:, self.columns.theirs.to(logits.device)]


class CachedRows(SoftRows):
    """
    The same, with the teacher's distributions abridged and kept on disk.

    :param teacher: asked about examples that are not on disk
    :param loss: on rows of logits
    :param classes: see :class:`SoftRows`
    :param agent: the student
    :raises UsageError: when its teacher reads more than the text
    """

    def __init__(
        self,
        teacher: Teacher,
        loss: SoftLabelLoss,
        classes: dict[str, int] | None,
        agent: ModelAgent,
    ):
        super().__init__(teacher, loss, classes)
        opt = agent.own
        if teacher.kind == "generator" and (
            teacher.base._model_input is not TorchGeneratorAgent._model_input
        ):
            raise UsageError(
                f"--teacher-cache: {teacher.agent_name} reads more than the dialogue's text, so "
                "its distributions cannot be found by the text; leave it away"
            )
        self.sample = opt["teacher_cache_method"] == "sample"
        self._null = agent.NULL_IDX
        k, choices = opt["teacher_cache_k"], len(agent.dict)
        if self.columns is not None:
            choices = len(self.columns.own)
        if teacher.kind != "ranker":
            k = min(k, choices)
        brings = base_agent.brings_its_dictionary(teacher.base, teacher.opt)
        names = sorted(base_agent.dictionary_options(teacher.base) & set(teacher.opt))
        identity = {
            "teacher": teacher.sha256,
            "dictionary": "" if brings else file_hash(teacher.dict_file),
            "tokenizer": str({name: teacher.opt[name] for name in names if name != "dict_file"}),
            "agent": teacher.agent_name,
            "classes": str(sorted(agent.class_dict.items())) if classes is not None else "",
            "temperature": repr(loss.temperature),
            "method": opt["teacher_cache_method"],
        }
        self.cache = TeacherCache(
            opt["teacher_cache"],
            identity,
            k=k,
            vocabulary=max(choices, 2**16 + 1) if teacher.kind == "ranker" else choices,
            max_bytes=int(opt["teacher_cache_size"] * 1e9),
            warn=logging.warning,
        )
        logging.info(
            f"teacher cache {self.cache.folder}: {len(self.cache):,d} examples, "
            f"{self.cache.bytes_per_row} bytes a token"
        )

    def losses(self, batch: Batch, chosen: torch.Tensor, result: StepResult) -> torch.Tensor:
        """As :meth:`SoftRows.losses`; the teacher is asked about what the cache does not hold."""
        mask, candidates = result.mask, result.candidates
        length = len(mask) // batch.batchsize
        keys = self._keys(batch, chosen.tolist(), candidates)
        entries = [self.cache.get(key) for key in keys]
        missing = [i for i, entry in enumerate(entries) if entry is None]
        if missing:
            asked = chosen[torch.tensor(missing, device=chosen.device)]
            logits = self.teacher_logits(batch, asked, candidates)
            kept = mask[rows_of(asked, length)]
            short = abridge(logits[kept], self.cache.k, self.loss.temperature, self.sample)
            ends = np.cumsum(kept.view(len(missing), length).sum(dim=1).tolist())
            choices, log_probs = self._padded(short)
            for i, start, end in zip(missing, [0, *ends[:-1].tolist()], ends.tolist()):
                self.cache.put(keys[i], choices[start:end], log_probs[start:end])
                entries[i] = Entry(choices[start:end], log_probs[start:end])
        device = mask.device
        known = [entry for entry in entries if entry is not None]
        choices = np.concatenate([entry.choices for entry in known]).astype(np.int64)
        log_probs = np.concatenate([entry.log_probs for entry in known]).astype(np.float32)
        teacher = Abridged(
            torch.from_numpy(choices).to(device),
            torch.from_numpy(log_probs).to(device),
            self.sample,
        )
        rows = rows_of(chosen, length)
        rows = rows[mask[rows]]
        if result.output is not None:
            return _chunked(
                result,
                rows,
                lambda own, *parts: self.loss.abridged(own, Abridged(*parts, self.sample)),
                teacher.choices,
                teacher.log_probs,
            )
        student, own = self._compared(result, rows)
        return self.loss.abridged(student, teacher, own)

    def _padded(self, short: Abridged) -> Any:
        choices, log_probs = short.choices.cpu().numpy(), short.log_probs.cpu().numpy()
        missing = self.cache.k - choices.shape[1]
        if missing:
            choices = np.pad(choices, ((0, 0), (0, missing)))
            log_probs = np.pad(log_probs, ((0, 0), (0, missing)), constant_values=-np.inf)
        return choices, log_probs.astype(np.float16)

    def _keys(
        self, batch: Batch, chosen: list[int], candidates: torch.Tensor | None
    ) -> list[bytes]:
        tensors = [batch.text_vec]
        if self.teacher.kind == "generator":
            tensors.append(batch.label_vec)
        arrays = [tensor.cpu().numpy() for tensor in tensors]
        common = b""
        if candidates is not None and candidates.dim() == 2:
            common = candidates.cpu().numpy().tobytes()
        keys = []
        for i in chosen:
            parts = [array[i][array[i] != self._null].tobytes() for array in arrays]
            if candidates is not None and candidates.dim() == 3:
                common = candidates[i].cpu().numpy().tobytes()
            keys.append(digest(*parts, common))
        return keys


@contextlib.contextmanager
def hidden_only(model: torch.nn.Module) -> Iterator[Callable[[torch.Tensor], torch.Tensor]]:
    """
    Let a generator's forward pass end below its output layer.

    :param model: the generator's
    :return: the output layer, from FloatTensor[rows, width] to [rows, choices]
    """
    stock: Any = model.output
    is_module = "output" in model._modules
    if is_module:
        model._modules["output"] = torch.nn.Identity()
    else:
        model.output = lambda hidden: hidden
    try:
        yield lambda hidden: stock(hidden.unsqueeze(1)).squeeze(1)
    finally:
        if is_module:
            model._modules["output"] = stock
        else:
            del model.output


def _chunked(
    result: StepResult, which: torch.Tensor, loss: Callable[..., torch.Tensor], *more: Any
) -> torch.Tensor:
    """The loss of some rows, the student's logits a few at a time."""
    output = result.output
    assert output is not None and result.scores is not None
    hidden, _ = _rows(result, which)
    if not len(which):
        return hidden.sum(dim=-1)
    choices = output(hidden[:1].detach()).size(-1)
    (values,) = chunked_rows(
        lambda own, *parts: (loss(output(own), *parts),), (hidden, *more), choices
    )
    return values


def _rows(result: StepResult, which: torch.Tensor) -> Any:
    """The student's scores of some rows, and their log-probabilities where they are known."""
    assert result.scores is not None
    if result.position is not None:
        which = result.position[which]
    log_probs = result.log_probs
    if len(which) == len(result.scores):
        return result.scores, log_probs
    if log_probs is not None:
        log_probs = log_probs[which]
    return result.scores[which], log_probs
