"""
What versions cost, and what a change of the live one costs those who are talking.

::

    python benchmarks/deployed.py --out bench/deployed

Three things, on the shipped model, in one run on one machine:

- *deltas*: versions in which a share of the weights changed: bytes kept against a full copy,
  seconds to add and to put together again, and whether what comes back is bit-identical;
- *changes*: conversations talk without a pause, a thread each, while versions are promoted and
  rolled back: turns lost, turns whose history is not what was said, seconds from promotion to the
  first reply by the new version, and how long replies take meanwhile;
- *restart*, the stock way: seconds until a new ParlAI process with the other model has replied.
"""

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Any

import torch
from harness import about, bars, publish

LINES = ("hello", "how much data does Solo Lite have?", "where is the Brookhaven shop?", "thanks")
RESTART = """
import sys
from parlai.core.agents import create_agent_from_model_file
agent = create_agent_from_model_file(sys.argv[1], {"interactive_mode": True})
agent.observe({"text": "hello", "episode_done": False})
print(agent.act()["text"])
"""


def changed(source: str, target: Path, share: float, seed: int) -> str:
    """
    A model in which whole tensors, drawn until they are a share of all, moved a little.

    :param share: of the parameters, at most
    """
    states = torch.load(source, weights_only=True)
    weights = states["model"]
    total = sum(tensor.numel() for tensor in weights.values())
    draw, left = torch.Generator().manual_seed(seed), share * total
    for index in torch.randperm(len(weights), generator=draw).tolist():
        tensor = list(weights.values())[index]
        if tensor.numel() <= left and tensor.is_floating_point():
            tensor += 1e-3 * torch.randn(tensor.shape, generator=draw).to(tensor.dtype)
            left -= tensor.numel()
    target.parent.mkdir(parents=True)
    torch.save(states, target)
    for beside in Path(source).parent.glob(Path(source).name + ".*"):
        (target.parent / (target.name + beside.name[len(Path(source).name) :])).write_bytes(
            beside.read_bytes()
        )
    return str(target)


def deltas(store: Any, base: str, folder: Path) -> list[dict[str, Any]]:
    """Bytes and seconds of versions that are ever more different."""
    full = store.get("v1")
    rows = []
    for share in (0.01, 0.1, 0.4):
        candidate = changed(base, folder / f"share{share}" / "model", share, seed=1)
        started = time.monotonic()
        version = store.add(candidate, mode="frozen_layer", parent="v1", delta=True)
        added = time.monotonic() - started
        started = time.monotonic()
        back = torch.load(store.model_file(version.id), weights_only=True)["model"]
        loaded = time.monotonic() - started
        original = torch.load(candidate, weights_only=True)["model"]
        moved = store.diff("v1", version.id)
        kept = version.files["delta.safetensors"].size
        rows.append(
            {
                "selected": share,
                "changed": sum(b.elements for b in moved.blocks)
                / sum(b.numel for b in moved.blocks),
                "tensor_bytes_of_full": kept / full.files["model"].size,
                "all_bytes_of_full": version.stored_bytes / full.stored_bytes,
                "add_s": added,
                "materialise_s": loaded,
                "bit_identical": all(torch.equal(back[n], t) for n, t in original.items()),
            }
        )
    return rows


class Talk(threading.Thread):
    """A conversation that never pauses, and checks what its model remembers."""

    def __init__(self, agent: Any, stop: threading.Event) -> None:
        super().__init__(daemon=True)
        self.agent, self.stop = agent.clone(), stop
        self.turns: list[Any] = []  # (when, seconds, version)
        self.lost = self.forgotten = 0

    def run(self) -> None:
        """Talk; a new conversation every 12 turns."""
        said: list[str] = []
        while not self.stop.is_set():
            line, started = LINES[len(self.turns) % len(LINES)], time.monotonic()
            self.agent.observe({"id": "user", "text": line, "episode_done": False})
            reply = self.agent.act()
            ended = time.monotonic()
            if not reply.get("text"):
                self.lost += 1
            said += [line, reply.get("text") or ""]
            # a model may keep only the last ones (--history-size)
            history = self.agent.history
            expected = said[-history.size :] if history.size > 0 else said
            self.forgotten += list(history.history_strings) != expected
            self.turns.append((ended, ended - started, reply["version"]))
            if len(said) >= 24:
                self.agent.reset()
                said = []


def changes(store: Any, conversations: int, rounds: int) -> dict[str, Any]:
    """Promote to and fro under load."""
    from parlai.core.agents import create_agent
    from parlai.core.opt import Opt

    agent = create_agent(Opt(model="deployed", versions=store.path, datapath=tempfile.gettempdir()))
    stop = threading.Event()
    talks = [Talk(agent, stop) for _ in range(conversations)]
    for talk in talks:
        talk.start()
    windows = []
    time.sleep(3)
    for number in range(rounds):
        target = ("v2", "v1")[number % 2]
        began = time.monotonic()
        head = store.promote(target, force=True).id
        while not any(t.turns and t.turns[-1][2] == head for t in talks):
            assert all(talk.is_alive() for talk in talks), "a conversation broke off"
            time.sleep(0.01)
        windows.append((began, time.monotonic()))
        time.sleep(3)
    stop.set()
    for talk in talks:
        talk.join()
    during, quiet = [], []
    for talk in talks:
        for when, seconds, _ in talk.turns:
            inside = any(start <= when <= end + seconds for start, end in windows)
            (during if inside else quiet).append(1000 * seconds)
    agent.shutdown()
    return {
        "conversations": conversations,
        "changes": rounds,
        "turns": sum(len(talk.turns) for talk in talks),
        "turns_lost": sum(talk.lost for talk in talks),
        "histories_wrong": sum(talk.forgotten for talk in talks),
        "promotion_to_first_reply_s": [round(end - start, 2) for start, end in windows],
        "reply_ms_quiet": percentiles(quiet),
        "reply_ms_during": percentiles(during),
        "models_in_memory": len(agent.status()["loaded"]),
    }


