"""ParlAI knows the plugin without a flag, and runs on whatever happens to the plugin."""

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

Run = Callable[..., "subprocess.CompletedProcess[str]"]


def installed() -> bool:
    """Whether site-packages holds our .pth file (else nothing here can be tested)."""
    from parlai_cu.scripts.doctor import _find_pth

    return _find_pth() is not None


pytestmark = pytest.mark.skipif(
    not installed(), reason="parlai-cu is not installed (pip install -e .)"
)


@pytest.fixture
def python(tmp_path: Path) -> Run:
    """``python("-c", code)``: a fresh interpreter, away from the checkout."""

    def run(
        *arguments: str, path: Path | None = None, cwd: Path | None = None
    ) -> "subprocess.CompletedProcess[str]":
        env = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
        env["OMP_NUM_THREADS"] = "1"
        if path is not None:
            env["PYTHONPATH"] = str(path)
        return subprocess.run(
            [sys.executable, *arguments],
            cwd=cwd or tmp_path,
            env=env,
            capture_output=True,
            text=True,
            timeout=120,
        )

    return run


def good(result: Any) -> str:
    """The output of a run that went well and said nothing of us on stderr."""
    assert result.returncode == 0, result.stderr
    assert "parlai_cu:" not in result.stderr
    return str(result.stdout)


def our_lines(result: Any) -> list[str]:
    """What we said on stderr; a deprecated pkg_resources has its own lines there."""
    assert "Traceback" not in result.stderr
    return [line for line in result.stderr.splitlines() if line.startswith("parlai_cu:")]


def test_agent_names_are_known_but_not_imported(python: Run) -> None:
    """The registry knows our agents after `import parlai` alone; none is imported for it."""
    code = (
        "import sys\nfrom parlai.core.loader import AGENT_REGISTRY\n"
        "assert 'frozen_layer' in AGENT_REGISTRY and 'cu:frozen_layer' in AGENT_REGISTRY\n"
        "assert not [m for m in sys.modules if m.startswith('parlai_cu.agents')]\n"
        "from parlai.core.loader import load_agent_module\n"
        "print(load_agent_module('frozen_layer').__name__)"
    )
    assert good(python("-c", code)) == "FrozenLayerAgent\n"


def commands_in(text: str) -> bool:
    """Whether a help text lists ParlAI's commands and ours."""
    return "train_model" in text and "\n  doctor" in text


def test_parlai_lists_our_commands(python: Run) -> None:
    """`parlai -h` lists our commands beside ParlAI's."""
    parlai = Path(sys.executable).with_name("parlai")
    if not parlai.exists():
        pytest.skip("there is no `parlai` beside this interpreter")
    assert commands_in(good(python(str(parlai), "-h")))


@pytest.mark.parametrize("module", ["parlai", "parlai_cu"])
def test_python_m(module: str, python: Run) -> None:
    """`python -m parlai` and `python -m parlai_cu` list them too."""
    assert commands_in(good(python("-m", module, "-h")))


def test_plain_script(python: Run, tmp_path: Path) -> None:
    """A user's own script finds our agent by its name, with no import of ours."""
    script = tmp_path / "script.py"
    script.write_text(
        "from parlai.core.params import ParlaiParser\n"
        "opt = ParlaiParser(True, True).parse_args(['-m', 'frozen_layer'])\nprint(opt['model'])"
    )
    assert good(python(str(script))).endswith("frozen_layer\n")


ALIASES = """
from parlai_cu import plugin
plugin.TASKS["my_task"] = "my_package.my_task"
plugin.ZOO["my_model"] = "my_package.my_model"
import sys
sys.meta_path[:] = [f for f in sys.meta_path if type(f).__name__ != "_Finder"]
import parlai_cu.activation
parlai_cu.activation.activate()
import parlai, parlai.tasks.my_task.agents, my_package.my_task.agents
assert parlai.tasks.my_task.agents is my_package.my_task.agents
from parlai.core.loader import load_teacher_module
assert load_teacher_module("my_task").text == "hello"
from parlai.core.build_data import modelzoo_path
print(modelzoo_path("DATA", "zoo:my_model/model"))
try:
    import parlai.tasks.my_task.worlds
except ModuleNotFoundError as error:
    print(error.name)
"""


