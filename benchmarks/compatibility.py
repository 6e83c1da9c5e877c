"""
Which of ParlAI's agents do what, with and without this package: nothing here is written by hand.

Every agent that ParlAI ships and that can be made tiny without a download is trained by the stock
command, and put through everything of ours. A cell says ``yes``, or in a footnote what the command
answered; an agent that learns nothing has empty cells. "Served" is two turns through ``parlai
serve``, "deployed" a chat with ``-m deployed``.

    python benchmarks/compatibility.py --out bench/compatibility

Ends by writing ``results.json`` and ``table.md``. Each cell runs in a process of its own, forked
from one that has loaded torch and ParlAI.
"""

import argparse
import contextlib
import io
import json
import multiprocessing
import os
import re
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import requests
import yaml
from harness import about

ROOT = Path(__file__).parent.parent
sys.path.insert(0, str(ROOT))

# the agents, and what makes each tiny, are those of the tests
from tests.compat import test_stock_agents as stock  # noqa: E402
from tests.compat.tiny_checkpoints import make_gpt2, make_t5  # noqa: E402

LEARNING = ("frozen_layer", "teacher", "student", "kb base")
COLUMNS = ("train", "eval", "interactive", *LEARNING, "served", "deployed")
SAID = ["hello", "how are you"]
CHAT = "\n".join([*SAID, "[EXIT]\n"])
LIMIT = 300.0  # s, of one cell
PAUSE = 0.2  # s, between two looks whether a service is ready
OK = "yes"
CONFIG = ROOT / "parlai_cu" / "chat_service" / "config.yml"
PRINTED = "printed.txt"
OWN_DATA = ("knowledge_base", "versions")  # take no --datapath


