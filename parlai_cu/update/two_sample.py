"""
Whether two samples of texts come from one source: a classifier tries to tell them apart.

Classifier two-sample test, Lopez-Paz and Oquab 2017, https://arxiv.org/abs/1610.06545, section 3:
the accuracy on the held-out half is 1/2 when both samples are of one distribution, and then it is
normal with variance 1 / (4 n).
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

Embed = Callable[[Sequence[str]], np.ndarray]
# of each sample at most: more tells nothing new of a shift that matters
_LARGEST = 400
# with fewer held-out texts of both the test says nothing
_SMALLEST = 20


@dataclass(frozen=True)
class TwoSample:
    """
    What the test found.

    :param accuracy: of the classifier on held-out texts; .5 is chance
    :param p_value: how often one source alone would give as much
    :param held_out: number of texts it was tested on
    """

    accuracy: float
    p_value: float
    held_out: int


def tf_idf(texts: Sequence[str]) -> np.ndarray:
    """Texts as vectors where there is no encoder: float[texts, words and pairs of words]."""
    from sklearn.feature_extraction.text import TfidfVectorizer  # type: ignore[import-untyped]

    vectorizer = TfidfVectorizer(
        ngram_range=(1, 2), max_features=5000, token_pattern=r"\w+|[^\w\s]"
    )
    return np.asarray(vectorizer.fit_transform(texts).toarray())


def two_sample(
    one: Sequence[str], other: Sequence[str], embed: Embed = tf_idf, seed: int = 0
) -> TwoSample | None:
    """
    Test two samples of texts; equally many of each are used.

    :param one: texts
    :param other: texts
    :param embed: gives float[texts, width]
    :param seed: of what is drawn
    :return: None where there are too few texts
    """
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]
    from sklearn.preprocessing import StandardScaler  # type: ignore[import-untyped]

    rng = np.random.default_rng(seed)
    size = min(len(one), len(other), _LARGEST)
    if size < _SMALLEST:
        return None
    drawn = [[texts[i] for i in rng.choice(len(texts), size, False)] for texts in (one, other)]
    vectors = embed([*drawn[0], *drawn[1]])
    classes = np.repeat([0, 1], size)
    # half of each for training: the classes stay balanced
    halves = np.tile(np.arange(size) < size // 2, 2)
    scaler = StandardScaler().fit(vectors[halves])
    classifier = LogisticRegression(C=0.1, max_iter=500)
    classifier.fit(scaler.transform(vectors[halves]), classes[halves])
    right = classifier.predict(scaler.transform(vectors[~halves])) == classes[~halves]
    accuracy, tested = float(right.mean()), int((~halves).sum())
    z = (accuracy - 0.5) * 2 * math.sqrt(tested)
    return TwoSample(accuracy, 0.5 * math.erfc(z / math.sqrt(2)), tested)
