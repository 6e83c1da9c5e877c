"""Shared fixtures: tiny data, tiny deployed models of every kind, quiet training."""

import atexit
import json
import os
import random
import shutil
import signal
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")
# what models were trained here with is noted in a place of this run
os.environ["XDG_STATE_HOME"] = tempfile.mkdtemp(prefix="parlai_cu-state-")
atexit.register(shutil.rmtree, os.environ["XDG_STATE_HOME"], ignore_errors=True)

try:
    import hypothesis
except ImportError:
    pass
else:
    # no test hangs on luck, or on how fast the machine is just now
    slowly = [hypothesis.HealthCheck.too_slow]
    hypothesis.settings.register_profile(
        "steady", derandomize=True, deadline=None, suppress_health_check=slowly
    )
    hypothesis.settings.load_profile("steady")

# A few words in fixed order: a tiny model learns it in a few steps
OLD = ["hello there", "how are you", "what is the time", "where is the shop", "thank you"]
NEW = ["open the door", "close the window", "call me a taxi", "book a table", "good night"]


def write_dialogues(path: Path, lines: list, copies: int = 4) -> Path:
    """Conversations format: the user says a line, the system says it backwards."""
    with open(path, "w") as f:
        for _ in range(copies):
            for line in lines:
                answer = " ".join(reversed(line.split()))
                turns = [{"id": "user", "text": line}, {"id": "system", "text": answer}]
                f.write(json.dumps({"dialog": [turns, list(turns)]}) + "\n")
    return path


# what makes each kind of base tiny; `task` is what it is trained on
TINY_TRANSFORMER: dict[str, Any] = dict(
    embedding_size=16, n_layers=2, n_heads=2, ffn_size=32, n_positions=64, truncate=32
)
TINY_RNN: dict[str, Any] = dict(embeddingsize=16, hiddensize=16, numlayers=1)
CLASSES = dict(task="integration_tests:classifier", classes=["one", "zero"])
CANDIDATES = dict(task="integration_tests:candidate", candidates="batch", eval_candidates="inline")
BASES: dict[str, dict[str, Any]] = {
    "transformer/generator": TINY_TRANSFORMER,
    "transformer/polyencoder": {**TINY_TRANSFORMER, **CANDIDATES},
    "transformer/biencoder": {**TINY_TRANSFORMER, **CANDIDATES},
    "transformer/crossencoder": {**TINY_TRANSFORMER, **CANDIDATES, "candidates": "inline"},
    "transformer/classifier": {**TINY_TRANSFORMER, **CLASSES},
    "seq2seq": TINY_RNN,
    "hred": TINY_RNN,
    "memnn": {**CANDIDATES, "embedding_size": 16},
    "image_seq2seq": {**TINY_TRANSFORMER, "image_mode": "no_image_model"},
    "tests.agents.my_agent:MyAgent": TINY_TRANSFORMER,
}
# not among the bases: it is made of a transformer/generator, as it would download a model
TINY_BART = dict(
    **dict(embedding_size=8, n_encoder_layers=2, n_decoder_layers=2, n_heads=1, ffn_size=8),
    **dict(variant="bart", activation="gelu", embeddings_scale=False, n_positions=1024),
    **dict(learn_positional_embeddings=True, force_fp16_tokens=True, dict_tokenizer="re"),
    **dict(text_truncate=64, label_truncate=8),
)


def states(model_file: str) -> dict[str, Any]:
    """All that a model file holds."""
    import torch

    held: dict[str, Any] = torch.load(model_file, map_location="cpu", weights_only=False)
    return held


def ctrl_c(monkeypatch: pytest.MonkeyPatch, agent: Any, at: int) -> None:
    """Interrupt training once, at the so many-th backward pass of an agent class."""
    stock = agent.backward
    calls: list[int] = []

    def backward(self: Any, loss: Any, **kwargs: Any) -> None:
        calls.append(1)
        if len(calls) == at:
            os.kill(os.getpid(), signal.SIGINT)
        stock(self, loss, **kwargs)

    monkeypatch.setattr(agent, "backward", backward)


@pytest.fixture(autouse=True)
def seeded() -> None:
    """The same draws in every run, whatever ran before; subprocesses get a --seed."""
    import torch

    random.seed(0)
    torch.manual_seed(0)


@pytest.fixture(scope="session")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with old.jsonl, new.jsonl and an empty ParlAI data path."""
    folder = tmp_path_factory.mktemp("data")
    write_dialogues(folder / "old.jsonl", OLD + NEW)  # the dictionary is to know all words
    write_dialogues(folder / "new.jsonl", NEW)
    return folder


@pytest.fixture(scope="session")
def train(data: Path) -> Callable[..., Any]:
    """``train(model=..., model_file=..., **options)``: stock train_model, small and quiet."""

    def run(**options: Any) -> Any:
        from parlai.scripts.train_model import TrainModel

        settings: dict[str, Any] = dict(
            task="jsonfile",
            jsonfile_datapath=str(data / "old.jsonl"),
            datapath=str(data),
            batchsize=4,
            max_train_steps=4,
            optimizer="adam",
            learningrate=1e-2,
            validation_max_exs=4,
            short_final_eval=True,
            loglevel="error",
            no_cuda=True,
            seed=0,
        )
        settings.update(options)
        if settings["task"] != "jsonfile":
            del settings["jsonfile_datapath"]
        return TrainModel.main(**{k: v for k, v in settings.items() if v is not None})

    return run


@pytest.fixture(scope="session")
def deployed(
    train: Callable[..., Any], tmp_path_factory: pytest.TempPathFactory
) -> Callable[[str], str]:
    """``deployed(agent)``: the path of a tiny deployed model of that agent, trained once."""
    made: dict[str, str] = {}

    def get(agent: str) -> str:
        if agent not in made:
            import torch

            model_file = str(tmp_path_factory.mktemp("deployed") / "model")
            # ParlAI seeds when the model is built already; the same one whichever test asks first
            torch.manual_seed(0)
            random.seed(0)
            train(model=agent, model_file=model_file, **BASES[agent])
            made[agent] = model_file
        return made[agent]

    return get


def pytest_sessionfinish() -> None:
    """Stop what ran for all tests."""
    from tests.knowledge import postgres

    postgres.stop()
