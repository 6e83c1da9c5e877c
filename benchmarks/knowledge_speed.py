"""
Search in an embedded knowledge base of a thousand to a million facts: how fast, and how exact?

Synthetic facts of a company, made from a seed: named entities, topics, and words of a Zipf
distribution. Every engine gets the same terms (no stop words, stemmed) and gives its best five.
What is exact is BM25 over all terms, as SQLite's FTS5 computes it. Measured for each: time to
build, size, time of a query (warm), time to add one fact, and until another open reader has it.

- FTS5, all words: the utterance as it is, OR between its words
- FTS5, exact: the same without stop words
- FTS5, rare terms: OR of the rarest terms only, by the frequencies kept in a table
- FTS5, AND then OR: facts with all terms first, then as before
- FTS5, two steps: the rarest terms give candidates, all terms weigh them, the best are compared
- OURS: `parlai_cu.knowledge.backends.sqlite`
- tantivy; bm25s and TF-IDF (scikit-learn; as ParlAI's TF-IDF retriever, but without bigrams),
  where they are installed; the last two are in memory and are made anew for each fact

    python benchmarks/knowledge_speed.py --sizes 1000,10000,100000,1000000 --out bench/kspeed
"""

import argparse
import gc
import heapq
import itertools
import json
import math
import random
import shutil
import sqlite3
import time
from collections import Counter
from dataclasses import dataclass
from importlib import metadata
from pathlib import Path
from typing import Any, Callable, Dict, Iterator, List, Mapping, Optional, Sequence, Tuple, Type

from harness import about, pyplot

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.bm25 import K1, B
from parlai_cu.knowledge.words import terms as analysed
from parlai_cu.knowledge.words import words
from parlai_cu.types import Fact, Turn

EXACT = "FTS5, exact"
TOP = 5
# postings that a pruned search reads, and facts that it compares by all terms
BUDGET, CANDIDATES = 10_000, 64
# seconds that the queries of one engine may take; the exact one answers all
PATIENCE_S = 40.0

# -- the facts -----------------------------------------------------------------------------------

KINDS = (
    "hotel restaurant cafe museum clinic gym school library garage bakery theatre hostel pharmacy "
    "bank cinema salon brewery gallery spa inn bistro dentist market studio lodge"
).split()
FIRST = (
    "blue golden old royal green little grand red silver white north upper black sunny crown "
    "central bright iron lower happy quiet copper maple winter summer amber western hidden"
).split()
SECOND = (
    "harbour garden bridge mill castle river park station hill lion oak market court abbey swan "
    "valley tower anchor field meadow gate forest lake orchard bay chapel rose fountain square"
).split()
# topic: a fact, and questions
TOPICS: Sequence[Tuple[str, Sequence[str]]] = (
    ("parking costs {n} pounds a night", ("is there free parking", "how much is the parking")),
    ("check-in from {n}:00, late arrival by phone", ("when can I check in", "is late arrival ok")),
    ("breakfast is served until {n} and costs extra", ("until when is breakfast served",)),
    ("wifi is free in all rooms", ("do you have free wifi in the rooms", "is the wifi free")),
    ("dogs and cats are welcome for a fee of {n} pounds", ("can I bring my dog", "are pets ok")),
    ("open from {n} in the morning until late", ("when do you open in the morning",)),
    ("cancellation is free until {n} days before", ("how do I cancel my booking for free",)),
    ("wheelchair access by the side entrance", ("is there wheelchair access at the entrance",)),
    ("children under {n} stay free of charge", ("do children stay free of charge",)),
    ("gift vouchers worth {n} pounds are sold online", ("can I buy gift vouchers online",)),
    ("smoking is allowed on the terrace only", ("is smoking allowed on the terrace",)),
    ("the pool is heated and open to members", ("is the pool open to members and heated",)),
    ("student discount of {n} percent with a card", ("is there a student discount with my card",)),
    ("invoices are sent by mail within {n} days", ("when will you send me the invoice by mail",)),
    ("the airport shuttle leaves every {n} minutes", ("when does the airport shuttle leave",)),
    ("vegan and gluten free meals on request", ("do you have vegan or gluten free meals",)),
    ("group bookings of more than {n} need a deposit", ("do group bookings need a deposit",)),
    ("laundry is collected before {n} every day", ("when is the laundry collected every day",)),
    ("repairs take {n} working days", ("how many working days do the repairs take",)),
    ("lost property is kept for {n} weeks at reception", ("I lost my property, who keeps it",)),
)
PARTS = (
    "ba ce di fo gu ha ke li mo nu pa re si to vu wa ye zi cra ste plo dri gle bru sha tin".split()
)


