"""distill_student: the whole command, what the student learns from whom, and its refusals."""

import json
import os
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any, Callable, Dict, List

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.agents.batches import TaskRoles
from parlai_cu.agents.distill_student import DistillStudentAgent, flags
from parlai_cu.errors import ModelFileError, UsageError
from tests.conftest import states
from tests.scripts.test_export_model import WITHOUT_US

GENERATOR = "transformer/generator"
SMALLER = dict(n_layers=1, ffn_size=16)


@pytest.fixture
def both(data: Path) -> str:
    """``-t OLD,UPDATE``."""
    return ",".join(f"jsonfile:jsonfile_datapath={data / name}.jsonl" for name in ("old", "new"))


@pytest.fixture
def distil(
    deployed: Callable[[str], str], train: Callable[..., Any], both: str, tmp_path: Path
) -> Callable[..., str]:
    """``distil(**options)``: the main command with a tiny teacher; the student's path."""

    def run(**options: Any) -> str:
        settings: Dict[str, Any] = dict(
            model="distill_student",
            teacher_model=deployed(GENERATOR),
            model_file=str(tmp_path / "student" / "model"),
            task=both,
            **SMALLER,
        )
        settings.update(options)
        train(**settings)
        return settings["model_file"]

    return run


@pytest.fixture
def warned(monkeypatch: pytest.MonkeyPatch) -> List[str]:
    """What ParlAI's log was warned of."""
    import parlai.utils.logging

    told: List[str] = []
    monkeypatch.setattr(parlai.utils.logging, "warning", told.append)
    return told


@pytest.fixture
def mixed(monkeypatch: pytest.MonkeyPatch) -> List[Dict[str, Any]]:
    """What each step made of its batch: roles, losses and the mixture."""
    seen: List[Dict[str, Any]] = []
    stock = DistillStudentAgent.whole_loss

    def whole_loss(self: Any, gold: torch.Tensor) -> torch.Tensor:
        loss = stock(self, gold)
        seen.append(
            dict(
                follows=self._followed(self.batch),
                gold=self.recorder.losses.detach().clone(),
                loss=loss.detach().clone(),
                texts=[o["text"] for o in self.batch.observations],
                batch=self.batch,
                scores=self.recorder.scores.detach().clone(),
                position=self.recorder.position,
                agent=self,
            )
        )
        return loss

    monkeypatch.setattr(DistillStudentAgent, "whole_loss", whole_loss)
    return seen


# -- what it makes ---------------------------------------------------------------------------


def test_the_student_is_an_ordinary_model(
    distil: Callable[..., str], deployed: Callable[[str], str]
) -> None:
    """Its .opt names its own agent and nothing of ours; sizes not given are the teacher's."""
    before = Path(deployed(GENERATOR)).read_bytes()
    student = distil()
    opt = json.loads(Path(student + ".opt").read_text())
    assert opt["model"] == GENERATOR
    ours = flags.our_options() | {"base_agent"}
    assert {"teacher_model", "distill_weight", "student_agent"} < ours
    assert not ours & set(opt)
    assert (opt["n_layers"], opt["ffn_size"], opt["embedding_size"], opt["n_heads"]) == (
        1,
        16,
        16,
        2,
    )
    assert opt["dict_file"] == student + ".dict"
    agent = create_agent_from_model_file(student, {"no_cuda": True})
    assert not isinstance(agent, DistillStudentAgent)
    assert len(agent.model.encoder.layers) == 1 and isinstance(agent.respond("thank you"), str)
    assert Path(deployed(GENERATOR)).read_bytes() == before


@pytest.mark.slow
def test_a_parlai_without_us_serves_it(distil: Callable[..., str], tmp_path: Path) -> None:
    """Where parlai_cu cannot be imported it loads and answers."""
    command = [sys.executable, "-c", WITHOUT_US, distil()]
    done = subprocess.run(command, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-2000:]
    assert done.stdout.split("\n")[-2].startswith("TransformerGeneratorAgent '")


