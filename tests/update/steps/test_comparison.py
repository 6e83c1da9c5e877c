"""parlai_cu/update/steps/comparison.py: what is left to judge by."""

from types import SimpleNamespace
from typing import Any, cast

import pytest

from parlai_cu.errors import DataError
from parlai_cu.update.steps import comparison


def test_all_conversations_open_alike(monkeypatch: pytest.MonkeyPatch) -> None:
    """Held-out examples that are all in training as well: the error asks for the right thing."""
    monkeypatch.setattr(comparison, "_told", lambda work, data: False)
    monkeypatch.setattr(comparison, "say", lambda text: None)
    greetings = SimpleNamespace(name="greetings.csv", short="greetings")
    work = SimpleNamespace(tasks=[greetings], settings=SimpleNamespace(examples=10))
    model = SimpleNamespace(measure=lambda *of: [])
    with pytest.raises(DataError, match=r"greetings\.csv: training holds all .* open alike\?"):
        comparison.held_out(cast(Any, work), cast(Any, model), "live")
