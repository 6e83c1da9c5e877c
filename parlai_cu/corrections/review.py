"""
Which corrections may be learnt: decisions of people, kept beside the chat log.

They are lines that are only ever appended, so that several may review at once; the last one on a
correction is in force.
"""

import datetime
import getpass
import hashlib
import json
import os
from collections.abc import Sequence
from dataclasses import dataclass, replace

from parlai_cu import files
from parlai_cu.corrections.chatlog import REVIEWED, Judgement, is_cut_off, read
from parlai_cu.errors import DataError, UsageError, nearest
from parlai_cu.terminal import plain

ACCEPT, REJECT, PENDING = "accept", "reject", "pending"
# of ten questions
_TEST, _VALID = 2, 1


@dataclass(frozen=True)
class Reviewed:
    """A judgement, with the text that a reviewer put in, and the decision on it."""

    judgement: Judgement
    decision: str


@dataclass(frozen=True)
class Lesson:
    """The context of an answer, oldest first; the right label, and rejected ones."""

    context: Sequence[str]
    label: str
    rejected: tuple[str, ...] = ()


def reviewed(path: str) -> list[Reviewed]:
    """
    The corrections of a chat log, oldest first, each with its decision.

    :raises DataError: when the decisions cannot be read
    """
    decisions = _decisions(path)
    found = []
    for judgement in read(path):
        if judgement.correction is None:
            continue
        made = decisions.get(judgement.id, {})
        text = made.get("text")
        kept = replace(judgement, correction=text) if text else judgement
        found.append(Reviewed(kept, made.get("decision", PENDING)))
    return found


def decide(path: str, ids: Sequence[str], decision: str, text: str | None = None) -> list[str]:
    """
    Take the decision ``accept`` or ``reject`` on corrections; beginnings of ids suffice.

    The id ``all`` means those that are pending; a ``text`` is the answer to accept instead. The ids
    that were decided on are returned.

    :raises UsageError: when there is no such correction
    """
    known = {one.judgement.id: one.decision for one in reviewed(path)}
    chosen: list[str] = []
    for name in ids:
        if name == "all":
            chosen += [i for i, decided in known.items() if decided == PENDING]
            continue
        matching = [i for i in known if i.startswith(name)]
        if len(matching) != 1:
            close = matching or nearest(name, known) or list(known)[:3]
            what = "several corrections" if matching else "no correction"
            raise UsageError(f"{name}: {what} of {path}; nearest: {', '.join(close) or 'none'}")
        chosen += matching
    stamp = {
        "decision": decision,
        "text": text,
        "who": getpass.getuser(),
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
    }
    lines = "".join(json.dumps({"id": name, **stamp}) + "\n" for name in chosen)
    with files.translate_errors(_file(path)):
        files.append(_file(path), lines.encode(), mode=0o600)
    return chosen


def lessons(path: str, pending: bool = False, rated_up: bool = False) -> list[Lesson]:
    """What may be learnt, each thing once; pending corrections and rated up replies if asked."""
    wanted = (ACCEPT, PENDING) if pending else (ACCEPT,)
    found = [
        Lesson((*j.context, j.text), str(j.correction), (j.reply,) if _differs(j) else ())
        for j in (one.judgement for one in reviewed(path) if one.decision in wanted)
    ]
    if rated_up:
        found += [
            Lesson((*j.context, j.text), j.reply)
            for j in read(path)
            if j.rating == "up" and j.correction is None
        ]
    once = {(tuple(part.lower() for part in one.context), one.label): one for one in found}
    return list(once.values())


def _differs(judgement: Judgement) -> bool:
    """Whether the correction is not the reply itself."""
    reply = judgement.reply.split()
    return bool(reply) and reply != str(judgement.correction).split()


def split_of(lesson: Lesson) -> str:
    """
    Which split a lesson belongs to: 7 of 10 train, 1 validates, 2 test.

    It follows from the last question alone, so what was held out once always is, however the log
    grows, and the same question is never on two sides.
    """
    key = lesson.context[-1].strip().lower()
    number = int(hashlib.sha256(key.encode()).hexdigest(), 16) % 10
    if number < _TEST:
        return "test"
    return "valid" if number < _TEST + _VALID else "train"


def listed(found: Sequence[Reviewed]) -> str:
    """The corrections that wait for a decision, for the terminal."""
    lines: list[str] = []
    for one in found:
        if one.decision == PENDING:
            j = one.judgement
            lines.append(f"{j.id}  {one.decision}  {j.time[:16]}  {j.version or ''}".rstrip())
            lines += [f"    ... {said}" for said in j.context[-2:]]
            lines += [f"    user:     {j.text}", f"    reply:    {j.reply}"]
            lines.append(f"    right is: {j.correction}")
    counts = {d: sum(one.decision == d for one in found) for d in (PENDING, ACCEPT, REJECT)}
    lines.append(", ".join(f"{count} {decision}" for decision, count in counts.items()))
    return "\n".join(map(plain, lines))


def _file(path: str) -> str:
    return os.path.join(path, "corrections" + REVIEWED) if os.path.isdir(path) else path + REVIEWED


def _decisions(path: str) -> dict[str, dict[str, str]]:
    found: dict[str, dict[str, str]] = {}
    if not os.path.exists(_file(path)):
        return found
    with open(_file(path), encoding="utf-8") as f:
        for number, line in enumerate(f, 1):
            try:
                made = json.loads(line)
                found[made["id"]] = made
            except (ValueError, KeyError, TypeError) as error:
                if is_cut_off(line):
                    continue
                raise DataError(
                    f"{_file(path)}, line {number}: not a decision ({error}); expected "
                    '{"id": ..., "decision": "accept"|"reject", "text": ...|null}'
                ) from None
    return found
