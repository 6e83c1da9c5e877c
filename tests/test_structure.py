"""The shape of the code: which way imports point, how long files are, what is documented."""

import ast
import importlib.util
import re
import subprocess
import sys
from pathlib import Path
from typing import Iterator, Set, Tuple

import pytest

from parlai_cu import plugin

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "parlai_cu"
SOURCES = sorted(PACKAGE.rglob("*.py"))
TESTS = sorted((ROOT / "tests").rglob("test_*.py"))
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)
ERRORS = {
    node.name
    for node in ast.parse((PACKAGE / "errors.py").read_text()).body
    if isinstance(node, ast.ClassDef)
}
# the parts, whose signatures are typed, and whose docstrings say which errors they raise
PARTS = ("selection", "distillation", "retention", "knowledge", "versions", "serving")
PARTS += ("update", "corrections", "files.py", "checkpoints.py", "token_classifier.py")


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


def public(path: Path) -> Iterator[Tuple[str, ast.AST]]:
    """Public classes and functions of a module, and public methods."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (*FUNCTIONS, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, FUNCTIONS) and not member.name.startswith("_"):
                        yield f"{node.name}.{member.name}", member


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_have_docstrings(path: Path) -> None:
    """Every public class, function and method says what it does."""
    missing = [name for name, node in public(path) if not ast.get_docstring(node)]
    assert not missing


@pytest.mark.parametrize(
    "path",
    [path for path in SOURCES if path.relative_to(PACKAGE).parts[0] in PARTS],
    ids=lambda p: str(p.relative_to(PACKAGE)),
)
def test_docstrings_agree_with_the_code(path: Path) -> None:
    """``:param`` names what there is, and ``:raises`` each error of ours that is raised there."""
    for name, node in public(path):
        told = ast.get_docstring(node) or ""
        body = node
        if isinstance(node, ast.ClassDef):  # a class tells what its constructor takes and raises
            made = [m for m in node.body if getattr(m, "name", "") == "__init__"]
            if not made:
                continue
            (body,) = made
        assert isinstance(body, FUNCTIONS)
        assert set(re.findall(r":param (\w+):", told)) <= parameters(body), name
        untold = {error for error in raised(body) if f":raises {error}:" not in told}
        assert not untold, f"{name} raises {untold}"


def parameters(function: ast.AST) -> Set[str]:
    """The names of all that a function takes."""
    return {node.arg for node in ast.walk(function) if isinstance(node, ast.arg)}


def raised(function: ast.AST) -> Set[str]:
    """The errors of ours that a function raises itself."""
    calls = [node.exc for node in ast.walk(function) if isinstance(node, ast.Raise)]
    names = [call.func for call in calls if isinstance(call, ast.Call)]
    return {name.id for name in names if isinstance(name, ast.Name)} & ERRORS


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


def called(node: ast.AST) -> Set[str]:
    """The last names of all that it calls."""
    calls = [part.func for part in ast.walk(node) if isinstance(part, ast.Call)]
    return {str(getattr(f, "attr", getattr(f, "id", ""))) for f in calls}


def test_every_name_in_the_plugin_list_exists() -> None:
    """plugin.py names no module or class that is not there."""
    targets = [target.split(":")[0] for target in plugin.AGENTS.values()]
    targets += [*plugin.SCRIPTS, *plugin.TASKS.values(), *plugin.ZOO.values()]
    targets += [f"parlai_cu.compat.{name}" for name in plugin.REPAIRS]
    for target in targets:
        assert importlib.util.find_spec(target) is not None, target


def test_every_repair_says_what_broke_and_until_when() -> None:
    """A repair's docstring names what a user saw and the condition for removal."""
    for name in plugin.REPAIRS:
        text = ast.get_docstring(ast.parse((PACKAGE / "compat" / f"{name}.py").read_text())) or ""
        assert "Seen" in text and "Goes when" in text, name


def test_zoo_is_data() -> None:
    """A top-level package called zoo would shadow a user's own."""
    assert not (ROOT / "zoo" / "__init__.py").exists()
