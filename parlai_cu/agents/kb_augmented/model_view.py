"""One turn of a ParlAI agent as an integrator sees it: reply, with knowledge or not; and score."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from parlai.core.message import Message

from parlai_cu.agents import kinds
from parlai_cu.agents.kb_augmented.fusing import Fusing, label_scores
from parlai_cu.agents.kb_augmented.shown_facts import OBSERVED, SHOWN, ShownFacts
from parlai_cu.errors import UsageError
from parlai_cu.knowledge.integrators import prompt
from parlai_cu.parlai_types import ModelAgent
from parlai_cu.types import Evidence

# at most this share of what the model can read is knowledge
_SHARE = 0.5


class ModelView:
    """
    :param agent: the base agent
    :param observation: of the turn, as ``observe`` returned it
    :param act: the agent's own way to answer, with other turns in one batch
    :param alone: the same, at once and without others
    """

    def __init__(self, agent: ModelAgent, observation: Message, act: Any, alone: Any) -> None:
        self.agent, self.observation, self._act, self._alone = agent, observation, act, alone
        self.last: Message | None = None
        # the facts that the last reply was to be made of, where the model was to read them
        self.shown: ShownFacts | None = None
        self._own: Message | None = None

    def reply(self, knowledge: Sequence[Evidence] = ()) -> str:
        """The model's reply; its own is computed once."""
        return str(self.message(knowledge).get("text") or "")

    def message(self, knowledge: Sequence[Evidence] = ()) -> Message:
        """The whole act of the reply."""
        if not knowledge:
            if self._own is None:
                self._own = self._act([self._fresh()])[0]
            self.last, self.shown = self._own, None
        else:
            self.last = self._act([self._with_knowledge(knowledge)])[0]
        return self.last

    def empty(self) -> Message:
        """A reply to be filled."""
        return Message({"id": self.agent.getID(), "episode_done": False})

    def fused(self, told: Sequence[str], shares: Sequence[float], weight: float) -> str:
        """The model's reply (generators), with facts to copy from at each token."""
        rows = [self._labelled(text) for text in told]
        self.agent.fusing = Fusing(self.agent, rows, told, shares, weight)
        try:
            self.last = self._alone([self._fresh()])[0]
        finally:
            self.agent.fusing = None
        return str(self.last.get("text") or "")

    def scores(self, replies: Sequence[str]) -> list[float]:
        """
        Generators: minus the mean loss of a token. Rankers: their score.

        :raises UsageError: where there are none
        """
        agent, kind = self.agent, kinds.kind_of(self.agent)
        if kind == "generator":
            return [-self._loss(text) for text in replies]
        if kind == "ranker":
            seen = self._copy(label_candidates=list(replies))
            seen.force_set("label_candidates_vecs", [agent._vectorize_text(t) for t in replies])
            with torch.no_grad():
                batch = agent.batchify([seen])
                _, vectors, _ = agent._build_candidates(batch, source="inline", mode="eval")
                return [float(score) for score in agent.score_candidates(batch, vectors)[0]]
        raise UsageError("--kb-integrate rerank: it needs the scores of tokens or candidates")

    def entropy(self) -> float:
        """
        Of each next token's distribution along its own reply: the mean, in nats.

        :raises UsageError: when it is no generator
        """
        agent, text = self.agent, self.reply()
        if kinds.kind_of(agent) != "generator":
            raise UsageError("--kb-gate uncertainty: it is the entropy of a generator's tokens")
        # not while asking: other turns go on then
        scores, _ = self._label_scores(text)
        log_probs = scores.log_softmax(dim=-1)
        return float(-(log_probs.exp() * log_probs).sum(dim=-1).mean())

    def probability(self, text: str) -> float:
        """Of a token of a reply, in the geometric mean (generators)."""
        return math.exp(-self._loss(text))

    def _loss(self, text: str) -> float:
        return float(torch.nn.functional.cross_entropy(*self._label_scores(text)))

    def _label_scores(self, text: str) -> tuple[torch.Tensor, torch.Tensor]:
        """FloatTensor[length, vocab] and LongTensor[length]: of the tokens of a reply."""
        batch = self._labelled(text)
        return label_scores(self.agent, batch), batch.label_vec[0]

    def _labelled(self, text: str) -> Any:
        agent = self.agent
        vector = agent._vectorize_text(text, False, True, agent.label_truncate, False)
        seen = self._copy(eval_labels=[text])
        seen.force_set("eval_labels_vec", vector)
        seen.force_set("eval_labels_choice", text)
        batch = agent.batchify([seen])
        if agent.use_cuda:
            batch = batch.to(0 if agent.opt["gpu"] == -1 else agent.opt["gpu"])
        return batch

    def _fresh(self) -> Message:
        """The observation; what an agent writes into it in one call is not there in the next."""
        return Message({**self.observation})

    def _copy(self, **changes: Any) -> Message:
        kept: dict[str, Any] = {
            name: value
            for name, value in self.observation.items()
            if not name.startswith(("labels", "eval_labels", "label_candidates"))
        }
        return Message({**kept, **changes})

    def _with_knowledge(self, knowledge: Sequence[Evidence]) -> Message:
        """
        The turn with knowledge in its fields and before its context.

        Knowledge and context are cut to what the model can read.
        """
        agent, seen = self.agent, self.observation[OBSERVED].again(prompt.fields(knowledge))
        context = seen["text_vec"]
        if not torch.is_tensor(context):
            context = torch.tensor(list(context), dtype=torch.long)
        begin, middle, end = prompt.written(knowledge, self._format())
        begin_vec, middle_vec = agent.dict.txt2vec(begin), agent.dict.txt2vec(middle)
        end_vec = agent.dict.txt2vec(end + agent.history.delimiter) if middle else []
        limit = agent.text_truncate
        if limit > 0:
            room = int(limit * _SHARE) - len(begin_vec) - len(end_vec)
            middle_vec = middle_vec[: max(room, 0)]
            context = context[-(limit - len(begin_vec + middle_vec + end_vec)) :]
        told = torch.tensor(begin_vec + middle_vec + end_vec, dtype=torch.long).to(context)
        seen.force_set("text_vec", torch.cat([told, context]))
        text = str(seen.get("full_text", ""))
        seen.force_set("full_text", f"{begin}{middle}{end}\n{text}" if middle else text)
        self.shown = ShownFacts(knowledge, self._fresh())
        seen.force_set(SHOWN, self.shown)
        return seen

    def _format(self) -> str:
        agent = self.agent
        given = agent.own["kb_prompt_format"]
        if given != "auto":
            return str(given)
        known = prompt.BEGIN in getattr(agent.dict, "tok2ind", {})
        return prompt.format_for(str(agent.opt["base_agent"]), agent.opt, known)
