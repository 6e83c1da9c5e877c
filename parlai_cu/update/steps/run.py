"""The life of an update, step by step; what is done is remembered by what went in."""

import dataclasses
import hashlib
import inspect
import json
import os
import time
from collections.abc import Callable, Sequence
from typing import Any

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from parlai_cu import files
from parlai_cu.agents import model_files
from parlai_cu.errors import DataError, UsageError
from parlai_cu.types import NOT_ENOUGH_DATA, Verdict
from parlai_cu.update import knowledge, report, safety
from parlai_cu.update.choice import KB, NOTHING, ModeChoice, check_mode, choose
from parlai_cu.update.diagnosis import Diagnosis, diagnose, leaked
from parlai_cu.update.inspection.inspection import short_form
from parlai_cu.update.step_cache import Step, StepCache, content_of, key_of
from parlai_cu.update.steps import (
    class_extension,
    comparison,
    learning,
    reporting,
    small_update,
    suite_data,
    training,
    vocab_extension,
)
from parlai_cu.update.steps.console import UpdateLog
from parlai_cu.update.steps.data import Data, prepare
from parlai_cu.update.steps.evaluation import EvaluatedModel
from parlai_cu.update.steps.reporting import say
from parlai_cu.update.steps.settings import LOOKED_AT, UpdateContext, UpdateSettings
from parlai_cu.update.two_sample import tf_idf
from parlai_cu.update.update_report import UpdateReport
from parlai_cu.versions.facts import snapshot_now
from parlai_cu.versions.store import VersionStore
from parlai_cu.versions.suite import Suite, SuitePart

# of update and old data, whose gradients are compared
_GRADIENTS = 64
# replies in the report
_SHOWN = 20
_STEPS = "steps"


@dataclasses.dataclass(frozen=True)
class Judged:
    """
    What the gate made of a candidate.

    :param verdict: with all checks
    :param replies: before and after, those that changed most first
    """

    verdict: Verdict
    replies: list[dict[str, Any]]


