"""
ParlAI's training loop loses the run on Ctrl-C, and a resumed run sees other data.

Seen with ParlAI 1.7.2: Ctrl-C in ``parlai train_model`` ends in a traceback and saves
nothing; ``.checkpoint`` exists only with ``--save-every-n-secs`` or ``--save-after-valid``.
A run that is resumed from it draws its examples from the start of the order again, with other
dropout, so its loss curve is not that of an uninterrupted run. At its end it reports on the
checkpoint instead of the best model (``--load-from-checkpoint`` stays set). That ``-mf`` cannot
be written shows at the first save, after hours.

Only agents of ours are concerned (``base_agent`` in the options); for all others the loop is
stock.

How it works: teachers and batches cannot be saved, but they follow from the seed. So a
checkpoint holds how many batches were drawn when the last update was finished, and the state
of the random generators then. A resumed run draws that many batches without computing on
them, restores the generators, and goes on. One process only: with several, the order of the
data is repeated, dropout is not.
"""

import random
import signal
from collections.abc import Iterator
from typing import Any

import parlai.utils.logging as logging
import torch

from parlai_cu.host import Stock, instead_of, run_checks
from parlai_cu.parlai_types import Opt, TrainLoop, World

ResumePoint = dict[str, Any]


@instead_of("parlai.scripts.train_model:TrainLoop.__init__")
def _init(stock: Stock, self: Any, opt: Opt) -> None:
    # before anything is loaded: a wrong setting is to cost seconds, not the run
    run_checks.check_settings(opt)
    if opt.get("base_agent"):
        from parlai_cu.agents.updating_agent import training_loop

        _before_all(opt)
        with training_loop():
            stock(self, opt)
    else:
        stock(self, opt)
    if hasattr(self.agent, "name_tasks"):
        self.agent.name_tasks(_teacher_ids(self.world))
        _name_tasks_of_messages(self.world)


@instead_of("parlai.scripts.train_model:TrainLoop.train_steps")
def _train_steps(stock: Stock, self: Any) -> Iterator[Any]:
    run_checks.check_metric(self)
    if not hasattr(self.agent, "resume_point"):
        yield from stock(self)
        return
    # `create_agent` at the end of the loop is to load the best model, not the checkpoint
    self.opt["load_from_checkpoint"] = False
    _wind_forward(self)
    with _InterruptBetweenUpdates(self) as interrupt:
        try:
            yield from stock(self)
        except KeyboardInterrupt:
            if interrupt.inside_update:
                raise
            _save_interrupted(self)
            raise SystemExit(130) from None
    if hasattr(self.agent, "training_is_done"):
        self.agent.training_is_done()


def _before_all(opt: Opt) -> None:
    """What is checked and prepared before teachers and agent are made."""
    # late: these import agents, which import what is being imported when the repair is applied
    from parlai.core.build_data import modelzoo_path

    from parlai_cu.agents import deployed_model, model_files, replay

    if opt.get("model_file"):
        deployed_model.check_dict_file(opt)
        model_files.check_writable(opt["model_file"])
        model_files.bring_along(modelzoo_path(opt.get("datapath"), opt.get("init_model")), opt)
    # ParlAI seeds after the teachers are built, which may have shuffled by then
    _seed(opt)
    deployed = opt.get("teacher_model") or opt.get("init_model")
    if deployed:
        replay.prepare(opt, modelzoo_path(opt.get("datapath"), deployed))
        # a resumed run has its sample already: what was drawn for it must not tell
        _seed(opt)


def _seed(opt: Opt) -> None:
    from parlai.scripts.train_model import set_seed

    if opt.get("seed") is not None:
        set_seed(opt["seed"])


def _teacher_ids(world: World) -> list[str]:
    """By which ``id`` the messages of each task come, in the order of ``-t``."""
    while hasattr(world, "world"):  # of batches
        world = world.world
    if hasattr(world, "worlds"):  # of several tasks
        return [part.get_task_agent().getID() for part in world.worlds]
    return [world.get_task_agent().getID()]


