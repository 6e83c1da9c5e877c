"""
Secrets that an operator gives: from a flag, config.yml, the environment, or a file.

One reader for all, since what is set but empty must never open anything. The first that is set
counts: the flag or config.yml, then ``NAME`` of the environment, then the file that ``NAME_FILE``
of the environment names, as containers mount it.
"""

import os
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from parlai_cu.errors import UsageError

# bytes of a file; a secret is a line
_MOST = 4096


@dataclass(frozen=True)
class Secret:
    """
    What a secret is called, and what it must be.

    :param flag: of the command line and of config.yml, with underscores; empty for none
    :param variable: of the environment; ``_FILE`` is added where it names a file
    :param fewest: characters that it must have
    :param in_header: whether it is sent in a header of HTTP: ASCII only
    """

    flag: str
    variable: str
    fewest: int = 1
    in_header: bool = False


PASSWORD = Secret("password", "PARLAI_CU_PASSWORD")
ADMIN_TOKEN = Secret("admin_token", "PARLAI_CU_ADMIN_TOKEN", fewest=16, in_header=True)
OPENAI_KEY = Secret("", "OPENAI_API_KEY", in_header=True)


def read(secret: Secret, given: Mapping[str, Any] | None = None) -> str | None:
    """
    A secret; None where none was given.

    :param secret: which
    :param given: flags and what stands in config.yml; a key that is there counts as set where its
        value is not None
    :raises UsageError: when it is set but empty, blank, too short or no text, or its file cannot be
        read
    """
    flag = f"--{secret.flag.replace('_', '-')}"
    value = (given or {}).get(secret.flag) if secret.flag else None
    if value is not None:
        return _checked(secret, value, f"{flag} (or {secret.flag}: of config.yml)")
    variable, file = secret.variable, f"{secret.variable}_FILE"
    if variable in os.environ and file in os.environ:
        raise UsageError(f"{variable} and {file} are both set: leave out one of them")
    if variable in os.environ:
        return _checked(secret, os.environ[variable], variable)
    if file in os.environ:
        return _checked(secret, _content(os.environ[file], file), f"{file}={os.environ[file]}")
    return None


def refuse_null(secret: Secret, written: Mapping[str, Any] | None) -> None:
    """
    Refuse a line of config.yml that names a secret and says nothing.

    :param secret: which
    :param written: ``opt:`` of config.yml
    :raises UsageError: when it is there without a value
    """
    if written and secret.flag in written and written[secret.flag] is None:
        raise UsageError(_refused(f"{secret.flag}: of config.yml", "it is set but empty", secret))


def _content(path: str, variable: str) -> str:
    try:
        with open(path, "rb") as f:
            content = f.read(_MOST + 1)
        if len(content) > _MOST:
            raise UsageError(f"{variable}={path}: over {_MOST:,d} bytes; expected one line")
        return content.decode("utf-8")
    except OSError as error:
        raise UsageError(f"{variable}={path}: {error.strerror or error}") from None
    except ValueError:
        raise UsageError(f"{variable}={path}: found no text; expected one line in UTF-8") from None


def _checked(secret: Secret, value: object, where: str) -> str:
    """The secret without what stands around it; nothing of it is in any message."""
    if not isinstance(value, str):
        kind = type(value).__name__
        raise UsageError(_refused(where, f"found {kind}, expected text (in quotes)", secret))
    text = value.strip()
    if not any(character.isprintable() and not character.isspace() for character in text):
        raise UsageError(_refused(where, "it is set but empty", secret))
    if not text.isprintable():
        raise UsageError(_refused(where, "it holds line ends or control characters", secret))
    if secret.in_header and not text.isascii():
        raise UsageError(_refused(where, "it is sent in a header: letters of ASCII only", secret))
    if len(text) < secret.fewest:
        short = f"{len(text)} characters; {secret.fewest} are the fewest"
        raise UsageError(_refused(where, short, secret))
    return text


def _refused(where: str, what: str, secret: Secret) -> str:
    make = 'python -c "import secrets; print(secrets.token_urlsafe())"'
    ways = f"Leave it out for none, or make one: {make}"
    return f"{where}: {what}. {ways}" if secret.flag else f"{where}: {what}. Leave it out for none"