def test_it_learns_from_the_teacher_and_the_update(
    distil: Callable[..., str],
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    data: Path,
) -> None:
    """Better than its start on the old data, and than the teacher on the update."""
    from parlai.scripts.eval_model import EvalModel

    teacher = str(data / "good_teacher" / "model")
    if not os.path.exists(teacher):
        from tests.conftest import BASES

        train(model=GENERATOR, model_file=teacher, max_train_steps=60, **BASES[GENERATOR])

    def perplexity(model_file: str, corpus: str) -> float:
        report = EvalModel.main(
            task="jsonfile",
            jsonfile_datapath=str(data / f"{corpus}.jsonl"),
            model_file=model_file,
            skip_generation=True,
            loglevel="error",
        )
        return float(report["ppl"])

    early = perplexity(distil(teacher_model=teacher, max_train_steps=1), "old")
    student = distil(
        teacher_model=teacher, max_train_steps=60, model_file=str(data / "s" / "model")
    )
    assert perplexity(student, "old") < 0.6 * early
    assert perplexity(student, "new") < 0.6 * early


def test_other_sizes_start_as_random(distil: Callable[..., str]) -> None:
    """A narrower student, and --student-init random."""
    narrow = distil(embedding_size=8, max_train_steps=1)
    assert states(narrow)["model"]["embeddings.weight"].shape[1] == 8


def test_student_init(
    distil: Callable[..., str], deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """Before it learns, the student is its teacher's layers, or not, or another model."""
    teacher = states(deployed(GENERATOR))["model"]
    name = "decoder.layers.0.self_attention.q_lin.weight"

    def start(folder: str, **options: Any) -> torch.Tensor:
        path = str(tmp_path / folder / "model")
        return states(distil(model_file=path, learningrate=0.0, **options))["model"][name]

    assert torch.equal(start("layers"), teacher[name])
    assert not torch.equal(start("random", student_init="random"), teacher[name])
    other = str(tmp_path / "layers" / "model")
    assert torch.equal(start("path", student_init=other), states(other)["model"][name])


# -- who follows whom ------------------------------------------------------------------------


def test_old_data_follows_the_teacher_and_the_update_the_gold_labels(
    distil: Callable[..., str], mixed: List[Dict[str, Any]], data: Path
) -> None:
    """Every step's mixture is what plain formulas give, over tokens that are no padding."""
    import torch.nn.functional as F

    distil(distill_weight=0.7, distill_temperature=2.0, original_weight=3.0, max_train_steps=6)
    new = (data / "new.jsonl").read_text()
    roles = set()
    for step in mixed:
        labels, size = step["batch"].label_vec, len(step["follows"])
        teacher = step["agent"].teachers[0].agent
        with torch.no_grad():
            theirs, *_ = teacher.model(*teacher._model_input(step["batch"]), ys=labels)
        total, tokens = 0.0, 0
        for i in range(size):
            for position, token in enumerate(labels[i].tolist()):
                if token == teacher.NULL_IDX:
                    continue
                # what is no padding stands in order
                row = step["scores"][step["position"][i * labels.size(1) + position]]
                gold = F.cross_entropy(row, labels[i, position]).item()
                soft = (
                    4
                    * F.kl_div(
                        F.log_softmax(row / 2, -1),
                        F.softmax(theirs[i, position] / 2, -1),
                        reduction="sum",
                    ).item()
                )
                followed = step["follows"][i] == 0
                total += 3.0 * (0.7 * soft + 0.3 * gold) if followed else gold
                tokens += 1
            roles.add(step["follows"][i])
            if step["follows"][i] == 0 and step["texts"][i] not in new:
                roles.add("only old")
        assert step["loss"].item() == pytest.approx(total / tokens, rel=1e-4)
    assert roles == {0, None, "only old"}


def test_a_second_teacher_for_the_update(
    distil: Callable[..., str],
    deployed: Callable[[str], str],
    mixed: List[Dict[str, Any]],
    tmp_path: Path,
) -> None:
    """--update-teacher takes the update's examples, --teacher-model the old ones."""
    other = shutil.copytree(Path(deployed(GENERATOR)).parent, tmp_path / "tuned") / "model"
    distil(update_teacher=str(other), max_train_steps=4)
    assert {number for step in mixed for number in step["follows"]} == {0, 1}


def test_which_tasks_are_the_update() -> None:
    """The last of several, what is named, or none; a wrong name is told with the nearest."""
    assert TaskRoles(["a", "b", "c"], None).update == ["c"]
    assert TaskRoles(["a"], None).original == ["a"]
    assert TaskRoles(["a", "b"], "none").original == ["a", "b"]
    assert TaskRoles(["a", "b", "c"], "a,c").original == ["b"]
    with pytest.raises(UsageError, match="--update-task telekom: .* nearest: telecom"):
        TaskRoles(["sgd", "telecom"], "telekom")
    roles = TaskRoles(["a", "b"], None)
    roles.name_teachers(["id of a", "id of b"])
    assert [roles.is_update({"id": f"id of {name}"}) for name in "ab"] == [False, True]
    with pytest.raises(UsageError, match="from 'x', none of the tasks"):
        roles.is_update({"id": "x"})


def test_without_original_data_it_says_what_will_happen(
    distil: Callable[..., str], warned: List[str], data: Path
) -> None:
    """The student would forget; pseudo-examples are the way."""
    new = f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}"
    distil(task=new, update_task=new)
    text = " ".join(warned)
    assert "nothing follows the teacher" in text and "pseudo" in text and "self_chat" in text


