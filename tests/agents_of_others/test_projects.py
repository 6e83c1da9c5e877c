"""ParlAI's own projects, as its wheel has them, and agents of our own, in every mode."""

from pathlib import Path

import pytest

from parlai_cu.agents.mode_check import ModeCheck

AGENTS = [
    "projects.wizard_of_wikipedia.generator.agents:EndToEndAgent",
    "projects.dialogue_unlikelihood.agents:RepetitionUnlikelihoodAgent",
    "projects.style_gen.classifier:ClassifierAgent",
    "projects.style_gen.style_gen:StyleGenAgent",
]


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_every_mode(agent: str, tmp_path: Path) -> None:
    """Each gives what the agent itself gives."""
    found = list(ModeCheck(agent, str(tmp_path)).run())
    assert len(found) == 10 and [result for result in found if not result.works] == []


def test_an_agent_that_cannot_be_trained(tmp_path: Path) -> None:
    """One line says why; nothing more is tried."""
    agent = "projects.dialogue_unlikelihood.agents:TransformerSequenceVocabUnlikelihoodAgent"
    (only,) = ModeCheck(agent, str(tmp_path)).run()
    assert only.mode == "train" and not only.works and "--counts-file" in only.said
