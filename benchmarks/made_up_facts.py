"""Facts of a company and questions to them, from a seed: named entities, topics, Zipf words."""

import itertools
import random
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from parlai_cu.knowledge.words import terms as analysed

KINDS = (
    "hotel restaurant cafe museum clinic gym school library garage bakery theatre hostel pharmacy "
    "bank cinema salon brewery gallery spa inn bistro dentist market studio lodge"
).split()
FIRST = (
    "blue golden old royal green little grand red silver white north upper black sunny crown "
    "central bright iron lower happy quiet copper maple winter summer amber western hidden"
).split()
SECOND = (
    "harbour garden bridge mill castle river park station hill lion oak market court abbey swan "
    "valley tower anchor field meadow gate forest lake orchard bay chapel rose fountain square"
).split()
# topic: a fact, and questions
TOPICS: Sequence[tuple[str, Sequence[str]]] = (
    ("parking costs {n} pounds a night", ("is there free parking", "how much is the parking")),
    ("check-in from {n}:00, late arrival by phone", ("when can I check in", "is late arrival ok")),
    ("breakfast is served until {n} and costs extra", ("until when is breakfast served",)),
    ("wifi is free in all rooms", ("do you have free wifi in the rooms", "is the wifi free")),
    ("dogs and cats are welcome for a fee of {n} pounds", ("can I bring my dog", "are pets ok")),
    ("open from {n} in the morning until late", ("when do you open in the morning",)),
    ("cancellation is free until {n} days before", ("how do I cancel my booking for free",)),
    ("wheelchair access by the side entrance", ("is there wheelchair access at the entrance",)),
    ("children under {n} stay free of charge", ("do children stay free of charge",)),
    ("gift vouchers worth {n} pounds are sold online", ("can I buy gift vouchers online",)),
    ("smoking is allowed on the terrace only", ("is smoking allowed on the terrace",)),
    ("the pool is heated and open to members", ("is the pool open to members and heated",)),
    ("student discount of {n} percent with a card", ("is there a student discount with my card",)),
    ("invoices are sent by mail within {n} days", ("when will you send me the invoice by mail",)),
    ("the airport shuttle leaves every {n} minutes", ("when does the airport shuttle leave",)),
    ("vegan and gluten free meals on request", ("do you have vegan or gluten free meals",)),
    ("group bookings of more than {n} need a deposit", ("do group bookings need a deposit",)),
    ("laundry is collected before {n} every day", ("when is the laundry collected every day",)),
    ("repairs take {n} working days", ("how many working days do the repairs take",)),
    ("lost property is kept for {n} weeks at reception", ("I lost my property, who keeps it",)),
)
PARTS = (
    "ba ce di fo gu ha ke li mo nu pa re si to vu wa ye zi cra ste plo dri gle bru sha tin".split()
)


@dataclass(frozen=True)
class Query:
    """What a user says; ``terms`` are what it is searched by."""

    kind: str
    text: str
    terms: tuple[str, ...]


@dataclass
class Data:
    """The facts, of keys 1, 2, ...; their terms with a blank between; what is asked."""

    facts: list[tuple[str, str]]
    terms: list[str]
    queries: list[Query]


class Language:
    """Words as frequent as Zipf's law says, and names made of them."""

    def __init__(self, seed: int, size: int) -> None:
        self.random = random.Random(seed)
        rare = self._coined(40_000)
        self.words, self.words_sum = rare, _zipf(len(rare), 1.0)
        # as a company grows there are more names, but less so than facts
        names = self._coined(20 + int(size**0.5))
        self.first, self.second = [*FIRST, *names], [*SECOND, *names]
        self.entities = self._named(max(size // 12, 20))
        self.topics_sum = _zipf(len(TOPICS), 0.7)

    def pick(self, choices: Sequence[Any], sums: Sequence[float], count: int = 1) -> list[Any]:
        """Some of the choices."""
        return self.random.choices(choices, cum_weights=sums, k=count)

    def _coined(self, count: int) -> list[str]:
        found: dict[str, None] = {}
        while len(found) < count:
            found["".join(self.random.choices(PARTS, k=self.random.randint(2, 4)))] = None
        return list(found)

    def _named(self, count: int) -> list[str]:
        first_sum, second_sum = _zipf(len(self.first), 0.6), _zipf(len(self.second), 0.6)
        kinds_sum = _zipf(len(KINDS), 0.7)
        found: dict[str, None] = {}
        while len(found) < count:
            first, second = self.pick(self.first, first_sum), self.pick(self.second, second_sum)
            found[" ".join([*first, *second, *self.pick(KINDS, kinds_sum)]).title()] = None
        return list(found)


def _zipf(count: int, power: float) -> list[float]:
    return list(itertools.accumulate((i + 1) ** -power for i in range(count)))


def make(size: int, count: int, seed: int) -> Data:
    """``size`` facts and ``count`` queries; the same for the same numbers."""
    language = Language(seed, size)
    draw = language.random
    facts, topics = [], []
    for _ in range(size):
        entity = draw.choice(language.entities)
        topic = language.pick(TOPICS, language.topics_sum)[0]
        more = language.pick(language.words, language.words_sum, draw.randint(3, 10))
        said = topic[0].format(n=draw.randint(2, 30))
        facts.append((entity, f"{entity}: {said}, with {' '.join(more[:2])} and {' '.join(more)}."))
        topics.append(topic)
    queries = [_asked(language, facts, topics, i) for i in range(count)]
    return Data(facts, [" ".join(analysed(text)) for _, text in facts], queries)


def _asked(
    language: Language,
    facts: Sequence[tuple[str, str]],
    topics: Sequence[tuple[str, Sequence[str]]],
    number: int,
) -> Query:
    draw = language.random
    place = draw.randrange(len(facts))
    entity, text = facts[place]
    question = draw.choice(topics[place][1])
    detail = draw.choice(text.rstrip(".").split(" and ")[-1].split())
    kind, said = [
        ("entity", f"{question} at the {entity}?"),
        ("entity", f"hello, could you please tell me {question} at the {entity}?"),
        ("entity, no fact", f"{draw.choice(draw.choice(TOPICS)[1])} at the {entity}?"),
        ("detail", f"{question} with the {detail}?"),
        ("frequent words", f"I would like to know, {question}?"),
    ][number % 5]
    return Query(kind, said, tuple(dict.fromkeys(analysed(said))))
