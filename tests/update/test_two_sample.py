"""The classifier two-sample test."""

import numpy as np

from parlai_cu.update.two_sample import two_sample

FORMAL = [f"I would like to inform you that item {i} has arrived." for i in range(80)]
CASUAL = [f"hey, number {i} is here, come and get it" for i in range(80)]


def test_styles_are_told_apart() -> None:
    """Two styles are; the p-value says that chance would not do it."""
    found = two_sample(FORMAL, CASUAL)
    assert found is not None
    assert found.accuracy > 0.95 and found.p_value < 1e-6 and found.held_out == 80


def test_one_source_is_not_told_from_itself() -> None:
    """Halves of one sample give chance, over several draws."""
    rng = np.random.default_rng(1)
    words = "the price of a plan is paid by card or at shop desk every month".split()
    texts = [" ".join(rng.choice(words, 8)) for _ in range(600)]
    accuracies = []
    for seed in range(4):
        found = two_sample(texts[:300], texts[300:], seed=seed)
        assert found is not None
        accuracies.append(found.accuracy)
    assert 0.43 < np.mean(accuracies) < 0.57


def test_too_few_texts_tell_nothing() -> None:
    """Below twenty of each there is no answer."""
    assert two_sample(FORMAL[:19], CASUAL) is None
