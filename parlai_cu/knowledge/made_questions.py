"""
Questions made from facts, so that a gate can learn without anybody's labels.

What people ask that knowledge answers looks like the questions of FAQ entries, like the columns of
tables, like words of the facts; what they say in ordinary dialogues mostly does not.
"""

import random
import re
from typing import Any

from parlai_cu.errors import UsageError
from parlai_cu.knowledge.backends.store import said_of
from parlai_cu.knowledge.words import STOP_WORDS, words
from parlai_cu.types import Fact

# facts that questions are made from
_MOST = 20_000
_OF_A_COLUMN = (
    "what is the {column} of {name}?",
    "what is {name}'s {column}?",
    "can you tell me the {column} of {name}?",
    "and the {column}?",
    "what about its {column}?",
    "do you know the {column}?",
    "I would like to know the {column} of {name}.",
    "{column} of {name}",
)
_OF_A_TEXT = (
    "is there {words} at {name}?",
    "does {name} have {words}?",
    "do they have {words}?",
    "is it {words}?",
    "are they {words}?",
    "what about {words}?",
    "how is the {words} at {name}?",
    "I want to know about the {words}.",
    "can you tell me if {name} has {words}?",
    "do people say that it is {words}?",
)


def sample(kb: Any, rng: random.Random) -> list[Fact]:
    """
    Facts of a knowledge base, any of them as likely as any other.

    :param kb: one, or several as one
    :param rng: draws them
    :raises UsageError: when it cannot list its facts, or has none
    """
    found: list[Fact] = []
    seen = 0
    for base in getattr(kb, "bases", [kb]):
        if not hasattr(base, "facts"):
            raise UsageError(
                f"--kb {base.name}: its facts cannot be listed, so that no questions can be made "
                "of them. Train --kb-gate classifier with sqlite:///..., or on turns labelled yes "
                "and no"
            )
        for fact in base.facts():
            seen += 1
            if len(found) < _MOST:
                found.append(fact)
            elif rng.randrange(seen) < _MOST:
                found[rng.randrange(_MOST)] = fact
    if not found:
        raise UsageError(f"--kb {kb.name}: there is no fact to make a question of")
    return found


def statements(kb: object, rng: random.Random) -> list[str]:
    """
    What the facts of a sample of a knowledge base (``kb``) say; nothing where it cannot list them.
    """
    try:
        return [said_of(fact) for fact in sample(kb, rng)]
    except UsageError:
        return []


def question(fact: Fact, rng: random.Random) -> str:
    """
    How somebody might ask for a fact.

    :param fact: its own question is taken, where there is one, or a column, or words of its text
    :param rng: draws its words
    """
    name = _called(fact, rng)
    if fact.question:
        if not fact.entity:
            return fact.question
        return re.sub(re.escape(fact.entity), lambda _: name, fact.question, flags=re.IGNORECASE)
    columns = [column for column, value in fact.fields.items() if value]
    if columns:
        column = rng.choice(columns).replace("_", " ")
        return rng.choice(_OF_A_COLUMN).format(column=column, name=name)
    return rng.choice(_OF_A_TEXT).format(words=_words(fact, rng), name=name)


def _called(fact: Fact, rng: random.Random) -> str:
    """By its name, by its kind (the last word of it), or by a pronoun."""
    pronouns = ["it", "they", "this place"]
    if not fact.entity:
        return rng.choice(pronouns)
    return rng.choice([fact.entity, f"the {fact.entity.split()[-1].lower()}", *pronouns])


def _words(fact: Fact, rng: random.Random) -> str:
    """One to three words in a row, the last of which says something."""
    said = words(fact.text)
    ends = [i for i, word in enumerate(said) if word not in STOP_WORDS]
    if not ends:
        return fact.text
    end = rng.choice(ends)
    return " ".join(said[max(end - rng.randrange(3), 0) : end + 1])
