"""parlai_cu/reach.py: what a stranger's .opt names beyond its folder counts only with a word."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.agents import create_agent, create_agent_from_model_file
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from parlai_cu import reach
from parlai_cu.chat_service import yaml_settings
from parlai_cu.chat_service.flags import service_parser
from parlai_cu.errors import ModelFileError, ParlaiCuError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.scripts.versions import VersionsScript
from parlai_cu.trust import trust
from parlai_cu.versions.store import VersionStore

GENERATOR = "transformer/generator"
HOSTS = [
    ("kb", "openai+http://me:secret@evil.example/v1#m"),
    ("kb", "sparql+http://evil.example/q"),
    ("kb", "postgresql+psycopg://evil.example/x"),
    ("kb", "sql+mysql://evil.example/x"),
    ("search_server", "evil.example:8080"),
    ("wandb_hook", "https://evil.example/"),
]
CODE = [
    ("model", "subprocess:Popen"),
    ("base_agent", "evil.module:Class"),
    ("kb", "evil.module:Class"),
    ("dict_class", "subprocess:Popen"),
    ("kb_gate", "subprocess:Popen"),
]
# of a file that is there, as OUT
FILES = [
    ("kb", "sqlite:///OUT"),
    ("kb", "graph:OUT"),
    ("kb", "agent:OUT"),
    ("kb", "sql+sqlite:///OUT"),
    ("fixed_candidates_path", "OUT"),
    ("fixed_candidates_path", "private.txt"),
    ("beam_block_list_filename", "../private.txt"),
    # of several one, and from the model's folder, as an import would find them
    ("blocklist_path", "model,OUT"),
    ("blocklist_path", "model,private.txt"),
    ("some_setting", "private.txt"),
    ("bpe_vocab", "OUT"),
    ("some_files", ["OUT"]),
]


@pytest.fixture
def stranger(
    deployed: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """``stranger(**options)``: a model whose .opt names them; OUT is a file beside its folder."""
    here = tmp_path / "cwd"
    here.mkdir()
    for place in (tmp_path, here):
        (place / "private.txt").write_text("nobody's business\n")
    monkeypatch.chdir(here)

    def make(**options: Any) -> str:
        folder = tmp_path / "foreign"
        if not folder.exists():
            shutil.copytree(os.path.dirname(deployed(GENERATOR)), folder)
        held = json.loads((folder / "model.opt").read_text())
        named = json.loads(json.dumps(options).replace("OUT", str(tmp_path / "private.txt")))
        held.update(named, dict_file=str(folder / "model.dict"))
        (folder / "model.opt").write_text(json.dumps(held))
        return str(folder / "model")

    return make


def load(*words: str) -> Any:
    """The agent that words of a command line make."""
    parser = ParlaiParser(True, True, "")
    return create_agent(parser.parse_args(["--no-cuda", "--loglevel", "error", *words]))


@pytest.mark.parametrize(("flag", "value"), [*HOSTS, *CODE, *FILES], ids=str)
def test_it_is_not_opened(
    flag: str, value: Any, stranger: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of any kind; the error says what it is and how to allow it, and no password."""
    model = stranger(**{flag: value})
    for way in (lambda: load("-mf", model), lambda: create_agent_from_model_file(model)):
        with pytest.raises(ModelFileError, match=f"{flag}: .*--trust-checkpoint") as error:
            way()
    assert "secret" not in str(error.value) and "PARLAI_CU_ALLOW" in str(error.value)
    opt = Opt.load(f"{model}.opt")
    (named,) = reach.reached(opt, model)
    monkeypatch.setenv(reach.ALLOWED, f"other,{named.value[:14]}")
    reach.check(opt, model)
    monkeypatch.delenv(reach.ALLOWED)
    trust(True)
    try:
        reach.check(opt, model)
    finally:
        trust(False)


def test_everywhere(stranger: Callable[..., str], tmp_path: Path) -> None:
    """As deployed model, teacher, knowledge base, in a service and on import."""
    model = stranger(fixed_candidates_path="OUT")
    task = ["-t", "integration_tests", "-mf", str(tmp_path / "out")]
    for words in (
        ["-m", "frozen_layer", "--init-model", model, "--tune", "@bias", *task],
        ["-m", "distill_student", "--teacher-model", model, "--n-layers", "1", *task],
        ["-m", "kb_augmented", "--init-model", model, "--kb", "sqlite:///x.db"],
    ):
        with pytest.raises(ModelFileError, match="private.txt.*--trust-checkpoint"):
            load(*words)
    with pytest.raises(ParlaiCuError, match="private.txt.*--trust-checkpoint"):
        open_knowledge_base(f"agent:{model}")
    with pytest.raises(ModelFileError, match="private.txt.*--trust-checkpoint"):
        create_agent(yaml_settings.model_options("m", {"model_file": model}))
    service_parser().parse_args(["--trust-checkpoint"])
    create_agent(yaml_settings.model_options("m", {"model_file": stranger(kb_synonyms="OUT")}))
    service_parser().parse_args([])
    with pytest.raises(ModelFileError, match="private.txt.*--trust-checkpoint"):
        VersionsScript.main("import", "--versions", str(tmp_path / "versions"), "-mf", model)


