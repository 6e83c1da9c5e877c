"""
Figures and tables that README and docs quote, held to the files that the benchmarks wrote.

A quoted figure is followed by a comment that no reader sees, which says where it is from::

    18.7<!--continual rows/method=full fine-tuning/old_ppl-->

A step is a key, or ``name=value``, which picks the rows with that value, or ``*`` for all there
are. Where that leaves more than one figure, ``mean``, ``min`` or ``max`` stands before the path.
Figures and numbers are divided and subtracted from left to right; a percent sign makes a share of
it, and the sign is left to the words::

    11 %<!--continual rows/method=EWC/old_1 / rows/method=L2-SP/old_1 - 1--> less

A table stands between two such comments, as a function of the script makes it of its results file
(``table``, where the comment names none)::

    <!-- of benchmarks/continual.py -->
    <!-- of benchmarks/deployed.py change_table -->

    | method | gain 1 |
    ...

    <!-- until here -->

After a benchmark was run again, this writes the new figures and tables into the pages::

    python benchmarks/quotes.py
"""

import importlib
import json
import re
import statistics
from collections.abc import Iterator
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
RESULTS = ROOT / "benchmarks" / "results"
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
QUOTE = re.compile(
    r"(?P<figure>\d[\d,]*(?:\.\d+)?)(?P<unit> ?%)?<!--(?P<file>\w+) (?P<path>[^>]+)-->"
)
MARK = re.compile(r"<!--\w+ [^>]*/[^>]*-->|<!-- of benchmarks/[^>]*-->")
TABLE = re.compile(
    r"(?P<begin><!-- of benchmarks/(?P<script>\w+)\.py(?: (?P<function>\w+))? -->\n)"
    r".*?(?P<end><!-- until here -->)",
    re.DOTALL,
)


def results(file: str) -> Any:
    """What a results file holds."""
    return json.loads(next(RESULTS.rglob(f"{file}.json")).read_text())


def value(file: str, wanted: str) -> float:
    """
    A figure of a results file, or what two or more of them make.

    :param file: its name without ``.json``
    :param wanted: the way to it, e.g. ``rows/method=replay/old_ppl``
    :raises LookupError: when there is no such figure, or more than one
    """
    whole = results(file)
    first, *others = re.split(r" ([-/]) ", wanted)
    number = operand(whole, first)
    for sign, other in zip(others[::2], others[1::2]):
        by = operand(whole, other)
        number = number / by if sign == "/" else number - by
    return number


def operand(whole: Any, text: str) -> float:
    """A number as it stands there, or what the path leads to."""
    if re.fullmatch(r"[\d.]+", text):
        return float(text)
    word, _, path = text.partition(" ")
    over = {"mean": statistics.mean, "min": min, "max": max}.get(word)
    found = [whole]
    for step in (path if over else text).split("/"):
        found = [each for thing in found for each in reached(thing, step)]
    if not found or (len(found) > 1 and over is None):
        raise LookupError(f"{text}: {len(found)} figures")
    return float(over(found) if over else found[0])


def reached(thing: Any, step: str) -> list[Any]:
    """What one step leads to."""
    name, _, wanted = step.partition("=")
    inside = list(thing.values()) if isinstance(thing, dict) else thing
    if step == "*":
        return inside
    if isinstance(thing, list):
        return (
            [thing[int(step)]] if step.isdigit() else [e for e in thing if str(e[name]) == wanted]
        )
    if step not in thing and name in thing:  # a row that was picked by something else already
        return [thing] if str(thing[name]) == wanted else []
    return [thing[step]]


def written(quote: "re.Match[str]") -> str:
    """A quote as it has to read: with as many digits as it has, of the file's figure."""
    digits = len(quote["figure"].partition(".")[2])
    number = value(quote["file"], quote["path"]) * (100 if quote["unit"] else 1)
    comma = "," if "," in quote["figure"] else ""
    figure = f"{abs(number):{comma}.{digits}f}"
    return f"{figure}{quote['unit'] or ''}<!--{quote['file']} {quote['path']}-->"


def table(place: "re.Match[str]") -> str:
    """What has to stand in the place of a table, its two comments included."""
    script = importlib.import_module(place["script"])
    made = getattr(script, place["function"] or "table")(results(place["script"])).strip()
    return f"{place['begin']}\n{made}\n\n{place['end']}"


def quotes(page: Path) -> Iterator[tuple[str, str]]:
    """(as it stands there, as it has to read) of each quote of a page."""
    text = page.read_text()
    for pattern, renewed in ((QUOTE, written), (TABLE, table)):
        for quote in pattern.finditer(text):
            yield quote[0], renewed(quote)


def main() -> None:
    """Write what the results files say into the pages."""
    for page in PAGES:
        before = page.read_text()
        after = TABLE.sub(table, QUOTE.sub(written, before))
        if after != before:
            page.write_text(after)
            print(f"{page.relative_to(ROOT)}: renewed")


if __name__ == "__main__":
    main()
