"""
The words of all facts, indexed beside the database that holds them.

The index is tantivy's, or SQLite's own where that wheel is not installed. It is made of the facts
and of the record of their changes, and can be made anew of them at any time: one that is missing,
of another database or behind is brought up to date by whoever asks next. Changes are committed to
it a batch at a time; the facts that changed since then are kept beside it, and searched with it.
"""

import contextlib
import json
import logging
import os
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, Protocol

from filelock import FileLock

try:
    import tantivy
except ImportError:  # an extra
    tantivy = None  # type: ignore[assignment]

# so many changes are committed at once; fewer are kept in memory, where each fact is compared
BATCH = 1000
# facts found at most, to be compared by all their words
FOUND = 64
# read of the database at once
_PAGE = 5000
# facts that are more than these are found slowly without tantivy
_MANY = 50_000
_HEAP = 64_000_000
_logger = logging.getLogger(__name__)


class Facts(Protocol):
    """An open transaction of the database."""

    def execute(self, sql: str, values: Sequence[Any] = ()) -> Any:
        """Run an SQL statement with these values; a cursor."""
        ...


class WordIndex:
    """
    The index of one database, as one process sees it.

    :param folder: where it is kept; empty: in memory
    :param uuid: of the database
    """

    def __init__(self, folder: str, uuid: str) -> None:
        self.folder, self.uuid = folder, uuid
        self._mark_file = os.path.join(folder, "mark.json") if folder else ""
        self._engine: Any = None
        # the last change that is committed: its number, and what it was
        self._mark: tuple[int, str] = (0, "")
        self._mark_seen = -1
        # the last change that is known; what changed between the two, and the words it has now
        self._number = 0
        self._changed: set[str] = set()
        self._fresh: dict[str, frozenset[str]] = {}

    def reload(self) -> None:
        """See what others committed. To be called before the transaction that is searched for."""
        if not self._mark_file:
            return
        try:
            seen = os.stat(self._mark_file).st_mtime_ns
        except OSError:
            return
        if seen != self._mark_seen:
            with open(self._mark_file, encoding="utf-8") as file:
                uuid, number, change = json.load(file)
            self._forget((number, change) if uuid == self.uuid else (0, ""))
            self._mark_seen, self._engine = seen, None

    def catch_up(self, facts: Facts, last: int) -> None:
        """
        Know all facts of a transaction.

        :param facts: the transaction
        :param last: the number of its last change
        """
        if self._number == last:
            return
        if self._number > last or not self._is_committed(facts):
            self._forget((0, ""))
        if last - self._mark[0] > BATCH:
            self._commit(facts, last)
        for ids in _pages(facts, self._number):
            self._changed.update(ids)
            for fact_id in ids:
                self._fresh.pop(fact_id, None)
            for fact_id, terms in _terms(facts, ids):
                self._fresh[fact_id] = frozenset(terms.split())
        self._number = last

    def documents(self, terms: Iterable[str]) -> dict[str, int]:
        """In how many facts each term stands; those in none are left out."""
        found = {}
        for term in terms:
            count = sum(term in fresh for fresh in self._fresh.values())
            if self._mark[0]:
                count += self._opened().documents(term)
            if count:
                found[term] = count
        return found

    def best(self, weights: Mapping[str, float], frequencies: Mapping[str, float]) -> list[str]:
        """
        The ids of the facts that match best, in no order.

        :param weights: term -> how much it counts; those of 1 are looked up also without others
        :param frequencies: term -> inverse frequency
        """
        worth = {term: weight * frequencies[term] for term, weight in weights.items()}
        now = [term for term, weight in weights.items() if weight == 1]
        found: list[str] = []
        # a search by weights would read all facts with any of the words, one without does not
        for terms in (now, list(weights)) if len(now) < len(weights) else (now,):
            if terms:
                found += self._committed(terms) if self._mark[0] else []
                found += self._kept(terms, worth)
        return list(dict.fromkeys(found))

    def _committed(self, terms: list[str]) -> list[str]:
        most = FOUND + min(len(self._changed), FOUND)
        found = self._opened().search(terms, most)
        return [fact_id for fact_id in found if fact_id not in self._changed][:FOUND]

    def _kept(self, terms: list[str], worth: Mapping[str, float]) -> list[str]:
        asked = set(terms)
        gains = {
            fact_id: sum(worth[term] for term in asked & fresh)
            for fact_id, fresh in self._fresh.items()
            if not asked.isdisjoint(fresh)
        }
        return sorted(gains, key=lambda fact_id: (-gains[fact_id], fact_id))[:FOUND]

    def _is_committed(self, facts: Facts) -> bool:
        """Whether the database had the state that is committed; an older copy of it had not."""
        number, change = self._mark
        return not number or _change(facts, number) == change

    def _forget(self, mark: tuple[int, str]) -> None:
        """Know only what is committed, up to a mark."""
        self._mark, self._number = mark, mark[0]
        self._changed, self._fresh = set(), {}

    def _commit(self, facts: Facts, last: int) -> None:
        with self._alone():
            self.reload()  # another process may have done it meanwhile
            if not self._is_committed(facts):
                self._forget((0, ""))
            if last - self._mark[0] <= BATCH:
                return
            if not self._mark[0]:
                self._wipe()
            engine, done = self._opened(), self._mark[0]
            if tantivy is None and last > _MANY:
                _logger.warning(
                    "%d facts are found by SQLite's own search, which is slow with so many: "
                    'pip install "parlai-cu[knowledge]"',
                    last,
                )
            pages = ((ids if done else [], _terms(facts, ids)) for ids in _pages(facts, done))
            engine.commit(pages)
            self._forget((last, _change(facts, last)))
            if self._mark_file:
                temporary = f"{self._mark_file}.{os.getpid()}"
                with open(temporary, "w", encoding="utf-8") as file:
                    json.dump([self.uuid, *self._mark], file)
                os.replace(temporary, self._mark_file)
                self._mark_seen = os.stat(self._mark_file).st_mtime_ns

    @contextlib.contextmanager
    def _alone(self) -> Iterator[None]:
        """One process commits at a time."""
        if not self.folder:
            yield
            return
        try:
            os.makedirs(self.folder, exist_ok=True)
            lock = FileLock(os.path.join(self.folder, "lock"))
            lock.acquire()
        except OSError as error:  # the next best place is memory
            _logger.warning("the index of words is kept in memory: %s", error)
            self.folder = self._mark_file = ""
            yield
            return
        with lock:
            lock.release()
            yield

    def _wipe(self) -> None:
        self._engine = None
        for name in os.listdir(self.folder) if self.folder else ():
            if name != "lock":
                os.remove(os.path.join(self.folder, name))

    def _opened(self) -> Any:
        if self._engine is None:
            self._engine = (_FTS5 if tantivy is None else _Tantivy)(self.folder)
        return self._engine