def percentiles(values: list[float]) -> dict[str, float]:
    """Median and 95th percentile."""
    ranked = sorted(values)
    return {
        "p50": round(statistics.median(ranked), 1),
        "p95": round(ranked[int(0.95 * (len(ranked) - 1))], 1),
        "of": len(ranked),
    }


def restart(model_file: str) -> list[float]:
    """Seconds until a new process has replied once, three times."""
    times = []
    for _ in range(3):
        started = time.monotonic()
        subprocess.run(
            [sys.executable, "-c", RESTART, model_file], check=True, stdout=subprocess.DEVNULL
        )
        times.append(round(time.monotonic() - started, 2))
    return times


def delta_table(result: dict[str, Any]) -> str:
    """What keeping a version costs, as Markdown."""
    lines = [f"Measured: {json.dumps(result['about'])}", ""]
    lines += [
        "| chosen | changed | tensors' bytes, of the full model's | all bytes | ms to add "
        "| ms to put together | bit-identical |",
        "|--:|--:|--:|--:|--:|--:|---|",
    ]
    for row in result["deltas"]:
        shares = f"{row['selected']:.0%} | {row['changed']:.1%} | {row['tensor_bytes_of_full']:.1%}"
        times = f"{1000 * row['add_s']:.0f} | {1000 * row['materialise_s']:.0f}"
        same = "yes" if row["bit_identical"] else "no"
        lines.append(f"| {shares} | {row['all_bytes_of_full']:.1%} | {times} | {same} |")
    return "\n".join(lines) + "\n"


def change_table(result: dict[str, Any]) -> str:
    """What a change of version does to conversations, as Markdown."""
    changes = result["changes"]
    first, restarted = changes["promotion_to_first_reply_s"], result["restart_s"]
    quiet, during = changes["reply_ms_quiet"], changes["reply_ms_during"]
    rows = [
        ("turns, of them lost", f"{changes['turns']}, {changes['turns_lost']}"),
        ("turns after which the model's memory was not what was said", changes["histories_wrong"]),
        (
            "from promotion to the first reply by the new version",
            f"{min(first):.1f} to {max(first):.1f} s",
        ),
        ("a reply, otherwise: median, 95 %", f"{quiet['p50']:.0f}, {quiet['p95']:.0f} ms"),
        (
            "a reply, while the new one is loaded",
            f"{during['p50']:.0f}, {during['p95']:.0f} ms",
        ),
        (
            "the stock way: a new process until its first reply, all conversations forgotten",
            f"{min(restarted):.1f} to {max(restarted):.1f} s",
        ),
    ]
    lines = [f"Measured: {json.dumps(result['about'])}", "", "| | |", "|---|--:|"]
    return "\n".join([*lines, *(f"| {name} | {figure} |" for name, figure in rows)]) + "\n"


def draw(result: dict[str, Any], path: Path) -> None:
    """Seconds until the first reply of a new version, here and the stock way."""
    seconds = {
        "promoted, in the same process": result["changes"]["promotion_to_first_reply_s"],
        "a new process": result["restart_s"],
    }
    names = {"fastest": min, "median": statistics.median, "slowest": max}
    told = {way: {n: of(found) for n, of in names.items()} for way, found in seconds.items()}
    bars(path, told, "seconds until the first reply of the new version")


def main() -> None:
    """Measure, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n\n")[0])
    parser.add_argument("--out", type=Path, default=Path("bench/deployed"))
    parser.add_argument("--conversations", type=int, default=4)
    parser.add_argument("--rounds", type=int, default=4)
    options = parser.parse_args()
    torch.set_num_threads(1)
    import parlai.utils.logging as logging
    from parlai.core.build_data import modelzoo_path

    from parlai_cu.versions.store import VersionStore

    logging.set_log_level("ERROR")
    with tempfile.TemporaryDirectory() as folder:
        base = modelzoo_path(folder, "zoo:telecom/base")
        store = VersionStore(f"{folder}/store", create=True, cache=f"{folder}/cache")
        store.add(base, mode="import")
        store.promote("v1", force=True)
        result = {"about": about([1]), "deltas": deltas(store, base, Path(folder))}
        result["changes"] = changes(store, options.conversations, options.rounds)
        result["restart_s"] = restart(store.model_file("v2"))
    options.out.mkdir(parents=True, exist_ok=True)
    publish(options.out, result, f"{delta_table(result)}\n{change_table(result)}", draw)


if __name__ == "__main__":
    main()
