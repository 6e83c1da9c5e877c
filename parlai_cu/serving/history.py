"""What a clone remembers of its conversation: so much, and not a turn that failed."""

from typing import Any

from parlai_cu.parlai_types import ModelAgent

# turns of a conversation that are remembered, wherever that is: more than any model reads
MOST_TURNS = 100


class HistorySnapshot:
    """
    The history of a ParlAI agent as it is now.

    ParlAI's TorchAgent keeps lists in ``history``; an agent that wraps another may have
    ``keep_history()`` that returns how to restore it. What cannot be kept is left as it is.

    :param agent: a conversation's agent
    """

    def __init__(self, agent: ModelAgent) -> None:
        self._agent = agent
        self._undo: Any = None
        keep = getattr(agent, "keep_history", None)
        if callable(keep):
            self._undo = keep()
            return
        self._observation = getattr(agent, "observation", None)
        history = getattr(agent, "history", None)
        self._history: dict[str, Any] = dict(vars(history)) if hasattr(history, "__dict__") else {}
        # the lists grow in place; what is in them does not change
        self._lists: dict[str, list[Any]] = {
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


def forget_old(agent: ModelAgent) -> None:
    """
    Let an agent forget what was said so long ago that no model reads it.

    ParlAI's TorchAgent joins its whole history at every turn, in time that grows with its square:
    without a bound one tireless user would hold up all others.

    :param agent: a conversation's agent; one that has ``keep_history()`` sees to it itself
    """
    if callable(getattr(agent, "keep_history", None)):
        return
    for lines in getattr(getattr(agent, "history", None), "__dict__", {}).values():
        if isinstance(lines, list):
            del lines[: -2 * MOST_TURNS]  # a turn is two utterances
