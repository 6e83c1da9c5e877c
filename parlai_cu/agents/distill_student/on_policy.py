"""Replies drawn from the student, for the teacher to score."""

import torch

from parlai_cu.parlai_types import Batch, ModelAgent

_SAMPLING = {"inference": "nucleus", "topp": 1.0, "beam_size": 1}


@torch.no_grad()
def sample_replies(agent: ModelAgent, batch: Batch) -> torch.Tensor:
    """
    One reply for each example, drawn token by token from the student's own distribution.

    :param agent: a generator
    :param batch: its ``text_vec``
    :return: LongTensor[bsz, length], as labels are: no start token, an end token, padded
    """
    opt = agent.opt
    before = {name: opt.get(name) for name in _SAMPLING}
    limit = opt.get("label_truncate") or agent.label_truncate or 128
    agent.model.eval()
    opt.update(_SAMPLING)
    try:
        drawn, _ = agent._generate(batch, 1, limit)
    finally:
        opt.update(before)
        agent.model.train()
    replies = []
    for tokens, *_ in drawn:
        tokens = tokens[1:] if tokens[0] == agent.START_IDX else tokens
        replies.append(tokens[:limit].cpu())
    padded, _ = agent._pad_tensor(replies, is_label=True)
    return padded.to(batch.text_vec.device)