@dataclass(frozen=True)
class Query:
    """What a user says; ``terms`` are what it is searched by."""

    kind: str
    text: str
    terms: Tuple[str, ...]


@dataclass
class Data:
    """The facts, of keys 1, 2, ...; their terms with a blank between; what is asked."""

    facts: List[Tuple[str, str]]
    terms: List[str]
    queries: List[Query]


class Language:
    """Words as frequent as Zipf's law says, and names made of them."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        rare = self._coined(40_000)
        self.words, self.words_sum = rare, _zipf(len(rare), 1.0)
        # as a company grows there are more names, but less so than facts
        names = self._coined(20 + int(size**0.5))
        self.first, self.second = [*FIRST, *names], [*SECOND, *names]
        self.entities = self._named(max(size // 12, 20))
        self.topics_sum = _zipf(len(TOPICS), 0.7)

    def pick(self, choices: Sequence[Any], sums: Sequence[float], count: int = 1) -> List[Any]:
        """Some of the choices."""
        return self.random.choices(choices, cum_weights=sums, k=count)

    def _coined(self, count: int) -> List[str]:
        found: Dict[str, None] = {}
        while len(found) < count:
            found["".join(self.random.choices(PARTS, k=self.random.randint(2, 4)))] = None
        return list(found)

    def _named(self, count: int) -> List[str]:
        first_sum, second_sum = _zipf(len(self.first), 0.6), _zipf(len(self.second), 0.6)
        kinds_sum = _zipf(len(KINDS), 0.7)
        found: Dict[str, None] = {}
        while len(found) < count:
            first, second = self.pick(self.first, first_sum), self.pick(self.second, second_sum)
            found[" ".join([*first, *second, *self.pick(KINDS, kinds_sum)]).title()] = None
        return list(found)


def _zipf(count: int, power: float) -> List[float]:
    return list(itertools.accumulate((i + 1) ** -power for i in range(count)))


def make(size: int, count: int, seed: int) -> Data:
    """``size`` facts and ``count`` queries; the same for the same numbers."""
    language = Language(seed, size)
    draw = language.random
    facts, topics = [], []
    for _ in range(size):
        entity = draw.choice(language.entities)
        topic = language.pick(TOPICS, language.topics_sum)[0]
        more = language.pick(language.words, language.words_sum, draw.randint(3, 10))
        said = topic[0].format(n=draw.randint(2, 30))
        facts.append((entity, f"{entity}: {said}, with {' '.join(more[:2])} and {' '.join(more)}."))
        topics.append(topic)
    queries = [_asked(language, facts, topics, i) for i in range(count)]
    return Data(facts, [" ".join(analysed(text)) for _, text in facts], queries)


def _asked(
    language: Language,
    facts: Sequence[Tuple[str, str]],
    topics: Sequence[Tuple[str, Sequence[str]]],
    number: int,
) -> Query:
    draw = language.random
    place = draw.randrange(len(facts))
    entity, text = facts[place]
    question = draw.choice(topics[place][1])
    detail = draw.choice(text.rstrip(".").split(" and ")[-1].split())
    kind, said = [
        ("entity", f"{question} at the {entity}?"),
        ("entity", f"hello, could you please tell me {question} at the {entity}?"),
        ("entity, no fact", f"{draw.choice(draw.choice(TOPICS)[1])} at the {entity}?"),
        ("detail", f"{question} with the {detail}?"),
        ("frequent words", f"I would like to know, {question}?"),
    ][number % 5]
    return Query(kind, said, tuple(dict.fromkeys(analysed(said))))


# -- what is exact -------------------------------------------------------------------------------


def inverse_frequency(facts: int, documents: int) -> float:
    """As FTS5 has it: a word that half of the facts have counts nothing."""
    return max(math.log((facts - documents + 0.5) / (documents + 0.5)), 1e-6)


def bm25(weights: Mapping[str, float], terms: Sequence[str], mean_length: float) -> float:
    """BM25 of one fact; ``weights`` are the inverse frequencies of the query's terms."""
    norm = K1 * (1 - B + B * len(terms) / mean_length)
    total = 0.0
    for term, weight in weights.items():
        times = terms.count(term)
        total += weight * times * (K1 + 1) / (times + norm)
    return total


