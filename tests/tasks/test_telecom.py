"""``-t telecom`` and its updates: split by phrasing, true to the fact base, deterministic."""

import io
import json
import os
import re
import subprocess
import sys
from collections.abc import Iterable
from contextlib import redirect_stdout
from functools import cache
from pathlib import Path

import pytest

from parlai_cu.tasks.telecom import agents, facts, updates
from parlai_cu.tasks.telecom.dialogues import Dialogue, Exchange
from parlai_cu.tasks.telecom.facts import FactBase
from parlai_cu.tasks.telecom.intents import SPLITS, Intent, placeholders, read_intents

SUBJECTS = (*updates.SUBJECTS, "support", "small_talk", "roaming")
TEACHERS = {
    "deployed": agents.DefaultTeacher,
    "corrections": agents.CorrectionsTeacher,
    "new_plans": agents.NewPlansTeacher,
    "roaming": agents.RoamingTeacher,
    "style": agents.StyleTeacher,
    "retain": agents.RetainTeacher,
}
SUBTASKS = ("corrections", "new_plans", "roaming", "style", "retain", "intent")


@cache
def dialogues(name: str, split: str) -> list[Dialogue]:
    """The dialogues of a data set's split."""
    return updates.DATA_SETS[name](split)


def exchanges(name: str, split: str) -> list[Exchange]:
    """All exchanges of a data set's split."""
    return [exchange for dialogue in dialogues(name, split) for exchange in dialogue]


@cache
def all_intents() -> list[Intent]:
    """Every intent that is shipped."""
    return read_intents(*SUBJECTS)


def truth(name: str) -> dict[str, str]:
    """What a data set has to agree with: id -> value."""
    if name == "corrections":
        return dict(updates.corrected_facts().facts())
    if name == "roaming":
        return dict(updates.roaming_facts().facts())
    if name == "new_plans":
        return dict(FactBase({"plans": FactBase.read("new_plans").tables["new_plans"]}).facts())
    return dict(updates.base_facts().facts())


def normal(texts: Iterable[str]) -> set[str]:
    """Texts without case and punctuation."""
    return {" ".join(re.findall(r"\w+", text.lower())) for text in texts}


def phrasings(intent: Intent, split: str) -> list[str]:
    """All that a customer of this split says to express an intent."""
    return [*intent.ask[split], *intent.follow.get(split, ())]


def test_enough_of_everything() -> None:
    """As many facts and intents as promised, and several phrasings of each."""
    base, roaming = updates.base_facts(), updates.roaming_facts()
    assert len([*base.facts(), *roaming.facts()]) >= 400
    assert len(updates.base_intents()) + len(updates.small_talk()) >= 40
    for intent in all_intents():
        assert len(intent.ask["train"]) >= 8, intent.name
        assert len(intent.ask["test"]) >= 2 and intent.ask["valid"], intent.name
        for answer in intent.answers:
            assert len(answer.say) >= 3 and len(answer.casual) >= 2, intent.name


def test_no_phrasing_is_in_two_places() -> None:
    """
    Nothing a customer says stands in two splits or twice about one thing, whatever case or stops.

    What leans on the context ("And the price?") may be asked about plans and about add-ons.
    """
    seen: dict[str, tuple[str | None, str, str]] = {}
    double = []
    for intent in all_intents():
        for split in SPLITS:
            for phrasing in phrasings(intent, split):
                (plain,) = normal([phrasing])
                table, other_split, where = seen.get(plain, ("", split, ""))
                if split != other_split or table == intent.about:
                    double.append(f"{phrasing!r} in {intent.name}, {split} and in {where}")
                seen[plain] = (intent.about, split, f"{intent.name}, {split}")
    assert not double


