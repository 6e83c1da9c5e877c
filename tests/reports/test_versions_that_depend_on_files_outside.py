"""Whatever the .opt names is in the version, and is found from any directory."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.errors import ModelFileError, VersionsError
from parlai_cu.versions.store import VersionStore
from tests.agents.served import GENERATOR


@pytest.fixture
def naming(
    deployed: Callable[[str], str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[..., str]:
    """``naming(agent, flag=value)``: a copy of a tiny model whose .opt says so; its path."""
    (tmp_path / "here").mkdir()
    monkeypatch.chdir(tmp_path / "here")

    def make(agent: str, **flags: Any) -> str:
        source = Path(deployed(agent))
        folder = tmp_path / "made"
        folder.mkdir(exist_ok=True)
        for each in source.parent.glob("model*"):
            shutil.copyfile(each, folder / each.name)
        opt = json.loads((folder / "model.opt").read_text())
        (folder / "model.opt").write_text(json.dumps({**opt, **flags}))
        return str(folder / "model")

    return make


@pytest.fixture
def store(tmp_path: Path) -> VersionStore:
    """An empty one."""
    return VersionStore(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))


def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Another directory, and what was in the first one is gone."""
    shutil.rmtree(tmp_path / "here")
    shutil.rmtree(tmp_path / "made")
    (tmp_path / "there").mkdir()
    monkeypatch.chdir(tmp_path / "there")


SIBLINGS = [
    (GENERATOR, "beam_block_list_filename", "blocked.txt", "hello\n"),
    ("transformer/biencoder", "fixed_candidates_path", "lists/candidates.txt", "1 2\n3 4\n"),
    ("transformer/classifier", "classes_from_file", "classes.txt", "one\nzero\n"),
    (GENERATOR, "some_plugin_file", "words.bin", "\x01\x02"),
    (GENERATOR, "path_to_passages", "passages.tsv", "1\tone\n"),
]


@pytest.mark.parametrize("agent, flag, name, content", SIBLINGS)
def test_a_file_travels_with_the_version(
    naming: Callable[..., str],
    store: VersionStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    agent: str,
    flag: str,
    name: str,
    content: str,
) -> None:
    """Served from another directory, the file gone; exported; imported again; put out of place."""
    Path(name).parent.mkdir(exist_ok=True)
    Path(name).write_text(content)
    version = store.add(naming(agent, **{flag: name}), mode="import")
    elsewhere(tmp_path, monkeypatch)
    model_file = store.model_file(version.id)
    create_agent_from_model_file(model_file, {"no_cuda": True, "interactive_mode": True})
    assert Path(json.loads(Path(f"{model_file}.opt").read_text())[flag]).read_text() == content
    # hashed like the rest
    held = next(name for name in version.files if flag in name)
    store.export(version.id, str(tmp_path / "out" / "mine"))
    shutil.move(tmp_path / "out", tmp_path / "moved")
    own = json.loads((tmp_path / "moved" / "mine.opt").read_text())[flag]
    assert Path(own).parent == tmp_path / "out"
    second = store.add(str(tmp_path / "moved" / "mine"), mode="import")
    assert second.files[held].sha256 == version.files[held].sha256
    (tmp_path / "store" / "versions" / version.id / held).write_text("other")
    with pytest.raises(VersionsError, match="was changed or damaged"):
        store.promote(version.id, force=True)


@pytest.mark.parametrize("as_list", [True, False])
def test_several_files_of_one_flag(
    naming: Callable[..., str],
    store: VersionStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    as_list: bool,
) -> None:
    """A list, or with commas; a flag whose name says nothing of files."""
    for name in ("one", "other"):
        Path(name).mkdir()
        (Path(name) / "words.txt").write_text(name)
    given = ["one/words.txt", "other/words.txt"]
    version = store.add(
        naming(GENERATOR, lexicon=given if as_list else ",".join(given)), mode="import"
    )
    elsewhere(tmp_path, monkeypatch)
    held = json.loads(Path(f"{store.model_file(version.id)}.opt").read_text())["lexicon"]
    paths = held if as_list else held.split(",")
    assert [Path(path).read_text() for path in paths] == ["one", "other"]


def test_another_model_and_a_dictionary_elsewhere(
    naming: Callable[..., str],
    store: VersionStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    deployed: Callable[[str], str],
) -> None:
    """A retriever's weights come with its options; a dictionary that is not beside the model."""
    for end in ("", ".opt", ".dict"):
        shutil.copyfile(deployed("transformer/biencoder") + end, f"retriever{end}")
    shutil.copyfile(deployed(GENERATOR) + ".dict", "my.dict")
    path = naming(GENERATOR, retriever_model_file="retriever", dict_file="my.dict", lexicon="l.txt")
    Path(f"{path}.dict").unlink()
    version = store.add(path, mode="import")
    elsewhere(tmp_path, monkeypatch)
    agent = create_agent_from_model_file(store.model_file(version.id), {"no_cuda": True})
    assert len(agent.dict) > 4 and agent.opt["lexicon"] == "l.txt"
    assert Path(agent.opt["retriever_model_file"] + ".opt").is_file()


