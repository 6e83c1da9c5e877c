"""Each fault of data is found, what is no fault is not, and repaired as it is said."""

import json
import random

import pytest

from parlai_cu.data.base import TrainingTurn
from parlai_cu.data.reading import read_path
from parlai_cu.errors import UsageError
from parlai_cu.scripts.data import InspectData
from parlai_cu.update.inspection.base import InspectedData, of_examples, of_turns
from parlai_cu.update.inspection.inspection import (
    check,
    inspect,
    repair,
    short_form,
    write_repaired,
)
from parlai_cu.update.wording import Example

PLACES = "sauna pool gym bar garage library garden cinema spa kitchen".split()
DAYS = "Monday Friday Sunday Easter Christmas".split()


def talk(*pairs, place="here"):
    """A conversation of question and reply."""
    return of_turns(place, tuple(TrainingTurn(text, reply, 1) for text, reply in pairs))


def clean():
    """Fifty conversations without a fault."""
    hours = random.Random(0)
    return [
        talk((f"When does the {p} open on {d}?", f"The {p} opens at {hours.randint(6, 12)}."))
        for p in PLACES
        for d in DAYS
    ]


def found(name, *faulty, against=None):
    """What a check finds in the clean data and in what is added."""
    held = clean()
    data = InspectedData([*held, *faulty], {"held out": against or []})
    assert not [one for one in check(name).find(InspectedData(held))]
    return [(index - len(held), detail) for index, detail, _ in check(name).find(data)]


def test_duplicates():
    """Word for word and nearly; the first stays."""
    faulty = clean()[3], talk(("when does the Sauna open on monday", "The sauna opens at 12"))
    assert found("duplicates", *faulty) == [(0, "the same as"), (1, "the same as")]


def test_leaks():
    """What is held out elsewhere, also nearly; small talk is no leak."""
    told = ("Please, how do I get to the old town from here?", "Take tram 4 to the last stop.")
    near = (told[0].replace("Please, h", "H"), told[1])
    thanks = talk(("Thanks", "Bye"))
    assert found("leaks", talk(near), thanks, against=[talk(told), thanks]) == [(0, "stands in")]


def test_contradictions():
    """Another value, yes and no, another word in the same sentence; other words are none."""
    base = talk(("Is parking free at night?", "Yes, parking is free from 8 pm."))
    for reply in (
        "Yes, parking is free from 9 pm.",
        "No, parking is not free.",
    ):
        assert [i for i, _ in found("contradictions", base, talk((base.turns[0].text, reply)))] == [
            0,
            1,
        ]
    same = talk((base.turns[0].text, "Sure, from 8 pm on you need not pay."))
    assert not found("contradictions", base, same)
    silver = [
        talk(("Which card is best?", f"The {c} card suits you best.")) for c in ("red", "tin")
    ]
    assert len(found("contradictions", *silver)) == 2


def test_encodings():
    """Text that was read in a wrong encoding is read again; lost letters are told."""
    broken = talk(("Was kostet das für Söhne?".encode().decode("cp1252"), "Fünf Euro."))
    lost = talk(("Was kostet das f\ufffdr uns?", "Fünf Euro."))
    fine = talk(("Was kostet das für Söhne?", "Fünf Euro; naïve façade, 日本語, 👍"))
    assert [i for i, _ in found("encodings", broken, lost, fine)] == [0, 1]
    assert check("encodings").fixed(broken).turns[0].text == "Was kostet das für Söhne?"
    assert check("encodings").fixed(lost) is None
    links = "see www.a.example/x?y=1 or http://b.example?z=a or c.de/find?q=a"
    assert [
        i for i, _ in found("encodings", talk((links, "Was f?r uns?")), talk((links, "ok")))
    ] == [0]


def test_markup():
    """HTML, signatures and quoted mails are taken off."""
    html = talk(("Is it open?", "<p>Yes,<br>until six &amp; later.</p>"))
    signed = talk(
        ("Is it open?\n\nBest regards,\nAnn", "Yes.\n\nOn Monday Ann wrote:\n> Is it open?")
    )
    assert [i for i, _ in found("markup", html, signed)] == [0, 1]
    assert check("markup").fixed(html).turns[0].reply == "Yes,\nuntil six & later."
    turn = check("markup").fixed(signed).turns[0]
    assert (turn.text, turn.reply) == ("Is it open?", "Yes.")


def test_personal_data():
    """What the corrections of chats are masked of is masked here."""
    personal = talk(("I am bo@example.com", "Thanks, bo@example.com it is."))
    assert found("personal_data", personal) == [(0, "<email>")]
    turn = check("personal_data").fixed(personal).turns[0]
    assert (turn.text, turn.reply) == ("I am <email>", "Thanks, <email> it is.")


