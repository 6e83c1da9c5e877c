"""
Whether a database of facts still holds what was written.

A database sees damage to its own structure. What it does not see is a letter of a fact that
changed on the disk: there each fact is compared with the words that it was indexed by, and the
whole with the counts that each change brought up to date. Of a fact, a change of case or of
punctuation alone stays unseen.
"""

from parlai_cu.knowledge.backends.store import COLUMNS, Store, fact_in, said_of
from parlai_cu.knowledge.words import terms, words

# so many are told of; the rest is counted
_MOST = 20


def renew_words(store: Store) -> None:
    """Words that an earlier release told apart otherwise: text without blanks."""
    rows = store.execute("SELECT key, entity, question, text, terms, entity_key FROM facts")
    for row in rows.fetchall():
        found = " ".join(terms(" ".join((row["entity"], row["question"], row["text"]))))
        name = " ".join(words(row["entity"]))
        if (found, name) != (row["terms"], row["entity_key"]):
            more = len(found.split()) - len(row["terms"].split())
            store.execute(
                "UPDATE facts SET terms = ?, entity_key = ? WHERE key = ?",
                (found, name, row["key"]),
            )
            store.execute(
                "UPDATE state SET value = CAST(CAST(value AS INTEGER) + ? AS TEXT) "
                "WHERE name = 'terms'",
                (more,),
            )


def damage(store: Store, state: dict[str, str]) -> list[str]:
    """
    What is not as it was written, in words; nothing where all is.

    :param store: one state of the database
    :param state: its counts
    """
    found: list[str] = []
    facts = held = 0
    for row in store.execute(f"SELECT {COLUMNS} FROM facts ORDER BY key"):
        facts += 1
        indexed = row["terms"].split()
        held += len(indexed)
        try:
            fact = fact_in(row)
        except ValueError as error:
            found.append(f"fact {row['id']!r}: its fields cannot be read ({error})")
            continue
        same = terms(said_of(fact)) == indexed
        if not same or " ".join(words(fact.entity)) != row["entity_key"]:
            found.append(f"fact {row['id']!r}: its words are not those it was indexed by")
    if facts != int(state["facts"]):
        found.append(f"{facts:,d} facts, {int(state['facts']):,d} were written")
    if held != int(state["terms"]):
        found.append(f"{held:,d} words, {int(state['terms']):,d} were written")
    if len(found) > _MOST:
        found = [*found[:_MOST], f"and {len(found) - _MOST:,d} more"]
    return found
