"""
ParlAI's classifiers end with KeyError at a label that is none of their classes.

Seen with ParlAI 1.7.2: ``eval_model``, ``train_model``, whatever trains or measures a classifier:
``KeyError: 'greeting'``, in the middle of an epoch, without the example.
Goes when: never; ParlAI is archived.

The label, the example, the known classes and the way to add one are named when it is read.
"""

from typing import Any

# classes that a message names at most
_SHOWN = 12


def needed() -> str | None:
    """Why the repair is active."""
    return "ParlAI's classifiers end with KeyError at an unknown label"


def after(module: Any) -> None:
    """
    Look at labels when they are read (parlai.core.torch_classifier_agent).

    :param module: ParlAI's
    :raises DataError: later, when a label is none of a model's classes
    """
    agent = module.TorchClassifierAgent
    stock = agent.observe

    def observe(self: Any, observation: Any) -> Any:
        _check(self, observation)
        return stock(self, observation)

    observe.__doc__ = stock.__doc__
    agent.observe = observe


def _check(agent: Any, observation: Any) -> None:
    from parlai_cu.errors import DataError, hint, nearest

    known = getattr(agent, "class_dict", None)
    if not known or agent.opt.get("ignore_labels"):
        return
    for key in ("labels", "eval_labels"):
        for label in observation.get(key) or ():
            if label in known:
                continue
            classes = ", ".join(list(known)[:_SHOWN]) + (", ..." if len(known) > _SHOWN else "")
            example = " ".join(str(observation.get("text")).split())[:80]
            close = hint(nearest(str(label), known))
            raise DataError(
                f"the label {label!r} of the example {example!r} is none of the model's classes "
                f"({classes}){close}. To let it learn a new class: parlai train_model -m "
                f"frozen_layer --init-model MODEL --add-classes {label!r}"
            )
