"""
Which way an update is to be learnt, as a table with reasons that a person can overrule.

The rules read the diagnosis from top to bottom; the first that holds decides. Their thresholds
were set on the telecom updates of seed 1 and one of Schema-Guided Dialogue (docs/update_model.md
has how often they are right on others).
"""

from dataclasses import dataclass

from parlai_cu.errors import UsageError, nearest
from parlai_cu.update.diagnosis import Diagnosis

NOTHING, KB, TUNE, DISTIL = "nothing", "kb_augmented", "frozen_layer", "distill_student"
COMBINED = f"{DISTIL}+{KB}"
MODES = (NOTHING, KB, TUNE, DISTIL, f"{TUNE}+{KB}", COMBINED)
# how it is put: the share of word pairs that is known
_AS_EVER, _OTHERWISE = 0.85, 0.7
# the answers are told from the old ones, the questions hardly
_SHIFTED, _ALIKE = 0.75, 0.65
_FACTS, _NEW_NAMES, _IN_KB = 0.4, 0.25, 0.5
# more different facts than a few layers hold well, and more to come
_MANY_FACTS = 100
# nats a token (generators): no farther from the update than that, and there is nothing to learn
_NEAR = 0.1
_MANY_NEW_WORDS = 0.2
_FEW = 100
# a corpus contradicts itself now and then: so many examples, and nothing is put right
_CONFLICTS = 0.01
# a weak model tells few values of what it was trained on, either: within chance as many
_TELLS, _AS_MANY = 0.8, 0.05


@dataclass(frozen=True)
class Row:
    """
    One way, and what speaks for and against it.

    :param case: of what it is the answer to
    :param mode: the way, one of :data:`MODES`
    :param fits: whether the diagnosis suits it
    :param why: in words and numbers
    """

    case: str
    mode: str
    fits: bool
    why: str


# the cases, in the order in which they are considered
KNOWN, STYLE, FACTS, BOTH, SUBJECT, FEW_CHANGES = (
    "known already",
    "another style",
    "new facts",
    "facts and skill",
    "a subject of its own",
    "some answers change",
)


@dataclass(frozen=True)
class ModeChoice:
    """
    The way chosen.

    :param mode: see :data:`MODES`
    :param tune: which parameters learn, for ``frozen_layer``
    :param case: what the rules take the update for
    :param reason: why, in a sentence
    :param table: all ways
    :param overruled: by ``--mode``: what the rules would have chosen, or None
    """

    mode: str
    tune: str | None
    case: str
    reason: str
    table: tuple[Row, ...]
    overruled: str | None = None


def check_mode(mode: str) -> None:
    """
    Refuse what is no mode, before any work.

    :raises UsageError: naming the nearest
    """
    if mode not in ("auto", *MODES):
        close = nearest(mode, ["auto", *MODES]) or list(MODES)
        raise UsageError(
            f"--mode {mode}: expected auto or one of {', '.join(MODES)}; nearest: "
            f"{', '.join(close)}"
        )


def choose(diagnosis: Diagnosis, mode: str = "auto", has_kb: bool = False) -> ModeChoice:
    """
    Choose by the diagnosis, or as told.

    :param diagnosis: of the update
    :param mode: ``auto``, or one of :data:`MODES`
    :param has_kb: a knowledge base was named
    :raises UsageError: when the mode is unknown
    """
    check_mode(mode)
    rows = table(diagnosis, has_kb)
    best = next(row for row in rows if row.fits)
    if mode in ("auto", best.mode):
        return ModeChoice(best.mode, _tune(best.mode, diagnosis), best.case, best.why, tuple(rows))
    why = f"--mode {mode}; by the diagnosis it would be {best.mode}: {best.why}"
    return ModeChoice(mode, _tune(mode, diagnosis), best.case, why, tuple(rows), best.mode)


def table(diagnosis: Diagnosis, has_kb: bool = False) -> list[Row]:
    """
    All ways in the order in which they are considered; the last always fits.

    :param diagnosis: of the update
    :param has_kb: a knowledge base was named
    """
    return [
        _nothing(diagnosis),
        _style(diagnosis),
        *_facts(diagnosis, has_kb),
        _new_skill(diagnosis),
        _tuning(diagnosis),
    ]


