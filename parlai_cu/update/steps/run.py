"""The life of an update, step by step; what is done is kept beside the report, and not repeated."""

import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from parlai_cu.agents import model_files
from parlai_cu.errors import DataError, UsageError
from parlai_cu.types import NOT_ENOUGH_DATA, Verdict
from parlai_cu.update import knowledge, report, safety
from parlai_cu.update.choice import KB, NOTHING, ModeChoice, check_mode, choose
from parlai_cu.update.diagnosis import Diagnosis, diagnose, leaked
from parlai_cu.update.steps import comparison, learning, reporting, vocab_extension
from parlai_cu.update.steps.data import Data, prepare
from parlai_cu.update.steps.evaluation import EvaluatedModel, Measured
from parlai_cu.update.steps.reporting import say
from parlai_cu.update.steps.settings import UpdateContext, UpdateSettings
from parlai_cu.update.steps.step_cache import StepCache
from parlai_cu.update.two_sample import tf_idf
from parlai_cu.versions.facts import snapshot_now
from parlai_cu.versions.store import VersionStore

# of update and old data, to look at before anything is learnt
_LOOKED_AT = 200
_GRADIENTS = 64
# replies in the report
_SHOWN = 20


class Update:
    """
    One update of the model in service.

    :param settings: of the command
    :param opt: where data lies and which device, as ParlAI read it
    :raises UsageError: when the channel serves nothing yet
    """

    def __init__(self, settings: UpdateSettings, opt: Opt) -> None:
        self.settings, self.opt = settings, opt
        check_mode(settings.mode)
        self.user_checks = safety.user_checks(settings.checks)
        self.store = VersionStore(settings.versions, path_manager=PathManager)
        live = self.store.channel(settings.channel)
        if live is None:
            raise UsageError(
                f"--versions {settings.versions}: the channel {settings.channel} serves nothing "
                f"yet. Put the model in service there first: parlai versions --versions "
                f"{settings.versions} import --model-file MODEL, then promote it"
            )
        self.live = live
        self.live_file = self.store.model_file(live)
        self.seconds: dict[str, float] = {}
        self.kept = StepCache(settings.folder(live))

    def run(self) -> dict[str, Any]:
        """
        Do all of it; the report.

        :raises DataError: when the update holds test data of what is to be retained, or nothing
        """
        settings = self.settings
        say(f"{settings.task} for {self.live}; report and work in {self.kept.folder}")
        update, old = self._timed("reading", self._read)
        model = EvaluatedModel(self.opt, self.live_file)
        work = UpdateContext(
            settings, self.opt, self.user_checks, self.kept, self.live_file, model, update, old
        )
        diagnosis = self._timed("diagnosis", lambda: self._diagnose(work))
        choice = choose(diagnosis, settings.mode, settings.kb is not None)
        about = reporting.choice_made(work, self.live, diagnosis, choice)
        if choice.mode == NOTHING or settings.dry_run:
            verdict = Verdict(NOT_ENOUGH_DATA, ("nothing was trained: " + choice.reason,))
            return reporting.verdict(work, about, verdict, self.seconds)
        answers = comparison.held_out(work, model, "live")
        # before the training: what cannot be gated is not worth it
        limits = comparison.limits_of(work, answers, choice)
        facts = self._knowledge(work, choice, diagnosis)
        about["training"] = self._timed(
            "training", lambda: learning.learn(work, choice, diagnosis, facts, limits)
        )
        candidate = EvaluatedModel(
            self.opt, work.model_file("candidate"), facts.candidate_uri if facts else None
        )
        verdict, pairs = self._timed(
            "gate",
            lambda: comparison.judge(work, candidate, answers, limits, choice, diagnosis),
        )
        about["replies"] = report.most_changed(pairs, _SHOWN)
        about["metrics"] = [dict(check) for check in verdict.checks]
        if facts is not None:
            facts.settle(work.model_file("candidate"))
        about["version"] = self._keep(work, verdict, choice, facts)
        if verdict.accepted and settings.promote:
            about["promoted"] = self._promote(about["version"], facts)
        return reporting.verdict(work, about, verdict, self.seconds)

    def _read(self) -> tuple[Data, list[Data]]:
        folder = os.path.join(self.kept.folder, "data")
        seed = self.settings.seed
        update = prepare(self.opt, self.settings.task, folder, seed)
        old = [prepare(self.opt, t, folder, seed, "--retain-task") for t in self.settings.retained]
        self._refuse_leak(update, old)
        return update, old

    def _refuse_leak(self, update: Data, old: Sequence[Data]) -> None:
        for data in old:
            found = leaked(update.examples["train"], data.examples["test"], data.examples["train"])
            if found:
                shown = "; ".join(f"{e.text!r} -> {e.label!r}" for e in found[:3])
                raise DataError(
                    f"-t {update.name}: {len(found)} of its training examples are test data of "
                    f"--retain-task {data.name} ({shown}). What is trained on its own test cannot "
                    "be judged by it: take them out of the update"
                )

    def _diagnose(self, work: UpdateContext) -> Diagnosis:
        model, update, old = work.model, work.update, work.old
        replied = self.kept.measured(
            "live-update-train",
            lambda: model.measure(update.task, "train:evalmode", _LOOKED_AT),
        )
        known: list[Measured] = []
        for i, data in enumerate(old):
            known += self.kept.measured(
                f"live-old{i}-train",
                lambda data=data: model.measure(data.task, "train:evalmode", _LOOKED_AT),
            )
        cosine = None
        if old:
            tasks = ",".join(data.task for data in old)
            cosine = self.kept.plain(
                "gradients", lambda: model.gradient_cosine(update.task, tasks, _GRADIENTS)
            )
        return diagnose(
            update.examples["train"],
            [m.replied for m in replied],
            [e for data in old for e in data.examples["train"]],
            [m.replied for m in known],
            find=knowledge.finder(self.settings.kb),
            embed=model.embed() or tf_idf,
            gradient_conflict=cosine,
            unwritable=(
                vocab_extension.unwritable(model.agent.dict, update.examples["train"])
                if model.generates
                else None
            ),
        )

    def _knowledge(
        self, work: UpdateContext, choice: ModeChoice, diagnosis: Diagnosis
    ) -> knowledge.CandidateFacts | None:
        if KB not in choice.mode:
            return None
        served = model_files.read_opt(self.live_file, "--versions").get("kb")
        uri = self.settings.kb or served or knowledge.default_uri(self.settings.versions)
        held = diagnosis.in_kb is not None and diagnosis.in_kb >= 0.9
        facts = [] if held else knowledge.facts_of(work.update.examples["train"])
        return knowledge.CandidateFacts(uri, facts, self.kept.folder)

    def _keep(
        self,
        work: UpdateContext,
        verdict: Verdict,
        choice: ModeChoice,
        facts: knowledge.CandidateFacts | None,
    ) -> str:
        """Put the candidate among the versions, whatever the verdict; its id."""
        known = self.kept.read("version.json")
        if known is not None and known["decision"] == verdict.decision:
            return str(known["id"])
        version = self.store.add(
            work.model_file("candidate"),
            mode=choice.mode,
            parent=self.live,
            metrics={row["name"]: row.get("candidate") for row in verdict.checks},
            verdict=verdict,
            data=work.update.fingerprint(),
            seed=self.settings.seed,
            kb_snapshot=facts.snapshot if facts else snapshot_now(self.store, self.live),
            note=f"report: {os.path.join(self.kept.folder, 'report.html')}",
        )
        self.kept.write("version.json", {"id": version.id, "decision": verdict.decision})
        return version.id

    def _promote(self, version: str, facts: knowledge.CandidateFacts | None) -> bool:
        now = self.store.channel(self.settings.channel)
        # somebody else's version went live meanwhile: promote() says so, and no fact is published
        snapshot = None
        if facts is not None and now in (self.live, version):
            snapshot = facts.publish()
        if now != version:
            self.store.promote(
                version,
                self.settings.channel,
                expected=self.live,
                why=self.settings.task,
                kb_snapshot=snapshot or snapshot_now(self.store, version),
            )
        return True

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        say(f"-- {name}")
        started = time.monotonic()
        found = work()
        self.seconds[name] = time.monotonic() - started
        return found
