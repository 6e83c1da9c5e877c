"""
DSTC11 track 5, task-oriented dialogue with subjective knowledge, from its original files.

``-t dstc11:detection``: does answering take knowledge? ``-t dstc11:selection``: which snippets?
``-t dstc11:response`` (the default): the answer. ``-t dstc11:dialogues``: the dialogues before it;
``-t dstc11:earlier``: their turns as ones that need no knowledge.
``--dstc11-path`` names the folder.
"""

import copy
import functools
import os
from collections.abc import Iterator, Sequence
from typing import Any

from nltk.corpus import wordnet  # type: ignore[import-untyped]
from nltk.tokenize import wordpunct_tokenize  # type: ignore[import-untyped]
from nltk.translate.meteor_score import meteor_score  # type: ignore[import-untyped]
from parlai.core.message import Message
from parlai.core.metrics import AverageMetric
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import DialogTeacher
from parlai.core.torch_classifier_agent import ConfusionMatrixMetric
from parlai.utils import logging

from parlai_cu.tasks.dstc11.logs import Instance, Knowledge, read

SEEKING, OTHER = "yes", "no"


class Dstc11Teacher(DialogTeacher):
    """Instances of a split, each an episode: the whole history is its text."""

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Add ``--dstc11-path``."""
        super().add_cmdline_args(parser, partial_opt)
        parser.add_argument_group("DSTC11 track 5").add_argument(
            "--dstc11-path",
            type=str,
            default=None,
            help="folder that holds train/, val/, test/ and knowledge.json "
            "(default: dstc11 in the data path)",
        )
        return parser

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        # the options are shared with the other tasks of the command
        opt = copy.deepcopy(opt)
        folder = opt.get("dstc11_path") or os.path.join(opt["datapath"], "dstc11")
        opt["datafile"] = os.path.join(folder, opt["datatype"].split(":")[0])
        super().__init__(opt, shared)
        self.id = opt["task"]

    def setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """
        Yield the examples; each begins an episode.

        :param datafile: the folder, and the split as ParlAI calls it
        """
        instances, knowledge = read(*os.path.split(datafile))
        for instance in instances:
            example = self.example(instance, knowledge)
            if example is not None:
                text = "\n".join(said for _, said in instance.history)
                yield {"text": text, **example}, True

    def example(self, instance: Instance, knowledge: Knowledge) -> dict[str, Any] | None:
        """Labels and more of an example; None to leave the instance out."""
        raise NotImplementedError

    def add_confusion(self, name: str, right: int, wrong: int, missed: int) -> None:
        """
        Count right, wrong and missed ones into ``NAME_p``, ``NAME_r`` and ``NAME_f1``,
        micro-averaged over the split.
        """
        metrics = ConfusionMatrixMetric.compute_many(right, 0, wrong, missed)
        for suffix, metric in zip(("p", "r", "f1"), metrics):
            self.metrics.add(f"{name}_{suffix}", metric)


class DetectionTeacher(Dstc11Teacher):
    """
    Does answering the last turn take knowledge: ``yes`` or ``no``.

    Metrics: ``detection_p``, ``detection_r``, ``detection_f1`` of ``yes`` (the official ones).
    """

    def example(self, instance: Instance, knowledge: Knowledge) -> dict[str, Any] | None:
        """Every instance, with both candidates."""
        label = SEEKING if instance.target else OTHER
        return {"labels": [label], "label_candidates": [SEEKING, OTHER]}

    def custom_evaluation(
        self, teacher_action: Message, labels: Sequence[str] | None, model_response: Message
    ) -> None:
        """Count hits and misses of ``yes``."""
        if not labels or not model_response.get("text"):
            return
        said, true = model_response["text"].strip() == SEEKING, SEEKING in labels
        self.add_confusion("detection", said and true, said and not true, true and not said)


class SelectionTeacher(Dstc11Teacher):
    """
    Which snippets answer the last turn; only where knowledge is sought.

    Candidates are all snippets about the entities that the history names or the gold snippets
    are about. ``hits@1`` and ``hits@5`` are ParlAI's, a hit on any gold snippet. The official
    metrics compare sets: ``selection_p``, ``selection_r``, ``selection_f1`` (micro-averaged) and
    ``selection_em``. A model that answers with several snippets puts each on a line; a ranker's
    set is its first one.
    """

    def example(self, instance: Instance, knowledge: Knowledge) -> dict[str, Any] | None:
        """Only instances that seek knowledge."""
        if not instance.target:
            return None
        history = " \n ".join(said for _, said in instance.history)
        names = dict.fromkeys([*instance.entities, *knowledge.named(history)])
        candidates = [snippet for name in names for snippet in knowledge.snippets(name)]
        return {
            "labels": instance.knowledge,
            "label_candidates": list(dict.fromkeys(candidates)),
        }

    def custom_evaluation(
        self, teacher_action: Message, labels: Sequence[str] | None, model_response: Message
    ) -> None:
        """Compare the set of snippets answered with the gold set."""
        if not labels or not model_response.get("text"):
            return
        said, true = _lines(model_response["text"]), set(labels)
        self.add_confusion("selection", len(said & true), len(said - true), len(true - said))
        self.metrics.add("selection_em", AverageMetric(int(said == true)))


class ResponseTeacher(Dstc11Teacher):
    """
    The answer to a turn that seeks knowledge; the gold snippets stand in ``knowledge``.

    Official metrics: ParlAI's own, with ``--metrics bleu,rouge`` (``bleu-4``, ``rouge_1``,
    ``rouge_2``, ``rouge_L``), and ``meteor`` (Banerjee & Lavie 2005, by NLTK), which needs data
    that no pip package brings: where ``nltk.download("wordnet")`` was never run, a line says so,
    and ``meteor_no_synonyms`` (words and stems alone) stands in for it; they cannot be compared.
    """

    def example(self, instance: Instance, knowledge: Knowledge) -> dict[str, Any] | None:
        """Only instances that seek knowledge."""
        if not instance.target:
            return None
        return {"labels": [instance.response], "knowledge": "\n".join(instance.knowledge)}

    def custom_evaluation(
        self, teacher_action: Message, labels: Sequence[str] | None, model_response: Message
    ) -> None:
        """Add METEOR; without its data that of words and stems."""
        if not labels or not model_response.get("text"):
            return
        references = [word_tokens(label) for label in labels]
        name, more = ("meteor", {}) if _has_wordnet() else ("meteor_no_synonyms", _NO_SYNONYMS)
        value = meteor_score(references, word_tokens(model_response["text"]), **more)
        self.metrics.add(name, AverageMetric(value))


class DialoguesTeacher(Dstc11Teacher):
    """
    The exchanges before the turns that are to be answered: ordinary dialogue, without any labels.
    """

    def setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """
        Yield each user turn that the system answered, once, with what was said before.

        :param datafile: the folder, and the split as ParlAI calls it
        """
        seen: set[str] = set()
        for instance in read(*os.path.split(datafile))[0]:
            turns = instance.history
            for i in range(len(turns) - 1):
                text = "\n".join(said for _, said in turns[: i + 1])
                if (turns[i][0], turns[i + 1][0]) == ("U", "S") and text not in seen:
                    seen.add(text)
                    yield {"text": text, "labels": [turns[i + 1][1]]}, True


class EarlierTeacher(DialoguesTeacher):
    """
    The same turns as :class:`DialoguesTeacher`, labelled ``no``: of the corpus only the last turn
    of a dialogue was written to seek knowledge. Beside ``dstc11:detection`` in training.
    """

    def setup_data(self, datafile: str) -> Iterator[tuple[dict[str, Any], bool]]:
        """
        Yield each earlier user turn, once, with what was said before.

        :param datafile: the folder, and the split as ParlAI calls it
        """
        for example, begins in super().setup_data(datafile):
            labels = {"labels": [OTHER], "label_candidates": [SEEKING, OTHER]}
            yield {**example, **labels}, begins


class DefaultTeacher(ResponseTeacher):
    """The same as ``dstc11:response``."""


class _NoSynonyms:
    """In the place of WordNet."""

    def synsets(self, word: str) -> list[Any]:
        """None."""
        return []


_NO_SYNONYMS: dict[str, Any] = {"wordnet": _NoSynonyms()}


@functools.cache
def _has_wordnet() -> bool:
    """Whether NLTK finds the data that METEOR looks synonyms up in; asked once."""
    try:
        wordnet.ensure_loaded()
    except LookupError:
        logging.warning('No METEOR: it needs NLTK\'s data; run nltk.download("wordnet")')
        return False
    return True


def word_tokens(text: str) -> list[str]:
    """Words and punctuation, in lower case."""
    return wordpunct_tokenize(text.lower())


def _lines(text: str) -> set[str]:
    lines: list[str] = [line.strip() for line in text.split("\n")]
    return {line for line in lines if line}