def test_code_is_not_imported_to_learn_flags(
    stranger: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The parser asks an agent's class for its flags."""
    (tmp_path / "cwd" / "bomb.py").write_text("raise SystemExit('harmed')\n")
    monkeypatch.syspath_prepend(tmp_path / "cwd")
    for flag in ("model", "base_agent"):
        model = stranger(**{flag: "bomb:Class"})
        with pytest.raises(ModelFileError, match="bomb:Class"):
            load("-mf", model)
        with pytest.raises(ModelFileError, match="bomb:Class"):
            yaml_settings.model_options("m", {"model_file": model})


def test_another_dictionary(stranger: Callable[..., str], tmp_path: Path) -> None:
    """The model's own is read where there is one."""
    model = stranger()
    held = json.loads(Path(f"{model}.opt").read_text())
    held["dict_file"] = str(tmp_path / "private.txt")
    Path(f"{model}.opt").write_text(json.dumps(held))
    assert load("-mf", model).opt["dict_file"] == f"{model}.dict"
    os.unlink(f"{model}.dict")
    with pytest.raises(ModelFileError, match="private.txt.*--dict-file"):
        load("-mf", model)


def test_what_the_user_says(stranger: Callable[..., str]) -> None:
    """A flag or an override is the user's own word, for that command only."""
    model, other = stranger(beam_block_list_filename="OUT"), os.path.abspath("private.txt")
    said = {"beam_block_list_filename": other}
    assert load("-mf", model, "--beam-block-list-filename", other).opt["n_layers"] == 2
    create_agent_from_model_file(model, said)
    create_agent(yaml_settings.model_options("m", {"model_file": model, **said}))
    with pytest.raises(ModelFileError, match="beam_block_list_filename"):
        load("-mf", model)
    model = stranger(some_list="OUT")
    with pytest.raises(ModelFileError, match="some_list"):
        load("-mf", model, "--beam-block-list-filename", other, "--bpe-vocab", "some_list")


def test_what_only_training_reads(stranger: Callable[..., str]) -> None:
    """Data, logs and models of the past are of no use to a reply, and may be anywhere."""
    model = stranger(
        **dict(init_model="OUT", teacher_model="OUT", tensorboard_logdir="OUT", task="a:b"),
        **dict(fromfile_datapath="OUT", world_logs="OUT", fixed_candidates_path="/not/here"),
        **dict(beam_block_list_filename="", parlai_home="/other/home"),
    )
    assert load("-mf", model).opt["n_layers"] == 2


@pytest.mark.parametrize("agent", ["tests.agents.my_agent:MyAgent"])
def test_a_model_of_the_user_s_own(
    agent: str, deployed: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What was trained here opens, moved as well; in another user's home it does not."""
    model = deployed(agent)
    shutil.copytree(os.path.dirname(model), tmp_path / "moved")
    for place in (model, str(tmp_path / "moved" / "model")):
        assert load("-mf", place).opt["model"] == agent
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "other"))
    with pytest.raises(ModelFileError, match="MyAgent"):
        load("-mf", str(tmp_path / "moved" / "model"))


def test_a_model_of_an_earlier_release(
    deployed: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where nothing is noted yet, it opens in the place where this ParlAI has trained it."""
    model = deployed("tests.agents.my_agent:MyAgent")
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "new"))
    load("-mf", model)
    # from the first training on it is noted; what is changed later is not older
    reach.remember({"model": "other:Agent"}, model)
    load("-mf", model)
    Path(f"{model}.opt").touch()
    with pytest.raises(ModelFileError, match="MyAgent"):
        load("-mf", model)


def test_a_version_was_looked_at(
    stranger: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """When it was imported; and services open it without a word."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model, store = stranger(kb="openai+http://evil.example/v1#m"), str(tmp_path / "versions")
    VersionsScript.main("import", "--versions", store, "-mf", model, "--trust-checkpoint")
    trust(False)
    (version,) = VersionStore(store).list()
    opt = Opt.load(f"{VersionStore(store).model_file(version.id)}.opt")
    assert reach.reached(opt)
    reach.check(opt, VersionStore(store).model_file(version.id))
