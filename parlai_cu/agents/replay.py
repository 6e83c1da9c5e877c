"""
Replay: a fixed sample of old data, stored beside the candidate and mixed into its batches.

The sample is a file in ParlAI's text format, which its own ``fromfile`` task reads; mixing is
ParlAI's multitasking. Where there is no old data left, the deployed model writes the sample.
"""

import json
import os
import random
from typing import Any

import parlai.utils.logging as logging
from parlai.core.agents import create_agent_from_model_file
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser
from parlai.core.teachers import create_task_agent_from_taskname
from parlai.core.torch_classifier_agent import TorchClassifierAgent
from parlai.core.torch_generator_agent import TorchGeneratorAgent
from parlai.utils.misc import msg_to_str

from parlai_cu import files, plugin
from parlai_cu.agents import model_files
from parlai_cu.errors import DataError, UsageError, nearest
from parlai_cu.retention.sampling import stratified_sample

Episode = list[dict[str, Any]]

# with which strangers open a conversation; the deployed model talks on with itself
PROMPTS = (
    "Hello!",
    "Hi, can you help me?",
    "I have a question.",
    "What can you do for me?",
    "I would like to know more about it.",
    "How does that work?",
    "Can you give me some information?",
    "I am looking for something.",
    "I need to make a change.",
    "There is a problem.",
    "How much is it?",
    "When is it open?",
    "Where can I find it?",
    "Can you book it for me?",
    "Yes, please.",
    "No, thanks. Something else.",
    "Thank you, goodbye.",
)
# where --penalty-weight does not say: measured on Schema-Guided Dialogue (benchmarks/continual.py)
PENALTY_WEIGHTS = {"lwf": 5.0, "ewc": 5.0, "l2sp": 0.005}
_TURNS = 4
_BATCH = 32


def add_flags(parser: ParlaiParser) -> None:
    """The flags of retention, the same in every mode that trains."""
    group = parser.add_argument_group("Retention Arguments")
    group.add_argument(
        "--replay-task",
        help="the old data, as for -t: a fixed sample of it is stored and mixed into the batches. "
        "Recommended: with --penalty lwf and a sample of 5 percent (--replay-size)",
    )
    group.add_argument(
        "--replay-share", type=float, default=0.5, help="share of replayed examples in the batches"
    )
    group.add_argument(
        "--replay-size", type=int, default=1000, help="how many old examples are stored"
    )
    group.add_argument(
        "--replay-from-model",
        type="bool",
        default=False,
        help="without old data: the deployed model writes the sample, replying to the update's "
        "contexts and, generators, to itself",
    )
    group.add_argument(
        "--penalty",
        help=f"price on leaving the deployed model: {', '.join([*plugin.PENALTIES, 'lwf'])}",
    )
    group.add_argument(
        "--penalty-weight",
        type=float,
        default=None,
        help="the penalty times this joins the loss (default: "
        + ", ".join(f"{name} {weight:g}" for name, weight in PENALTY_WEIGHTS.items())
        + ")",
    )


def check(opt: Opt) -> None:
    """
    Refuse what cannot work.

    :raises UsageError: naming the flag, what was found and what was expected
    """
    if not 0.0 < opt["replay_share"] < 1.0:
        raise UsageError(
            f"--replay-share {opt['replay_share']}: expected between 0 and 1, both excluded"
        )
    if opt["replay_size"] < 1:
        raise UsageError(f"--replay-size {opt['replay_size']}: expected 1 or more")
    if opt.get("replay_task") and opt["replay_from_model"]:
        raise UsageError("--replay-task and --replay-from-model: one of them; old data is better")
    if (opt["penalty_weight"] or 0) < 0:
        raise UsageError(f"--penalty-weight {opt['penalty_weight']}: expected 0 or more")
    known = [*plugin.PENALTIES, "lwf"]
    if opt.get("penalty") and opt["penalty"] not in known:
        close = nearest(opt["penalty"], known) or known
        raise UsageError(
            f"--penalty {opt['penalty']}: expected one of {', '.join(known)}; nearest: "
            f"{', '.join(close)}"
        )
    if opt.get("penalty") == "ewc" and not (opt.get("replay_task") or opt["replay_from_model"]):
        raise UsageError(
            "--penalty ewc weighs parameters by what old data says of them: add --replay-task OLD, "
            "or --replay-from-model true"
        )


