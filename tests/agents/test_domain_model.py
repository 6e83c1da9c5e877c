"""agent:MODEL, a specialised model as a source of knowledge."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.agents.kb_augmented.domain_model import DomainModel
from parlai_cu.errors import KnowledgeError, ModelFileError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Turn
from tests.conftest import BASES, NEW

GENERATOR = "transformer/generator"


@pytest.fixture
def expert(train: Callable[..., Any], data: Path, tmp_path: Path) -> str:
    """A tiny model that has learnt its sentences."""
    path = str(tmp_path / "expert" / "model")
    train(
        model=GENERATOR,
        model_file=path,
        jsonfile_datapath=str(data / "new.jsonl"),
        max_train_steps=150,
        learningrate=5e-3,
        seed=1,
        **BASES[GENERATOR],
    )
    return path


@pytest.mark.slow
def test_its_reply_is_the_fact(expert: str) -> None:
    """With the probability of its words as the score, and the weights' digest as the snapshot."""
    model = open_knowledge_base(f"agent:{expert}")
    (found,) = model.query(Turn(NEW[0]))
    assert found.text == " ".join(reversed(NEW[0].split()))
    assert 0.5 < found.score <= 1 and found.source == f"agent:{expert}"
    assert found.snapshot == model.snapshot_id() and model.get(found.id) == found
    (unsure,) = model.query(Turn("door taxi shop"))
    assert unsure.score < found.score
    assert model.stats()["calls"] == 2 and model.stats()["ms"] > 0
    with pytest.raises(KnowledgeError, match="only read"):
        model.add([])


def test_a_model_that_fails_is_named(
    deployed: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The conversation can go on without it; and it is asked again."""
    model = DomainModel(f"agent:{deployed(GENERATOR)}")

    def fail(turn: Turn) -> Any:
        raise RuntimeError("out of memory")

    with monkeypatch.context() as patch:
        patch.setattr(model, "answer", fail)
        with pytest.raises(KnowledgeError, match="agent:.*: RuntimeError"):
            model.query(Turn("hello"))
    model.query(Turn("hello there"))
    assert model.stats()["failures"] == 1 and model.stats()["calls"] == 2


def test_a_model_that_is_not_there(tmp_path: Path) -> None:
    """Refused at the start."""
    with pytest.raises(ModelFileError, match="no model file"):
        DomainModel(f"agent:{tmp_path}/none")
