"""What a search in facts of our own reads, and in which order it puts what it finds."""

from collections.abc import Callable, Iterable, Sequence
from datetime import UTC, datetime
from typing import Any

from parlai_cu.knowledge.backends.store import Store, holds
from parlai_cu.knowledge.fusion import reciprocal_ranks
from parlai_cu.knowledge.question import Question
from parlai_cu.knowledge.word_index import WordIndex
from parlai_cu.knowledge.words import stem
from parlai_cu.types import Evidence

# of one entity so many facts are looked at
_OF_AN_ENTITY = 256
# what a fact of another entity than the ones asked about is worth; on DSTC11's training questions
# anything from 0 to 0.5 finds as much
_OF_ANOTHER = 0.5
# a word stands for an entity alone where no more than so many times its facts have it
_ALONE = 1.2
# what facts are compared by; the rest is read of the best alone
_COMPARED = "key, id, terms, entity_key, valid_from, valid_until"

# minus the score, so that sorting puts the best first; id, key
Ranked = tuple[float, str, int]


def fused(by_words: list[Evidence], by_vectors: list[Evidence]) -> list[Evidence]:
    """By reciprocal ranks; the score is the better of the two."""
    gains = reciprocal_ranks([[f.id for f in by_words], [f.id for f in by_vectors]])
    best: dict[str, Evidence] = {}
    for found in (*by_words, *by_vectors):
        if found.id not in best or found.score > best[found.id].score:
            best[found.id] = found
    return sorted(best.values(), key=lambda found: (-gains[found.id], -found.score, found.id))


def candidates(
    store: Store, entities: Sequence[str], column: str, found: Sequence[Any]
) -> Iterable[Any]:
    """What is compared: facts that were ``found`` by a ``column``, and those of ``entities``."""
    rows = rows_with(store, _COMPARED, column, found)
    for entity in entities:
        rows += store.execute(
            f"SELECT {_COMPARED} FROM facts WHERE entity_key = ? LIMIT ?", (entity, _OF_AN_ENTITY)
        ).fetchall()
    return {row["key"]: row for row in rows}.values()


def rows_with(store: Store, columns: str, column: str, values: Sequence[Any]) -> list[Any]:
    """The ``columns`` of the facts that have one of some ``values`` in a ``column``; of a store."""
    if not values:
        return []
    marks = ", ".join("?" * len(values))
    statement = f"SELECT {columns} FROM facts WHERE {column} IN ({marks})"
    return list(store.execute(statement, values).fetchall())


def ranked(rows: Iterable[Any], question: Question, score: Callable[[Any], float]) -> list[Ranked]:
    """
    Those of some ``rows`` that are valid now, by a ``score``, best first.

    Those of another entity than asked about are worth less.
    """
    now = datetime.now(UTC).isoformat()
    ranked = []
    for row in rows:
        if not holds(row, now):
            continue
        other = question.entities and row["entity_key"] not in ("", *question.entities)
        found = min(score(row), 1.0) * (_OF_ANOTHER if other else 1.0)
        ranked.append((-found, row["id"], row["key"]))
    return sorted(ranked)


def known_entities(store: Store, names: list[str]) -> list[str]:
    """Which names are entities."""
    marks = ", ".join("?" * len(names))
    rows = store.execute(
        f"SELECT DISTINCT entity_key FROM facts WHERE entity_key IN ({marks})", names
    )
    return [row["entity_key"] for row in rows]


def is_rare(store: Store, index: WordIndex, word: str, entity: str) -> bool:
    """Whether a word stands in few facts but those of an entity."""
    row = store.execute(
        "SELECT count(*) AS n FROM facts WHERE entity_key = ?", (entity,)
    ).fetchone()
    return index.documents([stem(word)]).get(stem(word), 0) <= _ALONE * int(row["n"])


def unknown(index: WordIndex, said: Sequence[str]) -> set[str]:
    """Which of the words that were ``said`` stand in no fact."""
    known = index.documents({stem(word) for word in said})
    return {word for word in said if stem(word) not in known}
