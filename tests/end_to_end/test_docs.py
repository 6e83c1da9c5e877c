"""Every command in README.md and docs/ runs as it is shown, in order, on tiny data."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import NEW, OLD, write_dialogues
from tests.corrections.test_review import log, record
from tests.end_to_end.loaded import parlai
from tests.tasks.test_dstc11 import write_corpus
from tests.tasks.test_sgd_service import write_original

ROOT = Path(__file__).parent.parent.parent
PAGES = [ROOT / "README.md", *sorted((ROOT / "parlai_cu" / "agents").glob("*/README.md"))]
PAGES += sorted((ROOT / "docs").glob("*.md"))
# explain, or show figures
WITHOUT = (
    "choosing_a_mode.md",
    "compatibility.md",
    "glossary.md",
    "how_it_works.md",
    "reference.md",
    "security.md",
)


def commands(page: Path) -> list[str]:
    """The `parlai` commands in a page's bash blocks, continuation lines joined."""
    found = []
    for block in re.findall(r"```bash\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("parlai "):
                found.append(line)
    return found


def examples(page: Path) -> dict[str, str]:
    """file name -> source, of the page's Python blocks that begin with their file's name."""
    blocks = re.findall(r"```python\n(# (\w+\.py)\n.*?)```", page.read_text(), re.DOTALL)
    return {name: source for source, name in blocks}


def serve(command: str, folder: Path) -> None:
    """Run a service until it says that it is ready, and end it."""
    process = subprocess.Popen(
        [sys.executable, "-m", *shlex.split(command)],
        cwd=folder,
        env={**os.environ, "OMP_NUM_THREADS": "1", "PYTHONUNBUFFERED": "1"},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )
    assert process.stdout is not None
    # ends with the process where that never gets ready
    said = []
    for line in process.stdout:
        said.append(line)
        if line.startswith("Ready: "):
            process.terminate()
    assert process.wait(60) == 0 and any(line.startswith("Ready: ") for line in said), said


@pytest.mark.slow
@pytest.mark.parametrize(
    "page", [p for p in PAGES if commands(p)], ids=lambda page: str(page.relative_to(ROOT))
)
def test_commands_run_as_shown(page: Path, deployed: Callable[[str], str], tmp_path: Path) -> None:
    """Each command of the page ends with status 0."""
    shown = commands(page)
    shutil.copytree(Path(deployed("transformer/generator")).parent, tmp_path / "deployed")
    # without limits of their own most commands train for ten epochs
    for name, lines in (("new", NEW), ("old", OLD), ("old_test", OLD)):
        write_dialogues(tmp_path / f"{name}.jsonl", lines, copies=1)
    (tmp_path / "facts.csv").write_text("id,text\nparking,Parking is free at the hotel.\n")
    shutil.copy(ROOT / "parlai_cu" / "chat_service" / "config.yml", tmp_path)
    write_original(tmp_path / "sgd")
    write_corpus(tmp_path / "dstc11")
    log(tmp_path / "chatlog.jsonl", [record(i) for i in range(20)])
    (tmp_path / "notes").mkdir()
    (tmp_path / "notes" / "door.txt").write_text("The door is open from nine to five.\n")
    for name, source in examples(page).items():
        (tmp_path / name).write_text(source)
    for command in shown:
        if "--lora-rank" in command:
            # another selection for the same -mf is refused, as it should be
            shutil.rmtree(tmp_path / "candidate", ignore_errors=True)
        if command.startswith("parlai serve"):
            serve(command, tmp_path)
            continue
        status, printed = parlai(shlex.split(command)[1:], tmp_path, "open the door\n[EXIT]\n")
        assert status == 0, f"{command}\n{printed[-2000:]}"


def pasted(page: Path) -> list[str]:
    """The `parlai` commands of a page's pasted sessions."""
    found = []
    for block in re.findall(r"```console\n(.*?)```", page.read_text(), re.DOTALL):
        for line in block.replace("\\\n", " ").splitlines():
            # with an ellipsis it is what a command printed, shortened
            if line.startswith("$ parlai ") and " ... " not in line:
                found.append(line[len("$ ") :])
    return found


@pytest.mark.slow
@pytest.mark.parametrize("page", [p for p in PAGES if pasted(p)], ids=lambda page: page.name)
def test_pasted_commands_run(page: Path, tmp_path: Path) -> None:
    """What a page pasted from a longer run still runs, cut to a few steps and examples."""
    (tmp_path / "demo" / "output").mkdir(parents=True)  # the demo makes it
    cut = {
        "train_model": "-tstep 2 -vme 4",
        "eval_model": "-ne 4",
        "update_model": "--gate-examples 20 --training '-tstep 2 -vstep 2 -vme 4'",
        "promote": "--force",  # what was trained so little is not accepted
    }
    for command in pasted(page):
        less = " ".join(cut.get(word, "") for word in command.split()[1:3])
        words = [*shlex.split(command)[1:], *shlex.split(less)]
        status, printed = parlai(words, tmp_path, "My new phone does 5G\n[EXIT]\n")
        assert status == 0, f"{command}\n{printed[-2000:]}"


@pytest.mark.parametrize("page", PAGES, ids=lambda page: str(page.relative_to(ROOT)))
def test_a_page_shows_commands(page: Path) -> None:
    """To be run above; but for those that explain or show figures."""
    assert commands(page) or pasted(page) or page.name in WITHOUT


@pytest.mark.slow
def test_the_demo(tmp_path: Path) -> None:
    """examples/demo.py runs to its table, and the candidate is the better one on the update."""
    done = subprocess.run(
        [sys.executable, str(ROOT / "examples" / "demo.py"), "--folder", str(tmp_path / "demo")],
        capture_output=True,
        text=True,
        timeout=1200,
    )
    assert done.returncode == 0, done.stdout[-1000:] + done.stderr[-2000:]
    table = done.stdout.split("What was gained")[1]
    row = next(line for line in table.splitlines() if "in other words" in line)
    before, after = (float(number) for number in re.findall(r"(\d+\.\d+)%", row))
    assert after > before + 10
