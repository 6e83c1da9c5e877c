"""``-t FILE``: files where a task can stand."""

import json
import os
import shutil

import pytest
from parlai.core.teachers import create_task_agent_from_taskname
from parlai.scripts.display_data import setup_args
from parlai.tasks.jsonfile.agents import JsonTeacher

from parlai_cu.errors import UsageError

FILES = os.path.join(os.path.dirname(__file__), "..", "data", "files")


def acts(task, **more):
    """All that a task serves, in order."""
    opt = setup_args().parse_kwargs(**{"task": task, "datatype": "train:ordered", **more})
    (teacher,) = create_task_agent_from_taskname(opt)
    return teacher, [teacher.act() for _ in range(teacher.num_examples())]


@pytest.mark.parametrize(
    ("name", "task"),
    [
        ("parlai.jsonl", "jsonfile:jsonfile_datapath="),
        ("parlai.txt", "fromfile:fromfile_datapath="),
        ("babi.txt", "fromfile:fbformat:fromfile_datapath="),
    ],
)
@pytest.mark.parametrize("datatype", ["train:ordered", "valid"])
def test_equal_to_stock(name, task, datatype):
    """ParlAI's own formats are served to the byte as ParlAI's own tasks serve them."""
    path = os.path.join(FILES, name)
    ours, stock = acts(path, datatype=datatype), acts(task + path, datatype=datatype)
    assert ours[1] == stock[1]
    assert list(map(repr, ours[1])) == list(map(repr, stock[1]))
    assert type(ours[0]).__mro__[-4:] == type(stock[0]).__mro__[-4:]


def test_corrections():
    """The right answer is learnt; the wrong one stays with it."""
    _, served = acts(os.path.join(FILES, "corrections.csv"))
    assert served[0]["text"] == "Where is my parcel?"
    assert served[0]["labels"] == ["Please give me the number, then I look."]
    assert served[0]["rejected"] == ["It is lost."]
    assert served[0]["id"] == "files/corrections.csv"


def test_paths_with_marks(tmp_path, monkeypatch):
    """Commas, colons and equals signs in a path are part of it; options and other tasks follow."""
    monkeypatch.chdir(tmp_path)
    odd = "chat, with Bo: a=b 100%.csv"
    shutil.copy(os.path.join(FILES, "corrections.csv"), odd)
    assert len(acts(odd)[1]) == 3
    assert len(acts(f"{odd}:file_columns=question;Question|reply;Bot answer")[1]) == 3
    shutil.copy(os.path.join(FILES, "parlai.jsonl"), "more.jsonl")
    opt = setup_args().parse_kwargs(task=f"{odd},more.jsonl", datatype="valid")
    (teacher,) = create_task_agent_from_taskname(opt)
    assert teacher.num_examples() == 6


def test_task_before_folder(tmp_path, monkeypatch):
    """A plain name is a task's first; a folder that no task is called as is read."""
    monkeypatch.chdir(tmp_path)
    shutil.copytree(os.path.join(FILES, "rasa"), "corrections")
    shutil.copytree(os.path.join(FILES, "rasa"), "our_bot")
    with pytest.raises(UsageError, match="-t corrections needs the chat log"):
        acts("corrections")
    assert len(acts("./corrections")[1]) == len(acts("our_bot")[1]) == 6


def test_missing_file(tmp_path):
    """A misspelt file is answered with the nearest one."""
    path = os.path.join(FILES, "corections.csv")
    with pytest.raises(UsageError, match="there is no such file; nearest in .*: corrections.csv"):
        acts(path)


def test_folder_with_splits(tmp_path):
    """Files that are called train and valid are those splits."""
    for name, said in (("train", "a"), ("valid", "b"), ("test", "c")):
        text = f"question,answer\nIs it {said}?,It is {said}.\nIs it so {said}?,It is so {said}.\n"
        (tmp_path / f"faq_{name}.csv").write_text(text)
    assert [a["text"] for a in acts(str(tmp_path))[1]] == ["Is it a?", "Is it so a?"]
    assert [a["text"] for a in acts(str(tmp_path), datatype="valid")[1]] == [
        "Is it b?",
        "Is it so b?",
    ]


