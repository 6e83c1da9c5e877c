"""Texts that went through the wrong encoding (``fÃ¼r``, ``f�r``, ``f?r``), by ftfy."""

import re
from collections.abc import Iterator
from dataclasses import replace

from parlai_cu.update.inspection.base import InspectedConversation, InspectedData, of_turns

# what cannot be read any more
_LOST = re.compile(r"\ufffd|(?<=[a-z])\?(?=[a-z])")
# in a word: it is an address, where ? is no lost letter
_ADDRESS = re.compile(r"://|www\.|\.\w{2,3}/")


class Encodings:
    """What can be read again is; what is lost stays, and is told."""

    title = "broken encodings"
    repair = "read again as they were written; what is lost is left out"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each conversation with such a text."""
        for i, conversation in enumerate(data.conversations):
            for turn in conversation.turns:
                broken = next((t for t in (turn.text, turn.reply) if _is_broken(t)), None)
                if broken is not None:
                    yield i, repr(_around(broken)), None
                    break

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """Its texts as they were written; it is left out where letters are lost."""
        turns = tuple(
            replace(turn, text=_fixed(turn.text), reply=_fixed(turn.reply))
            for turn in conversation.turns
        )
        if any(_is_broken(text) for turn in turns for text in (turn.text, turn.reply)):
            return None
        return replace(of_turns(conversation.place, turns), split=conversation.split)


def _fixed(text: str) -> str:
    import ftfy  # late: it is read before every update

    return ftfy.fix_encoding(text)


def _is_broken(text: str) -> bool:
    if text.isascii():
        return "?" in text and _lost(text)
    from ftfy.badness import is_bad

    return is_bad(text) or _fixed(text) != text or _lost(text)


def _lost(text: str) -> bool:
    # word by word: one pattern over the whole text would cost the square of a long word's length
    return any(_LOST.search(word) and not _ADDRESS.search(word) for word in text.split())


def _around(text: str) -> str:
    fixed = text if text.isascii() else _fixed(text)
    at = next((i for i, (a, b) in enumerate(zip(text, fixed)) if a != b), 0)
    lost = _LOST.search(text)
    at = lost.start() if lost else at
    return text[max(0, at - 20) : at + 30]
