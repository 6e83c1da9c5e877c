"""The versions of a store, as they stand there: found by name, read, checked by hash."""

import re
from collections.abc import Callable
from typing import Any

from parlai_cu.errors import VersionsError
from parlai_cu.files import file_hash
from parlai_cu.versions import checkout, records
from parlai_cu.versions.records import Version
from parlai_cu.versions.storage import Storage, translate_errors

FOLDER, RECORD = "versions", "version.json"
_ID = re.compile(r"^v(\d+)-[0-9a-f]{8}$")


class Shelf:
    """
    The folder of a store in which its versions are; it is only read here.

    :param storage: where the store is
    :param cache: gives a local folder for models put together from deltas; asked when one is made
    """

    def __init__(self, storage: Storage, cache: Callable[[], str]) -> None:
        self.storage = storage
        self.cache = cache

    def ids(self) -> list[str]:
        """The ids of all versions, also of pruned ones, oldest first."""
        found = [
            name
            for name in self.storage.names(FOLDER)
            if _ID.match(name) and self.storage.exists(FOLDER, name, RECORD)
        ]
        return sorted(found, key=number_of)

    def read(self, version_id: str) -> Version:
        """
        A version by its whole id.

        :raises VersionsError: when it is not there, or its record is damaged
        """
        held = self.storage.read_json(FOLDER, version_id, RECORD)
        path = self.storage.path(FOLDER, version_id, RECORD)
        if held is None:
            raise VersionsError(f"version {version_id}: {path} is missing")
        version = records.from_json(held, path)
        if version.id != version_id:
            raise VersionsError(
                f"{path} is of version {version.id}: the folder was renamed or copied"
            )
        return version

    def named(self, name: str) -> Version | None:
        """
        A version by its id, its number or a beginning of its id; None where there is none.

        :raises VersionsError: when there are several
        """
        ids = self.ids()
        if name in ids:
            return self.read(name)
        # v1 is v1-..., also where there is a v10-...; 1 is v1, and its hash says as much
        found = (
            [i for i in ids if i.split("-")[0] in (name, f"v{name}")]
            or [i for i in ids if name and i.startswith(name)]
            or [i for i in ids if name and i.partition("-")[2].startswith(name)]
        )
        if len(found) > 1:
            raise VersionsError(f"version {name}: could be {', '.join(found)}")
        return self.read(found[0]) if found else None

    def lineage(self, version: Version) -> list[Version]:
        """A version and all that it needs: the versions its deltas are against."""
        line = [version]
        while line[-1].delta_of is not None:
            line.append(self.read(line[-1].delta_of))
        return line

    def part(self, version: Version, name: str) -> str:
        """
        A local path of one file of a version.

        :raises VersionsError: when it is lost, or has another hash
        """
        record = version.files.get(name)
        if record is None:
            raise VersionsError(f"version {version.id}: its record names no file {name}")
        folder = self.storage.path(FOLDER, record.at or version.id)
        if not self.storage.exists(FOLDER, record.at or version.id, name):
            raise VersionsError(f"version {version.id}: {folder} has lost its file {name}")
        local = self.storage.local(FOLDER, record.at or version.id, name)
        with translate_errors(local):
            found = file_hash(local)
        if found != record.sha256:
            raise VersionsError(
                f"version {version.id}: {folder}/{name} was changed or damaged (SHA-256 "
                f"{found[:12]}, expected {record.sha256[:12]}); restore it, or roll back"
            )
        return local

    def problems(self, version: Version) -> list[str]:
        """What is wrong with a version's files, in words."""
        found = []
        for name in () if version.pruned else version.files:
            try:
                self.part(version, name)
            except VersionsError as error:
                found.append(str(error))
        return found

    def contents(self, version: Version) -> dict[str, Any]:
        """See :func:`parlai_cu.versions.checkout.contents`."""
        return checkout.contents(version, self.part)

    def model_file(self, version: Version) -> str:
        """
        A local path that ParlAI can load.

        :raises VersionsError: when files are missing or were changed
        """
        refuse_pruned(version)
        return checkout.model_file(version, self.cache(), self.part, self.read)


def refuse_pruned(version: Version) -> None:
    """
    Make sure that a version has its files.

    :raises VersionsError: when they were removed
    """
    if version.pruned:
        raise VersionsError(
            f"version {version.id}: its files were removed by prune at {version.pruned}; "
            "its record is what is left"
        )


def number_of(name: str) -> int:
    """The number in an id; 0 where it is none."""
    match = _ID.match(name)
    return int(match.group(1)) if match else 0
