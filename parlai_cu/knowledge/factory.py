"""From what a user types after ``--kb`` to a knowledge base."""

import logging
import re
from collections.abc import Sequence
from typing import Any

from parlai_cu import named, plugin
from parlai_cu.errors import KnowledgeError, nearest
from parlai_cu.knowledge.backends.base import KnowledgeBase, ReadOnly
from parlai_cu.knowledge.fusion import reciprocal_ranks
from parlai_cu.knowledge.words import words
from parlai_cu.types import Evidence, Turn

# --kb-combine
COMBINED = ("merged", "priority")
# what one of a user's own must have
_NEEDS = ("query", "get", "stats", "snapshot_id", "spent", "close")
_OWN = re.compile(r"([A-Za-z_][\w.]*:[A-Za-z_]\w*)(?::.*)?", re.DOTALL)
_logger = logging.getLogger(__name__)


def open_knowledge_base(uri: str, writable: bool = False) -> KnowledgeBase:
    """
    The knowledge base of a URI.

    :param uri: ``sqlite:///facts.db`` and the like; ``my.module:Class`` or ``my.module:Class:...``
        is one of a user's own, which is given the whole
    :param writable: open it for changes
    :raises KnowledgeError: when the scheme is unknown, there is nothing to be read, or it is one
        that is only read
    """
    kind = _kind(uri)
    made: KnowledgeBase
    if not issubclass(kind, ReadOnly):
        made = kind(uri, writable=writable)
    elif writable:
        raise KnowledgeError(f"--kb {uri} is only read; change it with {kind.how_to_write}")
    else:
        made = kind(uri)
    return made


def _kind(uri: str) -> Any:
    # a driver may be named: postgresql+psycopg://, sql+sqlite:///
    scheme = uri.split(":", 1)[0].split("+")[0]
    if ":" in uri and scheme in plugin.KNOWLEDGE_BASES:
        return named.load(plugin.KNOWLEDGE_BASES[scheme], "--kb")
    own = _OWN.fullmatch(uri)
    if own and named.is_there(scheme):
        return named.kind({}, own[1], "--kb", _NEEDS, KnowledgeError)
    close = nearest(scheme, plugin.KNOWLEDGE_BASES) or list(plugin.KNOWLEDGE_BASES)
    raise KnowledgeError(
        f"--kb {uri}: expected SCHEME:..., of {', '.join(plugin.KNOWLEDGE_BASES)}; nearest: "
        f"{', '.join(close)}. A file of facts is imported first: parlai knowledge_base import"
    )


class SeveralKnowledgeBases:
    """
    Several knowledge bases asked at once.

    :param bases: by priority
    :param combine: ``merged``: their rankings in one, by reciprocal ranks, of equal rank the
        higher score first; ``priority``: all that one finds stands before what a later one finds
    """

    def __init__(self, bases: Sequence[KnowledgeBase], combine: str = "merged") -> None:
        self.bases = list(bases)
        self.combine = combine
        self.name = ",".join(base.name for base in bases)

    def query(self, turn: Turn, top_k: int = 5) -> list[Evidence]:
        """
        The best of all; one that cannot be asked is left out, with a line in the log.

        :raises KnowledgeError: when none of them could be asked
        """
        found: list[list[Evidence]] = []
        failed: list[KnowledgeError] = []
        for base in self.bases:
            try:
                found.append(base.query(turn, top_k))
            except KnowledgeError as error:
                failed.append(error)
        if not found and failed:
            raise failed[0]
        for failure in failed:
            _logger.error("the conversation goes on without one of its sources: %s", failure)
        if self.combine == "priority":
            return [fact for facts in found for fact in facts][:top_k]
        return _merged(found)[:top_k]

    def snapshot_id(self) -> str:
        """
        Those of all.

        :raises KnowledgeError: when one of them cannot be asked
        """
        return ",".join(base.snapshot_id() for base in self.bases)

    def spent(self) -> dict[str, float]:
        """What asking all of them cost."""
        total: dict[str, float] = {}
        for base in self.bases:
            for name, amount in base.spent().items():
                total[name] = total.get(name, 0) + amount
        return total

    def close(self) -> None:
        """Close all."""
        for base in self.bases:
            base.close()


def _merged(rankings: Sequence[Sequence[Evidence]]) -> list[Evidence]:
    """What two of them say in the same words counts as found by both."""
    told = {id(fact): " ".join(words(fact.text)) for facts in rankings for fact in facts}
    gains = reciprocal_ranks([told[id(fact)] for fact in facts] for facts in rankings)
    best: dict[str, Evidence] = {}
    for facts in rankings:
        for fact in facts:
            text = told[id(fact)]
            if text not in best or fact.score > best[text].score:
                best[text] = fact
    return [best[text] for text in sorted(best, key=lambda t: (-gains[t], -best[t].score))]
