"""distill_student: the whole command, what the student learns from whom, and its refusals."""

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from parlai.core.agents import create_agent_from_model_file

from parlai_cu.agents.batches import TaskRoles
from parlai_cu.agents.distill_student import DistillStudentAgent, flags
from parlai_cu.agents.training_step.layer_term import LayerTerm
from parlai_cu.errors import ModelFileError, UsageError
from tests.conftest import states
from tests.scripts.test_export_model import WITHOUT_US

GENERATOR = "transformer/generator"
SMALLER = dict(n_layers=1, ffn_size=16)


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
    distil: Callable[..., str], mixed: list[dict[str, Any]], data: Path
) -> None:
    """Every step's mixture is what plain formulas give, over tokens that are no padding."""
    import torch.nn.functional as F

    distil(distill_weight=0.7, distill_temperature=2.0, max_train_steps=12)
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
                # the value of gold is the base's own; its gradient is weighted
                total += gold + 0.7 * soft if followed else gold
                assert step["gold"].weights[i].item() == pytest.approx(0.3 if followed else 1.0)
                tokens += 1
            roles.add(step["follows"][i])
            if step["follows"][i] == 0 and step["texts"][i] not in new:
                roles.add("only old")
        assert step["loss"].item() == pytest.approx(total / tokens, rel=1e-4)
    assert roles == {0, None, "only old"}


def test_a_second_teacher_for_the_update(
    distil: Callable[..., str],
    deployed: Callable[[str], str],
    mixed: list[dict[str, Any]],
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
    distil: Callable[..., str], warned: list[str], data: Path
) -> None:
    """The student would forget; pseudo-examples are the way."""
    new = f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}"
    distil(task=new, update_task=new)
    text = " ".join(warned)
    assert "nothing follows the teacher" in text and "pseudo" in text and "self_chat" in text


def test_a_student_larger_than_its_teacher(distil: Callable[..., str], warned: list[str]) -> None:
    """Is a warning, with both sizes."""
    distil(n_layers=3, ffn_size=64)
    assert any("student is larger than the teacher" in text for text in warned)


# -- options ---------------------------------------------------------------------------------


def test_hidden_states_and_attention(
    distil: Callable[..., str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are matched, padding aside, and no projection reaches the saved student."""
    plain = distil(embedding_size=8, max_train_steps=2, model_file=str(tmp_path / "plain" / "m"))
    seen: list[float] = []
    stock = LayerTerm.__call__

    def matching_loss(self: Any, *args: Any) -> torch.Tensor:
        rows = stock(self, *args)
        seen.extend(rows.tolist())
        return rows

    monkeypatch.setattr(LayerTerm, "__call__", matching_loss)
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
    distil: Callable[..., str], mixed: list[dict[str, Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The teacher scores what the student drew: labels' format, padding aside."""
    from parlai_cu.agents.training_step import on_policy_term

    drawn: list[Any] = []
    stock = on_policy_term.sample_replies

    def sample_replies(agent: Any, batch: Any) -> torch.Tensor:
        before = dict(agent.opt)
        replies = stock(agent, batch)
        assert dict(agent.opt) == before and agent.model.training
        drawn.append((replies, batch.label_vec, agent))
        return replies

    monkeypatch.setattr(on_policy_term, "sample_replies", sample_replies)
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

    rows: list[int] = []
    stock = chunked.rows_at_once
    monkeypatch.setattr(
        chunked, "rows_at_once", lambda *args: rows.append(1) or stock(args[0], 200)
    )
    sizes = dict(n_layers=None, ffn_size=None, hiddensize=8) if agent == "seq2seq" else {}
    found = []
    for name in (False, True):
        path = str(tmp_path / f"{agent.split('/')[0]}-{name}" / "model")
        settings: dict[str, Any] = dict(
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
    from parlai_cu.agents import updating_agent

    found = []
    for name in ("skipped", "stock"):
        if name == "stock":
            monkeypatch.setattr(updating_agent, "can_skip_padding", lambda agent: False)
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


# -- refusals --------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "options, message",
    [
        ({"distill_temperature": 0}, "--distill-temperature 0.0: expected a number above 0"),
        ({"distill_weight": 1.5}, "--distill-weight 1.5: expected between 0 and 1"),
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
def test_refusals(options: dict[str, Any], message: str, distil: Callable[..., str]) -> None:
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
