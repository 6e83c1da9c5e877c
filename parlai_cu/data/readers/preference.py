"""
Preference pairs: ``prompt``, ``chosen`` and ``rejected``.

What was chosen is learnt; what was rejected stays with it, for the gate and for unlikelihood. The
prompt may be a text or messages, or stand before both answers ("Human: ... Assistant: ...").
"""

import re
from dataclasses import replace
from typing import Any

from parlai_cu.data.base import (
    SERVICE,
    USER,
    Conversation,
    Reading,
    ReadOptions,
    Utterance,
    text_of,
)
from parlai_cu.data.column_names import split_of
from parlai_cu.data.readers.openai import (
    SYSTEM,
    is_messages,
    messages_of,
    system_of,
    utterances,
    who,
)
from parlai_cu.data.readers.rows import note_unused
from parlai_cu.data.source import Source

_PROMPTS = ("prompt", "question", "instruction", "input", "query", "conversations", "messages")
_CHOSEN = ("chosen", "preferred", "preferred_output", "accepted", "response_chosen")
_REJECTED = ("rejected", "non_preferred", "non_preferred_output", "response_rejected")
# answers of which another field says which is better, or how good each is
_DECISIONS = "preference winner preferred choice better better_response_id chosen".split()
_SIDES = (("a", "b"), ("0", "1"), ("1", "2"))
_SCORED = ("responses", "completions", "answers", "candidates", "outputs")
_SCORES = ("score", "overall_score", "rating", "reward")
_SPEAKER = re.compile(r"(?:^|\n\n?)(Human|User|Assistant|H|A):\s*")
_CALLED = re.compile(
    r"(?P<what>response|answer|output|completion|conversation)[_ ]?(?P<side>[ab012])"
)


class PreferencePairs:
    """Also OpenAI's names, pairs with a winner, and answers with scores."""

    title = "preference pairs"

    def recognises(self, source: Source) -> bool:
        """Whether it has a chosen and a rejected answer, or says which of some is better."""
        return any(_answers(record) for _, record in source.records[:20])

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """All pairs."""
        reading = Reading(counted="preference pair")
        for number, record in source.records:
            answers = _answers(record)
            chosen, rejected = answers or (None, [])
            prompt = _said(_first(record, _PROMPTS), number, reading, USER)
            good = _whole(prompt, _said(chosen, number, reading, SERVICE))
            bad = [_whole(prompt, _said(one, number, reading, SERVICE)) for one in rejected]
            if not all((good, *bad, bad)):
                why = "neither answer is better" if answers else "no chosen or no rejected answer"
                reading.leave_out(why, [number])
            elif len(good) < 2:
                reading.leave_out("no prompt", [number])
            else:
                said = [*system_of(record, number), *_compared(good, bad, number, reading)]
                split = split_of(record.get("split"))
                reading.conversations.append(Conversation(str(number), said, number, split))
        used = {*_PROMPTS, *_CHOSEN, *_REJECTED, *_DECISIONS, *_SCORED, *SYSTEM, "split", "id"}
        fields = [name for name in sorted(source.keys()) if not _CALLED.fullmatch(name)]
        note_unused(reading, fields, used)
        return reading


def _first(record: dict[str, Any], names: tuple[str, ...]) -> Any:
    return next((record[name] for name in names if record.get(name)), None)


def _answers(record: dict[str, Any]) -> tuple[Any, list[Any]] | None:
    """The chosen answer and the rejected ones; None of a record that has no such thing."""
    chosen, rejected = _first(record, _CHOSEN), _first(record, _REJECTED)
    if any(name in record for name in _CHOSEN) and any(name in record for name in _REJECTED):
        return chosen, _each(rejected)
    sides = {m["side"]: held for name, held in record.items() if (m := _CALLED.fullmatch(name))}
    decided = [str(record[name]) for name in _DECISIONS if name in record]
    for pair in _SIDES:
        if decided and set(pair) <= set(sides):
            won = [side for side in pair if re.search(rf"(?:^|[_\W]){side}$", decided[0].lower())]
            if not won:
                return None, []
            return sides[won[0]], [sides[side] for side in pair if side not in won]
    for name in _SCORED:
        held = record.get(name)
        if (
            isinstance(held, list)
            and len(held) > 1
            and all(_score(one) is not None for one in held)
        ):
            best = max(held, key=_score)
            return best, [one for one in held if _score(one) < _score(best)]
    return None


def _score(answer: object) -> Any:
    found = (answer.get(name) for name in _SCORES) if isinstance(answer, dict) else ()
    return next((one for one in found if isinstance(one, (int, float))), None)


def _each(held: object) -> list[Any]:
    """Several rejected answers, or the one; messages are one."""
    return held if isinstance(held, list) and not is_messages(held) else [held]


def _said(held: Any, line: int, reading: Reading, role: str) -> list[Utterance]:
    if isinstance(held, dict):
        held = messages_of(held) or ([held] if who(held) else held)
        if isinstance(held, dict):
            held = next(
                (held[n] for n in ("text", "response", "content", "output") if n in held), ""
            )
    if isinstance(held, list) and held and not is_messages(held):
        held = held[0]
    if is_messages(held):
        said = utterances(held, line, reading)
        return [*said[:-1], replace(said[-1], role=role)] if said and len(said) == 1 else said
    text = text_of(held)
    parts = _SPEAKER.split(text)
    if len(parts) > 1:
        return [
            Utterance(name, said.strip(), line, SERVICE if name[0] == "A" else USER)
            for name, said in zip(parts[1::2], parts[2::2])
            if said.strip()
        ]
    return [Utterance(role, text, line, role)] if text else []


def _whole(prompt: list[Utterance], answer: list[Utterance]) -> list[Utterance]:
    """An answer with its prompt, which may stand before it already."""
    begins = len(answer) > 1 and (not prompt or answer[0].text == prompt[0].text)
    return answer if begins or not answer else [*prompt, *answer]


def _compared(
    good: list[Utterance], bad: list[list[Utterance]], line: int, reading: Reading
) -> list[Utterance]:
    """What is learnt, with the rejected answers where they part from it."""
    said = list(good)
    for other in bad:
        texts = [(one.role, one.text) for one in good]
        differs = [
            i for i, one in enumerate(other[: len(good)]) if (one.role, one.text) != texts[i]
        ]
        if not differs:
            reading.leave_out("a rejected answer that is the chosen one", [line])
        elif good[differs[0]].role == other[differs[0]].role == SERVICE:
            right = said[differs[0]]
            wrong = other[differs[0]].text
            said[differs[0]] = replace(right, rejected=(*right.rejected, wrong))
        else:
            reading.leave_out("a rejected answer to another question", [line])
    return said
