"""
Rasa: NLU examples, stories, rules and responses in YAML, together in a folder.

A story's intents are said as the NLU examples say them, one after the other, so that each example
is used; its ``utter_...`` actions are replied as the domain has them. Other actions have no words.
"""

import re
from collections.abc import Iterator
from typing import Any

from parlai_cu.data.base import SERVICE, USER, Conversation, Reading, ReadOptions, Utterance
from parlai_cu.data.source import Source
from parlai_cu.errors import DataError

_PARTS = ("nlu", "stories", "rules", "responses", "intents")
# [Berlin](city) and [Berlin]{"entity": "city"}
_ENTITY = re.compile(r"\[([^\[\]]+)\](?:\([^()]*\)|\{[^{}]*\})")


class Rasa:
    """A single file is read together with what lies beside it only where the folder is named."""

    title = "a Rasa project"

    def recognises(self, source: Source) -> bool:
        """Whether it has parts of a project."""
        return isinstance(source.yaml, dict) and any(name in source.yaml for name in _PARTS)

    def read(self, source: Source, options: ReadOptions) -> Reading:
        """
        All stories and rules.

        :raises DataError: without replies
        """
        parts = source.yaml
        examples = {
            str(one["intent"]): _examples(one.get("examples"))
            for one in parts.get("nlu") or []
            if isinstance(one, dict) and "intent" in one
        }
        replies = parts.get("responses") or {}
        paths = [*(parts.get("stories") or []), *(parts.get("rules") or [])]
        paths = [one for path in paths for one in _of_each_kind(path, examples)]
        if not paths or not replies:
            held = ", ".join(name for name in _PARTS if parts.get(name)) or "nothing"
            raise DataError(
                f"{source.path}: a Rasa project needs stories or rules, and the responses of its "
                f"domain; found {held}. Name the folder that holds all of them"
            )
        reading = Reading()
        for order, path in enumerate(paths, 1):
            name = str(path.get("story") or path.get("rule") or order)
            self._tell(reading, name, order, path.get("steps") or [], examples, replies)
        heard = {step.get("intent") for path in paths for step in _steps(path.get("steps") or [])}
        unheard = [name for name in examples if name not in heard]
        if unheard:
            reading.notes.append("intents that no story has: " + ", ".join(unheard))
        return reading

    def _tell(
        self,
        reading: Reading,
        name: str,
        order: int,
        steps: list[Any],
        examples: dict[str, list[str]],
        replies: dict[str, Any],
    ) -> None:
        held = list(_steps(steps))
        asked = [step for step in held if "intent" in step or "user" in step]
        counts = [len(examples.get(str(step.get("intent")), [])) for step in asked]
        for number in range(max([1, *counts])):
            said: list[Utterance] = []
            for step in held:
                said += _said(
                    step, number, order, examples, replies, reading if not number else None
                )
            if any(one.role == SERVICE for one in said):
                reading.conversations.append(Conversation(f"{name} {number + 1}", said, order))
            elif not number:
                reading.leave_out("stories without a reply", [order])


def _of_each_kind(path: dict[str, Any], examples: dict[str, list[str]]) -> list[dict[str, Any]]:
    """A path with intent ``faq`` and action ``utter_faq``, for ``faq/open`` and the like."""
    heard = {str(step.get("intent")) for step in _steps(path.get("steps") or [])}
    kinds = [name for name in examples if name.split("/")[0] in heard - set(examples)]
    found = []
    for kind in kinds:
        general = kind.split("/")[0]
        names = {general: kind, f"utter_{general}": f"utter_{kind}"}
        steps = [
            {
                key: names.get(held, held) if isinstance(held, str) else held
                for key, held in one.items()
            }
            for one in _steps(path.get("steps") or [])
        ]
        found.append({**path, "steps": steps})
    return found or [path]


def _steps(steps: list[Any]) -> Iterator[dict[str, Any]]:
    for step in steps:
        if isinstance(step, dict) and "or" in step:
            yield from _steps(list(step["or"])[:1])
        elif isinstance(step, dict):
            yield step


def _said(
    step: dict[str, Any],
    number: int,
    line: int,
    examples: dict[str, list[str]],
    replies: dict[str, Any],
    reading: Reading | None,
) -> Iterator[Utterance]:
    """What is said in a step; what has no words is counted."""
    if "user" in step:
        yield Utterance("user", _plain(str(step["user"])), line, USER)
    elif "intent" in step:
        texts = examples.get(str(step["intent"]))
        if texts:
            yield Utterance("user", texts[number % len(texts)], line, USER)
        elif reading:
            reading.leave_out("intents of stories without examples", [line])
    elif "bot" in step:
        yield Utterance("bot", str(step["bot"]), line, SERVICE)
    elif "action" in step:
        texts = [
            _spoken(one["text"])
            for one in replies.get(step["action"]) or []
            if isinstance(one, dict) and one.get("text") not in (None, "")
        ]
        if texts:
            yield Utterance("bot", texts[number % len(texts)], line, SERVICE)
        elif reading:
            reading.leave_out("actions of stories without words", [line])


def _spoken(held: Any) -> str:
    """A text of YAML, in which a bare yes is no text."""
    return ("Yes" if held else "No") if isinstance(held, bool) else str(held).strip()


def _examples(held: Any) -> list[str]:
    lines = held.split("\n") if isinstance(held, str) else held if isinstance(held, list) else []
    texts = [one.get("text", "") if isinstance(one, dict) else str(one) for one in lines]
    return [_plain(text) for text in texts if _plain(text)]


def _plain(text: str) -> str:
    return _ENTITY.sub(r"\1", text.strip().removeprefix("-").strip())


def merged(documents: list[Any]) -> dict[str, Any]:
    """
    The parts of a project that lie in several files, together.

    :param documents: of YAML
    """
    whole: dict[str, Any] = {}
    for document in documents:
        for name, held in document.items() if isinstance(document, dict) else ():
            if isinstance(held, list):
                whole[name] = [*whole.get(name, []), *held]
            elif isinstance(held, dict):
                whole[name] = {**whole.get(name, {}), **held}
    return whole


def is_part(document: Any) -> bool:
    """Whether a YAML document is a part of a project."""
    return isinstance(document, dict) and bool(set(document) & set(_PARTS))