def penalty_weight(opt: Opt) -> float:
    """How much the penalty of a run counts."""
    weight = opt["penalty_weight"]
    return PENALTY_WEIGHTS[opt["penalty"]] if weight is None else float(weight)


def sample_file(opt: Opt) -> str | None:
    """Where the sample of a run is stored; None for a run without replay."""
    if not (opt.get("replay_task") or opt.get("replay_from_model")) or not opt.get("model_file"):
        return None
    return f"{os.path.abspath(opt['model_file'])}.replay.txt"


def task_of(path: str) -> str:
    """The task that reads the sample."""
    return f"fromfile:fromfile_datapath={path}:fromfile_datatype_extension=false"


def prepare(opt: Opt, deployed: str) -> None:
    """
    Store the sample, unless it is there, and add it to the tasks of a run (changes ``opt``).

    :param opt: options of the training run
    :param deployed: the deployed model's file
    :raises UsageError: when the sample there is of other settings
    :raises DataError: when there is nothing to sample
    """
    path = sample_file(opt)
    if path is None or task_of(path) in opt["task"].split(","):
        return
    if any(sign in path for sign in ",:"):
        raise UsageError(
            f"-mf {opt['model_file']}: the replay sample is stored beside it, and ParlAI's task "
            "names cannot hold a path with ',' or ':'; choose another path"
        )
    check(opt)
    settings = {"source": opt.get("replay_task") or "model", "size": opt["replay_size"]}
    if os.path.exists(path):
        with open(path + ".json", encoding="utf-8") as f:
            stored = json.load(f)
        if {name: stored.get(name) for name in settings} != settings:
            raise UsageError(
                f"{path} holds a replay sample of {stored}, this command asks for {settings}; "
                "repeat those settings, or choose another -mf"
            )
    else:
        seed = opt.get("seed") or 0
        if opt.get("replay_task"):
            episodes = _sample(opt, opt["replay_task"].split(","), seed)
        else:
            episodes = _from_model(opt, deployed, seed)
        _store(path, episodes, {**settings, "examples": sum(len(e) for e in episodes)})
    _join(opt, path)


def _join(opt: Opt, path: str) -> None:
    tasks = opt["task"].split(",")
    weights = opt.get("multitask_weights") or [1]
    share = opt["replay_share"]
    changes: dict[str, Any] = {"task": f"{opt['task']},{task_of(path)}"}
    if weights != "stochastic":
        weights = [*weights, *[1] * len(tasks)][: len(tasks)]
        changes["multitask_weights"] = [*weights, sum(weights) * share / (1 - share)]
    else:
        raise UsageError("--multitask-weights stochastic leaves --replay-share no meaning")
    if not opt.get("evaltask"):
        # the sample is training data: validated is on what it was taken from
        changes["evaltask"] = ",".join([*tasks, *filter(None, [opt.get("replay_task")])])
    opt.update(changes)
    if opt.get("override") is not None:
        opt["override"] = {**opt["override"], **changes}


def _sample(opt: Opt, tasks: list[str], seed: int) -> list[Episode]:
    episodes: list[tuple[str, Episode]] = []
    for task in tasks:
        found = read_episodes(opt, task)
        episodes += [(task, episode) for episode in found]
        if not found:
            raise DataError(f"--replay-task {task} holds no examples to replay")
    labels = [str(episode[0]["labels"][0]) for _, episode in episodes]
    # where there are few different labels they are classes, each of which is to be kept
    classes = len(set(labels)) * 20 <= len(labels)
    strata = [(task, label if classes else "") for (task, _), label in zip(episodes, labels)]
    sizes = [len(episode) for _, episode in episodes]
    chosen = stratified_sample(strata, opt["replay_size"], seed, sizes)
    held, everything = sum(sizes[i] for i in chosen), sum(sizes)
    logging.info(f"replay: {held:,d} of {everything:,d} old examples ({held / everything:.1%})")
    return [episodes[i][1] for i in chosen]


def read_episodes(opt: Opt, task: str) -> list[Episode]:
    """
    All training episodes of a task, as messages with text and labels.

    :raises DataError: when it has images, which are not stored
    """
    settings = Opt({**opt, "task": task, "datatype": "train:evalmode", "batchsize": 1})
    (teacher,) = create_task_agent_from_taskname(settings)
    episodes: list[Episode] = []
    episode: Episode = []
    while not teacher.epoch_done():
        act = teacher.act()
        if "image" in act:
            raise DataError(f"--replay-task {task} has images, which cannot be stored for replay")
        labels = act.get("labels") or act.get("eval_labels")
        if act.get("text") is not None and labels:
            kept = {"text": act["text"], "labels": list(labels)}
            if act.get("label_candidates"):
                kept["label_candidates"] = list(act["label_candidates"])
            episode.append(kept)
        if act.get("episode_done") and episode:
            episodes.append(episode)
            episode = []
    return episodes + [episode] if episode else episodes


