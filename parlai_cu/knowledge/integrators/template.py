"""``--kb-integrate template``: the fact in a sentence of yours."""

import string
from collections.abc import Sequence

from parlai_cu.errors import UsageError, nearest
from parlai_cu.knowledge.integrators.base import ReplyModel
from parlai_cu.types import Evidence, Turn

_NAMES = ("text", "entity", "question", "id", "source")


class Template:
    """
    A sentence with places for the best fact.

    :param template: with ``{text}``, ``{entity}``, ``{question}``, ``{id}``, ``{source}``
    :raises UsageError: when it names anything else
    """

    def __init__(self, template: str = "{text}") -> None:
        try:
            names = [
                name for _, name, _, _ in string.Formatter().parse(template) if name is not None
            ]
        except ValueError as error:
            raise UsageError(f"--kb-template {template!r}: {error}") from error
        for name in names:
            if name not in _NAMES:
                close = nearest(name, _NAMES) or _NAMES
                raise UsageError(
                    f"--kb-template {template!r}: {{{name}}} is none of {', '.join(_NAMES)}; "
                    f"nearest: {', '.join(close)}"
                )
        self.template = template

    def integrate(self, turn: Turn, evidence: Sequence[Evidence], model: ReplyModel) -> str:
        """See :class:`~parlai_cu.knowledge.integrators.base.Integrator`."""
        best = evidence[0]
        return self.template.format(**{name: getattr(best, name) for name in _NAMES})
