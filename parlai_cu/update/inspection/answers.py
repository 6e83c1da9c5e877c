"""What is true already: the answers of a knowledge base and of earlier updates."""

import os
from collections.abc import Sequence

from parlai_cu.data.base import TrainingTurn
from parlai_cu.data.names import path_of
from parlai_cu.types import Turn
from parlai_cu.update import knowledge
from parlai_cu.update.inspection.base import InspectedConversation, of_turns
from parlai_cu.update.wording import normal
from parlai_cu.versions.store import VersionStore


def of_knowledge(
    uri: str, conversations: Sequence[InspectedConversation]
) -> list[InspectedConversation]:
    """
    The entries of a knowledge base that answer the questions of some data.

    :param uri: of the knowledge base
    :param conversations: of the data
    """
    find = knowledge.finder(uri)
    found: dict[str, InspectedConversation] = {}
    asked = {turn.text: None for conversation in conversations for turn in conversation.turns}
    for question in asked:
        for evidence in find(Turn(question, ())) if find else ():
            if evidence.question and normal(evidence.question) == normal(question):
                turn = TrainingTurn(question, evidence.text, 0)
                place = f"{evidence.source}, {evidence.id}"
                found[evidence.id] = of_turns(place, (turn,))
    return list(found.values())


def of_versions(versions: str, files: Sequence[str]) -> dict[str, str]:
    """
    The tasks that accepted versions learnt, by the name of the update.

    :param versions: their directory
    :param files: that are inspected now, and not compared with themselves
    """
    now = {os.path.abspath(path) for path in files}
    found = {}
    for version in VersionStore(versions).list():
        task = str((version.data or {}).get("task") or "")
        accepted = version.verdict is not None and version.verdict.accepted
        if task and accepted and os.path.abspath(path_of(task) or "") not in now:
            found[f"update of {version.id}"] = task
    return found
