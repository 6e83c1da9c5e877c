"""The life of an update, step by step; what is done is kept beside the report, and not repeated."""

import dataclasses
import hashlib
import json
import os
import time
from dataclasses import dataclass
from typing import Any, Callable, Dict, List, Optional, Sequence

from parlai.core.opt import Opt
from parlai.utils.io import PathManager

from parlai_cu.agents import model_files
from parlai_cu.errors import DataError, UsageError
from parlai_cu.types import NOT_ENOUGH_DATA, Verdict
from parlai_cu.update import gate, knowledge, report, safety
from parlai_cu.update.choice import KB, NOTHING, Choice, choose
from parlai_cu.update.diagnosis import Diagnosis, diagnose, leaked
from parlai_cu.update.steps import scaling, training, widening
from parlai_cu.update.steps.kept import Kept
from parlai_cu.update.steps.measuring import Measured, Model, metrics_of, side_by_side, sums
from parlai_cu.update.steps.reading import Data, prepare, swapped, without
from parlai_cu.update.two_sample import tf_idf
from parlai_cu.update.wording import contradictions, normal
from parlai_cu.versions.facts import snapshot_now
from parlai_cu.versions.store import VersionStore

# of update and old data, to look at before anything is learnt
_LOOKED_AT = 200
_GRADIENTS = 64
_SHOWN = 20
_LISTED = 10
# share of answers with pieces that the dictionary lacks, from which on it is given them
_LACKING = 0.01
# share of a limit on what is lost that may be lost on validation data
_OF_THE_LIMIT = 0.5
# metrics of generators that need no reply
_WITHOUT_REPLIES = ("ppl", "loss", "token_acc")

Limits = Dict[str, Dict[str, float]]


@dataclass(frozen=True)
class Settings:
    """
    What the command asks for, beside the tasks.

    :param versions: directory of versions
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
    :param max_slower: allowed ratio of the latencies
    :param dry_run: end after diagnosis and choice
    """

    versions: str
    task: str
    retained: Sequence[str] = ()
    mode: str = "auto"
    kb: Optional[str] = None
    limits: gate.Limits = dataclasses.field(default_factory=gate.Limits)
    checks: Sequence[str] = ()
    examples: int = 500
    promote: bool = False
    channel: str = "live"
    training: Sequence[str] = ()
    out: Optional[str] = None
    seed: int = 0
    max_slower: float = safety.MAX_SLOWER
    dry_run: bool = False

    def key(self, live: str) -> str:
        """What the work depends on: the same command finds its work again."""
        told = [live, self.task, *self.retained, self.mode, self.kb, *self.training, self.seed]
        return hashlib.sha256(json.dumps(told).encode()).hexdigest()[:8]


