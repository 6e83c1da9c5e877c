"""How kb_augmented is measured: over every turn, and beside the model it stands on."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.host.eval_retention import _paired, compare, table
from parlai_cu.knowledge.backends.sqlite import SQLiteFacts
from parlai_cu.types import Fact
from parlai_cu.update.steps.evaluation import Measured
from parlai_cu.update.wording import Example
from tests.conftest import NEW

GENERATOR = "transformer/generator"


@pytest.fixture
def kb(tmp_path: Path) -> SQLiteFacts:
    """It answers turns of the update."""
    base = SQLiteFacts(f"sqlite:///{tmp_path / 'facts.db'}", writable=True)
    base.add([Fact("It is open.", id="door", question=NEW[0])])
    return base


@pytest.mark.parametrize("integrate", ["answer", "append", "template"])
def test_perplexity_is_over_every_turn(
    integrate: str,
    deployed: Callable[[str], str],
    data: Path,
    kb: SQLiteFacts,
    capsys: pytest.CaptureFixture[str],
) -> None:
    """That of the base with the same weights, whoever answered; and no example is dropped."""
    from parlai.scripts.eval_model import EvalModel

    base = deployed(GENERATOR)
    report = EvalModel.main(
        model="kb_augmented",
        init_model=base,
        kb=kb.name,
        kb_integrate=integrate,
        kb_template="{text}",
        base_model_file=base,
        task=f"jsonfile:jsonfile_datapath={data / 'new.jsonl'}",
        datapath=str(data),
        batchsize=4,
        loglevel="error",
    )
    assert float(report["kb_used"]) > 0
    (row,) = report["retention"]["tasks"]
    assert row["examples"] == 40 and row["left_out"] == {"base": 0, "candidate": 0}
    assert row["base"] == row["candidate"] == pytest.approx(float(report["ppl"]))
    assert "without ppl" not in capsys.readouterr().out


def test_examples_are_paired_by_what_they_are() -> None:
    """In whatever order they come; what only one of both has is left out, and said."""

    def seen(**losses: list[float | None]) -> Any:
        return [
            Measured(Example(text, "label"), "", {} if loss is None else {"loss": [loss, 1.0]})
            for text, row in losses.items()
            for loss in row
        ]

    base = seen(a=[1.0, 2.0], b=[3.0], c=[4.0])
    candidate = seen(c=[4.5], b=[None], a=[1.5, 2.5, 9.0])
    one, other = _paired(base, candidate)
    found = compare(["t"], [one], [other], "loss", None)
    (row,) = found["tasks"]
    assert row["examples"] == 3 and row["left_out"] == {"base": 1, "candidate": 1}
    assert row["difference"] == pytest.approx(0.5) and row["base"] == pytest.approx(7 / 3)
    assert "t: 3 examples are compared; without loss are 1 of the base, 1 of the candidate" in (
        table(found)
    )
