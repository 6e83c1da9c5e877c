"""
Which modes work over agents that other people wrote: nothing here is written by hand.

ParlAI's own projects, as its wheel has them, and agents of tests/agents_of_others with one habit
each that stock agents do not have, each in every mode of ``parlai doctor --agent``.

    python benchmarks/agents_of_others.py --out bench/agents_of_others

Ends by writing ``results.json`` and ``table.md``. What was done is not done again.
"""

import argparse
import inspect
import json
import os
import sys
import tempfile
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from harness import about

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

from parlai_cu.agents.mode_check import ModeCheck  # noqa: E402
from tests.agents_of_others import habits  # noqa: E402

WIZARD = "projects.wizard_of_wikipedia"
ANTI_SCALING = "projects.anti_scaling.distillation"
RANKER = f"{WIZARD}.wizard_transformer_ranker.wizard_transformer_ranker"
LOSSES = "--encoder-loss-coeff 1 --hidden-loss-coeff 1 --pred-loss-coeff 1".split()
PROJECTS: dict[str, list[str]] = {
    f"{WIZARD}.generator.agents:EndToEndAgent": [],
    f"{RANKER}:WizardTransformerRankerAgent": [],
    "projects.dialogue_unlikelihood.agents:RepetitionUnlikelihoodAgent": [],
    "projects.dialogue_unlikelihood.agents:TransformerUnlikelihoodAgent": [],
    "projects.style_gen.classifier:ClassifierAgent": [],
    "projects.style_gen.style_gen:StyleGenAgent": [],
    # without this flag the agent itself refuses to be trained further
    f"{ANTI_SCALING}:DistillTransformerAgent": [*LOSSES, "--copy-teacher-weights", "false"],
    f"{ANTI_SCALING}:DistillNarrowTransformerAgent": LOSSES,
}
# what each mode is called in the table
COLUMNS = {
    "train": "train",
    "frozen_layer, one batch": "gradients",
    "frozen_layer": "frozen_layer",
    "frozen_layer, nothing learnt": "nothing learnt",
    "frozen_layer --tune one tensor": "one tensor",
    "--replay-task, --penalty l2sp": "l2sp",
    "--replay-task, --penalty ewc": "ewc",
    "--replay-task, --penalty lwf": "lwf",
    "distill_student": "distill_student",
    "domain_adapters": "domain_adapters",
    "kb_augmented": "kb_augmented",
    "versions, deployed": "deployed",
}


def own() -> Iterator[tuple[str, str]]:
    """Our own agents, each with what it is that it does."""
    for name, value in vars(habits).items():
        is_agent = inspect.isclass(value) and value.__module__ == habits.__name__
        if is_agent and hasattr(value, "train_step") and not name.startswith("_"):
            yield f"{habits.PLACE}:{name}", str(value.__doc__).strip()


def main() -> None:
    """All agents, all modes."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("bench/agents_of_others"))
    parser.add_argument("--agents", nargs="*")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    os.environ["HF_HUB_OFFLINE"] = "1"
    wanted = dict.fromkeys(PROJECTS, "") | dict(own())
    rows = [row_of(agent, wanted[agent], args.out) for agent in args.agents or wanted]
    result = {"about": about(seeds=[0]), "rows": rows}
    (args.out / "results.json").write_text(json.dumps(result, indent=2))
    (args.out / "table.md").write_text(table(result))
    print(table(result))


def row_of(agent: str, habit: str, out: Path) -> dict[str, Any]:
    """What came of each mode, done once."""
    kept = out / f"{agent.rpartition(':')[2]}.json"
    if not kept.exists():
        with tempfile.TemporaryDirectory() as folder:
            flags = list(PROJECTS.get(agent, []))
            if agent.startswith(ANTI_SCALING):
                flags += ["--teacher-model", teacher(os.path.join(folder, "teacher"))]
            found = list(ModeCheck(agent, os.path.join(folder), flags).run())
            said = {r.mode: {"works": r.works, "said": r.said.replace(folder, "")} for r in found}
        kept.write_text(json.dumps({"agent": agent, "habit": habit, "modes": said}, indent=2))
        print(agent, sum(r.works for r in found), "of", len(found), flush=True)
    return dict(json.loads(kept.read_text()))


def teacher(folder: str) -> str:
    """The path of a tiny teacher."""
    os.makedirs(folder)
    check = ModeCheck("transformer/generator", folder)
    next(check.run())
    return check.base


def table(result: dict[str, Any]) -> str:
    """What works as Markdown, with what did not as numbered notes."""
    notes: list[str] = []

    def cell(modes: dict[str, Any], name: str) -> str:
        if name not in modes or modes[name]["works"]:
            return "yes" if name in modes else ""
        if modes[name]["said"] not in notes:
            notes.append(modes[name]["said"])
        return f"no ({notes.index(modes[name]['said']) + 1})"

    lines = [
        f"Measured: {json.dumps(result['about'])}",
        "",
        f"| agent | its habit | {' | '.join(COLUMNS.values())} |",
        "|---|---|" + "---|" * len(COLUMNS),
    ]
    for row in result["rows"]:
        cells = [cell(row["modes"], name) for name in COLUMNS]
        lines.append(f"| `{short(row['agent'])}` | {row['habit']} | {' | '.join(cells)} |")
    return "\n".join([*lines, "", *numbered(notes)]) + "\n"


def short(agent: str) -> str:
    """A name that fits a cell."""
    module, _, name = agent.rpartition(":")
    return f"{module.split('.')[1]}: {name}" if module.startswith("projects") else name


def numbered(notes: Sequence[str]) -> list[str]:
    """Notes, each with its number."""
    return [f"{i}. {note}" for i, note in enumerate(notes, 1)]


if __name__ == "__main__":
    main()
