"""
``parlai score_parameters``: which parameters of a model an update would use, and which of them
old skill depends on.

::

    parlai score_parameters -mf deployed/model -t jsonfile --jsonfile-datapath new.jsonl \\
        --retain-task jsonfile:jsonfile_datapath=old.jsonl

Prints a ranked table and a ``--tune`` line, and writes them as JSON, pictures and one HTML file.
"""

import os
from typing import TYPE_CHECKING, Any

import parlai.utils.logging as logging
from parlai.core.build_data import modelzoo_path
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu import files
from parlai_cu.errors import UsageError, nearest
from parlai_cu.unread_flags import Dependent, never, refuse_unread

if TYPE_CHECKING:
    from parlai_cu.selection.auto import ParameterChoice
    from parlai_cu.selection.scores import Scores

# flags of ParlAI's that say nothing here
_DEPENDENT = (
    Dependent(("batchsize", "dynamic_batching"), never, "here; examples are scored one by one"),
    Dependent(
        ("datatype",),
        lambda opt: not opt["datatype"].startswith("test"),
        "here; the examples are of the training data",
    ),
)


@register_script("score_parameters")
class ScoreParameters(ParlaiScript):
    """The command line of :func:`parlai_cu.agents.scoring.score_agent`."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """The model and its tasks as for eval_model, and what to score."""
        parser = ParlaiParser(
            True, True, description="Score a model's parameters on an update, to choose --tune"
        )
        group = parser.add_argument_group("Score Parameters Arguments")
        group.add_argument(
            "--retain-task",
            help="old data that must not be forgotten, as for -t: adds the scores that compare "
            "the update with it (conflict, cosine)",
        )
        group.add_argument(
            "--scores",
            help="which to show; the groups are ranked by the first: rgn (relative "
            "gradient norm), snr (signal to noise), fisher, conflict, cosine "
            "(default: all there are)",
        )
        group.add_argument(
            "--num-examples",
            "-ne",
            type=int,
            default=256,
            help="how many examples of each task are used, one by one",
        )
        group.add_argument("--seed", type=int, default=0, help="random seed for drawing examples")
        group.add_argument(
            "--fraction",
            type=float,
            default=None,
            help="share of the parameters that the proposed --tune may cover (default: as "
            "--tune auto)",
        )
        group.add_argument(
            "--out",
            default="parameter_scores",
            help="folder of scores.json, heat_map.png, ranking.png, scores.html",
        )
        parser.set_params(datatype="valid")
        return parser

    def run(self) -> Any:
        """
        Score, print, write.

        :return: the scores (:class:`parlai_cu.selection.scores.Scores`)
        :raises UsageError: when a flag is missing or not understood, before the model is loaded
        """
        from parlai.core.agents import create_agent

        from parlai_cu.agents import scoring
        from parlai_cu.selection.auto import choose
        from parlai_cu.selection.catalogue import list_tensors
        from parlai_cu.selection.score_table import print_scores, progress

        opt = self.opt
        shown, auto = _check(opt)
        agent = create_agent(opt, requireModelExists=True)
        count, seed, old = opt["num_examples"], opt["seed"], opt.get("retain_task")
        with progress(count * (2 if old else 1)) as on_progress:
            scores = scoring.score_agent(agent, opt, opt["task"], old, count, seed, on_progress)
        choice = choose(scores, auto, list_tensors(agent.model))
        print_scores(scores, shown, choice)
        _write(opt, scores, shown, choice)
        return scores


def _check(opt: Opt) -> tuple[list[str], Any]:
    """The scores to show and what is to be proposed, or what is wrong with the flags."""
    from parlai_cu.agents import model_files
    from parlai_cu.selection.auto import find_auto
    from parlai_cu.selection.pictures import HOW_TO_GET, pyplot
    from parlai_cu.selection.scores import NEED_RETAINED, SCORES, know

    for flag in ("model_file", "task"):
        if not opt.get(flag):
            raise UsageError(f"parlai score_parameters needs --{flag.replace('_', '-')}")
    if opt["num_examples"] < 2:
        raise UsageError(f"--num-examples {opt['num_examples']}: expected 2 or more")
    refuse_unread(opt, _DEPENDENT)
    there = [name for name in SCORES if opt.get("retain_task") or name not in NEED_RETAINED]
    shown = (opt.get("scores") or ",".join(there)).replace(" ", "").split(",")
    for name in shown:
        if not know(name, "--scores"):
            close = nearest(name, SCORES) or list(SCORES)
            raise UsageError(
                f"--scores {name}: expected some of {', '.join(SCORES)}; nearest: "
                f"{', '.join(close)}"
            )
        if name in NEED_RETAINED and name not in there:
            raise UsageError(
                f"--scores {name} compares the update with old data: name it by --retain-task"
            )
    fraction = "" if opt.get("fraction") is None else f":{opt['fraction']}"
    auto = find_auto(f"auto:{shown[0]}{fraction}")
    model_files.read_opt(modelzoo_path(opt.get("datapath"), opt["model_file"]), "--model-file")
    model_files.check_writable(os.path.join(opt["out"], "scores.json"))
    if pyplot() is None:
        logging.warning(f"{HOW_TO_GET}; only scores.json and scores.html will be written")
    return shown, auto


def _write(opt: Opt, scores: "Scores", shown: list[str], choice: "ParameterChoice") -> None:
    from parlai_cu.agents import scoring
    from parlai_cu.selection import pictures

    about = {
        "model": opt["model_file"],
        "update": opt["task"],
        "old data": opt.get("retain_task") or "none given",
        "draws": f"{scores.draws} of the update, {scores.retained_draws} of the old data",
        "seed": str(opt["seed"]),
    }
    paths = {
        name: os.path.join(opt["out"], name)
        for name in ("scores.json", "heat_map.png", "ranking.png", "scores.html")
    }
    proposal = {"tune": choice.tune, "parameters": choice.numel, "share": choice.share}
    scoring.write_scores(
        paths["scores.json"],
        {**about, "ranked_by": shown[0], "proposal": proposal, **scores.as_dict()},
    )
    plt = pictures.pyplot()
    drawn = []
    if plt is not None:
        pictures.heat_map(plt, scores, shown, paths["heat_map.png"])
        pictures.bar_chart(plt, scores, shown[0], choice, paths["ranking.png"])
        drawn = [paths["heat_map.png"], paths["ranking.png"]]
    files.write_text(paths["scores.html"], pictures.page(scores, shown, choice, about, drawn))
    print(f"wrote {', '.join([paths['scores.json'], *drawn, paths['scores.html']])}")
