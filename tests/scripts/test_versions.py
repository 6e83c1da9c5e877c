"""parlai versions: every action, as a user types it."""

import contextlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from parlai.core.script import superscript_main

from parlai_cu.errors import KnowledgeError, ModelFileError, UsageError, VersionsError
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.scripts.versions import ACTIONS, VersionsScript, table
from parlai_cu.types import Fact
from tests.versions.models import change, tiny_model, write_model


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """``run(action, *versions and flags)`` on a store of the test's own."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    return lambda *words: VersionsScript.main("--versions", str(tmp_path / "store"), *words)


def test_a_life_of_versions(
    run: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture
) -> None:
    """Import, list, promote, show, diff, roll back, prune, verify, export; and what is printed."""
    run("import", "--model-file", write_model(tmp_path / "m" / "model"), "--note", "the first")
    assert "promote v1-" in capsys.readouterr().out
    candidate = write_model(tmp_path / "c" / "model", change(tiny_model()))
    second = run("import", "-mf", candidate, "--parent", "v1")
    for number in ("v1", "v2"):
        run("promote", number, "--force", "--why", "by hand")
    run("promote", "v2", "--force", "--channel", "canary")
    capsys.readouterr()
    run("list")
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["version", "serves"] and lines[1].endswith("the first")
    assert "canary,live" in lines[2] and " delta" in lines[2]
    run("show", "live")
    shown = capsys.readouterr().out
    assert f"id           {second.id}" in shown and "forced  by hand" in shown
    run("diff", "v1", "v2")
    compared = capsys.readouterr().out
    assert "1 of 6 blocks moved" in compared and "layers.3  1 of 2" in compared
    run("rollback", "--why", "complaints")
    assert "(rolled back)" in capsys.readouterr().out
    run("verify")
    assert "2 versions, every file has its hash" in capsys.readouterr().out
    # the third stands on the first, and nothing stands on it
    run("import", "-mf", write_model(tmp_path / "d" / "model", change(tiny_model(), block=1)))
    run("import", "-mf", candidate)
    assert [version.number for version in run("prune", "--keep", "1", "--dry-run")] == [3]
    assert [version.number for version in run("prune", "--keep", "1")] == [3]
    out = str(tmp_path / "out" / "model")
    run("export", "live", "--outfile", out)
    assert Path(out).read_bytes() == (tmp_path / "m" / "model").read_bytes()


@pytest.mark.parametrize(
    "line",
    [
        "promote v1 --force --why tried --versions {}",
        "promote --versions {} v1 --why tried --force",
        "--versions {} promote --force v1 --why tried",
        "--force --versions {} --why tried promote v1",
        "promote --why=tried --force --versions {} v1 --channel live",
    ],
)
def test_flags_and_words_in_any_order(
    line: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
) -> None:
    """As `parlai versions ...` reads them: argparse alone refuses words after flags."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    model = write_model(tmp_path / "m" / "model")
    superscript_main(f"versions import --versions {tmp_path / 'store'} -mf {model}".split())
    change = superscript_main(["versions", *line.format(tmp_path / "store").split()])
    assert (change.id[:3], change.forced, change.why) == ("v1-", True, "tried")
    for wrong in ("promote --forse v1", "promote v1 --forse", "--forse promote v1"):
        with pytest.raises(SystemExit):
            superscript_main(["versions", *wrong.split(), "--versions", str(tmp_path / "store")])
    assert "--forse" in capsys.readouterr().err


def test_a_model_whose_agent_has_flags_of_its_own(tmp_path: Path) -> None:
    """Its agent defines flags anew once --model-file is known: the line is read the same."""
    model = write_model(tmp_path / "m" / "model")
    opt = Path(f"{model}.opt")
    opt.write_text(json.dumps({**json.loads(opt.read_text()), "model": "transformer/generator"}))
    store = str(tmp_path / "store")
    version = superscript_main(["versions", "--versions", store, "import", "--model-file", model])
    assert version.id.startswith("v1-")