@pytest.mark.parametrize("name", TEACHERS)
@pytest.mark.parametrize("split", ("valid", "test"))
def test_nothing_measured_was_learnt_by_heart(name: str, split: str) -> None:
    """With names filled in: no question of valid or test is in any training split."""
    learnt = normal(e.text for other in TEACHERS for e in exchanges(other, "train"))
    # efficacy asks the corrected questions as trained: that is what it measures
    measured = normal(e.text for e in exchanges(name, split) if e.probe != "efficacy")
    assert measured and not measured & learnt


@pytest.mark.parametrize("name", TEACHERS)
def test_sizes(name: str) -> None:
    """As many exchanges as promised; none empty or with an unfilled place."""
    for split in SPLITS:
        found = exchanges(name, split)
        if name in ("deployed", "retain"):
            assert len(found) == {"train": 6000, "valid": 600, "test": 600}[split]
        assert len(found) >= 60
        for exchange in found:
            assert exchange.text.strip() and exchange.answer.strip()
            assert "{" not in exchange.text + exchange.answer


def test_every_intent_occurs_in_every_split() -> None:
    """No intent is left out of training or of the test."""
    known = set(agents.intent_names())
    for split in SPLITS:
        assert {e.intent for e in exchanges("deployed", split)} == known


def test_dialogues_have_several_turns() -> None:
    """Most exchanges stand in a dialogue with others."""
    together = sum(len(d) for d in dialogues("deployed", "test") if len(d) > 1)
    assert together > 300


@pytest.mark.parametrize("name", TEACHERS)
def test_answers_agree_with_the_fact_base(name: str) -> None:
    """Each stated fact has an id and the value of the fact base; no number is out of it."""
    true = truth(name)
    stating = 0
    for split in SPLITS:
        for exchange in exchanges(name, split):
            assert {key: true[key] for key in exchange.facts} == exchange.facts
            for value in exchange.spoken:
                assert value in exchange.facts.values() and agents.says(exchange.answer, value)
            rest = exchange.answer
            for value in sorted(exchange.spoken, key=len, reverse=True):
                rest = rest.replace(value, " ")
            assert "$" not in re.sub(r"\$ ", "", rest), exchange.answer
            stating += bool(exchange.facts)
    assert stating > 60


def test_answers_have_no_figures_of_their_own() -> None:
    """In the phrasings of the assistant every figure is a place to be filled from the facts."""
    for intent in all_intents():
        for answer in intent.answers:
            spoken = set(placeholders(answer.say[0]))
            for template in (*answer.say, *answer.casual):
                assert not re.search(r"\d", template), template
                assert set(placeholders(template)) == spoken, template


def test_corrections_change_what_was_taught() -> None:
    """Twenty facts, each with another value than the deployed assistant learnt."""
    corrections = facts.read_corrections()
    taught = dict(updates.base_facts().facts())
    assert len({c.fact_id for c in corrections}) == 20
    assert all(taught[c.fact_id] != c.value for c in corrections)
    asked = {key for e in exchanges("corrections", "train") for key in e.facts}
    assert {c.fact_id for c in corrections} <= asked


def test_probes() -> None:
    """Paraphrases ask for the corrected facts; neighbours and what is retained never do."""
    corrected = {c.fact_id for c in facts.read_corrections()}
    for exchange in exchanges("corrections", "test"):
        assert exchange.probe in ("efficacy", "generalisation", "locality")
        assert bool(corrected & exchange.facts.keys()) == (exchange.probe != "locality")
    for split in SPLITS:
        assert not any(corrected & e.facts.keys() for e in exchanges("retain", split))
    trained = normal(e.text for e in exchanges("corrections", "train"))
    probes = exchanges("corrections", "test")
    efficacy = normal(e.text for e in probes if e.probe == "efficacy")
    paraphrases = normal(e.text for e in probes if e.probe == "generalisation")
    assert len(efficacy & trained) > len(efficacy) / 2
    assert paraphrases and not paraphrases & trained


def test_roaming_is_new() -> None:
    """The deployed assistant has met none of its intents and facts."""
    known = {e.intent for e in exchanges("deployed", "train")}
    talk = {intent.name for intent in updates.small_talk()}
    new = {e.intent for e in exchanges("roaming", "train")} - talk
    assert len(new) >= 8 and not new & known