def _from_model(opt: Opt, deployed: str, seed: int) -> list[Episode]:
    """
    Pseudo-examples: what the deployed model itself says.

    Half to the update's contexts; half, where it is a generator, to strangers' first words and
    then to itself, drawn token by token so that no two conversations are alike (Sun et al. 2020,
    LAMOL, https://arxiv.org/abs/1909.03329, section 3.2).
    """
    overrides = {name: opt[name] for name in ("no_cuda", "gpu", "datapath") if name in opt}
    overrides.update({"datatype": "valid", "skip_generation": False, "interactive_mode": False})
    model = create_agent_from_model_file(deployed, overrides)
    generates = isinstance(model, TorchGeneratorAgent)
    if not generates and not isinstance(model, TorchClassifierAgent):
        raise UsageError(
            "--replay-from-model: a ranker's reply is one of its candidates, which the update "
            "brings; give old data by --replay-task"
        )
    if generates:
        model.opt.update({"inference": "nucleus", "topp": 0.9, "beam_size": 1})
        model.beam_size = 1
    else:
        model.opt["ignore_labels"] = True
    rng = random.Random(seed)
    contexts = [e for task in opt["task"].split(",") for e in read_episodes(opt, task)]
    rng.shuffle(contexts)
    wanted = opt["replay_size"] // 2 if generates else opt["replay_size"]
    episodes = _reply_to(model, contexts, wanted)
    more = opt["replay_size"] - sum(len(e) for e in episodes) if generates else 0
    episodes += _self_chats(model, rng, more)
    logging.info(
        f"replay: {sum(len(e) for e in episodes):,d} examples in the deployed model's words"
    )
    return episodes


def _reply_to(model: Any, contexts: list[Episode], wanted: int) -> list[Episode]:
    """Each context of the update with the model's own reply, as episodes of one turn."""
    histories = []
    for episode in contexts:
        said: list[str] = []
        for turn in episode:
            said.append(turn["text"])
            histories.append("\n".join(said))
            said.append(turn["labels"][0])
    replies = _replies(model, histories[:wanted])
    return [[{"text": h, "labels": [r]}] for h, r in zip(histories, replies) if r]


def _self_chats(model: Any, rng: random.Random, wanted: int) -> list[Episode]:
    episodes: list[Episode] = [[] for _ in range((wanted + _TURNS - 1) // _TURNS)]
    texts = [rng.choice(PROMPTS) for _ in episodes]
    histories = list(texts)
    for _ in range(_TURNS):
        replies = _replies(model, histories)
        for episode, text, reply in zip(episodes, texts, replies):
            if reply:
                episode.append({"text": text, "labels": [reply]})
        # the other side is the model as well
        answers = _replies(model, [f"{h}\n{r}" for h, r in zip(histories, replies)])
        texts = [answer or rng.choice(PROMPTS) for answer in answers]
        histories = [f"{h}\n{r}\n{t}" for h, r, t in zip(histories, replies, texts)]
    return [episode for episode in episodes if episode]


def _replies(model: Any, histories: list[str]) -> list[str]:
    replies: list[str] = []
    for start in range(0, len(histories), _BATCH):
        clones = [model.clone() for _ in histories[start : start + _BATCH]]
        seen = [
            clone.observe({"id": "user", "text": text, "episode_done": True})
            for clone, text in zip(clones, histories[start : start + _BATCH])
        ]
        replies += [act.get("text") or "" for act in model.batch_act(seen)]
    return replies


def _store(path: str, episodes: list[Episode], settings: dict[str, Any]) -> None:
    if not episodes:
        raise DataError("there is nothing to replay: no example was found, or the model is silent")
    model_files.check_writable(path)
    lines = []
    for episode in episodes:
        for i, turn in enumerate(episode):
            lines.append(msg_to_str({**turn, "episode_done": i == len(episode) - 1}))
    for name, text in ((path + ".json", json.dumps(settings)), (path, "\n".join(lines) + "\n")):
        files.write_text(name, text)
