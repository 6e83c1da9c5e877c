"""
How many turns a chat service answers, how fast, and for how long: ParlAI's own beside ours.

The same model (zoo:telecom/base, greedy), ParlAI's chatbot world, the same client in a process of
its own, on one machine, one after the other; and the bare model, which bounds them all: `observe`,
`batch_act`, `self_observe` in a loop.

    python benchmarks/chat_service.py --out bench/chat_service
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
import time
import urllib.request
from pathlib import Path
from typing import Any, Dict, Iterator, List, Tuple

from chat_load import QUESTIONS, percentiles
from harness import Harness, about, pyplot

HERE = Path(__file__).parent
USERS = (1, 8, 32, 128, 512)
# s of each load, that a user waits for an answer, and for all to be let in
LASTING, PATIENCE, ENTERING = 10, 45, 180
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
MODEL: Dict[str, Any] = {
    "model_file": str(HERE.parent / "zoo" / "telecom" / "base" / "model"),
    "override": {"model": "marked_model:MarkedModel", "inference": "greedy", "beam_size": 1},
    "no_cuda": True,
    "interactive_mode": True,
}
# our repairs of the chat service; stock runs without them, and with all others, or it did not start
OURS = ("websocket_service", "chat_logging", "chat_timeouts", "chatbot_prints")


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
    args = parser.parse_args()
    bench = Harness(args.out)
    rows: List[Dict[str, Any]] = []
    for users in args.users:
        for service in ("stock", "ours"):
            key = f"{service}_{users}"
            rows.append(bench.remembered(key, lambda s=service, n=users: measure(s, n)))
        # in the same minute, as others may be using the machine
        batch = max(1, round(rows[-1]["mean_batch"]))
        rows[-1]["bare"] = bench.remembered(f"bare_{users}", lambda n=batch: measure_bare(n))
    result = {"about": about(), "rows": rows}
    result["lone"] = [bench.remembered(f"lone_{s}", lambda s=s: lone(s)) for s in ("stock", "ours")]
    if args.promotions:
        work = functools.partial(promotions, args.promotions)
        result["promotions"] = bench.remembered("promotions", work)
    if args.soak:
        result["soak"] = bench.remembered("soak", lambda: soak(args.soak))
    (args.out / "chat_service.json").write_text(json.dumps(result, indent=2))
    print(table(result))
    draw(result, args.out / "chat_service.png")


def run_part(what: str, *words: str) -> None:
    """In a process of its own: a service, or the bare model."""
    if what == "bare":
        print(json.dumps(bare_model(int(words[0]))))
        return
    if what == "stock":
        from parlai_cu import plugin

        for repair in OURS:
            plugin.REPAIRS.pop(repair)
    import runpy

    sys.argv = ["run", *words]
    runpy.run_module("parlai.chat_service.services.websocket.run", run_name="__main__")


ECHO: Dict[str, Any] = {"model": "repeat_query"}


def environment(stock: bool = False) -> Dict[str, str]:
    """Of the processes: the model is found, and has one thread; stock is told things twice."""
    path = os.pathsep.join(filter(None, [str(HERE), os.environ.get("PYTHONPATH", "")]))
    patience = {"CHAT_LOAD_RESEND": str(2 if stock else PATIENCE)}
    return {**os.environ, **patience, "OMP_NUM_THREADS": "1", "PYTHONPATH": path}


@contextlib.contextmanager
def serving(service: str, folder: Path, model: Dict[str, Any] = MODEL) -> Iterator[Any]:
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


def client(*words: Any, stock: bool = False) -> Dict[str, Any]:
    """Run the load generator; what it counted."""
    command = [sys.executable, str(HERE / "chat_load.py"), *map(str, words)]
    done = subprocess.run(
        command, capture_output=True, text=True, env=environment(stock), check=True
    )
    counted: Dict[str, Any] = json.loads(done.stdout)
    return counted


def measure(service: str, users: int) -> Dict[str, Any]:
    """One service under one load."""
    with tempfile.TemporaryDirectory() as folder, serving(service, Path(folder)) as (port, pid):
        if service == "ours":
            client("load", port, 1, 2, PATIENCE, ENTERING)  # what is slow only once
            before = batches_so_far(port)
        cpu = cpu_seconds(pid)
        row = {
            "service": service,
            **client("load", port, users, LASTING, PATIENCE, ENTERING, stock=service == "stock"),
            **footprint(pid),
        }
        row["cpu_ms"] = round(1000 * (cpu_seconds(pid) - cpu) / max(1, row["answered"]), 3)
        if service == "ours":
            turns, batches, seconds = (
                after - then for after, then in zip(batches_so_far(port), before)
            )
            row["mean_batch"] = round(turns / batches, 2)
            row["batch_ms"] = round(1000 * seconds / batches, 2)
    return row


def footprint(pid: int) -> Dict[str, float]:
    """Memory (MB) and file descriptors of a process."""
    status = Path(f"/proc/{pid}/status").read_text()
    kilobytes = next(line for line in status.splitlines() if line.startswith("VmRSS")).split()[1]
    return {"mb": round(int(kilobytes) / 1024, 1), "fds": len(os.listdir(f"/proc/{pid}/fd"))}


def cpu_seconds(pid: int) -> float:
    """CPU seconds that a process has used."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def batches_so_far(port: int) -> Tuple[float, float, float]:
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


