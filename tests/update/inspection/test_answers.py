"""What is true already: facts, versions, tasks."""

from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Fact
from parlai_cu.update.inspection import answers
from parlai_cu.update.inspection.base import InspectedData
from parlai_cu.update.inspection.inspection import check
from tests.update.inspection.test_checks import talk


def test_against_a_knowledge_base(tmp_path):
    """An answer that its entry of the same question contradicts is told, with the entry's name."""
    uri = f"sqlite:///{tmp_path / 'facts.db'}"
    base = open_knowledge_base(uri, writable=True)
    question = "What does parking cost?"
    base.add([Fact(id="parking", text="Parking costs 5 euros.", question=question)])
    base.close()
    held = [talk((question, "Parking costs 8 euros.")), talk(("Is it open?", "Yes, it is."))]
    known = answers.of_knowledge(uri, held)
    data = InspectedData(held, answers={"facts": known})
    ((index, detail, other),) = check("contradictions").find(data)
    assert (index, detail) == (0, "'Parking costs 8 euros.' here, 'Parking costs 5 euros.'")
    assert other is not None and other.endswith("facts.db, parking")


def test_in_the_midst_of_a_conversation():
    """A known answer holds there as well, unless the question needs what was said before."""
    known = [talk(("What does parking cost?", "Parking costs 5 euros.")), talk(("how much?", "5."))]
    held = [
        talk(("Hi", "Hello."), ("What does parking cost?", "Parking costs 8 euros.")),
        talk(("A towel?", "Yes."), ("how much?", "8.")),
        talk(("Good day", "Hi."), ("What does parking cost?", "5 euros.")),
    ]
    data = InspectedData(held, answers={"facts": known})
    assert [i for i, _, _ in check("contradictions").find(data)] == [0]
