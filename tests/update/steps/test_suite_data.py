"""The suite as a retained task."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

from parlai_cu.update.steps import suite_data


def test_a_rare_intent_is_drawn_as_often_as_it_comes(tmp_path: Path) -> None:
    """The draw goes by the conversations' own fields; the part stands in them afterwards."""
    parts = {
        split: [
            [
                json.dumps(
                    {
                        "text": f"{split} question {i}",
                        "labels": [f"answer {i}"],
                        "intent": "rare" if i % 20 == 0 else "common",
                        "episode_done": True,
                    }
                )
            ]
            for i in range(100)
        ]
        for split in ("train", "valid", "test")
    }
    for seed in range(6):
        suite: Any = SimpleNamespace(size=20, read=lambda part: parts)
        part: Any = SimpleNamespace(name="first update")
        update: Any = SimpleNamespace(examples={"train": []}, small=False)
        data = suite_data.as_task(suite, [part], update, str(tmp_path / str(seed)), seed)
        assert data is not None
        drawn = [example.fields for example in data.examples["test"]]
        assert [turn["intent"] for turn in drawn].count("rare") == len(drawn) // 20 == 1
        assert {turn[suite_data.SLICE] for turn in drawn} == {"first update"}
