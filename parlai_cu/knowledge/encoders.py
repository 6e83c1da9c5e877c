"""
Texts as vectors, so that a question finds a fact that is told in other words.

What makes the vectors is a model of sentence-transformers, named as there: a folder or a name.
"""

import functools
from collections.abc import Sequence
from typing import Any, Protocol

import numpy

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


@functools.lru_cache(maxsize=2)
def load_encoder(name: str) -> Encoder:
    """
    The encoder of a name; loaded once in a process.

    :raises KnowledgeError: when the library, or the model, is not there
    """
    try:
        from sentence_transformers import (  # type: ignore[import-not-found,unused-ignore]
            SentenceTransformer,
        )
    except ImportError as error:
        raise KnowledgeError(
            f'--kb-encoder {name} needs sentence-transformers: pip install "parlai-cu[dense]"'
        ) from error
    try:
        return _SentenceTransformer(name, SentenceTransformer(name, device="cpu"))
    except Exception as error:  # it raises whatever its parts raise
        reason = " ".join(str(error).split())[:200]
        raise KnowledgeError(f"--kb-encoder {name}: {reason}") from error


class _SentenceTransformer:
    def __init__(self, name: str, model: Any) -> None:
        self.name, self._model = name, model

    def encode(self, texts: Sequence[str]) -> Any:
        # half a character is nothing that a tokenizer can read
        whole = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors = self._model.encode(whole, normalize_embeddings=True, show_progress_bar=False)
        return numpy.asarray(vectors, dtype=numpy.float32)
