"""
ParlAI's distributed training takes CUDA and NCCL for granted.

Seen with ParlAI 1.7.2 on a machine without a GPU: ``parlai multiprocessing_train
--distributed-world-size 2`` ends in "integer modulo by zero" (``rank %
torch.cuda.device_count()``), and past that in "No CUDA" from ``all_gather_list``. Once in some
forty runs a process that has done its work aborts at exit ("terminate called without an active
exception"), and the run counts as failed; more often on a busy machine one never ends.
Goes when: never; ParlAI is archived.

Without a GPU the processes talk through gloo, which torch brings.
"""

import atexit
import contextlib
import functools
import gc
from collections.abc import Callable, Iterator
from typing import Any
from unittest import mock

import torch
import torch.distributed as dist

from parlai_cu.parlai_types import Opt


def needed() -> str | None:
    """Why the repair is active, or None."""
    if torch.cuda.is_available():
        return None
    return "no GPU here, and ParlAI's distributed training knows only NCCL; it goes through gloo"


def after(module: Any) -> None:
    """Repair parlai.utils.distributed, and the train loop in parlai.utils.fsdp."""
    if module.__name__ == "parlai.utils.fsdp":
        module.JoinableTrainLoop.join_device = property(lambda loop: torch.device("cpu"))
        module.JoinableEvaluator.join_device = property(lambda evaluator: torch.device("cpu"))
        return
    module.all_gather_list = all_gather_list
    stock = module.distributed_context

    @functools.wraps(stock)
    @contextlib.contextmanager
    def distributed_context(
        rank: int, opt: Opt, rank_offset: int = 0, gpu: int | None = None, **kwargs: Any
    ) -> Iterator[Any]:
        with contextlib.ExitStack() as stack:
            gloo = functools.partial(_init_process_group, dist.init_process_group)
            stack.enter_context(mock.patch.object(dist, "init_process_group", gloo))
            stack.enter_context(mock.patch.object(torch.cuda, "init", lambda: None))
            # as a method of the class, so that ParlAI's isinstance checks still hold
            wrapped = _without_device_ids(torch.nn.parallel.DistributedDataParallel.__init__)
            stack.enter_context(
                mock.patch.object(torch.nn.parallel.DistributedDataParallel, "__init__", wrapped)
            )
            yield stack.enter_context(
                stock(rank, opt, rank_offset, -1 if gpu is None else gpu, **kwargs)
            )
            # A gloo thread that lets go of a tensor while Python shuts down aborts the process
            # (pytorch pull request 179291). So nobody leaves before all are done, and the group
            # is freed, which joins its threads, while Python is alive.
            dist.barrier()
            atexit.register(_let_go, [dist.group.WORLD])

    module.distributed_context = distributed_context


def _let_go(groups: list[Any]) -> None:
    # A wrapped model that is the last to hold the group joins the threads without giving up
    # Python's lock, which these may be waiting for: neither goes on. Held here, it is not the
    # last; this list is, and a group that is freed from Python gives up the lock.
    gc.collect()
    groups.clear()


def all_gather_list(data: object) -> list[Any]:
    """
    Gather an object from every process.

    :param data: this process's object; picklable
    :return: the objects of all processes, by rank
    """
    if not (dist.is_available() and dist.is_initialized()):
        return [data]
    gathered: list[Any] = [None] * dist.get_world_size()
    dist.all_gather_object(gathered, data)
    return gathered


def _init_process_group(stock: Callable[..., Any], backend: str, **kwargs: Any) -> None:
    stock(backend="gloo", **kwargs)


def _without_device_ids(stock: Callable[..., Any]) -> Any:
    @functools.wraps(stock)
    def __init__(
        self: Any, module: torch.nn.Module, device_ids: object = None, **kwargs: Any
    ) -> None:
        # ParlAI names a GPU even for a module that is on the CPU
        stock(self, module, device_ids=None, **kwargs)

    return __init__
