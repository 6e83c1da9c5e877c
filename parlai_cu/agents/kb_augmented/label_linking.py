"""Which facts a label means, in training and evaluation of what chooses facts."""

from collections.abc import Sequence

from parlai_cu.knowledge.backends.base import KnowledgeBase
from parlai_cu.knowledge.words import words
from parlai_cu.types import Evidence, Turn

# a fact is found among so many by its own words
_AMONG = 5


class MeantFacts:
    """
    Finds the facts that labels are the words of.

    A label is a fact's text, with its entity and its question before it or not. Answers are
    kept while the knowledge base stays the same.
    """

    def __init__(self, kb: KnowledgeBase) -> None:
        self.kb = kb
        self._known: dict[str, set[str]] = {}
        self._snapshot = ""

    def ids(self, labels: Sequence[str]) -> set[str]:
        """
        The ids of the facts that any of the labels means; none for a label that is no fact.

        :raises KnowledgeError: when the knowledge base is out of reach
        """
        now = self.kb.snapshot_id()
        if now != self._snapshot:
            self._known, self._snapshot = {}, now
        for label in labels:
            if label not in self._known:
                found = self.kb.query(Turn(label), _AMONG)
                self._known[label] = {fact.id for fact in found if words(label) in _told(fact)}
        return set().union(*(self._known[label] for label in labels))


def _told(fact: Evidence) -> tuple[list[str], ...]:
    """The ways to write a fact out, as words."""
    parts = (fact.text,), (fact.entity, fact.text), (fact.question, fact.text)
    return tuple(words(" ".join(part)) for part in (*parts, (fact.entity, *parts[2])))