class Judge:
    """Compares what was found with what is exact; a fact of the same score is as good."""

    def __init__(self, data: Data) -> None:
        self.terms, self.queries = data.terms, data.queries
        self.documents: Dict[str, int] = Counter()
        wanted = {term for query in data.queries for term in query.terms}
        length = 0
        for terms in data.terms:
            found = terms.split()
            length += len(found)
            self.documents.update(wanted.intersection(found))
        self.mean_length = length / len(data.terms)
        self.exact: List[List[float]] = []

    def scores(self, query: Query, keys: Sequence[int]) -> List[float]:
        """BM25 of the facts."""
        weights = {
            term: inverse_frequency(len(self.terms), self.documents[term]) for term in query.terms
        }
        return [bm25(weights, self.terms[key - 1].split(), self.mean_length) for key in keys]

    def judged(self, found: Sequence[Sequence[int]]) -> Dict[str, Any]:
        """Shares of exact answers: the first, the first five, their scores; by kind of query."""
        rows: Dict[str, List[Tuple[float, float, float]]] = {}
        for query, keys, best in zip(self.queries, found, self.exact):
            if not best:
                continue
            scores = self.scores(query, keys)
            first = float(bool(scores) and scores[0] >= 0.999 * best[0])
            five = sum(score >= 0.999 * best[-1] for score in scores) / len(best)
            row = (first, min(five, 1.0), min(sum(scores) / sum(best), 1.0))
            rows.setdefault(query.kind, []).append(row)
        every = [row for kind in rows.values() for row in kind]
        means = [sum(column) / len(every) for column in zip(*every)]
        by_kind = {kind: sum(row[1] for row in found) / len(found) for kind, found in rows.items()}
        return {**dict(zip(("top1", "top5", "score"), means)), "top5_by_kind": by_kind}


# -- the engines ---------------------------------------------------------------------------------

Plan = Callable[[Query], List[int]]


class Engine:
    """
    Facts in one place, and one or more plans to search them.

    :param path: a file or folder of its own
    """

    adds = 0

    def __init__(self, path: Path) -> None:
        self.path = path

    def build(self, data: Data) -> None:
        """Store all facts, and be ready to search."""
        raise NotImplementedError

    def plans(self) -> Dict[str, Plan]:
        """Name -> search for the keys of the best five."""
        raise NotImplementedError

    def reader(self) -> Plan:
        """A search by the last plan, by another reader that is open already."""
        raise NotImplementedError

    def add(self, key: int, entity: str, text: str) -> None:
        """Add one fact, committed."""
        raise NotImplementedError

    def ways(self) -> Iterator[str]:
        """Each way of committing, which is in force until the next is asked for."""
        yield "as it is"

    def size(self) -> int:
        """Bytes on disk; 0 in memory."""
        files = [self.path] if self.path.is_file() else self.path.rglob("*")
        return sum(file.stat().st_size for file in files if file.is_file())

    def close(self) -> None:
        """Let go of everything."""


