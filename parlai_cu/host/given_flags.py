"""
ParlAI does not count ``--flag=value`` as given, and changes the value.

Seen with ParlAI 1.7.2: ``parlai interactive -mf model --beam-size=3`` runs with the beam size of
the ``.opt``; ``--model-file=my_model`` looks for ``my-model``. With a space in the place of the
sign both are right.

Here what is given in either way is given.
"""

import sys
from collections.abc import Iterable
from typing import Any

from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Parser


@instead_of("parlai.core.params:fix_underscores")
def _fix_underscores(stock: Stock, args: tuple[Any, ...]) -> Any:
    return [_hyphenated(word) for word in args] if args else args


@instead_of("parlai.core.params:ParlaiParser._process_args_to_opts")
def _process_args_to_opts(
    stock: Stock, parser: Parser, args_that_override: list[str] | None = None
) -> None:
    words = sys.argv[1:] if args_that_override is None else args_that_override
    command = vars(parser.args).get("_subparser")
    known = {**parser._option_string_actions, **getattr(command, "_option_string_actions", {})}
    stock(parser, [part for word in words for part in _parts(word, known)])


def _hyphenated(word: object) -> Any:
    if not isinstance(word, str) or not word.startswith("-"):
        return word
    flag, sign, value = word.partition("=")
    return flag.replace("_", "-") + sign + value


def _parts(word: str, known: Iterable[str]) -> tuple[str, ...]:
    flag, sign, value = str(word).partition("=")
    is_given = sign and flag.startswith("--") and flag.replace("_", "-") in known
    return (flag, value) if is_given else (word,)
