"""Integrators: what each makes of facts and model; all on the same contract."""

import importlib
from collections.abc import Sequence
from typing import Any

import pytest

from parlai_cu import plugin
from parlai_cu.errors import UsageError
from parlai_cu.knowledge.integrators import prompt
from parlai_cu.knowledge.integrators.rerank import Rerank
from parlai_cu.knowledge.integrators.template import Template
from parlai_cu.types import Evidence, Turn

FACTS = [
    Evidence("a", "Parking is free.", 0.9, "sqlite:///x.db", "s:1", entity="Lion"),
    Evidence("b", "Parking is at the back.", 0.5, "sqlite:///x.db", "s:1"),
]


class Parrot:
    """A model that says what it read, and likes short replies."""

    def __init__(self) -> None:
        self.read: list[str] = []

    def reply(self, knowledge: Sequence[Evidence] = ()) -> str:
        """What it read."""
        said = "\n".join(fact.text for fact in knowledge)
        self.read.append(said)
        return f"I read: {said}" if said else "Hm."

    def scores(self, replies: Sequence[str]) -> list[float]:
        """The shorter the better."""
        return [-len(text) for text in replies]

    def fused(self, told: Sequence[str], shares: Sequence[float], weight: float) -> str:
        """What it may copy from, and how much that counts."""
        return f"{weight}: {told} {[round(share, 3) for share in shares]}"


def integrate(name: str, model: Any) -> str:
    """The reply of an integrator by its name."""
    module, kind = plugin.INTEGRATORS[name].split(":")
    made = getattr(importlib.import_module(module), kind)()
    return made.integrate(Turn("parking?"), FACTS, model)


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("answer", "Parking is free."),
        ("append", "Hm. Parking is free."),
        ("prompt", "I read: Parking is free.\nParking is at the back."),
        ("rerank", "Hm."),
        ("fuse", "0.8: ['Parking is free.', 'Parking is at the back.'] [0.913, 0.087]"),
        ("template", "Parking is free."),
    ],
)
def test_each_makes_its_reply(name: str, expected: str) -> None:
    """Of the same facts and the same model."""
    assert integrate(name, Parrot()) == expected


def test_all_are_tested() -> None:
    """A new one needs an expectation above."""
    cases = test_each_makes_its_reply.pytestmark[0].args[1]  # type: ignore[attr-defined]
    assert {name for name, _ in cases} == set(plugin.INTEGRATORS)


def test_answer_asks_no_model() -> None:
    """A fact costs no generation."""
    model = Parrot()
    integrate("answer", model)
    assert model.read == []


def test_rerank_may_choose_a_fact() -> None:
    """When the model finds it likelier than its own words."""

    class Talker(Parrot):
        def reply(self, knowledge: Sequence[Evidence] = ()) -> str:
            return "Let me think about that for a very long while."

    assert Rerank().integrate(Turn("parking?"), FACTS, Talker()) == "Parking is free."


def test_templates_name_what_there_is() -> None:
    """Other names are refused with the nearest; text in braces in a fact stays text."""
    made = Template("About {entity}: {text}")
    assert made.integrate(Turn(""), FACTS, Parrot()) == "About Lion: Parking is free."
    odd = [Evidence("a", "{text} {0}", 1.0, "s", "1")]
    assert Template("{text}!").integrate(Turn(""), odd, Parrot()) == "{text} {0}!"
    with pytest.raises(UsageError, match=r"\{txt\} is none of text, .* nearest: text"):
        Template("{txt}")
    with pytest.raises(UsageError, match="--kb-template"):
        Template("{text")
    with pytest.raises(UsageError, match="is none of"):
        Template("{text.__class__}")


def test_facts_as_models_are_trained_to_read_them() -> None:
    """A line each; between markers, which are never cut; in the fields of Wizard of Wikipedia."""
    both = "Parking is free.\nParking is at the back."
    assert prompt.written(FACTS, "lines") == ("", both, "")
    begin, middle, end = prompt.written(FACTS, "marked")
    assert f"{begin}{middle}{end}" == (
        "__knowledge__ Parking is free. Parking is at the back. __endknowledge__"
    )
    assert prompt.written(FACTS, "fields") == ("", "", "")
    assert prompt.fields(FACTS) == {
        "knowledge": "Lion __knowledge__ Parking is free.\n"
        " __knowledge__ Parking is at the back.\n",
        "checked_sentence": "Parking is free.",
        "title": "Lion",
    }


@pytest.mark.parametrize(
    ("agent", "settings", "markers", "expected"),
    [
        ("transformer/generator", {}, False, "lines"),
        ("transformer/generator", {}, True, "marked"),
        ("transformer/generator", {"prepend_gold_knowledge": True}, False, "marked"),
        ("projects:wizard_of_wikipedia:generator/end2end", {}, True, "fields"),
        ("projects.wizard_of_wikipedia.generator.agents:TwoStageAgent", {}, True, "fields"),
    ],
)
def test_the_format_that_fits(agent: str, settings: Any, markers: bool, expected: str) -> None:
    """By agent, options and dictionary."""
    assert prompt.format_for(agent, settings, markers) == expected