def test_task_and_zoo_names(python: Run, tmp_path: Path) -> None:
    """`-t NAME` and `zoo:NAME/...` find packages of ours; what they lack is just not there."""
    package = tmp_path / "my_package"
    for part in ("my_task", "my_model"):
        (package / part).mkdir(parents=True)
        (package / part / "__init__.py").write_text("")
    (package / "__init__.py").write_text("")
    (package / "my_task" / "agents.py").write_text("class DefaultTeacher:\n    text = 'hello'\n")
    (package / "my_model" / "build.py").write_text("def download(path):\n    print('got', path)\n")
    output = good(python("-c", ALIASES))
    expected = ["got DATA", "DATA/models/my_model/model", "parlai.tasks.my_task.worlds"]
    assert output.splitlines() == expected


def test_every_start_is_cheap(python: Run) -> None:
    """An interpreter that does not use ParlAI imports nothing of ours, of ParlAI or torch."""
    code = (
        "import sys\n"
        "heavy = ('parlai', 'parlai_cu', 'torch', 'numpy', 'importlib.metadata')\n"
        "assert not [name for name in heavy if name in sys.modules]\n"
        # in a virtual environment Python reads each .pth file twice
        "print('ParlaiCuStub' in [getattr(f, '__name__', '') for f in sys.meta_path])"
    )
    assert good(python("-c", code)) == "True\n"


def test_importing_us_is_cheap(python: Run) -> None:
    """`import parlai_cu` imports neither ParlAI nor torch."""
    code = (
        "import sys, parlai_cu\n"
        "print([name for name in ('parlai', 'torch', 'numpy') if name in sys.modules])"
    )
    assert good(python("-c", code)) == "[]\n"


def test_help_does_not_import_our_parts(python: Run) -> None:
    """Listing the commands imports no agent and no repair that is not asked for."""
    code = (
        "import sys\nfrom parlai.core.script import setup_script_registry\n"
        "setup_script_registry()\n"
        "ours = ('parlai_cu.agents.frozen_layer', 'transformers')\n"
        "print([m for m in sys.modules if m.startswith(ours)])"
    )
    assert good(python("-c", code)) == "[]\n"


@pytest.mark.parametrize(
    "files",
    [
        {"__init__.py": "raise RuntimeError('broken')"},
        {"__init__.py": "", "activation.py": ""},
        {"__init__.py": "", "activation.py": "def activate(:"},
    ],
    ids=["raises", "is another package", "does not compile"],
)
def test_broken_plugin(files: dict[str, str], python: Run, tmp_path: Path) -> None:
    """ParlAI runs without us, and one line on stderr says that the plugin is off."""
    shadow = tmp_path / "shadow" / "parlai_cu"
    shadow.mkdir(parents=True)
    for name, content in files.items():
        (shadow / name).write_text(content)
    result = python("-c", "import parlai\nprint(parlai.__version__)", path=shadow.parent)
    assert result.returncode == 0
    assert result.stdout == "1.7.2\n"
    (line,) = our_lines(result)
    assert line.startswith("parlai_cu: the plugin is off (")
    assert line.endswith("ParlAI runs without it.")


def test_broken_command(python: Run) -> None:
    """A command of ours that does not import is left out, with a line that names it."""
    code = (
        "from parlai_cu import plugin\nplugin.SCRIPTS = ('parlai_cu.scripts.nonsense',)\n"
        "from parlai.core.script import superscript_main\nsuperscript_main(['-h'])"
    )
    result = python("-c", code)
    assert "train_model" in result.stdout
    (line,) = our_lines(result)
    assert line.startswith("parlai_cu: the command in parlai_cu.scripts.nonsense is off (")


def test_users_own_parlai_internal(python: Run, tmp_path: Path) -> None:
    """A user's parlai_internal package keeps its agents and its commands."""
    internal = tmp_path / "mine" / "parlai_internal"
    for part in ("agents/echo", "scripts"):
        (internal / part).mkdir(parents=True)
        (internal / part / "__init__.py").write_text("")
    (internal / "__init__.py").write_text("")
    (internal / "agents" / "__init__.py").write_text("")
    (internal / "agents" / "echo" / "echo.py").write_text("class EchoAgent:\n    pass\n")
    (internal / "scripts" / "shout.py").write_text(
        "from parlai.core.script import ParlaiScript, register_script\n"
        "from parlai.core.params import ParlaiParser\n"
        "@register_script('shout')\nclass Shout(ParlaiScript):\n"
        "    @classmethod\n    def setup_args(cls):\n        return ParlaiParser(False, False)\n"
        "    def run(self):\n        print('SHOUTED')\n"
    )
    code = (
        "from parlai.core.loader import load_agent_module\n"
        "print(load_agent_module('internal:echo').__name__)\n"
        "from parlai.core.script import superscript_main\nsuperscript_main(['shout'])"
    )
    assert good(python("-c", code, path=internal.parent)) == "EchoAgent\nSHOUTED\n"