DIAGNOSIS: Step[Diagnosis] = Step("diagnosis", Diagnosis)
VERDICT: Step[Judged] = Step("verdict", Judged, format=4)


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
        self.live, self.suite = live, Suite(self.store)
        self.parts: list[SuitePart] = []
        self.live_file = self.store.model_file(live)
        self.seconds: dict[str, float] = {}
        self.log = UpdateLog(opt, settings.out or settings.updates_folder)
        self.cache = StepCache(os.path.join(settings.updates_folder, _STEPS), say)

    def run(self) -> UpdateReport:
        """
        Do all of it; the report.

        :raises DataError: when the update holds test data of what is to be retained, or nothing
        """
        try:
            with self.log.taken():
                return self._run()
        finally:
            # at the end, and where it broke off
            say(f"log:    {self.log.path}")

    def _run(self) -> UpdateReport:
        settings = self.settings
        say(f"{settings.task} for {self.live}")
        update, old = self._timed("reading", self._read)
        model = class_extension.with_classes(
            EvaluatedModel(self.opt, self.live_file, self._live_content(), self.cache), update
        )
        work = UpdateContext(settings, self.opt, self.user_checks, self.cache, model, update, old)
        folder = settings.report_folder(self.live, key_of(VERDICT, _read_by(work)))
        with files.translate_errors(folder):
            files.private_folder(folder)
        self.log.move_to(folder)
        diagnosis = self._timed("diagnosis", lambda: self._diagnose(work))
        choice = choose(diagnosis, settings.mode, settings.kb is not None)
        about = reporting.choice_made(work, self.live, diagnosis, choice)
        if choice.mode == NOTHING or settings.dry_run:
            verdict = Verdict(NOT_ENOUGH_DATA, ("nothing was trained: " + choice.reason,))
            about = dataclasses.replace(about, verdict=verdict, seconds=self.seconds)
            return reporting.written(folder, about)
        # before the training: what cannot be gated is not worth it
        answers = self._timed("live model", lambda: comparison.held_out(work, model, "live"))
        limits = comparison.limits_of(work, answers, choice)
        earlier = [version.verdict for version in self.store.list() if version.verdict]
        plans = comparison.say_what_it_takes(work, answers, limits, earlier)
        facts = self._knowledge(work, choice, diagnosis)
        learnt = self._timed(
            "training", lambda: learning.learn(work, choice, diagnosis, facts, limits)
        )
        judged = self._timed(
            "gate",
            lambda: self._judge(work, learnt, facts, answers, limits, choice, diagnosis),
        )
        made = learnt.model
        if facts is not None:
            made = training.settle(made, facts.settled_uri, self.cache)
        version = self._add(work, made, judged.verdict, choice, facts, folder)
        promoted = judged.verdict.accepted and settings.promote
        if promoted:
            self._promote(version, facts)
        self.cache.tidy()
        return reporting.written(
            folder,
            dataclasses.replace(
                about,
                plans=plans,
                training=learnt.runs,
                replies=judged.replies,
                version=version,
                promoted=promoted,
                verdict=judged.verdict,
                seconds=self.seconds,
            ),
        )

    def _live_content(self) -> str:
        """Weights, settings and dictionary of the live version, and the state of its facts."""
        version = self.store.get(self.live)
        held = sorted((name, file.sha256) for name, file in version.files.items())
        told = [version.content, held, snapshot_now(self.store, self.live)]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()

    def _read(self) -> tuple[Data, list[Data]]:
        folder, seed = self.cache.data_folder, self.settings.seed
        fewest = self.settings.limits.min_conversations
        update = prepare(self.opt, self.settings.task, folder, seed, fewest=fewest)
        old = [prepare(self.opt, t, folder, seed, "--retain-task") for t in self.settings.retained]
        self._refuse_leak(update, old)
        for line in short_form(update.short, update.examples["train"]):
            say(f"data: {line}")
        self.parts = suite_data.without_named(self.suite.parts(self.live), old)
        suite = suite_data.as_task(self.suite, self.parts, update, folder, seed)
        return update, [*old, suite] if suite else old

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
        kb = self.settings.kb
        inputs = {**_read_by(work), "kb": kb and [kb, knowledge.snapshot_of(kb)]}
        return self.cache.get(DIAGNOSIS, inputs, lambda _: self._look(work))

    def _look(self, work: UpdateContext) -> Diagnosis:
        model, update, old = work.model, work.update, work.old
        count = min(LOOKED_AT, 2 * len(update.examples["train"])) if update.small else LOOKED_AT
        replied = model.measure(update, "train", count)
        known = [m for data in old for m in model.measure(data, "train", count)]
        cosine = None
        if old and not update.small:
            tasks = ",".join(data.task for data in old)
            cosine = model.gradient_cosine(update.task, tasks, _GRADIENTS)
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
        return knowledge.CandidateFacts(uri, facts, self.cache)

    def _judge(
        self,
        work: UpdateContext,
        learnt: learning.Learnt,
        facts: knowledge.CandidateFacts | None,
        answers: comparison.Answers,
        limits: comparison.Limits,
        choice: ModeChoice,
        diagnosis: Diagnosis,
    ) -> Judged:
        settings, made = self.settings, learnt.model
        inputs = {
            **_read_by(work),
            "candidate": made.content,
            "crossed": [model.content for _, model in learnt.crossed],
            "mode": choice.mode,
            "limits": limits,
            "gate": dataclasses.asdict(settings.limits),
            "examples": settings.examples,
            "slower": settings.max_slower,
            "checks": [[n, _source(c)] for n, c in zip(settings.checks, self.user_checks)],
            "contradictions": len(diagnosis.contradictions),
        }

        def judge(folder: str) -> Judged:
            kb = facts.candidate_uri if facts else None
            candidate = EvaluatedModel(self.opt, made.path, made.content, self.cache, kb)
            told = (answers, limits, choice, diagnosis)
            if work.update.small:
                verdict, pairs = small_update.judge(work, candidate, learnt.crossed, *told)
            else:
                verdict, pairs = comparison.judge(work, candidate, *told)
            return Judged(verdict, report.most_changed(pairs, _SHOWN))

        return self.cache.get(VERDICT, inputs, judge)

    def _add(
        self,
        work: UpdateContext,
        made: training.ModelFile,
        verdict: Verdict,
        choice: ModeChoice,
        facts: knowledge.CandidateFacts | None,
        folder: str,
    ) -> str:
        """Put the candidate among the versions, whatever the verdict; its id."""
        told = [work.update.fingerprint, made.content, self.live, dataclasses.asdict(verdict)]
        key = hashlib.sha256(json.dumps(told).encode()).hexdigest()[:16]
        with self.cache.locked(f"version-{key}"):
            # the versions themselves are the memory: one that was pruned is added again
            for known in self.store.list():
                if known.data.get("update") == key:
                    return known.id
            brought = self._suite_of(work, verdict)
            return self.store.add(
                made.path,
                mode=choice.mode,
                parent=self.live,
                metrics={row["name"]: row.get("candidate") for row in verdict.checks},
                verdict=verdict,
                data={**work.update.record(), "update": key, "suite": brought},
                seed=self.settings.seed,
                kb_snapshot=facts.snapshot if facts else snapshot_now(self.store, self.live),
                note=f"report: {os.path.join(folder, 'report.html')}",
            ).id

    def _suite_of(self, work: UpdateContext, verdict: Verdict) -> list[dict[str, Any]]:
        """What a version brings: what the live one did, and what was held out of the update."""
        seed = self.settings.seed
        for data in work.old:
            if data.name in self.settings.retained:
                self.suite.name(suite_data.stored(self.suite, self.opt, data, seed))
        found = self.suite.brought(self.live)
        if verdict.accepted:
            part = suite_data.stored(self.suite, self.opt, work.update, seed)
            found = [*(held for held in found if held.content != part.content), part]
        return suite_data.recorded(found)

    def _promote(self, version: str, facts: knowledge.CandidateFacts | None) -> None:
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

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        say(f"-- {name}")
        started, busy = time.monotonic(), time.process_time()
        found = work()
        self.seconds[name] = round(time.monotonic() - started, 1)
        busy = time.process_time() - busy
        say(f"   {name} took {self.seconds[name]:.1f} s, {busy:.1f} s of them computing")
        return found


def _read_by(work: UpdateContext) -> dict[str, Any]:
    """What every step of an update reads: the live model and all data."""
    return {
        "live": work.model.content,
        "update": [work.update.task, work.update.fingerprint],
        "retained": [[data.name, data.fingerprint] for data in work.old],
        "seed": work.settings.seed,
    }


def _source(check: Callable) -> str | None:
    """Fingerprint of the file that a user's check stands in."""
    try:
        path = inspect.getsourcefile(inspect.unwrap(check))
    except TypeError:
        return None
    return content_of(path) if path and os.path.isfile(path) else None
