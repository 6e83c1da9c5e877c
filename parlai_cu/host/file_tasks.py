"""
ParlAI takes names of tasks, and no files.

Seen with ParlAI 1.7.2: ``-t corrections.csv`` is ``ModuleNotFoundError: No module named
'corrections'``; a path with a comma is taken for two tasks, with a colon for a task and its class.

A file or folder that is there stands for a task. A plain name is ParlAI's first: ``-t corrections``
is the task, also where a folder is called so; ``-t ./corrections`` is the folder.
"""

from types import ModuleType
from typing import Any

from parlai_cu.data.names import is_path, looks_like_path, path_of, quoted
from parlai_cu.errors import UsageError, in_place_of, near_file

_TEACHER = "parlai_cu.tasks.file.agents"
# options that name tasks
_OPTIONS = ("task", "evaltask", "retain_task", "replay_task")


def after(module: ModuleType) -> None:
    """
    Hook the loaders and the parser, each when it is imported.

    :raises UsageError: of the loaders, when a file that was named is not there
    """
    if module.__name__ == "parlai.core.loader":
        _load_files(module)
    else:
        _quote_paths(module)


def _load_files(loader: Any) -> None:
    stock_teacher, stock_task = loader.load_teacher_module, loader.load_task_module
    stock_world = loader.load_world_module

    def load_teacher_module(taskname: str) -> Any:
        if is_path(taskname):
            return stock_teacher(f"{_TEACHER}:DefaultTeacher")
        try:
            return stock_teacher(taskname)
        except (ImportError, AttributeError, TypeError, UsageError) as error:
            if path_of(taskname):
                return stock_teacher(f"{_TEACHER}:DefaultTeacher")
            if looks_like_path(taskname):
                path = taskname.split(":")[0]
                missing = f"-t {path}: there is no such file{near_file(path)}"
                raise in_place_of(error, UsageError(missing)) from error
            raise

    def load_task_module(taskname: str) -> Any:
        return stock_task(_TEACHER if is_path(taskname) else taskname)

    def load_world_module(taskname: str, *args: Any, **more: Any) -> Any:
        # files have no world of their own
        return stock_world("fromfile" if path_of(taskname) else taskname, *args, **more)

    loader.load_teacher_module = load_teacher_module
    loader.load_task_module = load_task_module
    loader.load_world_module = load_world_module


def _quote_paths(params: Any) -> None:
    stock = params.ParlaiParser.parse_known_args

    def parse_known_args(self: Any, *args: Any, **more: Any) -> Any:
        namespace, unknown = stock(self, *args, **more)
        for name in _OPTIONS:
            held = getattr(namespace, name, None)
            if isinstance(held, str):
                setattr(namespace, name, quoted(held))
        return namespace, unknown

    params.ParlaiParser.parse_known_args = parse_known_args
