"""A command imports what it needs, and ParlAI's own command line is what it was."""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]

# what takes seconds to import
HEAVY = ("torch", "numpy", "scipy", "sklearn", "pandas", "sympy", "nltk", "transformers")
# what torch needs itself
OF_TORCH = ("torch", "numpy")

SAY_IMPORTED = """
import atexit, sys
names = sys.argv[1].split(",")
def said():
    print("IMPORTED", *[name for name in names if name in sys.modules])
atexit.register(said)
"""
RUN = (
    SAY_IMPORTED + "words = sys.argv[2:]\nsys.argv[1:] = words\nfrom parlai.__main__ import main\n"
)


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """``python(code, *arguments)``: a fresh interpreter."""

    def run(code: str, *arguments: str, **more: str) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            [sys.executable, "-c", code, *arguments],
            cwd=tmp_path,
            env={**os.environ, "OMP_NUM_THREADS": "1", "COLUMNS": "100", "PYTHONHASHSEED": "0"},
            capture_output=True,
            text=True,
            timeout=120,
            **more,
        )

    return run


def imported(result: "subprocess.CompletedProcess[str]") -> list[str]:
    """Which of the heavy libraries a process had when it ended."""
    (line,) = [line for line in result.stdout.splitlines() if line.startswith("IMPORTED")]
    return line.split()[1:]


NO_MODEL = [
    ("--help", 0, "Commands:"),
    ("helpall", 0, "vacuum"),
    ("", 0, "Commands:"),
    ("--version", 0, "ParlAI version 1.7.2"),
    ("versions --help", 0, "promote"),
    ("help versions", 0, "promote"),
    ("serve --help", 0, "--config-path"),
    ("doctor --help", 0, "doctor"),
    ("update_model --help", 0, "--retain-task"),
    ("knowledge_base --help", 0, "--kb"),
    ("export_model --help", 0, "--outfile"),
    ("train_modle", 2, "nearest: train_model"),
    ("review", 2, "parlai versions review"),
    ("roll-back", 2, "nearest"),
    ("verify", 2, "parlai knowledge_base verify or parlai versions verify"),
    ("versions list --versions nowhere", 1, "there is no such folder"),
    ("versions promte v1", 1, "nearest: promote"),
    ("versions list --version nowhere", 2, "--versions"),
    ("knowledge_base stats --kb sqlite:///nowhere.db", 1, "no such file"),
    ("serve --config-path nowhere.yml", 1, "there is no such file"),
]
EACH = """
import contextlib, io, json, sys
from parlai.core.script import superscript_main
def said(words):
    out = io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(out):
        try:
            superscript_main(words)
            status = 0
        except SystemExit as end:
            status = end.code
        except Exception as error:
            from parlai_cu.errors import short_excepthook
            short_excepthook(type(error), error, error.__traceback__)
            status = 1
    return status, out.getvalue(), [name for name in sys.argv[2].split(",") if name in sys.modules]
print(json.dumps([said(line.split()) for line in json.loads(sys.argv[1])]))
"""


def test_no_model_no_torch(python: Run) -> None:
    """What needs no model imports none of the heavy libraries, and says what it is to say."""
    lines = json.dumps([line for line, _, _ in NO_MODEL])
    result = python(EACH, lines, ",".join(HEAVY))
    results = json.loads(result.stdout.splitlines()[-1])
    for (line, status, said), (ended, text, imported) in zip(NO_MODEL, results):
        assert ended == status and said in text and "Traceback" not in text, (line, text)
        assert imported == [], line


def test_versions_and_facts_need_no_torch(
    python: Run, tmp_path: Path, made_store: tuple[str, str]
) -> None:
    """Versions are listed, shown, checked, promoted and rolled back, facts changed without it."""
    store, version = made_store
    (tmp_path / "facts.csv").write_text("id,text\nf1,We open at nine.\n")
    lines = [
        f"versions list --versions {store}",
        f"versions show {version} --versions {store}",
        f"versions verify --versions {store}",
        f"versions promote {version} --force --versions {store}",
        f"versions prune --versions {store}",
        "knowledge_base import --kb sqlite:///facts.db --file facts.csv --kb-encoder none",
        "knowledge_base add --kb sqlite:///facts.db --text hours",
        "knowledge_base stats --kb sqlite:///facts.db",
        "knowledge_base history --kb sqlite:///facts.db",
    ]
    code = SAY_IMPORTED + (
        "from parlai.core.script import superscript_main\n"
        "for line in sys.argv[2:]:\n    superscript_main(line.split())\n"
    )
    result = python(code, ",".join(HEAVY), *lines)
    assert result.returncode == 0, result.stderr
    assert "imported 1 facts" in result.stdout
    assert imported(result) == []
    # the figures of what moved are NumPy's
    result = python(code, ",".join(HEAVY), f"versions diff {version} live --versions {store}")
    assert result.returncode == 0, result.stderr
    assert imported(result) == ["numpy"]


@pytest.fixture(scope="module")
def made_store(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, str]:
    """A versions directory with one version, and its id."""
    from parlai_cu.versions.store import VersionStore
    from tests.versions.models import write_model

    folder = tmp_path_factory.mktemp("made")
    store = VersionStore(str(folder / "store"), create=True)
    version = store.add(write_model(folder / "model"), mode="import")
    return store.path, version.id