class Update:
    """
    One update of the model in service.

    :param settings: of the command
    :param opt: where data lies and which device, as ParlAI read it
    :raises UsageError: when the channel serves nothing yet
    """

    def __init__(self, settings: Settings, opt: Opt) -> None:
        self.settings, self.opt = settings, opt
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
        self.out = self._folder()
        self.seconds: Dict[str, float] = {}
        self.kept = Kept(self.out)

    def _folder(self) -> str:
        if self.settings.out:
            return os.path.abspath(self.settings.out)
        where = self.settings.versions
        where = "updates" if "://" in where else os.path.abspath(where).rstrip("/") + ".updates"
        return os.path.join(where, f"{self.live.split('-')[0]}-{self.settings.key(self.live)}")

    # -- the steps ---------------------------------------------------------------------------

    def run(self) -> Dict[str, Any]:
        """
        Do all of it; the report.

        :raises DataError: when the update holds test data of what is to be retained, or nothing
        """
        settings = self.settings
        say(f"{settings.task} for {self.live}; report and work in {self.out}")
        update, old = self._timed("reading", self._read)
        model = Model(self.opt, self.live_file)
        diagnosis = self._timed("diagnosis", lambda: self._diagnose(model, update, old))
        has_kb = settings.kb is not None
        choice = choose(diagnosis, settings.mode, has_kb)
        say(report.choice_text(choice, diagnosis, _LISTED))
        about: Dict[str, Any] = {
            "task": settings.task,
            "retained": list(settings.retained),
            "live": self.live,
            "seed": settings.seed,
            "data": [self._about(data) for data in (update, *old)],
            "diagnosis": report.plain(diagnosis, _LISTED),
            "choice": dataclasses.asdict(choice),
            "version": None,
            "promoted": False,
        }
        if choice.mode == NOTHING or settings.dry_run:
            verdict = Verdict(NOT_ENOUGH_DATA, ("nothing was trained: " + choice.reason,))
            return self._finish({**about, "training": [], "replies": []}, verdict)
        baseline = {data.name: self._held_out(model, "live", data) for data in (update, *old)}
        # before the training: what cannot be gated is not worth it
        limits = self._limits(baseline, update, old, choice)
        facts = self._knowledge(choice, diagnosis, update)
        trained = self._timed(
            "training",
            lambda: self._train(choice, diagnosis, model, update, old, facts, limits),
        )
        tried_on = facts.candidate_uri if facts else None
        candidate = Model(self.opt, self._candidate(choice), tried_on)
        verdict, pairs = self._timed(
            "gate",
            lambda: self._gate(choice, diagnosis, model, candidate, baseline, update, old, limits),
        )
        about.update(training=trained, replies=report.most_changed(pairs, _SHOWN))
        about["metrics"] = [dict(check) for check in verdict.checks]
        if facts is not None:
            facts.settle(self._candidate(choice))
        about["version"] = self._keep(about, verdict, update, choice, facts)
        if verdict.accepted and settings.promote:
            about["promoted"] = self._promote(about["version"], facts)
        return self._finish(about, verdict)

    def _read(self) -> Any:
        folder = os.path.join(self.out, "data")
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

    def _diagnose(self, model: Model, update: Data, old: Sequence[Data]) -> Diagnosis:
        replied = self.kept.measured(
            "live-update-train",
            lambda: model.measure(update.task, "train:evalmode", _LOOKED_AT),
        )
        known: List[Measured] = []
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
        find = knowledge.finder(self.settings.kb)
        return diagnose(
            update.examples["train"],
            [m.replied for m in replied],
            [e for data in old for e in data.examples["train"]],
            [m.replied for m in known],
            find=find,
            embed=model.embed() or tf_idf,
            gradient_conflict=cosine,
            unwritable=(
                widening.unwritable(model.agent.dict, update.examples["train"])
                if model.generates
                else None
            ),
        )

    def _held_out(self, model: Model, name: str, data: Data) -> List[Measured]:
        """Answers to the held-out examples that training does not hold."""
        task = hashlib.sha256(data.name.encode()).hexdigest()[:6]
        say(f"{name} model on held-out {data.short}")
        found = self.kept.measured(
            f"{name}-{task}-test",
            lambda: model.measure(data.task, "test", self.settings.examples),
        )
        wanted = {example.key for example in data.examples["test"]}
        return [m for m in found if m.example.key in wanted]

    def _limits(
        self,
        baseline: Dict[str, List[Measured]],
        update: Data,
        old: Sequence[Data],
        choice: Choice,
    ) -> Limits:
        limits = self.settings.limits
        found: Limits = {}
        for data in (update, *old):
            there = metrics_of(baseline[data.name])
            if KB in choice.mode:
                # a fact that is told word for word has no likelihood
                there = [name for name in there if name not in ("ppl", "loss", "token_acc")]
                there = [name for name in there if name != "accuracy" or "f1" not in there]
            is_update = data is update
            found[data.name] = (
                limits.of_update(there)
                if is_update
                else limits.of_retained(data.name, data.short, there)
            )
        return found

    def _knowledge(
        self, choice: Choice, diagnosis: Diagnosis, update: Data
    ) -> Optional[knowledge.CandidateFacts]:
        if KB not in choice.mode:
            return None
        served = model_files.read_opt(self.live_file, "--versions").get("kb")
        uri = self.settings.kb or served or knowledge.default_uri(self.settings.versions)
        held = diagnosis.in_kb is not None and diagnosis.in_kb >= 0.9
        facts = [] if held else knowledge.facts_of(update.examples["train"])
        return knowledge.CandidateFacts(uri, facts, self.out)

    def _candidate(self, choice: Choice) -> str:
        return os.path.join(self.out, "candidate", "model")

    def _train(
        self,
        choice: Choice,
        diagnosis: Diagnosis,
        model: Model,
        update: Data,
        old: Sequence[Data],
        facts: Optional[knowledge.CandidateFacts],
        limits: Limits,
    ) -> List[Dict[str, Any]]:
        options = training.run_options(self.opt)
        metric = "ppl" if model.generates else self._choosing_metric(model, update)
        last = self._candidate(choice)
        skill = last if facts is None else os.path.join(self.out, "skill", "model")
        start = self.live_file
        if choice.mode != KB and (diagnosis.unwritable or 0.0) >= _LACKING:
            start = self._widened(model, update)
        if start != self.live_file and choice.tune is not None:
            # new pieces are to be learnt, whatever else is
            agent = model.agent
            rows = widening.of_pieces(agent.model.state_dict(), len(agent.dict))
            # tied ones by one of their names
            names = {t.data_ptr(): name for name, t in reversed(list(rows.items()))}
            choice = dataclasses.replace(choice, tune=",".join([choice.tune, *names.values()]))
        plan = training.Plan(
            choice=choice,
            live=start,
            candidate=skill,
            update=update,
            old=self._replayed(update, old),
            width=model.width(),
            metric=metric,
            generates=model.generates,
            seed=self.settings.seed,
            more=self.settings.training,
        )
        trained: List[Dict[str, Any]] = []
        if choice.mode != KB:
            trained.append(training.train(plan, options))
            trained[0]["part"] = self._part(plan, model, old, limits)
        if facts is None and model.has_knowledge:
            training.keep_knowledge(self.live_file, last)
        if facts is not None:
            below = self.live_file if choice.mode == KB else skill
            task = training.gate_data(
                update, old, os.path.join(self.out, "data"), knowledge.holder(facts.candidate_uri)
            )
            behind = dataclasses.replace(plan, candidate=last)
            trained.append(
                training.with_knowledge(behind, below, facts.candidate_uri, task, options)
            )
        return trained

    def _widened(self, model: Model, update: Data) -> str:
        """The live model, or the same with what its dictionary lacks to spell the update."""
        pieces = widening.missing_pieces(model.agent.dict, update.examples["train"])
        found = widening.widen(
            model.agent, self.live_file, pieces, os.path.join(self.out, "widened")
        )
        if found == self.live_file:
            say(f"the dictionary lacks {len(pieces)} pieces, and this model cannot be given them")
        else:
            say(f"{len(pieces)} pieces that the dictionary lacks are added to it")
        return found

    def _part(
        self, plan: training.Plan, model: Model, old: Sequence[Data], limits: Limits
    ) -> float:
        """
        How much of what was learnt is kept: as much as the old skill bears, on validation.

        Half of what the gate allows to be lost, as test data has surprises of its own.
        """
        judged = [data for data in old if len(data.examples["valid"]) >= gate.MIN_EXAMPLES]
        if not judged:
            return 1.0

        def chosen() -> float:
            for part in scaling.PARTS:
                scaling.put(plan.live, plan.candidate, part)
                candidate = Model(self.opt, plan.candidate)
                checks = [
                    check
                    for data in judged
                    for check in self._validated(model, candidate, part, data, limits[data.name])
                ]
                lost = [check for check in checks if check.result != gate.PASS]
                if not lost:
                    break
                say(f"{part:.0%} of what was learnt, on validation data: {lost[0].reason}")
            say(f"the candidate has {part:.0%} of what was learnt")
            return part

        return float(self.kept.plain("part", chosen))

    def _validated(
        self, model: Model, candidate: Model, part: float, data: Data, limits: Dict[str, float]
    ) -> List[gate.Check]:
        """The gate's own tests of what is kept, on a retained task's validation data."""
        told = model.generates and any(name not in _WITHOUT_REPLIES for name in limits)
        count = min(self.settings.examples, _LOOKED_AT)
        task = hashlib.sha256(data.name.encode()).hexdigest()[:6]
        before, after = (
            self.kept.measured(
                f"{name}-{task}-valid",
                lambda which=which: which.measure(data.task, "valid", count, replies=told),
            )
            for name, which in (("live", model), (f"candidate-{part:g}", candidate))
        )
        return [
            gate.check_retained(
                data.short,
                metric,
                min(most, _OF_THE_LIMIT * most),
                *gate.paired(sums(before, metric), sums(after, metric)),
                self.settings.limits,
            )
            for metric, most in limits.items()
        ]

    def _choosing_metric(self, model: Model, update: Data) -> str:
        found = metrics_of(self.kept.measured("live-update-train", list))
        return next(name for name in gate.PREFERRED if name in found)

    def _replayed(self, update: Data, old: Sequence[Data]) -> List[Data]:
        """The retained tasks without what the update contradicts."""
        kept = []
        for data in old:
            wrong = contradictions(data.examples["train"], update.examples["train"])
            contexts = {normal(pair[0].context) for pair in wrong}
            if contexts:
                say(f"{len(contexts)} old questions of {data.short} are put right: not replayed")
                folder = os.path.join(self.out, "data")
                data = without(self.opt, data, contexts, folder)
            kept.append(data)
        return kept

    # -- the gate ----------------------------------------------------------------------------

    def _gate(
        self,
        choice: Choice,
        diagnosis: Diagnosis,
        model: Model,
        candidate: Model,
        baseline: Dict[str, List[Measured]],
        update: Data,
        old: Sequence[Data],
        limits: Limits,
    ) -> Any:
        checks: List[gate.Check] = []
        pairs: List[safety.Pair] = []
        for data in (update, *old):
            before = baseline[data.name]
            after = self._held_out(candidate, "candidate", data)
            is_update = data is update
            for metric, limit in limits[data.name].items():
                test = gate.check_update if is_update else gate.check_retained
                both = gate.paired(sums(before, metric), sums(after, metric))
                checks.append(test(data.short, metric, limit, *both, self.settings.limits))
            pairs += [
                safety.Pair(
                    data.short, one.example.context, one.example.label, one.reply, two.reply
                )
                for one, two in zip(before, after)
            ]
        if model.generates and choice.mode != KB:
            checks.append(self._dependence(candidate, update))
        checks.append(gate.check_agreement(len(diagnosis.contradictions), diagnosis.examples))
        if not old:
            checks.append(
                gate.Check(
                    "what is kept",
                    "retained",
                    gate.UNDECIDED,
                    "without --retain-task nothing shows what the candidate still knows",
                )
            )
        checks += safety.check_replies(pairs)
        times = self.kept.plain(
            "latencies",
            lambda: side_by_side(
                model, candidate, [pair.context for pair in pairs], [pair.label for pair in pairs]
            ),
        )
        checks.append(safety.check_latency(times[0], times[1], self.settings.max_slower))
        checks.append(safety.check_size(model.size(), candidate.size(), safety.MAX_LARGER))
        for name, check in zip(self.settings.checks, self.user_checks):
            checks.append(safety.run_user_check(name, check, pairs))
        return gate.verdict(checks), pairs

    def _dependence(self, candidate: Model, update: Data) -> gate.Check:
        found = update.examples["test"][: self.settings.examples]
        tasks = swapped(found, os.path.join(self.out, "data"))
        losses = [
            sums(
                self.kept.measured(
                    f"candidate-{name}-questions",
                    lambda task=task: candidate.measure(task, "test", len(found), replies=False),
                ),
                "loss",
            )
            for name, task in zip(("own", "other"), tasks)
        ]
        return gate.check_dependence(*gate.paired(*losses), self.settings.limits)

    # -- keeping and promoting ---------------------------------------------------------------

    def _keep(
        self,
        about: Dict[str, Any],
        verdict: Verdict,
        update: Data,
        choice: Choice,
        facts: Optional[knowledge.CandidateFacts],
    ) -> str:
        """Put the candidate among the versions, whatever the verdict; its id."""
        known = self.kept.read("version.json")
        if known is not None and known["decision"] == verdict.decision:
            return str(known["id"])
        version = self.store.add(
            self._candidate(choice),
            mode=choice.mode,
            parent=self.live,
            metrics={row["name"]: row.get("candidate") for row in verdict.checks},
            verdict=verdict,
            data=update.fingerprint(),
            seed=self.settings.seed,
            kb_snapshot=facts.snapshot if facts else snapshot_now(self.store, self.live),
            note=f"report: {os.path.join(self.out, 'report.html')}",
        )
        self.kept.write("version.json", {"id": version.id, "decision": verdict.decision})
        return version.id

    def _promote(self, version: str, facts: Optional[knowledge.CandidateFacts]) -> bool:
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

    def _finish(self, about: Dict[str, Any], verdict: Verdict) -> Dict[str, Any]:
        about["verdict"] = dataclasses.asdict(verdict)
        about["confidence"] = self.settings.limits.confidence
        about["seconds"] = {name: round(value, 1) for name, value in self.seconds.items()}
        self.kept.write("report.json", about)
        path = self.kept.write_text("report.html", report.html(about))
        say(report.verdict_text(about))
        say(f"report: {path}")
        return about

    def _about(self, data: Data) -> Dict[str, Any]:
        count = {split: len(examples) for split, examples in data.examples.items()}
        return {"name": data.name, "own_splits": data.own_splits, **count}

    def _timed(self, name: str, work: Callable[[], Any]) -> Any:
        say(f"-- {name}")
        started = time.monotonic()
        found = work()
        self.seconds[name] = time.monotonic() - started
        return found


def say(text: str) -> None:
    """To the terminal, at once."""
    print(text, flush=True)
