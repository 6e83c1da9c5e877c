"""
ParlAI answers a missing file that a flag names with a traceback, or goes on without it.

Seen with ParlAI 1.7.2: ``--classes-from-file``, ``--seed-messages-from-file``, ``-o``,
``fromfile_datapath`` and others are FileNotFoundError after a page of trace; a missing
``--beam-block-list-filename`` is an empty list, and its words are spoken; a missing
``--dict-file`` is another one's place; a missing ``--init-model`` is a model from scratch. A task's
option that is misspelt is "not specified"; a line of another format names no flag.
Goes when: never; ParlAI is archived.

Whatever file a flag or a task's option names: one line with the flag, the path and what is near.
"""

import difflib
import functools
import os
import re
from collections.abc import Callable, Iterator
from typing import Any

from parlai_cu.errors import DataError, ModelFileError, UsageError, hint, near_file, nearest

# a name this like another is a misspelt one
_MISSPELT = 0.8
_FORMAT = "expected text:...<TAB>labels:...<TAB>episode_done:True a line"


def needed() -> str | None:
    """Why the repair is active."""
    return "ParlAI answers missing files that flags name with tracebacks, or goes on without them"


def after(module: Any) -> None:
    """
    Hook what opens files, each when it is imported.

    :param module: one of ParlAI's
    :raises DataError: later, when a file is missing or of another format
    :raises UsageError: later, when a flag names what there is not
    :raises ModelFileError: later, when it is a file of a model
    """
    hooks: dict[str, Callable[[Any], None]] = {
        "parlai.core.script": _name_the_flag,
        "parlai.core.opt": _name_presets,
        "parlai.core.agents": _refuse_other_dictionaries,
        "parlai.core.teachers": _name_task_options,
        "parlai.core.mutators": _name_mutators,
        "parlai.core.torch_generator_agent": _refuse_no_block_list,
        "parlai.scripts.train_model": _refuse_no_init_model,
    }
    hooks[module.__name__](module)


def _name_the_flag(module: Any) -> None:
    script = module.ParlaiScript
    stock = script._run_from_parser_and_opt.__func__

    def _run_from_parser_and_opt(cls: Any, opt: Any, parser: Any) -> Any:
        try:
            return stock(cls, opt, parser)
        except OSError as error:
            flag = _flag_of(error.filename, opt)
            if flag is None:
                raise
            near = near_file(str(error.filename)) if isinstance(error, FileNotFoundError) else ""
            why = "there is no such file" if near else error.strerror
            raise DataError(f"{flag} {error.filename}: {why}{near}") from error
        except RuntimeError as error:
            found = re.fullmatch(r"(\w+_datapath) not specified", str(error))
            if found is None:
                raise
            name = found[1]
            raise UsageError(
                f"-t {opt.get('task')}: nothing says which file; expected "
                f"-t {name.partition('_')[0]}:{name}=FILE, or --{name.replace('_', '-')} FILE"
            ) from error

    script._run_from_parser_and_opt = classmethod(_run_from_parser_and_opt)


def _flag_of(path: Any, opt: Any) -> str | None:
    """The flag, or the option of a task, that names a file."""
    if not isinstance(path, str):
        return None
    for name, value in opt.items():
        if value == path and name not in ("datafile",):
            return f"--{name.replace('_', '-')}"
    for name in ("task", "evaltask"):
        for word in re.split("[:,]", str(opt.get(name) or "")):
            key, _, value = word.partition("=")
            if value == path:
                return f"-t {opt[name].partition(':')[0]}: {key}"
    return None


def _name_presets(module: Any) -> None:
    stock = module.Opt.load_init.__func__

    def load_init(cls: Any, optfile: str) -> Any:
        try:
            return stock(cls, optfile)
        except FileNotFoundError as error:
            raise UsageError(
                f"-o {optfile}: neither a file nor one of ParlAI's presets{near_file(optfile)}; "
                "expected an .opt file (JSON), or a preset such as gen/meena"
            ) from error
        except ValueError as error:
            raise UsageError(f"-o {optfile}: it is no options file (JSON): {error}") from error

    module.Opt.load_init = classmethod(load_init)


def _refuse_other_dictionaries(module: Any) -> None:
    stock = module.create_agent_from_opt_file

    @functools.wraps(stock)
    def create_agent_from_opt_file(opt: Any) -> Any:
        named = (opt.get("override") or {}).get("dict_file")
        if named and os.path.isfile(f"{opt['model_file']}.opt") and not os.path.isfile(named):
            raise ModelFileError(
                f"--dict-file {named}: there is no such file{near_file(named)}; without the flag "
                f"-mf {opt['model_file']} has its own"
            )
        return stock(opt)

    module.create_agent_from_opt_file = create_agent_from_opt_file


