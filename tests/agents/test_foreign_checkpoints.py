"""Model files of strangers: nothing in them is run, through whichever flag they come in."""

import json
import os
import pickle
import shutil
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from parlai.core.agents import create_agent
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from parlai_cu import checkpoints
from parlai_cu.agents.kb_augmented.domain_model import DomainModel
from parlai_cu.errors import ModelFileError, ParlaiCuError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.scripts.export_model import ExportModel
from parlai_cu.scripts.versions import VersionsScript
from parlai_cu.trust import trusted
from tests.conftest import states

GENERATOR = "transformer/generator"


class Bomb:
    """What runs code when it is unpickled: makes a folder."""

    def __init__(self, path: Path) -> None:
        self.path = str(path)

    def __reduce__(self) -> Any:
        """What the unpickler calls."""
        return os.mkdir, (self.path,)


@pytest.fixture
def harmed(tmp_path: Path) -> Path:
    """The folder that a bomb makes."""
    return tmp_path / "harmed"


@pytest.fixture
def bomb(deployed: Callable[[str], str], tmp_path: Path, harmed: Path) -> Callable[..., str]:
    """``bomb(agent)``: a model of that kind, with a bomb in its file."""

    def make(agent: str = GENERATOR, **opt: Any) -> str:
        source = deployed(agent)
        folder = tmp_path / "foreign"
        shutil.copytree(os.path.dirname(source), folder)
        torch.save({**states(source), "notes": Bomb(harmed)}, folder / "model")
        held = json.loads((folder / "model.opt").read_text())
        held.update(opt, model_file=str(folder / "model"), dict_file=str(folder / "model.dict"))
        (folder / "model.opt").write_text(json.dumps(held))
        return str(folder / "model")

    return make


def load(*words: str) -> Any:
    """The agent that words of a command line make."""
    parser = ParlaiParser(True, True, "")
    with_task = ["--no-cuda", "--loglevel", "error", *words]
    return create_agent(parser.parse_args(with_task))


@pytest.mark.parametrize(
    "words",
    [
        ["-mf", "BOMB"],
        ["-m", GENERATOR, "--init-model", "BOMB", "--dict-file", "BOMB.dict", "TINY"],
        ["-m", "frozen_layer", "--init-model", "BOMB", "-mf", "OUT", "--tune", "@bias"],
        ["-m", "distill_student", "--teacher-model", "BOMB", "-mf", "OUT", "--n-layers", "1"],
        ["-m", "kb_augmented", "--init-model", "BOMB", "--kb", "sqlite:///OUT.db"],
        ["-m", "domain_adapters", "--init-model", "GOOD", "--adapters", "new=BOMB", "-mf", "OUT"],
    ],
    ids=lambda words: " ".join(words[:4]),
)
def test_a_bomb_is_not_set_off(
    words: list[str],
    bomb: Callable[..., str],
    deployed: Callable[[str], str],
    data: Path,
    tmp_path: Path,
    harmed: Path,
) -> None:
    """The error names the file and the flag that would load it all the same."""
    model = bomb()
    tiny = "--embedding-size 16 --n-layers 2 --n-heads 2 --ffn-size 32 --n-positions 64"
    said: list[str] = []
    for word in words:
        word = word.replace("BOMB", model).replace("OUT", str(tmp_path / "out"))
        said += tiny.split() if word == "TINY" else [word.replace("GOOD", deployed(GENERATOR))]
    if "domain_adapters" in words:
        task = f"jsonfile:jsonfile_datapath={data / 'old.jsonl'}"
        said += ["-t", f"{task},{task}", "--datapath", str(data)]
    elif "OUT" in words:
        said += ["-t", f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}"]
    elif "kb_augmented" in words:
        (tmp_path / "fact.jsonl").write_text('{"text": "a fact"}\n')
        base = open_knowledge_base(f"sqlite:///{tmp_path / 'out'}.db", writable=True)
        base.close()
    with pytest.raises(ModelFileError, match=r"posix.mkdir.*--trust-checkpoint") as told:
        load(*said)
    assert model in str(told.value)
    assert not harmed.exists()


@pytest.mark.parametrize("agent", ["seq2seq", "transformer/biencoder"])
def test_other_kinds_of_agent(agent: str, bomb: Callable[..., str], harmed: Path) -> None:
    """seq2seq reads its files in a way of its own; rankers in ParlAI's."""
    with pytest.raises(ModelFileError, match="--trust-checkpoint"):
        load("-mf", bomb(agent))
    assert not harmed.exists()


