"""
Which conversations are old enough to be deleted, by a clock that may be wrong.

A clock that is set weeks ahead makes every conversation look old. So the store remembers the time
as it was last seen. Where the time has leapt since, nothing is deleted until it has stood there for
a day of running; and however much is due, only so much is deleted at once.
"""

import contextlib
import time
from collections.abc import Callable

from parlai_cu.errors import ConversationError
from parlai_cu.serving import logs
from parlai_cu.serving.database import ResultRows, Taken

_HOUR = 3600.0
# s between two looks; by which the time may have gone on while no service ran; which a leap must
# have stood before it is believed
EVERY, LEAP, GRACE = _HOUR, 3 * 24 * _HOUR, 24 * _HOUR
# conversations deleted at a look: as many, or that share of all
MOST, SHARE = 1000, 0.1

_SILENT = (
    "seen < :limit AND NOT EXISTS "
    "(SELECT 1 FROM chat_turns WHERE conversation = id AND at >= :limit)"
)


class Purge:
    """
    Deletes what is old, now and then.

    :param rows: the store's database
    :param steady: seconds of a clock that nobody sets
    """

    def __init__(
        self, rows: ResultRows, steady: Callable[[], float] = lambda: time.monotonic()
    ) -> None:
        self._rows, self._steady = rows, steady
        self._looked: float | None = None
        self._leapt: float | None = None

    def clock(self) -> float:
        """The time as it was last seen and believed; 0 in a store that is new."""
        found = self._rows.read("SELECT seen FROM chat_clock WHERE id = 1", {})
        if found:
            return float(found[0][0])
        # of a release that did not note it: before anybody speaks by another clock
        ((seen,),) = self._rows.read("SELECT MAX(seen) FROM chat_conversations", {})
        if seen:
            with contextlib.suppress(ConversationError):  # it can be read though not written
                self._note(float(seen))
        return float(seen or 0.0)

    def now_and_then(self, now: float, keep: float) -> int:
        """
        Delete what nobody spoke in for some time, if the last look was long ago.

        :param now: seconds of the epoch, as the system has them
        :param keep: seconds without a word after which a conversation is deleted
        :return: how many conversations were deleted
        """
        steady = self._steady()
        ran = 0.0 if self._looked is None else steady - self._looked
        if self._looked is not None and ran < EVERY:
            return 0
        self._looked = steady
        if not self._believed(now, steady, ran):
            return 0
        self._note(now)
        return self.delete(now - keep, self._most())

    def _believed(self, now: float, steady: float, ran: float) -> bool:
        last = self.clock()
        if not last or now - last <= LEAP + ran:
            self._leapt = None
            return True
        if self._leapt is None:
            self._leapt = steady
            days = (now - last) / 24 / _HOUR
            logs.log.warning(
                "the clock is %.1f days ahead of what the store saw last: nothing is deleted until "
                "it has stood so for a day",
                days,
            )
        return steady - self._leapt >= GRACE

    def _note(self, now: float) -> None:
        values = {"now": now}
        if not self._rows.write("UPDATE chat_clock SET seen = :now WHERE id = 1", values):
            with contextlib.suppress(Taken):  # by another replica, at the same moment
                self._rows.write("INSERT INTO chat_clock (id, seen) VALUES (1, :now)", values)

    def _most(self) -> int:
        (count,) = self._rows.read("SELECT COUNT(*) FROM chat_conversations", {})[0]
        return max(MOST, int(int(count) * SHARE))

    def delete(self, older_than: float, most: int | None = None) -> int:
        """
        Delete conversations nobody spoke in since a time, and old turns that belong to none.

        :param older_than: seconds of the epoch
        :param most: how many conversations, the oldest first; None for all
        :return: how many conversations were deleted
        """
        values: dict[str, float] = {"limit": older_than}
        chosen = f"SELECT id FROM chat_conversations WHERE {_SILENT}"
        if most is not None:
            chosen += " ORDER BY seen LIMIT :most"
            values["most"] = most
        names = [name for (name,) in self._rows.read(chosen, values)]
        for name in names:
            for statement in (
                f"DELETE FROM chat_turns WHERE conversation = :id AND NOT EXISTS ({_SPOKEN})",
                f"DELETE FROM chat_conversations WHERE id = :id AND NOT EXISTS ({_SPOKEN})",
            ):
                self._rows.write(statement, {"id": name, "limit": older_than})
        self._rows.write(
            "DELETE FROM chat_turns WHERE at < :limit AND NOT EXISTS "
            "(SELECT 1 FROM chat_conversations WHERE id = conversation)",
            {"limit": older_than},
        )
        if names:
            with contextlib.suppress(ConversationError):
                self._rows.erase()
        return len(names)


# somebody came back between the look and the deletion
_SPOKEN = "SELECT 1 FROM chat_turns AS later WHERE later.conversation = :id AND later.at >= :limit"