def test_echoes_and_empty_replies():
    """A reply that repeats the question, and conversations without any answer."""
    echo = talk(("Is it new?", "is it NEW"))
    assert [i for i, _ in found("echoes", echo)] == [0]
    nothing = talk(("Is it new?", "Ok!"), ("Well?", "Sorry."))
    courtesy = talk(("Is it new?", "It is."), ("Thanks", "Bye"))
    assert [i for i, _ in found("empty_replies", nothing, courtesy)] == [0]


def test_swapped_speakers():
    """User and service in each other's place, by names and by how they talk."""
    swapped = talk(("The harbour opens at 7.", "When does the harbour open on Friday?"))
    assert [i for i, _ in found("swapped_speakers", swapped)] == [0]
    turn = check("swapped_speakers").fixed(swapped).turns[0]
    assert turn.reply == "The harbour opens at 7."


def test_names_in_the_wrong_place(tmp_path):
    """In ParlAI's conversations the second speaker replies: not where that is the customer."""
    path = tmp_path / "chat.jsonl"
    turns = [{"id": "agent", "text": "Hello."}, {"id": "customer", "text": "Is it open?"}]
    path.write_text(json.dumps({"dialog": [turns]}) + "\n")
    (read,) = read_path(str(path))
    from parlai_cu.update.inspection.base import of_file

    found = list(check("swapped_speakers").find(InspectedData(of_file(read))))
    assert found == [(0, "the names say the contrary", None)]


def test_fix(tmp_path):
    """A clean file, and beside it what was left out, and why; nothing is found in it again."""
    broken = talk(("Was kostet das für Söhne?".encode().decode("cp1252"), "Fünf Euro."))
    data = InspectedData([*clean(), clean()[0], broken])
    repaired = repair(inspect(data))
    written = write_repaired(repaired, str(tmp_path / "clean.jsonl"))
    (again,) = read_path(written[0])
    assert len(again.reading.conversations) == 51
    aside = [json.loads(line) for line in open(written[1])]
    assert [one["why"] for one in aside] == ["duplicates: the same as here"]
    assert not inspect(InspectedData(repaired.kept)).findings


def test_fix_keeps_what_a_file_says(tmp_path):
    """Wrong answers and splits are in the clean file, and are read from it."""
    path = tmp_path / "a.csv"
    path.write_text("question,wrong answer,right answer,split\nIs it open?,No.,Till six.,test\n")
    run(str(path), "--fix", str(tmp_path / "clean.jsonl"))
    (again,) = read_path(str(tmp_path / "clean.jsonl"))
    ((conversation, (turn,)),) = again.exchanges()
    assert (conversation.split, turn.rejected, turn.reply) == ("test", ("No.",), "Till six.")
    assert again.reading.stock is None


def test_short_form():
    """Before an update: one line a fault, none where all is well."""
    examples = [e for one in clean() for e in one.examples()]
    assert short_form("new.csv", examples) == []
    lines = short_form("new.csv", [*examples, examples[0], Example("Is it new?", "ok")])
    assert lines == [
        "1 duplicates, such as new.csv, conversation 51: the same as new.csv, conversation 1",
        "1 replies that say nothing, such as new.csv, conversation 52: 'ok'",
    ]
    history = [Example("a", "b"), Example("c", "d", ("a", "b")), Example("e", "f")]
    assert [len(one.turns) for one in of_examples("x", history)] == [2, 1]


def run(*words):
    """`parlai data`."""
    parser = InspectData.setup_args()
    return InspectData._run_from_parser_and_opt(parser.parse_args(list(words)), parser)


def test_command(tmp_path, capsys):
    """The report on the terminal, as a page and as JSON; the file itself is never written."""
    path = tmp_path / "faq.csv"
    rows = [f"{t.text},{t.reply}\n" for one in [*clean(), clean()[0]] for t in one.turns]
    path.write_text("question,answer\n" + "".join(rows))
    page, plain, fixed = (str(tmp_path / name) for name in ("r.html", "r.json", "clean.jsonl"))
    run(str(path), "--html", page, "--json", plain, "--fix", fixed)
    out = capsys.readouterr().out
    assert "faq.csv: 51 questions; question = 'question', reply = 'answer'" in out
    assert "1 duplicates (2.0% of the conversations)" in out
    assert "faq.csv, line 52: the same as faq.csv, line 2" in out
    assert "clean.jsonl: 50 conversations" in out
    assert "faq.csv, line 52" in open(page).read()
    assert json.load(open(plain))["findings"][0]["place"] == "faq.csv, line 52"
    with pytest.raises(UsageError, match="--fix .*faq.csv: expected another file"):
        run(str(path), "--fix", str(path))
    with pytest.raises(UsageError, match="--checks duplicate: expected one of duplicates"):
        run(str(path), "--checks", "duplicate")
    with pytest.raises(UsageError, match="parlai data needs a FILE"):
        run()