class Fts5(Engine):
    """
    FTS5 over the terms, without a copy of the text in the index, and the terms' frequencies.

    The exact plan and those that let FTS5 rank; for this the index holds positions, for an index
    without them AND without a copy of the text ranks all facts the same.
    """

    adds = 150
    detail = "full"

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.db = self._connect()
        self.readers = [self.db]
        self.facts, self.length = 0, 1

    def _connect(self) -> sqlite3.Connection:
        db = sqlite3.connect(self.path, isolation_level=None)
        db.execute("PRAGMA journal_mode = WAL")
        db.execute("PRAGMA cache_size = -65536")
        return db

    def build(self, data: Data) -> None:
        self.db.executescript(
            f"""
            CREATE TABLE facts (key INTEGER PRIMARY KEY, text TEXT NOT NULL, terms TEXT NOT NULL);
            CREATE VIRTUAL TABLE search USING fts5 (
                terms, content='', tokenize='unicode61 remove_diacritics 0', detail='{self.detail}'
            );
            CREATE TABLE terms (term TEXT PRIMARY KEY, documents INTEGER NOT NULL) WITHOUT ROWID;
            CREATE TABLE state (facts INTEGER NOT NULL, terms INTEGER NOT NULL);
            INSERT INTO state VALUES (0, 0);
            BEGIN;
            """
        )
        documents: Dict[str, int] = Counter()
        length = 0
        for key, ((_, text), terms) in enumerate(zip(data.facts, data.terms), 1):
            terms = self.indexed(text, terms)
            self.db.execute("INSERT INTO facts VALUES (?, ?, ?)", (key, text, terms))
            self.db.execute("INSERT INTO search (rowid, terms) VALUES (?, ?)", (key, terms))
            documents.update(set(terms.split()))
            length += len(terms.split())
        self.db.executemany("INSERT INTO terms VALUES (?, ?)", sorted(documents.items()))
        self.db.execute("UPDATE state SET facts = ?, terms = ?", (len(data.facts), length))
        self.db.execute("COMMIT")
        self.db.execute("PRAGMA wal_checkpoint(TRUNCATE)")

    def indexed(self, text: str, terms: str) -> str:
        """What the index gets."""
        return terms

    def ways(self) -> Iterator[str]:
        for way in ("NORMAL", "FULL"):
            self.db.execute(f"PRAGMA synchronous = {way}")
            yield way

    def add(self, key: int, entity: str, text: str) -> None:
        terms = self.indexed(text, " ".join(analysed(text)))
        db = self.db
        db.execute("BEGIN IMMEDIATE")
        db.execute("INSERT INTO facts VALUES (?, ?, ?)", (key, text, terms))
        db.execute("INSERT INTO search (rowid, terms) VALUES (?, ?)", (key, terms))
        db.executemany(
            "INSERT INTO terms VALUES (?, 1) ON CONFLICT (term) DO UPDATE SET documents = "
            "documents + 1",
            [(term,) for term in set(terms.split())],
        )
        db.execute("UPDATE state SET facts = facts + 1, terms = terms + ?", (len(terms.split()),))
        db.execute("COMMIT")

    def plans(self) -> Dict[str, Plan]:
        return {
            EXACT: self.exact,
            "FTS5, rare terms": self.rare,
            "FTS5, AND then OR": self.and_or,
        }

    def reader(self) -> Plan:
        self.db_of_reader = self._connect()
        self.readers.append(self.db_of_reader)
        writer = self.db
        plan = list(self.plans().values())[-1]

        def search(query: Query) -> List[int]:
            self.db = self.db_of_reader
            try:
                return plan(query)
            finally:
                self.db = writer

        return search

    def exact(self, query: Query) -> List[int]:
        """Every fact that has any of the terms is ranked."""
        return self.keys(_any(query.terms), "ORDER BY rank", TOP)

    def rare(self, query: Query) -> List[int]:
        """Facts with the rarest terms; ranked by FTS5, the best by all terms."""
        weights, documents = self.weights(query)
        rare, _ = affordable(documents)
        found = self.keys(_any(rare or list(documents)[:1]), "ORDER BY rank", CANDIDATES)
        return self.best(found, weights)

    def and_or(self, query: Query) -> List[int]:
        """Facts with all terms, then as :meth:`rare`."""
        weights, documents = self.weights(query)
        found = self.keys(_all(documents), "", CANDIDATES) if documents else []
        if len(found) < TOP:
            rare, _ = affordable(documents)
            found += self.keys(_any(rare or list(documents)[:1]), "ORDER BY rank", CANDIDATES)
        return self.best(found, weights)

    def keys(self, expression: str, order: str, limit: int) -> List[int]:
        """Keys of the facts that match."""
        if not expression:
            return []
        rows = self.db.execute(
            f"SELECT rowid FROM search WHERE search MATCH ? {order} LIMIT ?", (expression, limit)
        )
        return [row[0] for row in rows.fetchall()]

    def weights(self, query: Query) -> Tuple[Dict[str, float], Dict[str, int]]:
        """The terms' weights, and in how many facts they stand, the rarest first."""
        marks = ", ".join("?" * len(query.terms))
        rows = self.db.execute(
            f"SELECT term, documents FROM terms WHERE term IN ({marks}) ORDER BY documents",
            query.terms,
        )
        documents = dict(rows.fetchall())
        self.facts, self.length = self.db.execute("SELECT facts, terms FROM state").fetchone()
        weights = {term: inverse_frequency(self.facts, n) for term, n in documents.items()}
        return weights, documents

    def best(self, keys: Sequence[int], weights: Mapping[str, float]) -> List[int]:
        """The best of some facts, by all terms."""
        marks = ", ".join("?" * len(keys))
        rows = self.db.execute(f"SELECT key, terms FROM facts WHERE key IN ({marks})", list(keys))
        mean = self.length / max(self.facts, 1)
        scored = [(-bm25(weights, terms.split(), mean), key) for key, terms in rows.fetchall()]
        return [key for _, key in heapq.nsmallest(TOP, scored)]

    def close(self) -> None:
        for db in self.readers:
            db.close()


