"""``parlai`` commands in processes of their own, forked from one that has ParlAI loaded already."""

import multiprocessing
import os
import pkgutil
import sys
import tempfile
from pathlib import Path

from parlai import scripts

# loading torch and ParlAI, whose every command loads all of them, takes longer than most do with
# tiny models
_LOADED = [f"parlai.scripts.{found.name}" for found in pkgutil.iter_modules(scripts.__path__)]
_PROCESSES = multiprocessing.get_context("forkserver")
_PROCESSES.set_forkserver_preload(_LOADED)


def parlai(
    words: list[str], folder: Path, typed: str = "", timeout: float = 300
) -> tuple[int, str]:
    """
    Run a command in a folder.

    :param words: without ``parlai``
    :param typed: what it is typed
    :param timeout: s, after which it is ended
    :return: its exit status, and all that it printed
    """
    with tempfile.TemporaryDirectory() as beside:
        paths = [Path(beside) / "typed", Path(beside) / "printed"]
        paths[0].write_text(typed)
        process = _PROCESSES.Process(target=_run, args=(words, str(folder), *map(str, paths)))
        process.start()
        process.join(timeout)
        if process.exitcode is None:
            process.kill()
            process.join()
        assert process.exitcode is not None
        return process.exitcode, paths[1].read_text(errors="replace")


def _run(words: list[str], folder: str, typed: str, printed: str) -> None:
    for number, path, mode in ((0, typed, "r"), (1, printed, "a"), (2, printed, "a")):
        with open(path, mode) as stream:
            os.dup2(stream.fileno(), number)
    sys.stdin = open(0)
    os.chdir(folder)
    sys.argv = ["parlai", *words]
    from parlai.core.script import superscript_main

    superscript_main(words)
