"""Every regular expression of the package on its worst inputs: the cost grows with their length."""

import ast
import importlib
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

import parlai_cu

PACKAGE = Path(parlai_cu.__file__).parent
USES = {"compile", "match", "search", "fullmatch", "sub", "subn", "split", "findall", "finditer"}
# four times the length may cost so many times as much: linear cost gives 4, its square 16
SHORT, TIMES, MOST = 1000, 4, 9.0
# s below which a cost is not worth a look
SMALL = 0.003
# those whose text is cut before: a cell of a table's header that is no longer than a name
BOUNDED = ("tabular/header.py",)
# what people write, and what patterns are made of
PIECES = [
    *(
        "a",
        "A",
        "0",
        "9",
        " ",
        ".",
        "-",
        "_",
        ",",
        "'",
        "@",
        "/",
        ":",
        "(",
        ")",
        "+",
        "\n",
        "[",
        "é",
    ),
    *("a.", "a-", "0.", "0-", "0 ", "a ", "A0", "00:", "0/0/", "a@", "a@a.", "AA00 ", "0000 "),
    *("that is wrong ", "no ", "but ", "please ", "and ", "sorry, ", "any kind of ", "do n't "),
    *("under ", "under $", "more than ", "at least", "$", "$ ", "20", "1st of ", "next ", "may "),
    *("[1:", "layers.0.", "x.1.2.", "<a", "{", "}", "\\", "^", "&", "=", "%20", "\t", "12:30 "),
]
ENDS = ["", "!", "\x00", "@"]


def modules() -> Iterator[tuple[str, Path]]:
    """(dotted name, file) of all of the package."""
    for path in sorted(PACKAGE.rglob("*.py")):
        parts = path.relative_to(PACKAGE.parent).with_suffix("").parts
        yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


def written() -> Iterator[Any]:
    """Each pattern that is written in the package, with the flags it is used with."""
    for name, path in modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            is_re = (
                isinstance(node, ast.Call)
                and isinstance(node.func, ast.Attribute)
                and isinstance(node.func.value, ast.Name)
                and node.func.value.id == "re"
                and node.func.attr in USES
            )
            bounded = path.relative_to(PACKAGE).as_posix() in BOUNDED
            if is_re and isinstance(node, ast.Call) and node.args and not bounded:
                yield pytest.param(name, node, id=f"{path.relative_to(PACKAGE)}:{node.lineno}")


def compiled(name: str, node: ast.Call) -> "re.Pattern[str] | None":
    """The pattern of a call; None where it is made of what is only known when it runs."""
    space = vars(importlib.import_module(name))
    flags: Any = 0
    try:
        pattern = eval(compile(ast.Expression(node.args[0]), name, "eval"), dict(space))
        for keyword in node.keywords:
            if keyword.arg == "flags":
                flags = eval(compile(ast.Expression(keyword.value), name, "eval"), dict(space))
        if node.func.attr == "compile" and len(node.args) > 1:  # type: ignore[attr-defined]
            flags = eval(compile(ast.Expression(node.args[1]), name, "eval"), dict(space))
    except NameError:
        return None
    return re.compile(pattern, flags) if isinstance(pattern, str) else None


def only_at_the_start(name: str, node: ast.Call) -> bool:
    """Whether a pattern is only ever matched from where a text begins."""
    method = node.func.attr  # type: ignore[attr-defined]
    if method != "compile":
        return method in ("match", "fullmatch")
    source = Path(importlib.import_module(name).__file__ or "").read_text(encoding="utf-8")
    line = source.splitlines()[node.lineno - 1]
    assigned = re.match(r"\s*(\w+)\b.*=", line)
    if assigned is None:
        return False
    used = set(re.findall(rf"\b{assigned.group(1)}\.(\w+)\(", source))
    return bool(used) and used <= {"match", "fullmatch"}


def cost(pattern: "re.Pattern[str]", text: str, at_start: bool) -> float:
    """Seconds of this thread to look for a pattern in a text: the least of a few tries."""
    found = []
    for _ in range(3):
        began = time.thread_time()
        if at_start:
            pattern.match(text)
        else:
            for _match in pattern.finditer(text):
                pass
        pattern.fullmatch(text)
        found.append(time.thread_time() - began)
        if found[-1] < SMALL / 4:
            break
    return min(found)


def growth(pattern: "re.Pattern[str]", piece: str, end: str, at_start: bool) -> float:
    """
    How many times as much four times the length costs; 0 where that is next to nothing.

    What disturbs a measurement passes, a square stays: what looks too much is measured again.
    """
    long, short = ((piece * n)[:n] + end for n in (SHORT * TIMES, SHORT))
    least = float("inf")
    for _ in range(4):
        taken = cost(pattern, long, at_start)
        if taken < SMALL:
            return 0.0
        least = min(least, taken / max(cost(pattern, short, at_start), SMALL / 40))
        if least < MOST:
            break
    return least


def worst(pattern: "re.Pattern[str]", at_start: bool = False) -> tuple[float, str]:
    """The growth for the piece of text where it is most; the first that is too much is enough."""
    literal = re.findall(r"[A-Za-z]{2,}[ ]?", pattern.pattern)[:8]
    most = 0.0, ""
    for piece in dict.fromkeys([*PIECES, *literal]):
        for end in ENDS:
            most = max(most, (growth(pattern, piece, end, at_start), f"{piece!r} and {end!r}"))
            if most[0] >= MOST:
                return most
    return most


@pytest.mark.parametrize("name, node", list(written()))
def test_no_pattern_costs_more_than_its_text_is_long(name: str, node: ast.Call) -> None:
    """Whatever is written in the package, on what is written against it."""
    pattern = compiled(name, node)
    if pattern is None:
        return  # made of what is only known when it runs
    ratio, text = worst(pattern, only_at_the_start(name, node))
    assert ratio < MOST, f"{pattern.pattern}: four times the length costs {ratio:.0f} times: {text}"


def test_the_measure() -> None:
    """It finds what is quadratic, and lets what is linear pass."""
    assert worst(re.compile(r"[\w.+-]+@[\w-]+"))[0] > MOST
    # about as dear at these lengths, but bounded for each letter
    assert worst(re.compile(r"\w{1,300}@"))[0] < MOST
