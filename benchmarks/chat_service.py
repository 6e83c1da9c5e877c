"""
How many turns a chat service answers, how fast, and for how long: ParlAI's own beside ours.

The same model (zoo:telecom/base, greedy), ParlAI's chatbot world, the same client in a process of
its own, on one machine, one after the other; and the bare model, which bounds them all: `observe`,
`batch_act`, `self_observe` in a loop.

    python benchmarks/chat_service.py --out bench/chat_service --publish

It takes less than half an hour on a quiet machine; interrupted, it goes on from there.
``--publish`` puts what was measured in benchmarks/results and into the pages.
"""

import argparse
import contextlib
import functools
import json
import os
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import textwrap
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import quotes
from chat_load import QUESTIONS, percentiles
from harness import Harness, about, pyplot

HERE = Path(__file__).parent
USERS = (1, 8, 32, 128, 512)
# s of each load, that a user waits for an answer, and for all to be let in
LASTING, PATIENCE, ENTERING = 10, 45, 60
# an hour of a service at 10 turns a second, taken as fast as it goes
HOUR = {"turns": 10, "at_once": 64}
ROOT = HERE.parent
CONFIG = """
world_module: parlai.chat_service.tasks.chatbot.worlds
overworld: MessengerOverworld
task_name: chatbot
max_workers: 2000
tasks:
  default:
    onboard_world: MessengerBotChatOnboardWorld
    task_world: MessengerBotChatTaskWorld
    timeout: 600
    agents_required: 1
opt:
  is_debug: false
  connections_per_address: 100000
  turns_per_second: 1000000
  turns_at_once: 1000000
  models:
    blender_90M: {model}
"""
MODEL: dict[str, Any] = {
    "model_file": str(HERE.parent / "zoo" / "telecom" / "base" / "model"),
    "override": {"model": "marked_model:MarkedModel", "inference": "greedy", "beam_size": 1},
    "no_cuda": True,
    "interactive_mode": True,
}
# what we change in the chat service; stock runs without them, and with all others
OURS = ("websocket_service", "stock_chat_service")


def main() -> None:
    """Measure all, write JSON and a picture."""
    if sys.argv[1:2] == ["--part"]:
        run_part(*sys.argv[2:])
        return
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[1])
    parser.add_argument("--out", type=Path, default=Path("bench/chat_service"))
    parser.add_argument("--users", type=int, nargs="+", default=list(USERS))
    parser.add_argument("--promotions", type=int, default=100, help="under load")
    parser.add_argument("--soak", type=int, default=10_000, help="conversations that come and go")
    parser.add_argument("--hour", type=int, default=3600, help="conversations of an hour")
    parser.add_argument("--publish", action="store_true", help="into results and docs")
    args = parser.parse_args()
    bench = Harness(args.out)
    result: dict[str, Any] = {"about": bench.remembered("about", about), "rows": []}
    if result["about"]["commit"] != about()["commit"]:
        sys.exit(f"{args.out} holds a run of commit {result['about']['commit']}: remove it")
    for users in args.users:
        for service in ("stock", "ours"):
            key, work = f"{service}_{users}", functools.partial(measure, service, users)
            result["rows"].append(bench.remembered(key, work))
    result["lone"] = [bench.remembered(f"lone_{s}", lambda s=s: lone(s)) for s in ("stock", "ours")]
    for name, work in (
        ("promotions", functools.partial(promotions, args.promotions)),
        ("soak", functools.partial(soak, ECHO, args.soak, 1, 32, 10)),
        ("hour", functools.partial(soak, MODEL, args.hour, HOUR["turns"], HOUR["at_once"], 12)),
    ):
        result[name] = bench.remembered(name, work)
    (args.out / "chat_service.json").write_text(json.dumps(result, indent=2))
    draw(result, args.out / "chat_service.png")
    print(measured(result))
    if args.publish:
        publish(args.out)


def run_part(what: str, *words: str) -> None:
    """In a process of its own: a service, or the bare model."""
    if what == "bare":
        print(json.dumps(bare_model(int(words[0]))))
        return
    if what == "stock":
        from parlai_cu import plugin

        for repair in OURS:
            plugin.EXTENSIONS.pop(repair)
    import runpy

    sys.argv = ["run", *words]
    runpy.run_module("parlai.chat_service.services.websocket.run", run_name="__main__")


