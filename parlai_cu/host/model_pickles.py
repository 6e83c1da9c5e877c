"""
ParlAI unpickles model files, and options files of old: whatever they say is run.

Seen with ParlAI 1.7.2: a model from elsewhere that is named by ``-mf`` or ``--init-model`` runs
commands of whoever made it before its first word (``parlai/core/torch_agent.py``, line 2083; the
same in starspace, rag and ``parlai vacuum``); so does an ``.opt`` that is no UTF-8
(``parlai/core/opt.py``, line 137). seq2seq's own way (``seq2seq.py``, line 236) fails on anything
but tensors since torch 2.6.

Tensors and plain values are read, objects are refused unless ``--trust-checkpoint`` stands on the
command line (:mod:`parlai_cu.checkpoints`). Calls without ``pickle_module`` (candidates, image
features, dense indexes, foreign fairseq and DPR checkpoints) keep torch's default.
"""

import argparse
import functools
import pickle
from types import ModuleType, SimpleNamespace
from typing import Any

from parlai_cu.errors import ModelFileError, in_place_of
from parlai_cu.host import Stock, instead_of
from parlai_cu.parlai_types import Parser
from parlai_cu.trust import trust

# what an options file of ParlAI before 2019 consists of, beside plain values
_OF_OPTIONS = {
    ("parlai.core.opt", "Opt"),
    ("parlai.core.utils", "Opt"),
    ("parlai.utils.misc", "Opt"),
    ("collections", "OrderedDict"),
}


def after(module: ModuleType) -> None:
    """Read models and options as data (parlai.utils.pickle, parlai.core.opt)."""
    if module.__name__ == "parlai.utils.pickle":
        _read_models_as_data(module)
    elif module.__name__ == "parlai.core.opt":
        module.pickle = SimpleNamespace(load=_load_options)  # type: ignore[attr-defined]


def add_flag(parser: Parser) -> None:
    """
    ``--trust-checkpoint``, for a command without ParlAI's model arguments.

    :param parser: a ParlaiParser or a group of one
    """
    parser.add_argument(
        "--trust-checkpoint",
        action=_Trust,
        type="bool",
        nargs="?",
        const=True,
        default=False,
        help="read model files that hold Python objects, too, although loading them could run "
        "any code: for files from those whom you trust. Counts on the command line only, not in "
        "an .opt",
    )


class _Trust(argparse.Action):
    """Counts where it is parsed, so that nothing but the command line can say it."""

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: object,
        values: object,
        option: object = None,
    ) -> None:
        setattr(namespace, self.dest, values)
        trust(bool(values))


@instead_of("parlai.core.params:ParlaiParser.add_model_args")
def _add_model_args(stock: Stock, self: Any) -> None:
    stock(self)
    add_flag(self)


@instead_of("parlai.core.params:ParlaiParser.parse_args")
def _parse_args(stock: Stock, self: Any, *args: Any, **kwargs: Any) -> Any:
    # what an earlier command of this process said is over
    if any(action.dest == "trust_checkpoint" for action in self._actions):
        trust(False)
    return stock(self, *args, **kwargs)


@instead_of("parlai.agents.seq2seq.seq2seq:Seq2seqAgent.load")
def _load_seq2seq(stock: Stock, self: Any, path: str) -> dict[str, Any]:
    import parlai.utils.pickle
    import torch
    from parlai.utils.io import PathManager

    with PathManager.open(path, "rb") as stream:
        states: dict[str, Any] = torch.load(
            stream, map_location="cpu", pickle_module=parlai.utils.pickle
        )
    self.model.load_state_dict(states["model"])
    if "longest_label" in states:
        self.model.longest_label = states["longest_label"]
    return states


def _read_models_as_data(module: ModuleType) -> None:
    import torch

    stock = torch.load
    allow = getattr(torch.serialization, "add_safe_globals", None)
    if allow is not None:  # torch 2.4
        from parlai.core.opt import Opt

        allow([Opt])  # starspace keeps its options in the model file

    @functools.wraps(stock)
    def load(f: Any, map_location: Any = None, pickle_module: object = None, **more: Any) -> Any:
        if pickle_module is not module or more.get("weights_only") is not None:
            return stock(f, map_location, pickle_module, **more)
        from parlai_cu import checkpoints

        more["map_location"] = map_location
        if hasattr(f, "read"):
            return checkpoints.read(f, str(getattr(f, "name", "the model")), module, **more)
        with open(f, "rb") as opened:
            return checkpoints.read(opened, str(f), module, **more)

    torch.load = load


class _Read(dict):
    """Stands for an Opt, without its notes of where it was copied."""

    def __setstate__(self, state: object) -> None:
        if isinstance(state, tuple) and isinstance(state[-1], dict):
            self.update(state[-1])


class _Options(pickle.Unpickler):
    """Makes nothing but options."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _OF_OPTIONS:
            raise pickle.UnpicklingError(f"an options file with a {module}.{name} in it")
        return _Read


def _load_options(f: Any) -> Any:
    try:
        return dict(_Options(f).load())
    except Exception as error:
        wrong = ModelFileError(
            f"{getattr(f, 'name', 'the .opt')} is neither JSON nor a pickled options file of "
            f"ParlAI before 2019: {error}. Nothing in it was run"
        )
        raise in_place_of(error, wrong) from None
