"""
``openai+https://host/v1#model``: a language model behind an OpenAI-compatible endpoint.

Its answer to the conversation is the fact; where it has none, or is no question, there is none.
The key is taken from ``OPENAI_API_KEY`` and goes nowhere but into the request's header.
"""

import hashlib
import json
import math
import time
from collections.abc import Callable
from typing import Any

from parlai_cu import secret_values
from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.cached_source import CachedSource
from parlai_cu.knowledge.endpoint import Endpoint, refusal
from parlai_cu.types import Evidence, Turn

_NOTHING = "NONE"
_TASK = (
    "You are the source of knowledge of another assistant. Reply with the facts that answer the "
    "last message of the conversation, in one or two plain sentences. Use only what you are sure "
    f"of. If you do not know, or nothing is asked that facts can answer, reply with {_NOTHING}."
)
# of what was said before, as much as makes a question plain
_UTTERANCES, _LETTERS = 8, 2000
_MOST_TOKENS = 200


class LanguageModel(CachedSource):
    """
    A model that is asked over HTTP.

    :param uri: ``openai+https://host/v1#model``, perhaps with ``?timeout=SECONDS`` before the ``#``
    :param backoff_s: seconds before the second try
    :param clock: seconds, for what asking cost
    :raises KnowledgeError: when the URI names no host or no model; it is not contacted yet
    """

    how_to_write = "the tools of the service"

    def __init__(
        self,
        uri: str,
        backoff_s: float = 0.2,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._endpoint = Endpoint(
            uri, secret_values.read(secret_values.OPENAI_KEY) or "", backoff_s
        )
        self.model = self._endpoint.fragment
        if not self.model:
            raise KnowledgeError(f"--kb {self._endpoint.name}: expected #MODEL at its end")
        super().__init__(self._endpoint.name, clock)
        # until a server says that it does not know of them
        self._probabilities = True

    def answer(self, turn: Turn) -> list[Evidence]:
        """
        Ask; the score is the mean probability of a token, or 1 where it does not tell any.

        :raises KnowledgeError: when what comes back is no answer
        """
        said = self._completion(turn)
        for name, counted in (("tokens_in", "prompt_tokens"), ("tokens_out", "completion_tokens")):
            self.count(name, float((said.get("usage") or {}).get(counted) or 0))
        choice = said["choices"][0]
        text = " ".join(str(choice["message"]["content"] or "").split())
        if not text or text.strip(".\"' ").upper() == _NOTHING:
            return []
        snapshot = self.snapshot_id()
        score = _probability(choice)
        return [Evidence(self.id_of(turn), text, score, self.name, snapshot, question=turn.text)]

    def _completion(self, turn: Turn) -> dict[str, Any]:
        body: dict[str, Any] = {
            "model": self.model,
            "messages": _messages(turn),
            "temperature": 0,
            "max_tokens": _MOST_TOKENS,
        }
        if self._probabilities:
            body["logprobs"] = True
        answer = self._endpoint.post("/chat/completions", json=body)
        if answer.status == 400 and self._probabilities and b"logprobs" in answer.content:
            self._probabilities = False
            return self._completion(turn)
        if answer.status != 200:
            raise KnowledgeError(refusal(answer))
        try:
            said: dict[str, Any] = json.loads(answer.content)
            said["choices"][0]["message"]["content"]
        except (ValueError, LookupError, TypeError) as error:
            raise KnowledgeError(f"no chat completion: {answer.content[:80]!r}") from error
        return said

    def snapshot_id(self) -> str:
        """Of the address and the model's name; what is behind them does not say when it changes."""
        return hashlib.sha256(self.name.encode()).hexdigest()[:12]

    def close(self) -> None:
        """Let go of the connections."""
        self._endpoint.close()


def _messages(turn: Turn) -> list[dict[str, str]]:
    """The conversation as the protocol has it; the utterance before the user's is the system's."""
    said = [text[:_LETTERS] for text in (*turn.history[-_UTTERANCES:], turn.text)]
    told = []
    for distance, text in enumerate(reversed(said)):
        role = "assistant" if distance % 2 else "user"
        # half a character is nothing that can be sent
        whole = text.encode("utf-8", "replace").decode("utf-8")
        told.append({"role": role, "content": whole})
    return [{"role": "system", "content": _TASK}, *reversed(told)]


def _probability(choice: dict[str, Any]) -> float:
    """Of a token, in the geometric mean."""
    found: list[dict[str, Any]] | None = (choice.get("logprobs") or {}).get("content")
    if not found:
        return 1.0
    return min(math.exp(sum(token["logprob"] for token in found) / len(found)), 1.0)
