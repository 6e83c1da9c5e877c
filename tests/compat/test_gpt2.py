"""The two repairs of ParlAI's GPT-2 under current transformers, on a random tiny checkpoint."""

from pathlib import Path
from typing import Any

import pytest

from parlai_cu import compat
from tests.compat.tiny_checkpoints import make_gpt2

pytest.importorskip("transformers", reason="transformers is not installed")


@pytest.fixture
def agent(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """A hugging_face/gpt2 agent that starts from a tiny checkpoint."""
    import parlai_cu  # noqa: F401  (the repairs are there before ParlAI is)

    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    make_gpt2(tmp_path / "gpt2")
    from parlai.core.agents import create_agent
    from parlai.core.params import ParlaiParser

    arguments = ["-m", "hugging_face/gpt2", "--model-name", str(tmp_path / "gpt2"), "--no-cuda"]
    return create_agent(ParlaiParser(True, True).parse_args(arguments))


def test_cache_follows_the_beam(agent: Any) -> None:
    """After reordering, each beam goes on from its own past: the scores are those without."""
    import torch

    model = agent.model.eval()
    context = torch.tensor([[72, 101], [87, 104], [65, 66]])
    start = torch.full((3, 1), agent.START_IDX)
    order = torch.tensor([2, 0, 0])
    with torch.no_grad():
        _, past = model.decoder(start, context, None)
        past = model.reorder_decoder_incremental_state(past, order)
        context = context[order]
        words = torch.cat([start, torch.tensor([[7], [8], [9]])], dim=1)
        cached, _ = model.decoder(words, context, past)
        afresh = model.decoder.transformer(torch.cat([context, words[:, 1:]], dim=1))[0]
    assert torch.allclose(cached[:, -1], afresh[:, -1], atol=1e-5)


def test_old_checkpoint_with_masks(agent: Any) -> None:
    """A model saved when the causal mask was still a buffer loads; other surplus does not."""
    import torch

    states = agent.model.state_dict()
    name = "decoder.transformer.h.0.attn.bias"
    if compat.reason("gpt2_buffers") is None:
        pytest.skip("this transformers still has the mask")
    assert name not in states
    masks = {name: torch.ones(1, 1, 8, 8), name[:-4] + "masked_bias": torch.tensor(-1e4)}
    agent.load_state_dict({**states, **masks})
    with pytest.raises(RuntimeError, match="decoder.surplus"):
        agent.load_state_dict({**states, "decoder.surplus": torch.ones(1)})
