"""
Texts as vectors, so that a question finds a fact that is told in other words.

What makes the vectors is a model of sentence-transformers, named as there: a folder or a name.
"""

import functools
import json
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
        import numpy

        # half a character is nothing that a tokenizer can read
        whole = [text.encode("utf-8", "replace").decode("utf-8") for text in texts]
        vectors = self._model.encode(whole, normalize_embeddings=True, show_progress_bar=False)
        return numpy.asarray(vectors, dtype=numpy.float32)
