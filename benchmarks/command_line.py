"""
What a command costs before it does anything, as a ratio to ``import torch`` in the same run.

CPU seconds of the process (a busy machine changes them little), the median of some rounds, in which
all commands take turns. ``interactive`` and ``serve`` are measured up to their prompt, with the
model that is shipped; of an idle ``serve`` also what it keeps in memory.

    python benchmarks/command_line.py --out bench/command_line
"""

import argparse
import os
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

from harness import about, publish

from parlai_cu import chat_service

TORCH = "import torch"
# the same, without the end of the process: what is measured up to a prompt is compared with that
TORCH_IS_THERE = "import torch, until it is there"
# line -> exit status; STORE and KB are made before
COMMANDS = {
    "--help": 0,
    "train_modle": 2,
    "versions list --versions STORE": 0,
    "versions show v1 --versions STORE": 0,
    "versions verify --versions STORE": 0,
    "versions promote v1 --force --versions STORE": 0,
    "knowledge_base stats --kb KB": 0,
    "knowledge_base search --kb KB --text opening": 0,
    "serve --help": 0,
    "doctor --help": 0,
    "update_model --help": 0,
    "train_model --help": 0,
}
# line -> what it says when it is ready
PROMPTS = {
    TORCH_IS_THERE: "READY",
    "interactive -mf zoo:telecom/base": "Enter Your Message",
    "serve --config-path CONFIG --port 0": "Ready:",
}


def main() -> None:
    """Measure all in turns, and publish."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--out", type=Path, default=Path("bench/command_line"))
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        names = prepare(folder)
        costs: dict[str, list[float]] = {}
        memory: dict[str, list[float]] = {}
        # the first round, in which Python compiles what it imports, does not count
        for number in range(args.rounds + 1):
            for line, cost, kept in measured_once(folder, names):
                if number:
                    costs.setdefault(line, []).append(cost)
                    memory.setdefault(line, []).append(kept)
    median = {line: statistics.median(taken) for line, taken in costs.items()}
    rows = {
        line: {
            "cpu_s": round(median[line], 3),
            "ratio": round(median[line] / median[TORCH_IS_THERE if line in PROMPTS else TORCH], 3),
            "memory_mb": round(statistics.median(memory[line])),
        }
        for line in costs
    }
    publish(args.out, {"about": about(), "rows": rows}, table({"rows": rows}))


def prepare(folder: str) -> dict[str, str]:
    """A versions directory, a knowledge base and a configuration, and what stands for them."""
    facts = Path(folder) / "facts.csv"
    facts.write_text("id,text\nhours,The opening hours are nine to five.\n")
    names = {
        "STORE": f"{folder}/store",
        "KB": f"sqlite:///{folder}/facts.db",
        "CONFIG": str(Path(chat_service.__file__).with_name("config.yml")),
    }
    for line in (
        "versions import --versions STORE -mf zoo:telecom/base",
        f"knowledge_base import --kb KB --file {facts}",
    ):
        subprocess.run(words(line, names), check=True, capture_output=True, cwd=folder)
    return names


def words(line: str, names: dict[str, str]) -> list[str]:
    """What is run."""
    if line == TORCH:
        return [sys.executable, "-c", line]
    if line == TORCH_IS_THERE:
        return [sys.executable, "-c", "import torch; print('READY', flush=True); input()"]
    parlai = str(Path(sys.executable).with_name("parlai"))
    return [parlai, *(names.get(word, word) for word in line.split())]


def measured_once(folder: str, names: dict[str, str]) -> Any:
    """Line, CPU seconds and MB of each."""
    for line in (TORCH, *COMMANDS):
        process = start(words(line, names), folder)
        assert process.stdin is not None and process.stdout is not None
        process.stdin.close()
        said = process.stdout.read()
        _, status, usage = os.wait4(process.pid, 0)
        if os.waitstatus_to_exitcode(status) != COMMANDS.get(line, 0):
            sys.exit(f"failed: {line}\n{said.decode()[-2000:]}")
        yield line, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1e3
    for line, said in PROMPTS.items():
        process = start(words(line, names), folder)
        read_until(process.stdout, said)
        time.sleep(1)
        kept = int(Path(f"/proc/{process.pid}/statm").read_text().split()[1])
        ticks = Path(f"/proc/{process.pid}/stat").read_text().rpartition(")")[2].split()
        cost = sum(map(int, ticks[11:13])) / os.sysconf("SC_CLK_TCK")
        process.send_signal(signal.SIGKILL)
        process.wait()
        yield line, cost, kept * os.sysconf("SC_PAGE_SIZE") / 1e6


def read_until(output: Any, said: str) -> None:
    """Read what a process writes until it says so."""
    held = ""
    while said not in held:
        text = output.read1(4096).decode()
        if not text:
            sys.exit(f"ended without saying {said!r}: {held[-2000:]}")
        held += text


def start(command: list[str], folder: str) -> "subprocess.Popen[bytes]":
    """A process whose output is read, with one torch thread."""
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    env.pop("PYTHONDONTWRITEBYTECODE", None)
    return subprocess.Popen(
        command,
        cwd=folder,
        env=env,
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
    )


def table(result: dict[str, Any]) -> str:
    """Each command's ratio."""
    lines = ["| command | CPU s | of `import torch` | MB |", "|---|---:|---:|---:|"]
    for line, row in result["rows"].items():
        lines.append(f"| `{line}` | {row['cpu_s']:.2f} | {row['ratio']:.2f} | {row['memory_mb']} |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
