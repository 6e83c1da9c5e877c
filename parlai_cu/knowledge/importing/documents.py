"""
Facts from documents: Markdown, web pages, text, Word and PDF files.

All become Markdown first, by libraries. A heading that asks is a question, what stands below is its
answer; a table is read as tables are; of other text each sentence is a fact under its heading.
"""

import dataclasses
import os
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from parlai_cu.errors import DataError
from parlai_cu.knowledge.importing import tables
from parlai_cu.knowledge.importing.plan import ImportPlan
from parlai_cu.knowledge.words import words
from parlai_cu.tabular.table import table_of
from parlai_cu.tabular.text_file import read_text
from parlai_cu.types import Fact

KINDS = (".md", ".markdown", ".html", ".htm", ".txt", ".docx", ".pdf")
# parts of a page that every page of its site has
_FURNITURE = ["script", "style", "nav", "footer", "header", "aside", "form", "noscript", "svg"]
# what ends with a point and no sentence
_ABBREVIATIONS = {
    *"dr mr mrs ms prof st no nr art e.g i.e etc vs approx tel a.m p.m".split(),
    *"ca bzw z.b d.h inkl zzgl usw".split(),
    *"jan feb mar apr jun jul aug sep sept oct nov dec mon tue wed thu fri sat sun".split(),
}
# an answer of several paragraphs or points is one, up to this many letters
_LONGEST_ANSWER = 700
_INSTALL = "pip install 'parlai-cu[knowledge]'"


@dataclass
class _Section:
    """A heading and what stands below it, up to the next."""

    heading: str
    line: int
    level: int
    blocks: list[tuple[str, Any]] = field(default_factory=list)


def read_document(path: str, kind: str) -> ImportPlan:
    """
    The facts of a document.

    :param path: of the file
    :param kind: its ending, one of :data:`KINDS`
    :raises DataError: when it cannot be read, or holds no text
    """
    source = os.path.basename(path)
    sections = list(_sections(_as_markdown(path, kind)))
    facts: list[Fact] = []
    for above, section in _with_context(sections):
        facts += _facts(source, section, above, len(facts))
    if not facts:
        raise DataError(f"{path}: found no sentence in it")
    facts = list(_each_its_own(facts))
    asked = sum(bool(fact.question) and fact.question.endswith("?") for fact in facts)
    return ImportPlan(source, facts, f"sentences, rows and answers ({asked} with a question)")


def _as_markdown(path: str, kind: str) -> str:
    if kind in (".html", ".htm"):
        return _html_as_markdown(read_text(path).text)
    if kind == ".docx":
        return _html_as_markdown(_with_library("mammoth", path, _docx_as_html))
    if kind == ".pdf":
        return _with_library("pypdf", path, _pdf_as_text)
    return read_text(path).text


def _with_library(name: str, path: str, read: Callable[[str], str]) -> str:
    try:
        return read(path)
    except ImportError:
        raise DataError(f"{path}: it is read by {name}: {_INSTALL}") from None
    except DataError:
        raise
    except Exception as error:  # what a damaged file makes such a library raise is not said
        raise DataError(f"{path}: cannot be read ({type(error).__name__}: {error})") from error


def _docx_as_html(path: str) -> str:
    import mammoth  # type: ignore[import-untyped]

    with open(path, "rb") as file:
        return str(mammoth.convert_to_html(file).value)


def _pdf_as_text(path: str) -> str:
    import pypdf

    reader = pypdf.PdfReader(path)
    if reader.is_encrypted and not reader.decrypt(""):
        raise DataError(f"{path}: the file has a password")
    return "\n\n".join(page.extract_text() or "" for page in reader.pages)


def _html_as_markdown(text: str) -> str:
    try:
        from bs4 import BeautifulSoup
        from markdownify import MarkdownConverter
    except ImportError:
        raise DataError(f"web pages are read by markdownify: {_INSTALL}") from None
    page = BeautifulSoup(text, "html.parser")
    for part in page(_FURNITURE):
        part.decompose()
    body = page.body or page
    converter = MarkdownConverter(heading_style="ATX", escape_misc=False, strip=["a", "img"])
    return str(converter.convert_soup(body))


