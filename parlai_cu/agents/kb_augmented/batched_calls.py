"""Turns that each ask the model when it suits them, and are answered by it in batches."""

from collections.abc import Callable, Sequence
from typing import Any

import greenlet

# what answers observations, as ``batch_act`` does
Act = Callable[[Sequence[Any]], list[Any]]


def together(turns: Sequence[Callable[[Act], Any]], act: Act) -> list[Any]:
    """
    Run functions side by side; what they ask the model is answered together.

    Each is set aside where it asks. Once all have asked or ended, ``act`` is given all that was
    asked in one batch, and they go on: as many batches as the one that asks most often.

    :param turns: each is given a way to ask the model, like ``act``
    :param act: the model
    :return: what they returned
    :raises Exception: what one of them, or the model, raised
    """
    hub = greenlet.getcurrent()
    results: list[Any] = [None] * len(turns)

    def ask(observations: Sequence[Any]) -> list[Any]:
        answered: list[Any] = hub.switch(list(observations))
        return answered

    def start(index: int) -> Any:
        def run() -> None:
            results[index] = turns[index](ask)

        return greenlet.greenlet(run, hub)

    # an exception in one is raised here, where it was switched to
    running = [start(index) for index in range(len(turns))]
    asked = [(one, one.switch()) for one in running]
    while True:
        asked = [(one, wanted) for one, wanted in asked if not one.dead]
        if not asked:
            return results
        answers = iter(act([seen for _, wanted in asked for seen in wanted]))
        asked = [(one, one.switch([next(answers) for _ in wanted])) for one, wanted in asked]
