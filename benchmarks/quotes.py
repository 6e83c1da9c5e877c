"""
Figures and tables that README and docs quote, held to the files that the benchmarks wrote.

A quoted figure is followed by a comment that no reader sees, which says where it is from::

    18.7<!--continual rows/method=full fine-tuning/old_ppl-->

A step is a key, or ``name=value``, which picks the row of that name. A figure that a percent sign
follows is a share.

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
from pathlib import Path
from typing import Any, Iterator, Tuple

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


def value(file: str, path: str) -> float:
    """
    The figure of a results file.

    :param file: its name without ``.json``
    :param path: the way to it, e.g. ``rows/method=replay/old_ppl``
    :raises LookupError: when there is no such figure, or more than one
    """
    found: Any = results(file)
    for step in path.split("/"):
        name, is_row, wanted = step.partition("=")
        if is_row:
            rows = [row for row in found if str(row[name]) == wanted]
            if len(rows) != 1:
                raise LookupError(f"{file} {path}: {len(rows)} rows have {step}")
            found = rows[0]
        else:
            found = found[int(name) if isinstance(found, list) else name]
    return float(found)


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


def quotes(page: Path) -> Iterator[Tuple[str, str]]:
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
