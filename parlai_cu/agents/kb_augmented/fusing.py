"""Generation with facts to copy from: what ``--kb-integrate fuse`` needs of a generator."""

import copy
from collections import ChainMap
from collections.abc import Sequence
from typing import Any, Optional

import torch
from parlai.core.agents import Agent

from parlai_cu.agents.training_step.observation import first_scores
from parlai_cu.knowledge.integrators import fuse
from parlai_cu.parlai_types import Batch, ModelAgent


class FusingSearch(Agent):
    """
    Over any TorchGeneratorAgent, with any of its searches (greedy, beam, nucleus, ...).

    While ``fusing`` is set, each search sees the model's distribution mixed with the facts'.
    """

    fusing: Optional["Fusing"] = None

    def _treesearch_factory(self, *args: Any, **kwargs: Any) -> Any:
        search = super()._treesearch_factory(*args, **kwargs)
        if self.fusing is not None:
            self.fusing.watch(search)
        return search

    def _get_next_decoder_input(
        self, prev_input: object, selection: torch.Tensor, *rest: Any
    ) -> Any:
        """The model reads what it has no word for as unknown."""
        if self.fusing is not None:
            selection = self.fusing.known(selection)
        return super()._get_next_decoder_input(prev_input, selection, *rest)

    def _v2t(self, vec: torch.Tensor) -> str:
        """What the model has no word for is written as the fact has it."""
        if self.fusing is None or not self.fusing.unknown:
            return super()._v2t(vec)
        own = self.dict
        self.dict = copy.copy(own)
        self.dict.ind2tok = ChainMap(self.fusing.unknown, own.ind2tok)
        try:
            return super()._v2t(vec)
        finally:
            self.dict = own


class Fusing:
    """
    The facts of one turn, as one generator reads them.

    :param agent: the generator
    :param rows: for each fact a batch of one: the turn, and the fact as its label
    :param told: the facts
    :param shares: how much each counts beside the others
    :param weight: how much they count at most
    """

    def __init__(
        self,
        agent: ModelAgent,
        rows: Sequence[Any],
        told: Sequence[str],
        shares: Sequence[float],
        weight: float,
    ) -> None:
        self.agent, self.weight = agent, weight
        # tokens from the vocabulary's size on, which the model has no word for
        self.unknown: dict[int, str] = {}
        self._numbers: dict[str, int] = {}
        parts = [self._places(*each) for each in zip(rows, told, shares)]
        self.places = fuse.Places(*map(torch.cat, zip(*parts)), unknown=len(self.unknown))

    def _places(self, row: Batch, text: str, share: float) -> Sequence[torch.Tensor]:
        """Of each token of a fact: what the model expects there, what is before it, it, share."""
        expected = (label_scores(self.agent, row) / self.agent.temperature).softmax(dim=-1)
        tokens = self._tokens(row.label_vec[0].tolist(), text, expected.size(1))
        ids = torch.tensor(tokens, device=expected.device)
        return expected, fuse.before(ids), ids, expected.new_full((len(ids),), share)

    def _tokens(self, vector: list[int], text: str, vocabulary: int) -> list[int]:
        """A fact's tokens; those that are unknown get numbers of their own."""
        self.vocabulary = vocabulary
        words = self.agent.dict
        self.unknown_token = words[words.unk_token] if getattr(words, "unk_token", None) else None
        if self.unknown_token not in vector:
            return vector
        said = words.tokenize(text)
        return [
            self._number(said[i]) if token == self.unknown_token and i < len(said) else token
            for i, token in enumerate(vector)
        ]

    def _number(self, token: str) -> int:
        if token not in self._numbers:
            self._numbers[token] = self.vocabulary + len(self._numbers)
            self.unknown[self._numbers[token]] = token
        return self._numbers[token]

    def known(self, selection: torch.Tensor) -> torch.Tensor:
        """Tokens as the model can read them, in the shape of ``selection`` (LongTensor)."""
        if not self.unknown:
            return selection
        return selection.masked_fill(selection >= self.vocabulary, self.unknown_token or 0)

    def watch(self, search: Any) -> None:
        """Let a search see the mixed distribution at each of its steps."""
        advance = search.advance

        def advanced(log_probs: torch.Tensor, step: int) -> Any:
            written = search.partial_hyps[:, 1:].to(log_probs.device)
            return advance(fuse.fused(log_probs, written, self.places, self.weight), step)

        search.advance = advanced


@torch.no_grad()
def label_scores(agent: ModelAgent, row: Batch) -> torch.Tensor:
    """
    What a generator's model gives at each token of a label.

    :param agent: the generator
    :param row: a batch of one
    :return: FloatTensor[length, vocab]
    """
    output = agent.model(*agent._model_input(row), ys=row.label_vec)
    # some models predict a start token first, which is no part of the label
    scores: torch.Tensor = first_scores(output)[0, -row.label_vec.size(1) :]
    return scores.float()
