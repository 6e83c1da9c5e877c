"""
``parlai update_model``: the model in service changes, but only if the change is good.

::

    parlai update_model --versions deployed -t telecom:corrections \\
        --retain-task telecom:retain --promote

The update is diagnosed, a way to learn it chosen, a candidate trained by the stock loop, and
compared with the live version on examples that neither was trained on; the verdict and a report
say why it was accepted or not. An interrupted run goes on by the same command.
"""

import shlex
import sys
from typing import Any

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu.errors import UsageError
from parlai_cu.unread_flags import Dependent, never, refuse_unread

# flags of ParlAI's that say nothing here, and of ours that do not always
_DEPENDENT = (
    Dependent(
        ("batchsize", "multitask_weights", "dynamic_batching"),
        never,
        "in update_model; of the training it is set by --training '{flag}'",
    ),
    Dependent(
        ("datatype", "hide_labels"),
        never,
        "in update_model, which trains on training data and is judged by what is held out",
    ),
    Dependent(
        ("training",),
        lambda opt: opt["mode"] not in ("kb_augmented", "nothing"),
        "with this --mode, which trains no model",
    ),
)
# what it says itself to the training it starts
_OWN = (
    *("-t", "--task", "-mf", "--model-file", "--init-model", "--teacher-model", "-m", "--model"),
    *("--datapath", "-dp", "--no-cuda", "--gpu", "--loglevel"),
)


@register_script("update_model")
class UpdateModel(ParlaiScript):
    """The command line of :class:`parlai_cu.update.steps.run.Update`."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """What is updated, by what, and what must not be lost."""
        parser = ParlaiParser(
            add_parlai_args=True,
            add_model_args=False,
            description="Update the model in service, if that makes it better",
        )
        group = parser.add_argument_group("Update Arguments")
        group.add_argument("--versions", help="directory of versions (parlai versions import)")
        group.add_argument("--channel", default="live", help="which channel is updated")
        group.add_argument(
            "--retain-task",
            help="tasks that must not get worse, as for -t, comma-separated. Their "
            "training data is replayed and their test data decides; a sample is kept "
            "for later updates (parlai versions suite)",
        )
        group.add_argument(
            "--mode",
            default="auto",
            help="auto: by the diagnosis; or frozen_layer, distill_student, kb_augmented, "
            "frozen_layer+kb_augmented, distill_student+kb_augmented, nothing",
        )
        group.add_argument("--kb", help="the knowledge base in service: sqlite:///facts.db")
        group.add_argument(
            "--max-loss",
            help="what a retained task may lose: METRIC=NUMBER or TASK/METRIC=NUMBER, several, "
            "comma-separated; of ppl the share by which it may rise (default: ppl=0.05, else the "
            "first of accuracy, hits@1, f1 by 0.03)",
        )
        group.add_argument(
            "--min-gain",
            help="what the update must gain: METRIC=NUMBER, as above (default: ppl=0.02, "
            "else 0.01)",
        )
        group.add_argument(
            "--confidence",
            type=float,
            default=0.95,
            help="confidence of each one-sided test of the gate",
        )
        group.add_argument(
            "--gate-examples",
            type=int,
            default=500,
            help="about how many turns of each held-out set both models answer; whole "
            "conversations are drawn at random",
        )
        group.add_argument(
            "--gate", help="checks of your own: my.module:check, several, comma-separated"
        )
        group.add_argument(
            "--max-slower",
            type=float,
            default=1.5,
            help="how many times slower the candidate may be",
        )
        group.add_argument(
            "--promote",
            action="store_true",
            help="let an accepted candidate go live; any other verdict is exit status 1",
        )
        group.add_argument(
            "--dry-run",
            action="store_true",
            help="stop after the diagnosis and the choice of a mode",
        )
        group.add_argument(
            "--training", help="more flags for parlai train_model, in quotes: '-lr 1e-4 -tstep 500'"
        )
        group.add_argument("--out", help="folder of the report (default: beside --versions)")
        group.add_argument("--no-cuda", action="store_true", help="use no GPU")
        group.add_argument("--gpu", type=int, default=-1, help="which GPU to use")
        group.add_argument(
            "--seed", type=int, default=0, help="random seed for splits and training"
        )
        return parser

    def run(self) -> dict[str, Any]:
        """
        Update, and say what came of it.
        :raises UsageError: when a flag is missing or wrong
        """
        settings = settings_of(self.opt)
        # late: ParlAI imports every command's module for `parlai -h`
        from parlai_cu.update.steps.run import Update

        try:
            report = Update(settings, self.opt).run()
        except KeyboardInterrupt:
            sys.stderr.write("parlai_cu: stopped. The same command goes on from what is done\n")
            raise SystemExit(130) from None
        if settings.promote and not report.promoted:
            raise SystemExit(1)
        return report.plain()


def settings_of(opt: Opt) -> Any:
    """
    The settings that the command line names.

    :raises UsageError: naming the flag, what was found and what was expected
    """
    from parlai_cu.update import gate
    from parlai_cu.update.steps.settings import UpdateSettings

    for flag, name in (("--versions DIR", "versions"), ("-t UPDATE", "task")):
        if not opt.get(name):
            raise UsageError(f"parlai update_model needs {flag}")
    refuse_unread(opt, _DEPENDENT)
    training = shlex.split(opt.get("training") or "")
    for word in training:
        if word.partition("=")[0].replace("_", "-") in _OWN:
            raise UsageError(
                f"--training {opt['training']!r}: {word.partition('=')[0]} is settled by "
                "update_model itself (-t, --versions, --out, --no-cuda, --gpu, --datapath)"
            )
    if not 0.5 < opt["confidence"] < 1:
        raise UsageError(f"--confidence {opt['confidence']}: expected between 0.5 and 1")
    if opt["gate_examples"] < 1:
        raise UsageError(f"--gate-examples {opt['gate_examples']}: expected 1 or more")
    return UpdateSettings(
        versions=opt["versions"],
        task=opt["task"],
        retained=_several(opt.get("retain_task")),
        mode=opt["mode"],
        kb=opt.get("kb"),
        limits=gate.GateLimits(
            losses=gate.parse_limits(opt.get("max_loss"), "--max-loss"),
            gains=gate.parse_limits(opt.get("min_gain"), "--min-gain"),
            confidence=opt["confidence"],
        ),
        checks=_several(opt.get("gate")),
        examples=opt["gate_examples"],
        promote=opt["promote"],
        channel=opt["channel"],
        training=training,
        out=opt.get("out"),
        seed=opt["seed"],
        max_slower=opt["max_slower"],
        dry_run=opt["dry_run"],
    )


def _several(text: str | None) -> Any:
    return tuple(part for part in (text or "").split(",") if part)
