"""
The agent below ours: finding its class, taking over its options, building on it.

An agent of ours that updates a deployed model is that model's own agent with some behaviour
on top. So it is composed at run time: ``class FrozenLayerAgent(FrozenLayerAgent, Base)``.
Everything the host asks of an agent (``isinstance``, sharing, evaluation, decoding) is then
answered by the base itself.
"""

import functools
import os
import pkgutil
import types
from collections.abc import Callable
from typing import Any

import parlai.agents
import parlai.utils.logging as logging
from parlai.core.loader import AGENT_REGISTRY, load_agent_module
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser, class2str
from parlai.core.torch_agent import TorchAgent
from parlai.nn.lr_scheduler import ParlAILRScheduler

from parlai_cu import plugin
from parlai_cu.errors import UsageError, hint, nearest

# Options of the deployed model that belong to the run that trained it or to the machine it
# ran on. They keep ParlAI's defaults; the rest is inherited.
RUN_OPTIONS = set(
    """
    data_parallel dict_file dict_initpath dict_maxexs embedding_projection embedding_type fp16
    gpu init_fairseq_model interactive_mode load_from_pretrained_ranker model_parallel no_cuda
    output_conversion_path skip_generation t5_model_parallel update_classifier_head_only
    """.split()
)

# Of other people's agents: what a run began with is a wish of that run and not of the next. One of
# the first words is enough; the second ones need one of the third (init_std, copy_attention)
_BEGINS_A_RUN = set(
    """
    pretrained reinit reload reset restore resume warm warmstart
    """.split()
)
_MAY_BEGIN_A_RUN = {"init", "copy", "load"}
_WITH_WHAT = set(
    "model opt weights checkpoint from file path encoder decoder embeddings params pretrained "
    "teacher".split()
)

# Options that decide what the weights mean: changing one on a trained model changes the model.
# Shapes alone would not show n_heads or activation. What is not listed is caught by the shapes
# when the weights are loaded.
ARCHITECTURE_OPTIONS = set(
    """
    activation add_special_tokens add_start_token attention attention_length attention_time
    bidirectional classes codes_attention_num_heads codes_attention_type decoder embedding_size
    embeddings_scale embeddingsize ffn_size gpt2_size hf_model_arch hiddensize hops
    image_combination_mode image_features_dim image_fusion_type include_image_token
    learn_embeddings learn_positional_embeddings lookuptable memory_attention memsize model_name
    n_decoder_layers n_encoder_layers n_heads n_layers n_positions n_segments normalize_sent_emb
    numlayers numsoftmax output_scaling person_tokens poly_attention_num_heads
    poly_attention_type poly_n_codes polyencoder_type position_encoding reduction_type rnn_class
    share_encoders share_word_embeddings special_tok_lst t5_model_arch time_features
    use_memories variant wrap_memory_encoder
    """.split()
)


def base_agent_class(name: str, flag: str = "--base-agent") -> type[TorchAgent]:
    """
    The class that ``-m NAME`` means.

    :param name: any of ParlAI's spellings: ``transformer/generator``, ``my.module:MyAgent``
    :param flag: what named it, for the message
    :raises UsageError: when there is no such agent, or it is no TorchAgent
    """
    try:
        agent_class = load_agent_module(name)
    except (ImportError, AttributeError, RuntimeError, UsageError) as error:
        raise no_such_agent(flag, name, error.__cause__ or error) from error
    if not (isinstance(agent_class, type) and issubclass(agent_class, TorchAgent)):
        raise UsageError(
            f"{flag} {name}: {agent_class.__name__} has no torch model that could be tuned, "
            "taught or kept as a version; expected a TorchAgent such as transformer/generator"
        )
    return agent_class


def no_such_agent(flag: str, name: str, error: BaseException) -> UsageError:
    """
    The error for an agent that ParlAI does not find.

    :param flag: what named it
    :param name: the agent
    :param error: what ParlAI said
    """
    close = hint(nearest(name, known_agents()))
    return UsageError(f"{flag} {name}: ParlAI finds no such agent ({error}){close}")


def known_agents() -> list[str]:
    """Names that ``-m`` certainly knows, without importing the agents."""
    names = [*AGENT_REGISTRY, *plugin.AGENTS]
    for folder in pkgutil.iter_modules(parlai.agents.__path__):
        names.append(folder.name)
        if folder.name in ("transformer", "hugging_face"):
            path = os.path.join(parlai.agents.__path__[0], folder.name)
            names += [f"{folder.name}/{m.name}" for m in pkgutil.iter_modules([path])]
    # these live in classes of one module
    names += [f"transformer/{kind}" for kind in ("generator", "ranker", "classifier")]
    return sorted(set(names))


