"""
ParlAI takes names of tasks, and no files.

Seen with ParlAI 1.7.2: ``-t corrections.csv`` is ``ModuleNotFoundError: No module named
'corrections'``; a path with a comma is taken for two tasks, with a colon for a task and its class.

A file or folder that is there stands for a task. A plain name is ParlAI's first: ``-t corrections``
is the task, also where a folder is called so; ``-t ./corrections`` is the folder.
"""

from typing import Any

from parlai_cu.data.names import is_path, looks_like_path, path_of, quoted
from parlai_cu.errors import UsageError, in_place_of, near_file
from parlai_cu.host import Stock, instead_of

_TEACHER = "parlai_cu.tasks.file.agents"
# options that name tasks
_OPTIONS = ("task", "evaltask", "retain_task", "replay_task")


@instead_of("parlai.core.loader:load_teacher_module")
def _load_teacher_module(stock: Stock, taskname: str) -> Any:
    if is_path(taskname):
        return stock(f"{_TEACHER}:DefaultTeacher")
    try:
        return stock(taskname)
    except (ImportError, AttributeError, TypeError, UsageError) as error:
        if path_of(taskname):
            return stock(f"{_TEACHER}:DefaultTeacher")
        if looks_like_path(taskname):
            path = taskname.split(":")[0]
            missing = f"-t {path}: there is no such file{near_file(path)}"
            raise in_place_of(error, UsageError(missing)) from error
        raise


@instead_of("parlai.core.loader:load_task_module")
def _load_task_module(stock: Stock, taskname: str) -> Any:
    return stock(_TEACHER if is_path(taskname) else taskname)


@instead_of("parlai.core.loader:load_world_module")
def _load_world_module(stock: Stock, taskname: str, *args: Any, **more: Any) -> Any:
    # files have no world of their own
    return stock("fromfile" if path_of(taskname) else taskname, *args, **more)


@instead_of("parlai.core.params:ParlaiParser.parse_known_args")
def _parse_known_args(stock: Stock, self: Any, *args: Any, **more: Any) -> Any:
    namespace, unknown = stock(self, *args, **more)
    for name in _OPTIONS:
        held = getattr(namespace, name, None)
        if isinstance(held, str):
            setattr(namespace, name, quoted(held))
    return namespace, unknown
