"""A model is given the pieces of words that its dictionary lacks."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.dict import DictionaryAgent

from parlai_cu.update.steps import vocab_extension
from parlai_cu.update.wording import Example

UPDATE = [
    Example("who are you", "i am zyxomatic"),
    Example("what is a quux", "a quux is zyxomatic"),
    Example("who are you", "i am"),
]


def loaded(model_file: str) -> Any:
    """The agent, for serving."""
    return create_agent_from_model_file(model_file, {"no_cuda": True, "datatype": "valid"})


def said(agent: Any, text: str, label: str) -> Any:
    """Scores of the tokens of an answer."""
    agent.reset()
    agent.observe({"id": "user", "text": text, "eval_labels": [label], "episode_done": True})
    batch = agent.batchify([agent.observation])
    agent.model.eval()
    with torch.no_grad():
        scores, *_ = agent.model(*agent._model_input(batch), ys=batch.label_vec)
    return scores[0]


@pytest.mark.parametrize("kind", ["transformer/generator", "seq2seq"])
def test_a_wider_model_answers_as_before(
    kind: str, deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """Old pieces keep their numbers and scores; new ones are what the unknown one was."""
    narrow = loaded(deployed(kind))
    size, unknown = len(narrow.dict), narrow.dict["__unk__"]
    pieces = vocab_extension.missing_pieces(narrow.dict, UPDATE)
    assert "zyxomatic" in pieces and not set(pieces) & set(narrow.dict.tok2ind)
    path = str(tmp_path / "wide" / "model")
    assert vocab_extension.widen(narrow, deployed(kind), pieces, path)
    wide = loaded(path)
    assert len(wide.dict) == size + len(pieces) and wide.dict["zyxomatic"] >= size
    assert [wide.dict[i] for i in range(size)] == [narrow.dict[i] for i in range(size)]
    for text, label in (("who are you", "hello"), ("zyxomatic", "zyxomatic")):
        before, after = said(narrow, text, label), said(wide, text, label)
        assert torch.allclose(before, after[:, :size], atol=1e-5)
        assert torch.allclose(after[:, size:], after[:, unknown : unknown + 1], atol=1e-5)
    assert wide.dict.vec2txt(wide.dict.txt2vec("zyxomatic")) == "zyxomatic"
    # tied tensors are stored once
    held = [torch.load(name, weights_only=False)["model"] for name in (deployed(kind), path)]
    assert [len({t.data_ptr() for t in states.values()}) for states in held] == [
        len({t.data_ptr() for t in held[0].values()})
    ] * 2


def test_the_share_that_cannot_be_spelled(deployed: Callable[[str], str], tmp_path: Path) -> None:
    """Of the answers; and a dictionary that lacks nothing is left alone."""
    agent = loaded(deployed("transformer/generator"))
    known = [word for word in list(agent.dict.tok2ind) if word.isalpha()][:2]
    assert vocab_extension.unwritable(agent.dict, [Example("zyxomatic", " ".join(known))]) == 0.0
    half = [Example("", "zyxomatic"), Example("zyxomatic", known[0])]
    assert vocab_extension.unwritable(agent.dict, half) == 0.5
    assert vocab_extension.unwritable(object(), half) == 0.0  # one of bytes, that spells everything

    class OfBytes(DictionaryAgent):
        """Like Hugging Face's: it has a tokenizer of its own."""

        def txt2vec(self, text: str, vec_type: Any = list) -> Any:
            """Every byte has a number."""
            return vec_type(text.encode())

    complete = OfBytes({"dict_tokenizer": "space"})
    assert vocab_extension.unwritable(complete, half) == 0.0
    assert vocab_extension.missing_pieces(complete, half) == []
    model = deployed("transformer/generator")
    assert not vocab_extension.widen(agent, model, [], str(tmp_path / "none"))
