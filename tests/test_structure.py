"""The shape of the code: which way imports point, how long files are, what is documented."""

import ast
import importlib.util
from pathlib import Path
from typing import Iterator, Tuple

import pytest

from parlai_cu import plugin

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "parlai_cu"
SOURCES = sorted(PACKAGE.rglob("*.py"))
# these speak to ParlAI; everything else can be used and tested without it
MAY_IMPORT_PARLAI = {"agents", "tasks", "scripts", "chat_service", "compat"}
# the steps of an update that ParlAI does
MAY_IMPORT_PARLAI_TOO = PACKAGE / "update" / "steps"


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_parts_do_not_import_parlai(path: Path) -> None:
    """The parts take typed arguments, never an Opt: only the outer folders import ParlAI."""
    part = path.relative_to(PACKAGE).parts[0]
    if part in MAY_IMPORT_PARLAI or path.name == "__main__.py":
        return
    if MAY_IMPORT_PARLAI_TOO in path.parents:
        return
    used = [name for name in imports(path) if name == "parlai" or name.startswith("parlai.")]
    assert not used
    outer = [name for name in imports(path) if name.startswith("parlai_cu.agents")]
    assert not outer, "a part imports an agent"


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_files_can_be_read_in_one_sitting(path: Path) -> None:
    """No file over 600 lines, but for the phrases of a corpus."""
    if path.relative_to(PACKAGE).parts[0] == "tasks":
        return
    assert len(path.read_text().splitlines()) <= 600


def public(path: Path) -> Iterator[Tuple[str, ast.AST]]:
    """Public classes and functions of a module, and public methods."""
    for node in ast.parse(path.read_text()).body:
        if isinstance(node, (ast.FunctionDef, ast.ClassDef)) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                for member in node.body:
                    if isinstance(member, ast.FunctionDef) and not member.name.startswith("_"):
                        yield f"{node.name}.{member.name}", member


@pytest.mark.parametrize("path", SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def test_public_names_have_docstrings(path: Path) -> None:
    """Every public class, function and method says what it does."""
    missing = [name for name, node in public(path) if not ast.get_docstring(node)]
    assert not missing


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
