"""The R matrix and its measures, paired differences: numbers worked by hand."""

import numpy as np
import pytest

from parlai_cu.retention.metrics import (
    average_accuracy,
    backward_transfer,
    forgetting,
    forward_transfer,
)

# rows: after task 1, 2, 3; columns: tasks
R = np.array([[0.9, 0.2, 0.1], [0.8, 0.7, 0.3], [0.5, 0.8, 0.6]])


def test_by_hand() -> None:
    """ACC (.5+.8+.6)/3; BWT ((.5-.9)+(.8-.7))/2; forgetting ((.9-.5)+(.7-.8))/2."""
    assert average_accuracy(R) == pytest.approx(1.9 / 3)
    assert backward_transfer(R) == pytest.approx(-0.15)
    assert forgetting(R) == pytest.approx(0.15)
    # FWT: ((.2 - .1) + (.3 - .1)) / 2
    assert forward_transfer(R, np.full(3, 0.1)) == pytest.approx(0.15)


def test_forgetting_is_from_the_best_ever() -> None:
    """A task that got better later, then worse, is forgotten from its best."""
    r = np.array([[0.5, 0.0, 0.0], [0.9, 0.5, 0.0], [0.6, 0.5, 0.5]])
    assert forgetting(r) == pytest.approx(0.15)
    assert backward_transfer(r) == pytest.approx(0.05)


@pytest.mark.parametrize("shape", [(2, 3), (1, 1), (0, 0), (3,)])
def test_wrong_shapes(shape: tuple) -> None:
    """The shape found is named."""
    with pytest.raises(ValueError, match="expected .*scores"):
        backward_transfer(np.zeros(shape))
