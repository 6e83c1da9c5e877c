"""parlai_cu/secret_values.py: what is set but says nothing opens nothing, wherever it is set."""

from pathlib import Path
from typing import Any

import pytest

from parlai_cu.chat_service import flags
from parlai_cu.errors import UsageError
from parlai_cu.secret_values import ADMIN_TOKEN, OPENAI_KEY, PASSWORD, Secret, read
from parlai_cu.serving.limits import same_secret
from tests.chat_service import config, service

GOOD = "long enough, and nobody's guess"
BLANK = ["", " ", "\n", "\t \r\n", "\u00a0\u2003", "\u200b\u200b"]
SECRETS = [PASSWORD, ADMIN_TOKEN, OPENAI_KEY]


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    """No secret comes from outside."""
    for secret in SECRETS:
        monkeypatch.delenv(secret.variable, raising=False)
        monkeypatch.delenv(f"{secret.variable}_FILE", raising=False)


@pytest.mark.parametrize("secret", SECRETS, ids=lambda secret: secret.variable)
@pytest.mark.parametrize("value", BLANK, ids=repr)
@pytest.mark.parametrize("source", ["flag", "environment", "file"])
def test_blank_is_refused(
    secret: Secret, value: str, source: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """From every source, of every secret, with the source in the message."""
    given: dict[str, Any] = {}
    if source == "flag":
        if not secret.flag:
            pytest.skip("it has no flag")
        given[secret.flag] = value
    elif source == "environment":
        monkeypatch.setenv(secret.variable, value)
    else:
        (tmp_path / "secret").write_text(value, encoding="utf-8")
        monkeypatch.setenv(f"{secret.variable}_FILE", str(tmp_path / "secret"))
    with pytest.raises(UsageError, match="set but empty") as error:
        read(secret, given)
    named = {"flag": f"--{secret.flag.replace('_', '-')}", "environment": secret.variable}
    assert named.get(source, f"{secret.variable}_FILE") in str(error.value)


@pytest.mark.parametrize(
    "value, why",
    [
        ("x" * 15, "16 are the fewest"),
        (" " * 20 + "short", "16 are the fewest"),
        (1234567890123456789, "expected text"),
        (True, "expected text"),
        ([GOOD], "expected text"),
        (GOOD + "\nsecond line", "line ends"),
        ("\x00" + GOOD, "control"),
        ("ü" * 20, "ASCII"),
    ],
    ids=repr,
)
def test_admin_tokens_that_are_none(value: Any, why: str) -> None:
    """Too short, another kind, several lines; the value itself is in no message."""
    with pytest.raises(UsageError, match=why) as error:
        read(ADMIN_TOKEN, {"admin_token": value})
    assert str(value) not in str(error.value)


def test_where_it_is_from(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The flag before the environment; a file ends with a line end; both at once are refused."""
    assert read(ADMIN_TOKEN, {}) is None
    (tmp_path / "secret").write_text(GOOD + "\r\n")
    monkeypatch.setenv("PARLAI_CU_ADMIN_TOKEN_FILE", str(tmp_path / "secret"))
    assert read(ADMIN_TOKEN) == GOOD
    monkeypatch.setenv("PARLAI_CU_ADMIN_TOKEN", GOOD)
    with pytest.raises(UsageError, match="both set"):
        read(ADMIN_TOKEN)
    assert (
        read(ADMIN_TOKEN, {"admin_token": "a flag that is set wins"}) == "a flag that is set wins"
    )


@pytest.mark.parametrize("content", [None, b"\xff\xfe\xff", b"x" * 5000])
def test_files_that_hold_none(
    content: bytes | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Missing, binary, far too long; a folder."""
    path = tmp_path / "secret"
    if content is not None:
        path.write_bytes(content)
    monkeypatch.setenv("PARLAI_CU_PASSWORD_FILE", str(path))
    with pytest.raises(UsageError, match="PARLAI_CU_PASSWORD_FILE"):
        read(PASSWORD)
    monkeypatch.setenv("PARLAI_CU_PASSWORD_FILE", str(tmp_path))
    with pytest.raises(UsageError, match="PARLAI_CU_PASSWORD_FILE"):
        read(PASSWORD)


@pytest.mark.parametrize("name", ["admin_token", "password"])
@pytest.mark.parametrize("value", ["", "  ", None, 5])
def test_a_service_does_not_start(name: str, value: Any, tmp_path: Path) -> None:
    """Written in config.yml: refused before anything listens, also where YAML makes it null."""
    written = {**config(), "opt": {name: value, "models": {}}}
    with pytest.raises(UsageError, match=name):
        service(tmp_path, written, **({} if value is None else {name: value}))


def test_nothing_equals_nothing() -> None:
    """Whatever was configured, an empty secret matches nothing."""
    assert not same_secret("", "") and not same_secret(None, "") and not same_secret("", None)
    assert same_secret("a", "a")
    assert flags.settings({}).admin_token is None
