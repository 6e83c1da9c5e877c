"""
What ParlAI hands us, as far as it is used here; ParlAI itself is untyped.

What is not named comes through ``__getattr__``: agents, worlds and parsers of others have more.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    import torch

# the options of a command or a model; ParlAI's Opt is a dict
Opt = dict[str, Any]
# what is said: ParlAI's Message is a dict
Act = dict[str, Any]


class Open(Protocol):
    """Has more than its type says."""

    def __getattr__(self, name: str) -> Any: ...

    def __setattr__(self, name: str, value: object) -> None: ...


class Batch(Open, Protocol):
    """
    Examples side by side, padded.

    :param batchsize: examples
    :param valid_indices: of each example, its place among what was observed
    :param text_vec: LongTensor[batchsize, length]
    :param label_vec: LongTensor[batchsize, length], None where nothing is to be learnt
    :param observations: what each was made of
    """

    batchsize: int
    valid_indices: Sequence[int]
    text_vec: "torch.Tensor"
    label_vec: "torch.Tensor"
    labels: list[str]
    observations: list[Any]


class SpeakingAgent(Open, Protocol):
    """An agent: it hears, and answers."""

    opt: Any

    def observe(self, observation: Any) -> Any:
        """Hear what was said."""

    def act(self) -> Any:
        """Answer."""

    def reset(self) -> None:
        """Forget the conversation."""


class ModelAgent(SpeakingAgent, Protocol):
    """An agent with a model of torch's and a dictionary."""

    model: Any
    dict: Any


class World(Open, Protocol):
    """Where agents speak with each other."""

    def parley(self) -> None:
        """One exchange."""

    def report(self) -> Mapping[str, Any]:
        """The metrics since they were reset."""

    def reset(self) -> None:
        """Begin anew."""

    def reset_metrics(self) -> None:
        """Count from nothing."""

    def epoch_done(self) -> bool:
        """Whether each example was there once."""


class TrainLoop(Open, Protocol):
    """ParlAI's training loop."""

    agent: Any
    opt: Any
    world: Any


class Parser(Open, Protocol):
    """A parser of flags, or a group of one."""

    def add_argument(self, *names: str, **more: Any) -> Any:
        """Add a flag."""
