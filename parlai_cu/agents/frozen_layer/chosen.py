"""What learns in a run of ``-m frozen_layer``, decided once its model is loaded."""

import dataclasses
from typing import Any

import torch

from parlai_cu.agents.frozen_layer import holdings
from parlai_cu.errors import ModelFileError, UsageError
from parlai_cu.selection import lora, report
from parlai_cu.selection.catalogue import TensorInfo
from parlai_cu.selection.guard import FrozenGuard
from parlai_cu.selection.patterns import Selection


@dataclasses.dataclass
class Chosen:
    """
    :param selection: of the model's tensors; with low-rank factors none of them learns
    :param names: of all that was selected, sorted
    :param adapted: weights that have low-rank factors
    :param rank_alpha: rank and scale of the factors, if there are any
    :param beside: tensors of any shape that stand beside the model
    :param guard: of what is frozen
    :param auto: how ``--tune auto`` was settled, for the record
    :param half: whether the model in memory is rounded
    """

    selection: Selection
    names: list[str]
    adapted: list[TensorInfo]
    rank_alpha: list[float] | None
    beside: dict[str, torch.Tensor]
    guard: FrozenGuard
    auto: dict[str, Any] | None
    half: bool

    @property
    def by(self) -> str:
        """The flags that chose it."""
        return described(self.selection, self.rank_alpha)

    def check_bits(self, previous: dict[str, Any], path: str | None) -> None:
        """
        Make sure that a checkpoint's frozen tensors are those that were saved.

        :param previous: the record in it
        :param path: of it
        :raises ModelFileError: when they are not
        """
        # under fp16 the model in memory is rounded, and the digests are of the rounding
        shared = (set(previous["digests"]) & set(self.guard.digests)) - set(self.beside)
        other = [n for n in shared if previous["digests"][n] != self.guard.digests[n]]
        if previous["half"] == self.half and other:
            raise ModelFileError(
                f"{path} is damaged: frozen tensors are not those it was saved with "
                f"({', '.join(sorted(other)[:3])}). Delete it to go on from the deployed model"
            )

    def summary(self, learning: int, optimizer: str, resumed: bool) -> str:
        """
        For the log.

        :param learning: how many parameters learn
        :param optimizer: ParlAI's name of it
        :param resumed: whether the run goes on
        """
        if resumed:
            return f"{learning:,d} parameters learn: {self.by}"
        adapted = [t.name for t in self.adapted]
        return report.report(
            self.selection, optimizer, extra=learning if adapted else 0, adapted=adapted or None
        )

    def settle(self, agent: Any, states: dict[str, Any]) -> dict[str, Any]:
        """
        Verify what an agent is about to save, merge its factors, and say what was chosen.

        :param agent: in training
        :param states: all that it saves; changed in place
        :return: for the record
        :raises FrozenBreachError: when a frozen tensor is not what it was
        """
        model = states["model"]
        # what is no parameter may have been put in place of what was there
        beside = {**self.beside, **holdings.beside_the_model(agent, (), states)}
        self.guard.verify({**beside, **model})
        # first the file's precision, then the product on top: the other way round the former
        # would overwrite the latter under fp16
        self.guard.restore(model, {t.name: list(t.aliases) for t in self.selection.frozen})
        merged = lora.merge(agent.bare_model(), model, self.adapted)
        return {
            "chosen_by": self.by,
            "auto": self.auto,
            "selected": self.names,
            # what stands beside the model may not be in the file at all
            "digests": {n: d for n, d in self.guard.digests.items() if n not in self.beside},
            "half": self.half,
            "lora": {"setting": self.rank_alpha, **merged},
        }


def described(selection: Selection, rank_alpha: list[float] | None) -> str:
    """
    The flags that a selection is of.

    :param selection: of tensors
    :param rank_alpha: of low-rank factors
    """
    return selection.describe() + (f" --lora-rank {rank_alpha[0]:.0f}" if rank_alpha else "")


def check_same_run(
    previous: dict[str, Any],
    selection: Selection,
    names: list[str],
    rank_alpha: list[float] | None,
    model_file: str,
) -> None:
    """
    Refuse to go on with another selection than a run was begun with.

    :param previous: the record in its checkpoint
    :param selection: of this command
    :param names: of all that it selects, sorted
    :param rank_alpha: of low-rank factors
    :param model_file: of the run
    :raises UsageError: naming both
    """
    if (names, rank_alpha) != (previous["selected"], previous["lora"]["setting"]):
        raise UsageError(
            f"-mf {model_file} was begun with {previous['chosen_by']} "
            f"({len(previous['selected'])} tensors) and cannot go on with "
            f"{described(selection, rank_alpha)} ({len(names)} tensors); repeat the "
            "first selection, or choose another -mf"
        )
