"""
Reproduces a model of the zoo: ``python zoo/train.py telecom/base``.

Trains with stock ParlAI by the model's ``recipe.opt``, takes out of the file what only training
needs, stores the weights in half precision, evaluates what is shipped on the test split and
writes ``results.json`` and ``model_card.md`` (``about.md`` and the results). Seeded: the same
library versions on the same machine give the same figures.
"""

import argparse
import json
import platform
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.opt import Opt
from parlai.scripts.eval_model import EvalModel
from parlai.scripts.train_model import TrainModel

import parlai_cu
from parlai_cu.zoo.shipped import SUMS, sha256

ZOO = Path(__file__).parent
SEED = 1
FILES = ("model", "model.opt", "model.dict", "model.dict.codecs")
# how many exchanges the card shows
SAMPLES = 10
METRICS = ("ppl", "f1", "fact_acc", "accuracy", "weighted_f1", "hits@1", "hits@5")


def main() -> int:
    """Parse the command line, train, evaluate; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("name", help="a folder here that holds recipe.opt, such as telecom/base")
    parser.add_argument("--steps", type=int, help="fewer training steps, to try a recipe")
    parser.add_argument("--out", type=Path, help="write there instead of into the zoo")
    arguments = parser.parse_args()
    recipe = ZOO / arguments.name / "recipe.opt"
    if not recipe.is_file():
        known = sorted(str(p.parent.relative_to(ZOO)) for p in ZOO.rglob("recipe.opt"))
        parser.error(f"{recipe} does not exist; there are: {', '.join(known)}")
    out = arguments.out or ZOO / arguments.name
    out.mkdir(parents=True, exist_ok=True)
    options = json.loads(recipe.read_text())
    if arguments.steps:
        options["max_train_steps"] = arguments.steps
    begin = time.monotonic()
    with tempfile.TemporaryDirectory() as folder:
        torch.manual_seed(SEED)  # stock ParlAI draws the weights before it applies --seed
        TrainModel.main(**options, model_file=f"{folder}/model", seed=SEED)
        ship(Path(folder), out)
    report(arguments.name, out, options["task"], (time.monotonic() - begin) / 60)
    if arguments.out is None:
        write_sums(out.parent)
    return 0


def report(name: str, out: Path, task: str, minutes: float) -> None:
    """
    Measure what is shipped; write results.json and the model card.

    :param minutes: how long training took
    """
    results = evaluate(out, task)
    results["trained"] = {
        "minutes": round(minutes, 1),
        "parlai_cu": parlai_cu.__version__,
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "device": "CPU, 1 thread" if torch.get_num_threads() == 1 else "CPU",
        "seed": SEED,
        "bytes": sum((out / name).stat().st_size for name in FILES),
    }
    # a ranker that picks from its batch has no choice in a batch of one
    ranks = Opt.load(f"{out}/model.opt").get("eval_candidates") == "batch"
    results["samples"] = [] if ranks else samples(out, task)
    (out / "results.json").write_text(json.dumps(results, indent=2) + "\n")
    about = (ZOO / name / "about.md").read_text()
    (out / "model_card.md").write_text(about.rstrip() + "\n\n" + card(results))


def ship(trained: Path, out: Path) -> None:
    """Keep what is needed to run, and to go on from: weights in half precision, no paths."""
    state = torch.load(trained / "model", map_location="cpu", weights_only=True)
    halves: dict[int, torch.Tensor] = {}  # tied weights stay one tensor, stored once
    weights = {}
    for name, value in state["model"].items():
        if value.is_floating_point():
            value = halves.setdefault(value.data_ptr(), value.half())
        weights[name] = value
    torch.save({"model": weights}, out / "model")
    opt = dict(Opt.load(str(trained / "model.opt")))
    for key in list(opt):
        # where it was trained is nobody's business, and must not be looked for
        if key in ("datapath", "parlai_home", "override", "starttime") or (
            isinstance(opt[key], str) and str(trained) in opt[key]
        ):
            del opt[key]
    if "skip_generation" in opt:  # only training does without replies
        opt["skip_generation"] = False
    (out / "model.opt").write_text(json.dumps(opt, indent=1, sort_keys=True) + "\n")
    for name in ("model.dict", "model.dict.codecs"):
        (out / name).write_bytes((trained / name).read_bytes())


def evaluate(model: Path, task: str) -> dict[str, Any]:
    """Metrics of the shipped files on the test split."""
    # only generators know the option
    generates = "skip_generation" in Opt.load(f"{model}/model.opt")
    options = {"skip_generation": False} if generates else {}
    measured = EvalModel.main(
        model_file=str(model / "model"), task=task, datatype="test", batchsize=64, **options
    )
    return {"test": {m: round(float(measured[m]), 4) for m in METRICS if m in measured}}


def samples(model: Path, task: str) -> list[dict[str, str]]:
    """What the model answers to test questions that open a dialogue, evenly spaced."""
    from parlai.core.teachers import create_task_agent_from_taskname

    agent = create_agent_from_model_file(str(model / "model"))
    (teacher,) = create_task_agent_from_taskname(Opt(agent.opt, task=task, datatype="test"))
    acts = [teacher.act() for _ in range(teacher.num_examples())]
    first = [act for before, act in zip(acts, acts[1:]) if before["episode_done"]]
    found = []
    for act in first[:: len(first) // SAMPLES][:SAMPLES]:
        agent.reset()
        agent.observe(act)
        said = agent.act().get("text", "")
        right = act["eval_labels"][0]
        found.append({"customer": act["text"], "model": said, "expected": right})
    return found


def card(results: dict[str, Any]) -> str:
    """The part of the model card that is measured."""
    trained = results["trained"]
    lines = ["## Evaluation Results", "", "On the test split of the training task, by "]
    lines[-1] += f"`zoo/train.py` (torch {trained['torch']}, {trained['device']}):"
    lines += ["", "| metric | test |", "|---|---|"]
    lines += [f"| {name} | {value:.4g} |" for name, value in results["test"].items()]
    lines += ["", f"Trained in {trained['minutes']} minutes; {trained['bytes'] / 1e6:.1f} MB."]
    if results["samples"]:
        lines += ["", f"{SAMPLES} test questions, evenly spaced over the split:", ""]
        lines += ["| customer | model | expected |", "|---|---|---|"]
    for s in results["samples"]:
        lines.append(f"| {s['customer']} | {s['model']} | {s['expected']} |")
    return "\n".join(lines) + "\n"


def write_sums(folder: Path) -> None:
    """Checksums of every model file in a zoo entry; loading verifies them."""
    paths = [model / name for model in sorted(folder.iterdir()) for name in FILES]
    sums = {str(p.relative_to(folder)): sha256(p.read_bytes()) for p in paths if p.is_file()}
    (folder / SUMS).write_text(json.dumps(sums, indent=1) + "\n")


if __name__ == "__main__":
    sys.exit(main())
