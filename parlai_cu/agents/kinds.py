"""
What an agent predicts: tokens, candidates or classes; by what it does, not by what it inherits.

A classifier may be built on a generator, as ParlAI's ``projects.style_gen`` is: then it is a
classifier. An agent of none of the kinds has no soft labels, and all else that we do.
"""

import functools
from collections.abc import Mapping
from typing import Any

from parlai.core.torch_classifier_agent import TorchClassifierAgent
from parlai.core.torch_generator_agent import TorchGeneratorAgent
from parlai.core.torch_ranker_agent import TorchRankerAgent

from parlai_cu.errors import UsageError, near_file
from parlai_cu.parlai_types import ModelAgent

KINDS = ("generator", "ranker", "classifier")


@functools.cache
def kind_of_class(agent_class: type) -> str | None:
    """The kind of an ``agent_class``; None where it is none of them."""
    if issubclass(agent_class, TorchRankerAgent):
        return "ranker"
    if issubclass(agent_class, TorchClassifierAgent) or _scores_classes(agent_class):
        return "classifier"
    return "generator" if issubclass(agent_class, TorchGeneratorAgent) else None


def kind_of(agent: ModelAgent) -> str | None:
    """
    The kind of an agent.

    :param agent: built; composed or a base
    """
    return kind_of_class(getattr(agent, "base_class", None) or type(agent))


def check_soft_labels(agent_class: type, flag: str) -> str:
    """
    The kind of an agent that is to learn from soft labels, or to give them.

    :param agent_class: the agent's
    :param flag: what named it, for the message
    :raises UsageError: when it is none of the kinds
    """
    kind = kind_of_class(agent_class)
    if kind is None:
        raise UsageError(
            f"{flag}: {agent_class.__name__} is none of {', '.join(KINDS)}, so there are no soft "
            "labels to learn from"
        )
    return kind


def class_names(opt: Mapping[str, Any]) -> list[str]:
    """
    The classes of a classifier.

    :param opt: its options
    :raises UsageError: when they are in a file that is not there
    """
    path = opt.get("classes_from_file")
    if not path:
        return list(opt.get("classes") or [])
    try:
        with open(path, encoding="utf-8") as f:
            return f.read().splitlines()
    except FileNotFoundError:
        raise UsageError(
            f"--classes-from-file {path}: there is no such file{near_file(path)}"
        ) from None


def _scores_classes(agent_class: type) -> bool:
    """Whether it has its own ``score(batch)`` and takes ``--classes``, as ParlAI's have."""
    from parlai_cu.agents import base_agent

    if not callable(getattr(agent_class, "score", None)):
        return False
    return "classes" in base_agent.option_names(agent_class)
