"""
How well a fact answers a question: what both mean as a whole, and whether each word of the
question is there, or one that means the same.

A question that shares its subject with a fact ("how long is the guarantee on bicycles?") is near it
as a whole; that nothing there is near "bicycles" tells that it is no answer.
"""

import math
import re
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from typing import Any

from parlai_cu.knowledge.encoders import Encoder
from parlai_cu.knowledge.words import STOP_WORDS, stem, words

# how much the whole counts beside the words, and from which match on a fact answers; both found on
# benchmarks/knowledge_life's dev sources. As a score that is what a share of the same words is
_WHOLE, _ANSWERS = 0.6, 0.45
ANSWERS = 0.3
# how much a word counts that was said before, but not now
_BEFORE = 0.25
# "what can't I send back?" is answered by what says not
_SAME_SIGN = 0.1
_NOT = re.compile(r"\b(?:not|no|none|never|nor|cannot|without)\b|n['’]t\b", re.IGNORECASE)
_ASKS = re.compile(r"\b(?:what|which|who|where|when|how)\b", re.IGNORECASE)
_KEPT = 20_000
_AT_ONCE = 64


class Matcher:
    """
    Compares questions with facts.

    :param encoder: makes the vectors, which are kept for the next question
    """

    def __init__(self, encoder: Encoder) -> None:
        self.encoder = encoder
        self._vectors: OrderedDict[str, Any] = OrderedDict()

    def scores(
        self, asked: str, said: str, facts: Sequence[str], documents: Mapping[str, int], total: int
    ) -> list[float]:
        """
        How well each fact answers, 0 to 1; from .3 on it does.

        :param asked: the question, with what it leaves out
        :param said: the words that the user said now
        :param facts: what they say
        :param documents: stem -> in how many facts it stands
        :param total: number of all facts
        """
        if not facts:
            return []
        told = [list(dict.fromkeys(_content(fact))) for fact in facts]
        wanted = {
            word: math.log(1 + total / (1 + documents.get(stem(word), 0))) * weight
            for text, weight in ((asked, _BEFORE), (said, 1.0))
            for word in _content(text)
        }
        self._encode([asked, said, *facts, *wanted, *(word for some in told for word in some)])
        question = (self._vectors[asked] + self._vectors[said]) / 2
        found = []
        for fact, some in zip(facts, told):
            near = max(float(question @ self._vectors[fact]), 0.0)
            score: float = near**_WHOLE * self._coverage(wanted, some) ** (1 - _WHOLE)
            if _NOT.search(said) and _ASKS.search(said):
                score += _SAME_SIGN if _NOT.search(fact) else -_SAME_SIGN
            found.append(min(max(score * ANSWERS / _ANSWERS, 0.0), 1.0))
        return found

    def _coverage(self, wanted: Mapping[str, float], told: Sequence[str]) -> float:
        """How much of a question's words is told, each weighted by how much it says."""
        if not wanted or not told:
            return 0.0
        import numpy

        same = {stem(word) for word in told}
        matrix = numpy.stack([self._vectors[word] for word in told])
        gained = total = 0.0
        for word, weight in wanted.items():
            near = 1.0 if stem(word) in same else float((matrix @ self._vectors[word]).max())
            gained, total = gained + weight * max(near, 0.0), total + weight
        return gained / total if total else 0.0

    def _encode(self, texts: Sequence[str]) -> None:
        new = [text for text in dict.fromkeys(texts) if text not in self._vectors]
        for start in range(0, len(new), _AT_ONCE):
            some = sorted(new, key=len)[start : start + _AT_ONCE]
            self._vectors.update(zip(some, self.encoder.encode(some)))
        for text in texts:
            self._vectors.move_to_end(text)
        while len(self._vectors) > max(_KEPT, len(texts)):
            self._vectors.popitem(last=False)


def _content(text: str) -> list[str]:
    return [word for word in words(text) if word not in STOP_WORDS and len(word) > 1]
