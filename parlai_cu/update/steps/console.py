"""What an update shows and what it only writes down: ParlAI's own lines go to a file."""

import contextlib
import logging as stdlib_logging
import os
from collections.abc import Iterator, Mapping
from typing import Any

import parlai.utils.logging as logging

from parlai_cu import files

NAME = "parlai.log"
# said of every model that is loaded to be measured, or to be trained further
_EXPECTED = (
    "Overriding opt[",
    "Detected a fine-tune run. Resetting",
    "Optimizer was reset. Also resetting",
    "--skip-generation true produces limited",
)


class UpdateLog:
    """
    ParlAI's lines of one update, in a file; warnings and errors are shown as well.

    Where ``--loglevel`` was given, the terminal shows what it asks for, too.

    :param opt: of the command
    :param folder: where the file is at first, see :meth:`move_to`
    :raises SaveError: when it cannot be written
    """

    def __init__(self, opt: Mapping[str, Any], folder: str) -> None:
        self.path = os.path.join(folder, f"parlai-{os.getpid()}.log")
        self._asked = "loglevel" in (opt.get("override") or {})
        with files.translate_errors(folder):
            files.private_folder(folder)
            files.make_private(self.path)
            self._handler = stdlib_logging.FileHandler(self.path, encoding="utf-8")
        self._handler.setFormatter(stdlib_logging.Formatter(logging.LOGFILE_FORMAT))

    @contextlib.contextmanager
    def taken(self) -> Iterator[None]:
        """Within, ParlAI's lines go there; where it fails, the file is named."""
        shown, level = logging.logger.streamHandler, logging.logger.level
        logging.logger.addHandler(self._handler)
        # ParlAI's logger remembers of an earlier level what it does not show
        logging.logger._cache.clear()
        if not self._asked:
            shown.addFilter(_is_shown)
        try:
            yield
        finally:
            shown.removeFilter(_is_shown)
            logging.logger.removeHandler(self._handler)
            logging.logger.setLevel(level)
            self._handler.close()

    def move_to(self, folder: str) -> None:
        """Keep it beside the report: the file is open, and is written on there."""
        target = os.path.join(folder, NAME)
        with files.translate_errors(target):
            os.replace(self.path, target)
        self.path = target


def _is_shown(record: Any) -> bool:
    return record.levelno >= stdlib_logging.WARNING and not record.getMessage().startswith(
        _EXPECTED
    )
