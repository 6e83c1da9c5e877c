"""
``--cache-frozen``: what the frozen layers below the lowest that learns give for an example is
computed once, kept on disk and read from there in later epochs.

Kept are the outputs of encoders that are frozen as a whole, and the hidden states behind the
first frozen layers of a transformer of which later ones learn. A frozen module runs as in
evaluation (``selection/freeze.py``), so both are the same in every epoch. One thing is not: in
training a transformer drops parts of its embedded input, also where its first layers are frozen.
With such dropout those states are kept only where ``--cache-frozen-exact false`` turns it off.
"""

import contextlib
import hashlib
import os
import shutil
import weakref
from collections.abc import Iterator, Sequence
from typing import Any, Optional

import parlai.utils.logging as logging
import torch
from parlai.agents.transformer.modules.decoder import BaseTransformerDecoder
from parlai.core.opt import Opt
from parlai.core.torch_agent import Batch

from parlai_cu.agents import base_agent
from parlai_cu.agents.frozen_layer.prefix_parts import Part, find, made_up_tokens
from parlai_cu.array_store import ArrayStore
from parlai_cu.errors import DataError, UsageError
from parlai_cu.parlai_types import ModelAgent, Parser
from parlai_cu.selection import guard
from parlai_cu.selection.row_cache import NotByRow, RowMemo, TokenRows, leaves, probe

DEFAULT_GIGABYTES = 4.0


def add_flags(group: Parser) -> None:
    """Add the flags of the cache to a group of the parser's."""
    group.add_argument(
        "--cache-frozen",
        type="nonestr",
        default=None,
        help="folder in which to keep what the frozen lower layers give for each example, "
        "so that they run once and not in every epoch; 'auto': beside the candidate "
        "while it trains, where that pays",
    )
    group.add_argument(
        "--cache-frozen-size",
        type=float,
        default=DEFAULT_GIGABYTES,
        help="bound on that folder, in GB",
    )
    group.add_argument(
        "--cache-frozen-exact",
        type="bool",
        default=True,
        help="keep nothing that dropout would change from epoch to epoch; false: turn off the "
        "dropout before the first frozen layers of a transformer of which later ones learn, and "
        "keep what these give too",
    )


def check(opt: Opt) -> None:
    """
    Refuse what cannot work.

    :raises UsageError: naming the flag, what was found and what was expected
    """
    if opt.get("cache_frozen") and opt["cache_frozen_size"] <= 0:
        raise UsageError(f"--cache-frozen-size {opt['cache_frozen_size']}: expected more than 0 GB")
    if opt.get("cache_frozen") == "auto" and not opt.get("model_file"):
        raise UsageError("--cache-frozen auto keeps it beside the candidate: give -mf, or a folder")


def own_folder(opt: Opt) -> str | None:
    """The folder of ``--cache-frozen auto``, which goes when the run is done; else None."""
    if opt.get("cache_frozen") != "auto" or not opt.get("model_file"):
        return None
    return f"{os.path.abspath(opt['model_file'])}.activations"


def clean_up(opt: Opt) -> None:
    """Remove what ``--cache-frozen auto`` kept, at the end of a run."""
    folder = own_folder(opt)
    if folder is not None:
        shutil.rmtree(folder, ignore_errors=True)


def attach(agent: ModelAgent, frozen: Sequence[str]) -> Optional["CachedPrefix"]:
    """
    Let the frozen prefix of an agent's model be computed once, where the options say so.

    :param agent: built, loaded and frozen
    :param frozen: paths of the largest modules that are frozen as a whole
    :return: None where there is no cache
    :raises UsageError: when the model has nothing that can be kept, except under ``auto``
    """
    asked = agent.own.get("cache_frozen")
    if not asked:
        return None
    if asked == "auto":
        why_not = _would_not_pay(agent)
        if why_not:
            logging.info(f"--cache-frozen auto: nothing is kept, {why_not}")
            return None
    try:
        return CachedPrefix(agent, *find(agent, frozen))
    except UsageError as error:
        if asked != "auto":
            raise
        logging.info(f"--cache-frozen auto: nothing is kept. {error}")
        return None


def _would_not_pay(agent: ModelAgent) -> str | None:
    if agent.use_cuda:
        return "that it pays on a GPU is not known (name a folder to try it)"
    epochs = agent.own.get("num_epochs") or -1
    if 0 < epochs <= 1:
        return "each example is seen once"
    return None


