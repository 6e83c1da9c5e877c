"""Files of other programs, and damaged ones: read as far as they go, or refused in a sentence."""

import json
import shutil
import zipfile
from collections import namedtuple

import pytest

from parlai_cu.data.readers.openai import messages_of
from parlai_cu.data.reading import read_path
from parlai_cu.data.source import lines_within
from parlai_cu.errors import DataError
from tests.data.test_more_siblings import read

PAIR = {"question": "Open now?", "answer": "Yes it is"}


@pytest.mark.parametrize("count", [0, 2])
def test_lines_of_what_has_no_text(count):
    """Records that no text holds are all on the line of their own."""
    assert lines_within("", "comments", count, 3) == [3] * count


def test_tickets_in_parquet(tmp_path):
    """Tickets of a file that is no text are read, the later ones as well."""
    parquet = pytest.importorskip("pyarrow.parquet")
    table = pytest.importorskip("pyarrow").Table
    said = [("end-user", "Open?"), ("agent", "Yes")]
    comments = [{"author_role": who, "body": text, "public": True} for who, text in said]
    tickets = [{"id": number, "comments": comments} for number in (1, 2, 3)]
    parquet.write_table(table.from_pylist(tickets), tmp_path / "a.parquet")
    assert read(tmp_path / "a.parquet")[0] == ["Open? -> Yes"] * 3


@pytest.mark.parametrize(
    "foreign",
    [
        "rules: {semi: error}\n",
        "rules: [no tabs]\n",
        "rules:\n- id: no-eval\n  pattern: eval(...)\n",
        "stories: 3\nresponses: [1]\n",
        "nlu: yes\nintents: {a: b}\n",
    ],
)
def test_yaml_that_is_no_rasa_project(tmp_path, foreign):
    """The settings of another program beside a table are counted as unknown."""
    (tmp_path / "a.csv").write_text("question,answer\nOpen now?,Yes it is\n")
    (tmp_path / "lint.yml").write_text(foreign)
    said, about = read(tmp_path)
    assert said == ["Open now? -> Yes it is"]
    assert "file of no known format: lint.yml" in " ".join(about)
    with pytest.raises(DataError, match="no format of conversations"):
        read(tmp_path / "lint.yml")


def test_odd_parts_of_a_rasa_project(tmp_path):
    """What has another shape than Rasa's is passed over; the rest is read."""
    (tmp_path / "a.yml").write_text(
        "nlu:\n- intent: ask\n  examples: |\n    - Open now?\n"
        "responses:\n  utter_yes:\n  - text: Yes it is\n  utter_odd: 3\n  yes:\n  - text: Sure\n"
        "stories:\n- no story\n- story: odd\n  steps: 3\n"
        "- story: or\n  steps:\n  - or: 3\n  - or: [ask]\n  - action: {a: b}\n"
        "  - action: utter_odd\n"
        "- story: open\n  steps:\n  - intent: ask\n  - action: utter_yes\n"
        "- story: sure\n  steps:\n  - intent: ask\n  - action: yes\n"
    )
    (tmp_path / "b.yml").write_text("rules: {semi: error}\nintents: [ask]\n")
    (tmp_path / "c.yml").write_text("rules: []\nintents: [ask]\n")
    assert read(tmp_path)[0] == ["Open now? -> Yes it is", "Open now? -> Sure"]


MAPPINGS = {
    "words": {"en": "x"},
    "numbers": {"1": 1, "2": [2]},
    "nothing": {},
    "no messages": {"a": {"children": []}},
}


@pytest.mark.parametrize("kind", MAPPINGS)
def test_a_mapping_that_is_no_conversation(tmp_path, kind):
    """A field that is called as ChatGPT's is, and holds something else."""
    (tmp_path / "a.json").write_text(json.dumps([{"mapping": MAPPINGS[kind], **PAIR}] * 2))
    assert read(tmp_path / "a.json")[0] == ["Open now? -> Yes it is"] * 2
    messages = [{"role": "user", "content": "Open?"}]
    assert messages_of({"mapping": MAPPINGS[kind], "messages": messages}) == messages


def test_a_mapping_that_goes_round():
    """Nodes that are each other's parents end somewhere."""
    nodes = {
        name: {"parent": parent, "message": {"role": "user", "content": name}}
        for name, parent in (("a", "b"), ("b", "a"))
    }
    found = messages_of({"mapping": nodes, "current_node": "a"})
    assert [one["content"] for one in found] == ["b", "a"]
    assert messages_of({"mapping": nodes, "current_node": ["a"]}) == []


