"""
What freezing saves: examples a second and peak memory, side by side.

Each contestant is a process of its own on the same model, data and batch size: stock full
fine-tuning, ``-m frozen_layer`` on the last decoder block without cache, with the encoder's
outputs cached, with the whole frozen prefix cached, and PyTorch loops written by hand that do
the latter two's work. They take turns of a few batches, so that all see the same machine. Then
the same for what torch offers to be faster: a loop by hand that trains all parameters, with fused
Adam, with bf16 autocast, and with ``--compile`` compiled, which takes minutes to start.

    python benchmarks/frozen_speed.py --data ../shared/data --out bench/frozen_speed

Models: ``sgd_base_model`` (192 wide, 3 + 3 layers), and a made-up one (512 wide, 8 + 8 layers,
random weights) on which an encoder's share is as in models in use. Ends by writing
``results.json``, ``table.md`` and, with matplotlib there, ``picture.png``. By the way it compares
what an encoder gives for an example by itself, which is what is cached, with what it gives in a
batch.
"""

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from harness import Harness, about, bars, publish, stock_flags

FROZEN = ["-m", "frozen_layer", "--tune", "decoder.layers[-1]"]
STOCK = "stock, all parameters"
CONTESTANTS: dict[str, list[str]] = {
    STOCK: [],
    "last block": FROZEN,
    "last block, encoder cached": [*FROZEN, "--cache-frozen", "CACHE"],
    "last block, prefix cached": [
        *FROZEN,
        *["--cache-frozen", "CACHE", "--cache-frozen-exact", "false"],
    ],
    "by hand, encoder cached": [],
    "by hand, prefix cached": [],
    "last block, bf16": [*FROZEN, "--bf16-autocast", "true"],
    "last block, encoder cached, bf16": [
        *FROZEN,
        *["--cache-frozen", "CACHE", "--bf16-autocast", "true"],
    ],
}
PLAIN = "by hand, all parameters"
OFFERS = [PLAIN, *(f"{PLAIN}, {offer}" for offer in ("fused Adam", "bf16"))]
# name -> batch size, examples of the update, batches a turn
MODELS = {"sgd_base_model": (32, 192, 4), "made up": (4, 20, 1)}
MADE_UP = dict(embedding_size=512, ffn_size=2048, n_heads=8, n_encoder_layers=8, n_decoder_layers=8)


