"""Replies that say nothing: "ok", a greeting, an apology and no more."""

from collections.abc import Iterator

from parlai_cu.data.text_key import key_of
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData

_NOTHING = frozenset(
    key_of([text])
    for text in """
    ok|okay|k|yes|no|sure|fine|hi|hello|hey|hello there|good morning|good day|good afternoon|thanks
    |thank you|thank you very much|you're welcome|welcome|bye|goodbye|sorry|i'm sorry|i am sorry
    |sorry about that|we apologize|my apologies|apologies|i don't know|no idea|?|...|test|tbd|todo
    |n/a|na|none|null|nan|-|xxx|see above|as above|ditto|please wait|one moment|one moment please
    |ja|nein|hallo|guten tag|danke|vielen dank|bitte|gerne|entschuldigung|tut mir leid|tschüss
    |oui|non|bonjour|merci|désolé|au revoir|sí|hola|gracias|de nada|lo siento|adiós|ciao|grazie
    |prego|mi dispiace|olá|obrigado|obrigada|desculpe|hallo|dank je|да|нет|привет|спасибо|извините
    |好的|你好|谢谢|对不起|はい|こんにちは|ありがとう|すみません|نعم|مرحبا|شكرا|عذرا
    """.split("|")
)


class EmptyReplies:
    """Told where a conversation has no other reply: within one they are courtesy."""

    title = "replies that say nothing"
    repair = "left out, where a conversation has no other reply"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each conversation whose replies all say nothing."""
        for i, conversation in enumerate(data.conversations):
            if all(_says_nothing(turn.reply) for turn in conversation.turns):
                yield i, repr(conversation.turns[0].reply[:60]), None

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """It is left out."""
        return None


def _says_nothing(reply: str) -> bool:
    # a number alone may be the answer; marks alone are none
    bare = key_of([reply])
    return bare in _NOTHING or (not any(c.isdigit() for c in reply) and not bare)
