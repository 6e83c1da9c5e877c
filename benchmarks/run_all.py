"""
All benchmarks, one after the other: in full as the docs quote them, or each in short.

::

    python benchmarks/run_all.py [--short]

In full that is many hours, on a machine that does nothing else. In short, one seed, few rows and
turns of each: whether the scripts run, and of which order figures are.
"""

import argparse
import shlex
import subprocess
import sys
from pathlib import Path

# script -> its flags in full, its flags in short; None where it has no short form
BENCHMARKS: dict[str, tuple[str, str | None]] = {
    "frozen_layer_sgd.py": (
        "",
        "--updates update_1 --seeds 1 --rate 1e-3 --jobs 2 "
        '--selections "stock (all)" "last decoder block"',
    ),
    "frozen_speed.py": ("--compile", "--models sgd_base_model --rounds 5"),
    "distill_student.py": (
        "",
        "--corpora telecom --seconds 40 --long 0 --seeds 1 "
        '--methods "stock, from scratch" "warm cache, sample"',
    ),
    "selection.py": (
        "--updates update_1 update_2 update_3 telecom:new_plans",
        '--seeds 1 --choices all "last block" --examples 32',
    ),
    "continual.py": (
        "",
        '--seeds 1 --epochs 1 --methods "full fine-tuning" "replay + LwF" --jobs 2',
    ),
    "update_model.py": ("", "--parts choice --examples 50 --steps 50"),
    "gate.py": ("", "--runs 20"),
    "data_faults.py": ("", "--seeds 0 --most 400"),
    "data_faults_cost.py": ("--seeds 21 22 23", "--seeds 21 --steps 5"),
    "detokenize.py": ("", ""),
    "deployed.py": ("", "--conversations 2 --rounds 1"),
    "agents_of_others.py": (
        "",
        "--agents projects.dialogue_unlikelihood.agents:RepetitionUnlikelihoodAgent",
    ),
    "compatibility.py": ("", "--agents transformer/generator"),
    "knowledge_tables.py": ("", "--turns 20"),
    "knowledge_merged.py": ("", "--turns 20"),
    "knowledge_values.py": ("", ""),
    "knowledge_telecom.py": ("", ""),
    "knowledge_life.py": ("--split dev", "--split dev"),
    "knowledge_speed.py": ("", "--sizes 1000,10000 --queries 50"),
    "dstc11.py": ("", None),
    "command_line.py": ("", "--rounds 1"),
    "chat_service.py": ("", "--users 1 32 --promotions 5 --soak 200 --hour 200"),
    "chaos.py": ("", "--minutes 2"),
    "avalanche_check.py": ("", None),
}


def main() -> None:
    """Run them; the first that fails ends it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--short", action="store_true", help="a few minutes each at most")
    short = parser.parse_args().short
    for name, flags in BENCHMARKS.items():
        words = flags[short]
        if words is not None:
            path = Path(__file__).with_name(name)
            # of their own folder: what is done in short is never taken for what is done in full
            out = ["--out", f"bench/short/{path.stem}"] if short else []
            subprocess.run([sys.executable, str(path), *shlex.split(words), *out], check=True)


if __name__ == "__main__":
    main()
