"""distill_student over every kind of teacher and student."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.agents.distill_student import DistillStudentAgent
from parlai_cu.errors import UsageError
from tests.conftest import BASES, TINY_BART

# what makes the student of each kind smaller
SMALLER: dict[str, dict[str, Any]] = {
    "seq2seq": dict(hiddensize=8),
    "hred": dict(hiddensize=8),
    "memnn": dict(embedding_size=8),
}
OF_THE_DATA = ("task", "candidates", "eval_candidates", "classes", "image_mode")


@pytest.fixture
def distil(
    deployed: Callable[[str], str], train: Callable[..., Any], tmp_path: Path
) -> Callable[..., str]:
    """``distil(teacher, **options)``: a tiny student of a tiny teacher, after a few steps."""

    def run(teacher: str, **options: Any) -> str:
        settings = {k: v for k, v in BASES[teacher].items() if k in OF_THE_DATA}
        settings.update(SMALLER.get(teacher, dict(n_layers=1, ffn_size=16)))
        settings.update(options)
        model_file = str(tmp_path / "student" / "model")
        train(
            model="distill_student",
            teacher_model=deployed(teacher),
            model_file=model_file,
            **{"seed": 0, **settings},
        )
        return model_file

    return run


@pytest.fixture
def soft(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The soft-label loss of each step."""
    from parlai_cu.agents.soft_label_loss import SoftRows

    seen: list[float] = []
    stock = SoftRows.losses

    def losses(self: Any, *args: Any) -> torch.Tensor:
        values = stock(self, *args)
        assert values.dim() == 1 and values.isfinite().all()
        seen.append(values.mean().item())
        return values

    monkeypatch.setattr(SoftRows, "losses", losses)
    return seen


@pytest.mark.slow
@pytest.mark.parametrize("agent", BASES)
def test_every_base(agent: str, distil: Callable[..., str], soft: list[float]) -> None:
    """The student follows its teacher, is an ordinary model of its agent, and loads by itself."""
    student = distil(agent, distill_weight=1.0, student_init="random", max_train_steps=40)
    assert len(soft) == 40
    assert sum(soft[-10:]) < 0.9 * sum(soft[:10])
    loaded = create_agent_from_model_file(student, {"no_cuda": True})
    assert loaded.opt["model"] == agent and not isinstance(loaded, DistillStudentAgent)


@pytest.mark.slow
def test_bart(train: Callable[..., Any], tmp_path: Path) -> None:
    """A smaller BART starts from its teacher, not from the published model, which is downloaded."""
    start, teacher, student = (
        str(tmp_path / name / "model") for name in ("start", "teacher", "student")
    )
    train(model="transformer/generator", model_file=start, **TINY_BART)
    train(model="bart", init_model=start, model_file=teacher, **TINY_BART)
    sizes = dict(n_encoder_layers=1, n_decoder_layers=1)
    train(model="distill_student", teacher_model=teacher, model_file=student, **sizes)
    loaded = create_agent_from_model_file(student, {"no_cuda": True})
    assert loaded.opt["model"] == "bart" and "converting" not in loaded.opt
    assert len(loaded.model.encoder.layers) == len(loaded.model.decoder.layers) == 1


@pytest.mark.slow
def test_ranker_with_cosine(distil: Callable[..., str]) -> None:
    """--distill-loss cosine, for a bi-encoder."""
    assert os.path.isfile(distil("transformer/biencoder", distill_loss="cosine"))


@pytest.mark.slow
def test_cross_encoder_teaches_bi_encoder(distil: Callable[..., str], soft: list[float]) -> None:
    """A slow, good ranker makes a fast one, over the candidates of the data."""
    student = distil(
        "transformer/crossencoder",
        student_agent="transformer/biencoder",
        embedding_size=16,
        n_heads=2,
        candidates="inline",
        distill_weight=1.0,
        max_train_steps=40,
    )
    assert sum(soft[-5:]) < sum(soft[:5])
    opt = create_agent_from_model_file(student, {"no_cuda": True}).opt
    assert opt["model"] == "transformer/biencoder"


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["transformer/classifier", "transformer/crossencoder", "seq2seq"])
def test_cache(agent: str, distil: Callable[..., str], tmp_path: Path) -> None:
    """Classifiers, rankers with candidates of their own and recurrent generators are cached too."""
    distil(agent, teacher_cache=str(tmp_path / "cache"), teacher_cache_k=8, max_train_steps=20)
    assert list((tmp_path / "cache").glob("*/*.values"))


