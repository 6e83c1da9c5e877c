"""
What all conversations of ``-m deployed`` have in common: the models in memory, and who watches.

One thread in the background looks at the channels, loads what is new and tries it; conversations
change over by themselves, between two turns (:meth:`ModelService.acquire`).
"""

import collections
import threading
import time
import weakref
from collections.abc import Callable, Sequence
from typing import Any

import parlai.utils.logging as logging
from parlai.core.message import Message

from parlai_cu.errors import ParlaiCuError, VersionsError
from parlai_cu.parlai_types import ModelAgent
from parlai_cu.serving import logs
from parlai_cu.versions import canary, channels
from parlai_cu.versions.store import VersionStore
from parlai_cu.versions.swap import VersionRouter
from parlai_cu.versions.votes import Votes

CANARY_CHANNEL = "canary"
# s between two looks at the channels
LOOK_SECONDS = 0.5
# s that a turn may be open, with no reply being made, when its model has to leave memory
PATIENCE = 30.0
# conversations whose last version is remembered, for ratings
_REMEMBERED = 10_000
_ERRORS_KEPT = 20


class LoadedModel:
    """
    A model in memory.

    :param version: its id
    :param agent: the ParlAI agent, of which each conversation has a clone
    """

    def __init__(self, version: str, agent: ModelAgent) -> None:
        self.version, self.agent = version, agent
        # conversations that have a clone of it; with an open turn; whose reply is being made
        self.conversations: Any = weakref.WeakSet()
        self.open: Any = weakref.WeakSet()
        self.acting: set = set()


