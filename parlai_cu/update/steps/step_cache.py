"""What an update has found out, kept in a folder so that no step is done twice."""

import dataclasses
import json
import os
from collections.abc import Callable
from typing import Any

from parlai_cu import files
from parlai_cu.update.steps.evaluation import Measured
from parlai_cu.update.wording import Example


class StepCache:
    """
    A folder of JSON files, each written whole.

    :param folder: is made
    """

    def __init__(self, folder: str) -> None:
        self.folder = folder
        os.makedirs(folder, exist_ok=True)

    def measured(self, name: str, work: Callable[[], list[Measured]]) -> list[Measured]:
        """Answers of a model: those kept under a name, or those of ``work()``, kept from now on."""
        held = self.plain(name, lambda: [dataclasses.asdict(m) for m in work()])
        return [_measured(row) for row in held]

    def plain(self, name: str, work: Callable[[], Any]) -> Any:
        """The same for values that JSON holds: those kept under a name, or those of ``work()``."""
        found = self.read(f"{name}.json")
        if found is None:
            found = work()
            self.write(f"{name}.json", found)
        return found

    def read(self, name: str) -> Any:
        """What a file holds; None where there is none."""
        path = os.path.join(self.folder, name)
        if not os.path.exists(path):
            return None
        with open(path, encoding="utf-8") as f:
            return json.load(f)

    def write(self, name: str, value: Any) -> str:
        """Write a value as a file; its path."""
        return self.write_text(name, json.dumps(value, indent=1))

    def write_text(self, name: str, text: str) -> str:
        """Write a file; its path."""
        path = os.path.join(self.folder, name)
        files.write_text(path, text)
        return path


def _measured(row: Any) -> Measured:
    example = row["example"]
    context = Example(example["text"], example["label"], tuple(example["history"]))
    return Measured(context, row["reply"], row["sums"])
