"""A speaker that answers itself: the reply is the question, or one name is on both sides."""

from collections.abc import Iterator

from parlai_cu.data.base import SERVICE, USER
from parlai_cu.data.text_key import key_of
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData


class Echoes:
    """Rows of a table that were filled down, turns that were written twice."""

    title = "speakers that answer themselves"
    repair = "left out"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each conversation with a reply of the one who asked."""
        for i, conversation in enumerate(data.conversations):
            for turn in conversation.turns:
                key = key_of([turn.reply])
                if key and key == key_of([turn.text]):
                    yield i, f"the reply repeats {turn.text[:40]!r}", None
                    break
            else:
                name = _on_both_sides(conversation)
                if name:
                    yield i, f"{name!r} speaks on both sides", None

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """It is left out."""
        return None


def _on_both_sides(conversation: InspectedConversation) -> str:
    asked = {one.speaker for one in conversation.said if one.role == USER}
    replied = {one.speaker for one in conversation.said if one.role == SERVICE}
    return next(iter(sorted(asked & replied)), "")
