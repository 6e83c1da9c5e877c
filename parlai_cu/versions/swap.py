"""
Which version answers which conversation, and which models are in memory: rules, without I/O.

At most ``limit`` models are in memory. One is live; the other is whichever is needed most: the one
that is to be live next, else the canary, else the one that pinned conversations began with.
"""

import hashlib
from collections.abc import Collection

NONE, CONVERSATION = "none", "conversation"
PINS = (NONE, CONVERSATION)


def in_share(conversation: str, version: str, share: float) -> bool:
    """
    Whether a conversation is one of those that try a canary.

    The same conversation and version always give the same answer, in every process; another
    version is tried by others.

    :param conversation: its id
    :param version: the canary's id
    :param share: of all conversations, from 0 to 1
    """
    digest = hashlib.sha256(f"{version} {conversation}".encode()).digest()
    return int.from_bytes(digest[:8], "big") < share * 2**64


class VersionRouter:
    """
    The models in memory and what they are there for. Not thread-safe: the caller holds a lock.

    :param limit: how many models (versions) may be in memory, one that is being loaded included
    :param pin: keep a conversation on the version it began with, as long as that is in memory
    :param canary_share: of conversations, which the canary answers
    """

    def __init__(self, limit: int = 2, pin: bool = False, canary_share: float = 0.0) -> None:
        self.limit, self.pin, self.canary_share = limit, pin, canary_share
        self.live: str | None = None
        self.canary: str | None = None
        self.residents: list[str] = []

    def choose(self, conversation: str, begun_on: str | None = None) -> str:
        """
        The version of a conversation's next turn.

        :param conversation: its id
        :param begun_on: the version of its first turn; None before that
        """
        assert self.live is not None, "nothing is live"
        if self.pin and begun_on in self.residents:
            assert begun_on is not None
            return begun_on
        if self.canary and in_share(conversation, self.canary, self.canary_share):
            return self.canary
        return self.live

    def next_load(
        self, live: str | None, canary: str | None, unusable: Collection[str]
    ) -> str | None:
        """
        The version to be loaded next; None where all that is wanted is there.

        :param live: what the live channel serves
        :param canary: what the canary channel serves
        :param unusable: versions that failed to load, or whose trial ended
        """
        for wanted in (live, canary if self.canary_share else None):
            if wanted and wanted not in unusable and wanted not in self.residents:
                return wanted
        return None

    def leaving(self, incoming: str) -> list[str]:
        """
        Which models have to leave memory before an ``incoming`` one can be loaded.

        Those that only pinned conversations need, oldest first; then the canary; never the live
        one.
        """
        optional = [v for v in self.residents if v not in (self.live, self.canary, incoming)]
        optional += [self.canary] if self.canary and self.canary != self.live else []
        room = self.limit - len(self.residents) - (incoming not in self.residents)
        return optional[: max(0, -room)]

    def enter(self, version: str) -> None:
        """A version's model is in memory and was checked."""
        if version not in self.residents:
            self.residents.append(version)

    def leave(self, version: str) -> None:
        """A version's model is to answer no further turn."""
        assert version != self.live, "the live version cannot leave"
        if version == self.canary:
            self.canary = None
        if version in self.residents:
            self.residents.remove(version)

    def serve(self, live: str | None, canary: str | None) -> None:
        """
        Take over what the channels say, as far as it is in memory.

        A version that is not (yet) there changes nothing for the live one, and means no canary.
        """
        if live in self.residents:
            self.live = live
        wanted = canary if canary in self.residents and canary != self.live else None
        self.canary = wanted if self.canary_share else None
