"""
``--tune`` and ``--freeze``: from comma-separated PATTERNS to tensors.

===========================  ==========================================================
``encoder.layers.3``         a dotted prefix: a module, or one tensor
``decoder.layers[-2:]``      a Python index or slice over numbered layers, also inside a
                             path: ``encoder.layers[0].ffn``, ``*.layers[-1]``
``*.norm*``                  a glob over whole names or module paths (``*`` crosses dots)
``re:.*\\.q_lin\\..*``         a regular expression that must match the whole name
``@norm``                    a group: see :data:`GROUPS`
===========================  ==========================================================
"""

import dataclasses
import fnmatch
import re
from collections.abc import Callable, Iterable

from parlai_cu.errors import PatternError, nearest
from parlai_cu.selection.catalogue import TensorInfo

_SLICE = re.compile(r"\[(-?\d*)(?:(:)(-?\d*)(?:(:)(-?\d*))?)?\]")


@dataclasses.dataclass(frozen=True)
class Selection:
    """
    What learns and what does not.

    :param tensors: every tensor of the model
    :param selected: first names of the tensors that may change
    :param tune: the ``--tune`` that chose them, or None
    :param freeze: the ``--freeze`` that took some away, or None
    """

    tensors: tuple[TensorInfo, ...]
    selected: frozenset[str]
    tune: str | None
    freeze: str | None

    @property
    def learning(self) -> list[TensorInfo]:
        """The tensors that may change."""
        return [t for t in self.tensors if t.name in self.selected]

    @property
    def frozen(self) -> list[TensorInfo]:
        """The tensors that must stay bit-identical."""
        return [t for t in self.tensors if t.name not in self.selected]

    def describe(self) -> str:
        """The selection as the user wrote it, for messages."""
        parts = [f"--tune '{self.tune}'"] if self.tune else []
        parts += [f"--freeze '{self.freeze}'"] if self.freeze else []
        return " ".join(parts)


def select(
    tensors: Iterable[TensorInfo], tune: str | None = None, freeze: str | None = None
) -> Selection:
    """
    Resolve ``--tune`` minus ``--freeze`` on the tensors of a model.

    With ``freeze`` alone, everything else learns. Parameters that the model itself never
    trains (sinusoidal position codes) are not selected by any pattern.

    :param tensors: from :func:`parlai_cu.selection.catalogue.list_tensors`
    :param tune: comma-separated patterns of what learns
    :param freeze: comma-separated patterns of what does not, stronger than ``tune``
    :raises PatternError: when a pattern matches nothing, or nothing is left to learn
    """
    tensors = tuple(tensors)
    if not tune and not freeze:
        raise PatternError(
            "nothing says which parameters learn: give --tune PATTERNS, e.g. "
            f"--tune '{_example(tensors)}', or --freeze PATTERNS. Blocks of this model: "
            + _shortened(_blocks(tensors))
        )
    chosen = _matches(tensors, tune, "--tune") if tune else {t.name for t in tensors}
    refused = _matches(tensors, freeze, "--freeze") if freeze else set()
    selected = {t.name for t in tensors if t.name in chosen - refused and not t.is_fixed}
    result = Selection(tensors, frozenset(selected), tune, freeze)
    if not any(not t.is_buffer for t in result.learning):
        fixed = [t.name for t in tensors if t.is_fixed and t.name in chosen - refused]
        why = f" ({_shortened(fixed)} is fixed by the model itself)" if fixed else ""
        raise PatternError(
            f"{result.describe()} leaves no parameter to learn{why}: choose a wider --tune or "
            "a narrower --freeze"
        )
    return result


def split_patterns(text: str) -> list[str]:
    """Split at the commas that stand outside of brackets."""
    parts, depth, start = [], 0, 0
    for position, character in enumerate(text):
        if character in "([{":
            depth += 1
        elif character in ")]}":
            depth -= 1
        elif character == "," and depth <= 0:
            parts.append(text[start:position])
            start = position + 1
    parts.append(text[start:])
    return [part.strip() for part in parts if part.strip()]


def _matches(tensors: tuple[TensorInfo, ...], text: str, flag: str) -> set[str]:
    matched: set[str] = set()
    for pattern in split_patterns(text):
        test = _compile(pattern, tensors, flag)
        hits = {t.name for t in tensors if test(t)}
        if not hits:
            raise PatternError(_no_match(pattern, tensors, flag))
        matched |= hits
    return matched


def _compile(
    pattern: str, tensors: tuple[TensorInfo, ...], flag: str
) -> Callable[[TensorInfo], bool]:
    if pattern.startswith("@"):
        if pattern not in GROUPS:
            raise PatternError(
                f"{flag} {pattern}: there is no such group; the groups are {' '.join(GROUPS)}"
            )
        return GROUPS[pattern]
    if pattern.startswith("re:"):
        try:
            expression = re.compile(pattern[3:])
        except re.error as error:
            raise PatternError(f"{flag} {pattern}: not a regular expression: {error}") from None
        return lambda t: any(expression.fullmatch(name) for name in t.names)
    if _SLICE.search(pattern):
        prefixes = _expand(pattern, tensors, flag)
        return lambda t: any(_under(name, prefix) for name in t.names for prefix in prefixes)
    if any(character in pattern for character in "*?["):
        return lambda t: any(
            fnmatch.fnmatchcase(prefix, pattern) for name in t.names for prefix in _prefixes(name)
        )
    return lambda t: any(_under(name, pattern) for name in t.names)


