"""
Replay: a fixed sample of old data, stored beside the candidate and mixed into its batches.

The sample is a file of whole messages (:mod:`parlai_cu.agents.episodes`), which the task
``messages`` reads; mixing is ParlAI's multitasking. Where there is no old data left, the deployed
model writes the sample.
"""

import json
import os
import random
from typing import Any

import parlai.utils.logging as logging
from parlai.core.agents import create_agent_from_model_file
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser

from parlai_cu import files, plugin
from parlai_cu.agents import episodes as task_episodes
from parlai_cu.agents import kinds, model_files
from parlai_cu.agents.episodes import Episode
from parlai_cu.errors import DataError, UsageError, check_one_of
from parlai_cu.retention.sampling import stratified_sample
from parlai_cu.unread_flags import Dependent, is_set, refuse_unread

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
# flags of ours that count with others only
_DEPENDENT = (
    Dependent(
        ("replay_share", "replay_size"),
        lambda opt: opt.get("replay_task") or opt.get("replay_from_model"),
        "without --replay-task OLD or --replay-from-model true",
    ),
    Dependent(("penalty_weight",), is_set("penalty"), "without --penalty NAME"),
)
# where --penalty-weight does not say: measured on Schema-Guided Dialogue (benchmarks/continual.py)
PENALTY_WEIGHTS = {"lwf": 5.0, "ewc": 5.0, "l2sp": 0.005}
_TURNS = 4
_BATCH = 32
# of a message in training, what is not true any more when the reply is another one. Without a
# reward ParlAI's agents learn the reply
_OF_THE_REPLY = ("labels", "reward", "id")


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
        help=f"price on leaving the deployed model: {', '.join(plugin.PENALTIES)}",
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
    refuse_unread(opt, _DEPENDENT, add_flags)
    if opt.get("penalty"):
        check_one_of("--penalty", opt["penalty"], plugin.PENALTIES)
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
    path = f"{os.path.abspath(opt['model_file'])}.replay"
    # as releases before 0.2 stored it, text and labels only: such a run goes on with it
    return f"{path}.txt" if os.path.isfile(f"{path}.txt") else f"{path}.jsonl"


