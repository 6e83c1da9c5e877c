"""
The suite: what must not be lost, kept beside the versions and growing with them.

::

    DIR/suite/CONTENT.json        one part: its conversations, by split, as lines of text
    DIR/suite/settings.json       how large it may be, what was named once, what was dropped

A version names the parts that updates brought, up to its own: going back to a version goes back
to its suite. Old data that was named once is of the directory, for every version.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from parlai_cu.errors import UsageError, VersionsError, nearest
from parlai_cu.versions import records
from parlai_cu.versions.storage import Storage

if TYPE_CHECKING:
    from parlai_cu.versions.store import VersionStore

FOLDER, SETTINGS = "suite", "settings.json"
# examples of one part, and of all parts together, in each split
PART_SIZE = {"train": 400, "valid": 150, "test": 300}
SIZE = 1000

Lines = Mapping[str, Sequence[Sequence[str]]]


@dataclass(frozen=True)
class SuitePart:
    """
    What came with one update, or was named once.

    :param name: where it is from
    :param content: SHA-256 of its conversations
    :param counts: split -> number of examples
    :param since: ISO, UTC
    """

    name: str
    content: str
    counts: Mapping[str, int]
    since: str

    @property
    def examples(self) -> int:
        """In all splits."""
        return sum(self.counts.values())


class Suite:
    """
    The suite of a directory of versions.

    :param store: the directory
    """

    def __init__(self, store: "VersionStore") -> None:
        self._store = store
        self._storage: Storage = store.storage

    # -- reading -----------------------------------------------------------------------------

    @property
    def size(self) -> int:
        """How many examples of each split it has at most."""
        return int(self._settings().get("size", SIZE))

    def parts(self, version: str) -> list[SuitePart]:
        """What a version is not to lose, oldest first, but for what was dropped."""
        settings = self._settings()
        found = [*map(_part, settings.get("named", [])), *self.brought(version)]
        dropped = set(settings.get("dropped", []))
        by_content = {part.content: part for part in found if part.content not in dropped}
        return list(by_content.values())

    def brought(self, version: str) -> list[SuitePart]:
        """The parts that updates brought, up to a version; of the last of its channel where new."""
        seen: list[str] = []
        name: str | None = version
        while name is not None:
            found = self._store.get(name)
            if "suite" in found.data:
                return [_part(held) for held in found.data["suite"]]
            seen.append(found.id)
            name = found.parent
        # a model that was made elsewhere: what the one before it was not to lose
        for channel in self._store.channels():
            served = [change.id for change in self._store.history(channel)]
            if version in served:
                for before in reversed(served[: served.index(version)]):
                    held = self._store.get(before).data.get("suite")
                    if before not in seen and held is not None:
                        return [_part(one) for one in held]
        return []

    def read(self, part: SuitePart) -> dict[str, list[list[str]]]:
        """
        Split -> conversations -> lines of a part.

        :raises VersionsError: when it is missing or was changed
        """
        name = f"{part.content}.json"
        text = self._storage.read(FOLDER, name)
        if text is None or _content(text) != part.content:
            what = "is missing" if text is None else "was changed"
            raise VersionsError(
                f"{self._storage.path(FOLDER, name)} ({part.name}) {what}; to go on without it: "
                f"parlai versions --versions {self._store.path} suite drop {part.content[:8]}"
            )
        held: dict[str, list[list[str]]] = json.loads(text)
        return held

    def problems(self) -> list[str]:
        """What is wrong with the files of all parts, in words."""
        found = []
        known = {p.content: p for p in map(_part, self._settings().get("named", []))}
        for version in self._store.list():
            known |= {part.content: part for part in map(_part, version.data.get("suite") or [])}
        for part in known.values():
            try:
                self.read(part)
            except VersionsError as error:
                found.append(str(error))
        return found

    # -- writing -----------------------------------------------------------------------------

    def add(self, name: str, lines: Lines) -> SuitePart:
        """
        Store conversations; a version that is added with the part brings it.

        :param name: where they are from
        :param lines: split -> conversations -> lines; of each line one example
        """
        text = json.dumps({split: [list(c) for c in found] for split, found in lines.items()})
        content = _content(text)
        if not self._storage.exists(FOLDER, f"{content}.json"):
            self._storage.make_folder(FOLDER)
            self._storage.write(text, FOLDER, f"{content}.json")
        counts = {split: sum(map(len, found)) for split, found in lines.items()}
        return SuitePart(name, content, counts, records.now())

    def name(self, part: SuitePart) -> None:
        """Keep a part for all versions, in the place of one of the same name."""
        with self._storage.locked():
            settings = self._settings()
            named = [held for held in settings.get("named", []) if held["name"] != part.name]
            dropped = [held for held in settings.get("dropped", []) if held != part.content]
            settings.update(named=[*named, asdict(part)], dropped=dropped)
            self._write(settings)

    def drop(self, version: str, names: Sequence[str]) -> list[SuitePart]:
        """
        Leave parts out from now on.

        :param version: the one in service
        :param names: of parts, or the beginnings of their contents
        :raises UsageError: when there is none of that name
        """
        parts = self.parts(version)
        gone = []
        for name in names:
            found = [p for p in parts if name == p.name or p.content.startswith(name)]
            if not found:
                known = [p.name for p in parts]
                close = nearest(name, known) or known
                raise UsageError(
                    f"suite drop {name}: there is no such part; nearest: "
                    f"{', '.join(close) or 'none, the suite is empty'}"
                )
            gone += found
        with self._storage.locked():
            settings = self._settings()
            dropped = [*settings.get("dropped", []), *(part.content for part in gone)]
            self._write({**settings, "dropped": list(dict.fromkeys(dropped))})
        return gone

    def resize(self, size: int) -> None:
        """
        How many examples of each split it has at most from now on.

        :param size: in examples
        :raises UsageError: when that is too few to judge by
        """
        if size < 50:
            raise UsageError(f"suite size {size}: expected 50 examples or more")
        with self._storage.locked():
            self._write({**self._settings(), "size": size})

    def _settings(self) -> dict[str, Any]:
        return dict(self._storage.read_json(FOLDER, SETTINGS) or {})

    def _write(self, settings: Mapping[str, Any]) -> None:
        self._storage.make_folder(FOLDER)
        self._storage.write_json(settings, FOLDER, SETTINGS)


def shares(counts: Sequence[int], size: int) -> list[int]:
    """
    How many of each are taken so that all are as many as asked for: of the small all, of the
    large ones the same number.

    :param counts: how many examples there are of each
    :param size: how many examples may be taken
    """
    taken, left = [0] * len(counts), size
    order = sorted(range(len(counts)), key=lambda i: counts[i])
    for rank, i in enumerate(order):
        taken[i] = min(counts[i], left // (len(order) - rank))
        left -= taken[i]
    return taken


def _part(held: Mapping[str, Any]) -> SuitePart:
    return SuitePart(held["name"], held["content"], dict(held["counts"]), held["since"])


def _content(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
