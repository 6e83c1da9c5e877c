"""The flags of ``-m kb_augmented``, and what they make."""

import dataclasses
from collections.abc import Callable
from datetime import datetime
from typing import Any

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from parlai_cu import named, plugin
from parlai_cu.agents import kinds
from parlai_cu.agents.kb_augmented.label_linking import MeantFacts
from parlai_cu.errors import UsageError, check_one_of
from parlai_cu.knowledge.backends.base import KnowledgeBase
from parlai_cu.knowledge.factory import COMBINED, SeveralKnowledgeBases, open_knowledge_base
from parlai_cu.knowledge.gates.base import TrainableGate
from parlai_cu.knowledge.integrators.fuse import WEIGHT
from parlai_cu.knowledge.integrators.prompt import FORMATS
from parlai_cu.knowledge.rankers.base import TrainableRanker
from parlai_cu.knowledge.synonyms import InOtherWords, read_synonyms
from parlai_cu.types import Turn
from parlai_cu.unread_flags import Dependent, refuse_unread

UNKNOWN = "I'm sorry, I don't know that."
# flag -> our variants, and the methods that one of a user's own must have
_KINDS: dict[str, Any] = {
    "kb_gate": (plugin.GATES, ["decide"]),
    "kb_rank": (plugin.RANKERS, ["rank", "answers", "chosen"]),
    "kb_integrate": (plugin.INTEGRATORS, ["integrate"]),
}
# flags of ours that count with others only; a gate or an integrator of the user's own reads what
# ours read
_DEPENDENT = (
    Dependent(("kb_combine",), lambda opt: "," in (opt.get("kb") or ""), "with one --kb"),
    Dependent(
        ("kb_gate_threshold",),
        lambda opt: opt["kb_gate"] not in ("always", "never"),
        "with this --kb-gate; score, uncertainty and classifier do",
    ),
    Dependent(
        ("kb_gate_precision",),
        lambda opt: opt.get("kb_gate_threshold") == "auto",
        "without --kb-gate-threshold auto",
    ),
    Dependent(
        ("kb_template",),
        lambda opt: opt["kb_integrate"] == "template",
        "without --kb-integrate template",
    ),
    Dependent(
        ("kb_fuse_weight",),
        lambda opt: opt["kb_integrate"] == "fuse",
        "without --kb-integrate fuse",
    ),
    Dependent(
        ("kb_prompt_format",),
        lambda opt: opt["kb_integrate"] == "prompt" or ":" in opt["kb_integrate"],
        "without --kb-integrate prompt",
    ),
)


def add(parser: ParlaiParser) -> None:
    """Add our flags."""
    group = parser.add_argument_group("Knowledge Base Arguments")
    group.add_argument(
        "--kb",
        help="where the facts are: sqlite:///facts.db; several, comma-separated; one of your own: "
        "my.module:Class:...",
    )
    group.add_argument(
        "--kb-combine",
        default=COMBINED[0],
        help="what several --kb find: merged, by rank and then by score; or by priority, all of "
        "the first before all of the next",
    )
    group.add_argument(
        "--kb-synonyms",
        help="a .csv file with the header said,meant: what people say, and what the knowledge base "
        "calls it",
    )
    group.add_argument(
        "--kb-gate",
        default="score",
        help=f"when a turn is answered with knowledge: {', '.join(plugin.GATES)}, "
        "or my.module:Class",
    )
    group.add_argument(
        "--kb-gate-threshold",
        type=str,
        default=None,
        help="the score, 0 to 1, from which knowledge is used; or 'auto': chosen in "
        "training, on validation data, for --kb-gate-precision. Default: what suits "
        "the gate, or what it was trained to",
    )
    group.add_argument(
        "--kb-gate-precision",
        type=float,
        default=0.95,
        help="with --kb-gate-threshold auto: how large a share of the uses of knowledge "
        "must be needed ones",
    )
    group.add_argument(
        "--kb-rank",
        default="search",
        help=f"which of the facts found comes first: {', '.join(plugin.RANKERS)} (word_pairs is "
        "learnt, from turns whose labels are the facts that answer them), or my.module:Class",
    )
    group.add_argument(
        "--kb-integrate",
        default="answer",
        help=f"what becomes of the facts: {', '.join(plugin.INTEGRATORS)}, or my.module:Class",
    )
    group.add_argument(
        "--kb-template", default="{text}", help="the sentence of --kb-integrate template"
    )
    group.add_argument(
        "--kb-prompt-format",
        default="auto",
        choices=["auto", *FORMATS],
        help="with --kb-integrate prompt: how the model was trained to read facts: each a line, "
        "between __knowledge__ and __endknowledge__, or in the message's fields knowledge, "
        "checked_sentence and title; auto: what its agent, options and dictionary tell",
    )
    group.add_argument(
        "--kb-fuse-weight",
        type=float,
        default=WEIGHT,
        help="with --kb-integrate fuse: the facts' share of the next token's distribution",
    )
    group.add_argument(
        "--kb-unknown",
        metavar="TEXT",
        help="what is said to a question about the facts' subject that they do not answer; none: "
        f"the model's own reply. Default: {UNKNOWN!r} where people are talked to, else none",
    )
    group.add_argument("--kb-top-k", type=int, default=5, help="how many facts are asked for")
    group.add_argument(
        "--kb-now",
        help='the time from which "tomorrow" and "open now" are reckoned, as '
        "2027-01-31T12:00 (default: this machine's clock)",
    )


