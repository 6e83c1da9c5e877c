"""
One user's conversation, without any I/O but the store's: what to send when they say something.

A turn has two steps, so that whoever drives it may batch what lies between::

    heard = policy.hear(act)            # heard.say goes to the user, heard.ask to the model
    acts = policy.answered(reply)       # the model's reply; the acts go to the user

Acts are ParlAI's dicts: ``id``, ``text``, ``quick_replies``, and for clients that know them
``type``, ``turn``, ``version``, ``knowledge``, ``rating``, ``history``. ``type`` is ``history`` for
the first act, ``message`` for a reply of the model's, ``notice`` for what the service says itself.
"""

import dataclasses
import logging
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from parlai_cu.errors import ConversationError, UsageError, hint, nearest
from parlai_cu.serving import phrases
from parlai_cu.serving.feedback import RATINGS, Feedback, FeedbackLog
from parlai_cu.serving.keeping import ConversationKeeper
from parlai_cu.serving.store_worker import StoreWorker
from parlai_cu.serving.transcript_store import (
    DEFAULT_URL,
    StoredConversation,
    StoredTurn,
    TranscriptStore,
)

Act = dict[str, Any]
_log = logging.getLogger(__name__)

WELCOME_BACK = "Welcome back. We go on where we stopped."
FORGOTTEN = "I have forgotten what we said. Let us start again."
UNREAD = (
    "I can't read your history just now. We can go on; it comes back as soon as it can be read."
)
UNKEPT = (
    "I can't keep what we say just now. The chat goes on, and I will keep it as soon as I can; "
    "if the service stops before that, it is lost."
)
KEPT_AGAIN = "What we said is kept again."
HISTORY_BACK = "I can read your history again. Here it is."
NOT_ERASED = (
    "What is stored of it could not be deleted just now. I try again for as long as this service "
    "runs; say it again later to be sure."
)
APOLOGY = "Sorry, something went wrong here and I have no answer to that. Please go on."
THANKS = "Thank you, I have noted that."
NOTED = "Thank you. I have noted what I should have said; it will be checked."
NO_TEXT = "I can read text only. Please write something."
TOO_LONG = "That is too long for me: {found} characters, {limit} are the most."
# types of messages that are not for the model
RATING, CORRECTION, RESUMED = "rating", "correction", "resumed"
_MOST_SOURCES = 3  # that are told in words; the act has them all
_LONGEST_NAME = 200  # characters of a client's own name for a turn


@dataclass(frozen=True)
class PolicySettings:
    """
    ``opt: chat:`` of config.yml.

    :param model: which of ``models``; may be left out where there is one
    :param title: what the page is called
    :param greeting: the first message
    :param quick_replies: what the greeting offers
    :param farewell: the answer to ``[DONE]``
    :param conversations: where they are kept; ``none`` keeps nothing
    :param keep_days: after so many days without a word they are deleted; 0 keeps them for ever
    :param feedback: a file for ratings and corrections, with what users wrote; empty writes none
    :param longest: characters of a message at most
    :param rating_replies: offer thumbs as quick replies, for front ends without buttons
    """

    model: str = ""
    title: str = "Chat"
    greeting: str = "Hello! How can I help you?"
    quick_replies: tuple[str, ...] = ()
    farewell: str = "Goodbye!"
    conversations: str = DEFAULT_URL
    keep_days: float = 30
    feedback: str = ""
    longest: int = 4000
    rating_replies: bool = False

    @classmethod
    def read(cls, given: Mapping[str, Any] | None) -> "PolicySettings":
        """
        Settings from the configuration, as it was given.

        :raises UsageError: for a key that there is not, or a value of another kind
        """
        known = {spec.name: spec for spec in dataclasses.fields(cls)}
        values: dict[str, Any] = {}
        if not isinstance(given or {}, Mapping):
            raise UsageError(f"config.yml, opt: chat: found {given!r}, expected keys and values")
        for name, value in (given or {}).items():
            if name not in known:
                near = hint(nearest(str(name), known))
                raise UsageError(f"config.yml, opt: chat: has no {name!r}{near}")
            values[name] = _of_kind(name, value, known[name].default)
        return cls(**values)


