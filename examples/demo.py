"""
A deployed chat assistant is corrected and keeps what it knows: ``make demo``.

The assistant of a telecommunications company is in service (``zoo:telecom/base``, shipped). Twenty
of its answers have become wrong. The demo runs ordinary ``parlai`` commands and prints each, to be
copied:

1. update it: ``-m frozen_layer`` trains the feed-forward layers on the corrections, taking turns
   with old training data (ParlAI's multitasking), so that the old is not forgotten; word vectors,
   attention and normalisation stay as they are, bit for bit;
2. evaluate both models on the corrections and on what had to stay;
3. ask both the same questions.

All is written to ``demo/`` (or ``--folder``), with each command's output.
"""

import argparse
import contextlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import time
from pathlib import Path

from parlai_cu.tasks.telecom.updates import corrections

KEPT, UPDATE = "telecom:retain", "telecom:corrections"
DEPLOYED = "zoo:telecom/base"
SHOWN = 3

TUNE = """train_model -m frozen_layer --init-model {deployed} -mf {candidate}
    --tune @ffn -t {update},{kept} --multitask-weights 1,1 -lr 0.0005 --lr-scheduler cosine
    --warmup-updates 20 --batchsize 16 --max-train-steps 400 --skip-generation true --seed 1"""
EVALUATE = """eval_model -mf {model} -t {update},{kept} --datatype test
    --skip-generation false --batchsize 32 --report-filename {report}"""
ASK = "interactive -mf {model} --skip-generation false"


class Failed(Exception):
    """A command failed; the message says which, and where its output is."""


