"""--tune and --freeze PATTERNS, on the names of a small model."""

import pytest
import torch
from torch import nn

from parlai_cu.errors import PatternError
from parlai_cu.selection.catalogue import list_tensors
from parlai_cu.selection.patterns import GROUPS, select, split_patterns


class Block(nn.Module):
    """A layer with attention, ffn and norms, named as ParlAI names them."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.ModuleDict({"q_lin": nn.Linear(4, 4), "out_lin": nn.Linear(4, 4)})
        self.norm1 = nn.LayerNorm(4)
        self.ffn = nn.ModuleDict({"lin1": nn.Linear(4, 8), "lin2": nn.Linear(8, 4)})


class Model(nn.Module):
    """Encoder and decoder over one tied embedding, with a buffer and fixed positions."""

    def __init__(self, layers: int = 3) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(7, 4)
        self.encoder = nn.ModuleDict({"layers": nn.ModuleList(Block() for _ in range(layers))})
        self.decoder = nn.ModuleDict(
            {
                "embeddings": self.embeddings,
                "positions": nn.Embedding(5, 4),
                "layers": nn.ModuleList(Block() for _ in range(layers)),
            }
        )
        self.decoder["positions"].weight.requires_grad_(False)
        self.batchnorm = nn.BatchNorm1d(4)
        self.register_buffer("START", torch.tensor([1]))
        self.register_buffer("scratch", torch.zeros(1), persistent=False)


TENSORS = list_tensors(Model())
NAMES = {t.name for t in TENSORS}


def selected(tune: str, freeze: str = "") -> set:
    """Names of what `--tune tune --freeze freeze` selects."""
    return set(select(TENSORS, tune, freeze or None).selected)


def under(prefix: str) -> set:
    """Names under a module."""
    return {name for name in NAMES if name.startswith(prefix + ".")}


def test_tied_tensors_are_one_entry_with_aliases() -> None:
    """The shared embedding is listed once, with its other name; scratch buffers are not."""
    embedding = next(t for t in TENSORS if t.name == "embeddings.weight")
    assert embedding.aliases == ("decoder.embeddings.weight",)
    assert "decoder.embeddings.weight" not in NAMES
    assert "scratch" not in NAMES and "START" in NAMES


@pytest.mark.parametrize(
    "pattern, expected",
    [
        ("encoder.layers.1", under("encoder.layers.1")),
        ("encoder.layers.1.norm1.bias", {"encoder.layers.1.norm1.bias"}),
        ("decoder.layers[-1]", under("decoder.layers.2")),
        ("decoder.layers[-2:]", under("decoder.layers.1") | under("decoder.layers.2")),
        ("decoder.layers[::2]", under("decoder.layers.0") | under("decoder.layers.2")),
        ("encoder.layers[0].ffn", under("encoder.layers.0.ffn")),
        ("*.layers[0].norm1", under("encoder.layers.0.norm1") | under("decoder.layers.0.norm1")),
        ("encoder.*.norm1.bias", {f"encoder.layers.{i}.norm1.bias" for i in range(3)}),
        ("encoder.layers.?.norm1", {n for n in under("encoder") if "norm1" in n}),
        (
            r"re:encoder\..*\.ffn\.lin1\.weight",
            {f"encoder.layers.{i}.ffn.lin1.weight" for i in range(3)},
        ),
        ("batchnorm", under("batchnorm")),
        ("decoder.embeddings", {"embeddings.weight"}),
    ],
)
def test_pattern(pattern: str, expected: set) -> None:
    """Each kind of pattern selects what its documentation says."""
    assert expected
    assert selected(pattern) == expected


@pytest.mark.parametrize(
    "group, member, stranger",
    [
        ("@bias", "encoder.layers.0.attention.q_lin.bias", "encoder.layers.0.norm1.weight"),
        ("@norm", "batchnorm.running_mean", "encoder.layers.0.ffn.lin1.weight"),
        ("@attention", "decoder.layers.2.attention.out_lin.bias", "decoder.layers.2.norm1.bias"),
        ("@ffn", "decoder.layers.2.ffn.lin1.weight", "decoder.layers.2.norm1.bias"),
        ("@embeddings", "embeddings.weight", "encoder.layers.0.ffn.lin1.weight"),
    ],
)
def test_group(group: str, member: str, stranger: str) -> None:
    """Each group has its kind of tensors and no others."""
    assert member in selected(group) and stranger not in selected(group)


def test_head_group_outside_of_layers_only() -> None:
    """@head is the output layer, not a BERT layer's `output`."""
    bert = nn.ModuleDict(
        {
            "layer": nn.ModuleList([nn.ModuleDict({"output": nn.Linear(2, 2)})]),
            "classifier": nn.Linear(2, 2),
        }
    )
    chosen = select(list_tensors(bert), "@head").selected
    assert chosen == {"classifier.weight", "classifier.bias"}


def test_patterns_add_up_and_freeze_wins() -> None:
    """Commas add patterns; --freeze takes away, also when it stands alone."""
    both = selected("encoder.layers.0,encoder.layers.1", "@norm")
    assert both == {
        n for n in under("encoder.layers.0") | under("encoder.layers.1") if "norm" not in n
    }
    alone = set(select(TENSORS, None, "encoder").selected)
    assert alone == NAMES - under("encoder") - {"decoder.positions.weight"}


def test_fixed_parameters_are_not_selected() -> None:
    """What the model itself never trains does not begin to learn under a wide pattern."""
    assert "decoder.positions.weight" not in selected("decoder")
    with pytest.raises(PatternError, match="decoder.positions.weight is fixed by the model itself"):
        selected("decoder.positions")


def test_commas_inside_brackets_do_not_split() -> None:
    """A regular expression may contain a comma."""
    assert split_patterns(r"re:a{1,2}, b ,(c,d)") == ["re:a{1,2}", "b", "(c,d)"]


@pytest.mark.parametrize(
    "tune, message",
    [
        ("decoder.layer", r"--tune decoder.layer: matches no .* nearest: decoder.layers"),
        ("encoder.layers[7]", r"\[7\] takes none of the layers.*encoder.layers has 3"),
        ("encoder.layers[3:]", r"\[3:\] takes none"),
        ("encoder.layers[::0]", r"\[::0\] takes none"),
        ("embeddings[0]", r"'embeddings' has no numbered layers; these have: encoder.layers"),
        ("@heads", r"no such group; the groups are @bias @norm"),
        ("@head", r"shares the token embedding \(tied\), so @embeddings tunes both"),
        ("re:(", r"--tune re:\(: not a regular expression"),
        ("START", r"leaves no parameter to learn"),
        ("", r"nothing says which parameters learn.*--tune 'decoder.layers\[-1\]'"),
    ],
)
def test_errors_name_what_was_found_and_what_is_near(tune: str, message: str) -> None:
    """Each mistake gets a message with the pattern and the nearest right spelling."""
    with pytest.raises(PatternError, match=message):
        selected(tune)


def test_an_empty_selection_is_an_error() -> None:
    """Freezing all that was to be tuned is refused, with both patterns."""
    with pytest.raises(PatternError, match="--tune 'encoder' --freeze 'encoder' leaves no"):
        selected("encoder", "encoder")


def test_every_group_is_documented() -> None:
    """The groups are those of the help and of the documentation."""
    assert list(GROUPS) == ["@bias", "@norm", "@attention", "@ffn", "@embeddings", "@head"]
