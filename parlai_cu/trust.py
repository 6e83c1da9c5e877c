"""
Whether files of this process may be unpickled: what ``--trust-checkpoint`` said.

It stands apart from :mod:`parlai_cu.checkpoints`, which needs torch.
"""

import os

FLAG = "--trust-checkpoint"
# how the word goes from the command line to where files are read, also in processes it starts
_TRUSTED = "PARLAI_CU_TRUST_CHECKPOINT"


def trust(whether: bool) -> None:
    """
    Let files of this process and of those that it starts be unpickled, or no longer.

    :param whether: what the user said of ``--trust-checkpoint``
    """
    if whether:
        os.environ[_TRUSTED] = "1"
    else:
        os.environ.pop(_TRUSTED, None)


def trusted() -> bool:
    """Whether the user said ``--trust-checkpoint``."""
    return os.environ.get(_TRUSTED) == "1"
