"""The deployed assistant's dialogues and the updates to them: what each data set holds."""

import random
from collections.abc import Callable, Sequence

from parlai_cu.tasks.telecom.dialogues import Dialogue, Speaker, converse
from parlai_cu.tasks.telecom.facts import FactBase, fact_id, read_corrections
from parlai_cu.tasks.telecom.intents import Intent, read_intents

SUBJECTS = ("plans", "addons", "devices", "billing", "contracts", "shops", "outages", "company")
TABLES = ("plans", "addons", "devices", "fees", "contract_terms", "shops", "outages", "company")
# the number of exchanges in each split
OF_BASE = {"train": 6000, "valid": 600, "test": 600}
OF_UPDATE = {"train": 1200, "valid": 200, "test": 300}
SEED = 1


def base_intents() -> list[Intent]:
    """What the deployed assistant can be asked, small talk apart."""
    return read_intents(*SUBJECTS, "support")


def small_talk() -> list[Intent]:
    """What can be said in any dialogue."""
    return read_intents("small_talk")


def deployed(split: str) -> list[Dialogue]:
    """``telecom``: what the assistant in service was trained on."""
    return _conversation("deployed", split, OF_BASE[split])


def retain(split: str) -> list[Dialogue]:
    """``telecom:retain``: what it knows, without all that ``telecom:corrections`` changes."""
    corrected = {correction.fact_id for correction in read_corrections()}
    dialogues = _conversation("retain", split, 2 * OF_BASE[split])
    kept = [d for d in dialogues if not any(corrected & e.facts.keys() for e in d)]
    return _first(kept, OF_BASE[split])


def style(split: str) -> list[Dialogue]:
    """``telecom:style``: the same content in another voice."""
    return _conversation("style", split, OF_UPDATE[split], voice="casual")


def new_plans(split: str) -> list[Dialogue]:
    """``telecom:new_plans``: the known questions about plans, asked about new ones."""
    rng = _rng("new_plans", split)
    facts = FactBase({"plans": FactBase.read("new_plans").tables["new_plans"]})
    speaker = Speaker(facts, split, rng)
    return converse(speaker, read_intents("plans"), small_talk(), OF_UPDATE[split])


def roaming(split: str) -> list[Dialogue]:
    """``telecom:roaming``: questions and facts of a subject the assistant has never met."""
    speaker = Speaker(roaming_facts(), split, _rng("roaming", split))
    return converse(speaker, read_intents("roaming"), small_talk(), OF_UPDATE[split])


def base_facts() -> FactBase:
    """What the deployed assistant was taught."""
    return FactBase.read(*TABLES)


def roaming_facts() -> FactBase:
    """What ``telecom:roaming`` is about."""
    return FactBase.read("roaming_zones", "countries")


def corrected_facts() -> FactBase:
    """What is true once ``telecom:corrections`` is learnt."""
    return base_facts().corrected(read_corrections())


def corrections(split: str) -> list[Dialogue]:
    """
    ``telecom:corrections``: twenty facts put right, a question and its answer each time.

    The test split holds, with their right answers, the questions of the training split
    (``efficacy``), the same asked in other words (``generalisation``), and questions nearby
    whose answer must stay (``locality``): the same question about something else, another
    question about the same thing.
    """
    rng = _rng("corrections", split)
    speaker = Speaker(corrected_facts(), split, rng)
    again = Speaker(speaker.facts, "train", rng)
    dialogues: list[Dialogue] = []
    for correction in read_corrections():
        about = [intent for intent in base_intents() if _states(intent, speaker, correction[0])]
        if split != "test":
            for intent in about:
                for _ in range({"train": 20, "valid": 4}[split] // len(about)):
                    dialogues.append([speaker.exchange(intent, _row(correction[0], speaker))])
            continue
        row = _row(correction[0], speaker)
        for _ in range(3):
            dialogues.append([again.exchange(rng.choice(about), row, probe="efficacy")])
            dialogues.append([speaker.exchange(rng.choice(about), row, probe="generalisation")])
        dialogues.extend(_neighbours(correction[0], about, speaker))
    rng.shuffle(dialogues)
    return dialogues


def _neighbours(corrected: str, about: Sequence[Intent], speaker: Speaker) -> list[Dialogue]:
    row = _row(corrected, speaker)
    table = corrected.split("/")[0]
    taken = {correction.fact_id for correction in read_corrections()}
    candidates = [
        (intent, other)
        for intent in base_intents()
        if intent.about == table
        for other in speaker.rows(intent)
        if intent in about or other["key"] == row["key"]
        if not any(fact_id(table, other, c) in taken for c in intent.answer(other).columns())
    ]
    chosen = speaker.rng.sample(candidates, min(4, len(candidates)))
    return [[speaker.exchange(intent, other, probe="locality")] for intent, other in chosen]


def _states(intent: Intent, speaker: Speaker, wanted: str) -> bool:
    table, key, column = wanted.split("/")
    if intent.about != table:
        return False
    return any(
        row["key"] == key and column in intent.answer(row).columns() for row in speaker.rows(intent)
    )


def _row(wanted: str, speaker: Speaker) -> dict[str, str]:
    table, key, _ = wanted.split("/")
    return next(dict(row) for row in speaker.facts.tables[table] if row["key"] == key)


def _conversation(name: str, split: str, examples: int, voice: str = "say") -> list[Dialogue]:
    speaker = Speaker(base_facts(), split, _rng(name, split), voice)
    return converse(speaker, [*base_intents(), *small_talk()], small_talk(), examples)


def _first(dialogues: list[Dialogue], examples: int) -> list[Dialogue]:
    """As many dialogues from the front as hold this number of exchanges; the last cut to fit."""
    kept: list[Dialogue] = []
    for dialogue in dialogues:
        if examples <= 0:
            break
        kept.append(dialogue[:examples])
        examples -= len(kept[-1])
    return kept


def _rng(name: str, split: str) -> random.Random:
    return random.Random(f"{SEED} {name} {split}")  # a str seeds the same in every Python


DATA_SETS: dict[str, Callable[[str], list[Dialogue]]] = {
    "deployed": deployed,
    "corrections": corrections,
    "new_plans": new_plans,
    "roaming": roaming,
    "style": style,
    "retain": retain,
}
