"""
ParlAI keeps a ranker's candidates by their file's name, whatever stands in it by now.

Seen with ParlAI 1.7.2: ``interactive`` over a ranker, the file at ``--fixed-candidates-path``
edited: replies are chosen by the vectors of the old lines, which stand in
``model.<name>.vecs``; so with other weights behind the same name, and at each validation of a
training run (the vectors of the untrained model). A ranker without candidates builds them into
``model.cands-<task>.cands``, which cannot be written where the task's name holds a path. A
missing file is a FileNotFoundError.

Beside the vectors stands what they were made of (``.made_of``); others are made anew. Where the
model's folder cannot be written they are kept in memory only.
"""

import contextlib
import hashlib
import os
import re
from typing import Any

import parlai.utils.logging as logging

from parlai_cu.errors import DataError, ParlaiCuError, UsageError, in_place_of, near_file
from parlai_cu.files import file_hash, write_text
from parlai_cu.host import Stock, instead_of
from parlai_cu.host.stream_lengths import read_note
from parlai_cu.parlai_types import Batch, ModelAgent, Opt

# tasks of people, who bring no labels
_TALK = (None, "", "interactive", "self_chat")
_KINDS = ("vecs", "encs")


@instead_of("parlai.core.torch_ranker_agent:TorchRankerAgent.set_fixed_candidates")
def _set_fixed_candidates(stock: Stock, self: Any, shared: object) -> None:
    if shared or "fixed" not in (self.candidates, self.eval_candidates):
        stock(self, shared)
        return
    if not self.fixed_candidates_path:
        self.fixed_candidates_path = self.get_task_candidates_path()
    _set_by_content(self, stock)
    self._encoded_at = self._number_training_updates


@instead_of("parlai.core.torch_ranker_agent:TorchRankerAgent._save_candidates")
def _save_candidates(
    stock: Stock, self: Any, vecs: object, path: str, cand_type: str = "vectors"
) -> None:
    try:
        stock(self, vecs, path, cand_type)
    except OSError as error:
        logging.warning(f"candidates' {cand_type} are not kept: {path}: {error.strerror}")


@instead_of("parlai.core.torch_ranker_agent:TorchRankerAgent.eval_step")
def _eval_step(stock: Stock, self: Any, batch: Batch) -> Any:
    _encode_anew(self)
    return stock(self, batch)


def _set_by_content(agent: ModelAgent, stock: Stock) -> None:
    path, setting = agent.fixed_candidates_path, agent.opt["fixed_candidate_vecs"]
    lines = _lines(path)
    if setting not in ("reuse", "replace"):
        _check_given(agent, setting, len(lines))
        stock(agent, None)
        return
    note = _beside(agent, path, "made_of")
    made_of = _digest(agent, lines)
    if read_note(note) != made_of:
        agent.opt["fixed_candidate_vecs"] = "replace"
        _remove(note)  # first: a crash must not leave old vectors beside it
    try:
        stock(agent, None)
    finally:
        agent.opt["fixed_candidate_vecs"] = setting
    if read_note(note) != made_of and all(
        os.path.exists(_beside(agent, path, kind))
        for kind in _KINDS[: 1 + bool(agent.encode_candidate_vecs)]
    ):
        _write(note, made_of)


def _lines(path: str) -> list[str]:
    try:
        with open(path, encoding="utf-8") as f:
            lines = f.read().split("\n")
    except (OSError, UnicodeDecodeError) as error:
        why: object = error
        if isinstance(error, FileNotFoundError):
            why = f"there is no such file{near_file(path)}; expected one reply a line"
        unread = DataError(f"--fixed-candidates-path {path}: {why}")
        raise in_place_of(error, unread) from None
    if not any(line.strip() for line in lines):
        raise DataError(f"--fixed-candidates-path {path}: it is empty; expected one reply a line")
    return lines


def _check_given(agent: ModelAgent, path: str, lines: int) -> None:
    if not os.path.isfile(path):
        missing = UsageError(
            f"--fixed-candidate-vecs {path}: there is no such file{near_file(path)}; expected "
            "reuse, replace or a file of vectors"
        )
        raise in_place_of(FileNotFoundError, missing)
    if agent.encode_candidate_vecs:
        raise UsageError(
            f"--fixed-candidate-vecs {path}: ParlAI takes vectors of a file only with "
            "--encode-candidate-vecs false"
        )