class CachedPrefix:
    """
    The cache of an agent in training; entered for each training step.

    :param agent: whose model's modules are to read from it
    :param parts: what is kept
    :param reasons: why not more is
    :raises DataError: when the folder cannot be written
    :raises UsageError: when a module's outputs cannot be kept row by row
    """

    def __init__(self, agent: ModelAgent, parts: Sequence[Part], reasons: Sequence[str]) -> None:
        self.active, self._cached = False, True
        folder = own_folder(agent.own) or agent.own["cache_frozen"]
        try:
            self.cache = ArrayStore(
                folder, max_bytes=int(agent.own["cache_frozen_size"] * 1e9), warn=logging.warning
            )
        except DataError as error:
            raise DataError(f"--cache-frozen: {error}") from None
        self._padding = agent.NULL_IDX
        # of the latest outputs of frozen encoders: decoders are found by what they listen to
        self._heard: Any = None
        self._labels: torch.Tensor | None = None
        self._memos: dict[str, RowMemo] = {}
        self._warned = False
        whole = [part for part in parts if not part.layers]
        for part in whole:
            self._keep_module(agent, part)
        encoders = b"".join(self._identity(agent, part) for part in whole)
        for part in parts:
            if part.layers:
                self._keep_layers(part, self._identity(agent, part) + encoders)
        said = [f"{p.path}.layers[:{p.layers}]" if p.layers else p.path for p in parts]
        more = f" (not kept: {'; '.join(reasons)})" if reasons else ""
        logging.info(
            f"{folder} keeps what {', '.join(said)} give, {len(self.cache):,d} entries so far{more}"
        )

    @contextlib.contextmanager
    def reading(self, batch: Batch, cached: bool = True) -> Iterator[None]:
        """
        Let the modules read from the cache, and add to it.

        :param batch: which they are about to be given
        :param cached: False: they compute it anew, with what dropout they have beside a cache
        """
        self.active, self._cached, self._labels = True, cached, batch.label_vec
        try:
            yield
        finally:
            self.active, self._labels, self._heard = False, None, None

    @property
    def found(self) -> int:
        """How many rows were read so far."""
        return sum(memo.found for memo in self._memos.values())

    @property
    def computed(self) -> int:
        """How many rows were computed so far."""
        return sum(memo.computed for memo in self._memos.values())

    # -- whole modules -----------------------------------------------------------------------

    def _keep_module(self, agent: ModelAgent, part: Part) -> None:
        module, owner = part.module, self._identity(agent, part)
        stock = module.forward
        device = next(module.parameters()).device
        try:
            with torch.no_grad():
                module.eval()
                example, along = probe(part.call, made_up_tokens(agent), self._padding, device)
        except NotByRow as error:
            raise UsageError(
                f"--cache-frozen: {part.path} of {agent.own.get('base_agent')} cannot be kept row "
                f"by row: {error}; leave the flag away"
            ) from error
        except Exception as error:
            raise UsageError(
                f"--cache-frozen: {part.path} of {agent.own.get('base_agent')} needs more than "
                f"rows of tokens ({error}); leave the flag away"
            ) from error
        memo = self._memos[part.path] = RowMemo(self.cache, example, along)

        def forward(*args: Any, **kwargs: Any) -> Any:
            rows = self._rows(args, kwargs) if self.active and self._cached else None
            if rows is None:
                return stock(*args, **kwargs)
            keys = rows.keys(owner)

            def compute(which: torch.Tensor | None) -> Any:
                if which is None:
                    return stock(*args, **kwargs)
                few = [_some(value, which) for value in args]
                return stock(*few, **{k: _some(value, which) for k, value in kwargs.items()})

            outputs = memo(keys, rows, device, compute)
            self._heard = (weakref.ref(leaves(outputs)[0]), keys)
            return outputs

        module.forward = forward

    def _rows(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> TokenRows | None:
        """What a module is given, if that is rows of tokens of one shape."""
        values = [*args, *(kwargs[name] for name in sorted(kwargs))]
        # no images are a list of Nones
        values = [None if _is_nothing(value) else value for value in values]
        tensors = [value for value in values if torch.is_tensor(value)]
        if (
            not tensors
            or not torch.is_tensor(values[0])
            or any(t.dim() != 2 or t.shape != tensors[0].shape for t in tensors)
            or any(t.is_floating_point() for t in tensors)
            or any(value is not None and not torch.is_tensor(value) for value in values)
        ):
            if not self._warned:
                self._warned = True
                logging.warning(
                    "--cache-frozen: a frozen module was given more than rows of tokens; what it "
                    "gives then is computed every time"
                )
            return None
        return TokenRows(values, self._padding)

    # -- first layers ------------------------------------------------------------------------

    def _keep_layers(self, part: Part, owner: bytes) -> None:
        module: Any = part.module
        is_decoder = isinstance(module, BaseTransformerDecoder)
        stock = module.forward_layers
        memo = self._memos[part.path] = RowMemo(self.cache, module.embeddings.weight, [True])
        now: list[Any] = [None]

        def before(_: object, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            now[0] = None
            if not self.active:
                return
            # without effect where there is no dropout or where it is to be exact
            module.dropout.eval()
            if not self._cached:
                return
            if is_decoder:
                now[0] = self._decoder_rows(owner, *args, **kwargs)
            else:
                rows = self._rows(args, kwargs)
                now[0] = rows and (rows, rows.keys(owner))

        def forward_layers(tensor: Any, *extra: Any, **kwargs: Any) -> Any:
            known, now[0] = now[0], None
            if known is None or any(kwargs.values()):
                return stock(tensor, *extra, **kwargs)
            rows, keys = known

            def compute(which: torch.Tensor | None) -> torch.Tensor:
                hidden, *rest = (_some(value, which) for value in (tensor, *extra))
                for layer in module.layers[: part.layers]:
                    hidden = _first(layer(hidden, *rest))
                return hidden

            hidden = memo(keys, rows, tensor.device, compute)
            states = {}
            for i, layer in enumerate(module.layers[part.layers :], start=part.layers):
                hidden = layer(hidden, *extra)
                if is_decoder:
                    hidden, states[i] = hidden
            return (hidden, states) if is_decoder else hidden

        module.register_forward_pre_hook(before, with_kwargs=True)
        module.forward_layers = forward_layers

    def _decoder_rows(
        self, owner: bytes, tokens: torch.Tensor, encoder_state: object, *more: Any, **others: Any
    ) -> Any:
        """Rows and keys of a decoder's input, where it listens to an encoder that is kept."""
        if self._heard is None or any(x is not None for x in (*more, *others.values())):
            return None
        heard, keys = self._heard
        if heard() is not leaves(encoder_state)[0] or len(keys) != len(tokens):
            return None
        # they are the labels moved by one, of which the last place of the longest is cut off: by
        # the labels themselves a row is the same in every batch
        labels = self._labels
        alike = labels if labels is not None and labels.shape == tokens.shape else None
        rows = TokenRows([tokens], self._padding, alike)
        return rows, rows.keys(owner, keys)

    # -- identity ----------------------------------------------------------------------------

    def _identity(self, agent: ModelAgent, part: Part) -> bytes:
        """Stands for all that outputs depend on but the tokens: weights and architecture."""
        names = base_agent.ARCHITECTURE_OPTIONS & set(agent.own)
        hashed = hashlib.sha256(
            repr(
                (
                    agent.own.get("base_agent"),
                    part.path,
                    part.layers,
                    agent.own.get("bf16_autocast"),
                    sorted((name, repr(agent.own[name])) for name in names),
                )
            ).encode()
        )
        module = part.module
        tensors = [*module.named_parameters(), *module.named_buffers()]
        for name, tensor in sorted(tensors, key=lambda pair: pair[0]):
            if (
                part.layers
                and name.startswith("layers.")
                and (int(name.split(".")[1]) >= part.layers)
            ):
                continue
            hashed.update(f"{name}:{guard.digest(tensor)}".encode())
        return hashed.digest()


def _is_nothing(value: object) -> bool:
    return isinstance(value, (list, tuple)) and all(part is None for part in value)


def _some(value: Any, which: torch.Tensor | None) -> Any:
    if which is None or value is None:
        return value
    if isinstance(value, (list, tuple)):
        return [value[i] for i in which.tolist()]
    return value[which]


def _first(outputs: Any) -> torch.Tensor:
    return outputs[0] if isinstance(outputs, tuple) else outputs
