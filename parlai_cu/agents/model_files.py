"""
The files of a ParlAI model: found, checked before any work, written all or not at all.

A model ``DIR/model`` is several files: ``model`` (weights), ``model.opt`` (options),
``model.dict`` and, by tokenizer, ``model.dict.codecs`` and others.
"""

import contextlib
import os
import shutil
import tempfile
from collections.abc import Iterator
from typing import Any

from parlai.core.opt import Opt

from parlai_cu import files, reach
from parlai_cu.errors import ModelFileError, SaveError, near_file
from parlai_cu.versions import beside


def read_opt(model_file: str, flag: str) -> Opt:
    """
    The options of a model that must be there.

    :param model_file: path of the weights
    :param flag: the flag that named it, for the message
    :raises ModelFileError: when the weights or the options are missing or unreadable, or reach
        beyond the model's folder
    """
    for path, what in ((model_file, "model file"), (model_file + ".opt", "options (.opt)")):
        if not os.path.isfile(path):
            raise ModelFileError(f"{flag} {model_file}: no {what} at {path}{near_file(path)}")
    try:
        opt = Opt.load(model_file + ".opt")
    except (ValueError, OSError) as error:
        raise ModelFileError(
            f"{flag} {model_file}: {model_file}.opt is not a ParlAI options file: {error}"
        ) from None
    reach.check(opt, model_file)
    return opt


def find_opt(model_file: str | None) -> Opt | None:
    """
    The options of a model that may be there; of its checkpoint, if there is only that.

    :raises ModelFileError: when they are damaged, or name code of a module
    """
    for suffix in ("", ".checkpoint"):
        if model_file and os.path.isfile(f"{model_file}{suffix}.opt"):
            try:
                opt = Opt.load(f"{model_file}{suffix}.opt")
            except (ValueError, OSError) as error:
                raise ModelFileError(
                    f"-mf {model_file}: {model_file}{suffix}.opt is damaged: {error}"
                ) from None
            reach.check(opt, model_file, only=reach.CODE)
            return opt
    return None


def same_file(one: str | None, other: str | None) -> bool:
    """
    Whether ``one`` path and the ``other`` name the same file, links followed, existing or not.
    """
    return bool(one and other) and os.path.realpath(str(one)) == os.path.realpath(str(other))


def check_writable(model_file: str) -> None:
    """
    Make sure, before any work, that the model can be written.

    :raises SaveError: when its folder cannot be made or written to
    """
    folder = os.path.dirname(os.path.abspath(model_file))
    try:
        os.makedirs(folder, exist_ok=True)
        with tempfile.TemporaryFile(dir=folder):
            pass
    except OSError as error:
        raise SaveError(f"-mf {model_file}: cannot write in {folder}: {error.strerror}") from None


def check_dictionary(path: str) -> None:
    """
    Make sure that a deployed model's dictionary is there.

    ParlAI would build one from the new data, in the deployed model's folder, in which every
    word has another number.

    :raises ModelFileError: when it is missing
    """
    if not os.path.isfile(path):
        raise ModelFileError(
            f"the deployed model's dictionary is missing: expected {path}{near_file(path)}"
        )


def same_dictionary(one: str, other: str, saved_again: bool = False) -> bool:
    """
    Whether words have the same numbers in two dictionaries.

    :param one: path of a dictionary's file
    :param other: path of another
    :param saved_again: whether ``one`` is of a model made of the other's, and may go on: some
        agents add words of their own when they are built, which the first save has not yet
    """
    first, second = _words_in(one), _words_in(other)
    return (first[: len(second)] if saved_again else first) == second


def _words_in(path: str) -> list[str]:
    with open(path, encoding="utf-8") as f:
        return [line.rpartition("\t")[0] for line in f]


@contextlib.contextmanager
def written_whole(model_file: str) -> Iterator[str]:
    """
    Write the files of a model beside their place, then move them there.

    Yields the path to write to. When the block ends, every file that begins with that path is
    moved to ``model_file``'s name, the weights last, so that weights never stand without what
    they need. When the block fails, nothing that was there before is touched. A dictionary
    that is already there is kept: it is the one the weights were trained with.

    :raises SaveError: when a file cannot be written (disk full, no permission)
    """
    folder, name = os.path.split(os.path.abspath(model_file))
    with files.translate_errors(model_file):
        files.remove_stale(folder, f".saving-{name}-", f".writing-{name}")
        files.step(f"save {model_file}")
        staging = tempfile.mkdtemp(prefix=f".saving-{name}-", dir=folder)
        try:
            yield os.path.join(staging, name)
            for entry in sorted(os.listdir(staging), key=lambda entry: (entry == name, entry)):
                target = os.path.join(folder, entry)
                if entry.startswith(name + ".dict") and os.path.exists(target):
                    continue
                files.sync_file(os.path.join(staging, entry))
                files.step(f"replace {target}")
                os.replace(os.path.join(staging, entry), target)
            files.sync_folder(folder)
        finally:
            shutil.rmtree(staging, ignore_errors=True)


def bring_along(deployed: str | None, opt: Opt) -> None:
    """
    Give a candidate the files of an agent's own that stand beside the model it is made from.

    Not those that ParlAI makes anew: dictionary and candidates.

    :param deployed: file of that model, if there is one
    :param opt: of the run
    """
    target = opt["model_file"]
    if not deployed or not os.path.isfile(deployed) or same_file(deployed, target):
        return
    for end in beside.look(deployed).kept:
        if not end.startswith((".dict", ".cands")) and not os.path.exists(target + end):
            with files.whole(target + end) as aside:
                shutil.copy(deployed + end, aside)


def copy_beside(model_file: str, target: str) -> None:
    """
    Copy what a model has beside its weights and options: dictionary, fixed candidates, any other.

    :param model_file: of the model
    :param target: of the copy; its folder is there
    """
    for end in beside.look(model_file).kept:
        shutil.copyfile(model_file + end, target + end)


def write_like(
    model_file: str,
    target: str,
    opt: Opt | None = None,
    states: dict[str, Any] | None = None,
    pieces: str = "",
) -> None:
    """
    Write a model as another one, with all that the other has beside it.

    :param model_file: of the other
    :param target: of the one that is written; its folder is made
    :param opt: its options; the other's where missing
    :param states: its weights; the other's where missing
    :param pieces: lines that its dictionary has more
    """
    import torch

    opt = Opt.load(f"{model_file}.opt") if opt is None else opt
    opt["dict_file"] = f"{target}.dict"
    opt.get("override", {}).pop("dict_file", None)
    os.makedirs(os.path.dirname(os.path.abspath(target)), exist_ok=True)
    with written_whole(target) as staged:
        copy_beside(model_file, staged)
        if pieces:
            with open(f"{staged}.dict", "a", encoding="utf-8") as f:
                f.write(pieces)
        opt.save(f"{staged}.opt")
        if states is None:
            shutil.copyfile(model_file, staged)
        else:
            torch.save(states, staged)
