"""Writes the dialogues into ParlAI's data path, once for each version of what is written here."""

import hashlib
import json
import os
import shutil
import tempfile
from pathlib import Path

from parlai.core import build_data
from parlai.core.opt import Opt

from parlai_cu import files
from parlai_cu.tasks.telecom import facts
from parlai_cu.tasks.telecom.intents import SPLITS
from parlai_cu.tasks.telecom.updates import DATA_SETS


def build(opt: Opt) -> str:
    """
    Build what is not there yet; a few seconds.

    :param opt: for ``datapath``
    :return: the folder: ``<data set>_<split>.jsonl``, a dialogue on each line
    """
    folder = os.path.join(opt["datapath"], "telecom")
    version = _version()
    if not build_data.built(folder, version):
        os.makedirs(opt["datapath"], exist_ok=True)
        # built aside and put in place at once: another process may be reading or building
        new = tempfile.mkdtemp(prefix="telecom.", dir=opt["datapath"])
        try:
            write(Path(new))
            build_data.mark_done(new, version)
            os.chmod(new, 0o755)
            files.sync_tree(new)
            _replace(new, folder)
        finally:
            shutil.rmtree(new, ignore_errors=True)
    return folder


def write(folder: Path) -> None:
    """Write all splits of all data sets into a folder."""
    for name, make in DATA_SETS.items():
        for split in SPLITS:
            with open(folder / f"{name}_{split}.jsonl", "w", encoding="utf-8") as file:
                for dialogue in make(split):
                    file.write(json.dumps([exchange.as_json() for exchange in dialogue]) + "\n")


def _replace(new: str, folder: str) -> None:
    old = f"{new}.old"
    try:
        if os.path.exists(folder):
            os.rename(folder, old)
        os.rename(new, folder)
    except OSError:
        # another process was faster; what it has put there is the same
        if not os.path.exists(folder):
            raise
    finally:
        shutil.rmtree(old, ignore_errors=True)


def _version() -> str:
    """Changes with every file beside this one."""
    digest = hashlib.sha256()
    here = facts.FOLDER.parent
    for path in sorted(p for p in here.rglob("*") if p.suffix in (".py", ".csv", ".yaml")):
        digest.update(path.read_bytes())
    return digest.hexdigest()[:16]
