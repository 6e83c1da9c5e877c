"""
parlai_cu: conditional updating of dialogue models that are in service, for ParlAI.

Importing this package imports neither torch nor ParlAI. It only arms the import hook
through which ParlAI learns our agents, tasks and commands, and is repaired where a newer
library broke it (:mod:`parlai_cu.activation`).
"""

from parlai_cu.activation import activate
from parlai_cu.version import __version__

__all__ = ["__version__"]

activate()
