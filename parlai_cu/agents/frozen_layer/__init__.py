"""``-m frozen_layer``: selective fine-tuning of a deployed model."""

from parlai_cu.agents.frozen_layer.frozen_layer import FrozenLayerAgent

__all__ = ["FrozenLayerAgent"]
