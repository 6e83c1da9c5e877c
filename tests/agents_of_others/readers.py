"""Agents that read knowledge each in its own way, or not at all."""

from typing import Any

import torch
from parlai.agents.transformer.polyencoder import PolyencoderAgent
from parlai.agents.transformer.transformer import TransformerGeneratorAgent
from parlai.core.message import Message


class CachingReader(TransformerGeneratorAgent):
    """Parses the field ``knowledge`` in ``batchify``, once for each observation, and reads it."""

    def batchify(self, obs_batch: Any, *args: Any, **kwargs: Any) -> Any:
        """The knowledge comes after the context."""
        for obs in obs_batch:
            if "knowledge_parsed" not in obs and "text_vec" in obs:
                obs["knowledge_parsed"] = self.dict.txt2vec(obs.get("knowledge", "none"))
        batch = super().batchify(obs_batch, *args, **kwargs)
        if batch.valid_indices is not None and len(batch.valid_indices):
            rows = [obs_batch[i]["knowledge_parsed"] for i in batch.valid_indices]
            batch["know_vec"], _ = self._pad_tensor([torch.LongTensor(row) for row in rows])
        return batch

    def _model_input(self, batch: Any) -> Any:
        return (torch.cat([batch.text_vec, batch.know_vec], dim=1)[:, -64:],)


class ObservingReader(TransformerGeneratorAgent):
    """Makes a text of the fields when it observes."""

    def _set_text_vec(self, obs: Any, history: Any, truncate: Any) -> Any:
        if "text" not in obs or "text_vec" in obs:
            return obs
        words = f"{obs.get('title', '')} {obs.get('checked_sentence', '')}"
        obs["text_vec"] = torch.LongTensor(self.dict.txt2vec(f"{words} {obs['text']}"))
        return obs


class Deaf(TransformerGeneratorAgent):
    """Reads the last message alone, as it came in."""

    def batchify(self, obs_batch: Any, *args: Any, **kwargs: Any) -> Any:
        """What stands in the text vector is not read."""
        rows = [
            Message({**obs, "text_vec": torch.LongTensor(self.dict.txt2vec(obs["text"]))})
            if "text_vec" in obs
            else obs
            for obs in obs_batch
        ]
        return super().batchify(rows, *args, **kwargs)


class RememberingRanker(PolyencoderAgent):
    """A ranker that encodes ``knowledge`` as memories when it observes."""

    def _vectorize_memories(self, obs: Any) -> Any:
        lines = obs.get("knowledge", "").split("\n")[:-1]
        obs.force_set("memory_vecs", [self._vectorize_text(line) for line in lines])
        return obs

    def vectorize(self, *args: Any, **kwargs: Any) -> Any:
        """With the memories, always."""
        return self._vectorize_memories(super().vectorize(*args, **kwargs))

    def batchify(self, obs_batch: Any, sort: bool = False) -> Any:
        """The memories of each, padded."""
        batch = super().batchify(obs_batch, sort)
        if batch.valid_indices is not None and len(batch.valid_indices):
            batch["memory_vecs"] = [obs_batch[i]["memory_vecs"] for i in batch.valid_indices]
        return batch
