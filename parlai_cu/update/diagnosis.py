"""What an update is: how large, how new, facts or skill or style, and whether it agrees."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

from parlai_cu.types import Evidence, Turn
from parlai_cu.update.two_sample import Embed, TwoSample, tf_idf, two_sample
from parlai_cu.update.wording import (
    Example,
    Wording,
    contradictions,
    stated_values,
    tokens,
    values,
)

Pair = tuple[Example, Example]
Find = Callable[[Turn], Sequence[Evidence]]
# enough to tell a share by; asking a large knowledge base takes a while
_ASKED = 300


@dataclass(frozen=True)
class Replied:
    """
    An example, and what the live model makes of it.

    :param reply: the model's own; None where none was generated
    :param loss: of the right answer: the sum over its tokens
    :param tokens: how many those are; 1 for models that choose
    """

    example: Example
    reply: str | None
    loss: float
    tokens: float


@dataclass(frozen=True)
class Diagnosis:
    """
    What came in. Shares are from 0 to 1; None is what could not be told.

    :param examples: number of training examples
    :param distinct: of them different
    :param contents: number of different sets of values that the answers tell
    :param loss_update: of the live model on the update, per token (generators) or per example
    :param loss_old: of the live model on its own old data
    :param new_words: share of the update's words that old data does not have
    :param new_names: share of examples with a number or name that old data does not have
    :param known_questions: share of word pairs of the users that old users said, too
    :param known_answers: the same of the answers: how far they are put as ever
    :param fact_like: share of answers that tell values
    :param in_kb: share of those that the knowledge base could give
    :param told_already: share of those whose values the live model tells
    :param question_shift: whether the users' turns can be told from the old ones
    :param answer_shift: whether the answers can be told from the old ones
    :param contradictions: examples of the update that contradict each other
    :param conflicts: examples of the update, and old ones that they contradict
    :param gradient_conflict: cosine of the gradients on old data and update
    :param old_source: where the old came from
    :param told_old: as ``told_already``, of the old answers
    :param unwritable: share of answers with pieces of words that the live model's dictionary
        lacks (generators)
    """

    examples: int
    distinct: int
    contents: int
    loss_update: float
    loss_old: float | None
    new_words: float
    new_names: float
    known_questions: float | None
    known_answers: float
    fact_like: float
    in_kb: float | None
    told_already: float | None
    question_shift: TwoSample | None
    answer_shift: TwoSample | None
    contradictions: list[Pair]
    conflicts: list[Pair]
    gradient_conflict: float | None
    old_source: str
    told_old: float | None = None
    unwritable: float | None = None

    @property
    def distance(self) -> float | None:
        """How much worse the live model is on the update than on its own data."""
        return None if self.loss_old is None else self.loss_update - self.loss_old


def diagnose(
    update: Sequence[Example],
    replied: Sequence[Replied],
    old: Sequence[Example],
    old_replied: Sequence[Replied],
    *,
    find: Find | None = None,
    embed: Embed = tf_idf,
    gradient_conflict: float | None = None,
    unwritable: float | None = None,
) -> Diagnosis:
    """
    Look at an update beside what the live model knows.

    :param update: its training examples
    :param replied: some of them, with the live model's replies and losses
    :param old: training examples of the retained tasks; without any, the live model's replies
        stand for how answers were put
    :param old_replied: some old examples, likewise
    :param find: asks the knowledge base, where there is one
    :param embed: vectors of texts, from the live model's encoder where it has one
    :param gradient_conflict: see :class:`Diagnosis`
    :param unwritable: see :class:`Diagnosis`
    """
    replies = [r.reply for r in replied if r.reply]
    # half of a sample of one source and half of another tell nothing when they are answers to
    # different questions: the old answers are those of the retained data where there is any
    old_answers = [e.label for e in old] or replies
    questions = Wording(e.text for e in old)
    answers = Wording(old_answers)
    known = questions.words | answers.words
    if not old:
        known |= {word for e in update for word in tokens(e.context)}
    factual = [e for e in update if stated_values(e)]
    return Diagnosis(
        examples=len(update),
        distinct=len({e.key for e in update}),
        contents=len({(stated_values(e), _named(e)) for e in update if stated_values(e)}),
        loss_update=_loss(replied),
        loss_old=_loss(old_replied) if old_replied else None,
        new_words=_new_words(update, known),
        new_names=_share([bool((values(e.text) | values(e.label)) - known) for e in update]),
        known_questions=questions.known([e.text for e in update]) if old else None,
        known_answers=answers.known([e.label for e in update]),
        fact_like=len(factual) / max(len(update), 1),
        in_kb=None if find is None else _in_kb(factual, find),
        told_already=_told_already(replied),
        question_shift=two_sample([e.text for e in update], [e.text for e in old], embed),
        answer_shift=two_sample([e.label for e in update], old_answers, embed),
        contradictions=contradictions(update, update),
        conflicts=contradictions(update, old),
        gradient_conflict=gradient_conflict,
        old_source="the retained tasks" if old else "the live model's own replies",
        told_old=_told_already(old_replied),
        unwritable=unwritable,
    )


def leaked(
    update: Sequence[Example], tested: Sequence[Example], old: Sequence[Example]
) -> list[Example]:
    """
    Examples of an update that stand in the test data of what is to be retained.

    What retained training data has as well is common, and short exchanges ("thanks") recur by
    chance: neither counts.
    """
    known = {e.key for e in old}
    held_out = {e.key for e in tested} - known
    found = {e.key: e for e in update if e.key in held_out}
    return [e for key, e in found.items() if len(" ".join(key).split()) >= 8]


def _loss(replied: Sequence[Replied]) -> float:
    return sum(r.loss for r in replied) / max(sum(r.tokens for r in replied), 1e-9)


def _share(flags: Sequence[bool]) -> float:
    return sum(flags) / len(flags) if flags else 0.0


def _named(example: Example) -> tuple[str, ...]:
    """What an answer is about, as far as names tell."""
    return tuple(sorted(values(example.text)))


def _new_words(update: Sequence[Example], known: set) -> float:
    words = {word for e in update for word in tokens(f"{e.text} . {e.label}")}
    return len(words - known) / max(len(words), 1)


def _in_kb(factual: Sequence[Example], find: Find) -> float:
    step = max(len(factual) // _ASKED, 1)
    asked = factual[::step]
    hits = []
    for example in asked:
        found = find(Turn(example.text, example.history))
        hits.append(any(stated_values(example) <= set(tokens(evidence.text)) for evidence in found))
    return _share(hits)


def _told_already(replied: Sequence[Replied]) -> float | None:
    asked = [(stated_values(r.example), r.reply) for r in replied if r.reply is not None]
    facts = [(wanted, reply) for wanted, reply in asked if wanted]
    if not facts:
        return None
    return _share([wanted <= set(tokens(reply)) for wanted, reply in facts])
