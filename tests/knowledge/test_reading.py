"""Facts from files: what becomes of rows, and which line is wrong."""

import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import DataError
from parlai_cu.knowledge.reading import read_facts, row_sentence


def write(path: Path, text: str) -> str:
    """A file; its path."""
    path.write_text(text, encoding="utf-8")
    return str(path)


def test_a_table_is_told_in_words(tmp_path: Path) -> None:
    """Without a text column, the row is; the column called a name is what it is about."""
    path = write(
        tmp_path / "r.csv",
        "restaurant_name,price_range,phone\nCurry Garden,expensive,01223\nThe Nile,,555\n",
    )
    one, other = read_facts(path)
    assert one.text == "Curry Garden: price range expensive, phone 01223."
    assert one.entity == "Curry Garden"
    assert dict(other.fields) == {"restaurant_name": "The Nile", "phone": "555"}


def test_facts_and_faq_entries_are_taken_as_they_are(tmp_path: Path) -> None:
    """Own columns by their names, `answer` and `name` included; others are fields."""
    rows = [
        {"id": "a", "name": "Star", "question": "How much?", "answer": "10 dollars.", "rank": 1},
        {"text": "We open at nine.", "valid_until": "2030-01-01", "note": None},
    ]
    path = write(tmp_path / "f.jsonl", "\n".join(map(json.dumps, rows)) + "\n\n")
    one, other = read_facts(path)
    assert (one.id, one.entity, one.question, one.text) == ("a", "Star", "How much?", "10 dollars.")
    assert dict(one.fields) == {"rank": "1"}
    assert other.valid_until == "2030-01-01" and not other.fields


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("f.csv", "text,entity\nfine,x\ntoo,many,cells\n", r"f.csv:3: expected 2 columns, found 3"),
        ("f.csv", "text,entity\nfew\n", r"f.csv:2: expected 2 columns, found fewer"),
        ("f.csv", "text,,entity\na,b,c\n", r"f.csv:1: expected a header"),
        ("f.csv", "", r"f.csv:1: expected a header"),
        ("f.csv", "id,entity\n1,x\n", r"f.csv:2: found no text"),
        ("f.csv", "text,valid_from\nx,soon\n", r"f.csv:2: valid_from: 'soon' is no date"),
        ("f.jsonl", '{"text": "x"}\n{"text": \n', r"f.jsonl:2: expected a JSON object"),
        ("f.jsonl", "[1]\n", r"f.jsonl:1: expected a JSON object, found \[1\]"),
        ("f.jsonl", '{"text": {"a": 1}}\n', r"f.jsonl:1: text: expected text or a number"),
        ("f.xls", "x", r"expected .csv, .tsv or .jsonl, found .xls"),
    ],
)
def test_bad_lines_are_named(name: str, text: str, message: str, tmp_path: Path) -> None:
    """File, line, what was found and what was expected."""
    path = write(tmp_path / name, text)
    with pytest.raises(DataError, match=message):
        list(read_facts(path))


def test_what_is_not_there_is_named(tmp_path: Path) -> None:
    """A missing file, and one that is no text."""
    with pytest.raises(DataError, match="no such file"):
        list(read_facts(str(tmp_path / "none.csv")))
    (tmp_path / "b.csv").write_bytes(b"text\n\xff\xfe\n")
    with pytest.raises(DataError, match="b.csv: .*utf-8"):
        list(read_facts(str(tmp_path / "b.csv")))


def test_nothing_is_imported_from_a_file_with_a_bad_line(tmp_path: Path) -> None:
    """The import is one change."""
    from parlai_cu.knowledge.backends.sqlite import SQLiteFacts

    path = write(tmp_path / "f.csv", "text,valid_from\nfine,\nbad,soon\n")
    base: Any = SQLiteFacts(f"sqlite:///{tmp_path / 'f.db'}", writable=True)
    with pytest.raises(DataError, match="f.csv:3"):
        base.add(read_facts(path))
    assert base.stats()["facts"] == 0


def test_empty_cells_are_not_told() -> None:
    """Nor is an entity that is not there."""
    assert row_sentence({"a_b": "1", "c": ""}, "X") == "X: a b 1."
    assert row_sentence({"a": "1"}, "") == "a 1."
