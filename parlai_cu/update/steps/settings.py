"""What an update is asked to do, and what all its steps work with."""

import dataclasses
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from parlai.core.opt import Opt

from parlai_cu.update import gate, safety
from parlai_cu.update.steps.data import Data
from parlai_cu.update.steps.evaluation import EvaluatedModel
from parlai_cu.update.steps.step_cache import StepCache

UserCheck = Callable[[Sequence[safety.Pair]], Any]


@dataclass(frozen=True)
class UpdateSettings:
    """
    What the command asks for, beside the tasks.

    :param versions: directory of versions
    :param task: the update's, as for ``-t``
    :param retained: tasks whose skill is to stay
    :param mode: ``auto`` or one of :data:`~parlai_cu.update.choice.MODES`
    :param kb: URI of the knowledge base in service
    :param limits: of the gate
    :param checks: the user's, ``my.module:check``
    :param examples: how many of each held-out set are answered by both models
    :param promote: go live when accepted
    :param channel: which channel is updated
    :param training: more flags for ``parlai train_model``
    :param out: folder of the report and of what is kept on the way
    :param seed: of splits and training
    :param max_slower: allowed ratio of the latencies: times as many seconds a reply
    :param dry_run: end after diagnosis and choice
    """

    versions: str
    task: str
    retained: Sequence[str] = ()
    mode: str = "auto"
    kb: str | None = None
    limits: gate.GateLimits = dataclasses.field(default_factory=gate.GateLimits)
    checks: Sequence[str] = ()
    examples: int = 500
    promote: bool = False
    channel: str = "live"
    training: Sequence[str] = ()
    out: str | None = None
    seed: int = 0
    max_slower: float = safety.MAX_SLOWER
    dry_run: bool = False

    def key(self, live: str) -> str:
        """What the work on a live version depends on: the same command finds its work again."""
        told = [live, self.task, *self.retained, self.mode, self.kb, *self.training, self.seed]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]

    def folder(self, live: str) -> str:
        """Of the report, and of what is kept on the way; ``live``: the version in service."""
        if self.out:
            return os.path.abspath(self.out)
        where = self.versions
        where = "updates" if "://" in where else os.path.abspath(where).rstrip("/") + ".updates"
        return os.path.join(where, f"{live.split('-')[0]}-{self.key(live)}")


@dataclass(frozen=True)
class UpdateContext:
    """
    What the steps have in common.

    :param settings: of the command
    :param opt: where data lies and which device, as ParlAI read it
    :param user_checks: those that the settings name
    :param kept: what was found out so far, in the folder of the report
    :param live_file: file of the model in service
    :param model: that model
    :param update: the update's data
    :param old: the retained tasks; may be none
    """

    settings: UpdateSettings
    opt: Opt
    user_checks: Sequence[UserCheck]
    kept: StepCache
    live_file: str
    model: EvaluatedModel
    update: Data
    old: Sequence[Data]

    @property
    def tasks(self) -> tuple[Data, ...]:
        """The update, then what is retained."""
        return (self.update, *self.old)

    @property
    def data_folder(self) -> str:
        """Where examples are written."""
        return os.path.join(self.kept.folder, "data")

    def model_file(self, name: str) -> str:
        """Where a model that the update makes is put: ``candidate``, or one on the way to it."""
        return os.path.join(self.kept.folder, name, "model")
