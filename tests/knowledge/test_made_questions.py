"""Questions made from facts: of an FAQ entry, of a column, of words."""

import random
from types import SimpleNamespace

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.knowledge import made_questions
from parlai_cu.types import Fact


def made(fact: Fact) -> set:
    """Everything that may be asked for it."""
    return {made_questions.question(fact, random.Random(seed)) for seed in range(300)}


def test_an_faq_entry_is_asked_as_it_is() -> None:
    """Its entity by name, by kind or by a pronoun."""
    asked = made(Fact("Yes.", entity="Oak Inn", question="Does the oak inn have a bar?"))
    names = ("Oak Inn", "the inn", "it", "they", "this place")
    assert asked == {f"Does the {name} have a bar?" for name in names}
    assert made(Fact("Yes.", question="Is it open?")) == {"Is it open?"}


def test_a_row_is_asked_for_its_columns() -> None:
    """Those that have a value."""
    asked = made(Fact("x", entity="Oak Inn", fields={"phone_number": "1", "area": ""}))
    assert "what is the phone number of Oak Inn?" in asked and "and the phone number?" in asked
    assert not any("area" in question for question in asked)


def test_a_sentence_is_asked_for_its_words() -> None:
    """What ends with a word that says something; also where there is none."""
    asked = made(Fact("The rooms are quiet.", entity="Oak Inn"))
    assert any("quiet" in question for question in asked)
    assert any("rooms" in question for question in asked)
    assert not any("rooms are?" in question for question in asked)
    assert made(Fact("It is.")) != set()


def test_facts_are_drawn_from_all_bases(monkeypatch: pytest.MonkeyPatch) -> None:
    """As many as are wanted; a base that lists none is named."""
    bases = [SimpleNamespace(facts=lambda: [Fact(str(i)) for i in range(50)], name="a")] * 2
    both = SimpleNamespace(bases=bases, name="a,a")
    assert len(made_questions.sample(both, random.Random(0))) == 100
    monkeypatch.setattr(made_questions, "_MOST", 10)
    drawn = made_questions.sample(both, random.Random(0))
    assert len(drawn) == 10 and any(int(fact.text) > 9 for fact in drawn)
    with pytest.raises(UsageError, match="--kb sql:x: its facts cannot be listed"):
        made_questions.sample(SimpleNamespace(name="sql:x"), random.Random(0))
    with pytest.raises(UsageError, match="no fact to make a question of"):
        made_questions.sample(SimpleNamespace(name="x", facts=list), random.Random(0))
