"""
ParlAI answers misspelt and missing names and flags with a traceback or pages of help.

Seen with ParlAI 1.7.2: ``-m frozen_layers`` and ``-t telekom`` are 35 lines that end in
``ModuleNotFoundError: No module named 'parlai.agents.frozen_layers'``; ``interactive -mf`` of no
model is ``RuntimeError: WARNING: Model file does not exist``, of a folder ``Need to set `model```;
``zoo:telekom/base`` is three tracebacks; ``--tunes`` prints all 660 lines of ``train_model
--help``, and at their end that the flag is not known; ``versions list --version DIR`` is
``KeyError: 'version'``. Without ``-m``, ``-t`` or ``train_model``'s ``-mf`` it is a RuntimeError.

Each becomes one line, which names what comes nearest. An agent or a task that is there, but whose
own imports fail, raises what it did.
"""

import os
import pkgutil
import re
import sys
from typing import Any

from parlai_cu import plugin
from parlai_cu.errors import ModelFileError, UsageError, hint, in_place_of, near_file, nearest
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Opt, Parser

# a list of choices that is longer is not shown beside the nearest ones
_MOST_CHOICES = 12


@instead_of("parlai.core.loader:load_agent_module")
def _load_agent_module(stock: Stock, agent_path: str) -> Any:
    try:
        return stock(agent_path)
    except (ImportError, AttributeError) as error:
        if not _is_missing(error, _module_of(agent_path, "agents")):
            raise
        from parlai_cu.agents.base_agent import no_such_agent

        raise in_place_of(error, no_such_agent("-m", agent_path, error)) from error


@instead_of("parlai.core.loader:load_teacher_module")
def _load_teacher_module(stock: Stock, taskname: str) -> Any:
    try:
        return stock(taskname)
    except (ImportError, AttributeError) as error:
        if not _is_missing(error, _module_of(taskname, "tasks")):
            raise
        # options follow a task's name
        name = ":".join(word for word in taskname.split(":") if "=" not in word)
        close = nearest(name, _tasks_like(name, isinstance(error, ImportError)))
        missing = UsageError(f"-t {name}: there is no such task{hint(close)}")
        raise in_place_of(error, missing) from error


def _module_of(name: str, kind: str) -> str:
    """The module, or the package around it, that ParlAI imports for an agent or a task."""
    path, _, rest = name.strip().partition(":")
    if "." in path or (rest and kind == "agents"):
        return path
    return f"parlai.{kind}.{path.lower() if kind == 'tasks' else path.replace('/', '.')}"


def _is_missing(error: Exception, module: str) -> bool:
    """Whether it is this module that was not found, or that lacks what was asked of it."""
    if isinstance(error, ModuleNotFoundError):
        missing = error.name or ""
    else:
        lacking = re.match(r"module '([\w.]+)' has no attribute", str(error))
        missing = lacking[1] if lacking else ""
    last = module.rsplit(".", 1)[-1]
    if missing.startswith("parlai_cu."):
        module = plugin.TASKS.get(last, module)  # which ParlAI knows by its own name
    tried = (module, f"{module}.{last}", f"{module}.agents")
    return bool(missing) and (missing in tried or module.startswith(f"{missing}."))


def _tasks_like(name: str, all_tasks: bool) -> list[str]:
    """The tasks there are, or those within the task that was named."""
    from parlai.core import loader

    if all_tasks:
        import parlai.tasks

        folders = [entry.name for entry in pkgutil.iter_modules(parlai.tasks.__path__)]
        return sorted({*loader.TEACHER_REGISTRY, *plugin.TASKS, *folders})
    # CorrectionsTeacher is telecom:corrections
    names = [
        n[: -len("Teacher")] for n in vars(loader.load_task_module(name)) if n[-7:] == "Teacher"
    ]
    words = (re.sub(r"(?<=[a-z0-9])(?=[A-Z])", "_", word).lower() for word in names if word)
    return sorted({f"{name.split(':')[0]}:{word}" for word in words})


