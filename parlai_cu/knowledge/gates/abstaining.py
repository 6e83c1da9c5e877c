"""
Whether the best fact answers at all: knowledge may be needed, and not be there.

"Does the Oak Inn have a pool?" needs knowledge; that its parking is free is no answer.
"""

from parlai_cu.knowledge.matching import ANSWERS
from parlai_cu.knowledge.words import terms
from parlai_cu.types import Evidence, Turn


def answers(turn: Turn, fact: Evidence) -> bool:
    """
    Whether a fact says anything of what a turn asks, beside the name of what it is about.

    A row of a table tells all that is known of a thing, an answer composed for the turn is one by
    itself, and a turn that only names a thing asks for anything about it.
    """
    if fact.asked:
        return fact.score >= ANSWERS
    if fact.fields or fact.question == turn.text:
        return True
    name = set(terms(fact.entity))
    asked = set(terms(turn.text)) - name
    return not asked or bool(asked & set(terms(f"{fact.question} {fact.text}")))
