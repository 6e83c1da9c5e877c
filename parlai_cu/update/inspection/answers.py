"""What is true already: the answers of a knowledge base and of earlier updates."""

import os
from collections.abc import Sequence

from parlai_cu.data.base import TrainingTurn
from parlai_cu.data.names import path_of
from parlai_cu.data.reading import read_path
from parlai_cu.errors import DataError
from parlai_cu.types import Turn
from parlai_cu.update import knowledge
from parlai_cu.update.inspection.base import InspectedConversation, of_file, of_turns
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
    for conversation in conversations:
        question = conversation.turns[0].text
        for evidence in find(Turn(question, ())) if find else ():
            if evidence.question and normal(evidence.question) == normal(question):
                turn = TrainingTurn(question, evidence.text, 0)
                place = f"{evidence.source}, {evidence.id}"
                found[evidence.id] = of_turns(place, (turn,))
    return list(found.values())


def of_versions(versions: str, files: Sequence[str]) -> dict[str, list[InspectedConversation]]:
    """
    What accepted versions learnt from files that are still there.

    :param versions: their directory
    :param files: that are inspected now, and not compared with themselves
    """
    now = {os.path.abspath(path) for path in files}
    found = {}
    for version in VersionStore(versions).list():
        path = path_of(str((version.data or {}).get("task") or ""))
        accepted = version.verdict is not None and version.verdict.accepted
        if not path or not accepted or os.path.abspath(path) in now:
            continue
        try:
            read = read_path(path)
        except DataError:
            continue  # something else is called so now
        found[f"update of {version.id}"] = [one for held in read for one in of_file(held)]
    return found
