"""
What docstrings tell: parameters, shapes, units, errors and sources.

That there is one, ruff checks (D100-D103); that a list of parameters is whole and in order,
docsig. What a reader sees by the name and the type needs no words: see EVIDENT.
"""

import ast
import builtins
import importlib
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import NamedTuple

import pytest
from parlai.core.torch_generator_agent import TorchGeneratorAgent
from parlai.core.torch_ranker_agent import TorchRankerAgent

from parlai_cu import errors, plugin

PACKAGE = Path(__file__).parent.parent / "parlai_cu"
SOURCES = sorted(PACKAGE.rglob("*.py"))
Function = ast.FunctionDef | ast.AsyncFunctionDef
FUNCTIONS = (ast.FunctionDef, ast.AsyncFunctionDef)

# words that mean the same wherever they stand
EVIDENT = {"name", "path", "folder", "model_file", "uri", "text", "texts", "split", "module"}
# as ParlAI's own methods have them
EVIDENT |= {"opt", "shared", "parser", "agent", "agents", "batch", "params"}
EVIDENT |= {"observation", "observations"}
# types that say nothing of what is meant; any other has a docstring of its own
PLAIN = set("str int float bool bytes object Any None type Type Path Hashable Callable".split())
PLAIN |= set("Optional Union Sequence List list Tuple tuple Set set FrozenSet Dict dict".split())
PLAIN |= set("Iterable Iterator Mapping MutableMapping torch np Tensor Tensors ndarray".split())
ARRAY = re.compile(r"\b(Tensors?|ndarray)\b")
SHAPE = re.compile(r"\[[^\]]*\]|\bscalars?\b|\bshapes?\b|\bstate dict")
NUMBER = re.compile(r"\b(int|float)\b")
MEASURE = re.compile(
    r"(^|_)(timeout|seconds|wait|age|delay|interval|after|within|older_than|since|until|ttl"
    r"|bytes|size|limit|width|length|budget|max|most|quota)(_|$)"
)
UNIT = re.compile(
    r"\b(seconds?|milliseconds|minutes|hours|days|epoch|bytes|tokens|words|characters|elements"
    r"|examples?|turns?|items?|entries|rows?|messages?|conversations?|parameters|facts?|users?"
    r"|processes|threads?|connections?|questions?|lines?|layers?|times?|share|of each|lessons"
    r"|replies|models?|metric|pixels|tensors?|requests?|vectors?|groups)\b"
)
# of ours, and those of Python's that a caller has to expect as well
ERROR = re.compile(r"^(?!NotImplementedError|AttributeError|AssertionError)\w+Error$")


# instead of what ParlAI's or PyTorch's own class says
ELSEWHERE = "elsewhere"


class Told(NamedTuple):
    """What is public, what it takes, and what its docstring says."""

    name: str
    takes: dict[str, str]  # parameter -> annotation
    gives: str  # annotation of what is returned
    body: Function | None
    text: str
    inherited: str | None  # what a base or a Protocol says of it; None where it is ours

    def of(self, parameter: str) -> str:
        """What is said of a parameter: in its field, or else anywhere."""
        field = re.search(rf"^:param {parameter}:(.*?)(?=^:|\Z)", self.text, re.M | re.S)
        return field.group(1) if field else self.text

    def of_result(self) -> str:
        """What is said of the result: in its field, or else before the first field."""
        field = re.search(r"^:return:(.*?)(?=^:|\Z)", self.text, re.M | re.S)
        return field.group(1) if field else re.split(r"^:\w+", self.text, flags=re.M)[0]


@cache
def public(path: Path) -> list[Told]:
    """Public functions, public methods, and constructors, of a module's public classes."""
    found = []
    for node in tree(path).body:
        if isinstance(node, FUNCTIONS) and not node.name.startswith("_"):
            found.append(told(node.name, node, node))
        elif isinstance(node, ast.ClassDef) and not node.name.startswith("_"):
            found += of_class(path, node)
    return found


def of_class(path: Path, node: ast.ClassDef) -> Iterator[Told]:
    """A class tells what its constructor takes, a dataclass or NamedTuple what its fields are."""
    if "NamedTuple" in map(ast.unparse, node.bases) or any(
        "dataclass" in ast.unparse(d) for d in node.decorator_list
    ):
        fields = {
            part.target.id: ast.unparse(part.annotation)
            for part in node.body
            if isinstance(part, ast.AnnAssign)
            and isinstance(part.target, ast.Name)
            and not part.target.id.startswith("_")
        }
        yield Told(node.name, fields, "", None, ast.get_docstring(node) or "", None)
    for part in node.body:
        if not isinstance(part, FUNCTIONS):
            continue
        if part.name == "__init__":
            yield told(node.name, part, node)
        elif part.name == "__call__" or not part.name.startswith("_"):
            inherited = of_protocol(part) or of_base(path, node.name, part.name)
            yield told(f"{node.name}.{part.name}", part, part, inherited)


