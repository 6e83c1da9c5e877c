"""A ParlAI model on its way into a store: found, read safely, written in full or as a delta."""

import json
import os
import shutil
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch

from parlai_cu import checkpoints, files
from parlai_cu.errors import ModelFileError, near_file
from parlai_cu.files import file_hash
from parlai_cu.trust import trusted
from parlai_cu.versions import beside, checkout, outside_files, tensors
from parlai_cu.versions.records import StoredFile
from parlai_cu.versions.storage import translate_errors

# a delta is kept where it takes at most this share of the model
DELTA_SHARE = 0.9


class StoredModel(NamedTuple):
    """
    What was written.

    :param files: name -> hash and size
    :param is_delta: whether the tensors of another version are needed
    """

    files: dict[str, StoredFile]
    is_delta: bool


class ModelImporter:
    """
    The files of a model, read.

    :param model_file: ``-mf``
    :raises ModelFileError: when something is missing, damaged or not safe to read
    """

    def __init__(self, model_file: str) -> None:
        self.model_file = model_file
        self.opt = _read_opt(model_file)
        self.agent = str(self.opt.get("base_agent") or self.opt.get("model"))
        states = checkpoints.load(model_file, mmap=True)
        self.states = tensors.without_training(states)
        # what a user trusted is written anew, without objects: services read it later
        self._as_it_is = not trusted() and all(
            self.states.get(name) is value for name, value in states.items()
        )
        self.held = tensors.take_apart(self.states)
        self.hashes = tensors.hashes(self.held.tensors)
        self.content = tensors.content_hash(self.hashes, self.held.frame)
        self.model_bytes = os.path.getsize(model_file)

    def write(self, folder: str, base: checkout.Base | None, wanted: bool | None) -> StoredModel:
        """
        Write everything but the version's record.

        :param folder: where to
        :param base: what a delta could be against
        :param wanted: whether it has to be a delta; None: where that pays
        """
        with translate_errors(folder):
            changed = None if base is None else self._changed(base)
            is_delta = changed is not None and (bool(wanted) or self._pays(changed))
            files.step(f"write model into {folder}")
            if changed is not None and is_delta:
                tensors.save_tensors(changed, os.path.join(folder, checkout.DELTA))
            else:
                self._write_full(os.path.join(folder, checkout.MODEL))
            if is_delta or not self._as_it_is:
                self.model_bytes = tensors.count_bytes(self.held.tensors.values())
            self._write_beside(folder)
            return StoredModel(self._recorded(folder, base if is_delta else None), is_delta)

    @property
    def weights_bytes(self) -> int:
        """Bytes of all tensors."""
        return tensors.count_bytes(self.held.tensors.values())

    def shared_bytes(self, base: checkout.Base) -> int:
        """Bytes of the tensors that a version has as well, under whatever names."""
        return self.weights_bytes - tensors.count_bytes(self._changed(base).values())

    def _changed(self, base: checkout.Base) -> dict[str, torch.Tensor]:
        held = set(base.contents["tensors"].values())
        return {
            path: tensor
            for path, tensor in self.held.tensors.items()
            if self.hashes[path] not in held
        }

    def _pays(self, changed: Mapping[str, torch.Tensor]) -> bool:
        return tensors.count_bytes(changed.values()) <= DELTA_SHARE * self.weights_bytes

    def _write_full(self, path: str) -> None:
        if self._as_it_is:
            shutil.copyfile(self.model_file, path)
        else:
            with files.translate_errors(path):  # torch's own error on a full disk
                torch.save(self.states, path)

    def _write_beside(self, folder: str) -> None:
        contents = {"tensors": self.hashes, "frame": self.held.frame}
        checkout.write_json(os.path.join(folder, checkout.CONTENTS), contents, indent=None)
        # paths of the machine that trained it; ParlAI looks beside the model where it has none
        opt = {**self.opt, "model_file": None, "dict_file": None, "init_model": None}
        opt = outside_files.take_in(opt, self.model_file, folder, checkout.MODEL)
        checkout.write_json(os.path.join(folder, f"{checkout.MODEL}.opt"), opt)
        ends = beside.look(self.model_file).kept
        copies = {self.model_file + end: end for end in ends}
        dictionary = str(self.opt.get("dict_file") or "")
        if ".dict" not in ends and os.path.isfile(dictionary):
            copies[dictionary] = ".dict"
        for source, end in copies.items():
            files.step(f"copy {source}")
            shutil.copyfile(source, os.path.join(folder, checkout.MODEL + end))

    def _recorded(self, folder: str, base: checkout.Base | None) -> dict[str, StoredFile]:
        found = {}
        for name in sorted(os.listdir(folder)):
            path = os.path.join(folder, name)
            record = StoredFile(file_hash(path), os.path.getsize(path))
            same = base.version.files.get(name) if base is not None else None
            if base is not None and same is not None and same.sha256 == record.sha256:
                files.step(f"leave {name} out")
                os.unlink(path)
                found[name] = StoredFile(record.sha256, record.size, same.at or base.version.id)
            else:
                # who serves may be another user; safetensors and mkdtemp write for this one only
                os.chmod(path, 0o644)
                files.sync_file(path)
                found[name] = record
        return found


def _read_opt(model_file: str) -> dict[str, Any]:
    for path, what in ((model_file, "model file"), (model_file + ".opt", "options (.opt)")):
        if not os.path.isfile(path):
            raise ModelFileError(f"--model-file {model_file}: no {what} at {path}{near_file(path)}")
    try:
        with open(model_file + ".opt") as f:
            opt = json.load(f)
    except (ValueError, OSError) as error:
        # ParlAI would go on to unpickle it
        raise ModelFileError(f"{model_file}.opt is no ParlAI options file: {error}") from None
    if not isinstance(opt, dict) or not opt.get("model"):
        raise ModelFileError(f"{model_file}.opt names no model: it is no ParlAI options file")
    return opt
