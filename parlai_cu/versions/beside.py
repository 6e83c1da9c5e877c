"""
The files beside a model: which belong to it, and which to the run that trained it.

An agent may keep anything beside its weights, ``MODEL.table``, and be lost without it. So all goes
along, but for what is listed here.
"""

import os
from typing import NamedTuple

# of training: what follows the model's name, and what it is
_OF_TRAINING = {
    ".activations": "cache of a run",
    ".best_valid": "log",
    ".checkpoint": "checkpoint",
    ".done": "log",
    ".log": "log",
    ".penalty": "of --penalty, for a run that goes on",
    ".replay": "old data, for a run that goes on",
    ".scores.json": "log",
    ".tensorboard": "log",
    ".test": "log",
    ".tmp": "unfinished file",
    ".trainstats": "log",
    ".valid": "log",
    ".wandb": "log",
}


class Beside(NamedTuple):
    """
    What was found beside a model.

    :param kept: file names without the model's own, ``.dict``
    :param left_out: the same of what does not belong to it -> what it is
    """

    kept: list[str]
    left_out: dict[str, str]


def look(model_file: str) -> Beside:
    """
    What stands beside a model under its name, but for its options.

    :param model_file: path of its weights
    """
    folder, name = os.path.split(os.path.abspath(model_file))
    entries = sorted(
        e for e in os.listdir(folder) if e.startswith(f"{name}.") and e != f"{name}.opt"
    )
    # model.old beside model.old.opt is another model, and so is all that begins with its name; a
    # dictionary has its options too
    others = [
        e
        for e in entries
        if os.path.isfile(os.path.join(folder, f"{e}.opt")) and e != f"{name}.dict"
    ]
    found = Beside([], {})
    for entry in entries:
        rest = entry[len(name) :]
        why = next((what for end, what in _OF_TRAINING.items() if _begins(rest, end)), None)
        if why is None and any(_begins(entry, other) for other in others):
            why = "another model"
        if why is None and not os.path.isfile(os.path.join(folder, entry)):
            why = "folder, which a version cannot hold"
        if why is None:
            found.kept.append(rest)
        else:
            found.left_out[rest] = why
    return found


def _begins(name: str, beginning: str) -> bool:
    return name == beginning or name.startswith(f"{beginning}.")
