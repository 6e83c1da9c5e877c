"""
Dialogues of the Schema-Guided Dialogue data set, from either of two layouts.

The original release: ``train/``, ``dev/``, ``test/`` with ``dialogues_*.json``. Prepared
conversations: ``NAME_train.jsonl``, ``NAME_valid.jsonl``, ``NAME_test.jsonl`` in ParlAI's
Conversations format with a ``service`` on each line, and beside them ``annotations/`` and
``kb/SERVICE.csv``.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from parlai_cu.errors import DataError, UsageError, nearest

SOURCE = "https://github.com/google-research-datasets/dstc8-schema-guided-dialogue"
# ParlAI's name of a split -> the folder's in the original release
FOLDERS = {"train": "train", "valid": "dev", "test": "test"}

Row = Mapping[str, str]


@dataclass(frozen=True)
class SGDTurn:
    """
    A user's turn and the system's answer.

    :param intent: the active intent
    :param requested: the slots that the user asks for
    :param state: slot -> the values that count as right
    :param values: the values that the system's answer tells
    :param categorical: the slots whose values come from a closed list
    :param call: the API call before the answer: ``method`` and ``parameters``
    :param rows: what the call returned
    """

    user: str
    system: str
    intent: str = "NONE"
    requested: Sequence[str] = ()
    state: Mapping[str, Sequence[str]] = field(default_factory=dict)
    values: Sequence[str] = ()
    categorical: frozenset[str] = frozenset()
    call: Mapping[str, Any] | None = None
    rows: Sequence[Row] = ()


@dataclass(frozen=True)
class Dialogue:
    """A dialogue about one service, with its id in the data set."""

    id: str
    service: str
    turns: Sequence[SGDTurn]


def read(folder: str, split: str, service: str | None = None) -> list[Dialogue]:
    """
    The single-service dialogues of a split.

    :param folder: in either layout
    :param split: ``train``, ``valid`` or ``test``
    :param service: only these, ``+`` between several; None for all
    :raises DataError: there is no data in the folder
    :raises UsageError: no dialogue is about the service
    """
    dialogues = list(_all(Path(folder), split))
    if service is None:
        return dialogues
    wanted = service.split("+")
    there: set[str] = {dialogue.service for dialogue in dialogues}
    for name in wanted:
        if name not in there:
            raise UsageError(
                f"service={name}: no dialogue in {folder} ({split}) is about it; "
                f"nearest: {', '.join(nearest(name, sorted(there)))}."
            )
    return [dialogue for dialogue in dialogues if dialogue.service in wanted]


def _all(folder: Path, split: str) -> Iterator[Dialogue]:
    original = sorted((folder / FOLDERS[split]).glob("dialogues_*.json"))
    prepared = sorted(folder.glob(f"*_{split}.jsonl"))
    if not original and not prepared:
        raise DataError(
            f"{folder} holds neither {FOLDERS[split]}/dialogues_*.json nor *_{split}.jsonl: fetch "
            f"{SOURCE} and name its folder with --sgd-path."
        )
    for path in original or prepared:
        try:
            yield from (_original if original else _prepared)(path)
        except (KeyError, TypeError, IndexError, ValueError) as error:
            raise DataError(
                f"{path} is not in the format of Schema-Guided Dialogue "
                f"({type(error).__name__}: {error}). Fetch it again from {SOURCE}."
            ) from error


def _original(path: Path) -> Iterator[Dialogue]:
    categorical = _categorical(path.parent / "schema.json")
    for entry in json.loads(path.read_text(encoding="utf-8")):
        if len(entry["services"]) == 1:
            said = entry["turns"]
            (service,) = entry["services"]
            closed = categorical.get(service, frozenset())
            turns = [_turn(user, system, closed) for user, system in zip(said[::2], said[1::2])]
            yield Dialogue(entry["dialogue_id"], service, turns)


def _categorical(schema: Path) -> dict[str, frozenset[str]]:
    """Service -> its slots with a closed list of values; empty where no schema lies."""
    if not schema.is_file():
        return {}
    return {
        service["service_name"]: frozenset(
            slot["name"] for slot in service["slots"] if slot["is_categorical"]
        )
        for service in json.loads(schema.read_text(encoding="utf-8"))
    }


def _turn(user: dict[str, Any], system: dict[str, Any], categorical: frozenset[str]) -> SGDTurn:
    asked, answered = user["frames"][0], system["frames"][0]
    return SGDTurn(
        user=user["utterance"],
        system=system["utterance"],
        intent=asked["state"]["active_intent"],
        requested=asked["state"]["requested_slots"],
        state=asked["state"]["slot_values"],
        values=[value for action in answered["actions"] for value in action["values"]],
        categorical=categorical,
        call=answered.get("service_call"),
        rows=answered.get("service_results", ()),
    )


def _prepared(path: Path) -> Iterator[Dialogue]:
    annotations = path.parent / "annotations" / f"{path.name}.gz"
    categorical = _categorical(path.parent / "schema.json")
    tables: dict[str, dict[str, Row]] = {}
    with open(path, encoding="utf-8") as file, gzip.open(annotations, "rt") as notes:
        for line, note in zip(file, notes):
            entry, marked = json.loads(line), json.loads(note)["turns"]
            service = entry["service"]
            if service not in tables:
                tables[service] = _table(path.parent / "kb" / f"{service}.csv")
            turns = []
            for (user, system), mark in zip(entry["dialog"], marked):
                acts = mark["system_acts"]
                turns.append(
                    SGDTurn(
                        user=user["text"],
                        system=system["text"],
                        intent=mark["intent"],
                        requested=mark["requested"],
                        state=mark["state"],
                        values=[value for _, _, values in acts for value in values],
                        categorical=categorical.get(service, frozenset()),
                        call=mark.get("call"),
                        rows=[tables[service][row] for row in mark.get("kb_rows", ())],
                    )
                )
            yield Dialogue(entry["dialogue_id"], service, turns)


def _table(path: Path) -> dict[str, Row]:
    with open(path, encoding="utf-8", newline="") as file:
        return {row["row_id"]: row for row in csv.DictReader(file)}