def main() -> None:
    """Start the contestants, let them take turns, collect."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--data", type=Path, default=Path("../shared/data"))
    parser.add_argument("--out", type=Path, default=Path("bench/frozen_speed"))
    parser.add_argument("--models", nargs="*", default=list(MODELS))
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--groups", nargs="*", type=int, default=[0, 1], help=argparse.SUPPRESS)
    parser.add_argument("--compile", action="store_true", help="torch.compile as well")
    parser.add_argument("--contestant", help=argparse.SUPPRESS)
    args = parser.parse_args()
    if args.contestant:
        take_turns(args)
        return
    if not (args.data / "sgd_base_model" / "model").exists():
        sys.exit(f"--data {args.data}: no sgd_base_model/model there")
    harness = Harness(args.out)
    rows = []
    for model in args.models:
        groups = (list(CONTESTANTS), OFFERS + [f"{PLAIN}, compiled"] * args.compile)
        for group in [groups[i] for i in args.groups]:
            key = f"{model}-{group[0]}".replace(" ", "_")
            rows += harness.remembered(key, lambda m=model, g=group: {"rows": compare(args, m, g)})[
                "rows"
            ]
    alike = harness.remembered("rounding", lambda: rounding(args))
    result = {"about": about([0]), "rows": rows, "rounding": alike}
    publish(args.out, result, table(result), draw)


# -- the referee -----------------------------------------------------------------------------


class Contestant:
    """
    A process that trains when it is told to.

    :param name: of :data:`CONTESTANTS`
    """

    def __init__(self, args: argparse.Namespace, model: str, name: str) -> None:
        self.name = name
        log = open(args.out / f"{model}-{name}.log".replace(" ", "_"), "w")
        command = [sys.executable, __file__, "--data", str(args.data), "--out", str(args.out)]
        self.process = subprocess.Popen(
            [*command, "--models", model, "--contestant", name],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            text=True,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
        )
        self.turns: list[float] = []
        self.warm: dict[str, Any] = {}

    def ask(self, question: str) -> Any:
        """Send a line, and wait for the answer."""
        assert self.process.stdin is not None and self.process.stdout is not None
        self.process.stdin.write(question + "\n")
        self.process.stdin.flush()
        for line in self.process.stdout:
            if line.startswith("ANSWER "):
                return json.loads(line[len("ANSWER ") :])
        sys.exit(f"{self.name} has ended; see its log in --out")


def compare(args: argparse.Namespace, model: str, names: list[str]) -> list[dict[str, Any]]:
    """The rows of one model and some contestants; ratios are to the first."""
    batch_size, examples, batches = MODELS[model]
    folder = args.out / model.replace(" ", "_")
    prepare(args.data, folder, model, examples)
    contestants = []
    for name in names:
        contestant = Contestant(args, model, name)
        contestants.append(contestant)
        contestant.warm = contestant.ask("warm up")
        print(f"{time.strftime('%H:%M:%S')} {model}: {name}: ready {contestant.warm}", flush=True)
    for number in range(args.rounds):
        for contestant in contestants:
            contestant.turns.append(contestant.ask(f"train {batches}"))
        print(f"{time.strftime('%H:%M:%S')} {model}: round {number + 1}", flush=True)
    rows = []
    for contestant in contestants:
        rows.append(
            {
                "model": model,
                "name": contestant.name,
                "batch_size": batch_size,
                "against": names[0],
                "examples_s": batch_size * batches / statistics.median(contestant.turns),
                "turns_s": [round(turn, 3) for turn in contestant.turns],
                "first_batches_s": contestant.warm["first_s"],
                **contestant.ask("memory"),
            }
        )
        contestant.process.kill()
    first = rows[0]
    for row in rows:
        # of each round, as they saw the machine in the same state
        row["speed_ratio"] = statistics.median(
            theirs / own for theirs, own in zip(first["turns_s"], row["turns_s"])
        )
        row["memory_ratio"] = row["peak_mb"] / first["peak_mb"]
        row["training_memory_ratio"] = training_memory(row) / training_memory(first)
    return rows


def training_memory(row: dict[str, Any]) -> float:
    """What training took beyond what was there when it began, in MB."""
    return float(row["peak_mb"] - row["loaded_mb"])


def prepare(data: Path, folder: Path, model: str, examples: int) -> None:
    """The model's files, and the first so many examples of the update."""
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    kept: list[str] = []
    count = 0
    for line in (data / "sgd" / "update_1_train.jsonl").read_text().splitlines():
        if count >= examples:
            break
        count += len(json.loads(line)["dialog"])
        kept.append(line)
    (folder / "update_train.jsonl").write_text("\n".join(kept) + "\n")
    deployed = data / "sgd_base_model" / "model"
    if model != "made up":
        for path in deployed.parent.glob("model*"):
            shutil.copy(path, folder / path.name)
        return
    from parlai.core.agents import create_agent
    from parlai.core.opt import Opt

    opt = Opt(json.loads(Path(f"{deployed}.opt").read_text()))
    opt.update(MADE_UP, dict_file=f"{deployed}.dict", model_file=str(folder / "model"))
    opt.update(datatype="train", init_model=None, override={}, no_cuda=True, datapath=str(folder))
    create_agent(opt).save(str(folder / "model"))


def rounding(args: argparse.Namespace) -> dict[str, float]:
    """What an encoder gives for an example by itself, and among others of a batch."""
    import torch
    from parlai.core.agents import create_agent_from_model_file

    torch.set_num_threads(1)
    folder = args.out / "rounding"
    prepare(args.data, folder, "sgd_base_model", 192)
    settings = {"datatype": "valid", "no_cuda": True}
    agent = create_agent_from_model_file(str(folder / "model"), settings)
    encoder = agent.model.encoder.eval()
    texts = [text for text, _ in tokens(agent, folder / "update_train.jsonl")]
    size = MODELS["sgd_base_model"][0]
    same, off, sizes, count = 0, 0.0, 0.0, 0
    with torch.no_grad():
        for start in range(0, len(texts), size):
            batch = texts[start : start + size]
            padded = torch.nn.utils.rnn.pad_sequence(batch, True, agent.NULL_IDX)
            for text, among in zip(batch, encoder(padded)[0]):
                alone, among = encoder(text.unsqueeze(0))[0][0], among[: len(text)]
                same += int((alone == among).sum())
                off = max(off, float((alone - among).abs().max()))
                sizes += float(alone.abs().sum())
                count += alone.numel()
    return {"same": same / count, "most_off": off, "mean_size": sizes / count}


