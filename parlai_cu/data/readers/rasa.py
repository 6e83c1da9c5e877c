"""
Rasa: NLU examples, stories, rules and responses in YAML, together in a folder.

A story's intents are said as the NLU examples say them, one after the other, so that each example
is used; its ``utter_...`` actions are replied as the domain has them. Other actions have no words.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from parlai_cu.data.base import SERVICE, USER, Conversation, Reading, ReadOptions, Utterance
from parlai_cu.data.source import Source
from parlai_cu.errors import DataError

# key of a story for the line where it begins, which no Rasa file can hold
_LINE = "\0line"
Step = dict[str, Any]
_PARTS = ("nlu", "stories", "rules", "responses", "intents")
# [Berlin](city) and [Berlin]{"entity": "city"}
_ENTITY = re.compile(r"\[([^\[\]]+)\](?:\([^()]*\)|\{[^{}]*\})")


class Rasa:
    """A single file is read together with what lies beside it only where the folder is named."""

    title = "a Rasa project"

    def recognises(self, source: Source) -> bool:
        """Whether it has parts of a project."""
        return is_part(source.yaml)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """
        All stories and rules.

        :raises DataError: without replies
        """
        parts = with_lines(source.yaml, source.text)
        examples = {
            str(one["intent"]): _examples(one.get("examples"))
            for one in _dicts(parts.get("nlu"))
            if "intent" in one
        }
        responses = parts.get("responses")
        replies = responses if isinstance(responses, dict) else {}
        paths = _paths(parts)
        if not paths or not replies:
            held = ", ".join(name for name in _PARTS if parts.get(name)) or "nothing"
            raise DataError(
                f"{source.path}: a Rasa project needs stories or rules, and the responses of its "
                f"domain; found {held}. Name the folder that holds all of them"
            )
        reading = Reading()
        for order, path in enumerate(paths, 1):
            name = _named(path) or str(order)
            line = path.get(_LINE, order)
            told = []
            for steps in _variants(_dicts(path.get("steps")), examples):
                story = _Story(line, examples, replies, reading)
                told += list(story.conversations(steps))
            for number, said in enumerate(told, 1):
                reading.conversations.append(Conversation(f"{name} {number}", said, line))
            if not told:
                reading.leave_out("stories without a reply", [line])
        heard = {one.text for c in reading.conversations for one in c.utterances}
        unheard = [name for name, texts in examples.items() if not heard & set(texts)]
        if unheard:
            reading.notes.append("intents that no story has: " + ", ".join(unheard))
        return reading


def _dicts(held: object) -> list[Step]:
    return [one for one in held if isinstance(one, dict)] if isinstance(held, list) else []


def _paths(parts: dict[str, Any]) -> list[Step]:
    """The stories and rules; rules of another program have no steps."""
    held = [*_dicts(parts.get("stories")), *_dicts(parts.get("rules"))]
    return [one for one in held if {"story", "rule", "steps"} & set(one)]


def _variants(steps: list[Step], examples: dict[str, list[str]]) -> list[list[Step]]:
    """
    The steps of a path, with each alternative of an ``or``.

    Where an intent stands for several (``faq`` for ``faq/open`` and the like), with each of them
    and the reply to it.
    """
    held = [
        choices for step in steps if (choices := _dicts(step["or"]) if "or" in step else [step])
    ]
    count = max([1, *map(len, held)])
    chosen = [[choices[i % len(choices)] for choices in held] for i in range(count)]
    found = []
    for path in chosen:
        general = {str(step.get("intent")) for step in path} - set(examples)
        kinds = [name for name in examples if name.split("/")[0] in general]
        for kind in kinds or [""]:
            name = kind.split("/")[0]
            named = {name: kind, f"utter_{name}": f"utter_{kind}"}
            found.append([{k: named.get(str(v), v) for k, v in step.items()} for step in path])
    return found


@dataclass(frozen=True)
class _Story:
    line: int
    examples: dict[str, list[str]]
    replies: dict[str, Any]
    reading: Reading

    def conversations(self, steps: list[Step]) -> Iterator[list[Utterance]]:
        """One for each example of its intents."""
        counts = [
            len(self.examples.get(str(step.get("intent")), ()))
            for step in steps
            if "user" not in step
        ]
        for number in range(max([1, *counts])):
            said = [one for step in steps for one in self._said(step, number)]
            if any(one.role == SERVICE for one in said):
                yield said

    def _said(self, step: Step, number: int) -> Iterator[Utterance]:
        """What is said in a step; what has no words is counted, once."""
        missing = ""
        if "user" in step:
            yield Utterance("user", _plain(str(step["user"])), self.line, USER)
        elif "intent" in step:
            texts = self.examples.get(str(step["intent"]))
            missing = "" if texts else "intents of stories without examples"
            if texts:
                yield Utterance("user", texts[number % len(texts)], self.line, USER)
        elif "bot" in step:
            yield Utterance("bot", str(step["bot"]), self.line, SERVICE)
        elif "action" in step:
            replies = _dicts(self.replies.get(str(step["action"])))
            texts = [_spoken(r["text"]) for r in replies if r.get("text") not in (None, "")]
            missing = "" if texts else "actions of stories without words"
            if any(r.get("buttons") or r.get("image") for r in replies):
                missing = missing or "buttons and pictures of replies"
            if texts:
                yield Utterance("bot", texts[number % len(texts)], self.line, SERVICE)
        if missing and not number:
            self.reading.leave_out(missing, [self.line])


def _named(path: Step) -> str:
    return str(path.get("story") or path.get("rule") or "")


def with_lines(parts: Any, text: str) -> Any:
    """The parts of a project, each story of which knows the line of the text where it begins."""
    for path in _paths(parts):
        begin = rf"^\s*-\s*(?:story|rule):\s*[\"']?{re.escape(_named(path))}\b"
        found = re.search(begin, text, re.MULTILINE) if _named(path) else None
        if found:
            path[_LINE] = text.count("\n", 0, found.end()) + 1
    return parts


def _spoken(held: object) -> str:
    """A text of YAML, in which a bare yes is no text."""
    return ("Yes" if held else "No") if isinstance(held, bool) else str(held).strip()


def _examples(held: object) -> list[str]:
    lines = held.split("\n") if isinstance(held, str) else held if isinstance(held, list) else []
    texts = [one.get("text", "") if isinstance(one, dict) else str(one) for one in lines]
    return [_plain(text) for text in texts if _plain(text)]


def _plain(text: str) -> str:
    return _ENTITY.sub(r"\1", text.strip().removeprefix("-").strip())


def merged(documents: list[Any]) -> dict[str, Any]:
    """The parts of a project that lie in several YAML documents, together."""
    whole: dict[str, Any] = {}
    for document in documents:
        for name, held in document.items() if isinstance(document, dict) else ():
            before = whole.get(name)
            if isinstance(held, list) and isinstance(before, list | None):
                whole[name] = [*(before or []), *held]
            elif isinstance(held, dict) and isinstance(before, dict | None):
                whole[name] = {**(before or {}), **held}
    return whole


def is_part(document: object) -> bool:
    """Whether a YAML document is a part of a project."""
    if not isinstance(document, dict):
        return False
    intents, responses = document.get("intents"), document.get("responses")
    said = _paths(document) or any("intent" in one for one in _dicts(document.get("nlu")))
    return bool(said) or isinstance(intents, list) or isinstance(responses, dict)