def _sections(text: str) -> Iterator[_Section]:
    from markdown_it import MarkdownIt

    tokens = MarkdownIt("commonmark").enable("table").parse(text)
    section = _Section("", 1, 0)
    index = 0
    while index < len(tokens):
        token = tokens[index]
        line = (token.map or [0])[0] + 1
        if token.type == "heading_open":
            yield section
            section = _Section(_plain(tokens[index + 1]), line, int(token.tag[1]))
            index += 2
        elif token.type == "table_open":
            end = _closing(tokens, index)
            section.blocks.append(("table", _rows(tokens[index:end], line)))
            index = end
        elif token.type == "list_item_open":
            end = _closing(tokens, index)
            parts = [_plain(t) for t in tokens[index:end] if t.type == "inline"]
            section.blocks.append(("item", " ".join(parts)))
            index = end
        elif token.type == "inline":
            section.blocks.append(("text", _plain(token)))
        index += 1
    yield section


def _closing(tokens: Sequence[Any], index: int) -> int:
    """Where what is opened there is closed."""
    level, wanted = tokens[index].level, tokens[index].type.replace("_open", "_close")
    return next(
        i for i in range(index, len(tokens)) if (tokens[i].type, tokens[i].level) == (wanted, level)
    )


def _plain(token: Any) -> str:
    """The words of a line, without marks."""
    parts = []
    for child in token.children or ():
        if child.type in ("softbreak", "hardbreak"):
            parts.append(" ")
        elif child.type in ("text", "code_inline"):
            parts.append(child.content)
    return " ".join("".join(parts).split())


def _rows(tokens: Sequence[Any], line: int) -> list[tuple[int, list[str]]]:
    rows: list[tuple[int, list[str]]] = []
    for token in tokens:
        if token.type == "tr_open":
            rows.append(((token.map or [line - 1])[0] + 1, []))
        elif token.type == "inline":
            rows[-1][1].append(_plain(token))
    return rows


def _with_context(sections: Sequence[_Section]) -> Iterator[tuple[str, _Section]]:
    """Each section with the heading that stands above its own, but for the title of all."""
    open_ones: list[_Section] = []
    top = min((s.level for s in sections if s.level), default=0)
    has_title = sum(s.level == top for s in sections) == 1
    for section in sections:
        while open_ones and open_ones[-1].level >= section.level:
            open_ones.pop()
        above = [s.heading for s in open_ones if s.heading and not (has_title and s.level == top)]
        yield (above[-1] if above else ""), section
        open_ones.append(section)


def _facts(source: str, section: _Section, above: str, number: int) -> Iterator[Fact]:
    heading = _unnumbered(section.heading)
    texts = [text for kind, text in section.blocks if kind != "table" and text]
    for kind, rows in section.blocks:
        if kind == "table":
            yield from tables.plan_of(table_of(source, rows), source).facts
    answer = " ".join(_ended(text) for text in texts)
    if heading.endswith("?") and answer and len(answer) <= _LONGEST_ANSWER:
        yield Fact(answer, id=_id(source, heading, 0), question=heading)
        return
    count = number
    for text in texts:
        for sentence in sentences(text):
            count += 1
            yield Fact(sentence, id=_id(source, sentence, count), question=heading or above)


def _each_its_own(facts: Sequence[Fact]) -> Iterator[Fact]:
    """Facts with ids of their own: two tables may have a row of one name, two parts a question."""
    taken: set[str | None] = set()
    for fact in facts:
        name, number = fact.id, 2
        while name in taken:
            name, number = f"{fact.id}-{number}", number + 1
        taken.add(name)
        yield dataclasses.replace(fact, id=name)


def _unnumbered(heading: str) -> str:
    """``2.1 Refunds`` is about refunds."""
    return re.sub(r"^[\d.]{1,12}\)?\s+", "", heading)


def _id(source: str, text: str, number: int) -> str:
    plain = "-".join(words(text)[:8])[:60] or str(number)
    return f"{source}#{plain}" + (f"-{number}" if number else "")


def _ended(text: str) -> str:
    return text if text[-1:] in ".!?:;…" else f"{text}."


def sentences(text: str) -> list[str]:
    """
    The sentences of a paragraph.

    By Punkt (Kiss and Strunk, 2006), with abbreviations given instead of learnt.
    """
    from nltk.tokenize import punkt  # type: ignore[import-untyped]

    parameters = punkt.PunktParameters()
    parameters.abbrev_types = _ABBREVIATIONS
    found = punkt.PunktSentenceTokenizer(parameters).tokenize(text)
    return [str(sentence) for sentence in found if words(sentence)]