# -- a contestant ----------------------------------------------------------------------------


def take_turns(args: argparse.Namespace) -> None:
    """Train as the referee says, and tell how long it took and how much memory."""
    import torch
    from parlai.scripts.train_model import TrainLoop  # noqa: F401  what all contestants import

    torch.set_num_threads(1)
    torch.manual_seed(0)
    (model,) = args.models
    batch_size, examples, _ = MODELS[model]
    folder = args.out / model.replace(" ", "_")
    loop = by_hand if args.contestant.startswith("by hand") else by_parlai
    step, seen = loop(args.contestant, folder, batch_size)
    loaded = peak_mb()
    for question in sys.stdin:
        word, *count = question.split()
        if word == "warm":
            first = seconds(step, 3)
            # examples are drawn with replacement: after six times as many all but 0.3 % were seen
            rest = 6 * examples // batch_size if "cached" in args.contestant else 3
            seconds(step, rest)
            answer: Any = {"first_s": round(first, 3), "batches": 3 + rest, **seen()}
        elif word == "train":
            answer = seconds(step, int(count[0]))
        else:
            answer = {"peak_mb": peak_mb(), "loaded_mb": loaded}
        print("ANSWER " + json.dumps(answer), flush=True)


def seconds(step: Callable[[], None], batches: int) -> float:
    """CPU seconds of so many batches: others use this machine too."""
    start = time.process_time()
    for _ in range(batches):
        step()
    return time.process_time() - start