@instead_of("parlai.core.build_data:modelzoo_path")
def _modelzoo_path(stock: Stock, datapath: object, path: str) -> Any:
    try:
        return stock(datapath, path)
    except ImportError as error:
        if not str(error).startswith("Could not find pretrained model"):
            raise
        import parlai.zoo

        zoo, _, name = path.partition(":")
        folders = [entry.name for entry in pkgutil.iter_modules(parlai.zoo.__path__)]
        close = nearest(name.split("/")[0], sorted({*folders, *plugin.ZOO}))
        near = hint(f"{zoo}:{one}/..." for one in close)
        missing = ModelFileError(f"{path}: the zoo has no such model{near}")
        raise in_place_of(error, missing) from error


@instead_of("parlai.core.agents:create_agent")
def _create_agent(stock: Stock, opt: Opt, requireModelExists: bool = False) -> Any:
    path = str(opt.get("model_file") or "")
    # ParlAI would look for PATH.opt beside the folder, and ask for --model
    if path and os.path.isdir(path):
        folder = ModelFileError(f"-mf {path}: expected a model file{near_file(path)}")
        raise in_place_of(RuntimeError, folder)
    try:
        return stock(opt, requireModelExists)
    except RuntimeError as error:
        if str(error).startswith("Need to set `model`"):
            # a model file without options names no agent
            given = f"-mf {path}: no options (.opt) beside it" if path else "no model"
            unnamed = UsageError(f"{given}; expected -mf MODEL or -m AGENT")
            raise in_place_of(error, unnamed) from error
        if not str(error).startswith("WARNING: Model file does not exist"):
            raise
        missing = ModelFileError(f"-mf {path}: there is no such model file{near_file(path)}")
        raise in_place_of(error, missing) from error


@instead_of("parlai.core.worlds:create_task")
def _create_task(stock: Stock, opt: Opt, *args: Any, **more: Any) -> Any:
    if not opt.get("task"):
        missing = "no task; expected -t TASK, such as -t jsonfile:jsonfile_datapath=FILE"
        raise in_place_of(RuntimeError, UsageError(missing))
    return stock(opt, *args, **more)


@instead_of("parlai.core.params:ParlaiParser.error")
def _error(stock: Stock, self: Any, message: str) -> None:
    # of `parlai COMMAND`, the parser that knows the command's flags
    command = getattr(self, "_help_subparser", None) or self
    nearer = _nearer(message, command)
    sys.stderr.write(f"Parse Error: {nearer}\nAll that there is: {command.prog} --help\n")
    sys.exit(2)


@instead_of("parlai.core.params:ParlaiParser._process_args_to_opts")
def _process_args_to_opts(
    stock: Stock, self: Any, args_that_override: list[str] | None = None
) -> None:
    try:
        stock(self, args_that_override)
    except KeyError as missing:
        flag = f"--{missing.args[0]}"
        if flag not in (sys.argv if args_that_override is None else args_that_override):
            raise
        # argparse took it for the beginning of another flag, ParlAI for one of all commands
        self.error(f"unrecognized arguments: {flag}")


def _nearer(message: str, parser: Parser) -> str:
    """What argparse says of a command line, with the nearest flags or choices."""
    wrong = re.match(r"(.*invalid choice: '?([^' ]*)'?) \(choose from (.*)\)$", message, re.DOTALL)
    if wrong:
        choices = re.findall(r"[^\s',]+", wrong[3])
        shown = f" (choose from {wrong[3]})" if len(choices) <= _MOST_CHOICES else ""
        return f"{wrong[1]}{shown}{hint(nearest(wrong[2], choices))}"
    if message.startswith("unrecognized arguments:"):
        flags = [word.partition("=")[0] for word in message.split() if word.startswith("--")]
        known = [flag for flag in parser._option_string_actions if flag.startswith("--")]
        # ParlAI takes each flag with - and with _
        known = sorted({flag.replace("_", "-") for flag in known})
        close = [near for flag in flags for near in nearest(flag.replace("_", "-"), known)]
        return message + hint(close)
    return message
