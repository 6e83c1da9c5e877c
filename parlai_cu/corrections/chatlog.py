"""
What chat services record of their users' judgements, as examples.

A file of JSON Lines, or a folder of ``*.jsonl``; one record a line::

    {"time": "2026-11-24T10:00:00.000+00:00", "conversation": "c1", "turn": 3, "version": "v7-...",
     "context": ["earlier", "utterances"], "text": "what the user said", "reply": "the answer",
     "rating": "up" | "down" | null, "correction": "the right answer" | null, "knowledge": null}

A later record of the same conversation and turn takes the earlier one's place.
"""

import hashlib
import json
import os
from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any

from parlai_cu.corrections.masking import mask_reply, mask_user
from parlai_cu.errors import DataError

_EXPECTED = (
    'expected one record per line: {"time": ..., "conversation": ..., "turn": ..., '
    '"context": [...], "text": ..., "reply": ..., "rating": "up"|"down"|null, '
    '"correction": ...|null}'
)
REVIEWED = ".reviewed"


@dataclass(frozen=True)
class Judgement:
    """
    A turn of a conversation that a user judged, masked; another correction has another id.

    The time is ISO's; the version that gave the reply may be unknown; the context is what was said
    before, oldest first; the rating ``up``, ``down`` or None, the correction the right answer.
    """

    id: str
    time: str
    conversation: str
    turn: int
    version: str | None
    context: tuple[str, ...]
    text: str
    reply: str
    rating: str | None
    correction: str | None


def read(path: str) -> list[Judgement]:
    """
    All judgements in force, oldest first.

    A line that is cut off (its writer was killed) is left out.

    :raises DataError: when there is none, or a line is something else
    """
    latest: dict[tuple[str, int], Judgement] = {}
    found = [judgement for file in files(path) for judgement in _read_file(file)]
    for judgement in sorted(found, key=lambda j: j.time):
        latest[judgement.conversation, judgement.turn] = judgement
    return sorted(latest.values(), key=lambda j: j.time)


def files(path: str) -> list[str]:
    """
    The files of a chat log.

    :raises DataError: when there is none
    """
    if os.path.isdir(path):
        names = sorted(name for name in os.listdir(path) if name.endswith(".jsonl"))
        if not names:
            raise DataError(f"{path}: the folder holds no *.jsonl; {_EXPECTED}")
        return [os.path.join(path, name) for name in names]
    if not os.path.isfile(path):
        raise DataError(f"{path}: there is no such file or folder of a chat log; {_EXPECTED}")
    return [path]


def _read_file(path: str) -> Iterator[Judgement]:
    latest = ""
    with open(path, encoding="utf-8", errors="replace") as f:
        for number, line in enumerate(f, 1):
            line = line.strip()
            try:
                record = json.loads(line) if line else None
            except ValueError as error:
                if is_cut_off(line):
                    continue
                raise DataError(f"{path}, line {number}: not JSON ({error}); {_EXPECTED}") from None
            if record is not None:
                judgement = _judgement(record, f"{path}, line {number}")
                # the order of the lines holds, also where the clock was set back between them
                latest = max(latest, judgement.time)
                yield replace(judgement, time=latest)


def is_cut_off(line: str) -> bool:
    """Whether who was writing a line of JSON was killed."""
    return line.startswith("{") and not line.rstrip().endswith("}")


def _judgement(record: object, where: str) -> Judgement:
    kinds: dict[str, Any] = {
        "time": str,
        "conversation": str,
        "turn": int,
        "context": list,
        "text": str,
        "reply": str,
    }
    if not isinstance(record, dict):
        raise DataError(f"{where}: found a {type(record).__name__}; {_EXPECTED}")
    for name, kind in kinds.items():
        if not isinstance(record.get(name), kind):
            found = f"{record[name]!r}" if name in record else "nothing"
            raise DataError(f'{where}: "{name}" is {found}; {_EXPECTED}')
    if record.get("rating") not in ("up", "down", None):
        raise DataError(f'{where}: "rating" is {record["rating"]!r}; {_EXPECTED}')
    return _masked(record)


def _masked(record: dict[str, Any]) -> Judgement:
    seen: dict[str, str] = {}
    text, masked = mask_user(record["text"])
    seen.update(masked)
    context = [str(said) for said in record["context"]]
    # the last before the user's text is the service's, the one before that the user's
    for i in range(len(context) - 2, -1, -2):
        context[i], masked = mask_user(context[i])
        seen.update(masked)
    for i in range(len(context) - 1, -1, -2):
        context[i] = mask_reply(context[i], seen)
    correction = (record.get("correction") or "").strip()
    key = "\0".join([record["conversation"], str(record["turn"]), correction])
    return Judgement(
        id=hashlib.sha256(key.encode()).hexdigest()[:10],
        time=record["time"],
        conversation=record["conversation"],
        turn=record["turn"],
        version=record.get("version"),
        context=tuple(context),
        text=text,
        reply=mask_reply(record["reply"], seen),
        rating=record.get("rating"),
        correction=mask_reply(correction, seen) or None,
    )