def test_style_says_the_same_in_other_words() -> None:
    """No answer of the new voice is one of the old; the facts are the same."""
    old = {e.answer for e in exchanges("deployed", "train")}
    assert not old & {e.answer for e in exchanges("style", "train")}


def test_another_process_builds_the_same(tmp_path: Path) -> None:
    """The files depend on nothing but the seed: not on hashing, not on the folder."""
    code = "import sys, pathlib; from parlai_cu.tasks.telecom.build import write; "
    code += "write(pathlib.Path(sys.argv[1]))"
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        environment = {**os.environ, "PYTHONHASHSEED": str(len(name) + ord(name[0]))}
        command = [sys.executable, "-c", code, str(tmp_path / name)]
        subprocess.run(command, check=True, env=environment)
    files = sorted(path.name for path in (tmp_path / "one").iterdir())
    assert len(files) == 18
    for name in files:
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()


@pytest.mark.parametrize("task", ["telecom", *(f"telecom:{name}" for name in SUBTASKS)])
def test_stock_commands_show_it(task: str, tmp_path: Path) -> None:
    """``parlai display_data`` builds the data on first use."""
    from parlai.scripts.display_data import DisplayData

    output = io.StringIO()
    with redirect_stdout(output):
        DisplayData.main(task=task, datatype="valid", num_examples=2, datapath=str(tmp_path))
    assert "NEW EPISODE" in output.getvalue()
    assert (tmp_path / "telecom" / ".built").is_file()
    assert [path.name for path in tmp_path.iterdir()] == ["telecom"]


def test_facts_are_measured(tmp_path: Path) -> None:
    """Right answers have fact_acc 1 and a fixed one 0, in total and by probe."""
    from parlai.scripts.eval_model import EvalModel

    settings = dict(task="telecom:corrections", datatype="test", datapath=str(tmp_path))
    right = EvalModel.main(model="repeat_label", **settings)
    probes = ("fact_acc", "efficacy", "generalisation", "locality")
    assert {float(right[probe]) for probe in probes} == {1.0}
    wrong = EvalModel.main(model="fixed_response", fixed_response="I do not know.", **settings)
    assert {float(wrong[probe]) for probe in probes} == {0.0}


@pytest.mark.parametrize(
    "text, value, found",
    [
        ("It costs $ 25 a month.", "25", True),
        ("It costs $25.", "25", True),
        ("It costs $1.25.", "25", False),
        ("it costs $ 1 . 50 .", "1.50", True),
        ("call 555 - 0114 .", "555-0114", True),
        ("open at 9 am", "9 am", True),
        ("with 10 GB of data", "1 GB", False),
        ("Lines on Flex 5: 1.", "1", True),
    ],
)
def test_says(text: str, value: str, found: bool) -> None:
    """A value counts as a whole, however the text was tokenised."""
    assert agents.says(text, value) is found


def test_provenance_is_stated_and_shipped() -> None:
    """The corpus says where it comes from."""
    text = (facts.FOLDER.parent / "PROVENANCE.md").read_text()
    assert "invented" in text and "Licence" in text
    setup = (Path(__file__).parents[2] / "setup.py").read_text()
    assert "tasks/telecom/PROVENANCE.md" in setup


def test_built_files_hold_a_dialogue_a_line(tmp_path: Path) -> None:
    """The format that the docstring of build() promises."""
    from parlai_cu.tasks.telecom.build import build

    folder = Path(build({"datapath": str(tmp_path)}))
    lines = (folder / "deployed_test.jsonl").read_text().splitlines()
    assert sum(len(json.loads(line)) for line in lines) == 600
    stamp = os.stat(folder / "deployed_test.jsonl").st_mtime_ns
    assert build({"datapath": str(tmp_path)}) == str(folder)
    assert os.stat(folder / "deployed_test.jsonl").st_mtime_ns == stamp, "built twice"
