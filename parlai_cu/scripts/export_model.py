"""
``parlai export_model``: a candidate as a plain model of its base agent.

The weights of a candidate are an ordinary model's already; what is left to do is to name the
base agent in the ``.opt`` and to drop what only training needs. A ParlAI without us loads the
result.
"""

import os

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu.errors import ModelFileError, UsageError
from parlai_cu.host.model_pickles import add_flag

# what our agents put in an .opt, beside the flags of replay; a plain model has none of it
OUR_OPTIONS = ("base_agent", "tune", "freeze", "lora_rank", "lora_alpha", "adapters", "adapter")
# what they add to a model file
OUR_RECORDS = ("frozen_layer", "domain_adapters", "kb_augmented")
_TRAINING_STATES = ("optimizer", "optimizer_type", "lr_scheduler", "lr_scheduler_type")


def export_model(model_file: str, outfile: str) -> None:
    """
    Write ``model_file`` (a candidate of ours) to ``outfile`` as its base agent's model.

    :param model_file: the candidate's ``-mf``
    :param outfile: where the plain model goes; ``.opt`` and dictionary stand beside it
    :raises ModelFileError: when the candidate is missing or not one of ours
    :raises UsageError: when ``outfile`` exists
    """
    # late: a command is cheap to import
    from parlai_cu import checkpoints
    from parlai_cu.agents import base_agent, model_files, own_flags, replay
    from parlai_cu.agents.kb_augmented import flags

    ours = {*OUR_OPTIONS, *base_agent.names_added(replay.add_flags, flags.add)}
    opt = model_files.read_opt(model_file, "--model-file")
    if not opt.get("base_agent"):
        raise ModelFileError(
            f"--model-file {model_file} is a plain {opt.get('model')} model already; copy its files"
        )
    if os.path.exists(outfile):
        raise UsageError(f"--outfile {outfile} exists; choose another path")
    states = checkpoints.load(model_file)
    plain = {
        name: value
        for name, value in states.items()
        if name not in (*_TRAINING_STATES, *OUR_RECORDS)
    }
    plain_opt = Opt(own_flags.without_ours(opt, ours))
    plain_opt["model"] = opt["base_agent"]
    plain_opt["init_model"] = None
    plain_opt["model_file"] = outfile
    model_files.write_like(model_file, outfile, plain_opt, plain)


@register_script("export_model")
class ExportModel(ParlaiScript):
    """The command line of :func:`export_model`."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """--model-file and --outfile."""
        parser = ParlaiParser(
            add_parlai_args=False,
            add_model_args=False,
            description="Export a candidate as a plain model",
        )
        # not `required=True`: ParlAI parses every command's flags for `parlai -h`
        parser.add_argument("-mf", "--model-file", help="the candidate")
        parser.add_argument("-o", "--outfile", help="where the plain model is to be written")
        add_flag(parser)
        return parser

    def run(self) -> None:
        """Export, and say how to load the result."""
        for flag in ("model_file", "outfile"):
            if not self.opt.get(flag):
                raise UsageError(f"parlai export_model needs --{flag.replace('_', '-')} PATH")
        export_model(self.opt["model_file"], self.opt["outfile"])
        print(f"wrote {self.opt['outfile']}; any ParlAI loads it with -mf {self.opt['outfile']}")