def test_a_student_larger_than_its_teacher(distil: Callable[..., str], warned: List[str]) -> None:
    """Is a warning, with both sizes."""
    distil(n_layers=3, ffn_size=64)
    assert any("student is larger than the teacher" in text for text in warned)


# -- options ---------------------------------------------------------------------------------


def test_hidden_states_and_attention(
    distil: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are matched, padding aside, and no projection reaches the saved student."""
    plain = distil(embedding_size=8, max_train_steps=2, model_file=str(tmp_path / "plain" / "m"))
    seen: List[float] = []
    stock = DistillStudentAgent._matching_loss

    def matching_loss(self: Any, *args: Any) -> torch.Tensor:
        loss = stock(self, *args)
        seen.append(loss.item())
        return loss

    monkeypatch.setattr(DistillStudentAgent, "_matching_loss", matching_loss)
    student = distil(
        embedding_size=8,
        max_train_steps=30,
        distill_hidden_weight=1.0,
        distill_attention_weight=1.0,
        optimizer="adam",
    )
    assert all(value > 0 for value in seen)
    assert sum(seen[-5:]) < 0.8 * sum(seen[:5])
    one, other = states(plain)["model"], states(student)["model"]
    assert {name: t.shape for name, t in one.items()} == {
        name: t.shape for name, t in other.items()
    }
    assert "optimizer" not in states(student) and "projections" not in str(states(student).keys())


def test_on_policy(
    distil: Callable[..., str], mixed: List[Dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher scores what the student drew: labels' format, padding aside."""
    from parlai_cu.agents.distill_student import distill_student

    drawn: List[Any] = []
    stock = distill_student.sample_replies

    def sample_replies(agent: Any, batch: Any) -> torch.Tensor:
        before = dict(agent.opt)
        replies = stock(agent, batch)
        assert dict(agent.opt) == before and agent.model.training
        drawn.append((replies, batch.label_vec, agent))
        return replies

    monkeypatch.setattr(distill_student, "sample_replies", sample_replies)
    distil(distill_on_policy=0.5, max_train_steps=12)
    assert 0 < len(drawn) < 12, "not about half of the batches"
    for replies, labels, agent in drawn:
        assert replies.size(0) == labels.size(0) and replies.size(1) <= 32
        assert not (replies == agent.START_IDX).any()
        for reply in replies.tolist():
            ends = reply.index(agent.END_IDX) if agent.END_IDX in reply else len(reply)
            assert all(token == agent.NULL_IDX for token in reply[ends + 1 :])
    assert len({tuple(replies[0].tolist()) for replies, _, _ in drawn}) > 1
    assert all(step["loss"].isfinite() for step in mixed)


@pytest.mark.parametrize("loss", ["forward_kl", "reverse_kl", "jensen_shannon"])
def test_every_divergence_trains(loss: str, distil: Callable[..., str]) -> None:
    """By its name on the command line."""
    assert os.path.isfile(distil(distill_loss=loss))


@pytest.mark.parametrize("cached", [False, True], ids=["no cache", "cache"])
@pytest.mark.parametrize("agent", [GENERATOR, "seq2seq"])
def test_chunked_gives_the_same_student(
    agent: str,
    cached: bool,
    distil: Callable[..., str],
    deployed: Callable[[str], str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Logits of a few rows at a time are another way to the same weights and metrics."""
    from parlai_cu.distillation import chunked

    rows: List[int] = []
    stock = chunked.rows_at_once
    monkeypatch.setattr(
        chunked, "rows_at_once", lambda *args: rows.append(1) or stock(args[0], 200)
    )
    sizes = dict(n_layers=None, ffn_size=None, hiddensize=8) if agent == "seq2seq" else {}
    found = []
    for name in (False, True):
        path = str(tmp_path / f"{agent.split('/')[0]}-{name}" / "model")
        settings: Dict[str, Any] = dict(
            teacher_model=deployed(agent),
            distill_chunked=name,
            model_file=path,
            seed=1,
            max_train_steps=5,
            optimizer="sgd",
            learningrate=0.1,
            log_every_n_steps=1,
            dropout=0.0,  # the output layer of seq2seq has it too: drawn for other shapes
            **sizes,
        )
        if cached:
            settings["teacher_cache"] = str(tmp_path / "cache")
        distil(**settings)
        reports = json.loads(Path(path + ".trainstats").read_text())["train_reports"]
        metrics = [(r["ppl"], r["token_acc"], r["distill_loss"]) for r in reports]
        found.append((states(path)["model"], metrics))
        assert bool(rows) == name
    (one, metrics), (other, others) = found
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(metrics, others):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)


def test_skipping_padding_gives_the_same_student(
    distil: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The output layer on tokens alone is another way to ParlAI's own loss and metrics."""
    from parlai_cu.agents.distill_student import distill_student

    found = []
    for name in ("skipped", "stock"):
        if name == "stock":
            monkeypatch.setattr(distill_student, "can_skip_padding", lambda agent: False)
        path = distil(
            model_file=str(tmp_path / name / "model"),
            seed=1,
            max_train_steps=5,
            optimizer="sgd",
            learningrate=0.1,
            log_every_n_steps=1,
            distill_temperature=2.0,
        )
        reports = json.loads(Path(path + ".trainstats").read_text())["train_reports"]
        kept = ("loss", "ppl", "token_acc", "token_em", "distill_loss")
        found.append((states(path)["model"], [[r[m] for m in kept] for r in reports]))
    (one, metrics), (other, others) = found
    for name in one:
        torch.testing.assert_close(one[name], other[name], rtol=1e-4, atol=1e-5)
    for ours, theirs in zip(metrics, others):
        assert ours == pytest.approx(theirs, rel=1e-3, abs=1e-6)


# -- the cache -------------------------------------------------------------------------------


@pytest.mark.parametrize("method", ["topk", "sample"])
def test_with_a_warm_cache_the_teacher_is_not_asked(
    method: str,
    distil: Callable[..., str],
    mixed: List[Dict[str, Any]],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """It runs once for each example; the second run gives the same student again."""
    from parlai_cu.agents.teacher import Teacher

    asked: List[int] = []
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
    options: Dict[str, Any],
    distil: Callable[..., str],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Ctrl-C, then the same command: the student of an uninterrupted run."""
    settings = dict(options, max_train_steps=8, seed=3, dropout=0.1)
    whole = distil(model_file=str(tmp_path / "whole" / "model"), **settings)
    stock = DistillStudentAgent.backward
    calls: List[int] = []

    def backward(self: Any, loss: torch.Tensor, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        stock(self, loss, **kwargs)

    halves = str(tmp_path / "halves" / "model")
    monkeypatch.setattr(DistillStudentAgent, "backward", backward)
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
    labels: List[Any] = []
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


# -- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"distill_temperature": 0}, "--distill-temperature 0.0: expected a number above 0"),
        ({"distill_weight": 1.5}, "--distill-weight 1.5: expected between 0 and 1"),
        ({"original_weight": 0}, "--original-weight 0.0: expected more than 0"),
        ({"distill_on_policy": -1}, "--distill-on-policy -1.0: expected between 0 and 1"),
        ({"distill_loss": "reverse-kl"}, "--distill-loss reverse-kl: .* nearest: reverse_kl"),
        ({"distill_loss": "cosine"}, "compares scores of candidates; not for generators"),
        ({"distill_hidden_weight": -1}, "--distill-hidden-weight -1.0: expected 0"),
        ({"teacher_cache_method": "top"}, "--teacher-cache-method top: .* nearest: topk"),
        ({"teacher_cache_k": 0}, "--teacher-cache-k 0: expected more than 0"),
        (
            {"teacher_cache": "x", "distill_hidden_weight": 1.0},
            "--teacher-cache keeps distributions, not hidden states",
        ),
        (
            {"teacher_cache": "x", "teacher_cache_method": "sample", "distill_loss": "reverse_kl"},
            "sample is unbiased for forward_kl only",
        ),
        (
            {"distill_chunked": True, "distill_on_policy": 0.5},
            "--distill-chunked goes neither with --distill-on-policy",
        ),
        (
            {"distill_hidden_weight": 1.0, "distill_on_policy": 0.5},
            "--distill-on-policy scores other replies than those whose hidden states",
        ),
        ({"embedding_size": 15}, "--embedding-size 15 is no multiple of --n-heads 2"),
        ({"student_agent": "transformer/classifier", "classes": ["a"]}, "the student a classifier"),
        ({"student_agent": "seq2sec"}, "no such agent .* nearest: seq2seq"),
        ({"student_agent": "seq2seq", "distill_hidden_weight": 1.0}, "the student has none"),
        ({"update_task": "old"}, "--update-task old: expected some of what -t names"),
    ],
)
def test_refusals(options: Dict[str, Any], message: str, distil: Callable[..., str]) -> None:
    """Each mistake is refused before any work, with what was found and expected."""
    if "student_agent" in options:
        options = {**options, "n_layers": None, "ffn_size": None}
    with pytest.raises(UsageError, match=message):
        distil(**options)


def test_missing_and_damaged_teacher(
    distil: Callable[..., str], deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """The nearest file is named; damage is told with the size found."""
    with pytest.raises(ModelFileError, match="--teacher-model .*modle: no model file .*: model"):
        distil(teacher_model=deployed(GENERATOR)[:-2] + "le")
    broken = shutil.copytree(Path(deployed(GENERATOR)).parent, tmp_path / "broken") / "model"
    with open(broken, "r+b") as f:
        f.truncate(1000)
    with pytest.raises(ModelFileError, match="truncated, damaged .* 1,000 bytes"):
        distil(teacher_model=str(broken))


def test_no_teacher(data: Path, tmp_path: Path) -> None:
    """The message says what is missing, rather than that the student's flags are unknown."""
    from parlai.scripts.train_model import TrainModel

    task = ["-t", "jsonfile", "--jsonfile-datapath", str(data / "new.jsonl")]
    for more in ([], ["--n-layers", "1"]):
        with pytest.raises(UsageError, match="needs --teacher-model MODEL"):
            TrainModel.main(*task, "-m", "distill_student", "-mf", str(tmp_path / "m"), *more)


def test_writing_over_a_model(
    distil: Callable[..., str], deployed: Callable[[str], str], tmp_path: Path
) -> None:
    """-mf may be neither the teacher nor a model that was not distilled."""
    with pytest.raises(UsageError, match="is the teacher itself"):
        distil(model_file=deployed(GENERATOR))
    other = shutil.copytree(Path(deployed(GENERATOR)).parent, tmp_path / "other") / "model"
    with pytest.raises((UsageError, ModelFileError), match="was not distilled|does not fit"):
        distil(model_file=str(other), n_layers=None, ffn_size=None)


def test_flags_of_the_student_are_in_the_help(deployed: Callable[[str], str]) -> None:
    """--help shows the student's flags, with the teacher's values, once it is known."""
    from parlai.scripts.train_model import setup_args

    parser = setup_args()
    parser.add_extra_args(["-m", "distill_student", "--teacher-model", deployed(GENERATOR)])
    assert "--distill-weight" in parser.format_help() and "--beam-size" in parser.format_help()
    assert parser.get_default("embedding_size") == 16


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