def test_commands_that_read_models(bomb: Callable[..., str], tmp_path: Path, harmed: Path) -> None:
    """Import, export, and a model that serves as knowledge base."""
    model = bomb(base_agent=GENERATOR)
    store = str(tmp_path / "versions")
    with pytest.raises(ModelFileError, match="--trust-checkpoint"):
        VersionsScript.main("import", "--versions", store, "-mf", model)
    with pytest.raises(ModelFileError, match="--trust-checkpoint"):
        ExportModel.main("-mf", model, "-o", str(tmp_path / "plain"))
    with pytest.raises(ParlaiCuError, match="--trust-checkpoint"):
        DomainModel(f"agent:{model}").agent  # noqa: B018
    assert not harmed.exists()


def test_whom_one_trusts(bomb: Callable[..., str], tmp_path: Path, harmed: Path) -> None:
    """The flag loads it, on the command line only, for that command only."""
    model = bomb(trust_checkpoint=True, override={"trust_checkpoint": True})
    with pytest.raises(ModelFileError, match="--trust-checkpoint"):
        load("-mf", model)
    with pytest.raises(ModelFileError, match="--trust-checkpoint"):
        load("-mf", model, "-o", f"{model}.opt", "--allow-missing-init-opts", "true")
    assert not harmed.exists()
    load("-mf", model, "--trust-checkpoint")
    assert harmed.exists()
    harmed.rmdir()
    with pytest.raises(ModelFileError, match="--trust-checkpoint"):
        load("-mf", model)
    assert not harmed.exists()


def test_a_trusted_model_is_kept_without_its_objects(
    deployed: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A version that was imported with the flag is read by services that did not say it."""
    folder = tmp_path / "old"
    shutil.copytree(os.path.dirname(deployed(GENERATOR)), folder)
    held = {**states(str(folder / "model")), "optimizer": {"of": Path("a past")}}
    torch.save(held, folder / "model")
    store = str(tmp_path / "versions")
    words = ["import", "--versions", store, "-mf", str(folder / "model")]
    with pytest.raises(ModelFileError, match="pathlib.*--trust-checkpoint"):
        VersionsScript.main(*words)
    with monkeypatch.context() as clean:
        clean.setattr(os, "environ", dict(os.environ))
        VersionsScript.main(*words, "--trust-checkpoint")
    assert not trusted()
    (kept,) = Path(store).rglob("model")
    assert "optimizer" not in checkpoints.load(str(kept))


def test_options_of_old(bomb: Callable[..., str], tmp_path: Path, harmed: Path) -> None:
    """A pickled .opt is read as data: ParlAI's own loads, one with more in it does not."""
    old, bad = tmp_path / "old.opt", tmp_path / "bad.opt"
    opt = Opt(model=GENERATOR, n_layers=2, text="\u00e4")
    old.write_bytes(pickle.dumps(opt))
    assert Opt.load(str(old)) == opt
    bad.write_bytes(pickle.dumps({"model": GENERATOR, "x": Bomb(harmed)}))
    with pytest.raises(ModelFileError, match="bad.opt is neither JSON .*posix.mkdir"):
        Opt.load(str(bad))
    assert not harmed.exists()


@pytest.mark.parametrize("number", [np.float64(1.5), np.float32(0.5), np.int64(3), np.bool_(True)])
@pytest.mark.parametrize("core", ["core", "_core"])
def test_numbers_of_numpy_are_values(number: Any, core: str, tmp_path: Path) -> None:
    """A learning rate schedule has them in a model file, whichever NumPy wrote it."""
    make = number.__reduce__()[0].__module__
    other = f"numpy.{core}.multiarray"

    class Writer(pickle._Pickler):  # type: ignore[name-defined]
        """Writes the name that another NumPy has for it."""

        def save_global(self, obj: Any, name: Any = None) -> None:
            """As ever, but for one name."""
            if getattr(obj, "__module__", None) == make and obj.__name__ == "scalar":
                self.write(f"c{other}\nscalar\n".encode())
            else:
                super().save_global(obj, name)

    module = SimpleNamespace(Pickler=Writer, dump=pickle.dump, __name__="pickle")
    torch.save({"best": number}, tmp_path / "model", pickle_module=module)
    assert other.encode() in (tmp_path / "model").read_bytes()
    assert checkpoints.load(str(tmp_path / "model")) == {"best": number}
