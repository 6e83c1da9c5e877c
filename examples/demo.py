"""
A deployed chat assistant learns something new and keeps what it knows: ``make demo``.

It runs ordinary ``parlai`` commands and prints each, to be copied:

1. train the assistant of a bicycle shop, as it is in service (stock ParlAI);
2. update it: ``-m frozen_layer`` trains the feed-forward layers and the word vectors on the
   shop's news, taking turns with old training data (ParlAI's multitasking), so that the old is
   not forgotten; attention and normalisation stay as they are;
3. evaluate both models on the news and on what was to be kept;
4. ask both the same questions.

All is written to ``demo/`` (or ``--folder``), with each command's output. A deployed model that
is there from an earlier run is used again. Figures vary by a point or two: stock ParlAI draws a
new model's weights before it applies ``--seed``.
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
from typing import Dict, List, Optional

KEPT, UPDATE = "bike_shop:kept", "bike_shop:update"
CORRECTED, NEW = "Can you tell me your opening hours?", "How long should I charge the battery?"
QUESTIONS = [CORRECTED, NEW, "Do you offer home delivery?"]

# A model of real size has a dictionary that knows nearly every word. So small a corpus has not:
# the words of the news go in from the start. The model is trained without them all the same.
DICTIONARY = "build_dict -t bike_shop,{update} --dict-file {deployed}.dict"
TRAIN = """train_model -m transformer/generator -t bike_shop -mf {deployed}
    --embedding-size 128 --ffn-size 256 --n-layers 2 --n-heads 4 --dropout 0.1
    --optimizer adam -lr 0.002 --lr-scheduler cosine --warmup-updates 50 --text-truncate 128
    --batchsize 32 --max-train-steps 450 --skip-generation true --seed 1"""
TUNE = """train_model -m frozen_layer --init-model {deployed} -mf {candidate}
    --tune @ffn,@embeddings -t {update},{kept} -lr 0.001
    --batchsize 16 --max-train-steps 300 --skip-generation true --seed 1"""
EVALUATE = """eval_model -mf {model} -t {update},{kept} --datatype test
    --skip-generation true --batchsize 32 --report-filename {report}"""
ASK = "interactive -mf {model} --skip-generation false"


class Failed(Exception):
    """A command failed; the message says which, and where its output is."""


class Demo:
    """The steps, each a ``parlai`` command; models, reports and outputs go to ``folder``."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.deployed = folder / "deployed" / "model"
        self.candidate = folder / "candidate" / "model"
        (folder / "output").mkdir(parents=True, exist_ok=True)

    def run(self) -> None:
        """All steps, then the table."""
        title("1. The assistant in service, trained by stock ParlAI (about a minute)")
        self.train_deployed()
        title("2. Its update: feed-forward layers and word vectors learn, the rest is frozen")
        shutil.rmtree(self.candidate.parent, ignore_errors=True)
        names = dict(deployed=self.deployed, candidate=self.candidate, update=UPDATE, kept=KEPT)
        self.parlai("update", TUNE.format(**names))
        title("3. Both on test questions whose wording neither has seen")
        before, after = self.evaluate(self.deployed), self.evaluate(self.candidate)
        title("4. Both are asked the same questions")
        for question, *said in zip(QUESTIONS, self.ask(self.deployed), self.ask(self.candidate)):
            print(f"\n  customer:  {question}\n  deployed:  {said[0]}\n  candidate: {said[1]}")
        title("What was gained, and what it cost")
        print(table(before, after))

    def train_deployed(self) -> None:
        """Train it, unless an earlier run did so with the same command."""
        command = TRAIN.format(deployed=self.deployed)
        done = self.deployed.with_name("trained_by.txt")
        if done.is_file() and done.read_text() == command:
            print(f"{self.deployed} is there already. Delete {self.deployed.parent} to train anew.")
            return
        # what an interrupted run left would be resumed with its old settings
        shutil.rmtree(self.deployed.parent, ignore_errors=True)
        self.parlai("dictionary", DICTIONARY.format(deployed=self.deployed, update=UPDATE))
        self.parlai("train", command)
        done.write_text(command)

    def evaluate(self, model: Path) -> Dict[str, float]:
        """The metrics of a model on both test sets, named ``task/metric``."""
        report = self.folder / "output" / f"{model.parent.name}.json"
        command = EVALUATE.format(model=model, update=UPDATE, kept=KEPT, report=report)
        self.parlai(f"evaluate_{model.parent.name}", command)
        return dict(json.loads(report.read_text())["report"])

    def ask(self, model: Path) -> List[str]:
        """What a model answers to the questions, each the first of a new chat."""
        typed = "\n[DONE]\n".join(QUESTIONS) + "\n[EXIT]\n"
        output = self.parlai(f"ask_{model.parent.name}", ASK.format(model=model), typed)
        answers = re.findall(r"^Enter Your Message: \[\w+\]: (.*)$", output, re.MULTILINE)
        if len(answers) != len(QUESTIONS):
            raise Failed(f"{model} did not answer every question; see {self.folder / 'output'}")
        return answers

    def parlai(self, name: str, command: str, typed: Optional[str] = None) -> str:
        """Run a command and type into it; print its progress, keep its output under a name."""
        shown = f"{parlai_script()} {shlex.join(command.split())}"
        piped = "printf {} | ".format(shlex.quote(typed.replace("\n", "\\n"))) if typed else ""
        print(f"$ {piped}{shown}", flush=True)
        log = self.folder / "output" / f"{name}.txt"
        lines: List[str] = []
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


def table(before: Dict[str, float], after: Dict[str, float]) -> str:
    """The metrics of both models side by side."""
    rows = [f"{'test set':<38}{'metric':<14}{'deployed':>10}{'candidate':>11}"]
    for task, what in ((UPDATE, "the news"), (KEPT, "what was to be kept")):
        for metric, label in (("token_acc", "tokens right"), ("ppl", "perplexity")):
            values = [report[f"{task}/{metric}"] for report in (before, after)]
            cells = [f"{v:.1%}" if metric == "token_acc" else f"{v:,.2f}" for v in values]
            name = f"{what} ({task})" if metric == "token_acc" else ""
            rows.append(f"{name:<38}{label:<14}{cells[0]:>10}{cells[1]:>11}")
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
