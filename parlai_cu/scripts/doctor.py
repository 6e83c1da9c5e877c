"""
``parlai doctor``: what this environment can do, which repairs are active, and what to do
about the rest.

Everything is looked up when the command runs: this module is imported by every ``parlai -h``.

Tests live in tests/scripts/test_doctor.py.
"""

import contextlib
import importlib.metadata
import importlib.util
import io
import json
import math
import os
import platform
import shlex
import site
import sys
import tempfile
import traceback
from collections.abc import Iterator
from typing import Any

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu import compat, plugin
from parlai_cu.unread_flags import Dependent, is_set, refuse_unread

# module -> (its name on PyPI, what does not work without it); without these ParlAI does not run
REQUIRED = {
    "torch": ("torch", "ParlAI"),
    "numpy": ("numpy", "ParlAI"),
    "iopath": ("iopath", "ParlAI"),
    "requests": ("requests", "ParlAI"),
    "PIL": ("Pillow", "ParlAI"),
    "yaml": ("PyYAML", "ParlAI"),
    "sklearn": ("scikit-learn", "ParlAI's classifiers"),
    "packaging": ("packaging", "ParlAI"),
    "nltk": ("nltk", "BLEU in reports"),
    "joblib": ("joblib", "ParlAI"),
    "tqdm": ("tqdm", "ParlAI"),
    "filelock": ("filelock", "parlai versions"),
    "safetensors": ("safetensors", "parlai versions"),
}
OPTIONAL = {
    "tornado": ("tornado", "chat_service"),
    "sh": ("sh", "chat_service"),
    "websocket": ("websocket-client", "chat_service's terminal and browser clients"),
    "transformers": ("transformers", "-m hugging_face/gpt2, hugging_face/t5"),
    "pandas": ("pandas", "reports as tables"),
    "rouge": ("py-rouge", "--metrics rouge"),
    "torchvision": ("torchvision", "tasks with images"),
    "subword_nmt": ("subword-nmt", "--dict-tokenizer bpe"),
    "rdflib": ("rdflib", "--kb graph: and sparql+..."),
    "sqlalchemy": ("SQLAlchemy", "--kb sql+..., import --from-url"),
    "rapidfuzz": ("rapidfuzz", "--kb sql+..."),
    "psycopg": ("psycopg", "--kb postgresql:"),
    "sentence_transformers": ("sentence-transformers", "knowledge_base encode"),
    "rich": ("rich", "parlai score_parameters, --tune auto"),
    "matplotlib": ("matplotlib", "pictures of parlai score_parameters"),
}
# flags that count with others only
_DEPENDENT = (
    Dependent(("agent_flags",), is_set("agent"), "without --agent AGENT"),
    Dependent(("details",), lambda opt: not opt.get("agent"), "with --agent"),
)
# a repair that is active because of something the user can put right -> how
ADVICE = {
    "torchvision_mismatch": "pip install --upgrade torchvision (or uninstall it: pip uninstall "
    "torchvision); until then ParlAI runs as if it were not installed",
}


