"""
One conversation and the store that keeps it, which may be away: what could not be kept is kept as
soon as it can be, and until then it says so.
"""

import dataclasses
import logging
import secrets
from collections.abc import Callable
from typing import Any, TypeVar

from parlai_cu.errors import ConversationError, UnknownConversationError
from parlai_cu.serving.history import MOST_TURNS
from parlai_cu.serving.store_worker import StoreWorker
from parlai_cu.serving.transcript_store import (
    StoredConversation,
    StoredTurn,
    TranscriptStore,
)

T = TypeVar("T")
_log = logging.getLogger(__name__)


class ConversationKeeper:
    """
    A conversation under way. Not for several threads at once.

    :param store: where it is kept
    :param token: what resumes it from now on; without one nobody can
    :param claimed: what its user says that resumes it, where that is another one
    :param worker: where the store is called; without one in the caller's thread
    """

    def __init__(
        self,
        store: TranscriptStore,
        token: str | None,
        claimed: str | None = None,
        worker: StoreWorker | None = None,
    ) -> None:
        self.store, self.token, self.claimed, self._worker = store, token, claimed, worker
        self.conversation = StoredConversation(secrets.token_hex(8))
        # whether the store has the conversation; whether there may be a history, still to be read
        self.stored = self.resumed = self.unread = False
        # whether the history was read only after turns had been taken
        self.recalled = False
        self._renewal: tuple[str, str] | None = None
        opened = self._try(lambda: store.open(token, claimed))
        if opened is None:
            self.unread = claimed is not None
        else:
            self.conversation, self.resumed = opened
            self.stored = True

    def _call(self, work: Callable[[], T]) -> T:
        return work() if self._worker is None else self._worker.call(work)

    def _try(self, work: Callable[[], T]) -> T | None:
        try:
            return self._call(work)
        except ConversationError as error:
            self._log(error)
            return None

    def _log(self, error: ConversationError) -> None:
        if self._worker is None:  # a worker says it once, not for each turn
            _log.error("the conversation goes on unkept: %s", error)

    def _done(self, work: Callable[[], None]) -> bool:
        def told() -> bool:
            work()
            return True

        return bool(self._try(told))

    @property
    def all_kept(self) -> bool:
        """Whether the store has all that was said."""
        return all(turn.kept for turn in self.conversation.turns)

    def add(self, turn: StoredTurn) -> StoredTurn:
        """
        Keep a turn, and those that could not be kept before; its ``kept`` says whether it was.

        What is returned is the turn as it is kept; an earlier one where its ``mid`` was answered
        before.
        """
        turns = self.conversation.turns
        if turn.mid is None:
            # written again, it is to be known again
            turn.key = f"~{secrets.token_hex(8)}"
        turn.kept = False
        turns.append(turn)
        try:
            kept = self._save()
        except UnknownConversationError:
            # it was deleted, or another file is there now: what is known goes there
            self.stored = False
            for known in turns:
                known.kept = False
            kept = self._try(self._save) or []
        except ConversationError as error:
            self._log(error)
            kept = []
        del self.conversation.turns[:-MOST_TURNS]
        return kept[-1] if kept else turn

    def _save(self) -> list[StoredTurn]:
        """Write what is not written yet; the turns as they are kept."""
        store, token, claimed = self.store, self.token, self.claimed
        name = self.conversation.id if self.stored else None
        # copies: whoever gives up waiting goes on with the originals
        pending = [dataclasses.replace(one) for one in self.conversation.turns if not one.kept]
        renewal = self._renewal

        def work() -> tuple[StoredConversation | None, list[StoredTurn]]:
            opened = None if name else store.open(token, claimed)[0]
            conversation = name or (opened.id if opened else "")
            if renewal:
                store.renew(conversation, *renewal)
            return opened, [_write(store, conversation, one) for one in pending]

        opened, kept = self._call(work)
        self._renewal = None
        known = [one for one in self.conversation.turns if one.kept]
        if opened is not None:
            self.recalled = self.unread and bool(opened.turns)
            self.conversation = opened
            self.stored, self.unread, self.claimed = True, False, None
            known = opened.turns
        numbers = {one.turn for one in known}
        self.conversation.turns = known + [one for one in kept if one.turn not in numbers]
        return kept

    def judge(self, turn: StoredTurn) -> None:
        """
        Keep what a user thinks of a reply.

        :param turn: with his judgement
        :raises ConversationError: when it cannot be kept
        """
        if not (self.stored and turn.kept):
            self._save()  # which keeps the judgement as well
            return
        self._call(
            lambda: self.store.judge(self.conversation.id, turn.turn, turn.rating, turn.correction)
        )

    def renew(self, token: str, used: str) -> None:
        """
        Another token resumes the conversation from now on, and until it is used the one before.

        :param token: the new one
        :param used: the one that its user has shown
        """
        self.token, self._renewal = token, (token, used)
        if self.stored:
            name = self.conversation.id
            if self._done(lambda: self.store.renew(name, token, used)):
                self._renewal = None

    def forget(self) -> bool:
        """Delete what was said; False where that has to wait until the store is back."""
        turns = self.conversation.turns
        last = turns[-1].turn if turns else self.conversation.since
        name, claimed = self.conversation.id, self.claimed
        self.conversation.turns, self.conversation.since = [], last
        self.claimed, self.unread = None, False
        if not self.stored:
            return claimed is None or self._later(f"forget {name}", lambda: self._of(claimed, None))
        since = self._try(lambda: self.store.forget(name))
        if since is None:
            return self._later(f"forget {name}", lambda: self.store.forget(name, last))
        self.conversation.since = since
        return True

    def finish(self) -> bool:
        """Delete the conversation and its token; False where that has to wait."""
        name, claimed = self.conversation.id, self.claimed
        if not self.stored:
            return claimed is None or self._later(
                f"finish {name}", lambda: self._of(claimed, self.store.delete)
            )
        if self._done(lambda: self.store.delete(name)):
            return True
        return self._later(f"finish {name}", lambda: self.store.delete(name))

    def _of(self, token: str | None, what: Callable[[str], Any] | None) -> None:
        found = self.store.resume(token)
        if found is not None:
            (what or self.store.forget)(found.id)

    def _later(self, key: str, work: Callable[[], Any]) -> bool:
        if self._worker is not None:
            self._worker.later(key, work)
        return False


def _write(store: TranscriptStore, conversation: str, turn: StoredTurn) -> StoredTurn:
    judged = turn.rating, turn.correction
    kept = store.add(conversation, turn)
    kept.kept = True
    if any(judged):
        store.judge(conversation, kept.turn, *judged)
        kept.rating, kept.correction = judged
    return kept
