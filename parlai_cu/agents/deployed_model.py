"""
The model that ``--init-model`` names: what an agent of ours inherits from it.

Its base agent, dictionary and architecture come from its ``.opt``, so that a command restates
nothing; and its own files are never written.
"""

import os

from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from parlai_cu.agents import base_agent, model_files, own_flags, updating_agent
from parlai_cu.errors import UsageError


def find(opt: Opt) -> Opt | None:
    """The options of ``--init-model``; a resumed run has its own checkpoint there."""
    init_model = updating_agent.model_path(opt, "init_model")
    if not init_model:
        return None
    if init_model.endswith(".checkpoint") and model_files.same_file(
        init_model, str(opt.get("model_file")) + ".checkpoint"
    ):
        return None
    if not _is_named_now(opt) and not os.path.isfile(init_model):
        # a candidate in service, on a machine without the model it was made from
        return None
    return model_files.read_opt(init_model, "--init-model")


def check_dict_file(opt: Opt) -> None:
    """
    Refuse a ``--dict-file`` that is not the deployed model's.

    :raises UsageError: when its words have, or would get, other numbers
    """
    named = (opt.get("override") or {}).get("dict_file")
    init_model = updating_agent.model_path(opt, "init_model")
    own = f"{init_model}.dict"
    if not named or find(opt) is None or not os.path.isfile(own):
        return
    if not os.path.isfile(named) or not model_files.same_dictionary(named, own):
        raise UsageError(
            f"--dict-file {named}: {init_model} was trained with {own}, and in another dictionary "
            "words have other numbers. Leave the flag away, or distil into a new student"
        )


def _is_named_now(opt: Opt) -> bool:
    # without a saved candidate the deployed model is needed, whoever named it
    if model_files.find_opt(updating_agent.model_path(opt, "model_file")) is None:
        return True
    return "init_model" in (opt.get("override") or {})


def base_name(opt: Opt) -> str:
    """The agent that a model's options mean, be it a plain one or a candidate of ours."""
    return str(opt.get("base_agent") or opt["model"])


def inherit(parser: ParlaiParser, partial: Opt, agent: str) -> bool:
    """
    Add the base's flags, with the deployed model's values as defaults.

    :param parser: gets the flags
    :param partial: what ParlAI has read of the command so far
    :param agent: the name of our agent, for messages
    :return: whether there is a model, deployed or our own, to inherit from
    :raises UsageError: when ``-mf`` is a model that is not ours
    """
    deployed = find(partial)
    candidate = model_files.find_opt(updating_agent.model_path(partial, "model_file"))
    if candidate is not None and not candidate.get("base_agent"):
        _refuse_foreign(partial, candidate, agent)
    source = deployed or candidate
    if source is None:
        return False
    name = base_name(source)
    base = base_agent.base_agent_class(name, "the deployed model's agent")
    source = base.upgrade_opt(source)
    known = Opt({**source, **partial})
    shared = own_flags.add_beside(parser, lambda: base.add_cmdline_args(parser, known), name)
    inherited = own_flags.defaults(base_agent.inherited_options(base, source), shared)
    parser.set_defaults(**inherited, base_agent=name)
    dictionary = f"{updating_agent.model_path(partial, 'init_model')}.dict"
    if deployed is not None and not base_agent.brings_its_dictionary(base, deployed):
        model_files.check_dictionary(dictionary)
    if deployed is not None and os.path.isfile(dictionary):
        parser.set_defaults(dict_file=dictionary)
    return True


def upgrade(opt_from_disk: Opt, agent: str) -> Opt:
    """
    Let the base upgrade what it saved.

    :raises UsageError: when it is not a candidate of ours
    """
    if not opt_from_disk.get("base_agent"):
        raise UsageError(
            f"-m {agent}: the model at -mf is a {opt_from_disk.get('model')}, not a "
            "candidate of ours; load it without -m, or name it by --init-model"
        )
    return base_agent.base_agent_class(opt_from_disk["base_agent"]).upgrade_opt(opt_from_disk)


def _refuse_foreign(partial: Opt, existing: Opt, agent: str) -> None:
    model_file = partial["model_file"]
    if model_files.same_file(
        updating_agent.model_path(partial, "model_file"),
        updating_agent.model_path(partial, "init_model"),
    ):
        raise overwritten(model_file)
    raise UsageError(
        f"-mf {model_file} is a finished {existing.get('model')} model, which -m {agent} "
        f"would overwrite. To update it: --init-model {model_file} -mf another/path"
    )


def overwritten(model_file: str | None) -> UsageError:
    """What to say when ``-mf`` is the deployed model."""
    return UsageError(
        f"-mf {model_file} is the deployed model itself, which is never written. Give the "
        f"candidate a path of its own: --init-model {model_file} -mf candidate/model"
    )
