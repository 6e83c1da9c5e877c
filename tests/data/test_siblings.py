"""Kinds of files that were not in mind when the readers were written."""

import gzip
import json

import pytest

from parlai_cu.data.base import ReadOptions
from parlai_cu.data.reading import read_path
from parlai_cu.errors import DataError


def read(path):
    """Exchanges in a line each, and what is said of the file."""
    found = read_path(str(path), ReadOptions())
    turns = [turn for one in found for _, held in one.exchanges() for turn in held]
    said = [f"{t.text} -> {t.reply}{' x ' + t.rejected[0] if t.rejected else ''}" for t in turns]
    return said, [line for one in found for line in one.summary()]


TABLES = {
    "sep.csv": ("sep=;\nUser query;Agent response\nWhere?;Here, you see\nWho?;Me\n", "utf-8"),
    "utf16.csv": ("question\tanswer\nWhere?\tHere, you see\nWho?\tMe\n", "utf-16"),
    "ru.csv": ("Вопрос;Правильный ответ\nГде?;Здесь, в городе.\nКто?;Мы.\n", "cp1251"),
    "jp.csv": (
        "質問,正しい回答\n送料はいくらですか？,500円です。\n営業時間は？,9時です。\n",
        "shift_jis",
    ),
    "zh.csv": ("问题,正确答案\n运费多少？,十元。\n几点开门？,九点。\n", "gb18030"),
    "he.csv": ("שאלה,תשובה\nמתי פותחים?,בתשע בבוקר.\nאיפה?,ברחוב הים.\n", "utf-8-sig"),
    "tr.csv": ("Soru;Doğru cevap\nAçık mı?;Evet, dokuzda.\nKaç para?;Üç yüz.\n", "cp1254"),
    "pl.csv": ("Pytanie;Poprawna odpowiedź\nCzy otwarte?;Tak, źle.\nGdzie?;W Łodzi.\n", "cp1250"),
    "fr.csv": ("Question du client;Bonne réponse\nOuvert ?;Oui, à neuf.\nOù ?;À Lyon.\n", "cp1252"),
}


@pytest.mark.parametrize("name", TABLES)
def test_tables(tmp_path, name):
    """Encodings, languages and delimiters."""
    text, encoding = TABLES[name]
    (tmp_path / name).write_bytes(text.encode(encoding))
    mark = next(mark for mark in "\t;," if mark in text.replace("sep=;", "").split("\n")[-2])
    rows = [line.split(mark) for line in text.strip().split("\n") if not line.startswith("sep=")]
    assert read(tmp_path / name)[0] == [f"{row[0]} -> {row[1]}" for row in rows[1:]]


