"""``parlai data`` beside a model in service and what it learnt before."""

import json

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.scripts.data import InspectData
from parlai_cu.types import Verdict


def run(*words):
    """`parlai data`."""
    parser = InspectData.setup_args()
    return InspectData._run_from_parser_and_opt(parser.parse_args(list(words)), parser)


def test_with_the_model_in_service(versions, live, tasks, tmp_path, capsys):
    """Words that it does not know, what it cuts, its strangest ten, and what it learnt before."""
    earlier = tmp_path / "earlier.csv"
    earlier.write_text("question,answer\nWhat does a bell cost?,A bell costs 5 euros.\n")
    for task in (str(earlier), tasks["old"], str(tmp_path / "gone.csv")):
        versions.add(live, mode="frozen_layer", verdict=Verdict("accept"), data={"task": task})
    path = tmp_path / "new.csv"
    rows = ["What does a bell cost?,A bell costs 9 euros.", "open door soon,i open the window"]
    rows += [f"open door {i} now,then door open please" for i in range(9)]
    rows.append("zyzzyva qwertz?,".ljust(2000, "x") + " zyzzyva")
    path.write_text("question,answer\n" + "\n".join(rows) + "\n")
    plain = str(tmp_path / "r.json")
    run(str(path), "--versions", versions.path, "--json", plain)
    out = capsys.readouterr().out
    found = json.load(open(plain))
    assert 0 < found["figures"]["tokens that the model does not know"] < 1
    assert found["figures"]["examples that its limits cut"] >= 0
    assert len(found["outliers"]) == 10
    losses = [one["loss"] for one in found["outliers"]]
    assert losses == sorted(losses, reverse=True) and losses[-1] > 0
    against = {one["other"] for one in found["findings"] if one["check"] == "contradictions"}
    assert "earlier.csv, line 2" in against
    assert any("old.jsonl" in str(place) for place in against)
    assert "gone.csv" in out and "not compared with" in out


def test_a_model_that_is_not_there(tmp_path):
    """It is named, without a traceback."""
    path = tmp_path / "a.csv"
    path.write_text("question,answer\nOpen now?,Yes it is.\n")
    with pytest.raises(UsageError, match=r"--model-file .*modle: there is no such model"):
        run(str(path), "--model-file", str(tmp_path / "modle"))
