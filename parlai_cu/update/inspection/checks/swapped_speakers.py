"""
Conversations in which user and service have changed places.

Told by their names, where they have some; else by how each of them talks: a classifier of words,
trained on the other conversations (five parts, each judged by the other four), finds that those of
this one fit the other side.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import replace

import numpy as np

from parlai_cu.data.base import SERVICE, USER, TrainingTurn
from parlai_cu.data.speakers import role_of
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData, of_turns

# of fewer conversations nobody learns how the two talk
_FEWEST = 40
_PARTS = 5
# how much likelier the other way round must be: the sum of log odds, and their mean over utterances
_SUM, _MEAN = 2.5, 0.5


class SwappedSpeakers:
    """Put right by exchanging them."""

    title = "swapped speakers"
    repair = "user and service exchanged"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each conversation whose speakers are likelier the other way round."""
        held = data.conversations
        named = {i for i, one in enumerate(held) if _contradict_names(one)}
        for i in sorted(named):
            yield i, "the names say the contrary", None
        if len(held) >= _FEWEST:
            for i, odds in enumerate(_odds(held)):
                if i not in named and odds.sum() < -_SUM and odds.mean() < -_MEAN:
                    yield i, f"each talks as the other does elsewhere ({_begin(held[i])})", None

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """The same with user and service exchanged; nothing where no reply is left."""
        said = [one for one in conversation.said if one.role in (USER, SERVICE)]
        turns = []
        if said and said[0].role == USER:  # question and answer stand in each other's place
            turns = [replace(t, text=t.reply, reply=t.text) for t in conversation.turns]
        else:  # in their order, under each other's names
            heard: list[str] = []
            for one in said:
                if one.role == SERVICE:
                    heard.append(one.text)
                elif heard:
                    turns.append(TrainingTurn("\n".join(heard), one.text, one.line))
                    heard = []
        fixed = replace(of_turns(conversation.place, tuple(turns)), split=conversation.split)
        return fixed if turns else None


def _contradict_names(conversation: InspectedConversation) -> bool:
    roles = {(one.role, role_of(one.speaker)) for one in conversation.said}
    wrong = {(USER, SERVICE), (SERVICE, USER)} & roles
    right = {(USER, USER), (SERVICE, SERVICE)} & roles
    return bool(wrong) and not right


def _begin(conversation: InspectedConversation) -> str:
    return repr(conversation.turns[0].text[:40])


def _odds(held: Sequence[InspectedConversation]) -> list[np.ndarray]:
    """Log odds of each utterance for the side that it stands on, by conversation."""
    from sklearn.feature_extraction.text import CountVectorizer  # type: ignore[import-untyped]
    from sklearn.linear_model import LogisticRegression  # type: ignore[import-untyped]

    texts, sides, owners = [], [], []
    for i, conversation in enumerate(held):
        for one in conversation.said:
            if one.role in (USER, SERVICE) and one.text.strip():
                texts.append(one.text)
                sides.append(one.role == SERVICE)
                owners.append(i)
    if len(set(sides)) < 2:
        return [np.zeros(1)] * len(held)
    words = CountVectorizer(
        ngram_range=(1, 2), binary=True, min_df=2, token_pattern=r"[^\W\d_]+|\d+|[?!]"
    )
    counts = words.fit_transform(texts)
    side, owner = np.array(sides), np.array(owners)
    odds = np.zeros(len(texts))
    for part in range(_PARTS):
        judged = owner % _PARTS == part
        if judged.any() and len(set(side[~judged])) == 2:
            model = LogisticRegression(solver="liblinear", C=1.0)
            model.fit(counts[~judged], side[~judged])
            decided = model.decision_function(counts[judged])
            odds[judged] = np.where(side[judged], decided, -decided)
    by_owner = defaultdict(list)
    for i, one in zip(owners, np.clip(odds, -5, 5)):
        by_owner[i].append(one)
    return [np.array(by_owner[i] or [0.0]) for i in range(len(held))]