class Fts5AllWords(Fts5):
    """FTS5 as it comes: the whole text, all words of the utterance."""

    def indexed(self, text: str, terms: str) -> str:
        return " ".join(words(text))

    def plans(self) -> Dict[str, Plan]:
        return {"FTS5, all words": self.all_words}

    def all_words(self, query: Query) -> List[int]:
        """Every fact that has any of the words is ranked."""
        return self.keys(_any(dict.fromkeys(words(query.text))), "ORDER BY rank", TOP)


class Fts5TwoSteps(Fts5):
    """FTS5 as an index of which fact has which term, nothing else; the ranking is here."""

    detail = "none"

    def plans(self) -> Dict[str, Plan]:
        return {"FTS5, two steps": self.two_steps}

    def two_steps(self, query: Query) -> List[int]:
        """The sum of the weights of its terms says which facts are compared."""
        weights, documents = self.weights(query)
        rare, frequent = affordable(documents)
        if not rare:
            return self.best(self.frequent_only(list(documents)), weights)
        sums: Dict[int, float] = {}
        for term in rare:
            for key in self.keys(_any([term]), "", BUDGET):
                sums[key] = sums.get(key, 0.0) + weights[term]
        for term in frequent:
            for key in self.keys(f"({_any(rare)}) AND {_any([term])}", "", BUDGET):
                sums[key] += weights[term]
        return self.best(heapq.nlargest(CANDIDATES, sums, key=sums.__getitem__), weights)

    def frequent_only(self, terms: List[str]) -> List[int]:
        """Facts with all terms; where they are too few, the most frequent ones are let go."""
        found: Dict[int, None] = {}
        while terms and len(found) < TOP:
            found.update(dict.fromkeys(self.keys(_all(terms), "", 4 * CANDIDATES)))
            terms = terms[:-1]
        return list(found)


class Ours(Engine):
    """The package's own."""

    adds = 150

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.base = SQLiteFacts(f"sqlite:///{path}", writable=True)

    def build(self, data: Data) -> None:
        self.base.add(
            Fact(text, id=str(key), entity=entity)
            for key, (entity, text) in enumerate(data.facts, 1)
        )

    def plans(self) -> Dict[str, Plan]:
        return {"OURS": lambda query: _asked_of(self.base, query)}

    def reader(self) -> Plan:
        self.other = SQLiteFacts(f"sqlite:///{self.path}")
        return lambda query: _asked_of(self.other, query)

    def add(self, key: int, entity: str, text: str) -> None:
        self.base.add([Fact(text, id=str(key), entity=entity)])

    def close(self) -> None:
        self.base.close()
        self.other.close()


def _asked_of(base: SQLiteFacts, query: Query) -> List[int]:
    return [int(found.id) for found in base.query(Turn(query.text), TOP)]