def main() -> None:
    """All agents, all columns."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("bench/compatibility"))
    parser.add_argument("--agents", nargs="*", default=list(stock.TRAIN))
    parser.add_argument("--columns", nargs="*", default=list(COLUMNS))
    parser.add_argument("--earlier", type=Path, help="results whose other cells are kept")
    args = parser.parse_args()
    args.out.mkdir(parents=True, exist_ok=True)
    rows: dict[str, dict[str, str]] = {}
    if args.earlier:
        rows = {row["agent"]: row for row in json.loads(args.earlier.read_text())["rows"]}
    for agent in args.agents:
        with tempfile.TemporaryDirectory() as folder:
            cells = Cells(agent, Path(folder)).all(args.columns)
        rows[agent] = {**rows.get(agent, {}), "agent": agent, **cells}
        print(rows[agent], flush=True)
    result = {"about": about(), "rows": [rows[name] for name in stock.TRAIN if name in rows]}
    (args.out / "results.json").write_text(json.dumps(result, indent=2))
    (args.out / "table.md").write_text(table(result))
    print(table(result))


class Cells:
    """
    What one agent does.

    :param folder: an empty one, for its models and data
    """

    def __init__(self, agent: str, folder: Path) -> None:
        self.agent, self.folder = agent, folder
        self.task = ["-t", stock.TASKS.get(agent, "jsonfile")]
        if agent not in stock.TASKS:
            self.task += ["--jsonfile-datapath", "talk.jsonl"]
        self.use = stock.USE.get(agent, [])
        turns = [[{"id": "a", "text": q}, {"id": "b", "text": r}] for q, r in stock.TALK]
        with open(folder / "talk.jsonl", "w") as f:
            f.writelines(json.dumps({"dialog": turns}) + "\n" for _ in range(8))
        facts = "id,text\nparking,Parking is free.\nhello,Hello is a greeting.\n"
        (folder / "facts.csv").write_text(facts)

    def all(self, columns: Sequence[str]) -> dict[str, str]:
        """column -> yes, or what the command answered."""
        learns = stock.TRAIN[self.agent] is not None
        use = ["-mf", "model", *self.use] if learns else ["-m", self.agent, *self.use]
        cells: dict[str, Callable[[], str]] = {
            "eval": lambda: self.parlai("eval_model", *use, *self.task, "-ne", "4"),
            "interactive": lambda: self.parlai("interactive", *use),
            "served": self.served,
        }
        if learns:
            steps = [*self.task, "--max-train-steps", "2", "-vme", "4", "-bs", "2"]
            start = ["--init-model", "model", "--tune", "*", "-mf", "tuned"]
            taught = ["--teacher-model", "model", "-mf", "student"]
            student = ["-mf", "student", *self.task, "-ne", "4"]
            cells["frozen_layer"] = lambda: self.learns("frozen_layer", *start, *steps)
            cells["teacher"] = lambda: self.learns("distill_student", *taught, *steps)
            cells["student"] = lambda: self.parlai("eval_model", *student)
            cells["kb base"] = self.kb_base
            cells["deployed"] = self.deployed
        done = {"train": self.train()} if learns else {}
        for column in columns:
            # without a teacher there is no student
            if column in cells and (column != "student" or done.get("teacher") == OK):
                done[column] = cells[column]()
        return done

    def learns(self, agent: str, *words: str) -> str:
        """A training by one of our agents."""
        return self.parlai("train_model", "-m", agent, *words)

    def kb_base(self) -> str:
        """The model below a knowledge base."""
        kb = ["--kb", "sqlite:///facts.db"]
        self.parlai("knowledge_base", "import", *kb, "--file", "facts.csv")
        base = ["-m", "kb_augmented", "--init-model", "model", *kb, *self.task, "-ne", "4"]
        return self.parlai("eval_model", *base)

    def train(self) -> str:
        """Train the tiny model at ``model``."""
        if self.agent == "hugging_face/gpt2":
            make_gpt2(self.folder / "gpt2")
        elif self.agent == "hugging_face/t5":
            make_t5(self.folder / "t5-small")
        elif self.agent == "bart":
            init = ["-m", "transformer/generator", "-mf", "bart_init", "-vme", "2"]
            self.parlai("train_model", *init, *self.task, *stock.BART, "--max-train-steps", "1")
        words = ["-m", self.agent, "-mf", "model", *self.task, *stock.TRAIN[self.agent]]
        return self.parlai("train_model", *words)

    def deployed(self) -> str:
        """A chat with the model as a version that is live."""
        versions = ["--versions", "versions"]
        answer = self.parlai("versions", *versions, "import", "-mf", "model")
        if answer != OK:
            return answer
        self.parlai("versions", *versions, "promote", "v1", "--force")
        return self.parlai("interactive", "-m", "deployed", *versions, *self.use)

    def served(self) -> str:
        """Two turns through the HTTP of ``parlai serve``."""
        trained = stock.TRAIN[self.agent] is not None
        model = {"model_file": "model"} if trained else {"model": self.agent}
        names = (flag.strip("-").replace("-", "_") for flag in self.use[::2])
        flags = dict(zip(names, map(yaml.safe_load, self.use[1::2])))
        config = yaml.safe_load(CONFIG.read_text())
        config["opt"]["models"] = {"support": {**model, **flags, "datapath": "data"}}
        config["opt"]["chat"] = {"conversations": "none"}
        (self.folder / "config.yml").write_text(yaml.safe_dump(config))
        serve = ["serve", "--config-path", "config.yml", "--port", "0"]
        printed = self.folder / PRINTED
        printed.unlink()
        with running(serve, self.folder) as (process, answer):
            until = time.monotonic() + LIMIT
            while time.monotonic() < until and not answer.poll(PAUSE):
                said = printed.read_text() if printed.exists() else ""
                ready = re.search(r"^Ready: (\S+)", said, re.MULTILINE)
                if ready:
                    return talked_to(ready[1] + "/")
            return received(answer) if answer.poll() else "not ready within its time"

    def parlai(self, *words: str) -> str:
        """Run one command; yes, or its error."""
        with running(words, self.folder) as (_, answer):
            if not answer.poll(LIMIT):
                return "no answer within its time"
            return received(answer)


@contextlib.contextmanager
def running(words: Sequence[str], folder: Path) -> Iterator[tuple[Any, Any]]:
    """A command at work: its process, and where it sends how it ended. It ends with the block."""
    context = multiprocessing.get_context("fork")
    ours, theirs = context.Pipe(duplex=False)
    process = context.Process(target=command, args=(list(words), str(folder), theirs))
    process.start()
    theirs.close()
    try:
        yield process, ours
    finally:
        process.kill()
        process.join()


def received(answer: Any) -> str:
    """What a command sent before it ended."""
    try:
        return str(answer.recv())
    except EOFError:
        return "it ended without a word"


def command(words: list[str], folder: str, answer: Any) -> None:
    """In a process of its own: run parlai, and send how it ended."""
    from parlai.core.script import superscript_main

    os.chdir(folder)
    os.environ["HF_HUB_OFFLINE"] = "1"
    # the log was opened before the fork
    with open("log.txt", "a") as log:
        os.dup2(log.fileno(), 1)
        os.dup2(log.fileno(), 2)
    sys.stdin = io.StringIO(CHAT)
    try:
        with open(PRINTED, "w", buffering=1) as output:
            with contextlib.redirect_stdout(output), contextlib.redirect_stderr(output):
                data = [] if words[0] in OWN_DATA else ["--datapath", "data"]
                superscript_main([*words, *data])
        ended = words[0] != "interactive" or "CHAT DONE" in Path(PRINTED).read_text()
        answer.send(OK if ended else "the chat did not end")
    except BaseException as error:
        answer.send(shortened(error))


def talked_to(address: str) -> str:
    """Say something to a service; yes, or what is wrong with its replies."""
    begun = requests.post(f"{address}v1/conversations", timeout=LIMIT).json()
    for text in SAID:
        turns = f"{address}v1/conversations/{begun['id']}/turns"
        answer = requests.post(turns, json={"text": text}, timeout=LIMIT).json()
        replies = answer.get("messages")
        if not replies:
            return f"no reply; it says: {answer.get('text', 'nothing')}"
        if any(reply.get("failed") for reply in replies):
            return f"the model failed: {replies[-1]['text']}"
    return OK


def shortened(error: BaseException) -> str:
    """An error as one line."""
    said = " ".join(str(error).split()) or "no words"
    kind = type(error).__name__
    return re.sub(r"/\S*/", "", f"{kind}: {said}")[:400]


def table(result: dict[str, Any]) -> str:
    """The matrix as Markdown, with what commands answered as numbered notes."""
    columns = [name for name in COLUMNS if any(name in row for row in result["rows"])]
    lines = [
        f"Measured: {json.dumps(result['about'])}",
        "",
        "| agent | " + " | ".join(columns) + " |",
        "|---|" + "---|" * len(columns),
    ]
    notes: list[str] = []

    def cell(answer: str | None) -> str:
        if answer is None or answer == OK:
            return answer or ""
        if answer not in notes:
            notes.append(answer)
        return f"no ({notes.index(answer) + 1})"

    for row in result["rows"]:
        cells = [cell(row.get(name)) for name in columns]
        lines.append(f"| `{row['agent']}` | " + " | ".join(cells) + " |")
    numbered: list[tuple[int, str]] = list(enumerate(notes, 1))
    return "\n".join([*lines, "", *(f"{i}. {note}" for i, note in numbered)]) + "\n"


if __name__ == "__main__":
    import parlai.scripts.eval_model  # noqa: F401  loaded once, for all that are forked
    import parlai.scripts.train_model  # noqa: F401

    main()
