"""
``python -m parlai_cu COMMAND``: the same commands as ``parlai COMMAND``.

For where ``parlai`` itself cannot be called; without ParlAI it says what to install.
"""

import sys

from parlai_cu.errors import require_parlai, short_excepthook


def main() -> None:
    """Run ParlAI's command line with our commands in it."""
    sys.excepthook = short_excepthook
    require_parlai()
    from parlai.core.script import superscript_main

    superscript_main()


if __name__ == "__main__":
    main()
