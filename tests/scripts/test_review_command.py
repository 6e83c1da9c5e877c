"""`parlai versions review`: finds what the service records, decides on many, says how many wait."""

import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.scripts.knowledge_base import KnowledgeBaseScript
from parlai_cu.scripts.versions import VersionsScript
from tests.corrections.test_review import log, record

CONFIG = "opt:\n  chat:\n    feedback: said/corrections.jsonl\n"


@pytest.fixture
def service(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of a service with three corrections, and the one a reviewer stands in."""
    (tmp_path / "config.yml").write_text(CONFIG)
    (tmp_path / "other.yml").write_text("- not a service\n")
    (tmp_path / "broken.yml").write_text("a: [\n")
    (tmp_path / "said").mkdir()
    log(tmp_path / "said" / "corrections.jsonl", [record(1), record(2), record(3)])
    monkeypatch.chdir(tmp_path)
    return tmp_path


def review(*words: str) -> Any:
    """Run the command."""
    return VersionsScript.main("review", *words)


def test_the_services_feedback_is_found(
    service: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Beside config.yml, from there and from elsewhere by the versions directory."""
    review()
    assert "said/corrections.jsonl: 3 wait for a decision" in capsys.readouterr().out
    (service / "deployed").mkdir()
    (service / "elsewhere").mkdir()
    monkeypatch.chdir(service / "elsewhere")
    review("--versions", str(service / "deployed"))
    assert "3 wait for a decision" in capsys.readouterr().out
    with pytest.raises(UsageError, match="--chatlog PATH"):
        review()


def test_several_services(service: Path) -> None:
    """Nobody guesses which of two is meant."""
    log(service / "feedback.jsonl", [record(1)])
    with pytest.raises(UsageError, match=r"several.*feedback.jsonl.*--chatlog"):
        review()


@pytest.mark.parametrize("form", ["flag", "commas", "word", "path"])
def test_many_at_once(form: str, service: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Ids with commas or blanks, as a flag's value or after a word, shortened."""
    review("--json")
    ids = [one["id"][:8] for one in json.loads(capsys.readouterr().out)]
    words = {
        "flag": ["--accept", *ids[:2]],
        "commas": ["--accept", ",".join(ids[:2])],
        "word": ["accept", *ids[:2]],
        "path": ["said/corrections.jsonl", "accept", *ids[:2]],
    }[form]
    assert len(review(*words)) == 2
    assert "2 decided; 1 wait" in capsys.readouterr().out
    review("reject", "all")
    assert "1 decided; 0 wait" in capsys.readouterr().out


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["nowhere.jsonl"], "there is no such file"),
        (["accept"], "expected ids"),
        (["--text", "better"], "--accept ID --text"),
        (["--text", "better", "--accept", "all"], "one accepted correction"),
        (["--text", "better", "reject", "abc"], "one accepted correction"),
        (["--accept", "zzzz"], "no correction"),
    ],
)
def test_what_cannot_be(words: list[str], said: str, service: Path) -> None:
    """Each is one error that says what was expected; nothing is decided."""
    with pytest.raises(UsageError, match=said):
        review(*words)
    assert not list(service.rglob("*.reviewed"))


def test_listings_as_json(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What a knowledge base shows is JSON where it is asked for, and nothing else is printed."""
    (tmp_path / "facts.csv").write_text("id,text\nf1,We open at nine.\n")
    kb = ["--kb", f"sqlite:///{tmp_path / 'facts.db'}"]
    KnowledgeBaseScript.main("import", *kb, "--file", str(tmp_path / "facts.csv"))
    capsys.readouterr()
    shown = {}
    for words in (["search", "--text", "open"], ["get", "--id", "f1"], ["stats"], ["history"]):
        KnowledgeBaseScript.main(*words, *kb, "--json")
        shown[words[0]] = json.loads(capsys.readouterr().out)
    assert shown["search"][0]["id"] == shown["get"][0]["id"] == shown["history"][0]["id"] == "f1"
    assert shown["stats"]["facts"] == 1
    KnowledgeBaseScript.main("verify", *kb, "--json")
    assert json.loads(capsys.readouterr().out) == []
