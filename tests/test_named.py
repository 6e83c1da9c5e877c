"""parlai_cu/named.py: what a user wrote himself; docs/extending.md's examples."""

import importlib
import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from parlai_cu import named, plugin
from parlai_cu.errors import KnowledgeError, PatternError, UsageError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.selection import scores
from parlai_cu.selection.auto import find_auto
from parlai_cu.types import Turn
from parlai_cu.update.safety import Pair, run_user_check, user_checks
from tests.end_to_end.test_docs import ROOT, examples


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Path]:
    """The current folder, which holds the examples of docs/extending.md."""
    written = examples(ROOT / "docs" / "extending.md")
    for name, source in written.items():
        (tmp_path / name).write_text(source)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", list(sys.path))
    monkeypatch.setattr(scores, "SCORES", dict(scores.SCORES))
    importlib.invalidate_caches()
    yield tmp_path
    for name in written:
        sys.modules.pop(name[: -len(".py")], None)


@pytest.mark.parametrize("name", ["os:system", "os:path", "parlai_cu.knowledge.words:terms"])
def test_what_is_no_such_class_is_not_called(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A name may come from somebody else's .opt."""
    called = []
    monkeypatch.setattr(os, "system", called.append)
    with pytest.raises(UsageError, match=f"--kb-gate {name}: expected a class with decide; it"):
        named.kind(plugin.GATES, name, "--kb-gate", ["decide"])
    with pytest.raises(KnowledgeError, match=f"--kb {name}: expected a class with query"):
        open_knowledge_base(f"{name}:touch here")
    assert called == []


def test_a_class_without_the_methods_is_refused() -> None:
    """What is missing is named."""
    with pytest.raises(UsageError, match="it has no decide"):
        named.kind({}, "pathlib:Path", "--kb-gate", ["decide"])


def test_names_that_are_nothing() -> None:
    """The flag, what was found, what is expected."""
    with pytest.raises(UsageError, match="--kb-gate scor: expected one of .* nearest: score"):
        named.kind(plugin.GATES, "scor", "--kb-gate")
    with pytest.raises(UsageError, match="--gate nowhere:x: expected my.module:name"):
        named.load("nowhere:x", "--gate")
    with pytest.raises(KnowledgeError, match="--kb garph:f.ttl: expected SCHEME.*nearest: graph"):
        open_knowledge_base("garph:f.ttl")
    with pytest.raises(PatternError, match="--tune auto:nowhere:x: nowhere:x: expected"):
        find_auto("auto:nowhere:x")


def test_the_knowledge_base_of_the_docs(folder: Path) -> None:
    """It finds notes, sees a change with the next turn, and can be away."""
    (folder / "notes").mkdir()
    (folder / "notes" / "parking.txt").write_text("Parking is free.")
    base = open_knowledge_base("my_notes:Notes:notes")
    found = base.query(Turn("is parking free?"))
    assert [fact.text for fact in found] == ["Parking is free."] and base.get("parking")
    before = base.snapshot_id()
    (folder / "notes" / "parking.txt").write_text("Parking is 5 pounds.")
    assert base.query(Turn("parking?"))[0].text == "Parking is 5 pounds."
    assert base.snapshot_id() != before and base.stats()["facts"] == 1
    assert base.query(Turn("'; DROP TABLE notes")) == []
    with pytest.raises(KnowledgeError, match="only read"):
        base.remove(["parking"])
    (folder / "notes").rename(folder / "gone")
    with pytest.raises(KnowledgeError, match="there is no folder notes"):
        base.query(Turn("parking?"))


def test_the_gate_of_the_docs(folder: Path) -> None:
    """Questions pass, statements do not."""
    (folder / "notes").mkdir()
    (folder / "notes" / "parking.txt").write_text("Parking is free.")
    base = open_knowledge_base("my_notes:Notes:notes")
    gate = named.kind(plugin.GATES, "my_gates:Questions", "--kb-gate", ["decide"])(None)
    for text, wanted in (("parking free?", True), ("parking free", False), ("hm?", False)):
        turn = Turn(text)
        assert gate.decide(turn, base.query(turn), None).query is wanted, text


def test_the_score_of_the_docs(folder: Path) -> None:
    """It stands beside ours once it was named."""
    auto = find_auto("auto:my_scores:gradient:0.5,encoder")
    assert auto is not None
    assert (auto.score, auto.fraction) == ("my_scores:gradient", 0.5)
    formula, more_is_better = scores.SCORES["my_scores:gradient"]
    assert formula(scores.GradientSums(numel=4, gradient=16.0)) == 2.0 and more_is_better


def test_the_check_of_the_docs(folder: Path) -> None:
    """A number out of nowhere is the reason against."""
    check: Callable[..., Any] = user_checks(["my_checks:no_new_numbers"])[0]
    said = [Pair("t", "how much is it?", "It is $ 5 .", "It is $ 4 .", "It is $ 4 .")]
    assert run_user_check("mine", check, said).result == "pass"
    said.append(Pair("t", "how much is it?", "It is $ 5 .", "It is $ 4 .", "It is $ 9 ."))
    refused = run_user_check("mine", check, said)
    assert refused.result == "fail" and "makes up 9" in refused.reason
