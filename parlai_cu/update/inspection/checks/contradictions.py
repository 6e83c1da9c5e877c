"""One question, two answers that cannot both be right."""

from collections.abc import Iterator, Sequence

from rapidfuzz.distance import Levenshtein

from parlai_cu.knowledge.words import STOP_WORDS
from parlai_cu.update.inspection.base import InspectedConversation, InspectedData
from parlai_cu.update.wording import Example, contradict, normal, stated_values

# answers that agree in so many of their words, but for one thing, say it of another thing
_SAME_WORDS = 0.75
# an answer that so many times as many give is taken for the right one
_CLEAR = 2
# a shorter question ("how much?") says little without what was said before
_FEWEST_WORDS = 4
Placed = tuple[int, Example, str]


class Contradictions:
    """In the data, and against what is true already. Only its owner knows which is right."""

    title = "contradictions"
    repair = "set aside, all of them, to be decided on"

    def find(self, data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
        """Each conversation that answers as another does not."""
        by_context: dict[str, list[Placed]] = {}
        for i, conversation in enumerate(data.conversations):
            for example in conversation.examples():
                by_context.setdefault(normal(example.context), []).append(
                    (i, example, conversation.place)
                )
        for held in (*data.against.values(), *data.answers.values()):
            for conversation in held:
                for example in conversation.examples():
                    context = normal(example.context)
                    if context in by_context:
                        by_context[context].append((-1, example, conversation.place))
        seen: set[int] = set()
        found = (one for placed in by_context.values() for one in _conflicts(placed))
        for i, detail, other in (*found, *_within(data)):
            if i not in seen:
                seen.add(i)
                yield i, detail, other

    def fixed(self, conversation: InspectedConversation) -> InspectedConversation | None:
        """It is set aside."""
        return None


def _within(data: InspectedData) -> Iterator[tuple[int, str, str | None]]:
    """What contradicts a known answer in the midst of a conversation: a question says it all."""
    known: dict[str, tuple[Example, str]] = {}
    for conversation in (one for held in data.answers.values() for one in held):
        example = next(conversation.examples())
        if len(example.text.split()) >= _FEWEST_WORDS:
            known[normal(example.text)] = (example, conversation.place)
    for i, conversation in enumerate(data.conversations):
        for example in conversation.examples():
            other, place = known.get(normal(example.text), (None, ""))
            if other and example.history and conflict(example, other):
                yield i, f"{_short(example.label)} here, {_short(other.label)}", place


def _conflicts(placed: Sequence[Placed]) -> Iterator[tuple[int, str, str | None]]:
    """Those that contradict another answer, but for what twice as many others say as well."""
    groups: dict[str, list[Placed]] = {}
    for one in placed:
        groups.setdefault(normal(one[1].label), []).append(one)
    if len(groups) < 2:
        return
    names = list(groups)
    against = {
        name: [n for n in names if n != name and conflict(groups[name][0][1], groups[n][0][1])]
        for name in names
    }
    for name in names:
        for rival in against[name]:
            if _support(groups, against, name) < _CLEAR * _support(groups, against, rival):
                other, elsewhere = groups[rival][0][1:]
                for i, example, _ in groups[name]:
                    if i >= 0:
                        said = f"{_short(example.label)} here, {_short(other.label)}"
                        yield i, said, elsewhere
                break


def _support(groups: dict[str, list[Placed]], against: dict[str, list[str]], name: str) -> float:
    """How many say so, or the same in other words; what is true already outweighs all."""
    agreeing = [one for n, held in groups.items() if n not in against[name] for one in held]
    return float("inf") if any(i < 0 for i, _, _ in groups[name]) else len(agreeing)


def conflict(one: Example, other: Example) -> bool:
    """Whether two answers to the same question cannot both be right."""
    if contradict(one, other):
        return True
    mine, theirs = normal(one.label).split(), normal(other.label).split()
    if not mine or not theirs or Levenshtein.normalized_similarity(mine, theirs) < _SAME_WORDS:
        return False
    edits = [
        (mine[e.src_start : e.src_end], theirs[e.dest_start : e.dest_end])
        for e in Levenshtein.opcodes(mine, theirs)
        if e.tag != "equal"
    ]
    content = [(gone, come) for gone, come in edits if not _is_light([*gone, *come])]
    if any(_is_number(gone) and _is_number(come) for gone, come in content):
        return True
    if stated_values(one) or stated_values(other):
        return False  # the same values, in other words
    if one.label.rstrip().endswith("?") and other.label.rstrip().endswith("?"):
        return False  # two ways to ask back
    return len(content) == 1 and all(content[0])


def _is_number(words: Sequence[str]) -> bool:
    return len(words) == 1 and any(letter.isdigit() for letter in words[0])


def _is_light(words: Sequence[str]) -> bool:
    return all(word in STOP_WORDS and word not in ("not", "no") for word in words)


def _short(text: str) -> str:
    return repr(text if len(text) <= 60 else text[:57] + "...")