@pytest.mark.parametrize("mode", ["domain_adapters", "kb_augmented"])
def test_agents_that_name_others(
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    store: VersionStore,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    mode: str,
) -> None:
    """Adapters are in the weights; the synonyms of facts travel."""
    for name in ("here", "made"):
        (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path / "here")
    old = "integration_tests:overfit"
    path = str(tmp_path / "made" / "m")
    if mode == "domain_adapters":
        given = {"model": "frozen_layer", "tune": "@bias", "max_train_steps": 1}
        tuned = str(tmp_path / "here" / "tuned")
        train(init_model=deployed(GENERATOR), model_file=tuned, learningrate=0.1, **given)
        train(
            model=mode,
            init_model=deployed(GENERATOR),
            model_file=path,
            adapters=f"new={tuned}",
            task=f"{old},integration_tests",
            max_train_steps=1,
        )
    else:
        from parlai.core.agents import create_agent
        from parlai.core.params import ParlaiParser

        from parlai_cu.knowledge.factory import open_knowledge_base

        open_knowledge_base(f"sqlite:///{tmp_path}/facts.db", writable=True).close()
        Path("said.csv").write_text("said,meant\ninternet,wifi\n")
        opt = ParlaiParser(True, True).parse_kwargs(
            model=mode,
            init_model=deployed(GENERATOR),
            kb=f"sqlite:///{tmp_path}/facts.db",
            kb_synonyms="said.csv",
            datatype="valid",
            no_cuda=True,
        )
        create_agent(opt).save(path)
    version = store.add(path, mode=mode)
    elsewhere(tmp_path, monkeypatch)
    opt: dict[str, Any] = {"no_cuda": True, "interactive_mode": True}
    if mode == "kb_augmented":
        opt["kb"] = f"sqlite:///{tmp_path}/facts.db"
    agent = create_agent_from_model_file(store.model_file(version.id), opt)
    agent.observe({"text": "is there internet?", "episode_done": True})
    assert "text" in agent.act()


def test_a_folder_travels_too(
    naming: Callable[..., str], store: VersionStore, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With all that is in it."""
    (Path("index") / "deep").mkdir(parents=True)
    Path("index/a").write_text("1")
    Path("index/deep/b").write_text("2")
    version = store.add(naming(GENERATOR, path_to_index="index"), mode="import")
    elsewhere(tmp_path, monkeypatch)
    store.export(version.id, str(tmp_path / "out" / "mine"))
    for model_file in (store.model_file(version.id), str(tmp_path / "out" / "mine")):
        place = Path(json.loads(Path(f"{model_file}.opt").read_text())["path_to_index"])
        assert (place / "a").read_text() == "1" and (place / "deep" / "b").read_text() == "2"
    shutil.move(tmp_path / "out", tmp_path / "moved")
    assert store.add(str(tmp_path / "moved" / "mine"), mode="import").content == version.content


@pytest.mark.parametrize("agent, flag, name, content", SIBLINGS)
def test_a_missing_one_is_refused(
    naming: Callable[..., str],
    store: VersionStore,
    agent: str,
    flag: str,
    name: str,
    content: str,
) -> None:
    """When the version is made, not when users talk to it."""
    flag_as_typed = flag.replace("_", "-")
    with pytest.raises(ModelFileError, match=f"--{flag_as_typed} {name}: there is no such file"):
        store.add(naming(agent, **{flag: name}), mode="import")
    assert store.list() == []


@pytest.mark.parametrize(
    "flags",
    [
        {"jsonfile_datapath": "gone.jsonl", "outfile": "gone.txt", "tensorboard_logdir": "gone"},
        {"kb": "sqlite:///facts.db", "fixed_candidate_vecs": "reuse", "task": "a/b:c=d"},
        {"download_path": "gone", "dstc11_path": "gone", "dump_predictions_path": "gone"},
        {"init_opt": "gen/blender", "teacher_model": "gone/model", "replay_store": "gone/file"},
    ],
)
def test_what_a_service_does_not_read_may_be_gone(
    naming: Callable[..., str], store: VersionStore, flags: dict[str, str]
) -> None:
    """Training data, logs, the models of the run."""
    version = store.add(naming(GENERATOR, **flags), mode="import")
    assert {k: v for k, v in store.settings(version.id).items() if k in flags} == flags
