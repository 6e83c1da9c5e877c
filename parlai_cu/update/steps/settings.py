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
from parlai_cu.update.step_cache import StepCache
from parlai_cu.update.steps.data import Data
from parlai_cu.update.steps.evaluation import EvaluatedModel

# examples of update and of old data, to look at before anything is learnt
LOOKED_AT = 200

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
    :param out: folder of the report
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

    @property
    def updates_folder(self) -> str:
        """Of all updates of the directory: what they have done, and their reports."""
        where = self.versions
        return "updates" if "://" in where else os.path.abspath(where).rstrip("/") + ".updates"

    def report_folder(self, live: str, content: str) -> str:
        """
        Of the report.

        :param live: id of the version in service
        :param content: fingerprint of the data
        """
        if self.out:
            return os.path.abspath(self.out)
        told = [live, self.task, *self.retained, self.mode, self.kb, *self.training, self.seed]
        key = hashlib.sha256(json.dumps([*told, content]).encode()).hexdigest()[:8]
        return os.path.join(self.updates_folder, f"{live.split('-')[0]}-{key}")


@dataclass(frozen=True)
class UpdateContext:
    """
    What the steps have in common.

    :param settings: of the command
    :param opt: where data lies and which device, as ParlAI read it
    :param user_checks: those that the settings name
    :param cache: what was done so far
    :param model: the one in service
    :param update: the update's data
    :param old: the retained tasks; may be none
    """

    settings: UpdateSettings
    opt: Opt
    user_checks: Sequence[UserCheck]
    cache: StepCache
    model: EvaluatedModel
    update: Data
    old: Sequence[Data]

    @property
    def tasks(self) -> tuple[Data, ...]:
        """The update, then what is retained."""
        return (self.update, *self.old)
