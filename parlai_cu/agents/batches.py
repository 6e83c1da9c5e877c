"""What distillation needs of ParlAI's batches: some examples, and which task each is of."""

from collections.abc import Sequence
from typing import Any

import torch
from parlai.core.torch_agent import Batch

from parlai_cu.errors import UsageError, nearest


def examples(batch: Batch, which: torch.Tensor) -> Batch:
    """
    Some examples of a batch.

    :param batch: fields with one entry an example are cut, others kept
    :param which: LongTensor[examples chosen], their indices
    """
    size = batch.batchsize
    if len(which) == size:
        return batch
    chosen = which.tolist()

    def cut(value: object) -> Any:
        if torch.is_tensor(value) and value.dim() and value.size(0) == size:
            return value[which.to(value.device)]
        if isinstance(value, (list, tuple)) and len(value) == size:
            return [value[i] for i in chosen]
        return value

    fields = {name: cut(value) for name, value in batch.items()}
    return Batch(**{**fields, "batchsize": len(chosen)})


def rows_of(which: torch.Tensor, length: int) -> torch.Tensor:
    """The rows of some examples, where each has ``length``: LongTensor[len(which) x length]."""
    return (which.unsqueeze(1) * length + torch.arange(length, device=which.device)).flatten()


# the field of a message in training that says which task of -t it is of, by its place there
TASK_OF_MESSAGE = "parlai_cu_task"


class TaskRoles:
    """
    Which tasks are the original data and which are the update.

    :param tasks: what ``-t`` names
    :param update: what ``--update-task`` names; by default the last of several tasks
    :param replay: the task that replays old data, if there is one: all others are the update then
    :raises UsageError: when the update is not among the tasks
    """

    def __init__(self, tasks: Sequence[str], update: str | None, replay: str | None = None) -> None:
        self.tasks = list(tasks)
        self.update: list[str] = self.tasks[-1:] if len(self.tasks) > 1 else []
        if replay in self.tasks:
            self.update = [task for task in self.tasks if task != replay]
        if update is not None:
            self.update = [] if update == "none" else update.split(",")
        for name in self.update:
            if name not in self.tasks:
                close = nearest(name, self.tasks) or self.tasks
                raise UsageError(
                    f"--update-task {name}: expected some of what -t names, or 'none'; nearest: "
                    f"{', '.join(close)}"
                )
        self.original = [task for task in self.tasks if task not in self.update]
        self._ids = {task: task for task in self.tasks}

    def name_teachers(self, ids: Sequence[str]) -> None:
        """
        Say by which ``id`` each task's messages come.

        :param ids: in the order of the tasks
        """
        self._ids = dict(zip(ids, self.tasks))

    def is_update(self, observation: Any) -> bool:
        """
        Whether a message is of the update.

        :raises UsageError: when it is of none of the tasks
        """
        if not self.update or not self.original:
            return bool(self.update)
        place = observation.get(TASK_OF_MESSAGE)
        task = self._ids.get(observation.get("id")) if place is None else self.tasks[place]
        if task is None:
            raise UsageError(
                f"an example says it is from {observation.get('id')!r}, none of the tasks of -t "
                f"({', '.join(self._ids)}), so it is unknown whether it is original data or update"
            )
        return task in self.update
