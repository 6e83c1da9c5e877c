"""
A row tells only what was asked for: of "the phone number of the Oak Inn", its phone number.

What names a column is the words of its name, or how people ask for it ("how much", "where"). A
column whose value is said itself is no question: "something cheap".
"""

import dataclasses
import re

from parlai_cu.knowledge.reading import row_sentence
from parlai_cu.knowledge.words import STOP_WORDS, stem, words
from parlai_cu.types import Evidence, Turn

# utterances before the last in which a thing may have been named
_NAMED_IN = 4
# words of a question -> words of the columns that answer it; the first that fits counts
ASKED_AS: tuple[tuple[str, str], ...] = (
    *(
        (f"how much {word}", "price cost fare rent fee charge amount")
        for word in ("is", "are", "does", "do", "would", "will", "for", "money")
    ),
    ("how expensive", "price cost fare rent fee charge amount"),
    ("cost", "price fare rent fee charge"),
    ("pay", "price cost fare rent fee charge"),
    ("charge", "price cost fare rent fee"),
    ("price", "cost fare rent fee charge"),
    ("how long", "duration contract limit period term trial"),
    ("where", "address street location area city place"),
    ("located", "address street location area"),
    ("call", "phone telephone"),
    ("number", "phone telephone"),
    ("open", "opens hours"),
    ("close", "closes hours"),
    ("what time", "time opens closes hours departure leaving"),
    ("zip", "postcode"),
    ("postal code", "postcode"),
)

# what a sentence that asks for something begins with
_BEGIN_QUESTIONS = frozenset(
    """
    are can could describe did do does explain give had has have how is list may show tell was were
    what when where which who whose why will would
    """.split()
)
_SENTENCE = re.compile(r"[.!?;]+")


def narrowed(turn: Turn, fact: Evidence) -> Evidence:
    """
    A row with the columns that the turn names alone; other facts, and where none is named, as is.

    :param turn: the question
    :param fact: what was found for it
    """
    columns = asked_columns(turn.text, fact)
    if not columns:
        return fact
    shown = {column: fact.fields[column] for column in columns}
    return dataclasses.replace(fact, text=row_sentence(shown, fact.entity))


def is_asked_for(turn: Turn, fact: Evidence) -> bool:
    """
    Whether a fact is a row of what is asked about, however few of the question's words it has.

    It is what the turn itself names and asks something of ("how quick is Solo Lite?"), or what was
    named just before and has a column that is asked for ("and its phone number?").
    """
    name = {word for word in words(fact.entity) if word not in STOP_WORDS}
    if not name or not fact.fields:
        return False
    if name <= set(words(turn.text)) and is_question(turn.text):
        return True
    heard = (turn.text, *turn.history[-_NAMED_IN:])
    named = any(name <= set(words(said)) for said in heard)
    return named and bool(asked_columns(turn.text, fact))


def is_question(text: str) -> bool:
    """Whether a turn asks or requests anything; by a question mark or by how a sentence begins."""
    return "?" in text or any(
        words(sentence)[:1] and words(sentence)[0] in _BEGIN_QUESTIONS
        for sentence in _SENTENCE.split(text)
    )


def asked_columns(text: str, fact: Evidence) -> list[str]:
    """The columns of a row that a question names best, in their order; only what the row tells."""
    said = [stem(word) for word in words(text)]
    heard = set(said) - STOP_WORDS - {stem(word) for word in words(fact.entity)}
    shares: dict[str, float] = {}
    for column, value in fact.fields.items():
        is_told = value and f"{column.replace('_', ' ')} {value}" in fact.text
        if is_told and not _says(heard, value):
            shares[column] = _share(column, heard)
    best = max(shares.values(), default=0.0)
    if best >= 0.5:
        return [column for column, share in shares.items() if share == best]
    return _otherwise_asked(f" {' '.join(said)} ", list(shares))


def _share(column: str, heard: set[str]) -> float:
    """How much of a column's name is heard."""
    name = {stem(word) for word in words(column.replace("_", " "))} - STOP_WORDS
    return len(name & heard) / len(name) if name else 0.0


def _says(heard: set[str], value: str) -> bool:
    """Whether all of a value is said; a yes or a no never is."""
    parts = {stem(word) for word in words(value)} - STOP_WORDS
    return bool(parts) and parts <= heard


def _otherwise_asked(said: str, columns: list[str]) -> list[str]:
    for words_of_question, words_of_column in ASKED_AS:
        asked = " ".join(stem(word) for word in words(words_of_question))
        if f" {asked} " not in said:
            continue
        names = {stem(word) for word in words_of_column.split()}
        found = [c for c in columns if names & {stem(w) for w in words(c.replace("_", " "))}]
        if found:
            return found
    return []
