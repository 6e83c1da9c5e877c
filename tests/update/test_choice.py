"""Diagnosis and choice, on the telecom updates, whose right answer is known, and by hand."""

import dataclasses
from typing import Any

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.tasks.telecom import updates
from parlai_cu.types import Evidence
from parlai_cu.update.choice import COMBINED, DISTIL, KB, MODES, NOTHING, TUNE, choose
from parlai_cu.update.diagnosis import Diagnosis, Replied, diagnose, leaked
from parlai_cu.update.wording import Example


def examples(dialogues: Any) -> list[Example]:
    """Dialogues of the telecom world as examples."""
    found = []
    for dialogue in dialogues:
        said: list[str] = []
        for turn in dialogue:
            found.append(Example(turn.text, turn.answer, tuple(said)))
            said += [turn.text, turn.answer]
    return found


def replied(corpus: list[Example], loss: float, right: bool) -> list[Replied]:
    """A live model that gives the right answer, or another one, at that loss."""
    return [Replied(e, e.label if right else "I see.", loss, 1.0) for e in corpus[:100]]


@pytest.fixture(scope="module")
def old() -> list[Example]:
    """What the deployed model was trained on, some of it."""
    return examples(updates.deployed("train"))[:4000]


@pytest.mark.parametrize(
    "name, mode, tune, case",
    [
        ("corrections", TUNE, "@ffn", "some answers change"),
        ("new_plans", KB, None, "new facts"),
        ("roaming", DISTIL, None, "a subject of its own"),
        ("style", DISTIL, None, "another style"),
    ],
)
def test_telecom_updates_get_the_mode_that_suits_them(
    name: str, mode: str, tune: Any, case: str, old: list[Example]
) -> None:
    """Corrections selective tuning, facts the knowledge base, a domain and a style distillation."""
    update = examples(updates.DATA_SETS[name]("train"))
    found = diagnose(update, replied(update, 1.0, False), old, replied(old, 0.1, True))
    choice = choose(found)
    assert (choice.mode, choice.tune) == (mode, tune), choice.reason
    assert choice.overruled is None
    assert choice.case == case


def test_a_subject_of_its_own_shows_in_its_words() -> None:
    """Worded as ever, with many new words: a new service, not a few changed answers."""
    assert choose(by_hand(known_answers=0.9, new_words=0.4, fact_like=0.3)).mode == DISTIL
    assert choose(by_hand(known_answers=0.9, new_words=0.1, fact_like=0.3)).mode == TUNE


def test_what_is_known_already_is_not_trained(old: list[Example]) -> None:
    """More of the old data: nothing to do."""
    update = examples(updates.deployed("train"))[4000:5000]
    found = diagnose(update, replied(update, 0.1, True), old, replied(old, 0.1, True))
    assert choose(found).mode == NOTHING


def test_what_a_weak_model_knows_is_known() -> None:
    """It tells no more values of what it was trained on; a slip of the corpus is no correction."""
    pair = (Example("how much", "it costs 10"), Example("how much", "it costs 20"))
    known = by_hand(contents=200, loss_old=1.0, loss_update=1.05, told_already=0.03, told_old=0.05)
    known = dataclasses.replace(known, conflicts=[pair] * 3)
    for changed, mode in (
        ({}, NOTHING),
        ({"told_old": 0.6}, KB),
        ({"told_old": 0.6, "loss_update": 0.9}, NOTHING),
        ({"conflicts": [pair] * 4}, KB),
        ({"loss_update": 1.2}, KB),
    ):
        found = choose(dataclasses.replace(known, **changed))
        assert found.mode == mode, (changed, found.reason)


def test_a_person_can_overrule() -> None:
    """--mode wins, and what the rules would have done is told."""
    choice = choose(by_hand(), mode=DISTIL)
    assert choice.mode == DISTIL and choice.overruled == TUNE
    assert "by the diagnosis it would be frozen_layer" in choice.reason
    assert {row.mode for row in choice.table} <= set(MODES)


def test_an_unknown_mode_is_named() -> None:
    """With the nearest right spelling."""
    with pytest.raises(UsageError, match="--mode frozen_layers: .* nearest: frozen_layer"):
        choose(by_hand(), mode="frozen_layers")


def test_facts_and_skill_are_parted_where_a_base_has_the_facts() -> None:
    """New wording and facts that the knowledge base has: both; without --kb a hint."""
    found = by_hand(known_answers=0.6, known_questions=0.6, new_names=0.8, fact_like=0.9, in_kb=0.8)
    assert choose(found, has_kb=True).mode == COMBINED
    without = choose(dataclasses.replace(found, in_kb=None))
    assert without.mode == DISTIL
    assert any("--kb naming a base" in row.why for row in without.table)


def test_the_knowledge_base_is_asked() -> None:
    """in_kb is the share of answers whose values a found fact holds."""
    update = [
        Example("What does Solo cost?", "It costs 12 dollars."),
        Example("What does Trio cost?", "It costs 36 dollars."),
    ]

    def find(turn: Any) -> list[Evidence]:
        return [Evidence("1", "Solo: 12 dollars", 1.0, "kb", "1")]

    found = diagnose(update, [], [], [], find=find)
    assert found.in_kb == 0.5 and found.fact_like == 1.0 and found.distance is None


def test_without_old_data_the_live_replies_stand_for_it() -> None:
    """Wording is compared with what the live model says."""
    update = [Example("hi", "It costs 12 dollars.")]
    found = diagnose(update, [Replied(update[0], "It costs 10 dollars.", 1.0, 1.0)], [], [])
    assert found.known_answers == 1.0 and found.known_questions is None
    assert found.old_source == "the live model's own replies"


def test_leaks_are_test_data_that_training_does_not_share() -> None:
    """A long exchange of the test set is a leak; a common or a short one is not."""
    secret = Example("Where is the nearest shop?", "It is on 12 Harbor Avenue in Brookhaven.")
    common = Example("Can you help me with my bill?", "Sure, what would you like to know?")
    short = Example("Thanks!", "You're welcome.")
    found = leaked([secret, common, short], [secret, common, short], [common])
    assert found == [secret]


def by_hand(**changes: Any) -> Diagnosis:
    """Some corrections, with other figures."""
    figures = dict(
        examples=400,
        distinct=400,
        contents=20,
        loss_update=1.0,
        loss_old=0.1,
        new_words=0.1,
        new_names=0.1,
        known_questions=1.0,
        known_answers=1.0,
        fact_like=0.7,
        in_kb=None,
        told_already=0.1,
        question_shift=None,
        answer_shift=None,
        contradictions=[],
        conflicts=[],
        gradient_conflict=None,
        old_source="the retained tasks",
    )
    return Diagnosis(**{**figures, **changes})  # type: ignore[arg-type]