def _name_tasks_of_messages(world: World, place: int | None = None) -> None:
    """
    Let each message say of which task of ``-t`` it is.

    By its ``id`` one cannot tell: of a task that is several the parts say their own, and of others
    who spoke.
    """
    from parlai.core.worlds import MultiWorld

    from parlai_cu.agents.batches import TASK_OF_MESSAGE

    if isinstance(world, MultiWorld):
        for number, part in enumerate(world.worlds):
            _name_tasks_of_messages(part, number)
        return
    parts = [getattr(world, "world", None), *getattr(world, "worlds", ())]
    if any(parts):
        for part in filter(None, parts):
            _name_tasks_of_messages(part, place)
    elif place is not None:
        teacher = world.get_task_agent()
        act = teacher.act

        def named() -> Any:
            message = act().copy()
            message[TASK_OF_MESSAGE] = place
            return message

        teacher.act = named


def take_resume_point(batches: int) -> ResumePoint:
    """
    Where a run stands after an update.

    :param batches: how many batches it has drawn
    """
    point = {"batches": batches, "torch": torch.get_rng_state(), "python": random.getstate()}
    if torch.cuda.is_available():
        point["cuda"] = torch.cuda.get_rng_state_all()
    return point


def _wind_forward(loop: TrainLoop) -> None:
    point: ResumePoint | None = loop.agent.resume_point
    if not point:
        return
    batches = point["batches"]
    logging.info(f"resuming: winding the data forward over {batches} batches already learnt")
    loop.agent.fast_forward = True
    with loop.world:
        for _ in range(batches):
            loop.world.parley()
    loop.agent.fast_forward = False
    loop.world.reset_metrics()
    # the world has counted these batches itself now
    loop.parleys = batches
    loop._preempted_epochs = 0.0
    python_state = _as_tuples(point["python"])
    if random.getstate() != python_state:
        logging.warning(
            "the order of the data could not be repeated exactly (something else drew random "
            "numbers during training): the loss curve may differ from an uninterrupted run"
        )
    random.setstate(python_state)
    torch.set_rng_state(point["torch"])
    if "cuda" in point and torch.cuda.is_available():
        torch.cuda.set_rng_state_all(point["cuda"])


class _InterruptBetweenUpdates:
    """
    Lets Ctrl-C take effect when an update is complete, and notes the resume point then.

    A second Ctrl-C interrupts at once, as it always did; in the middle of an update nothing is
    saved then.
    """

    def __init__(self, loop: TrainLoop) -> None:
        self.loop = loop
        self.requested = False
        self.inside_update = False
        self.batches = loop.parleys

    def __enter__(self) -> "_InterruptBetweenUpdates":
        self._parley = self.loop.world.parley
        self.loop.world.parley = self._guarded_parley
        try:
            self._handler = signal.signal(signal.SIGINT, self._request)
        except ValueError:  # not in the main thread: nobody can press Ctrl-C there
            self._handler = None
        return self

    def __exit__(self, *exc_info: Any) -> None:
        if self._handler is not None:
            signal.signal(signal.SIGINT, self._handler)
        world = getattr(self.loop, "world", None)  # the loop drops it when it is done
        if world is not None:
            world.parley = self._parley

    def _request(self, number: int, frame: object) -> None:
        if self.requested:
            raise KeyboardInterrupt
        self.requested = True
        logging.warning("Ctrl-C: stopping after this update (press again to stop at once)")

    def _guarded_parley(self) -> None:
        agent = self.loop.agent
        if self.requested and agent._number_grad_accum == 0:
            raise KeyboardInterrupt
        self.inside_update = True
        self._parley()
        self.inside_update = agent._number_grad_accum != 0
        self.batches += 1
        if agent._number_grad_accum == 0:
            agent.resume_point = take_resume_point(self.batches)


def _save_interrupted(loop: TrainLoop) -> None:
    model_file = loop.opt.get("model_file")
    if not model_file or not loop.agent.resume_point:
        logging.warning("interrupted before the first update was complete: nothing to save")
        return
    loop.save_model(".checkpoint")
    logging.warning(
        f"interrupted after update {loop.agent._number_training_updates}; saved "
        f"{model_file}.checkpoint. Run the same command to go on from there"
    )


def _as_tuples(state: object) -> Any:
    return tuple(_as_tuples(part) for part in state) if isinstance(state, (list, tuple)) else state
