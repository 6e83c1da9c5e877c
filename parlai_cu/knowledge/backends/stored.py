"""
Facts in a database of our own: what :mod:`sqlite` and :mod:`postgresql` have in common.

A query is of one state of all; a change is of all or nothing, recorded, and can be taken back.
Nothing that a user says becomes part of an SQL or search expression but words of letters and
digits.
"""

import contextlib
import dataclasses
import json
import logging
import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager
from dataclasses import replace
from typing import Any

from parlai_cu.errors import KnowledgeError, hint, nearest
from parlai_cu.knowledge import bm25
from parlai_cu.knowledge.aliases import MOST_NAMES, Aliases
from parlai_cu.knowledge.asking.asked import AskedTables, before_others, stored_tables
from parlai_cu.knowledge.backends import verifying
from parlai_cu.knowledge.backends.searching import (
    Ranked,
    candidates,
    fused,
    is_rare,
    known_entities,
    ranked,
    rows_with,
    unknown,
)
from parlai_cu.knowledge.backends.store import (
    COLUMNS,
    ENCODED,
    Change,
    Store,
    differing,
    fact_in,
    row_of,
    said_of,
)
from parlai_cu.knowledge.encoders import Encoder, load_encoder, made_with, signature
from parlai_cu.knowledge.fact_codec import id_of, moment
from parlai_cu.knowledge.matching import Matcher
from parlai_cu.knowledge.question import Question, ask
from parlai_cu.knowledge.spelling import Vocabulary
from parlai_cu.knowledge.word_index import WordIndex, cache_folder
from parlai_cu.knowledge.words import terms
from parlai_cu.types import Evidence, Fact, Turn

# tables of so many facts are asked
_MOST_ASKED = 20_000
# facts found by their vectors, where there are any; and so many of all that are judged
_BY_VECTOR, _JUDGED = 50, 8
_logger = logging.getLogger(__name__)