def test_batch_candidates_cannot_be_cached(distil: Callable[..., str], tmp_path: Path) -> None:
    """The scores depend on who else is in the batch; said before any work."""
    with pytest.raises(UsageError, match="--teacher-cache with --candidates batch"):
        distil("transformer/biencoder", teacher_cache=str(tmp_path / "cache"))
    with pytest.raises(UsageError, match="reads more than the dialogue's text"):
        distil("hred", teacher_cache=str(tmp_path / "cache"))


def test_label_sets(distil: Callable[..., str]) -> None:
    """Another label set is refused with what differs; another order is put right."""
    with pytest.raises(UsageError, match=r"only the student has \['two'\], only .* \['zero'\]"):
        distil("transformer/classifier", classes=["one", "two"])


@pytest.mark.slow
def test_classes_in_another_order(
    distil: Callable[..., str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each of the student's columns learns from the teacher's column of the same class."""
    from parlai_cu.agents.soft_label_loss import SoftRows

    seen: list[Any] = []
    stock = SoftRows.teacher_logits

    def teacher_logits(self: Any, batch: Any, *args: Any) -> torch.Tensor:
        logits = stock(self, batch, *args)
        seen.append((self.teacher.logits(batch), self.teacher.agent.class_dict, logits))
        return logits

    monkeypatch.setattr(SoftRows, "teacher_logits", teacher_logits)
    distil("transformer/classifier", classes=["zero", "one"], max_train_steps=2)
    for theirs, columns, ours in seen:
        expected = theirs[:, [columns["zero"], columns["one"]]]
        torch.testing.assert_close(ours, expected)
        assert columns == {"one": 0, "zero": 1}


@pytest.mark.slow
def test_another_agent_with_the_same_dictionary(
    distil: Callable[..., str], soft: list[float]
) -> None:
    """A recurrent student of a transformer."""
    student = distil(
        "transformer/generator",
        student_agent="seq2seq",
        n_layers=None,
        ffn_size=None,
        embeddingsize=16,
        hiddensize=16,
        numlayers=1,
        distill_weight=1.0,
        max_train_steps=40,
    )
    assert sum(soft[-5:]) < sum(soft[:5])
    agent = create_agent_from_model_file(student, {"no_cuda": True})
    assert agent.opt["model"] == "seq2seq" and isinstance(agent.respond("thank you"), str)


@pytest.mark.slow
@pytest.mark.parametrize("lora", [0, 2], ids=["frozen", "lora"])
def test_a_candidate_of_ours_as_teacher(
    lora: int,
    deployed: Callable[[str], str],
    train: Callable[..., Any],
    distil: Callable[..., str],
    data: Path,
    tmp_path: Path,
) -> None:
    """What frozen_layer made teaches as its base agent."""
    tuned = str(tmp_path / "tuned" / "model")
    train(
        model="frozen_layer",
        init_model=deployed("transformer/generator"),
        model_file=tuned,
        tune="@ffn",
        lora_rank=lora,
        jsonfile_datapath=str(data / "new.jsonl"),
    )
    student = distil("transformer/generator", update_teacher=tuned)
    assert create_agent_from_model_file(student, {"no_cuda": True}).opt["model"] != "frozen_layer"


@pytest.mark.slow
@pytest.mark.parametrize("agent", ["hugging_face/gpt2", "hugging_face/t5"])
def test_hugging_face(
    agent: str, train: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Teachers whose dictionary is a tokenizer of their own."""
    pytest.importorskip("transformers", reason="needs transformers: parlai-cu[huggingface]")
    from tests.compat import tiny_checkpoints

    tiny_checkpoints.make_gpt2(tmp_path / "gpt2")
    tiny_checkpoints.make_t5(tmp_path / "t5-small")
    monkeypatch.chdir(tmp_path)
    name = {"hugging_face/gpt2": {"model_name": "gpt2"}}.get(agent, {"t5_model_arch": "t5-small"})
    teacher, student = str(tmp_path / "teacher" / "model"), str(tmp_path / "student" / "model")
    sizes = dict(text_truncate=32, label_truncate=16)
    train(model=agent, model_file=teacher, **name, **sizes)
    train(model="distill_student", teacher_model=teacher, model_file=student)
    loaded = create_agent_from_model_file(student, {"no_cuda": True})
    assert loaded.opt["model"] == agent and isinstance(loaded.respond("open the door"), str)
