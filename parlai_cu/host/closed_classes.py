"""
ParlAI's classifiers end with KeyError at a label that is none of their classes.

Seen with ParlAI 1.7.2: ``eval_model``, ``train_model``, whatever trains or measures a classifier:
``KeyError: 'greeting'``, in the middle of an epoch, without the example.

The label, the example, the known classes and the way to add one are named when it is read.
"""

from typing import Any

from parlai_cu.errors import DataError, hint, in_place_of, nearest
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Act, ModelAgent

# classes that a message names at most
_SHOWN = 12


@instead_of("parlai.core.torch_classifier_agent:TorchClassifierAgent.observe")
def _observe(stock: Stock, self: Any, observation: Act) -> Any:
    _check(self, observation)
    return stock(self, observation)


def _check(agent: ModelAgent, observation: Act) -> None:
    known = getattr(agent, "class_dict", None)
    if not known or agent.opt.get("ignore_labels"):
        return
    labels = [*(observation.get("labels") or ()), *(observation.get("eval_labels") or ())]
    for label in labels:
        if label in known:
            continue
        classes = ", ".join(list(known)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
        example = " ".join(str(observation.get("text")).split())[:80]
        error = DataError(
            f"the label {label!r} of the example {example!r} is none of the model's classes "
            f"({classes}){hint(nearest(str(label), known))}. To let it learn a new class: parlai "
            f"train_model -m frozen_layer --init-model MODEL --add-classes {label!r}"
        )
        raise in_place_of(KeyError, error)
