"""Learning without forgetting: what the deployed model says of an example stays."""

from parlai_cu.distillation.forward_kl import ForwardKL
from parlai_cu.distillation.soft_labels import SoftLabelLoss
from parlai_cu.retention.base import SOFT_LABELS


class LWF(SoftLabelLoss):
    """
    The divergence of the model's soft labels from those of the deployed one.

    Li and Hoiem 2016 (https://arxiv.org/abs/1606.09282), section 3, at their temperature.
    """

    needs = SOFT_LABELS

    def __init__(self) -> None:
        super().__init__(ForwardKL(), temperature=2.0)
