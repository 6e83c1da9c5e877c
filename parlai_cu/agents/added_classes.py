"""
``--add-classes``: a classifier of ``--init-model`` learns classes that it did not have.

Its head gets a row for each; the old ones stay where they are, and where nothing else is chosen to
learn (``--tune``), they stay bit for bit.
"""

from typing import Any

import torch
from parlai.core.opt import Opt

from parlai_cu.agents import kinds
from parlai_cu.errors import UsageError
from parlai_cu.parlai_types import Parser


def add_flags(parser: Parser, of: str, more: str = "") -> None:
    """
    Add the flag to an agent's.

    :param parser: a ParlaiParser or a group of one
    :param of: the flag that names the deployed model
    :param more: what else its help says
    """
    parser.add_argument(
        "--add-classes",
        default=None,
        help=f"classifiers: classes that {of} does not have, with commas{more}",
    )


def widened(deployed: Opt, opt: Opt, base: type) -> Opt:
    """
    The options of a deployed model, with the classes that are added.

    :param deployed: the options
    :param opt: of the run
    :param base: the deployed model's agent
    :raises UsageError: when it has no classes, or has one already
    """
    added = _added(opt)
    if not added:
        return deployed
    if kinds.kind_of_class(base) != "classifier":
        raise UsageError(f"--add-classes {opt['add_classes']}: {base.__name__} has no classes")
    known = kinds.class_names(deployed)
    again = sorted(set(added) & set(known))
    if again:
        raise UsageError(f"--add-classes {', '.join(again)}: the deployed model has it already")
    weights = deployed.get("class_weights")
    return Opt(
        {
            **deployed,
            "classes": [*known, *added],
            "classes_from_file": None,
            "class_weights": [*weights, *[1.0 for _ in added]] if weights else weights,
        }
    )


def take_over(opt: Opt, deployed: Opt) -> None:
    """Let a run have the classes of :func:`widened` options (``deployed``)."""
    if _added(opt):
        for name in ("classes", "classes_from_file", "class_weights"):
            opt[name] = deployed.get(name)


class AddedClasses:
    """
    The rows of new classes in a model.

    :param opt: of the run
    """

    def __init__(self, opt: Opt) -> None:
        self.count = len(_added(opt))
        # tensors that got rows
        self.names: list[str] = []
        # head's tensor -> its old rows, where only new ones are to learn
        self._old: dict[str, torch.Tensor] = {}

    def widen(self, states: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
        """
        A deployed model's tensors with rows for the new classes; untouched where they are there.

        :param states: of the file
        :param own: of the model that they are loaded into
        """
        if not self.count:
            return states
        wider, self.names = dict(states), []
        for name, tensor in states.items():
            mine = own.get(name)
            if mine is None or mine.shape == tensor.shape or mine.dim() != tensor.dim():
                continue
            if tensor.dim() and mine.size(0) == tensor.size(0) + self.count:
                # as likely as the others: what is not known of them is said of no other
                row = tensor.float().mean(dim=0, keepdim=True).to(tensor.dtype)
                more = row.expand(self.count, *tensor.shape[1:])
                wider[name] = torch.cat([tensor, more])
                self.names.append(name)
        return wider

    def keep_old_rows(self, model: torch.nn.Module, before: Any = None) -> list[str]:
        """
        From now on :meth:`restore` gives the old classes their rows back.

        :param model: the model, loaded
        :param before: names of the head's tensors, of a run that goes on
        :return: the same
        """
        tensors, names = dict(model.named_parameters()), list(before or self.names)
        self._old = {n: tensors[n].detach()[: -self.count].clone() for n in names}
        return names

    @torch.no_grad()
    def restore(self, model: torch.nn.Module) -> None:
        """After an update: only the new rows have learnt."""
        tensors = dict(model.named_parameters()) if self._old else {}
        for name, rows in self._old.items():
            tensors[name][: len(rows)].copy_(rows)


def _added(opt: Opt) -> list[str]:
    given = opt.get("add_classes") or ""
    words = given.split(",") if isinstance(given, str) else list(given)
    return list(dict.fromkeys(word.strip() for word in words if word.strip()))
