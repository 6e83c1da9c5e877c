"""What a clone remembers of its conversation, kept so that a turn that failed can be taken out."""

from typing import Any, Dict, List


class Kept:
    """
    The history of a ParlAI agent as it is now.

    ParlAI's TorchAgent keeps lists in ``history``; an agent that wraps another may have
    ``keep_history()`` that returns how to restore it. What cannot be kept is left as it is.

    :param agent: a conversation's agent
    """

    def __init__(self, agent: Any) -> None:
        self._agent = agent
        self._undo: Any = None
        keep = getattr(agent, "keep_history", None)
        if callable(keep):
            self._undo = keep()
            return
        self._observation = getattr(agent, "observation", None)
        history = getattr(agent, "history", None)
        self._history: Dict[str, Any] = dict(vars(history)) if hasattr(history, "__dict__") else {}
        # the lists grow in place; what is in them does not change
        self._lists: Dict[str, List[Any]] = {
            name: list(value) for name, value in self._history.items() if isinstance(value, list)
        }

    def restore(self) -> None:
        """Let the agent remember what it remembered then, and nothing since."""
        if self._undo is not None:
            self._undo()
            return
        history = getattr(self._agent, "history", None)
        for name, value in self._history.items():
            setattr(history, name, list(self._lists[name]) if name in self._lists else value)
        if hasattr(self._agent, "observation"):
            self._agent.observation = self._observation
