"""eval_model --base-model-file: the same examples, paired; stock without the flag."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import ModelFileError, UsageError
from parlai_cu.host.eval_retention import compare, table
from parlai_cu.update.steps.evaluation import Measured
from parlai_cu.update.wording import Example

GENERATOR = "transformer/generator"


@pytest.fixture
def evaluate(data: Path, tmp_path: Path) -> Callable[..., dict[str, Any]]:
    """``evaluate(model_file=...)``: eval_model on old and new data; what it wrote."""

    def run(**options: Any) -> dict[str, Any]:
        from parlai.scripts.eval_model import EvalModel

        tasks = [f"jsonfile:jsonfile_datapath={data / n}.jsonl" for n in ("old", "new")]
        settings: dict[str, Any] = dict(
            task=",".join(tasks),
            loglevel="error",
            batchsize=3,
            report_filename=str(tmp_path / "report.json"),
        )
        settings.update(options)
        if settings["task"] == ",".join(tasks):
            settings["skip_generation"] = True
        EvalModel.main(**settings)
        return dict(json.loads((tmp_path / "report.json").read_text())["report"])

    return run


@pytest.mark.slow
def test_the_pair_on_the_same_examples(
    evaluate: Callable[..., dict[str, Any]],
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    data: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """Figures are those of two stock reports; the update's gain is no chance."""
    candidate = str(tmp_path / "candidate" / "model")
    train(
        model="frozen_layer",
        init_model=deployed(GENERATOR),
        model_file=candidate,
        tune="*",
        max_train_steps=40,
        jsonfile_datapath=str(data / "new.jsonl"),
    )
    found = evaluate(model_file=candidate, base_model_file=deployed(GENERATOR))["retention"]
    alone = {
        "candidate": evaluate(model_file=candidate),
        "base": evaluate(model_file=deployed(GENERATOR)),
    }
    assert found["metric"] == "ppl" and [row["role"] for row in found["tasks"]] == ["old", "update"]
    for row in found["tasks"]:
        for which, report in alone.items():
            assert "retention" not in report
            assert row[which] == pytest.approx(report[f"{row['task']}/ppl"], rel=1e-4)
        low, high = row["interval"]
        assert low <= row["difference"] <= high
    update = found["tasks"][1]
    assert update["significant"] and update["difference"] < 0 and update["examples"] == 40
    assert update["conversations"] <= 40
    assert found["bwt"] == pytest.approx(-found["forgetting"])
    out = capsys.readouterr().out
    assert "95% intervals" in out and "BWT" in out
    # a model beside itself
    same = evaluate(model_file=candidate, base_model_file=candidate)["retention"]
    assert all(row["difference"] == 0 and not row["significant"] for row in same["tasks"])


@pytest.mark.slow
def test_classifiers(
    evaluate: Callable[..., dict[str, Any]], deployed: Callable[[str], str]
) -> None:
    """By accuracy; one task is old."""
    model = deployed("transformer/classifier")
    report = evaluate(
        model_file=model,
        base_model_file=model,
        task="integration_tests:classifier",
    )
    found = report["retention"]
    assert found["metric"] == "accuracy" and "R" not in found
    assert found["tasks"][0]["role"] == "old"


def test_refusals(evaluate: Callable[..., dict[str, Any]], deployed: Callable[[str], str]) -> None:
    """The nearest right spelling is named."""
    with pytest.raises(ModelFileError, match="--base-model-file .*: no model file"):
        evaluate(model_file=deployed(GENERATOR), base_model_file="nowhere/model")
    sums = {"ppl": [1.0, 1.0], "token_acc": [1.0, 1.0]}
    found = [[Measured(Example("hi", "hello"), "", sums, "one")]]
    with pytest.raises(UsageError, match="--retention-metric token-acc: .*: token_acc"):
        compare(["old"], found, found, "token-acc", None)
    with pytest.raises(UsageError, match="--update-task odl: nearest of -t: old"):
        compare(["old"], found, found, None, "odl")


def test_the_matrix_by_hand() -> None:
    """Accuracy .8 and .1 before, .7 and .6 after: ACC .65, BWT -.1, FWT .1, forgetting .1."""

    def scores(*values: float) -> Any:
        example = Example("hi", "hello")
        return [
            [Measured(example, "", {"accuracy": [v, 1.0]}, str(i)) for i in range(10)]
            for v in values
        ]

    found = compare(["a", "b"], scores(0.8, 0.1), scores(0.7, 0.6), None, None)
    assert found["R"] == [
        [pytest.approx(0.8), pytest.approx(0.1)],
        [pytest.approx(0.7), pytest.approx(0.6)],
    ]
    expected = dict(acc=0.65, bwt=-0.1, fwt=0.1, forgetting=0.1)
    assert {name: found[name] for name in expected} == pytest.approx(expected)
    assert "ACC +0.6500, BWT -0.1000, FWT +0.1000, forgetting +0.1000" in table(found)
