"""
Whether the best fact answers at all: knowledge may be needed, and not be there.

"Does the Oak Inn have a pool?" needs knowledge; that its parking is free is no answer.
"""

import re

from parlai_cu.knowledge.answer_fields import asked_columns
from parlai_cu.knowledge.matching import ANSWERS
from parlai_cu.knowledge.words import terms, words
from parlai_cu.types import Evidence, Turn

# a model's name or number: R2, BK100; what is counted begins with a digit: 10kg, 5pm
_MODEL = re.compile(r"[a-z]+\d\w*")
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
        return fact.score >= ANSWERS
    asked = set(terms(turn.text)) - set(terms(fact.entity))
    if fact.fields:
        anything = asked <= _ANYTHING and not _SOMETHING.intersection(words(turn.text))
        return anything or bool(asked_columns(turn.text, fact))
    return not asked or bool(asked & set(terms(f"{fact.question} {fact.text}")))


def _is_another(text: str, fact: Evidence) -> bool:
    """Whether a number or model is asked for that is not this fact's: the city 9 is no city 7."""
    said, told = words(text), words(f"{fact.entity} {fact.question} {fact.text}")
    if any(_MODEL.fullmatch(word) and word not in told for word in said):
        return True
    name = words(fact.entity)
    numbered = {a: b for a, b in zip(name, name[1:]) if b.isdigit() and not a.isdigit()}
    return any(b.isdigit() and numbered.get(a, b) != b for a, b in zip(said, said[1:]))