@pytest.mark.parametrize(
    "record",
    [
        {"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]},
        {"instruction": "a", "output": "b"},
        {"dialog": [[{"id": "user", "text": "a"}, {"id": "bot", "text": "b"}]]},
    ],
    ids=lambda record: next(iter(record)),
)
def test_splits_by_their_usual_names(tmp_path, record):
    """What names no split is of none."""
    names = ["train", "Validation", "dev", "held-out", "march", ["train"]]
    lines = [json.dumps({**record, "split": name}) for name in names]
    (tmp_path / "a.jsonl").write_text("\n".join(lines))
    found = read_path(str(tmp_path / "a.jsonl"), ReadOptions())
    splits = [c.split for one in found for c in one.reading.conversations]
    assert splits == ["train", "valid", "valid", "test", None, None]


def test_names_of_columns(tmp_path):
    """Snake case, a reply and its correction, a judgement."""
    path = tmp_path / "a.csv"
    path.write_text("id,user_query,old_bot_answer,corrected_answer\n1,late?,till 5,till 6\n")
    assert read(path)[0] == ["late? -> till 6 x till 5"]
    path.write_text("Customer question,Answer,Correction\nIs it new?,no,yes it is\n")
    assert read(path)[0] == ["Is it new? -> yes it is x no"]
    path = tmp_path / "a.jsonl"
    rows = [("Is it open?", "Yes it is.", True), ("Who is it?", "Nobody at all", False)]
    lines = [json.dumps(dict(zip(("prompt", "completion", "label"), row))) for row in rows]
    path.write_text("\n".join(lines))
    said, about = read(path)
    assert said == ["Is it open? -> Yes it is."] and "  left out: 1, not accepted (line 2)" in about


def test_two_columns_of_one_name(tmp_path):
    """Which of two answers is right is asked, not guessed."""
    path = tmp_path / "a.csv"
    path.write_text("Answer,Answer,Question\nNo.,Yes.,Is it so?\nBad.,Good.,Is it that?\n")
    with pytest.raises(DataError, match=r'--columns "reply=Answer \(2\),wrong=Answer"'):
        read(path)


def test_broken_rows(tmp_path):
    """A quote that is never closed and a comma too much cost one row, not the file."""
    path = tmp_path / "a.csv"
    path.write_text('question,answer\n"Open,yes\nIs it?,yes, it is\nWhere?,Here.\nWho?,"Me"\n')
    said, about = read(path)
    assert said == ["Where? -> Here.", "Who? -> Me"]
    assert "  left out: 1, a quote that is never closed (line 2)" in about
    assert "  left out: 1, 3 cells where the header names 2 columns (line 3)" in about


def messages(who, what, service):
    """A question and its reply, as makers of models write them."""
    return [{who: "user", what: "Open?"}, {who: service, what: "Yes."}]


CHATS = {
    "role": {"conversations": messages("role", "content", "model")},
    "contents": {
        "contents": [
            {"role": "user", "parts": [{"text": "Open?"}]},
            {"role": "model", "parts": [{"text": "Yes."}]},
        ]
    },
    "list": messages("role", "content", "assistant"),
    "from": messages("from", "value", "gpt"),
    "turns": [{"text": "Open?", "answer": "Yes.", "facts": {"a": 1}}],
}


@pytest.mark.parametrize("name", CHATS)
def test_chats(tmp_path, name):
    """Other makers' messages, one a line, as a list over several lines, and packed."""
    (tmp_path / "lines.jsonl").write_text(json.dumps(CHATS[name]) + "\n" + json.dumps(CHATS[name]))
    assert read(tmp_path / "lines.jsonl")[0] == ["Open? -> Yes."] * 2
    (tmp_path / "one.json").write_text(json.dumps([CHATS[name]] * 3, indent=2))
    assert read(tmp_path / "one.json")[0] == ["Open? -> Yes."] * 3
    with gzip.open(tmp_path / "lines.jsonl.gz", "wt") as packed:
        packed.write(json.dumps(CHATS[name]) + "\n")
    assert read(tmp_path / "lines.jsonl.gz")[0] == ["Open? -> Yes."]


def test_tools_of_anthropic(tmp_path):
    """What a tool was asked and returned stands in the text that is answered; both are replies."""
    messages = [
        {"role": "user", "content": "Is it open?"},
        {
            "role": "assistant",
            "content": [
                {"type": "text", "text": "Let me look."},
                {"type": "tool_use", "id": "t", "name": "hours", "input": {"day": "mon"}},
            ],
        },
        {
            "role": "user",
            "content": [{"type": "tool_result", "tool_use_id": "t", "content": "9-5"}],
        },
        {"role": "assistant", "content": "Yes, 9 to 5."},
    ]
    path = tmp_path / "a.jsonl"
    path.write_text(json.dumps({"messages": messages}))
    assert read(path)[0] == [
        "Is it open? -> Let me look.",
        'hours({"day": "mon"})\nhours: 9-5 -> Yes, 9 to 5.',
    ]


def test_scripts(tmp_path):
    """Times, stars, letters; a bracket at the beginning is no broken JSON."""
    path = tmp_path / "a.txt"
    path.write_text(
        "[10:00] Ann: Help?\n[10:01] Support: With what?\n[10:02] Ann: My bill: it is off.\n"
        "[10:03] Support: Fixed.\n"
    )
    said, about = read(path)
    assert said == ["Help? -> With what?", "My bill: it is off. -> Fixed."]
    assert len(about) == 1
    path.write_text(
        "**User:** What is it?\n\n**Assistant:** A lamp.\nIt glows.\n\n**User:** Ah\n\n"
        "**Assistant:** Yes\n"
    )
    assert read(path)[0] == ["What is it? -> A lamp. It glows.", "Ah -> Yes"]
    path.write_text("Q: Is it open?\nA: Yes.\n\nQ: Is it far?\nA: No.\n")
    assert read(path)[0] == ["Is it open? -> Yes.", "Is it far? -> No."]


def test_whatsapp_of_others(tmp_path):
    """A phone in Spanish, and one in American English with its narrow space."""
    path = tmp_path / "a.txt"
    path.write_text(
        "[2/1/26 15:04:05] Ana: ¿Abren hoy?\n[2/1/26 15:05:05] Soporte Sol: Sí.\n"
        "[2/1/26 15:05:06] Ana: \u200eimagen omitida\n"
    )
    said, about = read(path)
    assert said == ["¿Abren hoy? -> Sí."]
    assert "  left out: 1, pictures, sound or files (line 3)" in about
    path.write_text("1/2/26, 3:04\u202fPM - Jo: hi?\n1/2/26, 3:05\u202fPM - Shop Support: yes\n")
    assert read(path)[0] == ["hi? -> yes"]


def test_help_desks_as_tables(tmp_path):
    """Incoming or not, parts and notes, in whatever order the rows stand."""
    path = tmp_path / "a.csv"
    path.write_text(
        "Ticket ID,Incoming,Private,Body text,Created time\n4,false,false,Yes.,2026-01-01 10:02\n"
        "4,true,false,Is it open?,2026-01-01 10:00\n4,false,true,hmm,2026-01-01 10:01\n"
    )
    assert read(path)[0] == ["Is it open? -> Yes."]
    path.write_text(
        "conversation_id,created_at,author_type,part_type,body\n"
        "1,2026-01-01T10:00:00Z,user,comment,<p>Is it open?</p>\n"
        "1,2026-01-01T10:02:00Z,admin,note,<p>ask</p>\n"
        "1,2026-01-01T10:03:00Z,admin,comment,<p>Yes &amp; now</p>\n"
    )
    said, about = read(path)
    assert said == ["Is it open? -> Yes & now"]
    assert "  left out: 1, private notes of agents (line 3)" in about


def test_a_list_that_is_cut_off(tmp_path):
    """What is cut off is told, with its line."""
    path = tmp_path / "a.json"
    path.write_text(
        json.dumps([{"question": "Open now?", "answer": "Yes it is"}] * 3, indent=1)[:-40]
    )
    said, about = read(path)
    assert said == ["Open now? -> Yes it is"] * 2
    assert "and all that follows (line 10)" in about[1]


def test_parquet_and_saved_datasets(tmp_path):
    """Columns that are nested, and the splits of a dataset."""
    pyarrow = pytest.importorskip("pyarrow")
    from pyarrow import ipc, parquet

    table = pyarrow.table({"messages": [messages("role", "content", "assistant")]})
    parquet.write_table(table, tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0] == ["Open? -> Yes."]
    saved = tmp_path / "saved"
    for split in ("train", "test"):
        (saved / split).mkdir(parents=True)
        with ipc.new_stream(str(saved / split / "data.arrow"), table.schema) as stream:
            stream.write_table(table)
        state = {"_data_files": [{"filename": "data.arrow"}], "_split": split}
        (saved / split / "state.json").write_text(json.dumps(state))
        (saved / split / "dataset_info.json").write_text("{}")
    (saved / "dataset_dict.json").write_text(json.dumps({"splits": ["train", "test"]}))
    found = read_path(str(saved))
    assert [c.split for one in found for c in one.reading.conversations] == ["train", "test"]
    assert found[0].name == "saved, split 'train'"
    assert read(saved / "train")[0] == ["Open? -> Yes."]


def test_folders(tmp_path):
    """Each file by its format; what is none is told."""
    (tmp_path / "a.txt").write_text("Customer: Open?\nAgent: Yes.\n")
    (tmp_path / "b.csv").write_text("question,answer\nIs it far?,It is near.\n")
    (tmp_path / "README.md").write_text("Exports of the shop.\n")
    said, about = read(tmp_path)
    assert said == ["Open? -> Yes.", "Is it far? -> It is near."]
    assert "  left out: 1, file of no known format: README.md (line 1)" in about
