"""``-t sgd_service``: both layouts of the data, the official state metrics, clear errors."""

import gzip
import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import DataError, UsageError
from parlai_cu.tasks.sgd_service import agents
from parlai_cu.tasks.sgd_service.dialogues import read

SHARED = Path(__file__).resolve().parents[3] / "shared" / "data" / "sgd"
ROW = {"restaurant_name": "Blue Door", "phone_number": "555-0100"}
SPLITS = {"train": "train", "valid": "dev", "test": "test"}


def user(text: str, requested: list[str], state: dict[str, list[str]]) -> dict[str, Any]:
    """A user's turn as the original release has it."""
    frame = {
        "service": "Restaurants_1",
        "slots": [],
        "state": {
            "active_intent": "FindRestaurants",
            "requested_slots": requested,
            "slot_values": state,
        },
    }
    return {"speaker": "USER", "utterance": text, "frames": [frame]}


def system(text: str, values: list[str], **call: Any) -> dict[str, Any]:
    """A system's turn as the original release has it."""
    actions = [{"act": "INFORM", "slot": "x", "values": values}]
    frame = {"service": "Restaurants_1", "slots": [], "actions": actions, **call}
    return {"speaker": "SYSTEM", "utterance": text, "frames": [frame]}


def write_original(path: Path) -> Path:
    """A folder in the layout of the original release: one dialogue, and one of two services."""
    turns = [
        user("Find Thai food.", [], {"cuisine": ["Thai"]}),
        system(
            "How about Blue Door?",
            ["Blue Door"],
            service_call={"method": "FindRestaurants", "parameters": {"cuisine": "Thai"}},
            service_results=[ROW],
        ),
        user("Its phone?", ["phone_number"], {"cuisine": ["Thai", "thai food"]}),
        system("It is 555-0100.", ["555-0100"]),
    ]
    one = {"dialogue_id": "1_00000", "services": ["Restaurants_1"], "turns": turns}
    two = {"dialogue_id": "1_00001", "services": ["Restaurants_1", "Hotels_1"], "turns": turns}
    for folder in SPLITS.values():
        (path / folder).mkdir(parents=True)
        (path / folder / "dialogues_001.json").write_text(json.dumps([one, two]))
        (path / folder / "schema.json").write_text("[]")
    return path


@pytest.fixture
def original(tmp_path: Path) -> Path:
    """Such a folder."""
    return write_original(tmp_path)


def prepared(folder: Path) -> Path:
    """A folder of prepared conversations with one dialogue."""
    turn = [{"id": "user", "text": "Find food."}, {"id": "system", "text": "Blue Door."}]
    line = {"dialogue_id": "d1", "service": "Restaurants_1", "dialog": [turn]}
    marked = {
        "intent": "FindRestaurants",
        "requested": [],
        "state": {},
        "system_acts": [["OFFER", "restaurant_name", ["Blue Door"]]],
        "call": {"method": "FindRestaurants", "parameters": {}},
        "kb_rows": ["Restaurants_1:00001"],
    }
    for name in ("annotations", "kb"):
        (folder / name).mkdir(parents=True)
    (folder / "update_valid.jsonl").write_text(json.dumps(line) + "\n")
    with gzip.open(folder / "annotations" / "update_valid.jsonl.gz", "wt") as file:
        file.write(json.dumps({"dialogue_id": "d1", "turns": [marked]}) + "\n")
    table = "row_id,restaurant_name\nRestaurants_1:00001,Blue Door\n"
    (folder / "kb" / "Restaurants_1.csv").write_text(table)
    return folder


def test_original_release(original: Path) -> None:
    """Single-service dialogues with state, call and rows; ParlAI's valid is its dev."""
    for split in SPLITS:
        (dialogue,) = read(str(original), split, "Restaurants_1")
        first, second = dialogue.turns
        assert first.rows == [ROW] and first.call is not None
        assert first.call["method"] == "FindRestaurants"
        assert second.requested == ["phone_number"] and second.values == ["555-0100"]


def test_prepared_conversations(tmp_path: Path) -> None:
    """Rows come from the table of the service."""
    (dialogue,) = read(str(prepared(tmp_path / "sgd")), "valid")
    (turn,) = dialogue.turns
    assert turn.user == "Find food." and turn.values == ["Blue Door"]
    assert turn.rows == [{"row_id": "Restaurants_1:00001", "restaurant_name": "Blue Door"}]


