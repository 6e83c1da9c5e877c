"""
A directory of immutable versions of a model in service, and the channels that serve them.

::

    DIR/store.json                what the directory is, and the last number given
    DIR/versions/v7-3fa9c2e1/     version.json, contents.json, and the model: model, or
                                  delta.safetensors against another version; model.opt, model.dict
    DIR/live  DIR/canary          one small file a channel: its history, the last line is in force

A version appears by one rename, a promotion by another: a process that is killed leaves the old
state or the new one. Numbers are given under a lock that the system frees when its holder dies.
Nothing in a model file is ever executed: it is read as tensors and plain values, or refused.

Use::

    store = VersionStore("deployed", create=True)
    first = store.add("model/model", mode="import")
    store.promote(first.id, force=True, why="in service since spring")
    candidate = store.add("candidate/model", mode="frozen_layer", parent=first.id, verdict=verdict)
    store.promote(candidate.id)          # refused unless the verdict is accept
    store.model_file(candidate.id)       # a path for -mf and --init-model
    store.rollback()
"""

import builtins
import contextlib
import json
import os
import shutil
import uuid
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any

from parlai_cu import user_cache
from parlai_cu.errors import VersionsError, nearest
from parlai_cu.types import Verdict
from parlai_cu.versions import channels, checkout, records
from parlai_cu.versions.records import Promotion, Version
from parlai_cu.versions.storage import Storage, translate_errors
from parlai_cu.versions.version_reader import (
    FOLDER,
    RECORD,
    Shelf,
    number_of,
    refuse_pruned,
)

if TYPE_CHECKING:
    from parlai_cu.versions.diff import VersionDiff

if TYPE_CHECKING:  # it imports torch, which most commands do without
    from parlai_cu.versions.importer import ModelImporter

FORMAT = 1
STORE = "store.json"
LIVE = "live"
# what may stand in the directory beside channels
_OURS = {STORE, FOLDER, "suite", ".lock"}
_CURRENT: Any = object()


