"""Outputs of a module, row by row, from a cache: the same, whatever shares the batch."""

from pathlib import Path
from typing import Any

import pytest
import torch

from parlai_cu.array_store import ArrayStore
from parlai_cu.selection.row_cache import NotByRow, RowMemo, TokenRows, leaves, probe, rebuild

CPU = torch.device("cpu")


class Encoder(torch.nn.Module):
    """Hidden states [rows, length, 3], a summary of two layers [rows, 2, 3], and the mask."""

    def __init__(self, dtype: torch.dtype = torch.float32) -> None:
        super().__init__()
        self.embeddings = torch.nn.Embedding(20, 3, dtype=dtype)
        self.rows = 0

    def forward(self, tokens: torch.Tensor) -> Any:
        self.rows += len(tokens)
        mask = tokens.ne(0)
        hidden = self.embeddings(tokens) * mask.unsqueeze(-1)
        summary = hidden.sum(dim=1)
        return hidden, {"layers": (torch.stack([summary, -summary], dim=1),)}, mask


def ask(memo: RowMemo, encoder: Encoder, tokens: torch.Tensor, owner: bytes = b"e") -> Any:
    """The memo's outputs for a batch."""
    rows = TokenRows([tokens], 0)

    def compute(which: torch.Tensor | None) -> Any:
        return encoder(tokens if which is None else tokens[which])

    with torch.no_grad():
        return memo(rows.keys(owner), rows, CPU, compute)


def assert_same(one: Any, other: Any) -> None:
    """The same structure with the same bits."""
    assert type(one) is type(other)
    for a, b in zip(leaves(one), leaves(other)):
        assert a.dtype == b.dtype and torch.equal(a, b)


@pytest.fixture
def cache(tmp_path: Path) -> ArrayStore:
    """An empty one."""
    return ArrayStore(str(tmp_path), max_bytes=10**6, warn=pytest.fail)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_rows_are_computed_once(cache: ArrayStore, dtype: torch.dtype) -> None:
    """Whatever they share a batch with, however long that is; all, some or none being known."""
    encoder = Encoder(dtype)
    example, along = probe(encoder, [5, 6, 7, 8, 9, 10, 11], 0, CPU)
    assert along == [True, False, True]
    memo = RowMemo(cache, example, along)
    encoder.rows = 0
    for tokens in (
        torch.tensor([[1, 2, 3], [4, 5, 0]]),
        torch.tensor([[4, 5, 0, 0], [1, 2, 3, 0]]),
        torch.tensor([[6, 7, 8, 9, 1], [4, 5, 0, 0, 0], [1, 0, 2, 0, 0], [1, 2, 3, 0, 0]]),
        torch.tensor([[4, 5], [0, 0]]),
    ):
        seen = encoder.rows
        expected = encoder(tokens)
        encoder.rows = seen
        assert_same(ask(memo, encoder, tokens), expected)
    assert encoder.rows == memo.computed == len(cache) == 5
    assert memo.found == 5


def test_another_model_finds_nothing(cache: ArrayStore) -> None:
    """What stands for the module is part of the key, and so is the second input."""
    encoder = Encoder()
    memo = RowMemo(cache, *probe(encoder, list(range(1, 8)), 0, CPU))
    tokens = torch.tensor([[1, 2, 3]])
    ask(memo, encoder, tokens)
    ask(memo, encoder, tokens, owner=b"other")
    assert (memo.found, memo.computed) == (0, 2)
    assert TokenRows([tokens, None], 0).keys(b"e") != TokenRows([tokens, tokens], 0).keys(b"e")
    assert TokenRows([tokens], 0).keys(b"e", [b"x"]) != TokenRows([tokens], 0).keys(b"e", [b"y"])


def test_rows_without_what_does_not_count() -> None:
    """A decoder's input has one token more where the row is not the longest of its batch."""
    long = TokenRows([torch.tensor([[1, 5, 6]])], 0, torch.tensor([[5, 6, 2]]))
    among = TokenRows([torch.tensor([[1, 5, 6, 2, 0]])], 0, torch.tensor([[5, 6, 2, 0, 0]]))
    assert long.keys(b"d") == among.keys(b"d") and long.lengths == among.lengths == [3]


def test_modules_that_cannot_be_kept_by_row() -> None:
    """Said before there is any work: rows that see each other, or their padding, or no rows."""
    encoder = Encoder()
    tokens = list(range(1, 8))
    with pytest.raises(NotByRow, match="depends on the others in the batch"):
        probe(lambda t: encoder.embeddings(t).mean(dim=(0, 1)).expand(len(t), 3), tokens, 0, CPU)
    with pytest.raises(NotByRow, match="depends on the others in the batch"):
        probe(lambda t: encoder.embeddings(t).mean(dim=1), tokens, 0, CPU)
    with pytest.raises(NotByRow, match=r"is \[3, 2\], not a row an example"):
        probe(lambda t: encoder(t)[0].sum(dim=1).t(), tokens, 0, CPU)
    with pytest.raises(NotByRow, match="one of its outputs is a str"):
        probe(lambda t: (encoder(t), "words"), tokens, 0, CPU)


def test_structures() -> None:
    """Tensors are taken out and put back where they were."""
    one, two, three = (torch.tensor(i) for i in range(3))
    structure = [one, {"a": (two, None)}, three]
    assert leaves(structure) == [one, two, three]
    assert rebuild(structure, iter([three, one, two])) == [three, {"a": (one, None)}, two]
