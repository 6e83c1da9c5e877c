"""ParlAI's own projects, as its wheel has them, and agents of our own, in every mode."""

from pathlib import Path

import pytest

from parlai_cu.agents.mode_check import ModeCheck
from tests.agents_of_others.habits import PLACE

WIZARD = "projects.wizard_of_wikipedia"
# agent -> the flags it needs, and the modes that do not work over it, with why not
AGENTS: dict[str, tuple[list[str], dict[str, str]]] = {
    "transformer/generator": ([], {}),
    f"{WIZARD}.generator.agents:EndToEndAgent": ([], {}),
}


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_every_mode(agent: str, tmp_path: Path) -> None:
    """Each gives what the agent itself gives, or says why not."""
    flags, expected = AGENTS[agent]
    found = list(ModeCheck(agent, str(tmp_path), flags).run())
    assert len(found) == 10
    for result in found:
        if result.mode in expected:
            assert not result.works and expected[result.mode] in result.said, result
        else:
            assert result.works, result


def test_an_agent_that_cannot_be_trained(tmp_path: Path) -> None:
    """One line says why; nothing more is tried."""
    (only,) = ModeCheck(f"{PLACE}:NoKind", str(tmp_path), ["--no-such-flag", "1"]).run()
    assert only.mode == "train" and not only.works and "no-such-flag" in only.said
