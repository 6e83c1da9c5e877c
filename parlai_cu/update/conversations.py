"""Which conversation, and which part of its task, an example is of: the units of the tests."""

from collections.abc import Mapping, Sequence
from typing import Any

from parlai_cu.update.wording import Example

# fields of a message that name its conversation, or the part of the task that it belongs to
_NAMES = ("conversation_id", "dialogue_id", "dialog_id", "session_id", "conversation", "session")
_PARTS = ("slice", "intent", "service", "services", "domain", "domains", "topic", "skill")


def conversation_ids(
    examples: Sequence[Example], episodes: Sequence[Any], messages: Sequence[Mapping[str, Any]]
) -> list[str]:
    """
    An id of the conversation of each example.

    A message's own field says it, or else the episode does; where a task has every turn as an
    episode of its own, with all that was said before in the text, the turns of one conversation
    are known by that.
    """
    groups: dict[Any, list[int]] = {}
    for i, (episode, message) in enumerate(zip(episodes, messages)):
        named = next((str(message[name]) for name in _NAMES if message.get(name)), None)
        groups.setdefault(("named", named) if named else ("episode", episode), []).append(i)
    leaders = _continued(examples, list(groups.values()))
    found = [""] * len(examples)
    for group, leader in zip(groups.values(), leaders):
        for i in group:
            found[i] = str(leader)
    return found


def _continued(examples: Sequence[Example], groups: Sequence[Sequence[int]]) -> list[int]:
    """Of each group the number of the longest that goes on where it ends; its own without any."""
    leaders = list(range(len(groups)))
    single = [n for n, group in enumerate(groups) if len(group) == 1]
    ends: dict[str, list[int]] = {}
    for n in single:
        ends.setdefault(_said(examples[groups[n][0]]), []).append(n)
    taken: set[int] = set()
    # the longest first, so that a beginning that several share goes to one of them each
    for n in sorted(single, key=lambda n: -len(examples[groups[n][0]].context)):
        text = examples[groups[n][0]].context
        at = text.find("\n")
        while at >= 0 and n not in taken:
            before = next((m for m in ends.get(text[:at], ()) if m not in taken), None)
            if before is not None:
                leaders[before] = n
                taken.add(before)
            at = text.find("\n", at + 1)
    return leaders


def _said(example: Example) -> str:
    """All that was said when the answer was given."""
    return f"{example.context}\n{example.label}"


def part_of(message: Mapping[str, Any]) -> str:
    """The part of its task that a message names; empty where it names none."""
    for name in _PARTS:
        value = message.get(name)
        if value and isinstance(value, (str, int)):
            return f"{name} {value}"
        if value and isinstance(value, (list, tuple)):
            return f"{name} {', '.join(map(str, value))}"
    return ""
