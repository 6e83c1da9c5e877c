"""A reply is marked with a fact only if the fact was in what the model read."""

from collections.abc import Callable
from typing import Any

import pytest

from parlai_cu.types import Fact
from tests.agents.test_kb_augmented import ASKED, ask, kb, load
from tests.conftest import BASES, CANDIDATES, TINY_TRANSFORMER

__all__ = ["kb", "load"]
READERS = "tests.agents_of_others.readers"
FACT = "Parking is free at the hotel."


@pytest.fixture(autouse=True)
def bases(monkeypatch: pytest.MonkeyPatch) -> None:
    """The agents of others are trained like ParlAI's own."""
    for name in ("CachingReader", "ObservingReader", "Deaf"):
        monkeypatch.setitem(BASES, f"{READERS}:{name}", TINY_TRANSFORMER)
    ranker = {**TINY_TRANSFORMER, **CANDIDATES}
    monkeypatch.setitem(BASES, f"{READERS}:RememberingRanker", ranker)


@pytest.fixture
def read(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """What the model reads, as text, call by call."""
    from parlai.core.torch_generator_agent import TorchGeneratorAgent

    calls: list[str] = []
    stock = TorchGeneratorAgent._generate

    def generate(self: Any, batch: Any, *args: Any, **kwargs: Any) -> Any:
        calls.append(self.dict.vec2txt(self._model_input(batch)[0][0].tolist()))
        return stock(self, batch, *args, **kwargs)

    monkeypatch.setattr(TorchGeneratorAgent, "_generate", generate)
    return calls


@pytest.mark.parametrize("gate", ["always", "uncertainty"])
@pytest.mark.parametrize("name", ["CachingReader", "ObservingReader"])
def test_an_agent_that_parses_knowledge_gets_ours(
    name: str, gate: str, load: Callable[..., Any], read: list[str]
) -> None:
    """Also after it was asked for its own reply, whose knowledge is another."""
    agent = load(
        f"{READERS}:{name}",
        kb_integrate="prompt",
        kb_prompt_format="fields",
        kb_gate=gate,
        kb_gate_threshold="0.01" if gate == "uncertainty" else None,
        kb_top_k=1,
    )
    said = agent.dict.vec2txt(agent.dict.txt2vec(FACT))
    reply = ask(agent, ASKED)[0]
    assert reply["knowledge"][0]["id"] == "park" and "knowledge_not_used" not in reply
    assert said in read[-1]
    if gate == "uncertainty":
        assert said not in read[0]
    # the next turn knows nothing of it, and the one after that has it anew
    _, plain, again = ask(agent, ASKED, "hello there", ASKED)
    assert ("knowledge" in plain) == (gate == "always" and "knowledge" in plain)
    assert again["knowledge"][0]["id"] == "park" and said in read[-1]


def test_a_ranker_that_remembers_gets_ours(
    load: Callable[..., Any], tmp_path: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It takes the lines of ``knowledge`` that end."""
    (tmp_path / "candidates.txt").write_text("a one\nthe two\n")
    agent = load(
        f"{READERS}:RememberingRanker",
        kb_integrate="prompt",
        kb_prompt_format="fields",
        kb_gate="always",
        kb_top_k=1,
        eval_candidates="fixed",
        fixed_candidates_path=str(tmp_path / "candidates.txt"),
    )
    reply = ask(agent, ASKED)[0]
    assert reply["text"] in ("a one", "the two") and reply["knowledge"][0]["id"] == "park"


def test_an_agent_that_does_not_read_says_so(load: Callable[..., Any], read: list[str]) -> None:
    """Its reply is its own; so it is marked."""
    agent = load(f"{READERS}:Deaf", kb_integrate="prompt", kb_gate="always")
    (reply,) = ask(agent, ASKED)
    assert "knowledge" not in reply and reply["knowledge_not_used"][0]["id"] == "park"
    assert float(agent.report()["kb_used"]) == 0
    own = load(f"{READERS}:Deaf", kb_gate="never")
    assert reply["text"] == ask(own, ASKED)[0]["text"]


def test_a_fact_that_is_cut_off_was_not_used(load: Callable[..., Any], kb: Any) -> None:
    """Of two facts the model has room for one."""
    fact = Fact("Parking " + "is free at the hotel " * 5, id="long", entity="Blue Harbour Hotel")
    kb.add([fact])
    agent = load(kb_integrate="prompt", kb_gate="always", kb_top_k=2, kb_prompt_format="lines")
    (reply,) = ask(agent, ASKED)
    used = {fact["id"] for fact in reply["knowledge"]}
    unused = {fact["id"] for fact in reply["knowledge_not_used"]}
    assert len(used) == len(unused) == 1 and not used & unused