def test_keys_of_yaml_that_are_no_text(tmp_path):
    """Numbers, dates and truth values name fields as well."""
    (tmp_path / "a.yml").write_text(
        "- {question: Open now?, answer: Yes it is, 1: x, yes: y, 2020-01-01: z}\n"
        "- {question: Open now?, answer: Yes it is, ~: x, 1: {2: {3: z}}}\n"
    )
    assert read(tmp_path / "a.yml")[0] == ["Open now? -> Yes it is"] * 2


def test_a_date_of_yaml_that_is_none(tmp_path):
    """The thirteenth month is said to be wrong."""
    (tmp_path / "a.yml").write_text("- {question: a, answer: b, day: 2020-13-45}\n")
    with pytest.raises(DataError, match="not YAML"):
        read(tmp_path / "a.yml")


def _zip(path):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("a.csv", "question,answer\n" + "Open now?,Yes it is\n" * 99)


def test_an_archive_that_is_damaged(tmp_path):
    """A stream that cannot be unpacked is said to be so."""
    path = tmp_path / "a.zip"
    _zip(path)
    held = bytearray(path.read_bytes())
    held[30 + len("a.csv")] = 0xFF
    path.write_bytes(held)
    with pytest.raises(DataError, match="cannot be read"):
        read_path(str(path))


def test_an_archive_larger_than_the_disk(tmp_path, monkeypatch):
    """Nothing is unpacked of what would fill the disk."""
    _zip(tmp_path / "a.zip")
    usage = namedtuple("usage", "total used free")
    monkeypatch.setattr(shutil, "disk_usage", lambda folder: usage(10_000, 9_000, 1_000))
    with pytest.raises(DataError, match="1996 bytes unpacked, expected at most 1000, the free"):
        read_path(str(tmp_path / "a.zip"))


SAVED = {
    "broken splits": {"dataset_dict.json": "{"},
    "no splits": {"dataset_dict.json": '{"splits": []}'},
    "splits that are none": {"dataset_dict.json": '{"splits": [3]}'},
    "a list": {"dataset_dict.json": "[]"},
    "broken state": {"state.json": "{", "dataset_info.json": "{}"},
    "state of a list": {"state.json": "[]", "dataset_info.json": "{}"},
    "state without files": {"state.json": '{"_data_files": 3}', "dataset_info.json": "{}"},
    "files without names": {"state.json": '{"_data_files": [3]}', "dataset_info.json": "{}"},
    "no text": {"dataset_dict.json": "\udcff"},
}


@pytest.mark.parametrize("kind", SAVED)
def test_saved_datasets_that_are_broken(tmp_path, kind):
    """What a saved dataset says of itself may be anything."""
    for name, text in SAVED[kind].items():
        (tmp_path / name).write_text(text, errors="surrogateescape")
    with pytest.raises(DataError, match="the saved dataset cannot be read"):
        read_path(str(tmp_path))


def test_a_field_without_a_name(tmp_path):
    """What stands under the empty name is of no role that is missing."""
    said = [("customer", "Open?"), ("agent", "Yes it is")]
    records = [{"": "yes", "conversation": "1", "sender": w, "text": t} for w, t in said]
    (tmp_path / "a.json").write_text(json.dumps(records))
    assert read(tmp_path / "a.json")[0] == ["Open? -> Yes it is"]
    (tmp_path / "b.json").write_text(json.dumps([{"": "rejected", **PAIR}]))
    assert read(tmp_path / "b.json")[0] == ["Open now? -> Yes it is"]


def test_odd_tickets(tmp_path):
    """A note that is null; a source that is a word."""
    notes = [{"note": {"body": "Yes", "incoming": False}}, {"note": None}]
    ticket = {"id": 1, "description": "Open?", "notes": notes}
    (tmp_path / "a.json").write_text(json.dumps([{"helpdesk_ticket": ticket}]))
    assert read(tmp_path / "a.json")[0] == ["Open? -> Yes"]
    parts = [
        {"part_type": "comment", "author": {"type": kind}, "body": text}
        for kind, text in (("user", "Open?"), ("admin", "Yes"))
    ]
    (tmp_path / "b.json").write_text(json.dumps([{"source": "email", "conversation_parts": parts}]))
    assert read(tmp_path / "b.json")[0] == ["Open? -> Yes"]


def test_turns_with_odd_digits(tmp_path):
    """A raised figure is no number of a turn."""
    path = tmp_path / "a.csv"
    path.write_text("conversation,time,question,answer\n1,²,Open now?,Yes it is\n")
    assert read(path)[0] == ["Open now? -> Yes it is"]
