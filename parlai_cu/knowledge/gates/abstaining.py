"""
Whether the best fact answers at all: knowledge may be needed, and not be there.

"Does the Oak Inn have a pool?" needs knowledge; that its parking is free is no answer.
"""

import re
from collections.abc import Sequence

from parlai_cu.knowledge.answer_fields import ASKED_AS, asked_columns, is_question
from parlai_cu.knowledge.matching import ANSWERS
from parlai_cu.knowledge.rankers.base import Ranker
from parlai_cu.knowledge.words import STOP_WORDS, terms, words
from parlai_cu.types import Evidence, Turn

# from which score on a fact is near a question that it does not answer; a row, by its words
_NEAR, _NEAR_ROW = 0.2, 0.5
# a model's name or number: R2, BK100; what is counted begins with a digit: 10kg, 5pm
_MODEL = re.compile(r"[a-z]+\d\w*")
# what no single fact answers
_COMPARES = re.compile(
    r"\bhow (?:much|many)(?: \w+)? (?:more|less|fewer|\w+er)\b|\bdifference\b", re.I
)
# what only a fact with a number answers
_COUNTS = re.compile(r"\bhow many\b", re.I)
_NUMBER = re.compile(
    r"\d|\b(?:no|none|one|two|three|four|five|six|seven|eight|nine|ten|eleven|twelve|dozen)\b", re.I
)
# what asks for a column by other words than its name
_COLUMN_WORDS = frozenset(terms(" ".join(asked for asked, _ in ASKED_AS)))
# what asks for anything about a thing; and what asks for something that it may not have
_ANYTHING = frozenset("describ descript detail info inform offer sell".split())
_SOMETHING = frozenset("how when where who whose why can could".split())


def answers(turn: Turn, fact: Evidence) -> bool:
    """
    Whether a fact says anything of what a turn asks, beside the name of what it is about.

    An answer composed for the turn is one by itself, and a turn that only names a thing asks for
    anything about it. Of a row a column has to be asked for. A thing of another number is another.
    """
    if fact.question == turn.text:
        return True
    if _is_another(turn.text, fact):
        return False
    if fact.asked:
        uncounted = _COUNTS.search(turn.text) and not _NUMBER.search(_told(fact))
        return fact.score >= ANSWERS and not _COMPARES.search(turn.text) and not uncounted
    asked = set(terms(turn.text)) - set(terms(fact.entity))
    if fact.fields:
        told = {*terms(" ".join([*fact.fields, *fact.fields.values()])), *_COLUMN_WORDS}
        if asked_columns(turn.text, fact):
            return asked <= told
        return asked <= _ANYTHING and not _SOMETHING.intersection(words(turn.text))
    return not asked or bool(asked & set(terms(_told(fact))))


def answering(turn: Turn, ranked: Sequence[Evidence], ranker: Ranker) -> list[Evidence]:
    """
    What was found from the first fact on that answers; nothing where none does.

    Rows that do not answer are passed over, unless one is of what the turn names and the next fact
    is not about that.

    :param turn: what was said
    :param ranked: what was found for it, best first
    :param ranker: says what answers
    """
    for i, fact in enumerate(ranked):
        if ranker.answers(turn, fact):
            said = set(terms(fact.asked or turn.text))
            passed = {term for row in ranked[:i] for term in terms(row.entity)} & said
            return list(ranked[i:]) if passed <= set(terms(_told(fact))) else []
        if not fact.fields:
            return []
    return []


def is_about(turn: Turn, found: Sequence[Evidence]) -> bool:
    """
    Whether a turn asks for something of the facts' subject, answered or not.

    :param turn: what was said
    :param found: what was found for it, best first
    """
    if not found or not is_question(turn.text):
        return False
    best, said = found[0], set(words(turn.text))
    name = set(words(best.entity)) - STOP_WORDS
    return bool(name) and name <= said or best.score >= (_NEAR if best.asked else _NEAR_ROW)


def _told(fact: Evidence) -> str:
    return f"{fact.entity} {fact.question} {fact.text}"


def _is_another(text: str, fact: Evidence) -> bool:
    """Whether a number or model is asked for that is not this fact's: the city 9 is no city 7."""
    said, told = words(text), words(_told(fact))
    if any(_MODEL.fullmatch(word) and word not in told for word in said):
        return True
    name = words(fact.entity)
    numbered = {a: b for a, b in zip(name, name[1:]) if b.isdigit() and not a.isdigit()}
    return any(b.isdigit() and numbered.get(a, b) != b for a, b in zip(said, said[1:]))
