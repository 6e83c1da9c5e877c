"""The shape of the code: which way imports point, how long files are, what tests assert."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path

import pytest

from parlai_cu import plugin

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "parlai_cu"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)


def test_dependencies_point_one_way() -> None:
    """The contracts in pyproject.toml; above all that only the outer folders import ParlAI."""
    pytest.importorskip("importlinter", reason="import-linter is not installed")
    # in a process of its own: it switches off all loggers that there are
    code = "from importlinter.cli import lint_imports; exit(lint_imports(no_cache=True))"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    """No file over 600 lines, but for the phrases of a corpus."""
    if path.relative_to(PACKAGE).parts[0] == "tasks":
        return
    assert len(path.read_text().splitlines()) <= 600


def test_a_public_class_name_stands_once() -> None:
    """Somebody who searches for a name finds one class; ParlAI makes up the names of teachers."""
    places: dict[str, list[str]] = {}
    for path in SOURCES:
        for node in ast.parse(path.read_text()).body:
            if isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
                places.setdefault(node.name, []).append(str(path.relative_to(PACKAGE)))
    twice = {
        name: found
        for name, found in places.items()
        if len(found) > 1 and not all(path.startswith("tasks/") for path in found)
    }
    assert not twice


@pytest.mark.parametrize("path", TESTS, ids=lambda p: str(p.relative_to(ROOT / "tests")))
def test_every_test_can_fail(path: Path) -> None:
    """It asserts, expects an error or a warning, or asks a helper that does."""
    tree = ast.parse(path.read_text())
    functions = {n.name: n for n in ast.walk(tree) if isinstance(n, FUNCTIONS)}
    idle = [
        name
        for name, node in functions.items()
        if name.startswith("test_")
        and not asserts(node)
        and not any(asserts(functions[call]) for call in called(node) if call in functions)
    ]
    assert not idle


# of pytest; of our fixtures: both_ways compares with and without, see waits for what a page shows
ASSERTING = re.compile(r"^(raises|warns|fail|both_ways|see|until)$|check|assert")


def asserts(node: ast.AST) -> bool:
    """Whether a function has an assertion of its own."""
    if any(isinstance(part, ast.Assert) for part in ast.walk(node)):
        return True
    return any(ASSERTING.search(name) for name in called(node))


def called(node: ast.AST) -> set[str]:
    """The last names of all that it calls."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {str(getattr(f, "attr", getattr(f, "id", ""))) for f in calls}


def test_every_name_in_the_plugin_list_exists() -> None:
    """plugin.py names no module or class that is not there."""
    targets = [target.split(":")[0] for target in plugin.AGENTS.values()]
    targets += [*plugin.SCRIPTS, *plugin.TASKS.values(), *plugin.ZOO.values()]
    targets += [f"parlai_cu.compat.{name}" for name in plugin.REPAIRS]
    targets += [f"parlai_cu.host.{name}" for name in plugin.EXTENSIONS]
    for target in targets:
        assert importlib.util.find_spec(target) is not None, target


def test_every_repair_says_what_broke_and_until_when() -> None:
    """A repair's docstring names what a user saw and the condition for removal."""
    for name in plugin.REPAIRS:
        text = ast.get_docstring(ast.parse((PACKAGE / "compat" / f"{name}.py").read_text())) or ""
        assert "Seen" in text and "Goes when" in text, name


def test_few_arguments_are_of_any_type() -> None:
    """Bare ``Any`` says nothing; ParlAI's own things have Protocols (parlai_types.py)."""
    types = [
        argument.annotation
        for path in SOURCES
        for node in ast.walk(ast.parse(path.read_text()))
        if isinstance(node, FUNCTIONS)
        for argument in (*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs)
        if argument.arg not in ("self", "cls")
    ]
    bare = sum(isinstance(each, ast.Name) and each.id == "Any" for each in types)
    assert bare / len(types) < 0.03


def test_zoo_is_data() -> None:
    """A top-level package called zoo would shadow a user's own."""
    assert not (ROOT / "zoo" / "__init__.py").exists()