def told(
    name: str,
    body: Function,
    documented: Function | ast.ClassDef,
    inherited: str | None = None,
) -> Told:
    """What a function, or a class by its constructor, takes and tells."""
    takes = {
        a.arg: ast.unparse(a.annotation) if a.annotation else "Any"
        for a in (*body.args.posonlyargs, *body.args.args, *body.args.kwonlyargs)
        if a.arg not in ("self", "cls") and not a.arg.startswith("_")
    }
    gives = ast.unparse(body.returns) if body.returns else ""
    return Told(name, takes, gives, body, ast.get_docstring(documented) or "", inherited)


@cache
def tree(path: Path) -> ast.Module:
    """The syntax of a file."""
    return ast.parse(path.read_text())


@cache
def protocols() -> list[Function]:
    """The methods of our Protocols: what takes the same is documented there."""
    return [
        part
        for path in SOURCES
        for node in tree(path).body
        if isinstance(node, ast.ClassDef) and "Protocol" in map(ast.unparse, node.bases)
        for part in node.body
        if isinstance(part, FUNCTIONS)
    ]


def of_protocol(method: Function) -> str | None:
    """What a Protocol says of a method of that name, if it takes the same."""
    for other in protocols():
        if other is not method and other.name == method.name and names(method) <= names(other):
            return ast.get_docstring(other)
    return None


def names(function: Function) -> set[str]:
    """Of all that it takes."""
    return {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}


def of_base(path: Path, owner: str, method: str) -> str | None:
    """What a base class says of a method, ours or ParlAI's."""
    module = ".".join(path.relative_to(PACKAGE.parent).with_suffix("").parts)
    made = getattr(importlib.import_module(module), owner)
    bases = list(made.__mro__[1:-1])  # without object
    if "agents" in path.parts:  # what is put before an agent of ParlAI's
        bases += [*TorchGeneratorAgent.__mro__[:-1], *TorchRankerAgent.__mro__[:-1]]
    found = [base for base in bases if method in vars(base)]
    if any(not base.__module__.startswith(PACKAGE.name) for base in found):
        return ELSEWHERE
    return str(vars(found[0])[method].__doc__) if found else None


def names_it(text: str, parameter: str) -> bool:
    """Whether all words of a parameter's name stand in a text, in singular or plural."""
    words = {singular(word) for word in re.findall(r"[a-z]+|\d+", text.lower())}
    return all(singular(part) in words for part in parameter.lower().split("_"))


def singular(word: str) -> str:
    """Without a plural's ending, roughly; the same is done to both sides."""
    return re.sub(r"ies$", "y", word).rstrip("s") or word


@pytest.fixture(params=SOURCES, ids=lambda p: str(p.relative_to(PACKAGE)))
def path(request: pytest.FixtureRequest) -> Path:
    """A file of the package."""
    return request.param


def test_parameters_are_told(path: Path) -> None:
    """Each is in the docstring, or evident by its type or its name."""
    untold = [
        f"{it.name}: {parameter}"
        for it in public(path)
        if it.inherited is None
        for parameter, annotation in it.takes.items()
        if f":param {parameter}:" not in it.text
        and not names_it(it.text, parameter)
        and set(re.findall(r"\w+", annotation)) <= PLAIN
        and parameter not in EVIDENT
    ]
    assert not untold


def test_tensors_have_a_shape(path: Path) -> None:
    """What is said of tensors and arrays tells their shape: ``FloatTensor[rows, choices]``."""
    shapeless = []
    for it in public(path):
        if it.inherited is not None:
            continue
        for parameter, annotation in it.takes.items():
            if ARRAY.search(annotation) and not SHAPE.search(it.of(parameter)):
                shapeless.append(f"{it.name}: {parameter}")
        if ARRAY.search(it.gives) and not SHAPE.search(it.of_result()):
            shapeless.append(f"{it.name}: its result")
    assert not shapeless


