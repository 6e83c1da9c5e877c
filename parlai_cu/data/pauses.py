"""A chat that goes on for months, as conversations."""

from collections.abc import Iterator, Sequence

from parlai_cu.data.base import Conversation, Utterance
from parlai_cu.data.times import parse_times

# after so long a silence another conversation begins
_PAUSE_SECONDS = 8 * 3600.0


def by_pauses(name: str, said: Sequence[Utterance]) -> Iterator[Conversation]:
    """Cut what was said where there was a long silence."""
    times = parse_times([one.time for one in said])
    held: list[Utterance] = []
    last = 0.0
    for i, one in enumerate(said):
        now = times[i] if times else 0.0
        if held and now - last > _PAUSE_SECONDS:
            yield Conversation(f"{name} {held[0].time}".strip(), held, held[0].line)
            held = []
        held.append(one)
        last = now
    if held:
        yield Conversation(f"{name} {held[0].time}".strip(), held, held[0].line)
