"""What updates of a tiny model are made of."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from parlai_cu.versions.store import VersionStore

SUBJECTS = "door window shop taxi table phone bill plan card chair lamp boat horse ring".split()
VERBS = "open close call book find pay move sell".split()


def dialogues(
    path: Path, verbs: list[str], answer: Callable[[str, str], str], when: str = "now"
) -> str:
    """A conversation for each verb and subject, as a task."""
    with open(path, "w") as f:
        for verb in verbs:
            for subject in SUBJECTS:
                turns = [
                    {"id": "user", "text": f"{verb} {subject} {when}"},
                    {"id": "system", "text": answer(verb, subject)},
                ]
                f.write(json.dumps({"dialog": [turns]}) + "\n")
    return f"jsonfile:jsonfile_datapath={path}"


def update(store: VersionStore, task: str, **options: Any) -> dict[str, Any]:
    """`parlai update_model` with few steps."""
    from parlai_cu.scripts.update_model import UpdateModel

    settings: dict[str, Any] = dict(
        versions=store.path,
        task=task,
        training="-tstep 60 -vstep 30 -bs 16 -lr 0.01",
        max_slower=100.0,
        loglevel="error",
        no_cuda=True,
    )
    return dict(UpdateModel.main(**{**settings, **options}))
