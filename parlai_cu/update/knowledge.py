"""The facts of an update: tried on a copy of the knowledge base, in force when it is promoted."""

import glob
import hashlib
import os
import sqlite3
from collections.abc import Callable, Sequence
from contextlib import closing

from parlai_cu import files
from parlai_cu.errors import KnowledgeError, UsageError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Evidence, Fact, Turn
from parlai_cu.update.diagnosis import Find
from parlai_cu.update.step_cache import Step, StepCache
from parlai_cu.update.wording import Example, stated_values, values

_SQLITE = "sqlite:///"
_ASKED_FOR = 5
# enough of a task to tell by whether its facts are in a base
_LOOKED_UP = 200


def default_uri(versions: str) -> str:
    """
    The knowledge base beside a directory of versions.

    :raises UsageError: where that directory is behind iopath
    """
    if "://" in versions:
        raise UsageError("a directory that is not local needs --kb URI for the update's facts")
    return _SQLITE + os.path.abspath(versions).rstrip("/") + ".facts.db"


def finder(uri: str | None) -> Find | None:
    """Asks the knowledge base of a URI; None where none is named."""
    if uri is None:
        return None
    base = open_knowledge_base(uri)

    def find(turn: Turn) -> list[Evidence]:
        return list(base.query(turn, _ASKED_FOR))

    return find


def name_of(question: str) -> str:
    """
    The id of a question's entry.

    By the question: where its answer is put right later, that takes this one's place.
    """
    plain = question.strip().lower()
    return "update-" + hashlib.sha256(plain.encode()).hexdigest()[:12]


def facts_of(examples: Sequence[Example]) -> list[Fact]:
    """
    The answers that tell values, as entries of questions and answers.

    Of several wordings of one question the first stays. What was asked later in a conversation is
    an entry only if it names what it is about: "and the price?" alone asks nothing.
    """
    found: dict[str, Fact] = {}
    for example in examples:
        if stated_values(example) and (not example.history or values(example.text)):
            name = name_of(example.text)
            found.setdefault(name, Fact(example.label, id=name, question=example.text))
    return list(found.values())


def holder(uri: str) -> Callable[[Sequence[Example]], bool]:
    """Says of examples whether the questions of most are entries of a knowledge base."""

    def holds(examples: Sequence[Example]) -> bool:
        with closing(open_knowledge_base(uri)) as base:
            asked = [e for e in examples if stated_values(e)][:_LOOKED_UP]
            held = sum(base.get(name_of(e.text)) is not None for e in asked)
            return held > len(asked) / 2

    return holds


FACTS: Step[str] = Step("facts", str)


class CandidateFacts:
    """
    A knowledge base as it will be once the update is in force.

    :param uri: the one in service; may be missing yet
    :param facts: to be added; without any the one in service is used as it is
    :param cache: of what was done, where the copy stands
    :raises UsageError: when facts are to be added to a base that is only read
    :raises KnowledgeError: when the base cannot be copied
    """

    def __init__(self, uri: str, facts: Sequence[Fact], cache: StepCache) -> None:
        self.uri, self.facts = uri, list(facts)
        self.candidate_uri = uri
        if not self.facts:
            self.snapshot = snapshot_of(uri)
            return
        if not uri.startswith(_SQLITE):
            raise UsageError(
                f"--kb {uri} lacks facts of the update and is only read here: put them in "
                "where it is kept, or name a sqlite:///FILE"
            )
        self.path = os.path.abspath(uri[len(_SQLITE) :])
        served = snapshot_of(uri) if os.path.exists(self.path) else None
        inputs = {
            "uri": uri,
            "served": served,
            "facts": [[fact.id, fact.question, fact.text] for fact in self.facts],
        }
        self.copy = os.path.join(cache.place(FACTS, inputs), "facts.db")
        self.candidate_uri = _SQLITE + self.copy
        self.snapshot = cache.get(FACTS, inputs, lambda _: self._make())

    def _make(self) -> str:
        for left in glob.glob(glob.escape(self.copy) + "*"):
            os.unlink(left)
        if os.path.exists(self.path):
            _copy(self.path, self.copy)
        _add(self.candidate_uri, self.facts)
        return snapshot_of(self.candidate_uri)

    @property
    def settled_uri(self) -> str:
        """The base in service, which a model that was gated on the copy is to ask."""
        return self.uri if not self.facts else _SQLITE + self.path

    def publish(self) -> str:
        """
        Put the facts in force.

        Facts that were changed there since the copy was made stay; what is there already is not
        added twice.

        :return: the state of the base in service, which is another than the copy's where somebody
            changed it meanwhile
        :raises KnowledgeError: when the base cannot be copied
        """
        if self.facts and not os.path.exists(self.path):
            files.private_folder(os.path.dirname(self.path))
            with files.whole(self.path) as aside:
                _copy(self.copy, aside)
        elif self.facts:
            _add(self.settled_uri, self.facts)
        return snapshot_of(self.settled_uri)


def snapshot_of(uri: str) -> str:
    """The state that a knowledge base is in."""
    with closing(open_knowledge_base(uri)) as base:
        return str(base.snapshot_id())


def _add(uri: str, facts: Sequence[Fact]) -> None:
    with closing(open_knowledge_base(uri, writable=True)) as base:
        held = {fact.id: base.get(fact.id) for fact in facts if fact.id is not None}
        base.add([fact for fact in facts if held.get(fact.id or "") is None])
        for fact in facts:
            # the same question has another answer now
            before = held.get(fact.id or "")
            if before is not None and before.text != fact.text:
                base.update(fact)


def _copy(source: str, target: str) -> None:
    """A consistent copy, also while others write."""
    try:
        with closing(sqlite3.connect(source)) as one, closing(sqlite3.connect(target)) as other:
            one.backup(other)
    except sqlite3.Error as error:
        raise KnowledgeError(f"--kb {source} cannot be copied: {error}") from error
