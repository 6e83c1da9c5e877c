"""Scores of a batch as the base computes them, whichever kind of agent it is."""

from typing import Any

import torch

from parlai_cu.agents import kinds
from parlai_cu.agents.training_step.result import StepResult
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Batch, ModelAgent


def first_scores(output: object) -> Any:
    """What stands where ParlAI's models put their scores, in the ``output`` of a model."""
    if hasattr(output, "logits"):
        return output.logits
    return output[0] if isinstance(output, (tuple, list)) and output else output


def with_scores(output: Any, scores: torch.Tensor) -> Any:
    """
    A model's output with other scores.

    :param output: as the model gave it
    :param scores: FloatTensor, of the shape of those in it
    """
    if hasattr(output, "logits"):
        output.logits = scores
        return output
    if hasattr(output, "_fields"):  # a named tuple
        return type(output)(scores, *output[1:])
    return type(output)((scores, *output[1:])) if isinstance(output, (tuple, list)) else scores


def scores_in(
    agent: ModelAgent, batch: Batch, given: tuple[Any, ...], output: object
) -> torch.Tensor | None:
    """
    The scores in what a model put out, if that call was about the batch's own labels.

    :param agent: whose model it is
    :param batch: in training
    :param given: all that the model was given
    :param output: what it put out
    :return: FloatTensor[bsz, length or more, choices] of generators, [bsz, classes] of classifiers
    """
    scores = first_scores(output)
    if not torch.is_tensor(scores) or not scores.is_floating_point():
        return None
    if len(scores) != batch.batchsize:
        return None
    kind = kinds.kind_of(agent)
    if kind == "classifier":
        return scores if scores.dim() == 2 else None
    labels = batch.label_vec
    if kind != "generator" or labels is None or scores.dim() != 3:
        return None
    if scores.size(1) < labels.size(1):
        return None
    return scores if any(_same(value, labels) for value in given) else None


def result_of(
    agent: ModelAgent, batch: Batch, scores: torch.Tensor, candidates: Any = None
) -> StepResult:
    """
    The rows of a batch's scores.

    :param agent: whose they are
    :param batch: in training
    :param scores: FloatTensor, see :func:`scores_in`; of rankers [bsz, candidates]
    :param candidates: of rankers, LongTensor[candidates, length] or [bsz, candidates, length]
    """
    if kinds.kind_of(agent) == "generator":
        labels = batch.label_vec
        # some models predict a start token first, which is no part of the label
        rows = scores[:, -labels.size(1) :].reshape(-1, scores.size(-1))
        targets = labels.flatten()
        return StepResult(targets.ne(agent.NULL_IDX), rows, targets)
    mask = torch.ones(len(scores), dtype=torch.bool, device=scores.device)
    return StepResult(mask, scores, candidates=candidates)


def own_result(agent: ModelAgent, batch: Batch) -> StepResult:
    """
    A forward pass of our own, where the base made none over the labels of the batch.

    :raises UsageError: when the model gives no scores of the kind that its agent is taken for
    """
    kind = kinds.kind_of(agent)
    given: tuple[Any, ...] = ()
    base: Any = getattr(agent, "base_class", None) or type(agent)
    if kind == "ranker":
        _, vectors, _ = agent._build_candidates(batch, source=agent.candidates, mode="train")
        scores = base.score_candidates(agent, batch, vectors)
        return result_of(agent, batch, scores, vectors)
    if kind == "classifier":
        output = agent.score(batch)
    else:
        given = (batch.label_vec,)
        output = agent.model(*agent._model_input(batch), ys=batch.label_vec)
    scores = scores_in(agent, batch, given, output)
    if scores is None:
        raise UsageError(
            f"{base.__name__} gives no scores of a {kind}, so there are no soft labels; what needs "
            "none still works: --tune, --replay-task, --penalty l2sp and ewc"
        )
    return result_of(agent, batch, scores)


def _same(value: object, labels: torch.Tensor) -> bool:
    if value is labels:
        return True
    if not torch.is_tensor(value) or value.shape != labels.shape or value.dtype != labels.dtype:
        return False
    return bool(torch.equal(value, labels))
