"""Files as people keep them: what becomes of tables, questions, records and documents."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from parlai_cu.errors import DataError, UsageError
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.importing import columns
from parlai_cu.knowledge.importing.documents import sentences
from parlai_cu.knowledge.importing.files import read_source
from parlai_cu.knowledge.importing.plan import ImportPlan
from parlai_cu.scripts.knowledge_base import KnowledgeBaseScript


def plan_of(path: Path, text: str, encoding: str = "utf-8", **more: Any) -> ImportPlan:
    """What is understood of a file with one table, or one document."""
    path.write_bytes(text.encode(encoding))
    (plan,) = read_source(str(path), **more)
    return plan


def roles(plan: ImportPlan) -> dict[str, str]:
    """Column -> kind and role."""
    return {c.name: f"{c.kind} {c.role}".strip() for c in plan.columns}


def test_a_table_is_told_in_words(tmp_path: Path) -> None:
    """The column called a name is what a row is about; empty cells are not told."""
    text = "restaurant_name,price_range,phone\nCurry Garden,expensive,01223\nThe Nile,,555\n"
    one, other = plan_of(tmp_path / "r.csv", text).facts
    assert one.text == "Curry Garden: price range expensive, phone 01223."
    assert one.entity == "Curry Garden"
    assert dict(other.fields) == {"restaurant name": "The Nile", "phone": "555"}


def test_facts_and_questions_are_taken_as_they_are(tmp_path: Path) -> None:
    """Own columns by their names, `answer` and `name` included; others are fields."""
    rows = [
        {"id": "a", "name": "Star", "question": "How much?", "answer": "10 dollars.", "rank": 1},
        {"answer": "We open at nine.", "valid_until": "2030-01-01", "note": None},
    ]
    text = "\n".join(map(json.dumps, rows)) + "\n\n"
    one, other = plan_of(tmp_path / "f.jsonl", text).facts
    assert (one.id, one.entity, one.question, one.text) == ("a", "Star", "How much?", "10 dollars.")
    assert dict(one.fields) == {"rank": "1"}
    assert other.valid_until == "2030-01-01" and not other.fields


@pytest.mark.parametrize("encoding", ["cp1252", "utf-8-sig", "utf-16"])
@pytest.mark.parametrize("mark", [";", "\t", "|"])
def test_delimiters_encodings_and_units(tmp_path: Path, encoding: str, mark: str) -> None:
    """Whatever stands between cells; a unit of the header stands with the number."""
    rows = [
        ["Product Name", "Price €", "Weight (kg)", "Rate (low season)"],
        ["Röstmeister", "1.299,00", "3,5", "12"],
        ["Café Mini", "89,90", "1,2", ""],
    ]
    text = "\r\n".join(mark.join(row) for row in rows) + "\r\n"
    plan = plan_of(tmp_path / "p.csv", text, encoding)
    first, second = plan.facts
    assert first.entity == "Röstmeister"
    assert first.fields["Price"] == "1.299,00 €" and first.fields["Weight"] == "3,5 kg"
    assert first.fields["Rate (low season)"] == "12" and "Rate (low season)" not in second.fields
    assert roles(plan)["Price €"] == "money"


@pytest.mark.parametrize(
    ("header", "question", "answer"),
    [
        ("Frage;Antwort", "Was kostet es?", "Neun Euro."),
        ("QUESTION;Answer", "How much?", "Nine euros."),
        ("pregunta;respuesta", "¿Cuánto?", "Nueve euros."),
    ],
)
def test_questions_by_name_in_other_languages(
    tmp_path: Path, header: str, question: str, answer: str
) -> None:
    """A file of questions and answers is one, whatever its columns are called."""
    plan = plan_of(tmp_path / "faq.csv", f"{header}\n{question};{answer}\nx?;y\n")
    assert (plan.facts[0].question, plan.facts[0].text) == (question, answer)


def test_what_a_row_is_about_by_content(tmp_path: Path) -> None:
    """Without a telling name: the first column of names that differ, and no number or code."""
    rows = ["No;Where;Open", "1;Mill Street;yes", "2;Harbour;no", "3;St. Anne's;yes"]
    plan = plan_of(tmp_path / "b.csv", "\n".join(rows))
    assert [fact.entity for fact in plan.facts] == ["Mill Street", "Harbour", "St. Anne's"]
    other = plan_of(tmp_path / "b.csv", "\n".join(rows), entity_column="No")
    assert [fact.entity for fact in other.facts] == ["1", "2", "3"]
    with pytest.raises(UsageError, match="--entity-column Wher: .* nearest: Where"):
        plan_of(tmp_path / "b.csv", "\n".join(rows), entity_column="Wher")


def test_days_are_told_in_full(tmp_path: Path) -> None:
    """Where most of a week stands in the header; `Sun` alone may be a newspaper."""
    text = "Branch name,Mon,Tue,Wed,Thu,Fri\nMill,9-5,9-5,closed,9-5,9-1\nBay,9-5,9-5,9-5,9-5,9-1\n"
    fact = plan_of(tmp_path / "h.csv", text).facts[0]
    assert "Wednesday closed" in fact.text and fact.fields["Monday"] == "9-5"
    paper = plan_of(tmp_path / "n.csv", "Name,Sun\nAda,3\nBo,4\n").facts[0]
    assert paper.fields == {"Sun": "3"}


def test_two_columns_of_one_name_stay_apart(tmp_path: Path) -> None:
    """Neither value is lost."""
    fact = plan_of(tmp_path / "t.csv", "Name,Phone,Phone\nAda,0123456,0987654\nBo,1,2\n").facts[0]
    assert sorted(fact.fields.values()) == ["0123456", "0987654"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("f.json", '[{"name": "Nest", "price": {"adult": 3, "child": 2}, "days": ["Mon", "Tue"]}]'),
        ("f.json", '{"plans": [{"name": "Nest", "price": {"adult": 3, "child": 2}, "days": '
         '["Mon", "Tue"]}]}'),
        ("f.jsonl", '{"name": "Nest", "price": {"adult": 3, "child": 2}, "days": ["Mon", "Tue"]}'),
        ("f.yaml", "- name: Nest\n  price: {adult: 3, child: 2}\n  days: [Mon, Tue]\n"),
        ("f.yml", "Nest:\n  price: {adult: 3, child: 2}\n  days: [Mon, Tue]\nOther: {price: 1}\n"),
    ],
)  # fmt: skip
def test_records(tmp_path: Path, name: str, text: str) -> None:
    """Arrays, lines, objects that hold a list, YAML; what is nested is told by joined names."""
    fact = plan_of(tmp_path / name, text).facts[0]
    assert fact.entity == "Nest"
    assert fact.text == "Nest: price adult 3, price child 2, days Mon, Tue."


DOCUMENT = """# House rules

