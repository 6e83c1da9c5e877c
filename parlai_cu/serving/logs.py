"""What a service logs: events and where code failed, but nothing that a user said."""

import logging
import time
import traceback
from collections.abc import Callable

log = logging.getLogger("parlai_cu.serving")


class Texts:
    """Whether what users say is logged: only where the operator asked for it."""

    shown = False


class Seldom(logging.Filter):
    """
    Lets the same line through so often in a time, and says how many were left out.

    :param most: lines of one kind (logger, place and words) in that time
    :param seconds: the time
    :param clock: seconds of a steady clock
    """

    def __init__(
        self,
        most: int = 20,
        seconds: float = 10.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        super().__init__()
        self.most, self.seconds, self._clock = most, seconds, clock
        # kind -> (since when, lines let through, lines left out)
        self._seen: dict[tuple[str, int, str], list[float]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Whether a line is written."""
        now, kind = self._clock(), (record.pathname, record.lineno, str(record.msg)[:80])
        seen = self._seen.get(kind)
        if seen is None or now - seen[0] > self.seconds:
            if len(self._seen) > 1000:
                self._seen.clear()
            if seen is not None and seen[2]:
                told = record.getMessage()
                record.msg, record.args = f"{told} (and {seen[2]:,.0f} more like it)", ()
            self._seen[kind] = [now, 1.0, 0.0]
            return True
        seen[1 if seen[1] < self.most else 2] += 1
        return seen[2] == 0


def be_seldom() -> None:
    """Let no client fill the log: of all that a service's libraries say, too."""
    for name in ("parlai_cu.serving", "tornado.general", "tornado.application", "asyncio"):
        logger = logging.getLogger(name)
        if not any(isinstance(one, Seldom) for one in logger.filters):
            logger.addFilter(Seldom())


def failure(what: str, error: BaseException | None) -> None:
    """
    Log that something failed: the kind of error and the lines of code, not its message.

    Messages of errors quote what they tripped over, which may be what a user said.

    :param what: what failed
    :param error: what was raised
    """
    if error is None:
        log.error(what)
        return
    if Texts.shown:
        log.error(what, exc_info=error)
        return
    frames = "".join(traceback.format_tb(error.__traceback__)[-6:])
    # format_tb quotes source lines only, never values
    log.error("%s: %s\n%s", what, type(error).__name__, frames.rstrip())


def where(error: BaseException) -> str:
    """
    The same in a few words, for a log of somebody else's.

    :param error: what was raised
    """
    last = traceback.extract_tb(error.__traceback__)[-1]
    return f"{type(error).__name__} at {last.filename}:{last.lineno}"


def said(who: str, text: str) -> None:
    """
    Log what was said, where the operator asked for it.

    :param who: whose words, and in which conversation
    :param text: the words
    """
    if Texts.shown:
        log.info("%s: %r", who, text)