class VersionStore:
    """
    Versions of one model, in a folder (local or shared) or wherever iopath reaches.

    Objects may be shared between threads; processes may use one directory at once.

    :param path: the directory, or a URI of a handler registered with ``path_manager``
    :param create: make it where it is missing or empty
    :param path_manager: iopath's; ParlAI's own is ``parlai.utils.io.PathManager``
    :param cache: a local folder for models put together from deltas; the user's cache folder
        where missing
    :raises VersionsError: when it is missing, holds something else, or cannot be reached
    """

    def __init__(
        self,
        path: str,
        create: bool = False,
        *,
        path_manager: Any = None,
        cache: str | None = None,
    ) -> None:
        self.path = path
        self._storage = Storage(path, path_manager)
        held = self._storage.read_json(STORE)
        if held is None:
            held = self._create() if create else self._refuse_missing()
        if held.get("format") != FORMAT:
            raise VersionsError(
                f"--versions {path}: format {held.get('format')} was written by another parlai-cu; "
                f"this one reads {FORMAT}"
            )
        self.id: str = held["id"]
        self._shelf = Shelf(
            self._storage, lambda: os.path.join(cache or user_cache.folder("versions"), self.id)
        )

    @property
    def storage(self) -> Storage:
        """Where the directory is kept."""
        return self._storage

    def __repr__(self) -> str:
        """The directory."""
        return f"VersionStore({self.path!r})"

    # -- adding ------------------------------------------------------------------------------

    def add(
        self,
        model_file: str,
        *,
        mode: str,
        parent: str | None = None,
        metrics: Mapping[str, Any] | None = None,
        verdict: Verdict | None = None,
        data: Mapping[str, Any] | None = None,
        seed: int | None = None,
        kb_snapshot: str | None = None,
        delta: bool | None = None,
        note: str = "",
        who: str | None = None,
    ) -> Version:
        """
        Make a ParlAI model a version. Its own files are only read.

        Optimizer and learning rate schedule are left out; weights, settings and dictionary are
        kept bit for bit.

        :param model_file: ``-mf`` of the model
        :param mode: how it came about
        :param parent: what it was made from; where missing, the version that holds most of it
        :param metrics: what it was measured at
        :param verdict: of the gate
        :param data: fingerprint of what it learnt from: ``hash``, ``task``, ``examples``
        :param seed: of its training
        :param kb_snapshot: the knowledge base, as it was when this model was gated
        :param delta: keep only the tensors that differ from the parent's, or from those of the
            version that holds most of them; None: where that saves something
        :param note: in words
        :param who: user and machine, where it is not this one
        :return: the new version, which no channel serves yet
        :raises ModelFileError: when the model cannot be read
        :raises VersionsError: when the parent is not there, or the directory cannot be written
        """
        # late: it needs torch, and most of what is done with versions does not
        from parlai_cu.versions.importer import ModelImporter

        above = self.get(parent) if parent is not None else None
        if delta and above is None:
            raise VersionsError("delta: a delta needs a parent to be against")
        intake = ModelImporter(model_file)
        base = None if delta is False else self._delta_base(above, intake, only=bool(delta))
        with self._storage.staging(FOLDER) as staged:
            kept = intake.write(staged, base, wanted=delta)
            with self._storage.locked():
                if base is not None and kept.is_delta and self._shelf.read(base.version.id).pruned:
                    raise VersionsError(
                        f"version {base.version.id}, which most of {model_file} stands in, was "
                        "pruned meanwhile; add it again"
                    )
                number = self._next_number()
                version = Version(
                    id=f"v{number}-{intake.content[:8]}",
                    number=number,
                    created=records.now(),
                    who=who or records.whoami(),
                    mode=mode,
                    agent=intake.agent,
                    parent=above.id if above else self._derived_from(intake, base),
                    delta_of=base.version.id if base and kept.is_delta else None,
                    depth=base.version.depth + 1 if base and kept.is_delta else 0,
                    files=kept.files,
                    content=intake.content,
                    model_bytes=intake.model_bytes,
                    data=dict(data or {}),
                    seed=seed,
                    metrics=dict(metrics or {}),
                    verdict=verdict,
                    kb_snapshot=kb_snapshot,
                    packages=records.packages(),
                    note=note,
                )
                with translate_errors(staged):
                    checkout.write_json(os.path.join(staged, RECORD), records.to_json(version))
                self._storage.publish(staged, RECORD, FOLDER, version.id)
        return version

    def _delta_base(
        self, above: Version | None, intake: "ModelImporter", only: bool
    ) -> checkout.Base | None:
        """The version that holds most of the model's tensors; the one it is said to be of first."""
        newest = [above] if above else []
        if not only:
            newest += [v for v in reversed(self.list()) if above is None or v.id != above.id]
        best, most = None, -1 if only else 0
        for version in newest:
            if version.pruned or version.depth >= checkout.MAX_DEPTH:
                continue
            found = checkout.Base(version, self._shelf.contents(version))
            shared = intake.shared_bytes(found)
            if shared > most:
                best, most = found, shared
            if shared == intake.weights_bytes:
                break
        return best

    def _derived_from(self, intake: "ModelImporter", base: checkout.Base | None) -> str | None:
        """Where nobody said so: the version that most of the model's bytes stand in."""
        if base is None or intake.shared_bytes(base) * 2 < intake.weights_bytes:
            return None
        return base.version.id

    def _next_number(self) -> int:
        held = self._storage.read_json(STORE)
        number = 1 + max([int(held["last"]), *map(number_of, self._storage.names(FOLDER))])
        # first, so that a crash from here on costs a number and never repeats one
        self._storage.write_json({**held, "last": number}, STORE)
        return number

    # -- looking -----------------------------------------------------------------------------

    def get(self, name: str) -> Version:
        """
        A version by its id, a beginning of it that no other has, or a channel's name.

        :raises VersionsError: when there is none, or several
        """
        head = self.channel(name) if self._is_channel(name) else None
        found = self._shelf.read(head) if head else self._shelf.named(name)
        if found is not None:
            return found
        known = [*self.channels(), *self._shelf.ids()]
        close = nearest(name, known) or known[-3:]
        hint = f"; nearest: {', '.join(close)}" if close else "; it has none yet"
        raise VersionsError(f"version {name}: --versions {self.path} has no such{hint}")

    def list(self, pruned: bool = False) -> list[Version]:
        """
        All versions, oldest first.

        :param pruned: also those whose files were removed
        """
        found = [self._shelf.read(name) for name in self._shelf.ids()]
        return [version for version in found if pruned or not version.pruned]

    def model_file(self, version: str) -> str:
        """
        A local path that ParlAI can load, for ``-mf`` and ``--init-model``; checked by hash.

        It stands in the user's cache folder: what is written beside it harms no version.

        :raises VersionsError: when files are missing or were changed
        """
        return self._shelf.model_file(self.get(version))

    def settings(self, version: str) -> dict[str, Any]:
        """
        The options of a version's model.

        :raises VersionsError: when they are missing or were changed
        """
        found = self.get(version)
        refuse_pruned(found)
        with open(self._shelf.part(found, f"{checkout.MODEL}.opt"), encoding="utf-8") as f:
            held: dict[str, Any] = json.load(f)
        return held

    def diff(self, one: str, other: str) -> "VersionDiff":
        """
        What is different in the ``other`` version from ``one``: blocks and by how much, settings,
        files.

        :raises VersionsError: when files are missing or were changed
        """
        from parlai_cu.versions.diff import compare

        return compare(self._shelf, self.get(one), self.get(other))

    def export(self, version: str, model_file: str) -> None:
        """
        Write a version as the model files it was made from.

        :raises VersionsError: when something is there already
        """
        source = self.model_file(version)
        if os.path.exists(model_file) or os.path.exists(model_file + ".opt"):
            raise VersionsError(f"{model_file} exists; choose another path")
        with translate_errors(model_file):
            checkout.copy_model(source, model_file)

    # -- channels ----------------------------------------------------------------------------

    def channel(self, name: str = LIVE) -> str | None:
        """The id of the version that a channel serves; None where none was promoted yet."""
        return channels.live(self.history(name))

    def channels(self) -> dict[str, str]:
        """Channel -> id of the version that it serves."""
        heads = {}
        for name in self._storage.names():
            if self._is_channel(name):
                head = self.channel(name)
                if head is not None:
                    heads[name] = head
        return heads

    def history(self, name: str = LIVE) -> builtins.list[Promotion]:
        """Every change of what a channel serves, oldest first."""
        channels.check_name(name)
        return channels.read(self._storage.read(name), self._storage.path(name))

    def channel_file(self, name: str = LIVE) -> str:
        """The path of a channel's file: it is replaced with every promotion."""
        channels.check_name(name)
        return self._storage.path(name)

    def stamp(self, name: str = LIVE) -> Any:
        """What changes with every promotion, cheaply; to be compared with an earlier one."""
        channels.check_name(name)
        return self._storage.stamp(name)

    def promote(
        self,
        version: str,
        channel: str = LIVE,
        *,
        expected: str | None = _CURRENT,
        force: bool = False,
        who: str | None = None,
        why: str = "",
        kb_snapshot: str | None = None,
    ) -> Promotion:
        """
        Serve a version from now on.

        :param version: what :meth:`get` understands
        :param channel: that serves it
        :param expected: id of the version that the caller believes is live (None: none); what
            is live when this is called, where missing
        :param force: although the gate did not accept it; this is recorded
        :param who: user and machine, where it is not this one
        :param why: in words, for the record
        :param kb_snapshot: the knowledge base beside it, as it is now
        :raises VersionsError: without the gate's consent, when its files are damaged, or when
            somebody else promoted another one meanwhile
        """
        before = self.channel(channel) if expected is _CURRENT else expected
        found = self.get(version)
        refuse_pruned(found)
        accepted = found.verdict is not None and found.verdict.accepted
        if not accepted and not force:
            raise VersionsError(_unaccepted(found))
        change = Promotion(
            records.now(),
            found.id,
            who or records.whoami(),
            why,
            not accepted,
            channels.PROMOTE,
            kb_snapshot,
        )
        return self._append(channel, change, before)

    def rollback(
        self,
        channel: str = LIVE,
        *,
        to: str | None = None,
        expected: str | None = _CURRENT,
        who: str | None = None,
        why: str = "",
        kb_snapshot: str | None = None,
    ) -> Promotion:
        """
        Serve what the channel served before; called again, what it served before that.

        :param channel: that serves it
        :param to: another version to go back to; one that some channel serves or served
        :param expected: id of the version that the caller believes is live; see :meth:`promote`
        :param who: user and machine, where it is not this one
        :param why: in words, for the record
        :param kb_snapshot: see :meth:`promote`
        :raises VersionsError: when there is nothing before, or its files are gone
        """
        history = self.history(channel)
        back = channels.before(history) if to is None else self._served_before(to)
        if back is None:
            served = f"only ever served {history[-1].id}" if history else "serves nothing"
            raise VersionsError(f"--channel {channel} cannot be rolled back: it {served}")
        change = Promotion(
            records.now(),
            back,
            who or records.whoami(),
            why,
            False,
            channels.ROLLBACK,
            kb_snapshot,
        )
        before = channels.live(history) if expected is _CURRENT else expected
        return self._append(channel, change, before)

    def _served_before(self, name: str) -> str:
        version = self.get(name)
        served = {change.id for channel in self.channels() for change in self.history(channel)}
        if version.id not in served:
            raise VersionsError(f"version {version.id} was never served: promote it instead")
        return version.id

    def _append(self, channel: str, change: Promotion, expected: str | None) -> Promotion:
        refuse_pruned(self._shelf.read(change.id))
        damage = self.verify(change.id)
        if damage:
            raise VersionsError(damage[0])
        with self._storage.locked():
            history = self.history(channel)
            head = channels.live(history)
            if head != expected:
                last = history[-1] if history else None
                by = f", which {last.who} promoted at {last.time}" if last else ""
                raise VersionsError(
                    f"--channel {channel} serves {head}{by}, not {expected} any more: nothing was "
                    f"changed. Look at {head} and promote {change.id} again if it is still better"
                )
            refuse_pruned(self._shelf.read(change.id))
            self._storage.write(channels.write([*history, change]), channel)
        return change

    def _is_channel(self, name: str) -> bool:
        with contextlib.suppress(VersionsError):
            channels.check_name(name)
            text = self._storage.read(name)
            return bool(text) and bool(channels.read(text, name))
        return False

    # -- keeping order -----------------------------------------------------------------------

    def verify(self, version: str | None = None) -> builtins.list[str]:
        """
        Look whether all files are there and have their hashes.

        :param version: only this one, with the deltas below it; all, and what else lies in the
            directory, where missing
        :return: what is wrong, in words; nothing where all is well
        """
        problems: list[str] = []
        if version is not None:
            chosen = self._shelf.lineage(self.get(version))
        else:
            problems += self._foreign()
            chosen = []
            for name in self._shelf.ids():
                try:
                    chosen.append(self._shelf.read(name))
                except VersionsError as error:
                    problems.append(str(error))
        return problems + [problem for found in chosen for problem in self._shelf.problems(found)]

    def prune(self, keep: int = 3, dry_run: bool = False) -> builtins.list[Version]:
        """
        Remove the files of versions that nothing leads to.

        What stays: what a channel serves, the last ``keep`` versions that each channel could be
        rolled back to, the newest ``keep`` versions, and all that their deltas need. The record
        of a removed version stays, so its id is never given again.

        :param keep: how many versions, as said above
        :param dry_run: only say what would be removed
        :return: the versions whose files were removed (or would be)
        :raises VersionsError: when nothing would be kept
        """
        if keep < 1:
            raise VersionsError(f"--keep {keep}: expected 1 or more")
        with self._storage.locked():
            existing = self.list()
            reached = self._reachable(existing, keep)
            gone = [version for version in existing if version.id not in reached]
            if not dry_run:
                for version in gone:
                    pruned = {**records.to_json(version), "pruned": records.now()}
                    self._storage.write_json(pruned, FOLDER, version.id, RECORD)
                self._tidy()
        return gone

    def _reachable(self, existing: Iterable[Version], keep: int) -> set[str]:
        by_id = {version.id: version for version in existing}
        wanted = [version.id for version in list(by_id.values())[-keep:]]
        for name in self.channels():
            stack = channels.stacked(self.history(name))
            wanted += stack[-keep - 1 :]
        reached: set[str] = set()
        for name in wanted:
            if name in by_id:
                reached.update(version.id for version in self._shelf.lineage(by_id[name]))
        return reached

    def _tidy(self) -> None:
        """Remove the files of pruned versions, and what crashes left; under the lock."""
        for version in self.list(pruned=True):
            if version.pruned:
                for name in self._storage.names(FOLDER, version.id):
                    if name != RECORD:
                        self._storage.remove(FOLDER, version.id, name)
                shutil.rmtree(os.path.join(self._shelf.cache(), version.id), ignore_errors=True)
        checkout.remove_stale(self._storage)

    def _foreign(self) -> builtins.list[str]:
        """What lies in the directory and is not ours."""
        found = [
            self._storage.path(name)
            for name in self._storage.names()
            if name not in _OURS and not self._is_channel(name) and not name.startswith(".writing-")
        ]
        ids = set(self._shelf.ids())
        found += [
            self._storage.path(FOLDER, name)
            for name in self._storage.names(FOLDER)
            if name not in ids and not name.startswith(".staging-")
        ]
        return [f"{path} is no part of a versions directory; it is ignored" for path in found]

    def _create(self) -> dict[str, Any]:
        others = [
            name
            for name in self._storage.names()
            if name not in _OURS and not name.startswith(".writing-")
        ]
        if others:
            raise VersionsError(
                f"--versions {self.path} holds other files ({', '.join(others[:3])}): expected an "
                "empty or a missing folder, or one made by parlai versions import"
            )
        self._storage.make_folder(FOLDER)
        with self._storage.locked():
            held = self._storage.read_json(STORE)
            if held is None:
                held = {"format": FORMAT, "id": uuid.uuid4().hex, "last": 0}
                self._storage.write_json(held, STORE)
        made: dict[str, Any] = held
        return made

    def _refuse_missing(self) -> Any:
        if self._storage.remote or os.path.isdir(self.path):
            raise VersionsError(
                f"--versions {self.path} is no versions directory: it has no {STORE}. One is made "
                "by: parlai versions import --versions DIR --model-file MODEL"
            )
        folder, name = os.path.split(os.path.abspath(self.path))
        close = nearest(name, os.listdir(folder)) if os.path.isdir(folder) else []
        hint = f"; nearest in {folder}: {', '.join(close)}" if close else ""
        raise VersionsError(f"--versions {self.path}: there is no such folder{hint}")


def _unaccepted(version: Version) -> str:
    if version.verdict is None:
        why = "it was never gated"
    else:
        reasons = "; ".join(version.verdict.reasons)
        why = f"the gate said {version.verdict.decision!r}" + (f" ({reasons})" if reasons else "")
    return (
        f"version {version.id} is not promoted: {why}. parlai update_model gates candidates; "
        "--force promotes it all the same, and records that"
    )