def _under(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(prefix + ".")


def _prefixes(name: str) -> list[str]:
    parts = name.split(".")
    return [".".join(parts[: i + 1]) for i in range(len(parts))]


def _expand(pattern: str, tensors: tuple[TensorInfo, ...], flag: str) -> list[str]:
    """Replace the first index or slice by every number it stands for; recurse on the rest."""
    match = _SLICE.search(pattern)
    if match is None:
        return [pattern]
    container, rest = pattern[: match.start()], pattern[match.end() :]
    numbered = _numbered(tensors)
    hits = [path for path in numbered if fnmatch.fnmatchcase(path, container)]
    if not hits:
        raise PatternError(
            f"{flag} {pattern}: {container!r} has no numbered layers; these have: "
            + _shortened(list(numbered))
        )
    chosen = [f"{path}.{n}" for path in hits for n in _take(match, sorted(numbered[path]))]
    if not chosen:
        counts = ", ".join(f"{path} has {len(numbered[path])}" for path in hits)
        raise PatternError(
            f"{flag} {pattern}: {match.group(0)} takes none of the layers, which count from 0: "
            + counts
        )
    return [path for prefix in chosen for path in _expand(prefix + rest, tensors, flag)]


def _take(match: "re.Match[str]", numbers: list[int]) -> list[int]:
    start, colon, stop, _, step = match.groups()
    try:
        if colon:
            return numbers[slice(*(int(bound) if bound else None for bound in (start, stop, step)))]
        return [numbers[int(start)]]
    except (IndexError, ValueError):  # out of range, or a step of 0
        return []


def _numbered(tensors: Iterable[TensorInfo]) -> dict[str, set[int]]:
    """Every path with numbered children, and their numbers."""
    numbers: dict[str, set[int]] = {}
    for t in tensors:
        for name in t.names:
            parts = name.split(".")
            for i, part in enumerate(parts):
                if i and part.isdigit():
                    numbers.setdefault(".".join(parts[:i]), set()).add(int(part))
    return numbers


def _no_match(pattern: str, tensors: tuple[TensorInfo, ...], flag: str) -> str:
    if pattern == "@head":
        return (
            f"{flag} @head: this model has no output layer of its own; it shares the token "
            "embedding (tied), so @embeddings tunes both"
        )
    if pattern in GROUPS:
        return f"{flag} {pattern}: this model has no such tensors"
    known = {prefix for t in tensors for name in t.names for prefix in _prefixes(name)} | {"auto"}
    close = nearest(pattern, sorted(known))
    hint = f"nearest: {', '.join(close)}" if close else f"blocks: {_shortened(_blocks(tensors))}"
    return f"{flag} {pattern}: matches no parameter or buffer of this model; {hint}"


def _blocks(tensors: Iterable[TensorInfo]) -> list[str]:
    return list(dict.fromkeys(t.block for t in tensors if not t.is_buffer))


def _example(tensors: tuple[TensorInfo, ...]) -> str:
    containers = list(_numbered(tensors))
    return f"{containers[-1]}[-1]" if containers else _blocks(tensors)[-1]


def _shortened(words: list[str], limit: int = 12) -> str:
    more = f", ... ({len(words)} in all)" if len(words) > limit else ""
    return ", ".join(words[:limit]) + more


def _has_part(t: TensorInfo, expression: str) -> bool:
    return any(
        re.search(expression, part, re.IGNORECASE) for name in t.names for part in name.split(".")
    )


def _is_norm(t: TensorInfo) -> bool:
    return "norm" in t.owner.lower() or _has_part(t, r"^(norm\d*|ln_\w+|bn\d*)$")


def _is_bias(t: TensorInfo) -> bool:
    return any(re.match(r"bias|b$", name.split(".")[-1]) for name in t.names)


def _is_attention(t: TensorInfo) -> bool:
    return _has_part(t, r"attention|attn") and not _is_norm(t)


def _is_ffn(t: TensorInfo) -> bool:
    parts = r"^(ffn|mlp|feed_?forward|densereludense|intermediate|fc\d+|lin[12]|wi(_\d)?|wo)$"
    return _has_part(t, parts) and not _is_norm(t)


def _is_embedding(t: TensorInfo) -> bool:
    return t.owner.startswith("Embedding") or _has_part(t, r"embedding|^(wte|wpe|shared|lt)$")


def _is_head(t: TensorInfo) -> bool:
    # outside of the layers only: BERT has a `layer.0.output.dense` in each of them
    heads = r"^(lm_head|output|out|head|classifier|score|additional_linear_layer|o2e|linear_out)$"
    return any(
        re.match(heads, part)
        for name in t.names
        if not re.search(r"\.\d+\.", name)
        for part in name.split(".")
    )


GROUPS: dict[str, Callable[[TensorInfo], bool]] = {
    "@bias": _is_bias,
    "@norm": _is_norm,
    "@attention": _is_attention,
    "@ffn": _is_ffn,
    "@embeddings": _is_embedding,
    "@head": _is_head,
}

# the one kind of a tensor, where it may be in several groups: a bias is of its layer's
_KINDS = ("@norm", "@embeddings", "@head", "@attention", "@ffn")


def kind_of(tensor: TensorInfo) -> str:
    """What a tensor is for: a group's name without ``@``, or ``other``. Each has one."""
    return next((kind[1:] for kind in _KINDS if GROUPS[kind](tensor)), "other")