def test_nothing_there(tmp_path: Path) -> None:
    """One line that says what to fetch and where to put it."""
    with pytest.raises(DataError, match="fetch https://.*schema-guided.*--sgd-path") as caught:
        read(str(tmp_path), "train")
    assert "\n" not in str(caught.value)


def test_wrong_service(original: Path) -> None:
    """The nearest right spelling is named."""
    with pytest.raises(UsageError, match="service=Restaurant_1.*nearest: Restaurants_1"):
        read(str(original), "test", "Restaurant_1")


def test_damaged_file(original: Path) -> None:
    """A file in another format is named."""
    (original / "test" / "dialogues_001.json").write_text('[{"services": ["a"]}]')
    with pytest.raises(DataError, match="dialogues_001.json is not in the format"):
        read(str(original), "test")


def evaluate(folder: Path, task: str, reply: str) -> dict[str, float]:
    """``parlai eval_model`` of an agent that always replies the same."""
    from parlai.scripts.eval_model import EvalModel

    report = EvalModel.main(
        task=task,
        sgd_path=str(folder),
        datatype="test",
        datapath=str(folder),
        model="fixed_response",
        fixed_response=reply,
    )
    return {name: float(value) for name, value in report.items()}


def test_values_in_the_reply(original: Path) -> None:
    """Of the values told in two turns, the reply tells one."""
    report = evaluate(original, "sgd_service:service=Restaurants_1", "Try blue door.")
    assert report["exs"] == 2
    assert report["slot_r"] == pytest.approx(0.5)


def test_state_metrics(original: Path) -> None:
    """By hand: intent right, first state right, the second as well by its other value."""
    right = "intent: FindRestaurants | cuisine=thai"
    report = evaluate(original, "sgd_service:state", right)
    assert report["intent_acc"] == 1 and report["joint_goal_acc"] == 1
    assert report["avg_goal_acc"] == 1
    assert report["requested_f1"] == pytest.approx(0.5)  # nothing asked: 1; the phone: 0
    extra = evaluate(original, "sgd_service:state", "intent: Other | cuisine=Thai | city=Rome")
    assert extra["intent_acc"] == 0 and extra["joint_goal_acc"] == 0
    assert extra["avg_goal_acc"] == 1


@pytest.mark.parametrize(
    "said, values, fuzzy, expected",
    [
        ("San Jose", ["san jose", "SJ"], False, 1.0),
        ("San Jos", ["San Jose"], False, 0.0),
        ("Jose San", ["San Jose"], True, 1.0),
        ("San Jos", ["Rome", "San Jose"], True, 0.93),  # 2 * 7 of 7 + 8 letters
        ("", ["San Jose"], True, 0.0),
    ],
)
def test_score_of_a_slot(said: str, values: list[str], fuzzy: bool, expected: float) -> None:
    """Closed lists exactly, free text by the similarity of its sorted words."""
    assert agents.score(said, values, fuzzy) == expected


def test_schema_says_which_slots_are_closed(original: Path) -> None:
    """A nearly right value of a categorical slot is wrong."""
    slots = [{"name": "cuisine", "is_categorical": True}]
    schema = json.dumps([{"service_name": "Restaurants_1", "slots": slots}])
    nearly = "intent: FindRestaurants | cuisine=Thia"
    assert evaluate(original, "sgd_service:state", nearly)["joint_goal_acc"] == 0.75
    (original / "test" / "schema.json").write_text(schema)
    assert evaluate(original, "sgd_service:state", nearly)["joint_goal_acc"] == 0


def test_state_text_and_back() -> None:
    """What as_text writes, from_text reads."""
    text = agents.as_text("Find", ["phone", "price"], {"city": "San Jose", "cuisine": "Thai"})
    assert text == "intent: Find | requested: phone, price | city=San Jose | cuisine=Thai"
    assert agents.from_text(text) == (
        "Find",
        ["phone", "price"],
        {"city": "San Jose", "cuisine": "Thai"},
    )


@pytest.mark.shared
@pytest.mark.skipif(not SHARED.is_dir(), reason="needs the corpora beside the project")
def test_on_the_real_corpus() -> None:
    """As many examples as the corpus' description gives, and each called row is found."""
    dialogues = read(str(SHARED), "test", "Restaurants_1")
    assert (len(dialogues), sum(len(d.turns) for d in dialogues)) == (73, 580)
    assert any(turn.rows for dialogue in dialogues for turn in dialogue.turns)
