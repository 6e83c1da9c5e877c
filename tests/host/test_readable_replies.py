"""``parlai interactive`` shows replies as a person would write them."""

import pytest
from parlai.agents.local_human.local_human import LocalHumanAgent
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

SAID = {"id": "M", "text": "it ' s $ 5 ."}


@pytest.mark.parametrize(
    ("model", "flag", "shown"),
    [
        ("deployed", None, "It's $5."),
        ("deployed", False, "it ' s $ 5 ."),
        ("transformer/generator", None, "it ' s $ 5 ."),
        ("transformer/generator", True, "It's $5."),
    ],
)
def test_what_is_shown(
    model: str, flag: bool | None, shown: str, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of our agents, and of any where --detokenize says so; the act itself is as it was."""
    person = LocalHumanAgent(Opt({"model": model, "detokenize": flag}))
    person.observe(SAID)
    assert shown in capsys.readouterr().out
    assert SAID["text"] == "it ' s $ 5 ."


def test_the_flag_is_in_help() -> None:
    """Beside ParlAI's own of the person at the terminal."""
    parser = ParlaiParser(True, False)
    LocalHumanAgent.add_cmdline_args(parser, Opt())
    assert "--detokenize" in parser.format_help()