## Opening hours

We open at 8 a.m. and close at 6 p.m. on weekdays. Dr. Lee is there on Fridays.

### Do you have parking?

Yes, behind the house.
It is free.

| Service | Price |
|---|---|
| Haircut | £30 |
| Beard | £15 |

- Bring your own towel
- No dogs
"""


def test_a_document(tmp_path: Path) -> None:
    """Questions with answers, tables as tables, other sentences under their heading."""
    facts = plan_of(tmp_path / "rules.md", DOCUMENT).facts
    said = {(fact.question, fact.text) for fact in facts}
    assert ("Opening hours", "Dr. Lee is there on Fridays.") in said
    assert ("", "Haircut: Price £30.") in said
    asked = next(fact for fact in facts if fact.question == "Do you have parking?")
    assert asked.text.startswith("Yes, behind the house. It is free.")
    assert len({fact.id for fact in facts}) == len(facts)


def test_names_that_come_twice_in_a_document(tmp_path: Path) -> None:
    """Two tables with a row of one name, two parts with one question: each is a fact."""
    table = "| Who | Fee |\n|---|---|\n| Adult | {} |\n| Child | {} |\n"
    asked = "## How do I return it?\n\nBy {}.\n"
    text = "\n".join(["## Zoo", table.format(9, 4), "## Pool", table.format(5, 2)])
    text += "\n# Shoes\n" + asked.format("post") + "\n# Hats\n" + asked.format("hand")
    facts = plan_of(tmp_path / "two.md", text).facts
    assert len({fact.id for fact in facts}) == len(facts) == 6
    assert [fact.id for fact in facts][:2] == ["two.md#adult", "two.md#child"]


def test_a_web_page(tmp_path: Path) -> None:
    """What every page of the site has is not taken; entities and blanks are as people read them."""
    pytest.importorskip("markdownify", reason="an extra")
    text = (
        "<html><nav><a href='/'>Home</a> Basket (0)</nav><h1>Returns</h1><h2>1. Refunds</h2>"
        "<p>We refund <b>within</b> 7&nbsp;days. Ask <a href='mailto:x@y.example'>us</a>.</p>"
        "<script>alert('no')</script><footer>Imprint and so on.</footer></html>"
    )
    facts = plan_of(tmp_path / "r.html", text).facts
    assert [(f.question, f.text) for f in facts] == [
        ("Refunds", "We refund within 7 days."),
        ("Refunds", "Ask us."),
    ]


def test_word_and_pdf_files(tmp_path: Path) -> None:
    """A damaged one is one line."""
    for name, library in (("w.docx", "mammoth"), ("p.pdf", "pypdf")):
        pytest.importorskip(library, reason="an extra")
        (tmp_path / name).write_bytes(b"no such thing")
        with pytest.raises(DataError, match=f"{name}: cannot be read"):
            read_source(str(tmp_path / name))


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("g.ttl", "", "a graph is asked where it is: --kb graph:"),
        ("g.sqlite", "", r"a database is asked where it is: --kb sql\+sqlite:///"),
        ("f.exe", "", "found .exe, expected one of .csv"),
        ("f.csv", "", "the file is empty"),
        ("f.csv", "a,b\n", "no row"),
        ("f.csv", "text,valid_from\nx,soon\n", r"f.csv:2: valid_from: 'soon' is no date"),
        ("f.jsonl", '{"text": "x"}\n{"text": \n', r"f.jsonl:2: expected a JSON object"),
        ("f.jsonl", "[1]\n", r"f.jsonl:1: expected a JSON object, found 1"),
        ("f.json", "[" * 100_000, "f.json:1: nested too deep"),
        ("f.yaml", "a: [1\n", "this is no YAML"),
        ("f.md", "\n", "found no sentence"),
    ],
)
def test_what_cannot_be_taken_is_named(tmp_path: Path, name: str, text: str, message: str) -> None:
    """File, line, what was found, what was expected, where it belongs."""
    (tmp_path / name).write_text(text)
    with pytest.raises((DataError, UsageError), match=message):
        read_source(str(tmp_path / name))
    with pytest.raises(DataError, match="no such file.*f.csv"):
        (tmp_path / "f.csv").write_text("a,b\n1,2\n")
        read_source(str(tmp_path / "g.csv"))


def test_what_is_left_out_is_said(tmp_path: Path) -> None:
    """Rows with too many cells, by their lines; the others are taken."""
    plan = plan_of(tmp_path / "f.csv", "name,fee\nAda,1\nBo,2,3,4\nCy,5\n")
    assert [fact.entity for fact in plan.facts] == ["Ada", "Cy"]
    assert [place for place, _ in plan.left_out] == ["line 3"] and "line 3" in plan.preview()


def test_what_stands_above_and_below_a_table_is_no_row(tmp_path: Path) -> None:
    """A title, a date of export, a remark; each is said to be left out."""
    text = "Price list;;\nof 1.3.2026;;\n;;\nModel;Fee €;Stock\nAda;1,50;3\nBo;2;0\nincl. VAT;;\n"
    plan = plan_of(tmp_path / "p.csv", text)
    assert [fact.entity for fact in plan.facts] == ["Ada", "Bo"]
    assert [place for place, _ in plan.left_out] == ["line 1", "line 2", "line 7"]


def run(tmp_path: Path, *words: str) -> Any:
    """`parlai knowledge_base import` of ``f.csv``."""
    kb = f"sqlite:///{tmp_path / 'f.db'}"
    return KnowledgeBaseScript.main("import", "--kb", kb, "--file", str(tmp_path / "f.csv"), *words)


def test_the_next_version_of_a_file(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Added, changed, unchanged; what is gone stays until told to go; undo brings it back."""
    source = tmp_path / "f.csv"
    source.write_text("name,fee\nAda,1\nBo,2\nCy,3\n")
    run(tmp_path)
    source.write_text("name,fee\nAda,1\nBo,9\nDi,4\n")
    run(tmp_path)
    printed = capsys.readouterr().out
    assert "(1 added, 1 changed, 1 unchanged)" in printed and "and left: 1" in printed
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'f.db'}", writable=True)
    assert {fact.entity: fact.fields["fee"] for fact in base.facts()} == {
        "Ada": "1", "Bo": "9", "Cy": "3", "Di": "4"
    }  # fmt: skip
    run(tmp_path, "--replace-source")
    assert {fact.entity for fact in base.facts()} == {"Ada", "Bo", "Di"}
    assert base.undo() == 1 and {fact.entity for fact in base.facts()} == {"Ada", "Bo", "Cy", "Di"}
    run(tmp_path)
    assert "(3 unchanged)" in capsys.readouterr().out
    assert base.verify() == []