def lone(service: str) -> Dict[str, Any]:
    """One user, and a model that takes no time: what the service adds to a turn."""
    with tempfile.TemporaryDirectory() as folder, serving(service, Path(folder), ECHO) as (port, _):
        stock = service == "stock"
        client("load", port, 1, 2, PATIENCE, ENTERING, stock=stock)
        counted = client("load", port, 1, 10, PATIENCE, ENTERING, stock=stock)
        return {"service": service, **counted}


def promotions(count: int, users: int = 8) -> Dict[str, Any]:
    """Versions that go live under load, one every second or so, until there were ``count``."""
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
            command = [sys.executable, str(HERE / "chat_load.py"), "load", str(port), str(users)]
            lasting = str(int(count * 1.5))
            process = subprocess.Popen(
                [*command, lasting, str(PATIENCE), str(ENTERING)],
                stdout=subprocess.PIPE,
                text=True,
                env=environment(),
            )
            done = 0
            while done < count and process.poll() is None:
                time.sleep(1.3)
                done += 1
                store.promote(ids[done % 2], force=True)
            counted = json.loads(process.communicate()[0])
            memory = footprint(pid)
    return {"promotions": done, **counted, **memory}


def parlai(*words: Any) -> None:
    """Run a parlai command."""
    command = [sys.executable, "-m", "parlai", *map(str, words)]
    done = subprocess.run(command, env=environment(), capture_output=True, text=True)
    if done.returncode:
        sys.exit(f"{' '.join(command)}\n{done.stderr[-2000:]}")


def soak(conversations: int) -> Dict[str, Any]:
    """Conversations that come and go: memory and file descriptors along the way."""
    points = []
    with (
        tempfile.TemporaryDirectory() as folder,
        serving("ours", Path(folder), ECHO) as (port, pid),
    ):
        parts, answered = 10, 0
        client("come_and_go", port, conversations // parts, 32)
        for part in range(parts):
            points.append({"conversations": part * conversations // parts, **footprint(pid)})
            counted = client("come_and_go", port, conversations // parts, 32)
            answered += counted["answered"]
        points.append({"conversations": conversations, **footprint(pid)})
    return {"conversations": conversations, "answered": answered, "points": points}


def measure_bare(batch: int) -> Dict[str, Any]:
    """The bare model in a process of its own."""
    command = [sys.executable, str(HERE / "chat_service.py"), "--part", "bare", str(batch)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment(), check=True)
    measured: Dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return measured


def bare_model(batch: int) -> Dict[str, Any]:
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
    seconds: List[float] = []
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


def bare_turn(root: Any, clones: List[Any], turn: int) -> float:
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


def table(result: Dict[str, Any]) -> str:
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


def draw(result: Dict[str, Any], path: Path) -> None:
    """Turns answered a second, and latency, over users."""
    plt = pyplot()
    if plt is None:
        return
    figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.4))
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
    figure.tight_layout()
    figure.savefig(path, dpi=110)


if __name__ == "__main__":
    main()