def cache_folder(uuid: str) -> str:
    """The folder of the index of a database (``uuid``) that has no place beside it."""
    home = os.environ.get("XDG_CACHE_HOME") or os.path.join(os.path.expanduser("~"), ".cache")
    return os.path.join(home, "parlai_cu", "words", uuid)


def _change(facts: Facts, number: int) -> str:
    """What a change was, to know it again."""
    row = facts.execute("SELECT at, id FROM changes WHERE number = ?", (number,)).fetchone()
    return f"{row['at']} {row['id']}" if row else ""


def _pages(facts: Facts, number: int) -> Iterator[list[str]]:
    """The ids of the facts that changed after a change, some at a time."""
    while True:
        rows = facts.execute(
            "SELECT number, id FROM changes WHERE number > ? ORDER BY number LIMIT ?",
            (number, _PAGE),
        ).fetchall()
        if not rows:
            return
        number = rows[-1]["number"]
        yield list({row["id"]: None for row in rows})


def _terms(facts: Facts, ids: Sequence[str]) -> list[tuple[str, str]]:
    marks = ", ".join("?" * len(ids))
    rows = facts.execute(f"SELECT id, terms FROM facts WHERE id IN ({marks})", ids).fetchall()
    return [(row["id"], row["terms"]) for row in rows]