class Tantivy(Engine):
    """tantivy: a folder of segments, one writer, readers that reload."""

    adds = 60

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        import tantivy

        self.tantivy = tantivy
        builder = tantivy.SchemaBuilder()
        builder.add_integer_field("key", stored=True, indexed=True, fast=True)
        builder.add_text_field("text", stored=True, tokenizer_name="raw", index_option="basic")
        builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
        self.schema = builder.build()
        path.mkdir()
        self.index = tantivy.Index(self.schema, path=str(path))
        self.index.config_reader("manual", 1)
        self.writer = self.index.writer(heap_size=128_000_000, num_threads=1)

    def build(self, data: Data) -> None:
        for key, ((_, text), terms) in enumerate(zip(data.facts, data.terms), 1):
            self._insert(key, text, terms)
        self.writer.commit()
        self.writer.wait_merging_threads()
        self.writer = self.index.writer(heap_size=15_000_000, num_threads=1)
        self.index.reload()

    def _insert(self, key: int, text: str, terms: str) -> None:
        # the text itself is kept, not searched for
        document = self.tantivy.Document()
        document.add_integer("key", key)
        document.add_text("text", text)
        document.add_text("terms", terms)
        self.writer.add_document(document)

    def plans(self) -> Dict[str, Plan]:
        return {"tantivy": lambda query: self._search(self.index, query)}

    def reader(self) -> Plan:
        index = self.tantivy.Index.open(str(self.path))

        def search(query: Query) -> List[int]:
            index.reload()
            return self._search(index, query)

        return search

    def _search(self, index: Any, query: Query) -> List[int]:
        searcher = index.searcher()
        should = self.tantivy.Occur.Should
        parts = [
            (should, self.tantivy.Query.term_query(self.schema, "terms", term, "freq"))
            for term in query.terms
        ]
        found = searcher.search(self.tantivy.Query.boolean_query(parts), TOP).hits
        return [searcher.doc(address)["key"][0] for _, address in found]

    def add(self, key: int, entity: str, text: str) -> None:
        self._insert(key, text, " ".join(analysed(text)))
        self.writer.commit()

    def close(self) -> None:
        self.writer.wait_merging_threads()


class Bm25s(Engine):
    """bm25s: scores of all facts, computed in advance, in memory."""

    def build(self, data: Data) -> None:
        import bm25s

        self.index = bm25s.BM25(method="lucene", k1=K1, b=B)
        self.index.index([terms.split() for terms in data.terms], show_progress=False)

    def plans(self) -> Dict[str, Plan]:
        return {"bm25s": self._search}

    def _search(self, query: Query) -> List[int]:
        import numpy

        terms = [term for term in query.terms if term in self.index.vocab_dict]
        if not terms:
            return []
        scores = self.index.get_scores(terms)
        best = numpy.argpartition(-scores, TOP)[:TOP]
        return [int(i) + 1 for i in best[numpy.argsort(-scores[best], kind="stable")]]


class TfIdf(Engine):
    """scikit-learn's TF-IDF and a sparse product, in memory."""

    def build(self, data: Data) -> None:
        from sklearn.feature_extraction.text import TfidfVectorizer

        self.vectorizer = TfidfVectorizer(analyzer=str.split)
        self.by_term = self.vectorizer.fit_transform(data.terms).T.tocsr()

    def plans(self) -> Dict[str, Plan]:
        return {"TF-IDF": self._search}

    def _search(self, query: Query) -> List[int]:
        import numpy

        found = self.vectorizer.transform([" ".join(query.terms)]) @ self.by_term
        count = min(TOP, len(found.data))
        best = numpy.argsort(-found.data, kind="stable")[:count]
        return [int(i) + 1 for i in found.indices[best]]


ENGINES: Dict[str, Tuple[Type[Engine], Optional[str]]] = {
    "fts5": (Fts5, None),
    "all-words": (Fts5AllWords, None),
    "two-steps": (Fts5TwoSteps, None),
    "ours": (Ours, None),
    "tantivy": (Tantivy, "tantivy"),
    "bm25s": (Bm25s, "bm25s"),
    "tfidf": (TfIdf, "scikit-learn"),
}


