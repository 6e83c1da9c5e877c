"""All checks of data, what they find in figures, and a file without the faults."""

import json
import os
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Protocol

from parlai_cu import files, plugin
from parlai_cu.data.base import REJECTED, SPLITS
from parlai_cu.data.splits import splits_of
from parlai_cu.named import load
from parlai_cu.update.inspection.base import (
    DataCheck,
    Finding,
    InspectedConversation,
    InspectedData,
    of_examples,
)
from parlai_cu.update.wording import Example

# of more conversations the language is told by so many of them
_LANGUAGES_OF = 500
# a language of a smaller share of the conversations is a slip of the detection
_LEAST_SHARE = 0.02
_FEWEST_LETTERS = 20
# of more conversations the short form looks at so many: it is to take seconds
_MOST = 3000
# before an update; what is no fault in itself stays unsaid
_SHORT = (
    "duplicates",
    "contradictions",
    "encodings",
    "swapped_speakers",
    "echoes",
    "empty_replies",
)


class InspectingModel(Protocol):
    """What a model makes of texts."""

    def unknown(self, text: str) -> tuple[int, int]:
        """How many tokens the model's dictionary does not know, of how many."""

    def is_cut(self, example: Example) -> bool:
        """Whether the model's limits cut the context or the answer."""

    def losses(self, examples: Sequence[Example]) -> Sequence[float]:
        """The loss of each answer, per token."""


@dataclass
class Inspection:
    """
    What is known of data.

    :param data: that was inspected
    :param findings: of all checks
    :param figures: counts and shares, as they are shown
    :param splits: which conversations would be held out
    :param outliers: the answers that the live model finds strangest: place, context, answer, loss
    """

    data: InspectedData
    findings: Sequence[Finding]
    figures: dict[str, Any] = field(default_factory=dict)
    splits: Sequence[str] = ()
    outliers: Sequence[tuple[str, str, str, float]] = ()

    def by_check(self) -> dict[str, list[Finding]]:
        """The findings of each check that has some."""
        found: dict[str, list[Finding]] = defaultdict(list)
        for one in self.findings:
            found[one.check].append(one)
        return found

    def place(self, finding: Finding) -> str:
        """Where a finding stands."""
        return self.data.conversations[finding.index].place

    def as_json(self) -> dict[str, Any]:
        """All of it as plain values."""
        return {
            "figures": self.figures,
            "findings": [
                {
                    "check": one.check,
                    "place": self.place(one),
                    "detail": one.detail,
                    "other": one.other,
                }
                for one in self.findings
            ],
            "outliers": [
                dict(zip(("place", "context", "answer", "loss"), one)) for one in self.outliers
            ],
        }


def check(name: str) -> DataCheck:
    """The check of a name."""
    found: DataCheck = load(plugin.DATA_CHECKS[name], "check")()
    return found


def inspect(
    data: InspectedData,
    checks: Sequence[str] | None = None,
    model: InspectingModel | None = None,
) -> Inspection:
    """
    Look at data critically.

    :param data: conversations, and what they are compared with
    :param checks: names; None: all
    :param model: the one in service, where there is one
    """
    faults = inspect_faults(data, tuple(plugin.DATA_CHECKS) if checks is None else checks)
    findings = sorted((one for held in faults.values() for one in held), key=lambda one: one.index)
    splits = splits_of(["\n".join(t.text for t in one.turns) for one in data.conversations])
    found = Inspection(data, findings, figures(data.conversations, model), splits)
    own = [one.split or "train" for one in data.conversations]
    counts = Counter(own if any(one.split for one in data.conversations) else splits)
    found.figures["split"] = {split: counts[split] for split in SPLITS}
    if model is not None:
        found.outliers = _outliers(data.conversations, model)
    return found


