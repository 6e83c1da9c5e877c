"""What the benchmarks share: `parlai` commands run once each, with their cost, and remembered."""

import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any


class Harness:
    """
    Runs `parlai` commands, each once, and remembers what they gave in JSON files.

    :param out: folder of the results; a benchmark that is interrupted goes on from there
    """

    def __init__(self, out: Path) -> None:
        self.out = out
        self.parlai = str(Path(sys.executable).with_name("parlai"))
        out.mkdir(parents=True, exist_ok=True)

    def remembered(self, key: str, work: Any) -> dict[str, Any]:
        """The result kept under ``key``, or that of ``work()``, kept from now on."""
        path = self.out / f"{key}.json"
        if not path.exists():
            started = time.strftime("%H:%M:%S")
            result = work()
            path.with_suffix(".tmp").write_text(json.dumps(result, indent=2))
            path.with_suffix(".tmp").rename(path)
            print(f"{started} {key}: {result}", flush=True)
        return json.loads(path.read_text())

    def command(
        self, words: list[str], key: str, expected: Sequence[int] = (0,)
    ) -> tuple[float, float, float]:
        """
        Run parlai; wall seconds, CPU seconds and peak MB of its process.

        :param expected: exit statuses that are no failure
        """
        log = self.out / f"{key}.log"
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        start = time.monotonic()
        with open(log, "w") as f:
            process = subprocess.Popen(
                [self.parlai, *words], stdout=f, stderr=subprocess.STDOUT, env=environment
            )
            try:
                _, status, usage = os.wait4(process.pid, 0)
            except KeyboardInterrupt:
                process.terminate()
                raise
        if os.waitstatus_to_exitcode(status) not in expected:
            sys.exit(f"failed: parlai {' '.join(words)}\n{log.read_text()[-2000:]}")
        return time.monotonic() - start, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / 1024


def stock_flags(deployed: Path, other: dict[str, Any] | None = None) -> list[str]:
    """
    What stock training needs restated: every architecture flag of the deployed model.

    :param other: flags that are to have other values
    """
    opt = json.loads(Path(f"{deployed}.opt").read_text())
    names = (
        "embedding_size n_layers n_encoder_layers n_decoder_layers ffn_size n_heads n_positions "
        "n_segments variant activation dropout attention_dropout relu_dropout dict_tokenizer "
        "learn_positional_embeddings embeddings_scale text_truncate label_truncate dict_lower "
        "output_scaling share_word_embeddings gradient_clip betas adam_eps history_size"
    ).split()
    flags = ["-m", opt["model"], "--dict-file", f"{deployed}.dict"]
    for name in names:
        value = (other or {}).get(name, opt.get(name))
        if value is not None:
            text = ",".join(map(str, value)) if isinstance(value, list) else str(value)
            flags += [f"--{name.replace('_', '-')}", text]
    return flags


def earlier_result(path: Path, settings: dict[str, Any]) -> dict[str, Any]:
    """
    The results of an earlier run, which may count beside today's: its settings are the same.

    :param path: its results.json
    :param settings: today's
    """
    result: dict[str, Any] = json.loads(path.read_text())
    if result["settings"] != settings:
        sys.exit(f"--earlier {path} was run with {result['settings']}, not {settings}")
    return result


def commit() -> str:
    """Of the code that runs."""
    words = ["git", "rev-parse", "--short", "HEAD"]
    return subprocess.run(words, capture_output=True, text=True).stdout.strip()


def about(seeds: Iterable[int] = ()) -> dict[str, Any]:
    """
    Where and with what this was measured.

    :param seeds: of all that is drawn; none where nothing is
    """
    import numpy
    import torch

    return {
        "commit": commit(),
        "python": platform.python_version(),
        "torch": torch.__version__,
        "numpy": numpy.__version__,
        "device": _device(),
        "cores": os.cpu_count(),
        "threads": 1,
        "date": time.strftime("%Y-%m-%d"),
        "seeds": list(seeds),
    }


def _device() -> str:
    """The graphics card's name, or the processor's and the vectors that torch uses of it."""
    import torch

    if torch.cuda.is_available():
        return str(torch.cuda.get_device_name())
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        name = next(line.partition(": ")[2] for line in lines if line.startswith("model name"))
        return f"{name}, {torch.backends.cpu.get_cpu_capability()}"
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def mean_and_spread(runs: list[dict[str, Any]]) -> dict[str, Any]:
    """Of each figure the mean over the runs, and half their range as ``..._spread``."""
    row: dict[str, Any] = {}
    for key in runs[0]:
        values = [run[key] for run in runs]
        row[key] = statistics.mean(values)
        row[f"{key}_spread"] = (max(values) - min(values)) / 2
    return row


def pyplot() -> Any:
    """matplotlib's pyplot, drawing to files; None, and a word on it, where it is not there."""
    try:
        import matplotlib
    except ImportError:
        print("no matplotlib here: no picture")
        return None
    matplotlib.use("Agg")
    import matplotlib.pyplot

    return matplotlib.pyplot


def publish(
    out: Path, result: dict[str, Any], text: str, draw: Callable[..., None] | None = None
) -> None:
    """
    Write ``results.json``, ``table.md`` and perhaps ``picture.png``, and print the table.

    :param draw: called with the result and the picture's file
    """
    (out / "results.json").write_text(json.dumps(result, indent=2))
    (out / "table.md").write_text(text)
    if draw is not None:
        draw(result, out / "picture.png")
    print(text)


def bars(
    path: Path,
    rows: Mapping[str, Mapping[str, float]],
    label: str,
    shown: Mapping[str, str] | None = None,
) -> None:
    """
    Draw a group of bars a row, side by side.

    :param rows: the row's name -> the name of a bar -> its length; a row may lack some
    :param label: of the length's axis, with its unit
    :param shown: of the names those that get a bar, and what each is called; by default all
    """
    plt = pyplot()
    if plt is None:
        return
    called = shown or {name: name for row in rows.values() for name in row}
    names = list(called)
    height = 0.8 / len(names)
    figure, axis = plt.subplots(figsize=(7, 0.8 + len(rows) * max(0.28, 0.16 * len(names))))
    for i, name in enumerate(names):
        at = [(y + (i - (len(names) - 1) / 2) * height, row) for y, row in enumerate(rows.values())]
        places = [place for place, row in at if name in row]
        drawn = axis.barh(places, [row[name] for row in rows.values() if name in row], height)
        drawn.set_label(called[name])
        axis.bar_label(drawn, fmt="%.3g", padding=2, fontsize=7)
    axis.set_yticks(range(len(rows)), list(rows), fontsize=8)
    axis.invert_yaxis()
    axis.margins(0.1, 0.02)
    axis.set_xlabel(label)
    if len(names) > 1:
        axis.legend(frameon=False, fontsize=8)
    figure.savefig(path, dpi=110, bbox_inches="tight")
    plt.close(figure)
