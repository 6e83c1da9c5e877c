"""
The files of DSTC11 track 5 (Kim et al. 2023, "Task-Oriented Conversational Modeling with Subjective
Knowledge Track in DSTC11").
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

from parlai_cu.errors import DataError

SOURCE = "https://github.com/alexa/dstc11-track5"
# ParlAI's name of a split -> the folder's
FOLDERS = {"train": "train", "valid": "val", "test": "test"}


class Instance(NamedTuple):
    """
    A dialogue up to the turn that is to be answered.

    :param history: (speaker ``U`` or ``S``, text), the customer's last
    :param target: whether answering takes knowledge
    :param knowledge: the gold snippets as text
    :param entities: the names of the entities that the gold snippets are about
    :param response: the gold answer, empty if no knowledge is sought
    """

    history: list[tuple[str, str]]
    target: bool
    knowledge: list[str]
    entities: list[str]
    response: str


class Knowledge:
    """
    Reviews and FAQs about the entities.

    :param content: knowledge.json: domain -> entity id -> name, reviews, faqs
    """

    def __init__(self, content: dict[str, Any]) -> None:
        self.entities: dict[tuple[str, str], dict[str, Any]] = {
            (domain, entity_id): entity
            for domain, entities in content.items()
            for entity_id, entity in entities.items()
        }

    def snippets(self, name: str) -> list[str]:
        """All snippets about the entities of a name."""
        snippets_there: list[str] = []
        for entity in self.entities.values():
            if entity["name"] == name:
                snippets_there.extend(_snippets(entity))
        return snippets_there

    def named(self, text: str) -> list[str]:
        """The names of the entities that a text mentions."""
        text = f" {text.lower()} "
        names = {entity["name"] for entity in self.entities.values()}
        return sorted(name for name in names if f" {name.lower()} " in _spaced(text))

    def resolve(self, reference: dict[str, Any]) -> tuple[str, str]:
        """
        The entity's name and the snippet that a reference, an entry of labels.json, means.

        :raises KeyError: there is no such snippet
        """
        entity = self.entities[reference["domain"], str(reference["entity_id"])]
        document = str(reference["doc_id"])
        if reference["doc_type"] == "faq":
            return entity["name"], _faq(entity, document)
        sentences = entity["reviews"][document]["sentences"]
        return entity["name"], _said(entity, sentences[str(reference["sent_id"])])


def read(folder: str, split: str) -> tuple[list[Instance], Knowledge]:
    """
    The instances of a split and the knowledge they draw on.

    :param folder: holds train/, val/, test/ and knowledge.json
    :param split: ``train``, ``valid`` or ``test``
    :raises DataError: a file is missing or not in its format
    """
    part = Path(folder) / FOLDERS[split]
    knowledge = Knowledge(_load(Path(folder) / "knowledge.json"))
    logs, labels = _load(part / "logs.json"), _load(part / "labels.json")
    if len(logs) != len(labels):
        raise DataError(
            f"{part}: logs.json has {len(logs)} instances and labels.json {len(labels)}; "
            f"they belong together line by line. Fetch both again from {SOURCE}."
        )
    return list(_instances(logs, labels, knowledge, part)), knowledge


def _instances(
    logs: list[Any], labels: list[Any], knowledge: Knowledge, part: Path
) -> Iterator[Instance]:
    for number, (log, label) in enumerate(zip(logs, labels)):
        try:
            snippets = [knowledge.resolve(entry) for entry in label.get("knowledge", [])]
            yield Instance(
                history=[(turn["speaker"], turn["text"]) for turn in log],
                target=bool(label["target"]),
                knowledge=list(dict.fromkeys(snippet for _, snippet in snippets)),
                entities=list(dict.fromkeys(name for name, _ in snippets)),
                response=label.get("response", ""),
            )
        except (KeyError, TypeError, AttributeError) as error:
            raise DataError(
                f"{part}: instance {number} is not in the format of DSTC11 track 5 "
                f"({type(error).__name__}: {error}). Fetch the files again from {SOURCE}."
            ) from error


def _load(path: Path) -> Any:
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise DataError(
            f"{path} is missing: fetch the data/ folder of {SOURCE} and name it with "
            "--dstc11-path; it holds train/, val/, test/ and knowledge.json."
        ) from error
    except ValueError as error:
        raise DataError(f"{path} is not JSON: {error}. Fetch it again from {SOURCE}.") from error


def _snippets(entity: dict[str, Any]) -> Iterator[str]:
    for review in entity.get("reviews", {}).values():
        for sentence in review["sentences"].values():
            yield _said(entity, sentence)
    for document in entity.get("faqs", {}):
        yield _faq(entity, document)


def _said(entity: dict[str, Any], sentence: str) -> str:
    return f"{entity['name']}: {sentence}"


def _faq(entity: dict[str, Any], document: str) -> str:
    faq = entity["faqs"][document]
    return f"{entity['name']}: {faq['question']} {faq['answer']}"


def _spaced(text: str) -> str:
    return "".join(c if c.isalnum() or c in "'&-" else " " for c in text)
