"""Facts by what they mean: other words, slips, what is left out, and what is not there."""

from pathlib import Path

import pytest

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.encoders import BUILT_IN, has_built_in
from parlai_cu.knowledge.matching import ANSWERS
from parlai_cu.types import Fact, Turn

pytestmark = pytest.mark.skipif(not has_built_in(), reason="needs the extra dense")

FACTS = {
    "quiet": "Please keep quiet between ten in the evening and seven in the morning.",
    "dogs": "Dogs are allowed on a lead; they must not swim in the lake.",
    "fire": "Open fires are forbidden, gas cookers may be used.",
    "bread": "Fresh rolls can be ordered at the reception until six in the evening.",
    "electric": "A pitch with electricity costs 31 euros a night.",
    "tent": "A small tent costs 18 euros a night.",
    "arrive": "Arrival is possible from two in the afternoon on.",
    "cancel": "You can cancel your booking free of charge up to two weeks before arrival.",
}


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> SQLiteFacts:
    """The rules of a campsite."""
    place: Path = tmp_path_factory.mktemp("campsite")
    made = SQLiteFacts(f"sqlite:///{place / 'facts.db'}", writable=True)
    made.add(Fact(text, id=name) for name, text in FACTS.items())
    assert sum(made.encode(BUILT_IN)) == len(FACTS)
    return made


def answer(base: SQLiteFacts, *turns: str) -> str:
    """The fact that answers the last of a user's turns, after replies of the service; or none."""
    said = [text for turn in turns for text in (turn, "Let me see.")][:-1]
    found = base.query(Turn(said[-1], tuple(said[:-1])), 5)
    return str(found[0].id) if found and found[0].score >= ANSWERS else ""


@pytest.mark.parametrize(
    ("question", "wanted"),
    [
        ("are pets on a lead allowed?", "dogs"),
        ("may I light a camp fire", "fire"),
        ("from what time on can we arrive", "arrive"),
        ("what do I pay for a little tent?", "tent"),
        ("where do I get fresh bread in the morning", "bread"),
        ("what if I can't come after all and cancel?", "cancel"),
        # slips of the finger
        ("how much is a pitch with elctricity", "electric"),
        ("until when can i cancle my bookng?", "cancel"),
        ("is ther a time to be quite quiett", "quiet"),
    ],
)
def test_other_words(base: SQLiteFacts, question: str, wanted: str) -> None:
    """What means the same is found; so is what is spelt wrong."""
    assert answer(base, question) == wanted


@pytest.mark.parametrize(
    ("turns", "wanted"),
    [
        (("what does a pitch with electricity cost?", "and a small tent?"), "tent"),
        (("can I bring my dog?", "may it swim?"), "dogs"),
        (("what does a small tent cost?", "ok, and with electricity?"), "electric"),
    ],
)
def test_what_is_left_out(base: SQLiteFacts, turns: tuple[str, ...], wanted: str) -> None:
    """A turn that goes on is understood with the one before it, and says so."""
    assert answer(base, *turns) == wanted
    said = base.query(Turn(turns[1], (turns[0], "...")), 1)[0].asked
    assert said == " ".join(turns)


@pytest.mark.parametrize(
    "turns",
    [
        ("do you sell lawn mowers?",),
        ("who is the president of France",),
        ("is there a helicopter?",),
        ("is there a swimming pool?",),
        ("how much is a caravan?",),
        ("hi there",),
        ("you are really great, thanks a lot!",),
        ("what does a small tent cost?", "perfect, cheers!"),
        ("what does a small tent cost?", "ok, great"),
    ],
)
def test_what_is_not_there(base: SQLiteFacts, turns: tuple[str, ...]) -> None:
    """Nothing is told of what the facts do not say, nor in reply to thanks."""
    assert answer(base, *turns) == ""


def test_what_the_service_said_is_no_question(base: SQLiteFacts) -> None:
    """A reply that names things does not take the next turn over."""
    history = ("what does a small tent cost?", "A pitch with electricity costs 31 euros a night.")
    assert base.query(Turn("may I light a fire?", history), 1)[0].id == "fire"
    assert base.query(Turn("can dogs swim?", history), 1)[0].id == "dogs"