class Demo:
    """The steps, each a ``parlai`` command; models, reports and outputs go to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.candidate = folder / "candidate" / "model"
        (folder / "output").mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """All steps, then the table."""
        title("1. The update: the feed-forward layers learn, the rest is frozen (about a minute)")
        shutil.rmtree(self.candidate.parent, ignore_errors=True)
        names = dict(deployed=DEPLOYED, candidate=self.candidate, update=UPDATE, kept=KEPT)
        self.parlai("update", TUNE.format(**names))
        title("2. Both on test questions whose wording neither has seen")
        before, after = self.evaluate("deployed"), self.evaluate("candidate")
        title("3. Both are asked the same questions")
        questions = corrected_questions()
        for question, *said in zip(
            questions, self.ask("deployed", questions), self.ask("candidate", questions)
        ):
            print(f"\n  customer:  {question}\n  deployed:  {said[0]}\n  candidate: {said[1]}")
        title("What was gained, and what it cost")
        print(table(before, after))

    def model(self, which: str) -> str:
        """The model file of ``deployed`` or ``candidate``."""
        return DEPLOYED if which == "deployed" else str(self.candidate)

    def evaluate(self, which: str) -> dict[str, float]:
        """The metrics of a model on both test sets, named ``task/metric``."""
        report = self.folder / "output" / f"{which}.json"
        names = dict(model=self.model(which), update=UPDATE, kept=KEPT, report=report)
        self.parlai(f"evaluate_{which}", EVALUATE.format(**names))
        return dict(json.loads(report.read_text())["report"])

    def ask(self, which: str, questions: list[str]) -> list[str]:
        """What a model answers to the questions, each the first of a new chat."""
        typed = "\n[DONE]\n".join(questions) + "\n[EXIT]\n"
        output = self.parlai(f"ask_{which}", ASK.format(model=self.model(which)), typed)
        answers = re.findall(r"^Enter Your Message: \[\w+\]: (.*)$", output, re.MULTILINE)
        if len(answers) != len(questions):
            raise Failed(f"{which} did not answer every question; see {self.folder / 'output'}")
        return answers

    def parlai(self, name: str, command: str, typed: str | None = None) -> str:
        """Run a command and type into it; print its progress, keep its output under a name."""
        shown = f"{parlai_script()} {shlex.join(command.split())}"
        piped = "printf {} | ".format(shlex.quote(typed.replace("\n", "\\n"))) if typed else ""
        print(f"$ {piped}{shown}", flush=True)
        log = self.folder / "output" / f"{name}.txt"
        lines: list[str] = []
        begin = time.monotonic()
        process = subprocess.Popen(
            [parlai_script(), *command.split()],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            # several threads on cores that others use too slow so small a model down
            env={"OMP_NUM_THREADS": "1", **os.environ, "PYTHONUNBUFFERED": "1"},
            encoding="utf-8",
            errors="replace",
        )
        with process, open(log, "w", encoding="utf-8") as file:
            assert process.stdin is not None and process.stdout is not None
            with contextlib.suppress(BrokenPipeError):  # it has failed; its output says why
                process.stdin.write(typed or "")
                process.stdin.close()
            try:
                for line in process.stdout:
                    file.write(line)
                    lines.append(line)
                    if progress(line):
                        print("    " + progress(line), flush=True)
            except KeyboardInterrupt:
                try:  # the command has had the signal as well
                    process.wait(timeout=20)
                finally:
                    process.kill()
                raise
        if process.returncode != 0:
            raise Failed(f"{''.join(lines[-15:])}\nThis command failed:\n{shown}\nOutput: {log}")
        print(f"    done in {time.monotonic() - begin:.0f} s", flush=True)
        return "".join(lines)


def title(text: str) -> None:
    """Print the heading of a step."""
    print(f"\n{text}\n{'-' * len(text)}", flush=True)


def progress(line: str) -> str:
    """What of an output line is worth showing: the steps done, the share that learns."""
    if "total_steps:" in line or " parameters learn (" in line:
        return line.partition("|")[2].strip()
    return ""


def corrected_questions() -> list[str]:
    """Test questions about corrected facts, evenly spaced over them."""
    probes = [e for (e,) in corrections("test") if e.probe == "generalisation"]
    return [probe.text for probe in probes[:: len(probes) // SHOWN][:SHOWN]]


def table(before: dict[str, float], after: dict[str, float]) -> str:
    """The metrics of both models side by side."""
    rows = [f"{'answers with the right facts':<44}{'deployed':>10}{'candidate':>11}"]
    for key, what in (
        (f"{UPDATE}/efficacy", "corrected questions, worded as trained"),
        (f"{UPDATE}/generalisation", "corrected questions in other words"),
        (f"{UPDATE}/locality", "questions nearby, not corrected"),
        (f"{KEPT}/fact_acc", f"all that had to stay ({KEPT})"),
    ):
        rows.append(f"{what:<44}{before[key]:>10.1%}{after[key]:>11.1%}")
    key = f"{KEPT}/ppl"
    rows.append(f"{'perplexity on what had to stay':<44}{before[key]:>10.3f}{after[key]:>11.3f}")
    return "\n".join(rows)


def parlai_script() -> str:
    """The ``parlai`` that belongs to this Python, as short as it can be written."""
    beside = shutil.which("parlai", path=str(Path(sys.executable).parent))
    if beside is None:
        raise Failed(f"there is no parlai beside {sys.executable}; run: make demo")
    return min(os.path.relpath(beside), beside, key=len)


def main() -> int:
    """Parse the command line, run the demo; the exit status."""
    parser = argparse.ArgumentParser(description=__doc__.strip().splitlines()[0])
    parser.add_argument("--folder", type=Path, default=Path("demo"), help="default: demo")
    begin = time.monotonic()
    demo = Demo(parser.parse_args().folder)
    try:
        demo.run()
    except Failed as error:
        print(f"\n{error}", file=sys.stderr)
        return 1
    except (KeyboardInterrupt, subprocess.TimeoutExpired):
        print("\nStopped. Run it again to go on.", file=sys.stderr)
        return 130
    print(f"\nAll in {time.monotonic() - begin:.0f} s. Models and outputs are in {demo.folder}/.")
    return 0


if __name__ == "__main__":
    sys.exit(main())