def _refuse_no_block_list(module: Any) -> None:
    generator = module.TorchGeneratorAgent
    stock = generator._load_beam_block_list

    @functools.wraps(stock)
    def _load_beam_block_list(self: Any) -> Any:
        path = self.opt.get("beam_block_list_filename")
        if path and "://" not in path and not os.path.isfile(path):
            raise DataError(
                f"--beam-block-list-filename {path}: there is no such file{near_file(path)}; "
                "without it the words would be spoken"
            )
        return stock(self)

    generator._load_beam_block_list = _load_beam_block_list


def _refuse_no_init_model(module: Any) -> None:
    stock = module.TrainLoop.__init__

    @functools.wraps(stock)
    def __init__(self: Any, opt: Any) -> None:
        from parlai_cu.agents.updating_agent import model_path

        path, model_file = model_path(opt, "init_model"), opt.get("model_file")
        goes_on = any(os.path.isfile(f"{model_file}{end}") for end in ("", ".checkpoint"))
        given = "init_model" in (opt.get("override") or {})
        if path and given and "://" not in path and not os.path.isfile(path) and not goes_on:
            raise ModelFileError(
                f"--init-model {path}: there is no such model file{near_file(path)}; without it "
                "the model would be trained from scratch"
            )
        stock(self, opt)

    module.TrainLoop.__init__ = __init__


def _name_mutators(module: Any) -> None:
    stock = module.Mutator.load_mutator_types.__func__

    def load_mutator_types(cls: Any, mutator_names: str | None) -> Any:
        try:
            return stock(cls, mutator_names)
        except KeyError as missing:
            close = nearest(str(missing.args[0]), module.MUTATOR_REGISTRY)
            raise UsageError(
                f"--mutators {missing.args[0]}: there is no such mutator{hint(close)}"
            ) from missing

    module.Mutator.load_mutator_types = classmethod(load_mutator_types)


def _name_task_options(module: Any) -> None:
    stock_flags = module._add_task_flags_to_agent_opt
    stock_data = module.ParlAIDialogTeacher._setup_data

    @functools.wraps(stock_flags)
    def _add_task_flags_to_agent_opt(agent: Any, opt: Any, flags: str) -> None:
        for key in _options_in(flags):
            if key in opt:
                continue
            close = difflib.get_close_matches(key, opt, n=3, cutoff=_MISSPELT)
            # a task that was added after the flags were read has options that are not in opt
            if close and key not in _options_of(agent, opt):
                raise UsageError(
                    f"-t {opt['task']}: {key}: the task has no such option{hint(close)}"
                )
        stock_flags(agent, opt, flags)

    @functools.wraps(stock_data)
    def _setup_data(self: Any, path: str) -> None:
        try:
            stock_data(self, path)
        except (ValueError, IndexError, KeyError, AttributeError) as error:
            raise DataError(_first_bad_line(module, path, error)) from error

    module._add_task_flags_to_agent_opt = _add_task_flags_to_agent_opt
    module.ParlAIDialogTeacher._setup_data = _setup_data


def _options_in(flags: str) -> Iterator[str]:
    for word in flags.split(":"):
        if "=" in word:
            yield word.partition("=")[0].replace("-", "_")


def _options_of(agent: Any, opt: Any) -> set[str]:
    """The options that a task has by itself."""
    from parlai.core.params import ParlaiParser

    parser = ParlaiParser(add_parlai_args=False, add_model_args=False)
    agent.add_cmdline_args(parser, partial_opt=opt)
    return {action.dest for action in parser._actions}


def _first_bad_line(module: Any, path: str, error: Exception) -> str:
    with open(path, "rb") as f:
        for number, raw in enumerate(f, 1):
            where = f"{path}, line {number}"
            try:
                line = raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as wrong:
                return f"{where}: byte {wrong.start + 1} is not UTF-8; {_FORMAT}"
            try:
                message = module.str_to_msg(line)
                whole = not message or ("text" in message and "eval_labels" not in message)
            except Exception:
                whole = False
            if not whole:
                return f"{where}: found {line[:60]!r}; {_FORMAT} (for JSON lines: -t jsonfile)"
    return f"{path}: {error}; {_FORMAT}"