def _of_kind(name: str, value: object, example: object) -> Any:
    if isinstance(example, tuple):
        if isinstance(value, (list, tuple)) and all(isinstance(one, str) for one in value):
            return tuple(value)
        expected = "a list of texts"
    elif isinstance(example, bool) or isinstance(value, bool):
        if isinstance(example, bool) and isinstance(value, bool):
            return value
        expected = "true or false" if isinstance(example, bool) else "no boolean"
    elif isinstance(example, (int, float)):
        if isinstance(value, (int, float)) and value >= 0:
            return value
        expected = "a number from 0 on"
    else:
        if value is None or isinstance(value, str):
            return value or ""
        expected = "text"
    raise UsageError(f"config.yml, opt: chat: {name}: found {value!r}, expected {expected}")


@dataclass
class Heard:
    """
    What is to be done about a message.

    :param say: acts to send at once
    :param ask: text for the model, whose reply goes to :meth:`DialoguePolicy.answered`
    :param reset: the model is to forget its history
    :param done: the conversation is over
    :param rated: the turn of which the user has just said that it was good or bad
    """

    say: list[Act] = field(default_factory=list)
    ask: str | None = None
    reset: bool = False
    done: bool = False
    rated: StoredTurn | None = None


class DialoguePolicy:
    """
    A conversation under way. Not for several threads at once.

    :param store: where it is kept
    :param settings: what the service says when
    :param token: what resumes it, as the service vouches for it; without one nobody can
    :param log: where judgements are written, if anywhere
    :param version: of the model, for the first message
    :param claimed: what its user says that resumed it until now, where that is another token
    :param worker: where the store is called; without one in the caller's thread
    :param log_worker: where judgements are written
    """

    def __init__(
        self,
        store: TranscriptStore,
        settings: PolicySettings,
        token: str | None = None,
        log: FeedbackLog | None = None,
        version: str | None = None,
        claimed: str | None = None,
        worker: StoreWorker | None = None,
        log_worker: StoreWorker | None = None,
    ) -> None:
        self.store, self.settings, self.log, self.version = store, settings, log, version
        self.keeper = ConversationKeeper(store, token, claimed, worker)
        self._log_worker = log_worker
        self._asked: tuple[str, str | None] | None = None
        # whether the user was told that what is said is not kept
        self._warned = False

    @property
    def conversation(self) -> StoredConversation:
        """What was said."""
        return self.keeper.conversation

    @property
    def resumed(self) -> bool:
        """Whether it goes on from an earlier connection."""
        return self.keeper.resumed

    def renew(self, token: str, used: str) -> None:
        """
        Another token resumes the conversation from now on.

        :param token: the new one
        :param used: the one that its user has shown
        """
        self.keeper.renew(token, used)

    def recalled(self) -> bool:
        """Whether a history was read since this was asked last: the model is to have it, too."""
        recalled, self.keeper.recalled = self.keeper.recalled, False
        return recalled

    # -- beginning ---------------------------------------------------------------------------

    def opening(self) -> Act:
        """The first act: a greeting, or what was said before the connection was lost."""
        turns = self.conversation.turns
        if self.keeper.unread and not turns:
            # no history: what a page shows is left as it is
            return self._say(
                UNREAD, type="history", version=self.version, title=self.settings.title
            )
        act = self._say(
            WELCOME_BACK if turns else self.settings.greeting,
            type="history",
            version=self.version,
            title=self.settings.title,
            history=[_shown(turn) for turn in turns],
        )
        if self.settings.quick_replies and not turns:
            act["quick_replies"] = list(self.settings.quick_replies)
        return act

    def replay(self) -> list[tuple[str, str]]:
        """(text, reply) of what the model is to have in its history, oldest first."""
        return [(turn.text, turn.reply) for turn in self.conversation.turns]

    # -- a turn ------------------------------------------------------------------------------

    def hear(self, act: Mapping[str, Any]) -> Heard:
        """
        Take a user's message.

        :param act: what they sent; nothing in it is trusted to be of its kind
        """
        heard = self._hear(act)
        mid = _mid(act)
        if mid is not None:
            for said in heard.say:
                said.setdefault("mid", mid)  # the client knows that this one is settled
        return heard

    def _hear(self, act: Mapping[str, Any]) -> Heard:
        text = act.get("text")
        if act.get("type") == RESUMED:
            return Heard([self.opening()])
        if act.get("type") in (RATING, CORRECTION):
            return self._judged(act)
        if not isinstance(text, str) or not text.strip():
            return self._error(NO_TEXT)
        if len(text) > self.settings.longest:
            return self._error(TOO_LONG.format(found=len(text), limit=self.settings.longest))
        mid = _mid(act)
        known = next((turn for turn in self.conversation.turns if mid and turn.mid == mid), None)
        if known is not None:
            return Heard([self._reply(known)])
        heard = self._for_the_service(text)
        if heard is None:
            self._asked = text, mid
            heard = Heard(ask=text)
        return heard

    def _for_the_service(self, text: str) -> Heard | None:
        """Commands, and questions and words about the last reply; None for all else."""
        word = phrases.command(text)
        if word == phrases.RESET:
            return self._forget()
        if word == phrases.DONE:
            words = [self._say(self.settings.farewell)]
            if not self.keeper.finish():
                words.append(self._say(NOT_ERASED))
            return Heard(words, done=True)
        if phrases.asks_for_version(text):
            return Heard([self._say(self._version_told())])
        if not self.conversation.turns:
            return None  # what is said of a reply before there was one is the model's to answer
        last = self.conversation.turns[-1]
        if phrases.asks_for_source(text):
            return Heard([self._say(_sources(last))])
        rating, right = phrases.RATINGS.get(text.strip()), phrases.correction(text)
        if rating is not None or right is not None:
            return self._judge(last, rating, right)
        return None

    def answered(self, reply: Mapping[str, Any]) -> list[Act]:
        """
        Take the model's reply to what :meth:`hear` asked.

        :param reply: its act; ``version`` and ``knowledge`` where it has them
        """
        assert self._asked is not None, "nothing was asked"
        (text, mid), self._asked = self._asked, None
        said = reply.get("text")
        if not isinstance(said, str) or reply.get("failed"):
            return self.failed()
        version, knowledge = reply.get("version"), reply.get("knowledge")
        if version is not None:
            self.version = str(version)
        turns = self.conversation.turns
        turn = StoredTurn(
            turn=(turns[-1].turn if turns else self.conversation.since) + 1,
            text=text,
            reply=said,
            mid=mid,
            version=self.version,
            knowledge=_facts(knowledge),
        )
        turn = self.keeper.add(turn)
        return [self._reply(turn), *self._words_on_keeping()]

    def _words_on_keeping(self) -> list[Act]:
        """What the user is to know of the store, once each time that it changes."""
        warned, self._warned = self._warned, not self.keeper.all_kept
        if self._warned:
            return [] if warned else [self._say(UNKEPT)]
        if self.keeper.recalled:
            history = [_shown(turn) for turn in self.conversation.turns]
            return [self._say(HISTORY_BACK, type="history", history=history)]
        return [self._say(KEPT_AGAIN)] if warned else []

    def failed(self) -> list[Act]:
        """What to say when the model had no reply: an apology; the conversation goes on."""
        self._asked = None
        return [self._say(APOLOGY, type="error")]

    def close(self) -> None:
        """The user is gone; a store on disk keeps what was said."""
        if self.store.in_memory:
            self.keeper.finish()

    # -- what is not for the model -----------------------------------------------------------

    def _forget(self) -> Heard:
        erased = self.keeper.forget()
        self._warned = False
        said = self._say(FORGOTTEN, type="history", history=[])
        if self.settings.quick_replies:
            said["quick_replies"] = list(self.settings.quick_replies)
        return Heard([said] if erased else [said, self._say(NOT_ERASED)], reset=True)

    def _judged(self, act: Mapping[str, Any]) -> Heard:
        """A rating or a correction that names its turn."""
        rating: Any = None
        right: Any = None
        if act["type"] == RATING:
            rating = act.get("rating")
            if rating not in RATINGS:
                return self._error(f"rating: expected one of {', '.join(RATINGS)}")
        else:
            right = act.get("text")
            if not (isinstance(right, str) and right.strip()):
                return self._error("correction: expected the text that would have been right")
            if len(right) > self.settings.longest:
                told = TOO_LONG.format(found=len(right), limit=self.settings.longest)
                return self._error(told)
        turn = self._meant(act.get("turn"))
        if turn is None:
            return self._error("There is no such reply of mine.")
        return self._judge(turn, rating, right)

    def _judge(self, turn: StoredTurn, rating: str | None, right: str | None) -> Heard:
        before = turn.rating, turn.correction
        if right is not None:
            turn.correction, turn.rating = right.strip(), "down"
        if rating is not None:
            turn.rating = rating
        if not self._judgement_kept(turn):
            turn.rating, turn.correction = before
            return self._error("Sorry, I could not keep that. Please try again later.")
        told = self._say(THANKS if right is None else NOTED, type="feedback", rating=turn.rating)
        act = {**told, "turn": turn.turn, "correction": turn.correction}
        return Heard([act], rated=turn)

    def _judgement_kept(self, turn: StoredTurn) -> bool:
        """Write a judgement where it belongs; where a file is for it, the file decides."""
        kept = True
        try:
            self.keeper.judge(turn)
        except ConversationError as error:
            _log.error("a judgement is not in the store: %s", error)
            kept = False
        log = self.log
        if log is None:
            return kept
        feedback = self._feedback(turn)
        try:
            if self._log_worker is None:
                log.append(feedback)
            else:
                self._log_worker.call(lambda: log.append(feedback))
        except ConversationError as error:
            _log.error("a judgement was lost: %s", error)
            return False
        return True

    def _feedback(self, turn: StoredTurn) -> Feedback:
        before = [one for one in self.conversation.turns if one.turn < turn.turn]
        return Feedback(
            conversation=self.conversation.id,
            turn=turn.turn,
            version=turn.version,
            context=[words for one in before for words in (one.text, one.reply)],
            text=turn.text,
            reply=turn.reply,
            rating=turn.rating,
            correction=turn.correction,
            knowledge=turn.knowledge,
        )

    def _meant(self, number: object) -> StoredTurn | None:
        """The turn a judgement is of: the last one where it does not say."""
        turns = self.conversation.turns
        if number is None:
            return turns[-1] if turns else None
        if isinstance(number, bool) or not isinstance(number, int):
            return None
        return next((turn for turn in turns if turn.turn == number), None)

    def _version_told(self) -> str:
        if self.version is None:
            return "This model has no version."
        return f"This is version {self.version}."

    # -- acts --------------------------------------------------------------------------------

    def _reply(self, turn: StoredTurn) -> Act:
        act = self._say(
            turn.reply,
            type="message",
            turn=turn.turn,
            mid=turn.mid,
            version=turn.version,
            knowledge=turn.knowledge,
            rating=turn.rating,
            kept=None if turn.kept else False,
        )
        if self.settings.rating_replies:
            act["quick_replies"] = list(phrases.RATINGS)
        return act

    def _error(self, text: str) -> Heard:
        return Heard([self._say(text, type="error")])

    def _say(self, text: str, **more: Any) -> Act:
        kept = {name: value for name, value in more.items() if value is not None}
        # Messenger puts an id before the text unless it is empty
        return {"id": "", "text": text, "type": "notice", "episode_done": False, **kept}


