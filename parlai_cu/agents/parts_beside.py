"""What agents have in common that leave the deployed model as it is, and learn beside it."""

from typing import Any

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.torch_agent import Batch

from parlai_cu import checkpoints
from parlai_cu.agents import deployed_model, model_files, own_flags, updating_agent
from parlai_cu.agents.updating_agent import UpdatingAgent


class PartsBesideModel(UpdatingAgent):
    """
    A deployed model that answers, and small parts beside it that learn.

    The parts are saved beside what the base saves, under the name of the agent.
    """

    # as for -m
    agent_name: str
    # what is linear learns fast; the deployed model's rate is for another thing
    rate: float
    # where the command sets no limit
    epochs: int
    # what was saved of the parts, and where
    saved: dict[str, Any]
    loaded_from: str | None
    trains: bool

    @classmethod
    def add_ours(cls, parser: ParlaiParser) -> None:
        """Add the flags of the parts."""
        raise NotImplementedError

    @classmethod
    def add_cmdline_args(cls, parser: ParlaiParser, partial_opt: Opt | None = None) -> ParlaiParser:
        """Our flags, then those of the base with the deployed model's values as defaults."""
        partial = partial_opt or Opt()
        with own_flags.ours(parser):
            cls.add_ours(parser)
        if deployed_model.inherit(parser, partial, cls.agent_name):
            parser.set_defaults(optimizer="adam", learningrate=cls.rate)
        else:
            updating_agent.add_flags_once_known(parser, partial, lambda known: False, cls.no_base)
        updating_agent.training_defaults(parser, partial, cls.epochs)
        return parser

    @classmethod
    def upgrade_opt(cls, opt_from_disk: Opt) -> Opt:
        """Let the base upgrade what it saved."""
        return deployed_model.upgrade(opt_from_disk, cls.agent_name)

    def begin(self, opt: Opt, shared: dict[str, Any] | None) -> Opt:
        """
        What comes before all else, parts and base.

        :param opt: of the agent
        :param shared: of one that shares with this one, if there is one
        :return: the options to go on with
        :raises UsageError: when the deployed model's file would be written
        """
        self.saved, self.loaded_from = {}, None
        self.trains = shared is None and updating_agent.trains(opt)
        if shared is not None:
            return opt
        if opt.get("init_model"):
            opt["init_model"] = updating_agent.model_path(opt, "init_model")
        if self.trains:
            if model_files.same_file(opt.get("model_file"), opt.get("init_model")):
                raise deployed_model.overwritten(opt.get("model_file"))
            return opt
        return Opt({**opt, "datatype": "valid"}) if updating_agent.is_training(opt) else opt

    def __init__(self, opt: Opt, shared: dict[str, Any] | None = None) -> None:
        super().__init__(opt, shared)
        if self.trains and opt.get("model_file"):
            self.opt["dict_file"] = opt["model_file"] + ".dict"

    def load(self, path: str) -> dict[str, Any]:
        """Load as the base does; what was saved of the parts waits until they are there."""
        with checkpoints.translate_errors(path):
            states = super().load(path)
        self.saved, self.loaded_from = states.get(self.agent_name) or {}, path
        return states


def is_of_training(observations: Any) -> bool:
    """Whether what an agent is to act on is of training, which the base answers as it does."""
    return isinstance(observations, Batch) or any("labels_vec" in seen for seen in observations)
