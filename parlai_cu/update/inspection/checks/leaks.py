"""Conversations that are test data: of what the data is compared with, or of another split."""

from collections.abc import Iterator

from parlai_cu.data.near_duplicates import first_of_each
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData

# shorter exchanges ("thanks", "you are welcome") recur by chance
_FEWEST_WORDS = 8


class Leaks:
    """What is trained on its own test cannot be judged by it."""

    title = "leaks of held-out data"
    repair = "left out"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each that stands in what it is compared with, or in another split of the file."""
        ours = data.conversations
        theirs = [one for held in data.against.values() for one in held]
        if not theirs and all(one.split not in ("valid", "test") for one in ours):
            return
        texts = [one.text for one in (*theirs, *ours)]
        by_group: dict[int, list[int]] = {}
        for i, first in enumerate(first_of_each(texts)):
            by_group.setdefault(first, []).append(i)
        for group in by_group.values():
            outside = [i for i in group if i < len(theirs)]
            inside = [i - len(theirs) for i in group if i >= len(theirs)]
            if not inside or len(texts[group[0]].split()) < _FEWEST_WORDS:
                continue
            held_out = [i for i in inside if ours[i].split in ("valid", "test")]
            for i in inside:
                if outside:
                    yield i, "stands in", theirs[outside[0]].place
                elif held_out and ours[i].split not in ("valid", "test"):
                    yield i, f"stands in {ours[held_out[0]].split}", ours[held_out[0]].place

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """It is left out."""
        return None
