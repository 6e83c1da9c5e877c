"""What the model is shown of facts, and whether it was in the tensors that it read."""

import collections
from collections.abc import Iterator, Sequence
from typing import Any

import torch
from parlai.core.agents import Agent
from parlai.core.message import Message

from parlai_cu.parlai_types import Act, Batch, ModelAgent
from parlai_cu.types import Evidence

# of an observation: what came in, and who observed it; the facts that it carries
OBSERVED, SHOWN = "kb_observed", "kb_shown"
_CONTAINERS = (list, dict, set, collections.deque)
# of a batch, what the model is to say rather than what it reads
_NOT_READ = ("label", "candidate", "cand_", "valid_", "observations")


class Observed:
    """
    A message as it came in, and its observer as it was before.

    :param observer: an agent
    :param message: that it is about to observe
    """

    def __init__(self, observer: Any, message: Any) -> None:
        self.message = Message(message)
        self._class, self._state = type(observer), _copied(vars(observer))
        before = self._state.get("observation")
        if before:  # without what it carries itself, or each would hold all that came before it
            kept = {k: v for k, v in before.items() if k not in (OBSERVED, SHOWN)}
            self._state["observation"] = Message(kept)

    def __deepcopy__(self, memo: dict[int, Any]) -> "Observed":
        """Itself: a copied observation is of the same message."""
        return self

    def again(self, fields: dict[str, Any]) -> Message:
        """
        What the observer makes of the message with other fields: nothing else knows of it.

        Agents parse and cache what a message brings when they observe it, so that fields which
        come later come too late.
        """
        twin = object.__new__(self._class)
        vars(twin).update(_copied(self._state))
        message = self.message.copy()
        for name, value in fields.items():
            message.force_set(name, value)
        seen: Message = super(FactReader, twin).observe(message)
        return seen


def _copied(state: dict[str, Any]) -> dict[str, Any]:
    """An agent's attributes; what a conversation changes in place is copied."""
    copied = {k: v.copy() if type(v) in _CONTAINERS else v for k, v in state.items()}
    history = copied.get("history")
    if history is not None:
        copied["history"] = object.__new__(type(history))
        vars(copied["history"]).update(
            {k: v.copy() if type(v) in _CONTAINERS else v for k, v in vars(history).items()}
        )
    return copied


class ShownFacts:
    """
    Facts that an observation carries.

    :param facts: in its text or its fields
    :param plain: the observation without them
    """

    def __init__(self, facts: Sequence[Evidence], plain: Message) -> None:
        self.facts, self.plain = list(facts), plain
        # those that were in the tensors of a call
        self.read: list[Evidence] = []

    def __deepcopy__(self, memo: dict[int, Any]) -> "ShownFacts":
        """Itself, for whoever asks afterwards."""
        return self

    def look_into(self, agent: ModelAgent, batch: Batch, row: int, plain: Any) -> None:
        """
        See which facts the model is about to read: half of one, from either end, will do.

        :param agent: whose dictionary it is
        :param batch: of the call
        :param row: of this observation in it
        :param plain: a batch of the same turn without facts: who asks may have used their words
        """
        shown, before = _texts(agent, batch, row), _texts(agent, plain, 0)
        self.read = []
        for fact in self.facts:
            text = _plain(agent.dict.vec2txt(agent.dict.txt2vec(fact.text)))
            half = (len(text) + 1) // 2
            if any(
                _count(part, shown) > _count(part, before) for part in (text[:half], text[-half:])
            ):
                self.read.append(fact)


def _texts(agent: ModelAgent, batch: Batch, row: int) -> list[str]:
    """What an example of a batch holds to be read, as text."""
    ignored = {agent.NULL_IDX, agent.START_IDX, agent.END_IDX}
    return [
        _plain(agent.dict.vec2txt([token for token in tokens if token not in ignored]))
        for name, value in batch.items()
        if not name.startswith(_NOT_READ)
        for tokens in _token_rows(value, batch.batchsize, row)
    ]


def _count(part: str, texts: Sequence[str]) -> int:
    """How many places a text begins at; unknown words look alike, so that places may overlap."""
    return sum(text.startswith(part, i) for text in texts for i in range(len(text)))


def _token_rows(value: object, size: int, row: int) -> Iterator[list[int]]:
    """Series of tokens among what a batch holds, of one of its examples where that can be told."""
    if isinstance(value, torch.Tensor):
        if value.dim() and size and value.size(0) % size == 0:
            each = value.size(0) // size
            value = value[row * each : (row + 1) * each]
        yield from _series(value)
    elif isinstance(value, (list, tuple)) and len(value) == size:
        yield from _series(value[row])


def _series(value: object) -> Iterator[list[int]]:
    if isinstance(value, torch.Tensor):
        if value.dtype in (torch.int64, torch.int32) and value.numel():
            yield from value.reshape(-1, value.size(-1) if value.dim() else 1).tolist()
    elif isinstance(value, (list, tuple)):
        if value and all(type(part) is int for part in value):
            yield list(value)
        else:
            for part in value:
                yield from _series(part)


def _plain(text: str) -> str:
    return "".join(text.split())


class FactReader(Agent):
    """The part of the agent that reads facts. It sits before the base agent in the MRO."""

    def observe(self, observation: Act) -> Any:
        """As the base does; what came in is kept, to be observed once more with facts."""
        if "labels" in observation:  # of training: the model does not read facts then
            return super().observe(observation)
        observed = Observed(self, observation)
        seen = super().observe(observation)
        seen.force_set(OBSERVED, observed)
        return seen

    def batchify(self, obs_batch: Sequence[Act], *args: Any, **kwargs: Any) -> Any:
        """As the base does; which facts are in the batch is written down."""
        batch = super().batchify(obs_batch, *args, **kwargs)
        rows = () if batch.valid_indices is None else batch.valid_indices
        for row, place in enumerate(rows):
            shown = obs_batch[int(place)].get(SHOWN)
            if shown is not None:
                plain = super().batchify([shown.plain.copy()], *args, **kwargs)
                shown.look_into(self, batch, row, plain)
        return batch