def peak_mb() -> float:
    """The most memory this process had so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def by_parlai(name: str, folder: Path, batch_size: int) -> tuple[Any, Any]:
    """A stock training loop: one batch a step."""
    from parlai.scripts.train_model import TrainLoop, setup_args

    cache = folder / name.replace(" ", "_")
    flags = [str(cache) if flag == "CACHE" else flag for flag in CONTESTANTS[name]]
    task = f"-t jsonfile --jsonfile-datatype-extension true --jsonfile-datapath {folder}/update"
    opt = setup_args().parse_args(
        [
            *(flags or stock_flags(folder / "model")),
            *["--init-model", str(folder / "model"), *task.split(), "-bs", str(batch_size)],
            *"-lr 0.0005 --optimizer adam --seed 0 --skip-generation true --no-cuda".split(),
        ]
    )
    loop = TrainLoop(opt)
    prefix = getattr(loop.agent, "_prefix", None)

    def seen() -> dict[str, Any]:
        if prefix is None:
            return {}
        return {"found": prefix.found, "computed": prefix.computed, "bytes": prefix.cache.size()}

    return loop.world.parley, seen


def by_hand(name: str, folder: Path, batch_size: int) -> tuple[Any, Any]:
    """
    The same work in plain PyTorch: frozen outputs in a list, the last block trained.

    The modules, dropout and arithmetic are the model's; the output layer is spared the padding;
    tokens are made before the clock runs.
    """
    import random

    import torch
    from parlai.core.agents import create_agent_from_model_file

    agent = create_agent_from_model_file(str(folder / "model"), {"datatype": "valid"})
    model, padding = agent.model, agent.NULL_IDX
    examples = list(tokens(agent, folder / "update_train.jsonl"))
    everything, whole = "all" in name, "prefix" in name
    model.requires_grad_(everything)
    last = model.decoder.layers[-1]
    learning = [p for p in (model if everything else last.requires_grad_(True)).parameters()]
    learning = [p for p in learning if p.requires_grad]
    optimizer = torch.optim.Adam(learning, lr=0.0005, fused="fused" in name)
    start = torch.tensor([agent.START_IDX])
    frozen = []
    model.eval()
    for text, label in examples:
        given = torch.cat([start, label[:-1]])
        with torch.no_grad():
            encoded, mask = (text, None) if everything else model.encoder(text.unsqueeze(0))
            if whole:
                given = before_last_block(model.decoder, given, encoded, mask)
        frozen.append((encoded if everything else encoded[0], given, label))
    model.train() if everything else last.train()
    decoder = model.decoder
    decoder.dropout.train()
    encoder = model.encoder
    if "compiled" in name:
        encoder, decoder = (torch.compile(m, dynamic=True) for m in (encoder, decoder))

    def padded(parts: Any, value: Any = 0) -> Any:
        return torch.nn.utils.rnn.pad_sequence(parts, batch_first=True, padding_value=value)

    def loss_of(texts: Any, given: Any, labels: Any) -> Any:
        if everything:
            state = encoder(padded(texts, padding))
        else:
            lengths = torch.tensor([len(part) for part in texts])
            mask = torch.arange(int(lengths.max())).unsqueeze(0) < lengths.unsqueeze(1)
            state = padded(texts), mask
        if whole:
            hidden, _ = last(padded(given), *state)
            hidden = decoder.norm_embeddings(hidden)
        else:
            hidden, _ = decoder(padded(given, padding), state)
        wanted = padded(labels, padding)
        counts = wanted.ne(padding)
        scores = model.output(hidden[counts].unsqueeze(1)).squeeze(1)
        return torch.nn.functional.cross_entropy(scores.float(), wanted[counts])

    def step() -> None:
        optimizer.zero_grad()
        with torch.autocast("cpu", torch.bfloat16, enabled="bf16" in name):
            loss = loss_of(*zip(*(random.choice(frozen) for _ in range(batch_size))))
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learning, agent.opt["gradient_clip"])
        optimizer.step()

    return step, lambda: {}


def before_last_block(decoder: Any, given: Any, encoded: Any, mask: Any) -> Any:
    """The hidden states of one example that enter a decoder's last block."""
    import torch

    hidden = decoder.forward_embedding(given.unsqueeze(0), torch.arange(len(given)).unsqueeze(0))
    for layer in decoder.layers[:-1]:
        hidden, _ = layer(hidden, encoded, mask)
    return hidden[0]


def tokens(agent: Any, path: Path) -> Iterator[Any]:
    """Text and label of each example, as the agent reads them."""
    for line in path.read_text().splitlines():
        agent.reset()
        for user, system in json.loads(line)["dialog"]:
            seen = agent.observe(
                {"text": user["text"], "labels": [system["text"]], "episode_done": False}
            )
            yield seen["text_vec"].clone(), seen["labels_vec"].clone()
            agent.self_observe({"text": system["text"]})


# -- the table -------------------------------------------------------------------------------


def table(result: dict[str, Any]) -> str:
    """The figures as Markdown, one table a model and group."""
    lines = [f"Measured: {json.dumps(result['about'])}", ""]
    groups = dict.fromkeys((row["model"], row["against"]) for row in result["rows"])
    for model, against in groups:
        rows = [r for r in result["rows"] if (r["model"], r["against"]) == (model, against)]
        lines += [
            f"**{model}**, batches of {rows[0]['batch_size']}",
            "",
            "| what learns | examples/s | ratio | peak MB | ratio | MB to train | ratio |",
            "|---|--:|--:|--:|--:|--:|--:|",
        ]
        for row in rows:
            lines.append(
                f"| {row['name']} | {row['examples_s']:.1f} | {row['speed_ratio']:.2f} "
                f"| {row['peak_mb']:.0f} | {row['memory_ratio']:.2f} "
                f"| {training_memory(row):.0f} | {row['training_memory_ratio']:.2f} |"
            )
        lines.append("")
    return "\n".join(lines)


def draw(result: dict[str, Any], path: Path) -> None:
    """How many times as fast each is as stock training."""
    rows: dict[str, dict[str, float]] = {}
    for row in result["rows"]:
        if row["against"] == STOCK:
            rows.setdefault(row["name"], {})[row["model"]] = row["speed_ratio"]
    bars(path, rows, "examples a second, of stock training's")


if __name__ == "__main__":
    main()