def test_facts_from_elsewhere_are_not_overwritten(tmp_path: Path) -> None:
    """An id that somebody added by hand, or another file did."""
    (tmp_path / "f.csv").write_text("id,text\na,one\n")
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'f.db'}", writable=True)
    from parlai_cu.types import Fact

    base.add([Fact("by hand", id="a")])
    with pytest.raises(Exception, match="'a' is there already"):
        run(tmp_path)
    assert [fact.text for fact in base.facts()] == ["by hand"]


def test_a_base_of_the_users_own_is_added_to(tmp_path: Path) -> None:
    """It knows nothing of files and their versions."""
    (tmp_path / "f.csv").write_text("name,fee\nAda,1\nBo,2\n")
    script = KnowledgeBaseScript({"file": str(tmp_path / "f.csv"), "replace_source": False})
    base = SimpleNamespace(name="mine", add=list, snapshot_id=lambda: "1")
    assert script._import(base) == 2
    script.opt["replace_source"] = True
    with pytest.raises(UsageError, match="--replace-source: mine knows of no file"):
        script._import(base)


@pytest.mark.parametrize("flag", ["--dry-run", "--replace-source"])
def test_flags_of_files_are_refused_for_databases(tmp_path: Path, flag: str) -> None:
    """Nothing is written by a dry run that is none."""
    kb, source = f"sqlite:///{tmp_path / 'f.db'}", f"sqlite:///{tmp_path / 's.db'}"
    with pytest.raises(UsageError, match=f"{flag} is of import --file"):
        KnowledgeBaseScript.main("import", "--kb", kb, "--from-url", source, flag)
    assert not (tmp_path / "f.db").exists()