class Examination:
    """What was found, line by line, and what is to be done."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        # section -> name -> what was found
        self.sections: dict[str, dict[str, str]] = {}
        self.problems: list[str] = []
        # whether something that everybody needs does not work
        self.broken = False

    def section(self, title: str) -> None:
        """Begin a part of the output, with its title."""
        self.lines += ["", title]
        self.sections[title] = {}

    def row(self, name: str, text: str) -> None:
        """Add one finding."""
        self.lines.append(f"  {name:<20} {text}".rstrip())
        held = next(reversed(self.sections.values()))
        if name:
            held[name] = text
        else:  # what the line above is for
            held[next(reversed(held))] += f"; {text}"

    def problem(self, text: str, essential: bool = False) -> None:
        """Add something to be done; ``essential`` makes the exit status 1."""
        self.problems.append(text)
        self.broken = self.broken or essential

    def text(self) -> str:
        """All of it, as it is printed."""
        todo = [f"  {number}. {text}" for number, text in enumerate(self.problems, 1)]
        end = ["", "To do", *todo] if todo else ["", "Everything needed works."]
        return "\n".join([*self.lines, *end]).strip()

    def as_json(self) -> str:
        """The same for programs."""
        held = {"works": not self.broken, "to do": self.problems, **self.sections}
        return json.dumps(held, indent=1)


@register_script("doctor")
class Doctor(ParlaiScript):
    """Print what works in this environment, what was repaired, and what to do."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """Command line arguments."""
        parser = ParlaiParser(
            False,
            False,
            description="Print versions, active repairs, whether training works, and what to do. "
            "Exit status 1 if something essential does not work. Example: parlai doctor",
        )
        parser.add_argument(
            "--details",
            type="bool",
            default=False,
            help="print the traceback of what failed, and what each repair is for",
        )
        parser.add_argument("--json", action="store_true", help="print JSON, for programs")
        parser.add_argument(
            "--agent",
            help="check an agent (my.module:MyAgent, as for -m) instead: each mode of "
            "updating is tried on a tiny model of it, and what fails is explained",
        )
        parser.add_argument(
            "--agent-flags", help="flags that this agent needs to be trained, in quotes"
        )
        return parser

    def run(self) -> None:
        """Examine and print; exits with status 1 if something essential is broken."""
        refuse_unread(self.opt, _DEPENDENT)
        if self.opt.get("agent"):
            _try_modes(self.opt["agent"], self.opt.get("agent_flags") or "", self.opt["json"])
            return
        examination = examine(details=self.opt["details"])
        print(examination.as_json() if self.opt["json"] else examination.text())
        if examination.broken:
            raise SystemExit(1)


def _try_modes(agent: str, flags: str, as_json: bool) -> None:
    """
    Print, mode by mode, whether it works over an ``agent``; ``flags`` are those it needs.

    :raises SystemExit: with status 1 where one does not
    """
    from parlai_cu.agents.mode_check import ModeCheck

    if not as_json:
        print(f"{agent}: each mode over a tiny model of it")
    results = []
    with tempfile.TemporaryDirectory(prefix="parlai_cu-") as folder:
        for result in ModeCheck(agent, folder, shlex.split(flags)).run():
            results.append(result)
            mark = "yes" if result.works else "no "
            if not as_json:
                print(f"  {mark} {result.mode}: {result.said}", flush=True)
    if as_json:
        held = {one.mode: {"works": one.works, "said": one.said} for one in results}
        print(json.dumps({"agent": agent, "modes": held}, indent=1))
    if not all(one.works for one in results):
        raise SystemExit(1)


def examine(details: bool = False) -> Examination:
    """
    Look at this environment.

    :param details: with tracebacks, and what each repair is for
    """
    examination = Examination()
    _versions(examination)
    _libraries(examination)
    _repairs(examination, details)
    if details:
        _extensions(examination)
    _checks(examination, details)
    return examination


def _versions(examination: Examination) -> None:
    examination.section("Versions")
    examination.row("python", f"{platform.python_version()} ({sys.executable})")
    for name in ("parlai", "parlai-cu", "setuptools"):
        examination.row(name, _version(name) or "not installed")


def _libraries(examination: Examination) -> None:
    examination.section("Libraries")
    for required, libraries in ((True, REQUIRED), (False, OPTIONAL)):
        for module, (package, purpose) in libraries.items():
            # imported already, or to be found (`sh` has no __spec__ once it is imported)
            present = module in sys.modules or importlib.util.find_spec(module) is not None
            note = "" if present else f"missing; without it: no {purpose}"
            examination.row(package, _version(package) or note or "installed")
            if not present and required:
                examination.problem(f"{package} is missing: pip install {package}", essential=True)


def _repairs(examination: Examination, details: bool) -> None:
    examination.section("Repairs (parlai_cu/compat)")
    for repair in plugin.REPAIRS:
        try:
            reason = compat.reason(repair)
        except Exception as error:  # the check is off, ParlAI is not
            examination.row(repair, f"off: its check failed ({_one_line(error)})")
            examination.problem(f"the repair {repair} is off: {_one_line(error)}")
            continue
        examination.row(repair, f"active: {reason}" if reason else "not needed")
        if details:
            examination.row("", compat.summary(repair))
        if reason and repair in ADVICE:
            examination.problem(f"{reason}: {ADVICE[repair]}")


def _extensions(examination: Examination) -> None:
    examination.section("Additions to ParlAI (parlai_cu/host)")
    for extension in plugin.EXTENSIONS:
        text = importlib.import_module(f"parlai_cu.host.{extension}").__doc__ or ""
        examination.row(extension, " ".join(text.strip().split("\n\n")[0].split()))


def _checks(examination: Examination, details: bool) -> None:
    examination.section("Checks")
    if _find_pth() is None:
        examination.row("activation", "parlai_cu.pth is not in site-packages")
        examination.problem(
            "plain `parlai` does not know parlai_cu: install it with pip install parlai-cu "
            "(pip install -e . in a checkout), or use python -m parlai_cu"
        )
    else:
        examination.row("activation", "ok, parlai knows parlai_cu without a flag")
    for name, check in (("our agents", _agents), ("a training step", _training_step)):
        try:
            examination.row(name, f"ok, {check()}")
        except Exception as error:
            examination.row(name, f"FAILED: {_one_line(error)}")
            if details:
                examination.lines.append(traceback.format_exc())
            examination.problem(
                f"{name} failed ({_one_line(error)}). See where: parlai doctor --details true. "
                "A fresh virtual environment with parlai-cu alone is known to work",
                essential=True,
            )


def _agents() -> str:
    from parlai.core.loader import load_agent_module

    for name in plugin.AGENTS:
        load_agent_module(name)
    return ", ".join(name for name in plugin.AGENTS if ":" not in name)


def _training_step() -> str:
    """Train stock ParlAI's transformer/generator for two updates, for its own sake."""
    from parlai.scripts.train_model import TrainModel

    turns = [{"id": "user", "text": "hello"}, {"id": "bot", "text": "good morning"}]
    with tempfile.TemporaryDirectory() as folder, _quiet():
        data = os.path.join(folder, "data.jsonl")
        with open(data, "w", encoding="utf-8") as stream:
            stream.write(json.dumps({"dialog": [turns]}) + "\n")
        options: dict[str, Any] = {
            "model": "transformer/generator",
            "model_file": os.path.join(folder, "model"),
            "datapath": folder,
            "task": "jsonfile",
            "jsonfile_datapath": data,
            "n_layers": 1,
            "n_heads": 1,
            "embedding_size": 8,
            "ffn_size": 8,
            "batchsize": 1,
            "max_train_steps": 2,
            "skip_generation": True,
        }
        report, _ = TrainModel.main(**options)
        loss = float(report["loss"])
        if not math.isfinite(loss):
            raise ArithmeticError(f"the loss is {loss}")
    return f"{options['model']} learnt for 2 updates and was saved and loaded; {_device()}"


def _device() -> str:
    import torch

    if torch.cuda.is_available():
        return f"{torch.cuda.device_count()} GPU(s), {torch.cuda.get_device_name(0)}"
    return "CPU only"


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    import parlai.utils.logging as logging

    sink = io.StringIO()
    logging.disable()
    try:
        with contextlib.redirect_stdout(sink), contextlib.redirect_stderr(sink):
            yield
    finally:
        logging.enable()


def _find_pth() -> str | None:
    # not sys.path: the checkout itself holds a parlai_cu.pth, which Python does not read there
    for folder in (*site.getsitepackages(), site.getusersitepackages()):
        path = os.path.join(folder, "parlai_cu.pth")
        if os.path.exists(path):
            return path
    return None


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _one_line(error: BaseException) -> str:
    return " ".join(f"{type(error).__name__}: {error}".split())[:200]
