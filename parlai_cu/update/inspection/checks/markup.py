"""What is no talk: HTML, signatures, and mails that are quoted below an answer."""

import re
from collections.abc import Iterator
from dataclasses import replace

from parlai_cu.data.cleaning import has_markup, without_markup
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData, of_turns

_TAIL = re.compile(
    r"\n(?:--\s*\n|_{5,}\n|(?:best|kind|warm)?\s?regards,?\s*\n|mit freundlichen grüßen,?\s*\n|"
    r"(?:cordialement|saludos|cordiali saluti|met vriendelijke groet),?\s*\n|"
    r"sent from my \w+|von meinem \w+ gesendet|envoyé de mon \w+|"
    r"(?:on|am|le|el|il) .{5,80}(?:wrote|schrieb|a écrit|escribió|ha scritto):\s*\n|"
    r"-{3,} ?(?:original message|ursprüngliche nachricht|message d'origine).*\n|"
    r"(?:> ?.*\n?)+$).*",
    re.IGNORECASE | re.DOTALL,
)
_HTML = re.compile(r"</?[a-zA-Z][^>]{0,200}>|&(?:nbsp|amp|lt|gt|quot|#\d+);")


class Markup:
    """Taken off; the words stay."""

    title = "HTML, signatures, quoted mails"
    repair = "taken off"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each conversation with such a text."""
        for i, conversation in enumerate(data.conversations):
            for text in (t for turn in conversation.turns for t in (turn.text, turn.reply)):
                found = _HTML.search(text) if has_markup(text) else _TAIL.search(text)
                if found:
                    yield i, repr(found[0].strip()[:40]), None
                    break

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """The same without it; nothing where nothing else was said."""
        turns = tuple(
            replace(turn, text=_clean(turn.text), reply=_clean(turn.reply))
            for turn in conversation.turns
        )
        if not all(turn.text and turn.reply for turn in turns):
            return None
        return replace(of_turns(conversation.place, turns), split=conversation.split)


def _clean(text: str) -> str:
    return _TAIL.sub("", without_markup(text) if has_markup(text) else text).strip()