def test_a_dry_run_writes_nothing(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """It says what is understood, and needs no knowledge base."""
    (tmp_path / "f.csv").write_text("name,Price (€)\nAda,1\nBo,2\n")
    run(tmp_path, "--dry-run")
    printed = capsys.readouterr().out
    assert (
        "2 facts" in printed
        and "money, told as 'Price'" in printed
        and "Ada: Price 1 €." in printed
    )
    assert not (tmp_path / "f.db").exists()


@pytest.mark.parametrize(
    ("values", "unit", "kind"),
    [
        (["yes", "No", "yes"], "", "yes/no"),
        (["€9.90", "12 €", "EUR 3"], "", "money"),
        (["9.90", "12"], "€", "money"),
        (["9.90", "1.200,5", "-3"], "", "number"),
        (["2026-01-31", "1 March 2026", "03.04.2026"], "", "date"),
        (["9 am", "10:30 am", "17:00"], "", "hours"),
        (["09:00-17:00", "closed", "9 am - 5 pm"], "", "hours"),
        (["+44 1632 960 123", "01632 960123"], "", "phone"),
        (["S, M, L", "M, L", "red; blue"], "", "list"),
        (["a house", "by the sea, with a view of nothing at all"], "", "text"),
        ([], "", "empty"),
    ],
)
def test_kinds_of_values(values: list[str], unit: str, kind: str) -> None:
    """By what four in five of them are."""
    assert columns.kind_of(values, unit) == kind


def test_sentences_end_where_they_end() -> None:
    """Not at abbreviations, numbers or times."""
    text = "Dr. Lee charges approx. £4.95 from 9 a.m. on. See no. 5! Is it e.g. free? Yes."
    assert sentences(text) == [
        "Dr. Lee charges approx. £4.95 from 9 a.m. on.",
        "See no. 5!",
        "Is it e.g. free?",
        "Yes.",
    ]
