"""Folders: a saved Hugging Face dataset, a Rasa project, or files of any format."""

import json
import os
import re
from typing import Any

from parlai_cu.data.column_names import SPLITS, split_of
from parlai_cu.data.readers.rasa import is_part, merged
from parlai_cu.data.source import Source, sources_of
from parlai_cu.errors import DataError
from parlai_cu.tabular.table import KINDS, ending

_TEXTS = (".json", ".jsonl", ".ndjson", ".txt", ".yml", ".yaml", ".md", ".log")
_SAVED = ("state.json", "dataset_info.json")
_SPLIT = re.compile(rf"(?:^|[-_.\s])({'|'.join(SPLITS)})(?=[-_.\s]|$)", re.IGNORECASE)


def sources_in(path: str) -> list[Source]:
    """
    What a folder holds, one source a file; each knows the split that its name tells.

    :raises DataError: when there is nothing to read
    """
    if os.path.isfile(os.path.join(path, "dataset_dict.json")):
        with open(os.path.join(path, "dataset_dict.json"), encoding="utf-8") as file:
            names = json.load(file).get("splits", [])
        return [one for name in names for one in _saved(path, name)]
    if all(os.path.isfile(os.path.join(path, name)) for name in _SAVED):
        return _saved(path, None)
    files = [
        os.path.join(folder, name)
        for folder, _, names in sorted(os.walk(path))
        for name in sorted(names)
        if not name.startswith(".") and ending(name) in (*KINDS, *_TEXTS)
    ]
    if not files:
        held = ", ".join(sorted(os.listdir(path))[:5]) or "nothing"
        raise DataError(f"{path}: the folder holds no file of conversations; in it: {held}")
    project, others = _rasa(path, files)
    found = []
    for name in others:
        for source in sources_of(name):
            source.split = split_in(os.path.basename(name))
            found.append(source)
    return project + found


def split_in(name: str) -> str | None:
    """The split that a file's name tells: ``corrections_valid.csv`` is for validation."""
    found = _SPLIT.findall(os.path.splitext(name)[0])
    return SPLITS[found[-1].lower()] if found else None


def _rasa(path: str, files: list[str]) -> tuple[list[Source], list[str]]:
    documents: list[Any] = []
    others = []
    for name in files:
        document = Source(name).yaml if ending(name) in (".yml", ".yaml") else None
        if is_part(document):
            documents.append(document)
        elif document is None:
            others.append(name)  # other YAML of a project: its configuration
    if not documents:
        return [], files
    project = Source(path, given=[])
    project.__dict__["yaml"] = merged(documents)
    return [project], others


def _saved(path: str, split: str | None) -> list[Source]:
    """A dataset as ``save_to_disk`` writes it: Arrow streams, and their names."""
    folder = os.path.join(path, split) if split else path
    try:
        import pyarrow
        import pyarrow.ipc
    except ImportError:
        raise DataError(
            f"{path}: a saved dataset is read by pyarrow: pip install pyarrow"
        ) from None
    try:
        with open(os.path.join(folder, "state.json"), encoding="utf-8") as file:
            state = json.load(file)
        records: list[dict[str, Any]] = []
        for one in state["_data_files"]:
            with pyarrow.memory_map(os.path.join(folder, one["filename"])) as stream:
                records += pyarrow.ipc.open_stream(stream).read_all().to_pylist()
    except (OSError, ValueError, KeyError, pyarrow.ArrowException) as error:
        raise DataError(f"{path}: the saved dataset cannot be read ({error})") from error
    name = state.get("_split") if split is None else split
    known = split_of(name)
    return [Source(path, part=str(split or ""), split=known, given=list(enumerate(records, 1)))]
