"""auto: understood or refused with the nearest spelling; the choice fits and is exact."""

import pytest
from torch import nn

from parlai_cu.errors import PatternError
from parlai_cu.selection.auto import (
    DEFAULT_FRACTION,
    DEFAULT_SCORE,
    Auto,
    choose,
    find_auto,
    replace_auto,
    tune_line,
)
from parlai_cu.selection.catalogue import list_tensors
from parlai_cu.selection.patterns import kind_of, select
from parlai_cu.selection.scores import GradientSums, Scores, TensorScores


class Block(nn.Module):
    """Attention, feed-forward, norm with a running count."""

    def __init__(self) -> None:
        super().__init__()
        self.attention = nn.Linear(2, 2)
        self.ffn = nn.Linear(2, 2)
        self.norm = nn.BatchNorm1d(2)


class Model(nn.Module):
    """Two blocks under an embedding."""

    def __init__(self) -> None:
        super().__init__()
        self.embeddings = nn.Embedding(8, 2)
        self.layers = nn.ModuleList([Block(), Block()])


def scored(ranks: dict[tuple[str, str], float]) -> Scores:
    """Scores of the model with these relative gradient norms; what is not named has 0."""
    tensors: list[TensorScores] = []
    for t in list_tensors(Model()):
        if not t.is_buffer:
            rgn = ranks.get((t.block, kind_of(t)), 0.0)
            sums = GradientSums(t.numel, weight=float(t.numel), gradient=rgn**2 * t.numel)
            tensors.append(TensorScores(t, kind_of(t), sums))
    return Scores(tuple(tensors), draws=2)


@pytest.mark.parametrize(
    "tune, expected",
    [
        ("auto", Auto(DEFAULT_SCORE, DEFAULT_FRACTION)),
        ("auto:0.1", Auto(DEFAULT_SCORE, 0.1)),
        ("auto:fisher", Auto("fisher", DEFAULT_FRACTION)),
        ("@head,auto:conflict:0.25", Auto("conflict", 0.25)),
        ("decoder.layers[-1]", None),
        (None, None),
    ],
)
def test_what_is_asked_for(tune: str, expected: Auto) -> None:
    """A score, a fraction, both or neither, also among other patterns."""
    assert find_auto(tune) == expected


@pytest.mark.parametrize(
    "tune, message",
    [
        ("auto:fischer:0.1", "nearest: fisher"),
        ("auto:0", "a fraction above 0"),
        ("auto:1.5", "a fraction above 0"),
        ("auto:nan", "a fraction above 0"),
        ("auto:0.1:fisher", r"expected auto\[:SCORE\]\[:FRACTION\]"),
        ("auto:rgn:0.1:x", r"expected auto\[:SCORE\]\[:FRACTION\]"),
        ("auto,auto:0.1", "expected one auto, found 2"),
    ],
)
def test_what_is_not_understood(tune: str, message: str) -> None:
    """The message says what is expected."""
    with pytest.raises(PatternError, match=message):
        find_auto(tune)


def test_the_best_that_fit_are_chosen() -> None:
    """From the best one down; what is too large is passed over; each tensor fits its pattern."""
    scores = scored(
        {("embeddings", "embeddings"): 9.0, ("layers.1", "ffn"): 5.0, ("layers.0", "ffn"): 4.0}
    )
    tensors = list_tensors(Model())
    # 48 parameters; the embeddings have 16, an ffn 6
    choice = choose(scores, Auto("rgn", 0.25), tensors)
    assert choice.tune == "@ffn" and choice.numel == 12 and choice.share == pytest.approx(0.25)
    assert choose(scores, Auto("rgn", 0.2), tensors).names == (
        "layers.1.ffn.weight",
        "layers.1.ffn.bias",
    )
    assert "embeddings.weight" in choose(scores, Auto("rgn", 0.5), tensors).names


def test_only_what_may_learn_is_chosen() -> None:
    """With --freeze the fraction is of the rest."""
    scores = scored({("embeddings", "embeddings"): 9.0, ("layers.1", "ffn"): 5.0})
    tensors = list_tensors(Model())
    eligible = select(tensors, None, "@embeddings,layers.0").selected
    choice = choose(scores, Auto("rgn", 0.4), tensors, eligible)
    assert choice.tune == "layers.1.ffn"


def test_no_group_is_that_small() -> None:
    """The smallest one is named."""
    with pytest.raises(PatternError, match="auto:rgn:0.001: no group .* smallest is 8.33%"):
        choose(scored({}), Auto("rgn", 0.001), list_tensors(Model()))


def test_running_statistics_learn_with_their_layer() -> None:
    """Of a batch normalisation that is chosen the buffers are too: they drift in training."""
    scores = scored({("layers.0", "norm"): 1.0})
    tensors = list_tensors(Model())
    choice = choose(scores, Auto("rgn", 0.1), tensors)
    selected = select(tensors, choice.tune).selected
    assert "layers.0.norm.running_mean" in selected and "layers.1.norm.weight" not in selected


@pytest.mark.parametrize(
    "names, line",
    [
        (["layers.0.attention.weight"], "layers.0.attention.weight"),
        (["layers.0.attention.weight", "layers.0.attention.bias"], "layers.0.attention"),
        (["embeddings.weight"], "@embeddings"),
        (["layers.0.ffn.bias", "layers.1.ffn.bias"], "layers[:].ffn.bias"),
    ],
)
def test_the_line_means_exactly_the_names(names: list[str], line: str) -> None:
    """As few patterns as is simple, and no tensor more."""
    tensors = list_tensors(Model())
    assert tune_line(names, tensors) == line
    assert select(tensors, line).selected == set(names)


def test_the_line_of_a_tied_model_does_not_reach_through_aliases() -> None:
    """`decoder` would select the tied embedding as well: narrower patterns are used."""

    class Tied(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.embeddings = nn.Embedding(4, 2)
            self.decoder = nn.ModuleDict({"embeddings": self.embeddings, "out": nn.Linear(2, 2)})

    tensors = list_tensors(Tied())
    line = tune_line(["decoder.out.weight", "decoder.out.bias"], tensors)
    assert select(tensors, line).selected == {"decoder.out.weight", "decoder.out.bias"}


def test_all_is_a_star() -> None:
    """Everything is '*'."""
    tensors = list_tensors(Model())
    assert tune_line([t.name for t in tensors], tensors) == "*"


def test_auto_among_patterns_is_replaced() -> None:
    """The other patterns stay."""
    assert replace_auto("@head,auto:0.1", "layers.0,@norm") == "@head,layers.0,@norm"
