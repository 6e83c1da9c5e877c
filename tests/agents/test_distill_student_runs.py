"""distill_student: with a cache, interrupted, in several processes, from another dictionary."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.agents.distill_student import DistillStudentAgent
from parlai_cu.errors import UsageError
from tests.conftest import ctrl_c, states

GENERATOR = "transformer/generator"
SMALLER = dict(n_layers=1, ffn_size=16)


# -- the cache -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["topk", "sample"])
def test_with_a_warm_cache_the_teacher_is_not_asked(
    method: str,
    distil: Callable[..., str],
    mixed: list[dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs once for each example; the second run gives the same student again."""
    from parlai_cu.agents.teacher import Teacher

    asked: list[int] = []
    stock = Teacher.logits

    def logits(self: Any, batch: Any, candidates: Any = None) -> torch.Tensor:
        asked.append(batch.batchsize)
        return stock(self, batch, candidates)

    monkeypatch.setattr(Teacher, "logits", logits)
    settings = dict(
        teacher_cache=str(tmp_path / "cache"), teacher_cache_method=method, max_train_steps=30
    )
    first = distil(seed=1, model_file=str(tmp_path / "one" / "model"), **settings)
    seen = [
        observation["full_text"]
        for step in mixed
        for observation, follows in zip(step["batch"].observations, step["follows"])
        if follows == 0
    ]
    assert len(set(seen)) < len(seen) / 2
    # the second of two equal examples in one batch is asked about with the first
    assert len(set(seen)) <= sum(asked) <= len(set(seen)) + 3
    asked.clear()
    second = distil(seed=1, model_file=str(tmp_path / "two" / "model"), **settings)
    assert not asked
    assert os.path.isfile(first) and os.path.isfile(second)


def test_all_places_give_the_student_of_no_cache(
    distil: Callable[..., str], tmp_path: Path
) -> None:
    """With as many places as tokens, only float16's rounding is between the two."""
    settings = dict(seed=1, max_train_steps=5, optimizer="sgd", learningrate=0.1)
    plain = distil(model_file=str(tmp_path / "plain" / "model"), **settings)
    cached = distil(
        teacher_cache=str(tmp_path / "cache"),
        teacher_cache_k=10_000,
        model_file=str(tmp_path / "cached" / "model"),
        **settings,
    )
    one, other = states(plain)["model"], states(cached)["model"]
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=0, atol=2e-4)


# -- interruption ----------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options",
    [{}, {"distill_on_policy": 0.5}, {"distill_hidden_weight": 1.0, "embedding_size": 8}],
    ids=["plain", "on policy", "projections"],
)
def test_resume_after_interrupt_is_exact(
    options: dict[str, Any],
    distil: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C, then the same command: the student of an uninterrupted run."""
    settings = dict(options, max_train_steps=8, seed=3, dropout=0.1)
    whole = distil(model_file=str(tmp_path / "whole" / "model"), **settings)
    halves = str(tmp_path / "halves" / "model")
    ctrl_c(monkeypatch, DistillStudentAgent, at=5)
    with pytest.raises(SystemExit):
        distil(model_file=halves, **settings)
    assert not os.path.exists(halves) and os.path.exists(halves + ".checkpoint")
    distil(model_file=halves, **settings)
    one, other = states(whole)["model"], states(halves)["model"]
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-5, atol=1e-6)


def test_resume_with_another_teacher_is_refused(
    distil: Callable[..., str], train: Callable[..., Any], tmp_path: Path
) -> None:
    """Both are named."""
    from tests.conftest import BASES

    distil()
    other = str(tmp_path / "other" / "model")
    train(model=GENERATOR, model_file=other, max_train_steps=1, **BASES[GENERATOR])
    with pytest.raises(UsageError, match="was begun with the teacher .*deployed.* which .*other"):
        distil(teacher_model=other)


# -- another dictionary ----------------------------------------------------------------------


@pytest.fixture
def other_dictionary(train: Callable[..., Any], data: Path, tmp_path: Path) -> str:
    """The dictionary of a model that saw other words."""
    from tests.conftest import BASES

    path = str(tmp_path / "other" / "model")
    train(
        model=GENERATOR,
        model_file=path,
        jsonfile_datapath=str(data / "new.jsonl"),
        dict_tokenizer="space",
        **BASES[GENERATOR],
    )
    return path + ".dict"


def test_another_dictionary_is_refused_or_bridged_by_replies(
    other_dictionary: str,
    distil: Callable[..., str],
    deployed: Callable[[str], str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Both are named with their sizes; on request the teacher's decoded replies are learnt."""
    with pytest.raises(
        UsageError, match=r"has the dictionary .*model.dict \(\d+ tokens.* student "
    ):
        distil(dict_file=other_dictionary, dict_tokenizer="space")
    labels: list[Any] = []
    stock = DistillStudentAgent._replace_labels

    def replace_labels(self: Any, batch: Any) -> None:
        stock(self, batch)
        for i, follows in enumerate(self._followed(batch)):
            told = self._v2t(batch.label_vec[i])
            labels.append((follows, batch.observations[i], told))

    monkeypatch.setattr(DistillStudentAgent, "_replace_labels", replace_labels)
    student = distil(
        dict_file=other_dictionary, dict_tokenizer="space", distill_across_vocabularies=True
    )
    assert isinstance(
        create_agent_from_model_file(student, {"no_cuda": True}).respond("good night"), str
    )
    teacher = create_agent_from_model_file(deployed(GENERATOR), {"no_cuda": True})
    followed = [(obs, told) for follows, obs, told in labels if follows == 0]
    assert followed and len(followed) < len(labels)
    for obs, told in followed[:4]:
        # a teacher that says nothing leaves the gold label
        expected = teacher.respond(obs["full_text"]) or obs["labels"][0]
        assert told == student_text(expected, other_dictionary)
    for follows, obs, told in labels:
        if follows is None:
            assert told == student_text(obs["labels"][0], other_dictionary)


def student_text(text: str, dictionary: str) -> str:
    """A text as the student's dictionary can say it."""
    known = {line.split("\t")[0] for line in Path(dictionary).read_text().splitlines()}
    return " ".join(word if word in known else "__unk__" for word in text.split())


# -- several processes -----------------------------------------------------------------------


@pytest.mark.slow
def test_two_processes(deployed: Callable[[str], str], both: str, tmp_path: Path) -> None:
    """multiprocessing_train with projections, which no wrapper synchronises, and a cache shared."""
    student = str(tmp_path / "model")
    command = [sys.executable, "-m", "parlai", "multiprocessing_train", "-m", "distill_student"]
    command += ["--distributed-world-size", "2", "--teacher-model", deployed(GENERATOR), "-t", both]
    command += ["--embedding-size", "8", "--distill-hidden-weight", "1", "-mf", student]
    command += ["-bs", "4", "-eps", "1", "--no-cuda"]
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    done = subprocess.run(command, capture_output=True, text=True, env=environment, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    reply = create_agent_from_model_file(student, {"no_cuda": True}).respond("good night")
    assert isinstance(reply, str)
