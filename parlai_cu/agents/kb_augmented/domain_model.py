"""
``agent:path/to/model``: a specialised ParlAI model as a source of knowledge.

What it replies to the conversation is the fact, and how likely it finds its own words the score.
"""

import functools
import hashlib
import threading
import time
from pathlib import Path
from typing import Any, Dict, List, Optional

from parlai.core.agents import create_agent_from_model_file
from parlai.core.message import Message
from parlai.core.torch_generator_agent import TorchGeneratorAgent

from parlai_cu.agents import model_files
from parlai_cu.agents.kb_augmented.model_view import ModelView
from parlai_cu.distillation.teacher_cache import file_sha256
from parlai_cu.errors import KnowledgeError, ParlaiCuError
from parlai_cu.knowledge.backends.base import ReadOnly
from parlai_cu.types import Evidence, Turn

# replies that can be asked for again by their id
_REMEMBERED = 1000


class DomainModel(ReadOnly):
    """
    A model that is only asked. Its score is the probability of a token of its reply, in the mean.

    :param uri: ``agent:`` and the model file
    :raises ModelFileError: when there is no such model
    """

    how_to_write = "parlai train_model -m frozen_layer --init-model on it"

    def __init__(self, uri: str) -> None:
        self.name = uri
        self.path = uri.split(":", 1)[1]
        model_files.read_opt(self.path, "--kb agent:")
        self._lock = threading.Lock()
        self._replies: Dict[str, Evidence] = {}
        self._calls = self._failures = 0
        self._seconds = 0.0

    @functools.cached_property
    def agent(self) -> Any:
        """The model, loaded when first asked."""
        try:
            return create_agent_from_model_file(
                self.path, {"datatype": "valid", "interactive_mode": False}
            )
        except ParlaiCuError:
            raise
        except Exception as error:
            raise model_files.damaged(self.path, error) from error

    def query(self, turn: Turn, top_k: int = 5) -> List[Evidence]:
        """Its one reply to the conversation; none where it is silent."""
        started = time.monotonic()
        with self._lock:
            self._calls += 1
            try:
                found = self._answer(turn)
            except Exception as error:
                self._failures += 1
                raise KnowledgeError(f"{self.name}: {error}") from error
            finally:
                self._seconds += time.monotonic() - started
            for evidence in found:
                if len(self._replies) >= _REMEMBERED:
                    self._replies.pop(next(iter(self._replies)))
                self._replies[evidence.id] = evidence
            return found

    def _answer(self, turn: Turn) -> List[Evidence]:
        clone = self.agent.clone()
        said = "\n".join([*turn.history, turn.text])
        seen = clone.observe(Message({"id": "user", "text": said, "episode_done": True}))
        if seen.get("text_vec") is None:
            return []
        view = ModelView(clone, seen, clone.batch_act)
        text = view.reply()
        if not text:
            return []
        generates = isinstance(clone, TorchGeneratorAgent)
        score = min(view.probability(text), 1.0) if generates else 1.0
        snapshot = self.snapshot_id()
        name = hashlib.sha256(f"{snapshot}\n{said}".encode("utf-8", "replace")).hexdigest()[:12]
        return [Evidence(name, text, score, self.name, snapshot, question=turn.text)]

    def get(self, fact_id: str) -> Optional[Evidence]:
        """A reply that was given lately."""
        return self._replies.get(fact_id)

    def stats(self) -> Dict[str, Any]:
        """How often it was asked, failed, and how long it took; facts cannot be counted."""
        return {
            "facts": 0,
            "snapshot": self.snapshot_id(),
            "calls": self._calls,
            "failures": self._failures,
            "ms": round(1000 * self._seconds / max(self._calls, 1), 1),
        }

    def snapshot_id(self) -> str:
        """Digest of the weights, which are those that were there when it was first asked."""
        return self._digest

    @functools.cached_property
    def _digest(self) -> str:
        return file_sha256(Path(self.path))[:12]

    def close(self) -> None:
        """Nothing is held open."""
