"""What a service logs: events and where code failed, but nothing that a user said."""

import logging
import traceback

log = logging.getLogger("parlai_cu.serving")


class Texts:
    """Whether what users say is logged: only where the operator asked for it."""

    shown = False


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
