"""Paths where a task can stand; in ParlAI's names of tasks ``,``, ``:`` and ``=`` have meanings."""

import os
import re
from urllib.parse import unquote

from parlai_cu.tabular.table import KINDS, ending

_SPECIAL = re.compile(r"[%,:;=]")
TEXTS = (".json", ".jsonl", ".ndjson", ".txt", ".yml", ".yaml", ".md", ".log")


def path_of(task: str) -> str | None:
    """The file or folder that a task's name is; None where there is none."""
    name = task.split(":")[0].strip()
    for path in (task, name, unquote(name)):
        if path and os.path.exists(path):
            return path
    return None


def is_path(task: str) -> bool:
    """Whether a task's name is there as a file, and no task could be called so."""
    path = path_of(task)
    return path is not None and (os.sep in path or bool(ending(path)) or path in (".", ".."))


def looks_like_path(task: str) -> bool:
    """Whether somebody meant a file by a ``task``, though none is there."""
    name = unquote(task.split(":")[0].strip())
    return ending(name) in (*KINDS, *TEXTS, ".zip") or name.startswith(("/", "./", "../", "~"))


def quoted(tasks: str) -> str:
    """Task names, with the paths among them written so that ParlAI takes each for one name."""
    if not _SPECIAL.search(tasks):
        return tasks
    pieces = tasks.split(",")
    found = []
    while pieces:
        for count in range(len(pieces), 0, -1):
            path, options = _path_and_options(",".join(pieces[:count]))
            if path:
                found.append(_SPECIAL.sub(lambda m: f"%{ord(m[0]):02X}", path) + options)
                break
        else:
            count = 1
            found.append(pieces[0])
        pieces = pieces[count:]
    return ",".join(found)


def _path_and_options(task: str) -> tuple[str, str]:
    parts = task.split(":")
    for count in range(len(parts), 0, -1):
        path = ":".join(parts[:count])
        options = parts[count:]
        if is_path(path) and os.path.exists(path) and all("=" in one for one in options):
            return path, "".join(f":{one}" for one in options)
    return "", ""


def short_name(path: str) -> str:
    """A path as reports name it: the file and the folder that it is in."""
    folder, name = os.path.split(path.rstrip("/"))
    return os.path.join(os.path.split(folder)[1], name)
