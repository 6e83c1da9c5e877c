"""
``agent:path/to/model``: a specialised ParlAI model as a source of knowledge.

What it replies to the conversation is the fact, and how likely it finds its own words the score.
"""

import functools
import threading
from typing import Any

from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message

from parlai_cu import checkpoints
from parlai_cu.agents import kinds, model_files, speaking
from parlai_cu.agents.kb_augmented.model_view import ModelView
from parlai_cu.files import file_hash
from parlai_cu.knowledge.cached_source import CachedSource
from parlai_cu.types import Evidence, Turn


class DomainModel(CachedSource):
    """
    A model that is only asked. Its score is the probability of a token of its reply, in the mean.

    :param uri: ``agent:`` and the model file
    :raises ModelFileError: when there is no such model, or it cannot speak
    """

    how_to_write = "parlai train_model -m frozen_layer --init-model on it"

    def __init__(self, uri: str) -> None:
        super().__init__(uri)
        self.path = uri.split(":", 1)[1]
        model_files.read_opt(self.path, "--kb agent:")
        # a model answers one at a time
        self._lock = threading.Lock()
        # at once: what cannot answer is refused, not silent
        self.agent = self._load()

    def _load(self) -> Any:
        with checkpoints.translate_errors(self.path):
            agent = create_agent_from_model_file(self.path, speaking.overrides())
        speaking.probe(agent, f"--kb {self.name}")
        return agent

    def answer(self, turn: Turn) -> list[Evidence]:
        """Its one reply to the conversation; none where it is silent."""
        with self._lock:
            return self._reply(turn)

    def _reply(self, turn: Turn) -> list[Evidence]:
        clone = self.agent.clone()
        said = "\n".join([*turn.history, turn.text])
        seen = clone.observe(Message({"id": "user", "text": said, "episode_done": True}))
        if seen.get("text_vec") is None:
            return []
        view = ModelView(clone, seen, clone.batch_act, clone.batch_act)
        text = view.reply()
        if not text:
            return []
        generates = kinds.kind_of(clone) == "generator"
        score = min(view.probability(text), 1.0) if generates else 1.0
        snapshot = self.snapshot_id()
        return [Evidence(self.id_of(turn), text, score, self.name, snapshot, question=turn.text)]

    def snapshot_id(self) -> str:
        """Digest of the weights, which are those that were there when it was first asked."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        return file_hash(self.path)[:12]
