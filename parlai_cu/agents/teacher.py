"""
The teacher: any ParlAI generator, ranker or classifier, asked for its logits.

A batch is the student's: both read the same tokens, which is why they must have the same
dictionary.
"""

import contextlib
import functools
import os
import random
import weakref
from collections.abc import Iterator
from typing import Any, NamedTuple

import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.build_data import modelzoo_path
from parlai.core.opt import Opt
from parlai.core.torch_agent import Batch, TorchAgent

from parlai_cu import checkpoints
from parlai_cu.agents import base_agent, kinds, model_files
from parlai_cu.agents.training_step.observation import first_scores
from parlai_cu.errors import UsageError
from parlai_cu.files import file_hash

# options of the student's run that the teacher follows: where it computes, and how precisely
_OF_THE_RUN = ("no_cuda", "gpu", "fp16", "fp16_impl", "datapath")
# one process may hold several agents of one run; they share the teacher
_LOADED: "weakref.WeakValueDictionary[Any, TorchAgent]" = weakref.WeakValueDictionary()
# texts in which tokenizers differ
_PROBES = ("Hello, world! It's 42 o'clock.", "naïve CO2 __start__", "wi-fi  e-mail")


@contextlib.contextmanager
def same_random_numbers() -> Iterator[None]:
    """
    Draw no random numbers from the run's generators.

    A model is initialised before its weights are loaded; whether one is in memory already must
    not change what the student starts from.
    """
    python_state = random.getstate()
    with torch.random.fork_rng():
        try:
            yield
        finally:
            random.setstate(python_state)


class SharedColumns(NamedTuple):
    """
    Columns of scores of the same classes.

    :param own: LongTensor[classes], the student's
    :param theirs: LongTensor[classes], the teacher's
    """

    own: torch.Tensor
    theirs: torch.Tensor


class Teacher:
    """
    A deployed model that is only read.

    :param model_file: path of the model
    :param opt: the options of the student's run
    :param flag: what named it, for messages
    :raises ModelFileError: when it is missing or damaged
    """

    def __init__(self, model_file: str, opt: Opt, flag: str = "--teacher-model") -> None:
        self.model_file = modelzoo_path(opt.get("datapath"), model_file)
        self.flag = flag
        self.opt = model_files.read_opt(self.model_file, flag)
        self.agent_name: str = self.opt.get("base_agent") or self.opt["model"]
        self.base: type[TorchAgent] = base_agent.base_agent_class(self.agent_name, flag)
        self.kind = kinds.check_soft_labels(self.base, f"{flag} {model_file}")
        if not base_agent.brings_its_dictionary(self.base, self.opt):
            model_files.check_dictionary(self.dict_file)
        self._overrides = {name: opt[name] for name in _OF_THE_RUN if name in opt}

    @property
    def dict_file(self) -> str:
        """Path of its dictionary, where that is a file."""
        return f"{self.model_file}.dict"

    @functools.cached_property
    def sha256(self) -> str:
        """Digest of its weights' file."""
        return file_hash(self.model_file)

    @functools.cached_property
    def agent(self) -> TorchAgent:
        """The agent, loaded when first asked for, in evaluation mode."""
        stat = os.stat(self.model_file)
        # by all that a write changes: the time of the last one can be set
        written = (stat.st_ino, stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns)
        key = (os.path.realpath(self.model_file), written, str(self._overrides))
        agent = _LOADED.get(key)
        if agent is None:
            agent = self._load()
            _LOADED[key] = agent
        return agent

    def _load(self) -> TorchAgent:
        overrides = {
            **self._overrides,
            "datatype": "valid",
            "interactive_mode": False,
            "skip_generation": False,
            "model_parallel": False,
            "model": self.agent_name,
        }
        with checkpoints.translate_errors(self.model_file), same_random_numbers():
            agent = create_agent_from_model_file(self.model_file, overrides)
        # every agent wraps its model for distributed training; this one does not train
        if isinstance(agent.model, torch.nn.parallel.DistributedDataParallel):
            agent.model = agent.model.module
        agent.model.requires_grad_(False)
        agent.model.eval()
        return agent

    def parameters(self) -> int:
        """How many parameters it has."""
        return sum(parameter.numel() for parameter in self.agent.model.parameters())

    @torch.no_grad()
    def logits(self, batch: Batch, candidates: torch.Tensor | None = None) -> torch.Tensor:
        """
        What it thinks of a batch, one row a prediction.

        :param batch: its ``text_vec``, and for generators ``label_vec`` [bsz, length]
        :param candidates: for rankers, LongTensor[candidates, length] or [bsz, candidates, length]
        :return: FloatTensor[bsz x length, vocabulary], [bsz, candidates] or [bsz, classes]
        """
        agent = self.agent
        if self.kind == "generator":
            scores = first_scores(agent.model(*agent._model_input(batch), ys=batch.label_vec))
            # some models predict a start token first, which is no part of the label
            scores = scores[:, -batch.label_vec.size(1) :]
            return scores.reshape(-1, scores.size(-1))
        if self.kind == "ranker":
            return agent.score_candidates(batch, candidates)
        return agent.score(batch)

    def replies(self, texts: list[str]) -> list[str]:
        """Its decoded replies to whole dialogue histories, for students of another dictionary."""
        clones = [self.agent.clone() for _ in texts]
        observations = [
            clone.observe({"id": "user", "text": text, "episode_done": True})
            for clone, text in zip(clones, texts)
        ]
        acts = self.agent.batch_act(observations)
        return [act.get("text") or "" for act in acts]

    def check_dictionary(self, dictionary: object, described: str) -> None:
        """
        Make sure that the student reads and writes the same tokens.

        :param dictionary: the student's
        :param described: how to call it in a message
        :raises UsageError: naming both
        """
        options = Opt({**self.opt, "dict_file": self.dict_file})
        own = self.base.dictionary_class()(options)
        # some agents add tokens of their own when they are built
        if _same(own, dictionary) or _same(self.agent.dict, dictionary):
            return
        raise UsageError(
            f"{self.flag} {self.model_file} has the dictionary {_describe(own, self.dict_file)}, "
            f"the student {_describe(dictionary, described)}: a soft label over one says nothing "
            "of the other. Leave --dict-file and --student-agent away, or train on the teacher's "
            "decoded replies with --distill-across-vocabularies true"
        )

    def columns_of(self, classes: dict[str, int]) -> SharedColumns:
        """
        Where the classes that it has in common with a student stand.

        :param classes: the student's, and their columns
        """
        known = self.agent.class_dict
        shared = sorted((column, known[name]) for name, column in classes.items() if name in known)
        own, theirs = torch.tensor(shared).reshape(-1, 2).unbind(dim=1)
        return SharedColumns(own, theirs)


def _same(one: Any, other: Any) -> bool:
    return (
        len(one) == len(other)
        and one.tok2ind == other.tok2ind
        and all(one.txt2vec(text) == other.txt2vec(text) for text in _PROBES)
    )


def _describe(dictionary: Any, path: str) -> str:
    where = path if path and os.path.isfile(path) else type(dictionary).__name__
    tokenizer = getattr(dictionary, "tokenizer", None)
    return f"{where} ({len(dictionary):,d} tokens, {tokenizer})"