def figures(
    conversations: Sequence[InspectedConversation], model: InspectingModel | None = None
) -> dict[str, Any]:
    """Data in figures."""
    turns = [turn for one in conversations for turn in one.turns]
    found: dict[str, Any] = {"conversations": len(conversations), "replies": len(turns)}
    for name, lengths in (
        ("turns a conversation", [len(one.turns) for one in conversations]),
        ("words a question", [len(turn.text.split()) for turn in turns]),
        ("words a reply", [len(turn.reply.split()) for turn in turns]),
    ):
        ordered = sorted(lengths)
        found[name] = {
            "median": ordered[len(ordered) // 2] if ordered else 0,
            "longest": ordered[-1] if ordered else 0,
        }
    found["languages"] = _languages(conversations)
    rejected = sum(bool(turn.rejected) for turn in turns)
    if rejected:
        found["with a rejected answer"] = rejected
    if model is not None and turns:
        counts = [model.unknown(f"{turn.text}\n{turn.reply}") for turn in turns]
        total = sum(count for _, count in counts)
        found["tokens that the model does not know"] = sum(n for n, _ in counts) / max(1, total)
        examples = [example for one in conversations for example in one.examples()]
        cut = sum(model.is_cut(example) for example in examples)
        found["examples that its limits cut"] = cut / len(examples)
    return found


def _languages(conversations: Sequence[InspectedConversation]) -> dict[str, float]:
    step = max(1, len(conversations) // _LANGUAGES_OF)
    texts = [one.text for one in conversations[::step]]
    texts = [text for text in texts if sum(map(str.isalpha, text)) >= _FEWEST_LETTERS]
    if not texts:
        return {}
    import py3langid  # type: ignore[import-untyped]  # late: its model takes a second

    counts = Counter(py3langid.classify(text)[0] for text in texts)
    return {
        language: count / len(texts)
        for language, count in counts.most_common()
        if count >= _LEAST_SHARE * len(texts)
    }


def _outliers(
    conversations: Sequence[InspectedConversation], model: InspectingModel, count: int = 10
) -> list[tuple[str, str, str, float]]:
    placed = [(one.place, e) for one in conversations for e in one.examples()]
    losses = model.losses([example for _, example in placed])
    ranked = sorted(zip(losses, placed), key=lambda pair: -pair[0])
    return [(where, e.text, e.label, loss) for loss, (where, e) in ranked[:count]]


@dataclass(frozen=True)
class Repaired:
    """
    Data without its faults.

    :param kept: what is written
    :param done: check -> how many conversations were changed
    :param left_out: what was taken out, and why
    """

    kept: Sequence[InspectedConversation]
    done: Mapping[str, int]
    left_out: Sequence[tuple[InspectedConversation, str]]


def repair(inspection: Inspection, checks: Sequence[str] | None = None) -> Repaired:
    """
    Take the faults out of data.

    :param inspection: what was found
    :param checks: whose faults; None: all that have a repair
    """
    faults: dict[int, list[Finding]] = defaultdict(list)
    for one in inspection.findings:
        if checks is None or one.check in checks:
            faults[one.index].append(one)
    kept: list[InspectedConversation] = []
    left_out: list[tuple[InspectedConversation, str]] = []
    done: Counter[str] = Counter()
    order = list(plugin.DATA_CHECKS)
    for index, conversation in enumerate(inspection.data.conversations):
        held: InspectedConversation | None = conversation
        for finding in sorted(faults[index], key=lambda one: order.index(one.check)):
            looked = check(finding.check)
            if held is None or not looked.repair:
                continue
            held = looked.fixed(held)
            done[finding.check] += 1
            if held is None:
                why = f"{looked.title}: {finding.detail} {finding.other or ''}".strip()
                left_out.append((conversation, why))
        if held is not None:
            kept.append(held)
    return Repaired(kept, done, left_out)


def write_repaired(repaired: Repaired, path: str) -> list[str]:
    """
    Write clean data as ParlAI's conversations, and beside it what was left out, and why.

    The files that were written are returned.

    :raises SaveError: when they cannot be written
    """
    files.write_text(path, "".join(_line(one, None) for one in repaired.kept))
    written = [path]
    if repaired.left_out:
        base, ending = os.path.splitext(path)
        aside = f"{base}.left-out{ending}"
        files.write_text(aside, "".join(_line(one, why) for one, why in repaired.left_out))
        written.append(aside)
    return written


def _line(conversation: InspectedConversation, why: str | None) -> str:
    rounds = []
    for turn in conversation.turns:
        reply: dict[str, Any] = {"id": "service", "text": turn.reply}
        if turn.rejected:
            reply[REJECTED] = list(turn.rejected)
        rounds.append([{"id": "user", "text": turn.text}, reply])
    record: dict[str, Any] = {"dialog": rounds}
    if conversation.split:
        record["split"] = conversation.split
    if why:
        record["why"], record["from"] = why, conversation.place
    return json.dumps(record, ensure_ascii=False) + "\n"


def short_form(name: str, examples: Sequence[Example]) -> list[str]:
    """
    What to know of an update's data before it is learnt, in a few lines; none where all is well.
    """
    held = of_examples(name, examples)
    data = InspectedData(held[:_MOST])
    found = inspect_faults(data, _SHORT)
    lines = []
    if found and len(held) > _MOST:
        lines.append(f"of the first {_MOST:,d} conversations (all: parlai data):")
    for kind, findings in found.items():
        one = findings[0]
        other = f" {one.other}" if one.other else ""
        place = data.conversations[one.index].place
        lines.append(f"{len(findings)} {check(kind).title}, such as {place}: {one.detail}{other}")
    return lines


def inspect_faults(data: InspectedData, checks: Sequence[str]) -> dict[str, list[Finding]]:
    """What some checks find, without figures."""
    found: dict[str, list[Finding]] = {}
    for name in checks:
        held = [Finding(name, *one) for one in check(name).find(data)]
        if held:
            found[name] = held
    return found
