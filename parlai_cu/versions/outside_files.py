"""
Files that a model's options name: a version holds them, and is served from any place.

A block list, candidates, classes, merges of a tokenizer: whatever a flag in the ``.opt`` names and
the model reads when it is loaded. Missing ones are refused when a version is made, since a service
would go on without them.
"""

import json
import os
import re
import shutil
from collections.abc import Mapping
from typing import Any

from parlai_cu import files, reach
from parlai_cu.errors import ModelFileError, near_file
from parlai_cu.reach import NAMES_A_FILE, NOT_READ
from parlai_cu.versions import beside

# in a version's options: flag -> the file's name in the version, or those of a folder
HELD = "version_files"
# values of such flags that are no file
_WORDS = ("", "none", "reuse", "replace", "auto", "exact", "compressed")


def take_in(opt: Mapping[str, Any], model_file: str, folder: str, stem: str) -> dict[str, Any]:
    """
    Copy what the options name into a version's folder.

    :param opt: of the model
    :param model_file: where it is: names may be relative to it, or stand beside it
    :param folder: of the version
    :param stem: what names there begin with
    :return: the options, with the names of the copies
    :raises ModelFileError: when a file that the model reads is missing
    """
    kept: dict[str, Any] = {k: v for k, v in opt.items() if k != HELD}
    held: dict[str, Any] = {}
    before = opt.get(HELD) or {}
    for flag, value in opt.items():
        words = reach.words(value)
        sources = [_source(flag, word, before, model_file) for word in words]
        for i, (word, source) in enumerate(zip(words, sources)):
            if source is None:
                continue
            files.step(f"copy {source}")
            last = os.path.basename(word.rstrip("/"))
            if flag in before:  # out of a version: it has the name already
                last = last.partition(f".{flag}.")[2] or last
            elif len(words) > 1:
                last = f"{i}-{last}"
            words[i] = name = f"{stem}.{flag}.{_plain(last)}"
            if os.path.isdir(source):
                copies = {path: f"{name}.{n}" for n, path in enumerate(_below(source))}
                held[flag] = {**held.get(flag, {}), name: copies}
                for path, copy in copies.items():
                    shutil.copyfile(os.path.join(source, path), os.path.join(folder, copy))
            else:
                held.setdefault(flag, {})
                # of another model its options and dictionary go along
                ends = [".opt", *beside.look(source).kept] if flag.endswith("_model_file") else []
                for end in ["", *(end for end in ends if os.path.isfile(source + end))]:
                    shutil.copyfile(source + end, os.path.join(folder, name + end))
        if flag in held:
            kept[flag] = _joined(words, value)
    return {**kept, HELD: held} if held else kept


def point_to(opt_file: str, copies: str, folder: str, stem: str, renamed: str = "") -> None:
    """
    Let options name the copies where they are going to be. The options are nobody else's yet.

    :param opt_file: the options
    :param copies: the folder in which the version's files are now
    :param folder: where they are going to be
    :param stem: what their names in the version begin with
    :param renamed: what they begin with in that folder, where that is something else
    """
    with open(opt_file, encoding="utf-8") as f:
        opt = json.load(f)
    if not opt.get(HELD):
        return
    for flag, folders in opt[HELD].items():
        words = reach.words(opt[flag])
        for i, word in enumerate(words):
            name = os.path.basename(word)
            if not name.startswith(f"{stem}.{flag}."):
                continue
            words[i] = os.path.join(folder, (renamed or stem) + name[len(stem) :])
            beside = os.path.join(os.path.dirname(opt_file), os.path.basename(words[i]))
            for path, copy in _inside(folders, name).items():
                os.makedirs(os.path.dirname(os.path.join(beside, path)), exist_ok=True)
                shutil.copyfile(os.path.join(copies, copy), os.path.join(beside, path))
        opt[flag] = _joined(words, opt[flag])
    with open(opt_file, "w", encoding="utf-8") as f:
        json.dump(opt, f, indent=1)


def _inside(folders: Any, name: str) -> dict[str, str]:
    """The files of a folder that a version holds: their paths in it, and their copies' names."""
    if not isinstance(folders, dict):  # written before 2026-11-29: one file's name
        return {}
    is_one = folders and not any(isinstance(each, dict) for each in folders.values())
    return folders if is_one else folders.get(name, {})


def _joined(words: list[str], like: Any) -> Any:
    return words if isinstance(like, list) else ",".join(words)


def _source(flag: str, value: str, held: Mapping[str, Any], model_file: str) -> str | None:
    """Where the file of a flag is; None where the flag names none."""
    if value in _WORDS or NOT_READ.fullmatch(flag):
        return None
    if "://" in value or re.match(r"[a-z]+:", value) or len(value) > 4096 or "\n" in value:
        return None
    places = list(reach.places(value, model_file))
    if flag in held:  # an exported version that was moved
        places.append(f"{model_file}.{flag}.{os.path.basename(value).partition(f'.{flag}.')[2]}")
    named = bool(NAMES_A_FILE.fullmatch(flag))
    is_there = os.path.exists if named or os.sep in value else os.path.isfile
    for place in places if reach.names_a_file(flag, value) else ():
        if is_there(place):
            return place
    if named:
        raise ModelFileError(
            f"{model_file}.opt: --{flag.replace('_', '-')} {value}: there is no such "
            f"file{near_file(value)}. The model reads it when it is loaded, and a version holds "
            "all that it needs: put it back, or take the flag out of the .opt"
        )
    return None


def _below(folder: str) -> list[str]:
    found = [
        os.path.relpath(os.path.join(here, name), folder)
        for here, _, names in os.walk(folder)
        for name in names
    ]
    return sorted(found)


def _plain(name: str) -> str:
    return re.sub(r"[^\w.-]+", "_", name)[-80:]
