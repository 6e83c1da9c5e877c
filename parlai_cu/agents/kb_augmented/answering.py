"""How one turn of ``-m kb_augmented`` is answered: by the model, by a fact, or by both."""

import dataclasses
import time
from collections.abc import Callable, Sequence
from typing import Any

import parlai.utils.logging as logging
from parlai.core.message import Message
from parlai.core.metrics import AverageMetric, Metric, SumMetric
from parlai.core.opt import Opt
from parlai.utils.misc import warn_once

from parlai_cu.agents.kb_augmented import flags
from parlai_cu.agents.kb_augmented.model_view import ModelView
from parlai_cu.agents.kb_augmented.rank_training import FIRST
from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.answer_fields import narrowed
from parlai_cu.knowledge.gates.abstaining import answering, is_about
from parlai_cu.types import Evidence, GateDecision, Turn


class Answering:
    """
    Asks the knowledge base, lets the gate decide, the ranker choose and the integrator speak.

    :param parts: the knowledge base and the others
    :param opt: of the agent
    :param record: takes the name of a metric of the run, and it
    """

    def __init__(self, parts: flags.Parts, opt: Opt, record: Callable[[str, Metric], None]) -> None:
        self._parts, self._opt, self._record = parts, opt, record
        self._unknown = flags.unknown(opt)
        self._now = flags.clock(opt)

    def ask(self, turn: Turn) -> list[Evidence]:
        """What the search finds, in its order; as much as the ranker wants to choose from."""
        kb = self._parts.kb
        wanted = max(self._opt["kb_top_k"], self._parts.ranker.candidates, FIRST)
        started = time.monotonic()
        try:
            found = kb.query(dataclasses.replace(turn, at=self._now), wanted)
        except KnowledgeError as error:
            logging.error(f"the conversation goes on without knowledge: {error}")
            self._record("kb_failed", AverageMetric(1))
            return []
        finally:
            for name, amount in kb.spent().items():
                self._record(f"kb_{name}", SumMetric(amount))
        self._record("kb_failed", AverageMetric(0))
        self._record("kb_ms", AverageMetric(1000 * (time.monotonic() - started)))
        return found

    def decide(self, turn: Turn, found: Sequence[Evidence], view: ModelView) -> GateDecision:
        """What the gate says."""
        gate = self._parts.gate
        entropy = view.entropy() if gate.needs_entropy else None
        decision: GateDecision = gate.decide(turn, found[: self._opt["kb_top_k"]], entropy)
        return decision

    def reply(
        self, turn: Turn, found: Sequence[Evidence], view: ModelView, decision: GateDecision
    ) -> Message:
        """
        The whole act; says in ``knowledge`` which facts were used.

        :param turn: what was said
        :param found: what was found for it
        :param view: of the model, in this turn
        :param decision: the gate's
        """
        ranker, top_k = self._parts.ranker, self._opt["kb_top_k"]
        ranked = ranker.rank(turn, found)[:top_k] if decision.query else []
        meant = self._parts.in_its_words(turn)
        if ranked and self._parts.gate.may_abstain and not found[0].query:
            # there may be no answer among them
            ranked = answering(meant, ranked, ranker)
            answers = bool(ranked)
            decision = dataclasses.replace(decision, query=answers)
            self._record("kb_abstained", AverageMetric(int(not answers)))
        used: list[Evidence] = []
        if not decision.query and self._says_unknown(meant, found):
            reply = view.empty()
            reply["text"] = self._unknown
        elif not decision.query:
            reply = view.message()
        else:
            # what a table answers is the whole reply
            chosen = found[:1] if found[0].query else ranker.chosen(turn, ranked)
            best = [fact if fact.query else narrowed(meant, fact) for fact in chosen]
            text = self._parts.integrator.integrate(turn, best, view)
            reply = view.last if view.last is not None else view.empty()
            if view.last is None and view.observation.get("eval_labels"):
                # how likely the model finds the label is known of every turn, whoever answers
                reply["metrics"] = _of_the_label(view.message())
            reply.force_set("text", text)
            used = self._used(best, text, view)
            if used:
                reply["knowledge"] = [_provenance(fact) for fact in used]
            if len(used) < len(best):
                unused = [_provenance(fact) for fact in best if fact not in used]
                reply["knowledge_not_used"] = unused
        reply["kb_gate"] = dataclasses.asdict(decision)
        self._record("kb_used", AverageMetric(int(bool(used))))
        return reply

    def _says_unknown(self, turn: Turn, found: Sequence[Evidence]) -> bool:
        return bool(self._unknown) and self._parts.gate.may_abstain and is_about(turn, found)

    def _used(self, best: list[Evidence], text: str, view: ModelView) -> list[Evidence]:
        """Those of the facts given to the integrator that had a part in the reply."""
        if self._opt["kb_integrate"] == "rerank":
            return [fact for fact in best if fact.text == text]
        if view.shown is None:
            return best
        if not view.shown.read:
            warn_once(
                f"--kb-integrate {self._opt['kb_integrate']}: {self._opt['base_agent']} does not "
                "read the facts that it is shown: they were not in the tensors of its call. Its "
                "replies are its own, and say so (knowledge_not_used); what --kb-integrate answer "
                "and append say need not be read"
            )
        return [fact for fact in best if fact in view.shown.read]


def _of_the_label(own: Message) -> dict[str, Any]:
    """The model's metrics of the label, without those of a reply that is not given."""
    metrics = own.get("metrics") or {}
    return {name: metric for name, metric in metrics.items() if not name.startswith("gen_")}


def _provenance(evidence: Evidence) -> dict[str, Any]:
    """What the act says of a fact."""
    names = ["id", "text", "score", "source", "snapshot"]
    names += ["query", "rows"] if evidence.query else []
    names += ["asked"] if evidence.asked else []
    return {name: getattr(evidence, name) for name in names}