class StoredFacts:
    """
    The reading and the writing. A variant gives transactions by ``_reading`` and ``_changing``.

    :param name: as it is shown
    :param writable: whether it may be changed
    """

    def __init__(self, name: str, writable: bool) -> None:
        self.name, self.writable = name, writable
        self._lock = threading.RLock()
        # made by the variant when first needed, and again after it was let go of
        self._connection: Any = None
        # encoders that are those that made the vectors; those that cannot be used were told of
        self._known: set[str] = set()
        self._told: set = set()
        # names of things, up to a change of a database
        self._aliases, self._named_until = Aliases(), ("", 0)
        self._vocabulary = Vocabulary()
        self._words: WordIndex | None = None
        self._tables = AskedTables(name)
        self._matcher: Matcher | None = None

    def close(self) -> None:
        """Let go of the connection."""
        with self._lock:
            if self._connection is not None:
                self._connection.close()
            self._connection = None

    def _reading(self) -> AbstractContextManager[Store]:
        """One state of everything, whatever is written meanwhile."""
        raise NotImplementedError

    def _changing(self) -> AbstractContextManager[Store]:
        """The one writer there is; kept at the end, or nothing of it where anything is raised."""
        raise NotImplementedError

    def _index_folder(self, uuid: str) -> str:
        """Where the index of words of a database is kept; empty: in memory."""
        return cache_folder(uuid)

    def _bytes(self, store: Store) -> int:
        """How much room it takes."""
        raise NotImplementedError

    # -- reading -----------------------------------------------------------------------------

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """
        What it knows about a turn, best first; ``score`` is a share of what could match, 0 to 1.

        An entity that was named earlier in the conversation stands in for one that is not named
        now. Facts that are not valid today are left out. Where facts have vectors, the ranking by
        words and that by vectors are fused, and the score is the better of share and cosine.
        """
        with self._searching() as (store, state, index):
            answers = self._answers(store, state, turn)
            encoder = self._encoder(state)
            self._learn_names(store, state)
            question = ask(
                turn,
                lambda names: known_entities(store, names),
                lambda said: self._aliases.meant(
                    said,
                    lambda *of: is_rare(store, index, *of),
                    lambda said: unknown(index, said),
                ),
                lambda said: self._vocabulary.corrected(
                    said, lambda some: unknown(index, some), getattr(encoder, "english", ())
                ),
            )
            if not question.weights:
                return answers
            reads = getattr(encoder, "reads", lambda text: True)
            if encoder is None or not reads(turn.text):
                found = self._by_words(store, index, question, state, top_k)
                return before_others(answers, found)[:top_k]
            by_words = self._by_words(store, index, question, state, _BY_VECTOR)
            by_vectors = self._by_vectors(store, question, state, encoder)
            # how near a row is to a question says nothing of whether it answers
            rows = {f.id for f in by_words if f.fields}
            by_vectors = [f for f in by_vectors if not f.fields or f.id in rows]
            found = fused(by_words, by_vectors)
            judged = self._judged(question, found, index, int(state["facts"]), encoder)
            return before_others(answers, judged)[:top_k]

    def _answers(self, store: Store, state: Mapping[str, str], turn: Turn) -> list[Evidence]:
        """What the tables that facts came from answer; large ones are only searched."""
        if int(state["facts"]) > _MOST_ASKED:
            return []
        return self._tables.answers(turn, snapshot(state), lambda _: stored_tables(store))

    @contextlib.contextmanager
    def _searching(self) -> Iterator[tuple[Store, dict[str, str], WordIndex]]:
        """One state of everything, and an index of its words."""
        with self._lock:
            if self._words is not None:
                self._words.reload()
            with self._reading() as store:
                state = state_of(store)
                if self._words is None or self._words.uuid != state["uuid"]:
                    self._words = WordIndex(self._index_folder(state["uuid"]), state["uuid"])
                self._words.catch_up(store, int(state["last"]))
                yield store, state, self._words

    def _learn_names(self, store: Store, state: Mapping[str, str]) -> None:
        """Those that were added since it was last looked."""
        uuid, last = state["uuid"], int(state["last"])
        if (uuid, last) == self._named_until:
            return
        if uuid != self._named_until[0] or last - self._named_until[1] > MOST_NAMES:
            self._aliases, self._vocabulary = Aliases(), Vocabulary()
            rows = store.execute(
                "SELECT DISTINCT entity_key FROM facts LIMIT ?", (MOST_NAMES + 1,)
            ).fetchall()
            texts = "SELECT question, text FROM facts LIMIT ?", (MOST_NAMES,)
        else:
            # no join: how many changes are new, a server's planner only guesses
            rows = store.execute(
                "SELECT DISTINCT (SELECT entity_key FROM facts WHERE facts.id = changes.id) "
                "AS entity_key FROM changes WHERE number > ?",
                (self._named_until[1],),
            ).fetchall()
            texts = (
                "SELECT question, text FROM facts WHERE id IN "
                "(SELECT id FROM changes WHERE number > ?)",
                (self._named_until[1],),
            )
        self._aliases.add(row["entity_key"] for row in rows)
        self._vocabulary.add(f"{r['question']} {r['text']}" for r in store.execute(*texts))
        self._named_until = (uuid, last)

    def _by_words(
        self,
        store: Store,
        index: WordIndex,
        question: Question,
        state: Mapping[str, str],
        most: int,
    ) -> list[Evidence]:
        documents = index.documents(question.weights)
        facts, length = int(state["facts"]), int(state["terms"])
        frequencies = {
            term: bm25.inverse_frequency(facts, documents.get(term, 0)) for term in question.weights
        }
        ids = index.best(question.weights, frequencies)
        relevance = bm25.Relevance(question.weights, frequencies, length / max(facts, 1))
        rows = candidates(store, question.entities, "id", ids)
        best = ranked(rows, question, lambda row: relevance.of(row["terms"].split()))
        return self._evidences(store, best[:most], state)

    def _by_vectors(
        self,
        store: Store,
        question: Question,
        state: Mapping[str, str],
        encoder: Encoder,
    ) -> list[Evidence]:
        (vector,) = encoder.encode([" ".join([question.text, *question.entities])])
        cosines = dict(store.nearest(vector, _BY_VECTOR))
        rows = candidates(store, [], "key", list(cosines))
        best = ranked(rows, question, lambda row: max(cosines[row["key"]], 0.0))
        return self._evidences(store, best, state)

    def _judged(
        self,
        question: Question,
        found: Sequence[Evidence],
        index: WordIndex,
        total: int,
        encoder: Encoder,
    ) -> list[Evidence]:
        """The best of what was found, by whether they answer; a row is judged by its columns."""
        if self._matcher is None or self._matcher.encoder is not encoder:
            self._matcher = Matcher(encoder)
        told = [fact for fact in found if not fact.fields][:_JUDGED]
        texts = [" ".join(filter(None, (f.entity, f.question, f.text))) for f in told]
        documents = index.documents(terms(question.text))
        scores = self._matcher.scores(question.text, question.said, texts, documents, total)
        judged = {fact.id: score for fact, score in zip(told, scores)}
        best = [replace(f, score=judged[f.id], asked=question.text) for f in told]
        return sorted([*best, *(f for f in found if f.fields)], key=lambda fact: -fact.score)

    def _evidences(
        self, store: Store, found: Sequence[Ranked], state: Mapping[str, str]
    ) -> list[Evidence]:
        """In their order."""
        keys = [key for _, _, key in found]
        rows = {row["key"]: row for row in rows_with(store, COLUMNS, "key", keys)}
        return [self._evidence(rows[key], -score, state) for score, _, key in found]

    def _encoder(self, state: Mapping[str, str]) -> Encoder | None:
        name = state.get("encoder", "")
        if not name or name in self._told:
            return None
        try:
            encoder = load_encoder(name)
            if not self._made_with(encoder, state):
                raise KnowledgeError(
                    f"--kb-encoder {name} is another one than made the vectors: run parlai "
                    "knowledge_base encode again"
                )
            return encoder
        except KnowledgeError as error:
            self._told.add(name)
            _logger.warning("%s: facts are found by their words alone: %s", self.name, error)
            return None

    def _made_with(self, encoder: Encoder, state: Mapping[str, str]) -> bool:
        """Whether this encoder made the vectors; asked once of each."""
        if encoder.name not in self._known:
            if not made_with(encoder, state.get("encoder_signature", "")):
                return False
            self._known.add(encoder.name)
        return True

    def get(self, fact_id: str) -> Evidence | None:
        """The fact of that id, valid today or not; None if there is none."""
        with self._reading() as store:
            row = row_of(store, fact_id)
            return None if row is None else self._evidence(row, 1.0, state_of(store))

    def fact(self, fact_id: str) -> Fact | None:
        """The fact of that id as it was written, validity included."""
        with self._reading() as store:
            row = row_of(store, fact_id)
            return None if row is None else fact_in(row)

    def ids_that_begin(self, beginning: str) -> list[str]:
        """The first five ids of facts with that beginning."""
        with self._reading() as store:
            query = "SELECT id FROM facts WHERE substr(id, 1, ?) = ? ORDER BY id LIMIT 5"
            return [row["id"] for row in store.execute(query, (len(beginning), beginning))]

    def facts(self) -> Iterator[Fact]:
        """All facts, as written, in the order of their making."""
        with self._reading() as store:
            for row in store.execute(f"SELECT {COLUMNS} FROM facts ORDER BY key"):
                yield fact_in(row)

    def stats(self) -> dict[str, Any]:
        """Facts, entities, changes, bytes, the snapshot, and what makes vectors."""
        with self._reading() as store:
            state = state_of(store)
            entities = store.execute("SELECT count(DISTINCT entity_key) AS n FROM facts")
            changes = store.execute("SELECT count(*) AS n FROM changes")
            encoder = {"encoder": state["encoder"]} if state.get("encoder") else {}
            return {
                "facts": int(state["facts"]),
                "entities": entities.fetchone()["n"],
                "changes": changes.fetchone()["n"],
                "bytes": self._bytes(store),
                "snapshot": snapshot(state),
                **encoder,
            }

    def verify(self) -> list[str]:
        """
        What is damaged, in words; nothing where all is as it was written.

        :raises KnowledgeError: when it is too damaged to be read
        """
        with self._reading() as store:
            own = self._own_check(store)
            return own or verifying.damage(store, state_of(store))

    def _own_check(self, store: Store) -> list[str]:
        """What the database itself finds."""
        return []

    def snapshot_id(self) -> str:
        """The database's own name and the number of its last change."""
        with self._reading() as store:
            return snapshot(state_of(store))

    def history(self, limit: int = 20) -> list[dict[str, Any]]:
        """
        The last changes (``limit``: how many), newest first: number, time, who, action, id, and
        what was before.
        """
        with self._reading() as store:
            rows = store.execute(
                "SELECT batch, at, who, action, id, before FROM changes ORDER BY number DESC "
                "LIMIT ?",
                (limit,),
            )
            return [dict(row) for row in rows]

    def spent(self) -> dict[str, float]:
        """Nothing."""
        return {}

    def _evidence(self, row: Any, score: float, state: Mapping[str, str]) -> Evidence:
        return Evidence(
            id=row["id"],
            text=row["text"],
            score=score,
            source=self.name,
            snapshot=snapshot(state),
            entity=row["entity"],
            question=row["question"],
            fields=json.loads(row["fields"]),
        )

    # -- writing -----------------------------------------------------------------------------

    def add(self, facts: Iterable[Fact]) -> list[str]:
        """Add all or none; a fact without an id gets one made from what it says."""
        with self._writing("add") as change:
            return [change.add(fact) for fact in facts]

    def bring_up_to_date(
        self, source: str, facts: Iterable[Fact], replace: bool = False
    ) -> dict[str, int]:
        """
        Make the facts of a file what its newest version says, as one command that undo takes back.

        A fact is of a file where it was imported from one of that name before.

        :param source: the file's name
        :param facts: of its newest version
        :param replace: remove what earlier versions had and this one does not
        :return: how many were added, changed, unchanged and removed, and how many are ``gone``:
            not in the file, and left
        :raises KnowledgeError: when a fact's id is that of one from elsewhere
        """
        counts = dict.fromkeys(("added", "changed", "unchanged", "removed", "gone"), 0)
        with self._writing(f"import {source}") as change:
            before = _of_source(change)
            for fact in facts:
                fact = _as_stored(fact)
                old = before.pop(str(fact.id), None)
                if old is None:
                    change.add(fact)
                    counts["added"] += 1
                elif old == fact:
                    counts["unchanged"] += 1
                else:
                    change.remove(str(fact.id), self._nearest)
                    change.add(fact, before=change.removed[-1])
                    counts["changed"] += 1
            for fact_id in before if replace else ():
                change.remove(fact_id, self._nearest)
                change.note(fact_id, change.removed[-1])
            counts["removed" if replace else "gone"] = len(before)
        return counts

    def update(self, fact: Fact) -> None:
        """
        Put a fact in the place of the one of its id.

        :raises KnowledgeError: for a fact without an id, or of an id that is not there
        """
        if fact.id is None:
            raise KnowledgeError("a fact to be updated needs the id of the one it replaces")
        with self._writing("update") as change:
            change.remove(fact.id, self._nearest)
            change.add(fact, before=change.removed[-1])

    def remove(self, fact_ids: Iterable[str]) -> None:
        """Remove all or none."""
        with self._writing("remove") as change:
            for fact_id in fact_ids:
                change.remove(fact_id, self._nearest)
                change.note(fact_id, change.removed[-1])

    def undo(self) -> int:
        """
        Take back the last command that changed anything; undoing that is to redo.

        :return: how many facts changed
        :raises KnowledgeError: when nothing was ever changed
        """
        with self._writing("undo") as change:
            return change.undo()

    @contextlib.contextmanager
    def taken_back(self, snapshot_id: str) -> Iterator[int]:
        """
        Take the facts back to the state that had that snapshot, as one command of its own.

        What is done in the block goes with it: where that raises, no fact has changed.

        :param snapshot_id: of this database
        :return: how many facts change
        :raises KnowledgeError: when that is no state of this database that its history reaches
        """
        with self._writing("back") as change:
            yield change.back_to(self._number(state_of(change.store), snapshot_id))

    def differs_from(self, snapshot_id: str) -> int:
        """
        How many facts are not what they were in a state (``snapshot_id``): others, more, or gone.

        :raises KnowledgeError: as :meth:`taken_back`
        """
        with self._reading() as store:
            return len(differing(store, self._number(state_of(store), snapshot_id)))

    def _number(self, state: Mapping[str, str], snapshot_id: str) -> int:
        """The last change that a state had seen."""
        uuid, _, number = snapshot_id.partition(":")
        last = int(state["last"])
        if uuid != state["uuid"]:
            raise KnowledgeError(
                f"{self.name} never was in the state {snapshot_id}: that is of another database, "
                f"this one's begin with {state['uuid']}"
            )
        if not number.isdigit() or int(number) > last:
            raise KnowledgeError(
                f"the history of {self.name} does not reach the state {snapshot_id}: its last "
                f"change has the number {last}. Was an older copy put in its place?"
            )
        return int(number)

    def encode(self, name: str) -> Iterator[int]:
        """
        Give every fact a vector, from now on also those that are added; a few at a time.

        What is done stays done: begun again with the same encoder it goes on.

        :param name: of an encoder; empty: no vectors any more
        :return: numbers of facts, each once those have theirs
        :raises KnowledgeError: when it is open for reading
        """
        encoder = load_encoder(name) if name else None
        with self._writable() as store:
            state = state_of(store)
            same = state.get("encoder", "") == name
            if not same or (encoder and not self._made_with(encoder, state)):
                store.execute("DELETE FROM state WHERE name IN ('encoder', 'encoder_signature')")
                known = signature(encoder) if encoder else "[]"
                store.make_vectors(len(json.loads(known)))
                for what, value in (("encoder", name), ("encoder_signature", known)):
                    if encoder:
                        store.execute("INSERT INTO state VALUES (?, ?)", (what, value))
                self._known = {name}
        while encoder:
            with self._writable() as store:
                rows = store.execute(
                    f"SELECT {COLUMNS} FROM facts WHERE key NOT IN (SELECT key FROM vectors) "
                    "ORDER BY key LIMIT ?",
                    (ENCODED,),
                ).fetchall()
                if not rows:
                    return
                vectors = encoder.encode([said_of(fact_in(row)) for row in rows])
                store.put_vectors([row["key"] for row in rows], vectors)
            yield len(rows)

    def _nearest(self, store: Store, fact_id: str) -> KnowledgeError:
        ids = [row["id"] for row in store.execute("SELECT id FROM facts LIMIT 10000")]
        close = hint(nearest(fact_id, ids))
        return KnowledgeError(f"{self.name} has no fact {fact_id!r}{close}")

    @contextlib.contextmanager
    def _writing(self, action: str) -> Iterator["Change"]:
        with self._writable() as store:
            state = state_of(store)
            encoder = load_encoder(state["encoder"]) if state.get("encoder") else None
            if encoder and not self._made_with(encoder, state):
                encoder = (
                    None  # those of one text made by two say nothing: until they are made anew
                )
            change = Change(store, action, encoder)
            yield change
            change.finish()

    @contextlib.contextmanager
    def _writable(self) -> Iterator[Store]:
        if not self.writable:
            raise KnowledgeError(
                f"{self.name} is open for reading; change it by parlai knowledge_base"
            )
        with self._changing() as store:
            yield store


def _as_stored(fact: Fact) -> Fact:
    """A fact with its id, and its dates as they are kept."""
    return dataclasses.replace(
        fact,
        id=fact.id if fact.id is not None else id_of(fact),
        valid_from=moment(fact.valid_from),
        valid_until=moment(fact.valid_until),
    )


def _of_source(change: Change) -> dict[str, Fact]:
    """The facts there are that an import of the same file brought."""
    rows = change.store.execute(
        f"SELECT {COLUMNS} FROM facts WHERE id IN (SELECT id FROM changes WHERE action = ?)",
        (change.action,),
    )
    return {row["id"]: fact_in(row) for row in rows.fetchall()}


def state_of(store: Store) -> dict[str, str]:
    """The counts, the database's own name and the number of the last change."""
    rows = store.execute(
        "SELECT name, value FROM state UNION ALL "
        "SELECT 'last', CAST(coalesce(max(number), 0) AS TEXT) FROM changes"
    )
    return {row["name"]: str(row["value"]) for row in rows}


def snapshot(state: Mapping[str, str]) -> str:
    """The id of a state."""
    return f"{state['uuid']}:{state['last']}"
