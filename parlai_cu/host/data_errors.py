"""
ParlAI answers a broken or empty data file with a traceback, silence or an endless loop.

Seen with ParlAI 1.7.2 and ``-t jsonfile``: a broken line is ``JSONDecodeError: ... line 1
column 26``, whichever line it was and of whichever file; a line without ``dialog`` is
``KeyError: 'dialog'``; so is an empty last line an error. A file without examples gives
``ValueError: empty range for randrange()``, in ``eval_model`` an empty report and success,
and with ``-dt train:stream`` the loop never ends. Characters that Python takes for line ends
(U+2028, U+0085) cut a valid line in two.

Each becomes a DataError that names the file, the line, what was found and what was expected.
An empty fold is refused only where stock ParlAI fails on it as well, or evaluates nothing.
"""

import json
import re
from collections.abc import Callable, Iterator
from typing import Any

from parlai_cu.errors import DataError, in_place_of, near_file
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import ModelAgent, Opt

# of a pair of surrogates, without the other
_HALF = re.compile("[\ud800-\udfff]")
EXPECTED = (
    'expected one conversation per line: {"dialog": [[{"id": "user", "text": "..."}, '
    '{"id": "bot", "text": "..."}]]}'
)


@instead_of("parlai.utils.conversations:Conversations._load_raw")
def _load_raw(stock: Stock, self: Any, datapath: str) -> Iterator[str]:
    return (line for _, line in _numbered_lines(datapath))


@instead_of("parlai.utils.conversations:Conversations._load_conversations")
def _load_conversations(stock: Stock, self: Any, datapath: str) -> Iterator[Any]:
    for number, line in _numbered_lines(datapath):
        _check_conversation(f"{datapath}, line {number}", line)
        yield self._parse(line)


def _numbered_lines(datapath: str) -> Iterator[tuple[int, str]]:
    from parlai.utils.io import PathManager

    if not PathManager.isfile(datapath):
        missing = f"{datapath}: there is no such file{near_file(datapath)}; {EXPECTED}"
        raise in_place_of(RuntimeError, DataError(missing))
    with PathManager.open(datapath, "rb") as stream:
        for number, raw in enumerate(stream, 1):
            try:
                line = raw.decode("utf-8-sig" if number == 1 else "utf-8").strip()
            except UnicodeDecodeError as error:
                wrong = DataError(
                    f"{datapath}, line {number}: byte {error.start + 1} is not UTF-8 "
                    f"(0x{raw[error.start]:02x}); convert the file to UTF-8"
                )
                raise in_place_of(error, wrong) from None
            if line:
                yield number, line


def _check_conversation(where: str, line: str) -> None:
    """Raise DataError unless ``line`` is a conversation."""
    try:
        episode = json.loads(line)
    except json.JSONDecodeError as error:
        problem = f"not JSON ({error.msg} at column {error.colno})"
        wrong = DataError(f"{where}: {problem}: {_shorten(line)}; {EXPECTED}")
        raise in_place_of(error, wrong) from None
    if not isinstance(episode, dict) or "dialog" not in episode:
        keyed = isinstance(episode, dict)
        held = f"the keys {sorted(episode)}" if keyed else _kind(episode)
        wrong = DataError(f'{where}: found {held}, no "dialog"; {EXPECTED}')
        raise in_place_of(KeyError if keyed else AttributeError, wrong)
    rounds = episode["dialog"]
    if not isinstance(rounds, list):
        wrong = DataError(f'{where}: "dialog" is {_kind(rounds)}, not a list; {EXPECTED}')
        raise in_place_of(TypeError, wrong)
    for index, turns in enumerate(rounds):
        _check_turns(f'{where}: "dialog"[{index}]', turns)