def _nothing(d: Diagnosis) -> Row:
    if d.distance is None:
        return Row(
            KNOWN, NOTHING, False, "without old data nobody can say whether it is known already"
        )
    told, old = d.told_already, d.told_old
    tells = told is None or told >= _TELLS or (old is not None and told >= old - _AS_MANY)
    slips = len(d.conflicts) < _CONFLICTS * d.examples
    fits = d.distance <= _NEAR and slips and (tells or d.distance <= 0)
    why = f"loss on the update {d.loss_update:.2f}, on old data {d.loss_old:.2f}"
    if told is not None:
        why += f"; the live model tells {told:.0%} of the answers' values already"
        why += "" if old is None else f", of the old answers' {old:.0%}"
    if d.conflicts:
        why += f"; {len(d.conflicts)} old answers are contradicted"
        why += f", less than {_CONFLICTS:.0%}" if slips else ""
    return Row(KNOWN, NOTHING, fits, why)


def _style(d: Diagnosis) -> Row:
    asked = d.question_shift
    same_questions = d.known_questions is None or d.known_questions >= _AS_EVER
    same_questions |= asked is not None and asked.accuracy <= _ALIKE
    shift = d.answer_shift
    told_apart = shift is not None and shift.p_value < 0.01 and shift.accuracy >= _SHIFTED
    fits = (
        same_questions
        and d.known_answers < _OTHERWISE
        and d.new_names < _NEW_NAMES
        and d.examples >= _FEW
        and told_apart
    )
    why = f"{d.known_answers:.0%} of the answers' wording is known"
    if d.known_questions is not None:
        why += f", of the questions' {d.known_questions:.0%}"
    if shift is not None:
        why += f"; a classifier tells new answers from old ones in {shift.accuracy:.0%}"
    if asked is not None:
        why += f", new questions in {asked.accuracy:.0%}"
    if d.told_already is not None:
        why += f"; {d.told_already:.0%} of the values are told already"
    why += f"; new names in {d.new_names:.0%}"
    return Row(STYLE, DISTIL, fits, why)


def _facts(d: Diagnosis, has_kb: bool) -> list[Row]:
    as_ever = d.known_answers >= _AS_EVER
    asked_as_ever = d.known_questions is None or d.known_questions >= _AS_EVER
    held = d.in_kb is not None and d.in_kb >= _IN_KB
    many = d.contents > _MANY_FACTS or d.new_names >= _NEW_NAMES
    alone = d.fact_like >= _FACTS and as_ever and asked_as_ever and (many or held)
    why = (
        f"{d.fact_like:.0%} of the answers tell values ({d.contents} different ones), new names "
        f"in {d.new_names:.0%}; {d.known_answers:.0%} of the wording is known"
    )
    if d.in_kb is not None:
        why += f"; the knowledge base has {d.in_kb:.0%} of the values"
    rows = [Row(FACTS, KB, alone, why)]
    both = not alone and has_kb and held and d.fact_like >= _FACTS
    rows.append(Row(BOTH, COMBINED, both, why + _ask_for_kb(d, held)))
    return rows


def _ask_for_kb(d: Diagnosis, held: bool) -> str:
    if held or d.fact_like < _FACTS:
        return ""
    return "; with --kb naming a base that has them, facts can stay out of the weights"


def _new_skill(d: Diagnosis) -> Row:
    new_questions = d.known_questions is not None and d.known_questions < _AS_EVER
    new_answers = d.known_answers < _AS_EVER
    reworded = new_answers and (new_questions or d.known_questions is None)
    # services are worded alike: what a new one talks of shows in its words, not in pairs of them
    fits = d.examples >= _FEW and (reworded or d.new_words >= _MANY_NEW_WORDS)
    asked = "" if d.known_questions is None else f", of the questions' {d.known_questions:.0%}"
    why = (
        f"{d.new_words:.0%} of the words are new, {d.known_answers:.0%} of the answers' wording is "
        f"known{asked}; {d.examples} examples"
    )
    return Row(SUBJECT, DISTIL, fits, why)


def _tuning(d: Diagnosis) -> Row:
    why = (
        f"{d.examples} examples, {d.contents} different facts, told as ever ({d.known_answers:.0%})"
    )
    if d.conflicts:
        why += f"; {len(d.conflicts)} old answers are put right"
    if _tune(TUNE, d) == "*":
        why += "; where the wording changes everything learns"
    else:
        why += "; facts are kept in the feed-forward layers, which alone learn"
    return Row(FEW_CHANGES, TUNE, True, why)


def _tune(mode: str, d: Diagnosis) -> str | None:
    """
    Which parameters learn.

    Facts are kept in feed-forward layers (Geva et al. 2021, https://arxiv.org/abs/2012.14913), so
    few of them need no more; where wording changes too, everything learns, and the retention
    defences keep the old.
    """
    if TUNE not in mode:
        return None
    return "@ffn" if d.known_answers >= _AS_EVER else "*"