class ModelService:
    """
    The models that serve a channel.

    :param store: the versions
    :param channel: what is served to all but the canary's conversations
    :param lineup: the rules, with what the flags say
    :param load: makes a ParlAI agent of a version, checked; may raise anything
    :param look_seconds: between two looks at the channels
    """

    def __init__(
        self,
        store: VersionStore,
        channel: str,
        lineup: VersionRouter,
        load: Callable[[str], Any],
        look_seconds: float = LOOK_SECONDS,
    ) -> None:
        self.store, self.channel, self.lineup = store, channel, lineup
        # held for moments only, never while a model works
        self.lock = threading.Condition(threading.RLock())
        self.residents: dict[str, LoadedModel] = {}
        self.guard: canary.Guard | None = None
        self.swaps = 0
        self.load_errors: list[dict[str, str]] = []
        self._load, self._look_seconds = load, look_seconds
        self._unusable: dict[str, str] = {}
        self._heads: tuple[str | None, str | None] = (None, None)
        self._stamps: Any = None
        self._withdrawal: tuple[str, str] | None = None
        self._last_version: collections.OrderedDict[str, str] = collections.OrderedDict()
        self._wake, self._closed = threading.Event(), False
        self._trouble = ""

    def __deepcopy__(self, memo: dict[int, Any]) -> "ModelService":
        """Itself: ParlAI copies what agents share, and there is one service."""
        return self

    # -- starting, stopping ------------------------------------------------------------------

    def start(self, watch: bool) -> None:
        """
        Load what is live, and watch the channels from now on.

        Where the live version cannot be loaded, what was live before it serves.

        :param watch: whether to follow promotions
        :raises VersionsError: when nothing was ever promoted, or nothing can be loaded
        """
        stack = channels.stacked(self.store.history(self.channel))
        if not stack:
            raise serves_nothing(self.store, self.channel)
        for version in reversed(stack):
            self._bring_in(version)
            if version in self.residents:
                break
        else:
            raise VersionsError(
                f"--channel {self.channel}: no version that it served can be loaded; the live one, "
                f"{stack[-1]}: {self._unusable[stack[-1]]}"
            )
        with self.lock:
            self.lineup.serve(version, None)
        self._stamps = None
        if watch:
            self._unusable_at_start()
            target = weakref.ref(self)
            arguments = (target, self._wake, self._look_seconds)
            threading.Thread(target=_watch, args=arguments, daemon=True, name="versions").start()

    def _unusable_at_start(self) -> None:
        # what failed a moment ago is not tried again until it is promoted again
        self._stamps = self._stamped()
        self._heads = self._read_heads()
        self._wake.set()

    def close(self) -> None:
        """Watch no more; what is loaded goes on serving."""
        self._closed = True
        self._wake.set()

    # -- conversations -----------------------------------------------------------------------

    def acquire(self, conversation: Any) -> LoadedModel:
        """
        The model of a conversation's next turn, which is open from now on.

        A conversation whose turn is open already stays where it is.
        """
        with self.lock:
            resident: LoadedModel | None = conversation.resident
            if resident is None or conversation not in resident.open:
                version = self.lineup.choose(conversation.conversation, conversation.begun_on)
                if conversation.begun_on not in self.lineup.residents:
                    conversation.begun_on = version
                if resident is None or resident.version != version:
                    conversation.leave()
                    resident = self.residents[version]
                    conversation.enter(resident)
            assert resident is not None
            resident.open.add(conversation)
            return resident

    def leave_turn(self, conversation: Any) -> None:
        """A conversation's turn is over, or was given up."""
        with self.lock:
            resident: LoadedModel | None = conversation.resident
            if resident is not None:
                resident.open.discard(conversation)
                self._let_go(resident)
            self.lock.notify_all()

    def answer(self, turns: Sequence[Any]) -> list[Message]:
        """
        The replies to turns, the turns of each model as one batch.

        A turn on which the canary, or an old version, fails is answered by the live one.

        :param turns: each with its ``conversation``
        """
        replies: list[Any] = [None] * len(turns)
        groups: dict[int, tuple[LoadedModel, list[int]]] = {}
        seen: list[Any] = []
        with self.lock:
            for i, turn in enumerate(turns):
                resident, observation = turn.conversation.ready()
                resident.acting.add(turn.conversation)
                seen.append(observation)
                groups.setdefault(id(resident), (resident, []))[1].append(i)
        try:
            for resident, indexes in groups.values():
                members = [turns[i].conversation for i in indexes]
                made = self._answer(resident, members, [seen[i] for i in indexes])
                for i, reply in zip(indexes, made):
                    replies[i] = reply
        finally:
            with self.lock:
                for resident, indexes in groups.values():
                    resident.acting.difference_update(turns[i].conversation for i in indexes)
                self.lock.notify_all()
        return replies

    def _answer(
        self, resident: LoadedModel, members: Sequence[Any], seen: Sequence[Any]
    ) -> list[Message]:
        started = time.monotonic()
        try:
            # a conversation alone is answered by its own clone, as ParlAI's act() does it
            agent = members[0].inner if len(members) == 1 else resident.agent
            replies = agent.batch_act(list(seen))
        except Exception as error:
            if resident.version == self.lineup.live:
                if len(members) == 1:  # of more, each is tried alone
                    taken = time.monotonic() - started
                    self._count(resident.version, members[0].conversation, taken, failed=True)
                raise
            if len(members) > 1:
                return [self._answer(resident, [m], [s])[0] for m, s in zip(members, seen)]
            # not its message, which may quote what the user wrote
            logging.error(f"version {resident.version} failed on a turn: {logs.where(error)}")
            self._count(
                resident.version, members[0].conversation, time.monotonic() - started, failed=True
            )
            return [self._answer_live(members[0])]
        seconds = time.monotonic() - started
        for member, reply in zip(members, replies):
            reply.force_set("version", resident.version)
            self._remember(member.conversation, resident.version)
            self._count(
                resident.version, member.conversation, seconds, failed=not reply.get("text")
            )
        return list(replies)

    def _answer_live(self, conversation: Any) -> Message:
        """Move a conversation to the live version in the middle of its turn."""
        with self.lock:
            assert self.lineup.live is not None
            conversation.leave()
            resident = self.residents[self.lineup.live]
            conversation.enter(resident)
            conversation.begun_on = resident.version
            resident.open.add(conversation)
            _, observation = conversation.ready()
            resident.acting.add(conversation)
        try:
            return self._answer(resident, [conversation], [observation])[0]
        finally:
            with self.lock:
                resident.acting.discard(conversation)

    # -- the canary's trial ------------------------------------------------------------------

    def rate(
        self,
        conversation: str,
        up: bool,
        version: str | None = None,
        turn: int | None = None,
        voter: str | None = None,
    ) -> None:
        """
        Count a user's rating: one a turn, the last; one voice for each voter.

        :param conversation: its id
        :param up: thumbs up or down
        :param version: of the reply that is rated; where missing, of the conversation's last
        :param turn: the reply's number
        :param voter: whose it is, an address; the conversation's where missing
        """
        with self.lock:
            arm = self._arm(version or self._last_version.get(conversation))
            if self.guard is not None and arm is not None:
                votes = self.guard.counts[arm][canary.DISLIKED]
                assert isinstance(votes, Votes)
                votes.vote(voter or conversation, f"{conversation} {turn}", not up)
                self._judge()

    def _arm(self, version: str | None) -> str | None:
        if version is None or self.guard is None:
            return None
        arms = {self.lineup.live: canary.LIVE, self.lineup.canary: canary.CANARY}
        return arms.get(version)

    def _count(self, version: str, conversation: str, seconds: float, failed: bool) -> None:
        with self.lock:
            arm = self._arm(version)
            if self.guard is not None and arm is not None:
                self.guard.turn(arm, conversation, seconds, failed)
                self._judge()

    def _judge(self) -> None:
        """Under the lock: end the trial where the canary does worse."""
        assert self.guard is not None
        reason, version = self.guard.breach(), self.lineup.canary
        if reason is None or version is None:
            return
        logging.error(f"canary {version} is taken back: {reason}")
        self._unusable[version] = reason
        self._withdrawal = (version, reason)
        self.lineup.leave(version)
        self.guard = None
        self._drop(version)
        self._wake.set()

    def _withdraw(self) -> None:
        """Write down that the canary was taken back."""
        if self._withdrawal is None:
            return
        version, reason = self._withdrawal
        self._withdrawal = None
        try:
            if self.store.channel(CANARY_CHANNEL) == version:
                why = f"taken back by its guard: {reason}"
                live = self.store.channel(self.channel)
                self.store.rollback(CANARY_CHANNEL, to=live, expected=version, why=why)
        except VersionsError as error:
            logging.error(f"canary {version} is not used here any more, but still named: {error}")

    # -- watching ----------------------------------------------------------------------------

    def look(self) -> None:
        """Look at the channels once, and do what is to be done; in the background thread."""
        try:
            self._look()
            self._trouble = ""
        except Exception as error:  # nothing may end the watch
            if str(error) != self._trouble:
                self._trouble = str(error)
                logging.error(f"version {self.lineup.live} goes on serving: {error}")

    def _look(self) -> None:
        self._withdraw()
        stamps = self._stamped()
        if stamps != self._stamps:
            heads = self._read_heads()
            if heads[0] is None:
                raise serves_nothing(self.store, self.channel)
            self._heads = heads
            # who promotes again what failed wants it tried again
            for old, new, head in zip(self._stamps or (None, None), stamps, self._heads):
                if old != new and head is not None:
                    self._unusable.pop(head, None)
            self._stamps = stamps
        while True:
            self._change_over()
            with self.lock:
                wanted = self.lineup.next_load(*self._heads, self._unusable)
            if wanted is None or self._closed:
                break
            self._bring_in(wanted)

    def _stamped(self) -> tuple[Any, Any]:
        stamp = self.store.stamp
        return stamp(self.channel), stamp(CANARY_CHANNEL) if self.lineup.canary_share else None

    def _read_heads(self) -> tuple[str | None, str | None]:
        head = self.store.channel
        return head(self.channel), head(CANARY_CHANNEL) if self.lineup.canary_share else None

    def _bring_in(self, version: str) -> None:
        """Load a model, making room for it first; one that fails is never tried again by itself."""
        self._make_room(version)
        logging.info(f"loading version {version}")
        try:
            agent = self._load(version)
        except Exception as error:
            told = str(error) if isinstance(error, ParlaiCuError) else repr(error)
            logging.error(f"version {version} is not served, it cannot be loaded: {told}")
            with self.lock:
                self._unusable[version] = told
                self.load_errors.append({"version": version, "error": told})
                del self.load_errors[:-_ERRORS_KEPT]
            return
        with self.lock:
            self.residents[version] = LoadedModel(version, agent)
            self.lineup.enter(version)

    def _make_room(self, incoming: str) -> None:
        with self.lock:
            for version in self.lineup.leaving(incoming):
                resident = self.residents.get(version)
                if version == self.lineup.canary:
                    self.guard = None
                self.lineup.leave(version)
                if resident is None:
                    continue
                if resident.conversations:
                    logging.info(
                        f"version {version} leaves memory for {incoming}; its conversations go on "
                        f"with {self.lineup.live}"
                    )
                self._wait(resident.open, PATIENCE)
                self._wait(resident.acting, float("inf"))
                self._drop(version)

    def _wait(self, conversations: object, seconds: float) -> None:
        """Under the lock, which is let go meanwhile: until there are none, or for so long."""
        until = time.monotonic() + seconds
        while conversations and time.monotonic() < until:
            # not longer: a conversation that is thrown away says nothing
            self.lock.wait(0.1)

    def _change_over(self) -> None:
        with self.lock:
            live, trial = self.lineup.live, self.lineup.canary
            heads = [None if head in self._unusable else head for head in self._heads]
            self.lineup.serve(*heads)
            if self.lineup.live != live:
                self.swaps += 1
                logging.info(f"version {self.lineup.live} is live, after {live}")
            if (self.lineup.live, self.lineup.canary) != (live, trial):
                self.guard = _new_guard() if self.lineup.canary else None
            for resident in list(self.residents.values()):
                self._let_go(resident)

    def _let_go(self, resident: LoadedModel) -> None:
        """Under the lock: forget a model that nothing needs any more."""
        if resident.version in (self.lineup.live, self.lineup.canary):
            return
        pinned = self.lineup.pin and resident.version in self.lineup.residents
        for conversation in list(resident.conversations):
            if conversation not in resident.open and not (
                pinned and conversation.begun_on == resident.version
            ):
                conversation.leave()
        if not resident.conversations and resident.version in self.lineup.residents:
            self.lineup.leave(resident.version)
        if not resident.conversations:
            self.residents.pop(resident.version, None)

    def _drop(self, version: str) -> None:
        """Under the lock: take a model from all conversations whose reply is not being made."""
        resident = self.residents.get(version)
        if resident is None:
            return
        for conversation in list(resident.conversations):
            if conversation not in resident.acting:
                conversation.leave()
        if not resident.conversations:
            del self.residents[version]

    # -- telling -----------------------------------------------------------------------------

    def status(self) -> dict[str, Any]:
        """What is served, in plain values."""
        try:
            history = self.store.history(self.channel)
        except VersionsError:
            history = []
        with self.lock:
            return {
                "live": self.lineup.live,
                "channel": self.channel,
                "last_promotion": history[-1]._asdict() if history else None,
                "trouble": self._trouble or None,
                "pin": self.lineup.pin,
                "canary": self.lineup.canary,
                "canary_share": self.lineup.canary_share,
                "guard": self.guard.status() if self.guard else None,
                "loaded": list(self.residents),
                "conversations": {v: len(r.conversations) for v, r in self.residents.items()},
                "swaps": self.swaps,
                "load_errors": list(self.load_errors),
            }

    @property
    def closed(self) -> bool:
        """Whether nobody watches any more."""
        return self._closed

    def _remember(self, conversation: str, version: str) -> None:
        with self.lock:
            self._last_version[conversation] = version
            self._last_version.move_to_end(conversation)
            while len(self._last_version) > _REMEMBERED:
                self._last_version.popitem(last=False)


def _new_guard() -> canary.Guard:
    """A guard whose ratings are votes: one a turn, and one voice an address."""
    guard = canary.Guard()
    for counts in guard.counts.values():
        counts[canary.DISLIKED] = Votes()
    return guard


def serves_nothing(store: VersionStore, channel: str) -> VersionsError:
    """What to say of a channel to which nothing was promoted yet."""
    return VersionsError(
        f"--channel {channel} serves nothing yet: parlai versions --versions {store.path} "
        "promote VERSION"
    )


def _watch(reference: Callable[[], ModelService | None], wake: Any, seconds: float) -> None:
    """Look again and again, for as long as somebody has the service."""
    while True:
        wake.wait(seconds)
        wake.clear()
        service = reference()
        if service is None or service.closed:
            return
        service.look()
        del service