def task_of(path: str) -> str:
    """The task that reads the sample."""
    if path.endswith(".txt"):
        return f"fromfile:fromfile_datapath={path}:fromfile_datatype_extension=false"
    return task_episodes.task_of(path)


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
    task_episodes.check_path(
        path, f"-mf {opt['model_file']}: the replay sample is stored beside it"
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
        _store(path, episodes, {**settings, "examples": sum(map(len, episodes))})
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
        held = [(task, episode) for episode in task_episodes.read(opt, task)]
        if not held:
            raise DataError(f"--replay-task {task} holds no examples to replay")
        episodes += held
    labels = [str(episode[0]["labels"][0]) for _, episode in episodes]
    # where there are few different labels they are classes, each of which is to be kept
    classes = len(set(labels)) * 20 <= len(labels)
    strata = [(task, label if classes else "") for (task, _), label in zip(episodes, labels)]
    sizes = [len(episode) for _, episode in episodes]
    chosen = stratified_sample(strata, opt["replay_size"], seed, sizes)
    held_count, everything = sum(sizes[i] for i in chosen), sum(sizes)
    share = held_count / everything
    logging.info(f"replay: {held_count:,d} of {everything:,d} old examples ({share:.1%})")
    return [episodes[i][1] for i in chosen]


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
    kind = kinds.kind_of(model)
    generates = kind == "generator"
    if kind not in ("generator", "classifier"):
        why = "a ranker's reply is one of its candidates, which the update brings"
        if kind is None:
            why = f"{type(model).__name__} is neither a generator nor a classifier"
        raise UsageError(f"--replay-from-model: {why}; give old data by --replay-task")
    if generates:
        model.opt.update({"inference": "nucleus", "topp": 0.9, "beam_size": 1})
        model.beam_size = 1
    else:
        model.opt["ignore_labels"] = True
    rng = random.Random(seed)
    contexts = [e for task in opt["task"].split(",") for e in task_episodes.read(opt, task)]
    rng.shuffle(contexts)
    asked = _contexts(contexts, keeps_candidates=not generates)
    # what only knows of text can talk to itself; half of the sample is that then
    carried = {name for turn in asked for name in turn} - {"text", "label_candidates"}
    talks = generates and not carried
    if carried:
        logging.info(
            f"replay: the update's messages carry {', '.join(sorted(carried))} beside the text, "
            "which the model is given and which are stored; it does not talk to itself, without"
        )
    wanted = opt["replay_size"] // 2 if talks else opt["replay_size"]
    episodes = _reply_to(model, asked[:wanted])
    more = opt["replay_size"] - sum(map(len, episodes)) if talks else 0
    episodes += _self_chats(model, rng, more)
    logging.info(f"replay: {sum(map(len, episodes)):,d} examples in the deployed model's words")
    return episodes


def _contexts(episodes: list[Episode], keeps_candidates: bool) -> list[dict[str, Any]]:
    """
    What the update asks, each turn with all that was said before it.

    A field stays as long as it is true whatever the reply: not those that repeat the gold reply.

    :param episodes: of the update
    :param keeps_candidates: whether they are the same for all turns, as classes are
    :raises UsageError: when a field judges the gold reply
    """
    contexts = []
    for episode in episodes:
        said: list[str] = []
        for turn in episode:
            said.append(str(turn.get("text") or ""))
            labels = [str(label) for label in turn["labels"]]
            kept = {
                name: value
                for name, value in turn.items()
                if name not in _OF_THE_REPLY and not _repeats(value, labels)
            }
            if not keeps_candidates:
                kept.pop("label_candidates", None)
            elif "label_candidates" in turn:
                kept["label_candidates"] = turn["label_candidates"]
            judging = [name for name in kept if "label" in name and name != "label_candidates"]
            if judging:
                raise UsageError(
                    f"--replay-from-model: the update's field {judging[0]!r} judges the reply "
                    "that stands there, and nobody judged the model's own; give old data by "
                    "--replay-task"
                )
            contexts.append({**kept, "text": "\n".join(said)})
            said.append(labels[0])
    return contexts


def _repeats(value: object, labels: list[str]) -> bool:
    """Whether a field is the gold reply once more."""
    if isinstance(value, str):
        return value in labels
    return isinstance(value, (list, tuple)) and any(str(part) in labels for part in value)


def _reply_to(model: object, contexts: list[dict[str, Any]]) -> list[Episode]:
    """Each context of the update with the model's own reply, as episodes of one turn."""
    replies = _replies(model, contexts)
    return [[{**asked, "labels": [r]}] for asked, r in zip(contexts, replies) if r]


def _self_chats(model: object, rng: random.Random, wanted: int) -> list[Episode]:
    episodes: list[Episode] = [[] for _ in range((wanted + _TURNS - 1) // _TURNS)]
    texts = [rng.choice(PROMPTS) for _ in episodes]
    histories = list(texts)
    for _ in range(_TURNS):
        replies = _replies(model, [{"text": history} for history in histories])
        for episode, text, reply in zip(episodes, texts, replies):
            if reply:
                episode.append({"text": text, "labels": [reply]})
        # the other side is the model as well
        answers = _replies(model, [{"text": f"{h}\n{r}"} for h, r in zip(histories, replies)])
        texts = [answer or rng.choice(PROMPTS) for answer in answers]
        histories = [f"{h}\n{r}\n{t}" for h, r, t in zip(histories, replies, texts)]
    return [episode for episode in episodes if episode]


def _replies(model: Any, contexts: list[dict[str, Any]]) -> list[str]:
    replies: list[str] = []
    for start in range(0, len(contexts), _BATCH):
        asked = contexts[start : start + _BATCH]
        clones = [model.clone() for _ in asked]
        seen = [
            clone.observe({"id": "user", **context, "episode_done": True})
            for clone, context in zip(clones, asked)
        ]
        replies += [act.get("text") or "" for act in model.batch_act(seen)]
    return replies


def _store(path: str, episodes: list[Episode], settings: dict[str, Any]) -> None:
    if not episodes:
        raise DataError("there is nothing to replay: no example was found, or the model is silent")
    model_files.check_writable(path)
    files.write_text(path + ".json", json.dumps(settings))
    task_episodes.store(path, episodes, f"replay of {settings.get('source')}")