def test_training_asks_for_what_it_uses(python: Run) -> None:
    """`train_model --help` imports torch, and nothing that only some agents or runs need."""
    result = python(RUN + "main()", ",".join(HEAVY), "train_model", "--help")
    assert result.returncode == 0 and "--validation-every-n-secs" in result.stdout
    assert imported(result) == [*OF_TORCH]


def test_a_model_that_talks(python: Run) -> None:
    """`interactive` with the shipped model imports neither scikit-learn nor sharded training."""
    more = (*HEAVY, "torch._dynamo", "torch.distributed.fsdp", "joblib")
    words = ["interactive", "-mf", "zoo:telecom/base"]
    result = python(RUN + "main()", ",".join(more), *words, input="hello\n[EXIT]\n")
    assert result.returncode == 0, result.stderr
    assert "Enter Your Message" in result.stdout
    assert imported(result) == [*OF_TORCH]


HELPS = """
import contextlib, io, json, sys
from parlai_cu import plugin
if sys.argv[1] == "stock":
    del plugin.EXTENSIONS["command_line"]
    plugin.LATE_IMPORTS.clear()
    # the finder has been made with what the lists said
from parlai_cu.activation import activate
activate()
from parlai.core import script
def said(words):
    out, err = io.StringIO(), io.StringIO()
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        try:
            script.superscript_main(words)
            status = 0
        except SystemExit as end:
            status = end.code
    return [status, out.getvalue(), err.getvalue()]
names = json.loads(sys.argv[2])
sys.argv[:] = ["parlai"]
print(json.dumps({" ".join(words): said(words) for words in names}))
"""


def test_stock_help_is_what_it_was(python: Run) -> None:
    """`--help` of every stock command, by each of its names, and wrong lines, as by ParlAI."""
    from parlai_cu.host import stock_commands

    lines: list[list[str]] = [[], ["-h"], ["--help"], ["--helpall"], ["helpall"], ["help"], ["h"]]
    for name, command in stock_commands.listed().items():
        lines += [[asked, "--help"] for asked in (name, *command.aliases)]
        lines += [[name, "--no-such-flag"], [name, "--batchsize"]]
    lines += [["train_model", "-m", "transformer/generator", "--help"], ["no_such_command"]]
    lines += [["--no-such-flag"], ["interactive", "--helpall"], ["display_data", "stray"]]
    before, now = (
        json.loads(python(HELPS, kind, json.dumps(lines)).stdout.splitlines()[-1])
        for kind in ("stock", "ours")
    )
    assert len(before) > 70
    # our commands are in the list of a stock ParlAI with the plugin only by the extension
    ours = ("doctor", "export_model", "versions", "update_model", "serve", "knowledge_base")
    differ = [line for line in before if before[line] != now[line]]
    for line in list(differ):
        if len(line.split()) <= 1 and before[line][0] == now[line][0]:
            gone = [text for text in before[line][1].splitlines() if text not in now[line][1]]
            assert not gone and any(name in now[line][1] for name in ours)
            differ.remove(line)
    assert differ == []


def test_the_list_is_of_this_parlai(python: Run) -> None:
    """The stored list says of each command what ParlAI says of it."""
    from parlai_cu.host import stock_commands

    code = (
        "import dataclasses, json\nfrom parlai_cu.host import stock_commands\n"
        "found = stock_commands.read_from_parlai()\n"
        "commands = {n: dataclasses.asdict(c) for n, c in found.items()}\n"
        "print(json.dumps([commands, stock_commands.agent_flags_from_parlai()]))"
    )
    found, agents = json.loads(python(code).stdout.splitlines()[-1])
    kept = stock_commands.agent_flags()
    assert {name: kept.get(name) for name in agents} == agents  # some need a library
    told = {name: command.flags for name, command in stock_commands.listed().items()}
    flags = {name: command.pop("flags") for name, command in found.items()}
    for name, command in found.items():
        listed = stock_commands.listed()[name]
        assert (listed.module, list(listed.aliases)) == (command["module"], command["aliases"])
        assert (listed.hidden, listed.description) == (command["hidden"], command["description"])
    assert told == flags, "write it anew: python -m parlai_cu.host.stock_commands"
    assert list(told) == list(flags)


def test_a_command_of_ours_is_named_as_its_file() -> None:
    """By a command's name its module is found, so they agree."""
    from parlai.core import script

    from parlai_cu import plugin

    script.setup_script_registry()
    for module in plugin.SCRIPTS:
        registration = script.SCRIPT_REGISTRY[module.rpartition(".")[2]]
        assert registration.klass.__module__ == module


def test_another_parlai_is_asked_itself(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A ParlAI with one more script than the list knows lists it."""
    import parlai.scripts
    from parlai.core import script

    from parlai_cu.host import stock_commands

    (tmp_path / "shout.py").write_text(
        "from parlai.core.script import ParlaiScript, register_script\n"
        "from parlai.core.params import ParlaiParser\n"
        "@register_script('shout')\nclass Shout(ParlaiScript):\n"
        "    @classmethod\n    def setup_args(cls):\n        return ParlaiParser(False, False)\n"
        "    def run(self):\n        print('SHOUTED')\n"
    )
    monkeypatch.setattr(parlai.scripts, "__path__", [*parlai.scripts.__path__, str(tmp_path)])
    stock_commands.listed.cache_clear()
    try:
        script.superscript_main(["shout"])
    finally:
        stock_commands.listed.cache_clear()
        script.SCRIPT_REGISTRY.pop("shout", None)
    assert "SHOUTED" in capsys.readouterr().out