def _any(terms: Sequence[str]) -> str:
    return " OR ".join(f'"{term}"' for term in terms)


def _all(terms: Sequence[str]) -> str:
    return " AND ".join(f'"{term}"' for term in terms)


def affordable(documents: Mapping[str, int]) -> Tuple[List[str], List[str]]:
    """The rarest terms, within the budget of postings, and the others."""
    sums = itertools.accumulate(documents.values())
    count = sum(total <= BUDGET for total in sums)
    return list(documents)[:count], list(documents)[count:]


# -- the measuring -------------------------------------------------------------------------------


def main() -> None:
    """Every size, every engine; figures, table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--sizes", default="1000,10000,100000,1000000", help="numbers of facts")
    parser.add_argument("--out", type=Path, default=Path("bench/knowledge_speed"))
    parser.add_argument("--queries", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--engines", default=",".join(ENGINES), help="fts5 is always there")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    wanted = ["fts5", *(name for name in args.engines.split(",") if name != "fts5")]
    result: Dict[str, Any] = {"about": {**about(), **versions(), "seed": args.seed}, "sizes": {}}
    for size in map(int, args.sizes.split(",")):
        result["sizes"][str(size)] = measure(size, wanted, args)
        (args.out / "results.json").write_text(json.dumps(result, indent=2))
    print(table(result))
    draw(result, args.out / "knowledge_speed.png")


def versions() -> Dict[str, Any]:
    """Of what was measured."""
    found: Dict[str, Any] = {"sqlite": sqlite3.sqlite_version}
    for _, package in ENGINES.values():
        if package is not None:
            found[package] = _version(package)
    return found


def _version(package: str) -> Optional[str]:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None


def measure(size: int, wanted: Sequence[str], args: argparse.Namespace) -> Dict[str, Any]:
    """All engines with so many facts."""
    data = make(size, args.queries, args.seed)
    judge = Judge(data)
    result: Dict[str, Any] = {}
    for name in wanted:
        engine, package = ENGINES[name]
        if package is None or _version(package) is not None:
            result.update(measure_one(engine, args.out / f"{name}.{size}", data, judge))
            gc.collect()
    return result


def measure_one(kind: Type[Engine], path: Path, data: Data, judge: Judge) -> Dict[str, Any]:
    """One engine: build, search by each plan, add."""
    remove(path)
    start = time.perf_counter()
    engine = kind(path)
    engine.build(data)
    built = {"build_s": time.perf_counter() - start, "bytes": engine.size()}
    plans = {}
    for name, plan in engine.plans().items():
        found, times = ask_all(plan, data.queries, name == EXACT)
        if name == EXACT:
            judge.exact = [judge.scores(q, keys) for q, keys in zip(data.queries, found)]
        plans[name] = {"asked": len(found), **quantiles(times, "query"), **judge.judged(found)}
    if kind is Fts5:
        built["frequencies"] = frequencies(engine, data.queries)  # type: ignore[assignment]
    built.update({"adding": adding(engine, len(data.facts))})  # type: ignore[dict-item]
    engine.close()
    remove(path)
    for name, plan_result in plans.items():
        print(f"{len(data.facts)} {name}: {json.dumps({**built, **plan_result})}", flush=True)
    return {name: {**built, **plan_result} for name, plan_result in plans.items()}


def remove(path: Path) -> None:
    """The file or folder, and SQLite's companions."""
    for found in path.parent.glob(f"{path.name}*"):
        shutil.rmtree(found) if found.is_dir() else found.unlink()


def ask_all(
    plan: Plan, queries: Sequence[Query], all_of_them: bool
) -> Tuple[List[List[int]], List[float]]:
    """What is found, and how long each query takes the second time."""
    found, times = [], []
    begun = time.perf_counter()
    for query in queries:
        if not all_of_them and time.perf_counter() - begun > PATIENCE_S:
            break
        plan(query)
        start = time.perf_counter()
        found.append(plan(query))
        times.append(time.perf_counter() - start)
    return found, times