def _check_turns(where: str, turns: object) -> None:
    if not isinstance(turns, list):
        wrong = DataError(f"{where} is {_kind(turns)}, not a list of turns; {EXPECTED}")
        raise in_place_of(TypeError, wrong)
    for index, turn in enumerate(turns):
        if not isinstance(turn, dict):
            wrong = DataError(f"{where}[{index}] is {_kind(turn)}, not a turn; {EXPECTED}")
            raise in_place_of(TypeError, wrong)
        if isinstance(turn.get("text"), str) or "image" in turn:
            continue
        held = f'"text" is {_kind(turn["text"])}' if "text" in turn else f"keys {sorted(turn)}"
        wrong = DataError(f'{where}[{index}] has no "text" ({held}); {EXPECTED}')
        raise in_place_of(TypeError if "text" in turn else AttributeError, wrong)


@instead_of("parlai.core.teachers:FixedDialogTeacher.next_episode_idx")
def _next_episode_idx(
    stock: Stock, self: Any, num_eps: int | None = None, loop: bool | None = None
) -> int:
    """Name the task and the file where training would draw from nothing."""
    try:
        return int(stock(self, num_eps, loop))
    except (ZeroDivisionError, ValueError) as error:
        if self.num_episodes() == 0:
            raise in_place_of(error, DataError(_nothing_in(self.opt))) from None
        raise


@instead_of("parlai.core.teachers:DialogData.build_table")
def _build_table(stock: Stock, self: Any, entry: object) -> Any:
    """Half a character of broken data ends no run: no dictionary and no file could hold it."""
    table = stock(self, entry)
    for name, value in table.items():
        if isinstance(value, str):
            value = _whole(value)
        elif isinstance(value, (list, tuple)) and all(isinstance(each, str) for each in value):
            value = type(value)(map(_whole, value))
        dict.__setitem__(table, name, value)  # a Message refuses a field that it has
    return table


def _whole(text: str) -> str:
    if text.isascii() or not _HALF.search(text):
        return text
    return _HALF.sub("\ufffd", text)


@instead_of("parlai.core.teachers:StreamDialogData.__init__")
def _init_stream(stock: Stock, self: Any, opt: Opt, *args: Any, **kwargs: Any) -> None:
    self.opt = opt
    stock(self, opt, *args, **kwargs)


@instead_of("parlai.core.teachers:StreamDialogData._data_generator")
def _data_generator(
    stock: Stock, self: Any, data_loader: Callable[[Any], Iterator[Any]], datafile: object
) -> Iterator[Any]:
    def counted(path: object) -> Iterator[Any]:
        empty = True
        for example in data_loader(path):
            empty = False
            yield example
        if empty and self.cycle:  # else the loop over the data would never end
            raise DataError(_nothing_in(self.opt))

    yield from stock(self, counted, datafile)


# the world of the evaluation that is under way
_worlds: list[Any] = []


@instead_of("parlai.scripts.eval_model:create_task")
def _create_task(stock: Stock, *args: Any, **kwargs: Any) -> Any:
    _worlds[:] = [stock(*args, **kwargs)]
    return _worlds[0]


@instead_of("parlai.scripts.eval_model:_eval_single_world")
def _eval_single_world(stock: Stock, opt: Opt, agent: ModelAgent, task: str) -> Any:
    """Let an evaluation of no example at all be an error, not an empty report."""
    report = stock(opt, agent, task)
    world = _worlds.pop() if _worlds else None
    if world is not None and not report.get("exs") and world.num_examples() == 0:
        raise DataError(_nothing_in({**opt, "task": task}))
    return report


def _nothing_in(opt: Opt) -> str:
    datafile = opt.get("datafile") or opt.get("jsonfile_datapath") or opt.get("fromfile_datapath")
    place = f" (file {datafile})" if datafile else ""
    return (
        f"the task {opt.get('task')}{place} has no examples for datatype {opt.get('datatype')}: "
        "expected at least one; look at it with: parlai display_data"
    )


def _kind(value: object) -> str:
    names = {dict: "an object", list: "a list", str: "a string", type(None): "null"}
    return names.get(type(value), f"a {type(value).__name__}")


def _shorten(text: str, length: int = 60) -> str:
    return text if len(text) <= length else text[:length] + "..."