def _beside(agent: ModelAgent, path: str, kind: str) -> str:
    """Where ParlAI keeps what it makes of a file of candidates."""
    folder, name = os.path.split(agent.opt["model_file"])
    stem = os.path.splitext(name)[0]
    return os.path.join(folder, f"{stem}.{os.path.splitext(os.path.basename(path))[0]}.{kind}")


def _digest(agent: ModelAgent, lines: list[str]) -> str:
    """Of all that the vectors depend on: candidates, dictionary, settings and weights."""
    digest = hashlib.sha256()
    cut = [agent.opt.get(name) for name in ("text_truncate", "label_truncate", "truncate")]
    for part in (lines, sorted(agent.dict.tok2ind.items()), cut, agent.encode_candidate_vecs):
        digest.update(repr(part).encode("utf-8", "surrogatepass"))
    for name, tensor in agent.model.state_dict().items():
        digest.update(name.encode())
        digest.update(tensor.detach().cpu().float().contiguous().numpy().data)
    return digest.hexdigest()


def _write(path: str, text: str) -> None:
    with contextlib.suppress(ParlaiCuError, OSError):  # the next start makes them anew
        write_text(path, text)


def _remove(path: str) -> None:
    with contextlib.suppress(OSError):
        os.unlink(path)


def _encode_anew(agent: ModelAgent) -> None:
    """While a ranker learns, what it made of its candidates before is of other weights."""
    updates = agent._number_training_updates
    if agent.fixed_candidate_encs is None or not hasattr(agent, "optimizer"):
        return
    if getattr(agent, "_encoded_at", updates) != updates:
        encoded = agent._make_candidate_encs(agent.fixed_candidate_vecs)
        agent.fixed_candidate_encs = encoded.to(agent.fixed_candidate_encs)
    agent._encoded_at = updates


@instead_of("parlai.core.torch_ranker_agent:TorchRankerAgent.get_task_candidates_path")
def _task_candidates(stock: Stock, agent: ModelAgent) -> str:
    """The labels of the task that the ranker learnt from, as a file of candidates."""
    from parlai.scripts.build_candidates import build_cands

    from parlai_cu import user_cache

    own_task = {} if agent.opt.get("task") in _TALK else {"task": agent.opt["task"]}
    opt = {**_options_of_base(agent.opt), **own_task}
    task, model_file = opt.get("task"), agent.opt["model_file"]
    missing = (
        f"-mf {model_file} is a ranker without candidates to choose from; expected "
        "--fixed-candidates-path FILE, one reply a line"
    )
    if task in _TALK:
        raise UsageError(missing)
    path = f"{model_file}.cands-{_file_name(opt)}.cands"
    if os.path.exists(path) and agent.opt["fixed_candidate_vecs"] == "reuse":
        return path
    if not os.access(os.path.dirname(os.path.abspath(path)), os.W_OK):
        folder = user_cache.folder("candidates")
        os.makedirs(folder, exist_ok=True)
        path = os.path.join(folder, os.path.basename(path))
    logging.warning(f"no candidates were given: the labels of {task} are, in {path}")
    settings = type(agent.opt)({**agent.opt, **opt})
    settings.update(outfile=path, datatype="train:evalmode", interactive_task=False, batchsize=1)
    settings.setdefault("log_every_n_secs", 10)
    settings.setdefault("num_examples", -1)
    try:
        build_cands(settings)
    except (ParlaiCuError, OSError, LookupError, ImportError, RuntimeError) as error:
        _remove(path)
        why = " ".join(str(error).split())
        raise UsageError(f"{missing} (its task {task} cannot be read here: {why})") from error
    return path


def _options_of_base(opt: Opt) -> dict[str, Any]:
    """The task of the model that an agent of ours stands on."""
    from parlai_cu.agents import model_files
    from parlai_cu.agents.updating_agent import model_path

    held = model_files.find_opt(model_path(opt, "init_model")) or {}
    return {name: held[name] for name in ("task", "jsonfile_datapath") if held.get(name)}


def _file_name(opt: dict[str, Any]) -> str:
    """Of a task: its name as far as a file may have it, and what it reads, by content."""
    task = str(opt["task"])
    files = [word.partition("=")[2] for word in re.split("[:,]", task) if "=" in word]
    files += [str(v) for k, v in opt.items() if k.endswith("_datapath") and v]
    held = [path for path in files if os.path.isfile(path)]
    name = re.sub(r"[^\w.,-]+", "_", task)
    if name == task and not held:
        return task
    digest = hashlib.sha256(task.encode())
    for path in held:
        digest.update(bytes.fromhex(file_hash(path)))
    return f"{name[:60]}-{digest.hexdigest()[:12]}"
