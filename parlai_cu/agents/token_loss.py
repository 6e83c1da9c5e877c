"""
A generator's loss on gold labels, with the output layer on what is no padding only.

Half of a batch of replies is padding, and the output layer is the dearest layer of a small student,
or where the layers below it are frozen: ``TorchGeneratorAgent.compute_loss`` runs it on all. The
figures are the same, which is proven on a run's first batches.
"""

from typing import Any

import torch
import torch.nn.functional as F
from parlai.core.metrics import AverageMetric
from parlai.core.torch_generator_agent import PPLMetric, TorchGeneratorAgent, TorchGeneratorModel

from parlai_cu.agents.soft_label_loss import hidden_only
from parlai_cu.agents.training_step.result import StepResult
from parlai_cu.distillation.chunked import chunked_rows
from parlai_cu.parlai_types import Batch, ModelAgent


def can_skip_padding(agent: ModelAgent) -> bool:
    """
    Whether a generator's loss looks like ParlAI's own, so that it may be taken apart.

    That its output layer works position by position is for a proof to say
    (:mod:`parlai_cu.agents.training_step.proof`).
    """
    model, criterion = agent.bare_model(), agent.criterion
    return (
        isinstance(agent, TorchGeneratorAgent)
        and agent.base_class.compute_loss is TorchGeneratorAgent.compute_loss
        and isinstance(model, TorchGeneratorModel)
        and type(model).decode_forced is TorchGeneratorModel.decode_forced
        and type(model).forward is TorchGeneratorModel.forward
        # the negative log of a softmax
        and type(criterion) is torch.nn.CrossEntropyLoss
        and criterion.weight is None
    )


def token_loss(
    agent: ModelAgent, batch: Batch, gold: torch.Tensor | None = None, chunked: bool = False
) -> tuple[torch.Tensor, StepResult]:
    """
    The loss and the metrics of ``TorchGeneratorAgent.compute_loss``.

    :param agent: whose loss it is; a generator
    :param batch: with labels
    :param gold: FloatTensor[bsz], how much the gradient of each example counts
    :param chunked: make a few rows of logits at a time
    :return: scalar, the mean over tokens; and log-probabilities of the tokens that are no
        padding, or with ``chunked``, their hidden states and the output layer
    """
    labels = batch.label_vec
    with hidden_only(agent.bare_model()) as output:
        hidden, *_ = agent.model(*agent._model_input(batch), ys=labels)
    mask = labels.ne(agent.NULL_IDX)
    targets = labels[mask]
    rows = hidden[mask]
    # where each row of the whole batch stands among those that are no padding
    position = mask.flatten().long().cumsum(0) - 1
    result = StepResult(mask.flatten(), targets=labels.flatten(), position=position)
    if chunked:

        def compute(some: torch.Tensor, gold: torch.Tensor) -> Any:
            logits = output(some)
            losses = F.cross_entropy(logits.float(), gold, reduction="none")
            return losses, logits.argmax(dim=-1)

        losses, predicted = chunked_rows(compute, (rows, targets), len(agent.dict))
        result.scores, result.output = rows, output
    else:
        logits = output(rows)
        log_probs = F.log_softmax(logits.float(), dim=-1)
        losses = F.nll_loss(log_probs, targets, reduction="none")
        predicted = logits.argmax(dim=-1)
        result.scores, result.log_probs = logits, log_probs
    per_token = torch.zeros(labels.shape, dtype=losses.dtype, device=labels.device)
    per_token = per_token.masked_scatter(mask, losses)
    right = torch.zeros_like(mask).masked_scatter(mask, predicted == targets)
    result.losses = per_token.flatten()
    detached, tokens = per_token.detach(), mask.sum(dim=-1)
    agent.record_local_metric("loss", AverageMetric.from_mask(detached, mask))
    agent.record_local_metric("ppl", PPLMetric.from_mask(detached, mask))
    agent.record_local_metric("token_acc", AverageMetric.from_mask(right, mask))
    exact = (right & mask).sum(dim=-1) == tokens
    agent.record_local_metric("token_em", AverageMetric.many(exact))
    agent.record_per_token_metrics(batch, detached)
    if gold is not None:
        weighted = losses * gold.repeat_interleave(tokens)
        losses = losses.detach() + (weighted - weighted.detach())
    return losses.sum() / tokens.sum(), result