def test_numbers_have_a_unit(path: Path) -> None:
    """What is said of times and sizes tells the unit, unless the name does."""
    unknown = [
        f"{it.name}: {parameter}"
        for it in public(path)
        if it.inherited is None
        for parameter, annotation in it.takes.items()
        if NUMBER.search(annotation)
        and MEASURE.search(parameter)
        and not UNIT.search(f"{parameter.replace('_', ' ')} {it.of(parameter)}")
    ]
    assert not unknown


def test_errors_are_listed(path: Path) -> None:
    """Each that a function raises, by itself or in a private helper beside it."""
    helpers = {n.name: n for n in ast.walk(tree(path)) if isinstance(n, FUNCTIONS)}
    untold = [
        f"{it.name}: {error}"
        for it in public(path)
        if it.body is not None and it.inherited != ELSEWHERE
        for error in sorted(raised(it.body, helpers, set()))
        if f":raises {error}:" not in it.text + (it.inherited or "")
    ]
    assert not untold


def raised(node: ast.AST, helpers: dict[str, Function], seen: set[str]) -> set[str]:
    """The errors that leave a piece of code, helpers included."""
    found: set[str] = set()
    if isinstance(node, ast.Try):
        caught = {n for h in node.handlers for n in re.findall(r"\w+", ast.unparse(h.type or h))}
        within = set().union(*(raised(part, helpers, seen) for part in node.body), set())
        found |= {error for error in within if not caught & ancestors(error)}
        rest: list[ast.AST] = [*node.handlers, *node.orelse, *node.finalbody]
    else:
        rest = list(ast.iter_child_nodes(node))
    if isinstance(node, ast.Raise) and node.exc is not None:
        error = node.exc.func if isinstance(node.exc, ast.Call) else node.exc
        if isinstance(node.exc, ast.Call) and getattr(error, "id", "") == "in_place_of":
            # the error that it is of ours
            error = getattr(node.exc.args[1], "func", node.exc.args[1])
        name = getattr(error, "attr", getattr(error, "id", ""))
        name = makers().get(name, name)
        if ERROR.match(name):
            found.add(name)
    if isinstance(node, ast.Call):
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        if re.match("_[^_]", name) and name in helpers and name not in seen:
            found |= raised(helpers[name], helpers, seen | {name})
    for part in rest:
        found |= raised(part, helpers, seen)
    return found


@cache
def makers() -> dict[str, str]:
    """Functions that make an error for others to raise, and its name."""
    return {
        node.name: ast.unparse(node.returns)
        for path in SOURCES
        for node in ast.walk(tree(path))
        if isinstance(node, FUNCTIONS) and node.returns and ERROR.match(ast.unparse(node.returns))
    }


def ancestors(error: str) -> set[str]:
    """The names of an error's classes, from itself up to BaseException."""
    kind = getattr(errors, error, getattr(builtins, error, None))
    return {error} | ({base.__name__ for base in kind.__mro__} if kind else set())


def test_methods_from_the_literature_name_it() -> None:
    """Divergences, penalties and scores: the year, a link, and the section or equation."""
    named = {*plugin.DIVERGENCES.values(), *plugin.PENALTIES.values()}
    for target in (*named, "parlai_cu.selection.scores:SCORES"):
        module, name = target.split(":")
        found = importlib.import_module(module)
        text = f"{found.__doc__} {getattr(found, name).__doc__}"
        for part in (r"\b(19|20)\d\d\b", r"https://", r"\b(section|equation|algorithm) \d"):
            assert re.search(part, text), (target, part)


def test_who_is_cited_can_be_found(path: Path) -> None:
    """A docstring that cites authors has a link or a title with the section, once a file."""
    text = "".join(ast.get_docstring(n) or "" for n in ast.walk(tree(path)) if has_docstring(n))
    if re.search(r"\bet al\.", text):
        assert re.search(r"https?://|\"\w", text)


def has_docstring(node: ast.AST) -> bool:
    """Whether Python's syntax gives it one."""
    return isinstance(node, (*FUNCTIONS, ast.ClassDef, ast.Module))


def test_errors_are_found_where_they_leave() -> None:
    """In private helpers as well, and not where they are caught."""
    code = """
def told(path):
    if not path:
        raise UsageError("none")
    try:
        _read(path)
        _parse(path)
    except OSError as error:
        raise DataError(path) from error

def _read(path):
    raise FileNotFoundError(path)

def _parse(path):
    raise ValueError(path)
"""
    helpers = {n.name: n for n in ast.parse(code).body if isinstance(n, FUNCTIONS)}
    assert raised(helpers["told"], helpers, set()) == {"UsageError", "DataError", "ValueError"}
