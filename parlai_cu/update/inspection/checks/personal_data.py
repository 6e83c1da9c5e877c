"""Personal data, as the corrections of live chats are masked (parlai_cu/corrections/masking.py)."""

from collections.abc import Iterator
from dataclasses import replace

from parlai_cu.corrections.masking import mask_reply, mask_user
from parlai_cu.data.base import TrainingTurn
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData, of_turns


class PersonalData:
    """E-mail addresses, IBANs, cards, phone and other long numbers; names are not found."""

    title = "personal data"
    repair = "masked"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each conversation with something to be masked."""
        for i, conversation in enumerate(data.conversations):
            marks = sorted({mark for turn in _masked(conversation) for mark in turn[1]})
            if marks:
                yield i, ", ".join(marks), None

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """The same, masked."""
        turns = tuple(turn for turn, _ in _masked(conversation))
        return replace(of_turns(conversation.place, turns), split=conversation.split)


def _masked(conversation: InspectedConversation) -> list[tuple[TrainingTurn, set[str]]]:
    found = []
    seen: dict[str, str] = {}
    for turn in conversation.turns:
        text, values = mask_user(turn.text)
        seen.update(values)
        reply = mask_reply(turn.reply, seen)
        marks = {*values.values()}
        if reply != turn.reply:
            marks |= {mark for mark in ("<email>", "<iban>", "<card>") if mark in reply}
        found.append((replace(turn, text=text, reply=reply), marks))
    return found