def unknown(opt: Opt) -> str:
    """What is said to a question that the facts should answer and do not; empty: nothing."""
    given = opt.get("kb_unknown")
    if given is None:
        return UNKNOWN if opt.get("interactive_mode") else ""
    return "" if given == "none" else str(given)


def check(opt: Opt) -> None:
    """
    Refuse what cannot work.

    :raises UsageError: naming the flag, what was found and what was expected
    """
    for flag in _KINDS:
        _class(opt, flag)
    check_one_of("--kb-combine", opt["kb_combine"], COMBINED)
    if opt["kb_top_k"] < 1:
        raise UsageError(f"--kb-top-k {opt['kb_top_k']}: expected 1 or more")
    if not 0 < opt["kb_gate_precision"] <= 1:
        raise UsageError(
            f"--kb-gate-precision {opt['kb_gate_precision']}: expected above 0, at most 1"
        )
    if not 0 <= opt["kb_fuse_weight"] <= 1:
        raise UsageError(f"--kb-fuse-weight {opt['kb_fuse_weight']}: expected 0 to 1")
    threshold(opt)
    clock(opt)
    if not opt.get("kb"):
        raise UsageError("-m kb_augmented needs --kb URI, e.g. --kb sqlite:///facts.db")
    refuse_unread(opt, _DEPENDENT, add)


def check_base(opt: Opt, base: type) -> None:
    """
    Refuse what the base agent cannot do.

    :param opt: of our agent
    :param base: its class
    :raises UsageError: naming the flag and the agent
    """
    kind = kinds.kind_of_class(base)
    generates, scores = kind == "generator", kind in ("generator", "ranker")
    why = {
        "--kb-integrate fuse": (generates, "it mixes the distributions of a generator's tokens"),
        "--kb-gate uncertainty": (generates, "it is the entropy of a generator's tokens"),
        "--kb-integrate rerank": (scores, "it needs the scores of tokens or candidates"),
    }
    for flag, (can, reason) in why.items():
        name, value = flag.split()
        if opt[name[2:].replace("-", "_")] == value and not can:
            raise UsageError(f"{flag}: {reason}; {opt['base_agent']} has none")


def clock(opt: Opt) -> datetime | None:
    """
    The moment that was given as now; None: this machine's.

    :raises UsageError: when it is no time
    """
    given = opt.get("kb_now")
    if not given:
        return None
    try:
        return datetime.fromisoformat(given)
    except ValueError:
        raise UsageError(f"--kb-now {given}: expected a time as 2027-01-31T12:00") from None


def threshold(opt: Opt) -> Any:
    """
    The threshold given: a number, or None where the gate is to choose.

    :raises UsageError: when it is no number from 0 to 1
    """
    given = opt.get("kb_gate_threshold")
    if given is None or given == "auto":
        return None
    try:
        number = float(given)
    except ValueError:
        number = -1.0
    if not 0 <= number <= 1:
        raise UsageError(f"--kb-gate-threshold {given}: expected a number from 0 to 1, or auto")
    return number


@dataclasses.dataclass
class Parts:
    """What all conversations of an agent share: knowledge base, gate, ranker and integrator."""

    # the knowledge base, or the several that are one
    kb: KnowledgeBase
    gate: Any
    ranker: Any
    integrator: Any
    # which facts labels are
    meant: MeantFacts
    # a turn in the words of the knowledge base (--kb-synonyms)
    in_its_words: Callable[[Turn], Turn]

    def learners(self) -> dict[str, Any]:
        """What learns, each a ``torch.nn.Module``."""
        trainable = {"gate": (self.gate, TrainableGate), "ranker": (self.ranker, TrainableRanker)}
        return {name: part for name, (part, kind) in trainable.items() if isinstance(part, kind)}


def parts(opt: Opt) -> Parts:
    """What the flags name."""
    synonyms = read_synonyms(opt["kb_synonyms"]) if opt.get("kb_synonyms") else None
    bases = [open_knowledge_base(uri) for uri in opt["kb"].split(",")]
    kb: Any = bases[0] if len(bases) == 1 else SeveralKnowledgeBases(bases, opt["kb_combine"])
    in_its_words: Callable[[Turn], Turn] = _as_said
    if synonyms:
        kb = InOtherWords(kb, synonyms)
        in_its_words = kb.meant
    settings = {"template": ("kb_template",), "fuse": ("kb_fuse_weight",)}
    given = [opt[name] for name in settings.get(opt["kb_integrate"], ())]
    return Parts(
        kb,
        _class(opt, "kb_gate")(threshold(opt)),
        _class(opt, "kb_rank")(),
        _class(opt, "kb_integrate")(*given),
        MeantFacts(kb),
        in_its_words,
    )


def _as_said(turn: Turn) -> Turn:
    return turn


def _class(opt: Opt, flag: str) -> Any:
    ours, needs = _KINDS[flag]
    return named.kind(ours, opt[flag], f"--{flag.replace('_', '-')}", needs)