def test_a_rollback_brings_the_facts_back(
    run: Callable[..., Any],
    tmp_path: Path,
    capsys: pytest.CaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With --facts they are as when that version went live; without it they stay."""
    kb = f"sqlite:///{tmp_path / 'facts.db'}"
    monkeypatch.setenv("PARLAI_CU_ALLOW", kb)
    base = SQLiteFacts(kb, writable=True)
    base.add([Fact("Basic costs 10 a month.", id="basic"), Fact("Pro costs 20.", id="pro")])
    one = write_model(tmp_path / "m" / "model", kb=kb)
    other = write_model(tmp_path / "c" / "model", change(tiny_model()), kb=kb)
    for path in (one, other):
        run("import", "-mf", path)
    first = run("promote", "v1", "--force")
    assert first.kb_snapshot == base.snapshot_id()
    base.update(Fact("Basic costs 12 a month.", id="basic"))
    base.remove(["pro"])
    second = run("promote", "v2", "--force")
    base.add([Fact("Max costs 40.", id="max")])
    capsys.readouterr()
    for name, told in (("v1", "3 are not as they were"), ("v2", "1 are not as they were")):
        run("show", name)
        assert told in capsys.readouterr().out
    assert run("rollback").id == first.id and base.get("max") is not None
    run("promote", "v2", "--force")
    assert run("rollback", "--facts").id == first.id
    assert "3 facts are as they were with it" in capsys.readouterr().out
    told = {fact.id: fact.text for fact in base.facts()}
    assert told == {"basic": "Basic costs 10 a month.", "pro": "Pro costs 20."}
    run("show", "v1")
    assert "as then" in capsys.readouterr().out
    # and forth again, with the facts that were there
    assert second.kb_snapshot is not None
    with base.taken_back(second.kb_snapshot):
        pass
    assert [fact.id for fact in base.facts()] == ["basic"]
    base.close()


def test_facts_that_cannot_be_brought_back(run: Callable[..., Any], tmp_path: Path) -> None:
    """Then the model is not rolled back either, and it is said why."""
    kb = f"sqlite:///{tmp_path / 'facts.db'}"
    run("import", "-mf", write_model(tmp_path / "m" / "model"))
    run("import", "-mf", write_model(tmp_path / "c" / "model", change(tiny_model()), kb=kb))
    run("import", "-mf", write_model(tmp_path / "d" / "model", change(tiny_model(), 2), kb=kb))
    with contextlib.closing(SQLiteFacts(kb, writable=True)) as base:
        base.add([Fact("Basic costs 10 a month.")])
    for name in ("v1", "v2", "v3"):
        live = run("promote", name, "--force")
    # another base, or a copy that is too old, was put in its place
    Path(tmp_path / "facts.db").unlink()
    with pytest.raises(KnowledgeError, match="no such file"):
        run("rollback", "--facts")
    with contextlib.closing(SQLiteFacts(kb, writable=True)) as base:
        base.add([Fact("Basic costs 11 a month.")])
    with pytest.raises(KnowledgeError, match="is of another database"):
        run("rollback", "--facts")
    assert live.id in str(run("show", "live"))
    run("rollback")
    with pytest.raises(VersionsError, match="names no state of a knowledge base"):
        run("rollback", "--facts")
    assert run("show", "live").number == 2


def test_json(run: Callable[..., Any], tmp_path: Path, capsys: pytest.CaptureFixture) -> None:
    """What other programs read."""
    run("import", "-mf", write_model(tmp_path / "m" / "model"))
    capsys.readouterr()
    run("list", "--json")
    (listed,) = json.loads(capsys.readouterr().out)
    run("show", "v1", "--json")
    assert json.loads(capsys.readouterr().out) == listed and listed["mode"] == "import"
    run("diff", "v1", "v1", "--json")
    assert json.loads(capsys.readouterr().out)["settings"] == {}


def test_what_is_wrong_is_said(run: Callable[..., Any], tmp_path: Path) -> None:
    """Unknown action, missing flag, too few versions, damage, no directory."""
    with pytest.raises(VersionsError, match="there is no such folder"):
        run("list")
    with pytest.raises(UsageError, match="nearest: promote"):
        run("promot")
    with pytest.raises(UsageError, match="import needs --model-file"):
        run("import")
    with pytest.raises(UsageError, match="expected 1 versions"):
        run("show")
    with pytest.raises(ModelFileError, match="no model file at"):
        run("import", "-mf", str(tmp_path / "nothing"))
    words = tmp_path / "words"
    words.write_text("hello")
    Path(f"{words}.opt").write_text(json.dumps({"model": "unigram"}))
    with pytest.raises(UsageError, match="its agent unigram: UnigramAgent has no torch model"):
        run("import", "-mf", str(words))
    version = run("import", "-mf", write_model(tmp_path / "m" / "model"))
    (tmp_path / "store" / "versions" / version.id / "model.dict").write_text("")
    with pytest.raises(VersionsError, match="1 problems, see above"):
        run("verify")
    with pytest.raises(UsageError, match="parlai versions list needs --versions"):
        VersionsScript.main("list")


def test_every_action_is_documented() -> None:
    """--help names them all."""
    assert all(action in VersionsScript.help() for action in ACTIONS)


def test_tables() -> None:
    """Numbers stand to the right, words to the left."""
    assert table(["name", "count"], [["a", "7"], ["long", "1,000"]]) == (
        "name  count\na         7\nlong  1,000"
    )


@pytest.mark.slow
def test_export_of_a_candidate_is_a_plain_model(
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    data: Path,
    tmp_path: Path,
    run: Callable[..., Any],
) -> None:
    """A version of ours comes out as a model of its base agent, which ParlAI alone loads."""
    base, candidate = deployed("transformer/generator"), str(tmp_path / "c" / "model")
    train(
        model="frozen_layer",
        init_model=base,
        model_file=candidate,
        tune="decoder.layers[-1]",
        jsonfile_datapath=str(data / "new.jsonl"),
        seed=1,
    )
    run("import", "-mf", base)
    version = run("import", "-mf", candidate, "--parent", "v1")
    assert version.delta_of is not None and version.agent == "transformer/generator"
    out = str(tmp_path / "plain" / "model")
    run("export", "v2", "-o", out)
    opt = json.loads(Path(out + ".opt").read_text())
    assert opt["model"] == "transformer/generator" and "base_agent" not in opt

    from parlai.core.agents import create_agent_from_model_file

    again = create_agent_from_model_file(out)
    ours = create_agent_from_model_file(candidate)
    weights = ours.model.state_dict()
    assert all(bool((t == weights[n]).all()) for n, t in again.model.state_dict().items())