def test_activation_twice(python: Run) -> None:
    """Activating again changes nothing."""
    code = (
        "import sys, parlai, parlai_cu\nfrom parlai_cu.activation import activate\n"
        "first, path = activate(), list(sys.meta_path)\n"
        "assert activate() is first and sys.meta_path == path\n"
        "from parlai.core import loader, script\n"
        "registry, setup = loader.AGENT_REGISTRY, script.setup_script_registry\n"
        "activate()\n"
        "assert loader.AGENT_REGISTRY is registry and script.setup_script_registry is setup\n"
        "print([type(f).__name__ for f in sys.meta_path].count('_Finder'))"
    )
    assert good(python("-c", code)) == "1\n"


@pytest.mark.parametrize("place", ["0", "len(sys.meta_path)"], ids=["first", "last"])
def test_finders_that_ask_all_others(place: str, python: Run) -> None:
    """An import hook that asks all finders, as tools of coverage have, gets on with ours."""
    code = (
        "import sys, parlai_cu\n"
        "class Asks:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        for finder in sys.meta_path:\n"
        "            if finder is not self and hasattr(finder, 'find_spec'):\n"
        "                spec = finder.find_spec(name, path, target)\n"
        "                if spec is not None:\n"
        "                    return spec\n"
        f"sys.meta_path.insert({place}, Asks())\n"
        "from parlai.core.loader import AGENT_REGISTRY\nprint('frozen_layer' in AGENT_REGISTRY)"
    )
    assert good(python("-c", code)) == "True\n"


def test_import_after_parlai(python: Run) -> None:
    """Where the .pth file was not read (python -S, zipped), `import parlai_cu` is enough."""
    code = (
        "import sys\n"
        "sys.meta_path[:] = [f for f in sys.meta_path\n"
        "    if getattr(f, '__name__', '') != 'ParlaiCuStub']\n"
        "import types; sys.modules['pkg_resources'] = types.ModuleType('pkg_resources')\n"
        "import parlai.core.loader as loader, parlai.core.script as script\n"
        "assert 'frozen_layer' not in loader.AGENT_REGISTRY\n"
        "import parlai_cu\n"
        "assert 'frozen_layer' in loader.AGENT_REGISTRY\n"
        "script.setup_script_registry()\nprint('doctor' in script.SCRIPT_REGISTRY)"
    )
    assert good(python("-c", code)) == "True\n"


def test_our_errors_are_one_line(python: Run) -> None:
    """What a user can put right ends in one line; other errors keep their traceback."""
    ours = python(
        "-c", "import parlai\nfrom parlai_cu.errors import UsageError\nraise UsageError('no')"
    )
    assert (ours.returncode, our_lines(ours)) == (1, ["parlai_cu: no"])
    other = python("-c", "import parlai\nraise ValueError('x')")
    assert other.returncode == 1
    assert "Traceback" in other.stderr and "ValueError: x" in other.stderr


INTERRUPTED = """
import sys
sys.argv[:] = [sys.argv[1]]
import parlai
raise KeyboardInterrupt
"""


@pytest.mark.parametrize(("name", "one"), [("bin/parlai", True), ("my_script.py", False)])
def test_ctrl_c_during_imports(name: str, one: bool, python: Run) -> None:
    """A command that is still being imported ends in one line; a user's script as it always did."""
    result = python("-c", INTERRUPTED, name)
    said = [line for line in result.stderr.splitlines() if line]
    assert result.returncode != 0
    assert (said == ["Interrupted"]) == one, result.stderr


def test_modules_are_left_to_their_own_loaders() -> None:
    """Python's own: pkg_resources (ParlAI's presets, `-o gen/meena`) knows no other kinds."""
    import importlib.machinery

    import parlai
    import parlai.core.opt

    for module in (parlai, parlai.core.opt):
        assert isinstance(module.__loader__, importlib.machinery.SourceFileLoader)
        assert module.__spec__.loader is module.__loader__