class _Tantivy:
    def __init__(self, folder: str) -> None:
        schema = tantivy.SchemaBuilder()
        schema.add_text_field("id", stored=True, tokenizer_name="raw", index_option="basic")
        schema.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
        self._schema = schema.build()
        self._index = tantivy.Index(self._schema, path=folder or None)
        self.reload()

    def reload(self) -> None:
        self._index.reload()
        self._searcher = self._index.searcher()

    def commit(self, pages: Iterable[tuple[list[str], list[tuple[str, str]]]]) -> None:
        writer = self._index.writer(_HEAP, num_threads=1)
        for gone, facts in pages:
            for fact_id in gone:
                writer.delete_documents_by_term("id", fact_id)
            for fact_id, terms in facts:
                writer.add_document(tantivy.Document(id=[fact_id], terms=[terms]))
        writer.commit()
        writer.wait_merging_threads()
        self.reload()

    def documents(self, term: str) -> int:
        return int(self._searcher.doc_freq("terms", term))

    def search(self, terms: list[str], count: int) -> list[str]:
        asked = [
            (tantivy.Occur.Should, tantivy.Query.term_query(self._schema, "terms", term, "freq"))
            for term in terms
        ]
        query = tantivy.Query.boolean_query(asked)
        hits = self._searcher.search(query, count, count=False).hits
        return [self._searcher.doc(place)["id"][0] for _, place in hits]


class _FTS5:
    def __init__(self, folder: str) -> None:
        place = os.path.join(folder, "words.db") if folder else ":memory:"
        self._db = sqlite3.connect(place, check_same_thread=False, isolation_level=None)
        self._db.executescript(
            "CREATE TABLE IF NOT EXISTS ids (number INTEGER PRIMARY KEY, id TEXT UNIQUE); "
            "CREATE VIRTUAL TABLE IF NOT EXISTS words USING fts5 (terms, detail='column', "
            "tokenize='unicode61 remove_diacritics 0'); "
            "CREATE VIRTUAL TABLE IF NOT EXISTS counts USING fts5vocab (words, row);"
        )

    def reload(self) -> None:
        """Each search sees what is committed."""

    def commit(self, pages: Iterable[tuple[list[str], list[tuple[str, str]]]]) -> None:
        self._db.execute("BEGIN IMMEDIATE")
        for gone, facts in pages:
            rows = [(fact_id,) for fact_id in gone]
            self._db.executemany(
                "DELETE FROM words WHERE rowid = (SELECT number FROM ids WHERE id = ?)", rows
            )
            self._db.executemany("DELETE FROM ids WHERE id = ?", rows)
            for fact_id, terms in facts:
                cursor = self._db.execute("INSERT INTO ids (id) VALUES (?)", (fact_id,))
                self._db.execute(
                    "INSERT INTO words (rowid, terms) VALUES (?, ?)", (cursor.lastrowid, terms)
                )
        self._db.execute("COMMIT")

    def documents(self, term: str) -> int:
        row = self._db.execute("SELECT doc FROM counts WHERE term = ?", (term,)).fetchone()
        return int(row[0]) if row else 0

    def search(self, terms: list[str], count: int) -> list[str]:
        # terms are letters and digits (words.py), so that nothing in them ends the quotes
        rows = self._db.execute(
            "SELECT id FROM (SELECT rowid FROM words WHERE words MATCH ? ORDER BY rank LIMIT ?) "
            "JOIN ids ON number = rowid",
            (" OR ".join(f'"{term}"' for term in terms), count),
        )
        return [str(row[0]) for row in rows]
