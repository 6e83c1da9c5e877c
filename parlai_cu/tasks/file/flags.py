"""The flags that overrule what is recognised in a file; light to import."""

import functools
import sys
from collections.abc import Mapping
from typing import Any

from parlai_cu import plugin
from parlai_cu.data.base import ReadOptions
from parlai_cu.data.reading import parse_columns
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Parser

_INSTRUCTIONS = ("auto", "keep", "drop")


def add_flags(parser: Parser) -> None:
    """The flags that overrule what is recognised in a file."""
    group = parser.add_argument_group("Files of conversations")
    group.add_argument(
        "--format",
        dest="file_format",
        help=f"of the file: {', '.join(plugin.DATA_FORMATS)}; or my.module:Reader "
        "(default: recognised)",
    )
    group.add_argument(
        "--columns",
        dest="file_columns",
        help="which column is what: question=NAME,reply=NAME; also wrong, context, conversation, "
        "speaker, text, time, language, split, accepted, private",
    )
    group.add_argument(
        "--service-speaker",
        help="NAME of the speaker whose replies are learnt, where the names do not make it clear",
    )
    group.add_argument(
        "--instructions",
        choices=_INSTRUCTIONS,
        default="auto",
        help="system messages: keep them in the text, drop them; auto: drop one that all "
        "conversations have",
    )


def options_of(opt: Mapping[str, Any]) -> ReadOptions:
    """What the command line says of a file."""
    return ReadOptions(
        format=opt.get("file_format"),
        columns=parse_columns(opt.get("file_columns")),
        service=opt.get("service_speaker"),
        instructions=opt.get("instructions") or "auto",
        ask=_ask if sys.stdin is not None and sys.stdin.isatty() else None,
    )


@functools.cache  # a command may read a file more than once
def _ask(question: str, choices: tuple[str, ...]) -> str:
    print(question)
    for number, choice in enumerate(choices, 1):
        print(f"  {number}  {choice}")
    while True:
        try:
            answer = input("number or name: ").strip()
        except EOFError:
            raise UsageError(f"{question} Say it by --service-speaker NAME") from None
        if answer in choices:
            return answer
        if answer.isdigit() and 1 <= int(answer) <= len(choices):
            return choices[int(answer) - 1]