ECHO: dict[str, Any] = {"model": "repeat_query"}
ADMIN = "of this benchmark alone"  # the service listens on loopback while it runs


def environment(stock: bool = False) -> dict[str, str]:
    """Of the processes: the model is found, and has one thread; stock is told things twice."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    patience = {"CHAT_LOAD_RESEND": str(2 if stock else PATIENCE)}
    patience["PARLAI_CU_ADMIN_TOKEN"] = ADMIN
    return {**os.environ, **patience, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


@contextlib.contextmanager
def serving(service: str, folder: Path, model: dict[str, Any] = MODEL) -> Iterator[Any]:
    """A service in a process of its own: its port and process id."""
    (folder / "config.yml").write_text(CONFIG.replace("{model}", json.dumps(model)))
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [sys.executable, str(HERE / "chat_service.py"), "--part", service]
    flags = ["--config-path", "config.yml", "--port", str(port)]
    with open(folder / "service.log", "w") as log:
        process = subprocess.Popen(
            [*command, *flags], cwd=folder, env=environment(), stdout=log, stderr=log
        )
    try:
        for _ in range(3000):
            if process.poll() is not None:
                sys.exit((folder / "service.log").read_text()[-2000:])
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", port)) == 0:
                    break
            time.sleep(0.1)
        else:
            sys.exit(f"the service never listened\n{(folder / 'service.log').read_text()[-2000:]}")
        yield port, process.pid
    finally:
        process.send_signal(signal.SIGTERM)
        try:
            process.wait(40)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()


def client(*words: Any, stock: bool = False) -> dict[str, Any]:
    """Run the load generator; what it counted."""
    command = [sys.executable, str(HERE / "chat_load.py"), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(stock), check=True
    )
    counted: dict[str, Any] = json.loads(done.stdout)
    return counted


def measure(service: str, users: int) -> dict[str, Any]:
    """One service under one load."""
    with tempfile.TemporaryDirectory() as folder, serving(service, Path(folder)) as (port, pid):
        return stock_row(port, pid, users) if service == "stock" else our_row(port, pid, users)


def stock_row(port: int, pid: int, users: int) -> dict[str, Any]:
    """ParlAI's service under a load."""
    cpu = cpu_seconds(pid)
    row = client("load", port, users, LASTING, PATIENCE, ENTERING, stock=True)
    row["cpu_ms"] = round(1000 * (cpu_seconds(pid) - cpu) / max(1, row["answered"]), 3)
    return {"service": "stock", **row, **footprint(pid)}


def our_row(port: int, pid: int, users: int) -> dict[str, Any]:
    """Our service under a load; and the bare model, at its batch size, right before and after."""
    before = batches_so_far(port)
    client("load", port, users, 3, PATIENCE, ENTERING)  # what is slow only once
    turns, batches, _ = (now - then for now, then in zip(batches_so_far(port), before))
    batch = max(1, round(turns / batches))
    bare = [measure_bare(batch)]
    before, cpu = batches_so_far(port), cpu_seconds(pid)
    row = client("load", port, users, LASTING, PATIENCE, ENTERING)
    row["cpu_ms"] = round(1000 * (cpu_seconds(pid) - cpu) / max(1, row["answered"]), 3)
    turns, batches, seconds = (now - then for now, then in zip(batches_so_far(port), before))
    bare.append(measure_bare(batch))
    return {
        "service": "ours",
        **row,
        **footprint(pid),
        "mean_batch": round(turns / batches, 2),
        "batch_ms": round(1000 * seconds / batches, 2),
        "bare": {
            "batch": batch,
            "turns_per_second": round(sum(one["turns_per_second"] for one in bare) / 2, 1),
            "cpu_ms": round(sum(one["cpu_ms"] for one in bare) / 2, 3),
            "runs": bare,
        },
    }


