"""ParlAI's own projects, as its wheel has them (without cringe and director), in every mode."""

from pathlib import Path

import pytest

from parlai_cu.agents.mode_check import ModeCheck

MODES = 12
_WIZARD = "projects.wizard_of_wikipedia"
AGENTS = [
    f"{_WIZARD}.generator.agents:EndToEndAgent",
    f"{_WIZARD}.wizard_transformer_ranker.wizard_transformer_ranker:WizardTransformerRankerAgent",
    "projects.dialogue_unlikelihood.agents:RepetitionUnlikelihoodAgent",
    "projects.dialogue_unlikelihood.agents:TransformerUnlikelihoodAgent",
    "projects.style_gen.classifier:ClassifierAgent",
    "projects.style_gen.style_gen:StyleGenAgent",
]


@pytest.mark.slow
@pytest.mark.parametrize("agent", AGENTS)
def test_every_mode(agent: str, tmp_path: Path) -> None:
    """Each gives what the agent itself gives."""
    found = list(ModeCheck(agent, str(tmp_path)).run())
    assert len(found) == MODES and [result for result in found if not result.works] == []


@pytest.mark.slow
def test_a_student_of_anti_scaling_in_every_mode(tmp_path: Path) -> None:
    """It has a teacher, losses on hidden states, and a flag that is called like ours."""
    folders = [tmp_path / name for name in ("teacher", "student")]
    for folder in folders:
        folder.mkdir()
    teacher = ModeCheck("transformer/generator", str(folders[0]))
    assert next(teacher.run()).works
    flags = ["--teacher-model", teacher.base, "--encoder-loss-coeff", "1", "--hidden-loss-coeff"]
    agent = "projects.anti_scaling.distillation:DistillNarrowTransformerAgent"
    found = list(ModeCheck(agent, str(folders[1]), [*flags, "1"]).run())
    assert len(found) == MODES and [result for result in found if not result.works] == []


def test_an_agent_of_no_kind(tmp_path: Path) -> None:
    """All that needs no soft labels works; what needs them says so."""
    found = list(ModeCheck("tests.agents_of_others.habits:NoKind", str(tmp_path)).run())
    refused = {result.mode: result.said for result in found if not result.works}
    assert set(refused) == {"--replay-task, --penalty lwf", "distill_student"}
    assert all("is none of generator, ranker, classifier" in said for said in refused.values())


def test_an_agent_that_cannot_be_trained(tmp_path: Path) -> None:
    """One line says why; nothing more is tried."""
    agent = "projects.dialogue_unlikelihood.agents:TransformerSequenceVocabUnlikelihoodAgent"
    (only,) = ModeCheck(agent, str(tmp_path)).run()
    assert only.mode == "train" and not only.works and "--counts-file" in only.said
