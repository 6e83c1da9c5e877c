"""Models that come with the package: found, verified by checksum, copied to the data path."""

import hashlib
import json
import os
from pathlib import Path

from parlai_cu import files
from parlai_cu.errors import ModelFileError

# in a wheel the models lie beside this file, in a checkout in its top-level zoo/
HERE = Path(__file__).resolve().parent
PLACES = (HERE, HERE.parents[1] / "zoo")
SUMS = "sha256.json"


def folder_of(name: str) -> Path:
    """
    Where the models of one zoo entry lie.

    :raises ModelFileError: they were not installed
    """
    for place in PLACES:
        if (place / name / SUMS).is_file():
            return place / name
    raise ModelFileError(
        f"The models of zoo:{name} are not there: expected {SUMS} in "
        f"{' or '.join(str(place / name) for place in PLACES)}. Install parlai-cu again."
    )


def install(name: str, datapath: str) -> None:
    """
    Copy the models of one zoo entry to ``DATAPATH/models/NAME``, where ParlAI looks for them.

    Files already there are verified as well. One that differs (damaged, of another release, or
    trained further in place) is kept as ``FILE.changed``.

    :raises ModelFileError: a shipped file does not have its checksum
    """
    folder = folder_of(name)
    sums: dict[str, str] = json.loads((folder / SUMS).read_text(encoding="utf-8"))
    target = Path(datapath) / "models" / name
    target.mkdir(parents=True, exist_ok=True)
    for source, expected in sums.items():
        model, file = source.split("/")
        # base/model.opt becomes base.opt, so that zoo:telecom/base is a model file
        wanted = target / (model + file[len("model") :])
        there = wanted.is_file()
        if there and sha256(wanted.read_bytes()) == expected:
            continue
        content = (folder / source).read_bytes()
        found = sha256(content)
        if found != expected:
            raise ModelFileError(
                f"{folder / source} is damaged: its SHA-256 is {found}, expected {expected}. "
                "Install parlai-cu again."
            )
        with files.whole(str(wanted)) as aside:
            Path(aside).write_bytes(content)
            os.chmod(aside, 0o644)
            if there:
                os.replace(wanted, f"{wanted}.changed")


def sha256(content: bytes) -> str:
    """The checksum of a content as sha256.json holds it."""
    return hashlib.sha256(content).hexdigest()
