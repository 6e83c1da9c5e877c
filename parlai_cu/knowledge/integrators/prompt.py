"""
``--kb-integrate prompt``: the model reads the facts before the conversation.

How they are written is what the model was trained with (``--kb-prompt-format``):

- ``lines``: each fact a line before the context
- ``marked``: ``__knowledge__ ... __endknowledge__`` and a line break before the context, as
  ParlAI's Wizard of Wikipedia tasks with ``--prepend-gold-knowledge``, and those that follow them
- ``fields``: not in the text but in the message's fields ``knowledge``, ``checked_sentence`` and
  ``title``, as Wizard of Wikipedia's own agents read them
"""

from collections.abc import Sequence

from parlai_cu.knowledge.integrators.base import ReplyModel
from parlai_cu.types import Evidence, Turn

BEGIN, END = "__knowledge__", "__endknowledge__"
FORMATS = ("lines", "marked", "fields")


class Prompt:
    """
    The model's reply after it read the facts.

    For a model that was trained with knowledge; others may ignore it or be confused.
    """

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: ReplyModel) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        return model.reply(evidence)


def written(evidence: Sequence[Evidence], form: str) -> tuple[str, str, str]:
    """
    What stands before the context: the beginning, what may be cut, the end.

    :param evidence: best first
    :param form: one of :data:`FORMATS`
    """
    if form == "fields":
        return "", "", ""
    if form == "marked":
        return f"{BEGIN} ", " ".join(fact.text for fact in evidence), f" {END}"
    return "", "\n".join(fact.text for fact in evidence), ""


def fields(evidence: Sequence[Evidence]) -> dict[str, str]:
    """What the message has of it, in Wizard of Wikipedia's conventions; the best fact is chosen."""
    lines: list[str] = [f"{fact.entity} {BEGIN} {fact.text}" for fact in evidence]
    best = evidence[0]
    # each line ends, as in that task: its ranker takes what stands before the last end
    known = "".join(f"{line}\n" for line in lines)
    return {"knowledge": known, "checked_sentence": best.text, "title": best.entity}


def format_for(agent: str, settings: dict[str, object], knows_markers: bool) -> str:
    """
    The format that a model was trained with, as far as it can be told.

    :param agent: the base agent's name
    :param settings: its options
    :param knows_markers: whether ``__knowledge__`` is in its dictionary
    """
    if "wizard_of_wikipedia" in agent:
        return "fields"
    if settings.get("prepend_gold_knowledge") or knows_markers:
        return "marked"
    return "lines"