def _mid(act: Mapping[str, Any]) -> str | None:
    mid = act.get("mid")
    is_name = isinstance(mid, str) and 0 < len(mid) <= _LONGEST_NAME and mid.isprintable()
    return mid if is_name else None


def _facts(knowledge: object) -> list[dict[str, Any]] | None:
    if not isinstance(knowledge, (list, tuple)):
        return None
    return [dict(fact) for fact in knowledge if isinstance(fact, Mapping)] or None


def _shown(turn: StoredTurn) -> Act:
    shown = dataclasses.asdict(turn)
    del shown["key"]
    if turn.kept:
        del shown["kept"]
    return {name: value for name, value in shown.items() if value is not None}


def _sources(turn: StoredTurn) -> str:
    """Where a reply is from, in words."""
    version = f", version {turn.version}" if turn.version else ""
    if not turn.knowledge:
        return f"From the model itself{version}: I looked nothing up for that."
    # the model may be given more facts than its reply is made of
    said = [fact for fact in turn.knowledge if fact.get("text") and fact["text"] in turn.reply]
    facts = "; ".join(_source(fact) for fact in (said or turn.knowledge)[:_MOST_SOURCES])
    return f"From {facts}."


def _source(fact: Mapping[str, Any]) -> str:
    words = str(fact.get("text", "")).strip().rstrip(".")
    where = " in ".join(str(fact[name]) for name in ("id", "source") if fact.get(name))
    return f'{where}: "{words}"' if words else where
