"""A generator's loss where the logits of a whole batch would not fit (``--distill-chunked``)."""

from typing import Any

import torch
import torch.nn.functional as F
from parlai.core.metrics import AverageMetric
from parlai.core.torch_generator_agent import PPLMetric

from parlai_cu.agents.batches import ScoreRecorder
from parlai_cu.agents.soft_rows import hidden_only
from parlai_cu.distillation.chunked import chunked_rows


def chunked_loss(agent: Any, batch: Any, recorder: ScoreRecorder) -> torch.Tensor:
    """
    The loss on gold labels, and the metrics, of ``TorchGeneratorAgent.compute_loss``.

    Leaves the student's hidden states and output layer in the recorder, for the soft labels.

    :return: scalar: the mean over tokens
    """
    labels = batch.label_vec
    with hidden_only(agent.bare_model()) as output:
        hidden, *_ = agent.model(*agent._model_input(batch), ys=labels)
    # some models predict a start token first, which is no part of the label
    rows = hidden[:, -labels.size(1) :].reshape(-1, hidden.size(-1))

    def compute(some: torch.Tensor, targets: torch.Tensor) -> Any:
        logits = output(some)
        losses = F.cross_entropy(
            logits.float(), targets, ignore_index=agent.NULL_IDX, reduction="none"
        )
        return losses, logits.argmax(dim=-1)

    losses, predicted = chunked_rows(compute, (rows, labels.flatten()), len(agent.dict))
    recorder.scores, recorder.targets, recorder.losses = rows, labels.flatten(), losses
    recorder.output = output
    mask = labels.ne(agent.NULL_IDX)
    per_token, right = losses.view_as(labels), predicted.view_as(labels) == labels
    agent.record_local_metric("loss", AverageMetric.from_mask(per_token, mask))
    agent.record_local_metric("ppl", PPLMetric.from_mask(per_token, mask))
    agent.record_local_metric("token_acc", AverageMetric.from_mask(right, mask))
    return losses.sum() / mask.sum()