def inherited_options(base: type[TorchAgent], opt: Opt) -> dict[str, Any]:
    """
    The options that a new agent takes over from a deployed model.

    :param base: the deployed model's agent
    :param opt: the deployed model's options
    :return: values for the flags of ``base`` (architecture, tokenizer, decoding, truncation,
        optimizer), without those of the finished run (see :data:`RUN_OPTIONS`, and the
        learning rate schedule)
    """
    taken = option_names(base, opt) - RUN_OPTIONS - _scheduler_options()
    wishes = {name for name in taken if _begins_a_run(name)}
    taken -= wishes
    taken |= {"image_mode", "force_fp16_tokens"}
    inherited = {name: opt[name] for name in sorted(taken) if name in opt}
    # a switch may be on by default: the weights come from the deployed model, not from elsewhere
    inherited.update({name: False for name in sorted(wishes) if isinstance(opt.get(name), bool)})
    inherited["dict_class"] = class2str(base.dictionary_class())
    optimizer = inherited.get("optimizer")
    if optimizer is not None and optimizer not in base.optim_opts():
        # fused_adam of a machine with apex, for example
        instead = next((name for name in ("adam", "sgd") if name in str(optimizer)), "adam")
        logging.warning(
            f"the deployed model was trained by --optimizer {optimizer}, which there is not here: "
            f"{instead} is taken; name another by the flag"
        )
        inherited["optimizer"] = instead
    return inherited


def _begins_a_run(name: str) -> bool:
    first, *others = name.split("_")
    return first in _BEGINS_A_RUN or (
        first in _MAY_BEGIN_A_RUN and not _WITH_WHAT.isdisjoint(others)
    )


def option_names(base: type[TorchAgent], opt: Opt | None = None) -> set[str]:
    """Names of all options that the agent adds to a parser."""
    return names_added(lambda parser: base.add_cmdline_args(parser, Opt(opt or {})))


def names_added(*flags: Callable[[ParlaiParser], Any]) -> set[str]:
    """Names of the options that functions add to a parser."""
    parser = ParlaiParser(add_parlai_args=False)
    for add in flags:
        add(parser)
    return {action.dest for action in parser._actions} - {"help"}


def dictionary_options(base: type[TorchAgent]) -> set[str]:
    """Names of the options that decide how text becomes tokens."""
    run = {"dict_file", "dict_initpath", "dict_maxexs", "dict_include_valid", "dict_include_test"}
    return names_added(lambda p: base.dictionary_class().add_cmdline_args(p, None)) - run


def check_architecture(base: type[TorchAgent], deployed: Opt, opt: Opt) -> None:
    """
    Refuse a flag that would change what the deployed weights mean.

    :param base: the deployed model's agent
    :param deployed: its options
    :param opt: the options of the new run
    :raises UsageError: naming the flag and both values
    """
    for name in sorted(ARCHITECTURE_OPTIONS | dictionary_options(base)):
        if name not in deployed or name not in opt:
            continue
        if _plain(deployed[name]) != _plain(opt[name]):
            raise UsageError(
                f"--{name.replace('_', '-')} {opt[name]}: the deployed model has "
                f"{deployed[name]}. Its architecture and dictionary cannot change in "
                "fine-tuning; leave the flag away, or distil into a new student"
            )


def changed_flags(base: type[TorchAgent], deployed: Opt, opt: Opt) -> str:
    """The base's flags in this command that differ from the deployed model, for messages."""
    names = option_names(base, deployed) & set(opt.get("override") or {}) & set(deployed)
    changes = [
        f"--{name.replace('_', '-')} {opt[name]} (was {deployed[name]})"
        for name in sorted(names - RUN_OPTIONS)
        if _plain(deployed[name]) != _plain(opt[name])
    ]
    return ", ".join(changes)


def brings_its_dictionary(base: type[TorchAgent], opt: Opt) -> bool:
    """Whether the agent's dictionary comes with its pretrained tokenizer, not from a file."""
    is_prebuilt = getattr(base.dictionary_class(), "is_prebuilt", None)
    # asked of the class, as building a dictionary to ask it may download one
    return bool(
        is_prebuilt and is_prebuilt(types.SimpleNamespace(tokenizer=opt.get("dict_tokenizer")))
    )


@functools.cache
def compose(ours: type, base: type[TorchAgent]) -> type:
    """
    The class that is ``ours`` on top of ``base``.

    :param ours: an agent class of ours, written to sit before a TorchAgent in the MRO
    :param base: the deployed model's agent class
    """
    # type(base) is the metaclass: TorchAgent is abstract
    return type(base)(
        ours.__name__, (ours, base), {"__module__": ours.__module__, "base_class": base}
    )


def _scheduler_options() -> set[str]:
    return names_added(lambda parser: ParlAILRScheduler.add_cmdline_args(parser, None))


def _plain(value: object) -> Any:
    # .opt files are JSON: tuples come back as lists
    if isinstance(value, (list, tuple)):
        return [_plain(part) for part in value]
    return value
