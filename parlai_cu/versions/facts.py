"""
The knowledge base beside the versions: which state of it a version goes with, and back to that.

Facts are not copied: a knowledge base of ours keeps every change, and a state of it is named by
its snapshot. What a version was gated with, or went live with, can be restored from there.
"""

import contextlib
from collections.abc import Iterator
from typing import Any

from parlai_cu.errors import KnowledgeError, VersionsError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.versions import channels
from parlai_cu.versions.store import VersionStore


def uri_of(store: VersionStore, version: str) -> str | None:
    """The one knowledge base that a version answers with; None where it has none, or several."""
    uri = store.settings(version).get("kb")
    # of several each would need a state of its own
    return uri if isinstance(uri, str) and uri and "," not in uri else None


def snapshot_now(store: VersionStore, version: str) -> str | None:
    """The state that a version's knowledge base is in; None where it has none, or none answers."""
    uri = uri_of(store, version)
    if uri is None:
        return None
    try:
        with _opened(uri) as base:
            return str(base.snapshot_id())
    except KnowledgeError:
        return None


def snapshot_of(store: VersionStore, version: str, channel: str) -> str | None:
    """
    The state of the facts that a version of a channel goes with.

    That with which it last went live by a promotion: others may have changed facts since it was
    gated. Where that is not recorded, the one it was gated with.
    """
    found = store.get(version)
    for change in reversed(store.history(channel)):
        if change.id == found.id and change.kb_snapshot and change.action == channels.PROMOTE:
            return change.kb_snapshot
    return found.kb_snapshot


def differing(store: VersionStore, version: str, channel: str) -> int | None:
    """How many facts are not as a version of a channel has them; None where that cannot be told."""
    wanted, uri = snapshot_of(store, version, channel), uri_of(store, version)
    if wanted is None or uri is None:
        return None
    try:
        with _opened(uri) as base:
            return int(base.differs_from(wanted)) if hasattr(base, "differs_from") else None
    except KnowledgeError:
        return None


@contextlib.contextmanager
def taken_back(store: VersionStore, version: str, channel: str) -> Iterator[int]:
    """
    Take the facts back to the state that a version goes with, together with what the block does.

    :param store: where versions and channels are
    :param version: its id
    :param channel: that it was promoted to
    :return: how many facts change; none does where the block raises
    :raises VersionsError: when it goes with none, or its knowledge base keeps no history
    :raises KnowledgeError: when the history does not reach that state
    """
    wanted, uri = snapshot_of(store, version, channel), uri_of(store, version)
    if wanted is None or uri is None:
        raise VersionsError(
            f"version {version} names no state of a knowledge base that its facts could be taken "
            "back to; nothing was changed. Leave out --facts to roll back the model alone"
        )
    with _opened(uri) as base:
        if not hasattr(base, "taken_back"):
            raise VersionsError(
                f"{base.name} keeps no history of its facts (sqlite:/// and postgresql:// do); "
                "nothing was changed. Leave out --facts to roll back the model alone"
            )
    with _opened(uri, writable=True) as base:
        with base.taken_back(wanted) as count:
            yield count


@contextlib.contextmanager
def _opened(uri: str, writable: bool = False) -> Iterator[Any]:
    base = open_knowledge_base(uri, writable=writable)
    try:
        yield base
    finally:
        base.close()
