"""Conversations that stand in the data more than once, word for word or nearly."""

from collections.abc import Iterator
from dataclasses import dataclass

from parlai_cu.data.near_duplicates import first_of_each
from parlai_cu.data.text_key import key_of
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData


@dataclass
class Duplicates:
    """The first of them stays."""

    title = "duplicates"
    repair = "all but the first are left out"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each that an earlier one says already."""
        held = data.conversations
        for i, first in enumerate(first_of_each([one.text for one in held])):
            if first != i:
                same = key_of([held[i].text]) == key_of([held[first].text])
                yield i, "the same as" if same else "nearly the same as", held[first].place

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """It is left out."""
        return None
