"""
A model whose dictionary lacks pieces of an update's words is given them before it learns.

Without them it reads ``__unk__`` in their place, and learns to say that. A new piece begins as a
copy of the unknown one, which it was until then: on anything that was said so far the model
answers as before.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from typing import Any

import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.dict import DictionaryAgent, escape
from parlai.core.opt import Opt

from parlai_cu import checkpoints
from parlai_cu.agents import model_files
from parlai_cu.parlai_types import ModelAgent
from parlai_cu.update.wording import Example

# a dictionary of words lacks many: at most so many more, of what it has, the most frequent first
_MOST, _MOST_OF_FEW = 0.25, 100


def missing_pieces(dictionary: Any, examples: Sequence[Example]) -> list[str]:
    """
    What the dictionary has no number for, the most frequent first.

    :param dictionary: of an agent; one that spells every word (of bytes) misses nothing
    :param examples: their answers, and what they answer
    """
    if not _spells_by_pieces(dictionary):
        return []
    said = Counter(text for e in examples for text in (e.text, e.label))
    counts: Counter = Counter()
    for text, times in said.items():
        for piece in dictionary.tokenize(text):
            if piece not in dictionary.tok2ind:
                counts[piece] += times
    most = max(int(_MOST * len(dictionary)), _MOST_OF_FEW)
    return [piece for piece, _ in counts.most_common(most)]


def unwritable(dictionary: Any, examples: Sequence[Example]) -> float:
    """Share of the answers with a piece that the dictionary lacks."""
    if not _spells_by_pieces(dictionary) or not examples:
        return 0.0
    known = dictionary.tok2ind
    lacking = [any(piece not in known for piece in dictionary.tokenize(e.label)) for e in examples]
    return sum(lacking) / len(lacking)


def _spells_by_pieces(dictionary: Any) -> bool:
    """Whether it is ParlAI's own kind; those of Hugging Face have a tokenizer that is complete."""
    kind = type(dictionary)
    return isinstance(dictionary, DictionaryAgent) and (
        kind.txt2vec is DictionaryAgent.txt2vec and kind.tokenize is DictionaryAgent.tokenize
    )


def widen(agent: ModelAgent, model_file: str, pieces: Sequence[str], target: str) -> bool:
    """
    Write the same model with more pieces in its dictionary; the old ones keep their numbers.

    :param agent: the model, loaded
    :param model_file: its file, which is only read
    :param pieces: of :func:`missing_pieces`
    :param target: file of the wider model
    :return: whether the model can be widened
    """
    if not pieces:
        return False
    more = "".join(f"{escape(piece)}\t1\n" for piece in pieces)
    size, unknown = len(agent.dict), agent.dict[agent.dict.unk_token]
    states = checkpoints.load(model_file)
    wider = with_rows(
        states.get("model") or {}, size, len(pieces), lambda rows: rows[unknown : unknown + 1]
    )
    if wider is None:
        return False
    model_files.write_like(model_file, target, states={**states, "model": wider}, pieces=more)
    found = loads(agent.opt, target)
    # a tensor may have as many rows as the dictionary by chance
    return found is not None and len(found.dict) == size + len(pieces)


def of_pieces(states: dict[str, Any], size: int) -> dict[str, torch.Tensor]:
    """
    The tensors of a model that have a row for each piece: embeddings, outputs.

    :param states: of the model
    :param size: of the dictionary, in pieces (entries)
    :return: name -> tensor [size, ...]
    """
    return {
        name: tensor
        for name, tensor in states.items()
        if isinstance(tensor, torch.Tensor) and tensor.dim() and tensor.size(0) == size
    }


def with_rows(
    states: dict[str, Any], size: int, count: int, row: Callable[[torch.Tensor], torch.Tensor]
) -> dict[str, Any] | None:
    """
    A model's tensors of so many rows with more rows, the others as they are; None without any.

    :param states: of the model
    :param size: rows, e.g. one for each piece of the dictionary
    :param count: of new rows
    :param row: gives a new one of a tensor, [1, ...]
    """
    found = of_pieces(states, size)
    if not any(tensor.dim() == 2 for tensor in found.values()):
        return None
    wider = dict(states)
    # tied ones stay one
    made: dict[int, torch.Tensor] = {}
    for name, tensor in found.items():
        if tensor.data_ptr() not in made:
            more = row(tensor).expand(count, *tensor.shape[1:])
            made[tensor.data_ptr()] = torch.cat([tensor, more])
        wider[name] = made[tensor.data_ptr()]
    return wider


def loads(opt: Opt, model_file: str) -> Any:
    """The model of a file; None where it is none. ``opt``: of a run: which device."""
    overrides = {name: opt[name] for name in ("datapath", "no_cuda", "gpu") if name in opt}
    try:
        return create_agent_from_model_file(model_file, {**overrides, "datatype": "valid"})
    except (RuntimeError, ValueError, KeyError):
        return None
