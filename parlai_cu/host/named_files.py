"""
ParlAI answers a missing file that a flag names with a traceback, or goes on without it.

Seen with ParlAI 1.7.2: ``--classes-from-file``, ``--seed-messages-from-file``, ``-o``,
``fromfile_datapath`` and others are FileNotFoundError after a page of trace; a missing
``--beam-block-list-filename`` is an empty list, and its words are spoken; a missing
``--dict-file`` is another one's place. A task's option that is misspelt is "not specified"; a line
of another format names no flag.

Whatever file a flag or a task's option names: one line with the flag, the path and what is near.
"""

import difflib
import os
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import parlai

from parlai_cu.errors import (
    DataError,
    ModelFileError,
    UsageError,
    hint,
    in_place_of,
    near_file,
    nearest,
)
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import ModelAgent, Opt, Parser

# a name this like another is a misspelt one
_MISSPELT = 0.8
_FORMAT = "expected text:...<TAB>labels:...<TAB>episode_done:True a line"


@instead_of("parlai.core.script:ParlaiScript._run_from_parser_and_opt")
def _run_from_parser_and_opt(stock: Stock, cls: Any, opt: Opt, parser: Parser) -> Any:
    try:
        return stock(cls, opt, parser)
    except OSError as error:
        flag = _flag_of(error.filename, opt)
        if flag is None:
            raise
        near = near_file(str(error.filename)) if isinstance(error, FileNotFoundError) else ""
        why = "there is no such file" if near else error.strerror
        unread = DataError(f"{flag} {error.filename}: {why}{near}")
        raise in_place_of(error, unread) from error
    except RuntimeError as error:
        unset = re.fullmatch(r"(\w+_datapath) not specified", str(error))
        if unset is None:
            raise
        name = unset[1]
        missing = UsageError(
            f"-t {opt.get('task')}: nothing says which file; expected "
            f"-t {name.partition('_')[0]}:{name}=FILE, or --{name.replace('_', '-')} FILE"
        )
        raise in_place_of(error, missing) from error


def _flag_of(path: object, opt: Opt) -> str | None:
    """The flag, or the option of a task, that names a file."""
    if not isinstance(path, str):
        return None
    for name, value in opt.items():
        if value == path and name != "datafile":
            return f"--{name.replace('_', '-')}"
    for name in ("task", "evaltask"):
        for word in re.split("[:,]", str(opt.get(name) or "")):
            key, _, value = word.partition("=")
            if value == path:
                return f"-t {opt[name].partition(':')[0]}: {key}"
    return None


@instead_of("parlai.core.opt:Opt.load_init")
def _load_init(stock: Stock, cls: Any, optfile: str) -> Any:
    try:
        return stock(cls, optfile)
    except FileNotFoundError as error:
        presets = Path(parlai.__file__).parent / "opt_presets"
        names = [str(path.relative_to(presets))[: -len(".opt")] for path in presets.rglob("*.opt")]
        # the wheel has none of them
        near = hint(nearest(optfile, names)) if names else "; this ParlAI came without its presets"
        missing = UsageError(
            f"-o {optfile}: neither a file{near_file(optfile)} nor one of ParlAI's presets{near}; "
            "expected an .opt file (JSON)"
        )
        raise in_place_of(error, missing) from error
    except ValueError as error:
        wrong = UsageError(f"-o {optfile}: it is no options file (JSON): {error}")
        raise in_place_of(error, wrong) from error


@instead_of("parlai.core.agents:create_agent_from_opt_file")
def _create_agent_from_opt_file(stock: Stock, opt: Opt) -> Any:
    named = (opt.get("override") or {}).get("dict_file")
    if named and os.path.isfile(f"{opt['model_file']}.opt") and not os.path.isfile(named):
        raise ModelFileError(
            f"--dict-file {named}: there is no such file{near_file(named)}; without the flag "
            f"-mf {opt['model_file']} has its own"
        )
    return stock(opt)


@instead_of("parlai.core.torch_generator_agent:TorchGeneratorAgent._load_beam_block_list")
def _load_beam_block_list(stock: Stock, self: Any) -> Any:
    path = self.opt.get("beam_block_list_filename")
    if path and "://" not in path and not os.path.isfile(path):
        raise DataError(
            f"--beam-block-list-filename {path}: there is no such file{near_file(path)}; "
            "without it the words would be spoken"
        )
    return stock(self)


@instead_of("parlai.core.mutators:Mutator.load_mutator_types")
def _load_mutator_types(stock: Stock, cls: Any, mutator_names: str | None) -> Any:
    from parlai.core.mutators import MUTATOR_REGISTRY

    try:
        return stock(cls, mutator_names)
    except KeyError as missing:
        name = str(missing.args[0])
        close = hint(nearest(name, MUTATOR_REGISTRY))
        unknown = UsageError(f"--mutators {name}: there is no such mutator{close}")
        raise in_place_of(missing, unknown) from missing


@instead_of("parlai.core.teachers:_add_task_flags_to_agent_opt")
def _add_task_flags_to_agent_opt(stock: Stock, agent: ModelAgent, opt: Opt, flags: str) -> None:
    from parlai_cu.agents.base_agent import names_added

    def add(parser: Any) -> None:
        agent.add_cmdline_args(parser, partial_opt=opt)

    for key in _options_in(flags):
        if key in opt:
            continue
        close = difflib.get_close_matches(key, opt, n=3, cutoff=_MISSPELT)
        # a task that was added after the flags were read has options that are not in opt
        if close and key not in names_added(add):
            raise UsageError(f"-t {opt['task']}: {key}: the task has no such option{hint(close)}")
    stock(agent, opt, flags)


@instead_of("parlai.core.teachers:ParlAIDialogTeacher._setup_data")
def _setup_data(stock: Stock, self: Any, path: str) -> None:
    try:
        stock(self, path)
    except (ValueError, IndexError, KeyError, AttributeError) as error:
        raise in_place_of(error, DataError(_first_bad_line(path, error))) from error


def _options_in(flags: str) -> Iterator[str]:
    for word in flags.split(":"):
        if "=" in word:
            yield word.partition("=")[0].replace("-", "_")


def _first_bad_line(path: str, error: Exception) -> str:
    from parlai.core.teachers import str_to_msg

    with open(path, "rb") as f:
        for number, raw in enumerate(f, 1):
            where = f"{path}, line {number}"
            try:
                line = raw.decode("utf-8").rstrip("\r\n")
            except UnicodeDecodeError as wrong:
                return f"{where}: byte {wrong.start + 1} is not UTF-8; {_FORMAT}"
            try:
                message = str_to_msg(line)
                whole = not message or ("text" in message and "eval_labels" not in message)
            except Exception:
                whole = False
            if not whole:
                return f"{where}: found {line[:60]!r}; {_FORMAT} (for JSON lines: -t jsonfile)"
    return f"{path}: {error}; {_FORMAT}"
