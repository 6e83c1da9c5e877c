"""From what a user types after ``--kb`` to a knowledge base."""

import importlib
from typing import Any, Dict, List, Sequence

from parlai_cu import plugin
from parlai_cu.errors import KnowledgeError, nearest
from parlai_cu.knowledge.backends.base import KnowledgeBase, ReadOnly
from parlai_cu.types import Evidence, Turn


def open_knowledge_base(uri: str, writable: bool = False) -> KnowledgeBase:
    """
    The knowledge base of a URI.

    :param uri: ``sqlite:///facts.db`` and the like
    :param writable: open it for changes
    :raises KnowledgeError: when the scheme is unknown, there is nothing to be read, or it is one
        that is only read
    """
    # a driver may be named: postgresql+psycopg://, sql+sqlite:///
    scheme = uri.split(":", 1)[0].split("+")[0]
    if ":" not in uri or scheme not in plugin.KNOWLEDGE_BASES:
        close = nearest(scheme, plugin.KNOWLEDGE_BASES) or list(plugin.KNOWLEDGE_BASES)
        raise KnowledgeError(
            f"--kb {uri}: expected SCHEME:..., of {', '.join(plugin.KNOWLEDGE_BASES)}; nearest: "
            f"{', '.join(close)}. A file of facts is imported first: parlai knowledge_base import"
        )
    module, attribute = plugin.KNOWLEDGE_BASES[scheme].split(":")
    kind: Any = getattr(importlib.import_module(module), attribute)
    made: KnowledgeBase
    if not issubclass(kind, ReadOnly):
        made = kind(uri, writable=writable)
    elif writable:
        raise KnowledgeError(f"--kb {uri} is only read; change it with {kind.how_to_write}")
    else:
        made = kind(uri)
    return made


class SeveralKnowledgeBases:
    """
    Several knowledge bases asked at once; what one finds stands before what a later one finds.

    :param bases: by priority
    """

    def __init__(self, bases: Sequence[KnowledgeBase]) -> None:
        self.bases = list(bases)
        self.name = ",".join(base.name for base in bases)

    def query(self, turn: Turn, top_k: int = 5) -> List[Evidence]:
        """
        The best of each, those of the first first.

        :raises KnowledgeError: when none of them could be asked
        """
        found: List[Evidence] = []
        failed: List[KnowledgeError] = []
        for base in self.bases:
            try:
                found += base.query(turn, top_k)
            except KnowledgeError as error:
                failed.append(error)
        if len(failed) == len(self.bases):
            raise failed[0]
        return found[:top_k]

    def snapshot_id(self) -> str:
        """Those of all."""
        return ",".join(base.snapshot_id() for base in self.bases)

    def spent(self) -> Dict[str, float]:
        """What asking all of them cost."""
        total: Dict[str, float] = {}
        for base in self.bases:
            for name, amount in base.spent().items():
                total[name] = total.get(name, 0) + amount
        return total

    def close(self) -> None:
        """Close all."""
        for base in self.bases:
            base.close()
