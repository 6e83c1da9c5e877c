"""
The model with its low-rank factors merged is the one that was trained: compared on a batch.

Before training with made-up factors, so that no time is lost where they cannot be merged; at every
save with the real ones. A weight that something else uses beside its layer shows here.
"""

import contextlib
from collections.abc import Iterator, Sequence

import torch

from parlai_cu.agents import kinds
from parlai_cu.agents.teacher import same_random_numbers
from parlai_cu.agents.training_step.observation import own_result
from parlai_cu.agents.training_step.own_loss import own_loss, without_metrics
from parlai_cu.errors import FrozenBreachError, UsageError
from parlai_cu.parlai_types import Batch, ModelAgent
from parlai_cu.selection import lora
from parlai_cu.selection.catalogue import TensorInfo

# of the size of what the factors change, or of rounding where they change little
TOLERANCE, HALF_TOLERANCE = 1e-2, 1e-1
_ROUNDING = {torch.float32: 1e-4}
_HALF_ROUNDING = 2e-2


def check(
    agent: ModelAgent, batch: Batch, adapted: Sequence[TensorInfo], before_training: bool
) -> None:
    """
    Compare the model with its factors to the model with the factors merged.

    :param agent: in training
    :param batch: on which they are compared
    :param adapted: the weights that have factors
    :param before_training: with made-up factors
    :raises UsageError: before training, naming the layers whose factors cannot be merged
    :raises FrozenBreachError: at a save
    """
    model = agent.bare_model()
    made_up = lora.perturbed(model, adapted) if before_training else contextlib.nullcontext()
    with _in_service(agent), made_up:
        if _same(agent, batch, adapted):
            return
        wrong = [t.name for t in adapted if not _same(agent, batch, [t])] or ["several together"]
    what = f"{', '.join(wrong[:5])}{' and more' if len(wrong) > 5 else ''}"
    if before_training:
        raise UsageError(
            f"--lora-rank: merged into its weight, the product of the factors gives other scores "
            f"than beside it in {what}: something uses the weight in another way than a linear "
            "layer does. Leave it out of --tune, or tune it without --lora-rank"
        )
    raise FrozenBreachError(
        f"the model with its low-rank factors merged gives other scores than the one that was "
        f"trained ({what}). Nothing was saved; tune without --lora-rank"
    )


def _same(agent: ModelAgent, batch: Batch, adapted: Sequence[TensorInfo]) -> bool:
    model = agent.bare_model()
    trained = _scores(agent, batch)
    with lora.merged(model, adapted):
        merged = _scores(agent, batch)
    half = trained.dtype != torch.float32 or next(model.parameters()).dtype != torch.float32
    rounding = _HALF_ROUNDING if half else _ROUNDING[torch.float32]
    # what the factors have to say, without which two models that differ little look the same
    said = (trained - _without(agent, batch, adapted)).norm()
    allowed = (HALF_TOLERANCE if half else TOLERANCE) * said + rounding * trained.norm()
    return bool((trained - merged).norm() <= allowed)


def _without(agent: ModelAgent, batch: Batch, adapted: Sequence[TensorInfo]) -> torch.Tensor:
    model, kept = agent.bare_model(), []
    for tensor in adapted:
        second = model.get_parameter(lora.factor_names(tensor)[1])
        kept.append((second, second.detach().clone()))
        second.data.zero_()
    try:
        return _scores(agent, batch)
    finally:
        for second, value in kept:
            second.data.copy_(value)


def _scores(agent: ModelAgent, batch: Batch) -> torch.Tensor:
    with same_random_numbers():
        if kinds.kind_of(agent) is None:
            loss = own_loss(agent, batch, train=False)
            return torch.zeros(1) if loss is None else loss.detach().reshape(1)
        scores = own_result(agent, batch).scores
    assert scores is not None
    # a choice that cannot be has minus infinity, or what stands for it
    return scores.detach().float().clamp(-1e4, 1e4)


@contextlib.contextmanager
def _in_service(agent: ModelAgent) -> Iterator[None]:
    """Within, the bare model runs as in service and nothing is recorded."""
    model, training = agent.model, agent.model.training
    agent.model = agent.bare_model()
    agent.model.eval()
    try:
        with torch.no_grad(), without_metrics(agent):
            yield
    finally:
        agent.model = model
        model.train(training)