def quantiles(times: Sequence[float], name: str) -> Dict[str, float]:
    """The median, the 99th percentile and the maximum, in ms."""
    ordered = sorted(times)
    return {
        f"{name}_p50_ms": 1000 * ordered[len(ordered) // 2],
        f"{name}_p99_ms": 1000 * ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)],
        f"{name}_max_ms": 1000 * ordered[-1],
    }


def adding(engine: Engine, size: int) -> Dict[str, Dict[str, float]]:
    """One fact at a time, and how long after its commit another open reader has found it."""
    if not engine.adds:
        return {}
    reader = engine.reader()
    key = size
    result = {}
    for way in engine.ways():
        add, visible = [], []
        for _ in range(engine.adds):
            key += 1
            name = f"novel{key}"
            text = f"Blue Harbour Hotel: parking costs {key % 30} pounds a night, with {name}."
            query = Query("new", f"is there {name}?", tuple(analysed(name)))
            reader(query)
            start = time.perf_counter()
            engine.add(key, "Blue Harbour Hotel", text)
            committed = time.perf_counter()
            while key not in reader(query):
                if time.perf_counter() - committed > 5:
                    raise RuntimeError(f"{type(engine).__name__}: the reader never sees it")
            visible.append(time.perf_counter() - committed)
            add.append(committed - start)
        result[way] = {**quantiles(add, "add"), **quantiles(visible, "visible")}
    return result


def frequencies(engine: Any, queries: Sequence[Query]) -> Dict[str, float]:
    """How long it takes to learn how frequent the terms of a query are."""
    db: sqlite3.Connection = engine.db
    db.execute("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab('main', 'search', 'row')")
    result: Dict[str, float] = {}
    for name, source, column in (("table", "terms", "documents"), ("vocab", "vocabulary", "doc")):
        times = []
        for query in queries[:50]:
            start = time.perf_counter()
            for term in query.terms:
                db.execute(f"SELECT {column} FROM {source} WHERE term = ?", (term,)).fetchall()
            times.append(time.perf_counter() - start)
        result.update(quantiles(times, name))
    db.execute("DROP TABLE temp.vocabulary")
    return result


# -- telling -------------------------------------------------------------------------------------


def table(result: Dict[str, Any]) -> str:
    """The figures as Markdown; how much faster than exact FTS5 in brackets."""
    lines = [f"Measured: {json.dumps(result['about'])}", ""]
    for size, rows in result["sizes"].items():
        lines += [
            f"**{int(size):,} facts**",
            "",
            "| | query p50 ms | p99 | times faster, p99 | top 1 | top 5 | score | build s | MB "
            "| add p50 ms | p99 | seen by another p50 ms | p99 |",
            "|---|" + "--:|" * 12,
        ]
        lines += [_row(name, row, rows[EXACT]) for name, row in rows.items()] + [""]
    return "\n".join(lines)


def _row(name: str, row: Dict[str, Any], exact: Dict[str, Any]) -> str:
    times = exact["query_p99_ms"] / row["query_p99_ms"]
    said = (
        f"| {name} | {row['query_p50_ms']:.2f} | {row['query_p99_ms']:.2f} | {times:.1f} "
        f"| {row['top1']:.1%} | {row['top5']:.1%} | {row['score']:.1%} "
        f"| {row['build_s']:.1f} | {row['bytes'] / 1e6:.1f} "
    )
    if not row["adding"]:
        return said + f"| all anew: {1000 * row['build_s']:.0f} | | | |"
    ways = row["adding"]
    return (
        said
        + "".join(
            f"| {' / '.join(f'{way[name]:.2f}' for way in ways.values())} "
            for name in ("add_p50_ms", "add_p99_ms", "visible_p50_ms", "visible_p99_ms")
        )
        + "|"
    )


def draw(result: Dict[str, Any], path: Path) -> None:
    """The time of a query against the number of facts."""
    plt = pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(figsize=(7, 4.5))
    names = dict.fromkeys(name for rows in result["sizes"].values() for name in rows)
    for name in names:
        points = [
            (int(size), rows[name]["query_p99_ms"])
            for size, rows in result["sizes"].items()
            if name in rows
        ]
        axes.plot(*zip(*points), marker="o", label=name)
    axes.axhline(10, color="gray", linestyle=":", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="facts", ylabel="query, 99th percentile, ms")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