def footprint(pid: int) -> dict[str, float]:
    """Memory (MB) and file descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    return {"mb": round(int(kilobytes) / 1024, 1), "fds": len(os.listdir(f"/proc/{pid}/fd"))}


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def batches_so_far(port: int) -> tuple[float, float, float]:
    """Turns, batches and the seconds they took the model, as the service has counted them."""
    with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics") as answer:
        lines = dict(
            line.rsplit(" ", 1) for line in answer.read().decode().splitlines() if line[0] != "#"
        )
    turns, batches, seconds = (
        float(lines[f"parlai_cu_batch_{name}"])
        for name in ("turns_sum", "turns_count", "seconds_sum")
    )
    return turns, batches, seconds


def lone(service: str) -> dict[str, Any]:
    """One user, and a model that takes no time: what the service adds to a turn."""
    with tempfile.TemporaryDirectory() as folder, serving(service, Path(folder), ECHO) as (port, _):
        stock = service == "stock"
        client("load", port, 1, 2, PATIENCE, ENTERING, stock=stock)
        counted = client("load", port, 1, 10, PATIENCE, ENTERING, stock=stock)
        return {"service": service, **counted}


def promotions(count: int, users: int = 8) -> dict[str, Any]:
    """Versions that go live under load, one after the other, until there were ``count``."""
    from parlai_cu.versions.store import VersionStore

    with tempfile.TemporaryDirectory() as folder:
        versions, place = Path(folder) / "versions", Path(folder) / "model"
        place.mkdir()
        stem = Path(MODEL["model_file"])
        for suffix in ("", ".dict", ".dict.codecs", ".opt"):
            shutil.copy(f"{stem}{suffix}", place / f"model{suffix}")
        settings = json.loads((place / "model.opt").read_text())
        (place / "model.opt").write_text(json.dumps({**settings, **MODEL["override"]}))
        parlai("versions", "--versions", versions, "import", "--model-file", place / "model")
        settings["beam_min_length"] = 2  # another content, and so another version
        (place / "model.opt").write_text(json.dumps({**settings, **MODEL["override"]}))
        parlai("versions", "--versions", versions, "import", "--model-file", place / "model")
        store = VersionStore(str(versions))
        ids = [version.id for version in store.list()]
        store.promote(ids[0], force=True)
        deployed = {"model": "deployed", "versions": str(versions), "no_cuda": True}
        with serving("ours", Path(folder), deployed) as (port, pid):
            process = subprocess.Popen(
                [sys.executable, str(HERE / "chat_load.py"), "load", str(port), str(users)]
                + ["3600", str(PATIENCE), str(ENTERING)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(),
            )
            try:
                while not batches_so_far(port)[0] and process.poll() is None:
                    time.sleep(0.1)  # until they talk
                seconds = [promote(store, ids[(n + 1) % 2], port) for n in range(count)]
            finally:
                process.send_signal(signal.SIGUSR1)
                counted = json.loads(process.communicate()[0])
            memory = footprint(pid)
    return {"promotions": count, **counted, **memory, "to_live": percentiles(seconds)}


def promote(store: Any, version: str, port: int) -> float:
    """Let a version go live; the seconds until it is, after which it stays so for a moment."""
    began = time.perf_counter()
    store.promote(version, force=True)
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/operator/status", headers={"Authorization": f"Bearer {ADMIN}"}
    )
    while True:
        with urllib.request.urlopen(request) as answer:
            (model,) = json.load(answer)["models"]
        if model["version"] == version:
            break
        if time.perf_counter() - began > PATIENCE:
            sys.exit(f"{version} never went live: {model}")
        time.sleep(0.1)
    seconds = time.perf_counter() - began
    time.sleep(0.5)
    return seconds


def parlai(*words: Any) -> None:
    """Run a parlai command."""
    command = [sys.executable, "-m", "parlai", *map(str, words)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def soak(
    model: dict[str, Any], conversations: int, turns: int, at_once: int, parts: int
) -> dict[str, Any]:
    """Conversations that come and go: memory and file descriptors along the way."""
    points: list[dict[str, Any]] = []
    counts: list[dict[str, Any]] = []
    each = conversations // parts
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("ours", Path(folder), model) as (port, pid),
    ):
        client("come_and_go", port, each, at_once, turns)
        points.append({"conversations": 0, **footprint(pid)})
        for part in range(parts):
            counts.append(client("come_and_go", port, each, at_once, turns))
            points.append({"conversations": (part + 1) * each, **footprint(pid)})
    total = {key: round(sum(one[key] for one in counts), 1) for key in counts[0]}
    return {"conversations": parts * each, "turns_each": turns, **total, "points": points}


def measure_bare(batch: int) -> dict[str, Any]:
    """The bare model in a process of its own."""
    command = [sys.executable, str(HERE / "chat_service.py"), "--part", "bare", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    measured: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def bare_model(batch: int) -> dict[str, Any]:
    """Turns a second of the model alone, at one batch size."""
    import torch
    from parlai.core.agents import (
        add_datapath_and_model_args,
        create_agent,
        create_agent_from_shared,
    )
    from parlai.core.opt import Opt

    torch.set_num_threads(1)
    opt = Opt(json.loads(json.dumps(MODEL)))
    add_datapath_and_model_args(opt)
    root = create_agent(opt)
    clones = [create_agent_from_shared(root.share()) for _ in range(batch)]
    for turn in range(5):
        bare_turn(root, clones, turn)
    seconds: list[float] = []
    began, cpu = time.perf_counter(), time.process_time()
    while time.perf_counter() - began < LASTING / 2:
        seconds.append(bare_turn(root, clones, len(seconds)))
    turns = batch * len(seconds)
    return {
        "batch": batch,
        "turns_per_second": round(turns / (time.perf_counter() - began), 1),
        "cpu_ms": round(1000 * (time.process_time() - cpu) / turns, 3),
        **percentiles(seconds),
    }


def bare_turn(root: Any, clones: list[Any], turn: int) -> float:
    """One turn of every clone; the seconds."""
    began = time.perf_counter()
    observed = [
        clone.observe(
            {
                "text": f"{QUESTIONS[(name + turn) % len(QUESTIONS)]} #{name}-{turn}",
                "episode_done": False,
            }
        )
        for name, clone in enumerate(clones)
    ]
    for clone, reply in zip(clones, root.batch_act(observed)):
        clone.self_observe(reply)
    return time.perf_counter() - began


def _table(result: dict[str, Any]) -> str:
    """The rows as Markdown."""
    lines = [
        "| users | service | let in | answered | p50 / p95 / p99, ms | turns/s | CPU ms a turn | "
        "mean batch | of the model's time | bare model: turns/s | CPU ms a turn |",
        "|--:|---|--:|--:|--:|--:|--:|--:|--:|--:|--:|",
    ]
    for row in result["rows"]:
        spread = [row[f"p{share}"] for share in (50, 95, 99)]
        shown = " / ".join("–" if each is None else f"{each:.0f}" for each in spread)
        bare = row.get("bare")
        beside = ["", "", "", ""]
        if bare is not None:
            # in these very seconds: how much of them the model was answering
            share = row["turns_per_second"] * row["batch_ms"] / 1000 / row["mean_batch"]
            beside = [f"{row['mean_batch']:.1f}", f"{share:.2f}"]
            beside += [f"{bare['turns_per_second']:.1f}", f"{bare['cpu_ms']:.1f}"]
        lines.append(
            f"| {row['users']} | {row['service']} | {row['entered']} | "
            f"{row['answered']} of {row['turns']} | {shown} | {row['turns_per_second']:.1f} | "
            f"{row['cpu_ms']:.1f} | " + " | ".join(beside) + " |"
        )
    return "\n".join(lines)


_WRAPPED = textwrap.TextWrapper(118, subsequent_indent="  ", break_on_hyphens=False)


def measured(result: dict[str, Any]) -> str:
    """All that was measured, as Markdown."""
    ours = [row for row in result["rows"] if row["service"] == "ours"]
    shares = [
        f"{row['turns_per_second'] / row['bare']['turns_per_second']:.2f} with {row['users']:,d}"
        for row in ours
    ]
    stock, own = result["lone"]
    swaps, soaked, hour = result["promotions"], result["soak"], result["hour"]
    about, live = result["about"], swaps["to_live"]
    notes = [
        f"All of it is of one run, at commit {about['commit']}, with {about['cores']} cores, "
        f"ParlAI on Python {about['python']} and torch {about['torch']}.",
        f"Of the bare model's rate, right before and after: {', '.join(shares)} at once.",
        f"Turns answered by another conversation's reply: {sum(row['wrong'] for row in ours):,d} "
        f"of {sum(row['turns'] for row in ours):,d}.",
        f"A lone user, with a model that takes no time: {own['p50']:.2f} ms a turn (p50; p99 "
        f"{own['p99']:.2f} ms), network and client included. ParlAI's service: {stock['p50']:.0f} "
        "ms.",
        f"{swaps['promotions']} promotions of `-m deployed` under {swaps['users']} users, in "
        f"{swaps['seconds']:.0f} s: {swaps['answered']:,d} of {swaps['turns']:,d} turns answered, "
        f"{swaps['wrong']} of another conversation; {swaps['version_changes']} times a user's "
        "answers changed from one version to the other. A promotion was live after "
        f"{live['p50'] / 1000:.1f} s (p50; p99 {live['p99'] / 1000:.1f} s); a turn took "
        f"{swaps['p50']:.0f} ms (p50; p99 {swaps['p99']:.0f} ms, the slowest "
        f"{swaps['slowest']:.0f} ms).",
        f"{soaked['conversations']:,d} conversations of one turn that came and went, 32 at once, "
        f"with a model that takes no time: {soaked['answered']:,d} answered; {_flat(soaked)}.",
        f"{hour['conversations']:,d} conversations of {hour['turns_each']} turns, as many as an "
        f"hour of a service at {hour['turns'] / 3600:.0f} turns a second has, taken in "
        f"{hour['seconds']:.0f} s, {HOUR['at_once']} at once: {hour['answered']:,d} of "
        f"{hour['turns']:,d} answered, {hour['wrong']} of another conversation; {_flat(hour)}.",
    ]
    listed = "\n".join(_WRAPPED.fill(f"- {note}") for note in notes)
    picture = "![Turns answered a second, latency and memory](chat_service.png)"
    return f"{_table(result)}\n\n{picture}\n\n{listed}"


def _flat(soaked: dict[str, Any]) -> str:
    """Memory and file descriptors along the way, in words."""
    points = soaked["points"]
    files = sorted({point["fds"] for point in points})
    return (
        f"memory {points[0]['mb']:.1f} MB before, {points[len(points) // 2]['mb']:.1f} MB half-way "
        f"and {points[-1]['mb']:.1f} MB after, file descriptors {' to '.join(map(str, files))}"
    )


def publish(out: Path) -> None:
    """Put the results where they are kept, and what they say into the pages."""
    shutil.copy(out / "chat_service.json", HERE / "results")
    if (out / "chat_service.png").exists():
        shutil.copy(out / "chat_service.png", ROOT / "docs")
    quotes.main()


def draw(result: dict[str, Any], path: Path) -> None:
    """Turns answered a second, and latency, over users; memory over an hour."""
    plt = pyplot()
    if plt is None:
        return
    figure, (left, right, last) = plt.subplots(1, 3, figsize=(13, 3.4))
    for service, mark in (("stock", "o--"), ("ours", "s-")):
        rows = [row for row in result["rows"] if row["service"] == service]
        users = [row["users"] for row in rows]
        left.plot(users, [row["turns_per_second"] for row in rows], mark, label=service)
        right.plot(users, [row["p50"] or float("nan") for row in rows], mark, label=service)
    ours = [row for row in result["rows"] if "bare" in row]
    bare = [row["bare"]["turns_per_second"] for row in ours]
    left.plot([row["users"] for row in ours], bare, "x:", color="grey", label="bare batch_act")
    left.set_ylabel("turns answered a second")
    right.set_ylabel("p50 of a turn, ms")
    right.set_yscale("log")
    for axis in (left, right):
        axis.set_xscale("log", base=2)
        axis.set_xlabel("conversations at once")
        axis.legend(frameon=False)
    draw_memory(result["hour"], last)
    figure.tight_layout()
    figure.savefig(path, dpi=110)


def draw_memory(hour: dict[str, Any], axis: Any) -> None:
    """Memory and file descriptors over the conversations of an hour."""
    done = [point["conversations"] for point in hour["points"]]
    axis.plot(done, [point["mb"] for point in hour["points"]], "s-", label="memory, MB")
    axis.plot(done, [point["fds"] for point in hour["points"]], "o--", label="file descriptors")
    axis.set_ylim(bottom=0)
    axis.set_xlabel("conversations that came and went")
    axis.legend(frameon=False)


if __name__ == "__main__":
    main()
