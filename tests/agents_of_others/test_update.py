"""`parlai update_model` over agents of other people: what is possible for them is chosen."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.versions.store import VersionStore
from tests.agents_of_others.habits import PLACE
from tests.scripts.updating import VERBS, dialogues, update


@pytest.mark.slow
def test_an_update_of_an_agent_of_no_kind(
    train: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Diagnosed, trained with replay and a penalty on its weights, and judged by its own loss."""
    old = dialogues(tmp_path / "old.jsonl", VERBS, lambda v, s: f"i {v} the {s}", "soon")
    new = dialogues(tmp_path / "new.jsonl", VERBS, lambda v, s: f"then {s} {v} 42 please")
    path = str(tmp_path / "model")
    train(model=f"{PLACE}:NoKind", task=f"{old},{new}", model_file=path, max_train_steps=20)
    store = VersionStore(str(tmp_path / "versions"), create=True)
    store.promote(store.add(path, mode="import").id, force=True, why="the first")
    options: dict[str, Any] = dict(retain_task=old, max_loss="loss=9", min_gain="loss=0.0001")
    found = update(store, new, **options)
    assert found["verdict"]["decision"] == "accept" and found["version"]
    assert "--penalty l2sp" in capsys.readouterr().out
