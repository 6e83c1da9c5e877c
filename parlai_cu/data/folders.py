"""Folders: a saved Hugging Face dataset, a Rasa project, or files of any format."""

import json
import os
import shutil
import zipfile
import zlib
from typing import Any

from parlai_cu.data.column_names import split_in, split_of
from parlai_cu.data.names import TEXTS
from parlai_cu.data.readers.rasa import is_part, merged, with_lines
from parlai_cu.data.source import Source, sources_of
from parlai_cu.errors import DataError
from parlai_cu.tabular.parquet import column_records
from parlai_cu.tabular.table import KINDS, ending

_SAVED = ("state.json", "dataset_info.json")


def sources_in(path: str) -> tuple[list[Source], list[str]]:
    """
    What a folder holds, one source a file; each knows the split that its name tells.

    :return: the sources, and the files whose names no format has

    :raises DataError: when there is nothing to read
    """
    if os.path.isfile(os.path.join(path, "dataset_dict.json")):
        names = _json_of(os.path.join(path, "dataset_dict.json")).get("splits")
        if not names or not isinstance(names, list) or not all(isinstance(n, str) for n in names):
            raise DataError(
                f"{path}: the saved dataset cannot be read (splits in dataset_dict.json: expected "
                f"a list of names, found {names!r})"
            )
        return [one for name in names for one in _saved(path, name)], []
    if all(os.path.isfile(os.path.join(path, name)) for name in _SAVED):
        return _saved(path, None), []
    whole = [
        os.path.join(folder, name)
        for folder, _, names in sorted(os.walk(path))
        for name in sorted(names)
        if not name.startswith((".", "__MACOSX")) and "__MACOSX" not in folder
    ]
    files = [name for name in whole if ending(name) in (*KINDS, *TEXTS)]
    if not files:
        held = ", ".join(sorted(os.listdir(path))[:5]) or "nothing"
        raise DataError(f"{path}: the folder holds no file of conversations; in it: {held}")
    project, others = _rasa(path, files)
    found = []
    for name in others:
        for source in sources_of(name):
            source.split = source.split or split_in(os.path.splitext(os.path.basename(name))[0])
            found.append(source)
    return project + found, [name for name in whole if name not in files]


def unpack(path: str, folder: str) -> str:
    """
    Unpack a zip archive.

    :return: what it holds: the folder, or the only one within it
    :raises DataError: when it is damaged, has a password, or is larger than the disk
    """
    try:
        with zipfile.ZipFile(path) as archive:
            size = sum(one.file_size for one in archive.infolist())
            free = shutil.disk_usage(folder).free
            if size > free:
                raise DataError(
                    f"{path}: {size} bytes unpacked, expected at most {free}, the free space of "
                    f"{os.path.dirname(folder)}"
                )
            archive.extractall(folder)
    except (zipfile.BadZipFile, zlib.error, EOFError, RuntimeError, OSError) as error:
        raise DataError(f"{path}: the archive cannot be read ({error})") from error
    held = [name for name in os.listdir(folder) if name != "__MACOSX"]
    within = os.path.join(folder, held[0]) if len(held) == 1 else folder
    return within if os.path.isdir(within) else folder


def _rasa(path: str, files: list[str]) -> tuple[list[Source], list[str]]:
    documents: list[Any] = []
    others = []
    for name in files:
        source = Source(name)
        document = source.yaml if ending(name) in (".yml", ".yaml") else None
        if is_part(document):
            documents.append(with_lines(document, source.text))
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
    state = _json_of(os.path.join(folder, "state.json"))
    records: list[dict[str, Any]] = []
    try:
        for one in state["_data_files"]:
            records += column_records(os.path.join(folder, one["filename"]))[1]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise DataError(f"{path}: the saved dataset cannot be read ({error})") from error
    name = state.get("_split") if split is None else split
    known = split_of(name)
    return [Source(path, part=str(split or ""), split=known, given=list(enumerate(records, 1)))]


def _json_of(path: str) -> dict[str, Any]:
    """What a saved dataset says of itself in a file."""
    try:
        with open(path, encoding="utf-8") as file:
            held = json.load(file)
        if not isinstance(held, dict):
            raise ValueError(f"expected an object, found a {type(held).__name__}")
    except (OSError, ValueError) as error:
        said = f"the saved dataset cannot be read ({os.path.basename(path)}: {error})"
        raise DataError(f"{os.path.dirname(path)}: {said}") from error
    return held