def test_hold_out(tmp_path):
    """--hold-out parts a file; a file that grows never moves what was held out into training."""
    path = tmp_path / "faq.csv"
    rows = [f"Is room number {n} free?,Room {n} is free.\n" for n in range(60)]

    def parts(count):
        path.write_text("question,answer\n" + "".join(rows[:count]))
        return {
            split: {a["text"] for a in acts(str(path), datatype=split, hold_out=True)[1]}
            for split in ("train:ordered", "valid", "test")
        }

    few, many = parts(30), parts(60)
    assert sum(map(len, many.values())) == 60 and all(many.values())
    held_out = few["valid"] | few["test"]
    assert held_out and not held_out & many["train:ordered"]


def test_service_speaker():
    """Another speaker than ParlAI's second may be the service."""
    path = os.path.join(FILES, "parlai.jsonl")
    teacher, served = acts(path, service_speaker="user")
    assert not isinstance(teacher, JsonTeacher)
    assert [a["labels"] for a in served] == [["Until when?"]]


def test_wrong_answers_in_every_format(tmp_path):
    """The field ``rejected`` is a list of texts, whichever format it comes from."""
    (tmp_path / "a.txt").write_text(
        "text:Open?\tlabels:Yes.\trejected:No.|Never.\tlabel_candidates:Yes.|No.\n"
    )
    (tmp_path / "a.jsonl").write_text(
        '{"dialog": [[{"id": "u", "text": "Open?"}, {"id": "s", "text": "Yes.", "rejected": '
        '["No.", "Never."]}]]}\n'
    )
    for name in ("a.txt", "a.jsonl"):
        _, (act,) = acts(str(tmp_path / name))
        assert act["rejected"] == ["No.", "Never."], name
    assert acts(str(tmp_path / "a.txt"))[1][0]["label_candidates"] == ["Yes.", "No."]


def test_rejected_examples(tmp_path):
    """What ParlAI's unlikelihood agents read: a label with a negative reward, in training only."""
    path = tmp_path / "a.jsonl"
    path.write_text(
        json.dumps(
            {
                name: f"Human: Hi\n\nAssistant: Hello.\n\nHuman: Open?\n\nAssistant: {said}"
                for name, said in (("chosen", "Yes."), ("rejected", "No."))
            }
        )
    )
    _, served = acts(str(path), rejected_examples=True)
    assert [act["labels"] for act in served] == [["Hello."], ["Yes."], ["No."]]
    assert served[2]["text"] == "Hi\nHello.\nOpen?" and served[2]["reward"] == -1
    assert served[2]["episode_done"] and served[1]["episode_done"]
    assert len(acts(str(path), rejected_examples=True, datatype="valid")[1]) == 2


def test_who_the_service_is_asked_on_a_terminal(tmp_path, monkeypatch, capsys):
    """Once a file, by number or name; who ends the input is told the flag."""
    path = tmp_path / "a.txt"
    lines = ("Raj: are you open", "Mia: yes", "Raj: ok", "Mia: bye")
    path.write_text("".join(f"02/01/2026, 15:0{i} - {line}\n" for i, line in enumerate(lines)))
    answers = iter(["nobody", "2"])
    monkeypatch.setattr("sys.stdin.isatty", lambda: True, raising=False)
    monkeypatch.setattr("builtins.input", lambda _: next(answers))
    for _ in range(2):
        assert [act["labels"] for act in acts(str(path))[1]] == [["yes"], ["bye"]]
    assert "a.txt: who of them is the service?\n  1  Raj\n  2  Mia" in capsys.readouterr().out
    other = tmp_path / "b.txt"
    shutil.copy(path, other)

    def ended(_):
        raise EOFError

    monkeypatch.setattr("builtins.input", ended)
    with pytest.raises(UsageError, match="Say it by --service-speaker NAME"):
        acts(str(other))
