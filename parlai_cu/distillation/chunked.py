"""
Token losses for large vocabularies: logits of a few rows at a time, never of all.

A batch of 32 replies of 64 tokens over 256,000 choices is 2 GB of logits, and as much again for
each of their softmax, the teacher's logits and all gradients. Here the output layer runs on as
many rows as fit a fixed budget, again in the backward pass (Chen et al. 2016,
https://arxiv.org/abs/1604.06174: recomputation), so peak memory depends on the budget and not on
the vocabulary.
"""

from collections.abc import Callable

import torch
from torch.utils.checkpoint import checkpoint

# logits in memory at once; 2**24 float32 are 64 MB
BUDGET = 2**24


def rows_at_once(vocabulary: int, budget: int = BUDGET) -> int:
    """
    How many rows of ``vocabulary`` logits each fit the budget, a number of logits (at least one).
    """
    return max(budget // vocabulary, 1)


def chunked_rows(
    compute: Callable[..., tuple[torch.Tensor, ...]],
    rows: tuple[torch.Tensor, ...],
    vocabulary: int,
    budget: int = BUDGET,
) -> tuple[torch.Tensor, ...]:
    """
    ``compute(*rows)``, a few rows at a time.

    :param compute: from tensors [some rows, ...] (hidden states, gold choices, ...) to tensors
        [some rows]; makes logits on the way, which are not kept
    :param rows: tensors [rows, ...], which are cut along the first dimension
    :param vocabulary: choices a row
    :param budget: how many elements of logits may be in memory at once
    :return: what ``compute`` returns, of all rows: tensors [rows]
    """
    step = rows_at_once(vocabulary, budget)
    pieces = [
        checkpoint(compute, *(tensor[start : start + step] for tensor in rows), use_reentrant=False)
        for start in range(0, rows[0].size(0), step)
    ]
    return tuple(torch.cat(parts) for parts in zip(*pieces))
