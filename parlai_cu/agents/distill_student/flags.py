"""The flags of ``-m distill_student``: added, checked, and left out of the student's ``.opt``."""

from parlai.core.build_data import modelzoo_path
from parlai.core.opt import Opt
from parlai.core.params import ParlaiParser, class2str

from parlai_cu import plugin
from parlai_cu.agents import (
    added_classes,
    base_agent,
    kinds,
    model_files,
    own_flags,
    replay,
    updating_agent,
)
from parlai_cu.agents.teacher import Teacher
from parlai_cu.errors import UsageError, check_one_of
from parlai_cu.unread_flags import Dependent, is_set, refuse_unread

# by which ParlAI's own converter asks bart for an empty model
_EMPTY_BART = "converting"
# flags of ours that count with others only
_DEPENDENT = (
    Dependent(
        ("distill_beta",),
        lambda opt: opt["distill_loss"] == "jensen_shannon",
        "without --distill-loss jensen_shannon",
    ),
    Dependent(
        ("teacher_cache_method", "teacher_cache_k", "teacher_cache_size"),
        is_set("teacher_cache"),
        "without --teacher-cache FOLDER",
    ),
    Dependent(
        ("distill_loss", "distill_weight", "distill_temperature", "teacher_cache"),
        lambda opt: not opt["distill_across_vocabularies"],
        "with --distill-across-vocabularies true: what is learnt are the teacher's decoded replies",
    ),
    Dependent(
        ("student_init",),
        lambda opt: not opt.get("init_model") or opt["init_model"] == opt["student_init"],
        "with --init-model, from which the student starts",
    ),
)


def add_flags(parser: ParlaiParser, partial: Opt, missing: str, epochs: int) -> ParlaiParser:
    """
    Our flags, then the student agent's as soon as it is known.

    :param parser: gets the flags
    :param partial: what ParlAI has read of the command so far
    :param missing: what to say without ``--teacher-model``
    :param epochs: where the command sets no limit to the training
    """
    with own_flags.ours(parser):
        _add_ours(parser)
        replay.add_flags(parser)

    def add_students(known: Opt) -> bool:
        path = known.get("teacher_model")
        if not path:
            return False
        teacher = model_files.read_opt(
            modelzoo_path(known.get("datapath"), path), "--teacher-model"
        )
        name = teacher.get("base_agent") or teacher["model"]
        student = known.get("student_agent") or name
        base = base_agent.base_agent_class(student, "--student-agent")
        if student == name:
            teacher = base.upgrade_opt(teacher)
            both = Opt({**teacher, **known})
            shared = own_flags.add_beside(
                parser, lambda: base.add_cmdline_args(parser, both), student
            )
            inherited = base_agent.inherited_options(base, teacher)
            parser.set_defaults(**own_flags.defaults(inherited, shared))
        else:
            own_flags.add_beside(parser, lambda: base.add_cmdline_args(parser, known), student)
            own = base_agent.option_names(base, known)
            shared = {"text_truncate", "label_truncate", "truncate", "history_size", "classes"}
            names = (shared | base_agent.dictionary_options(base)) & own | {"history_size"}
            parser.set_defaults(**{n: teacher[n] for n in sorted(names) if n in teacher})
            parser.set_defaults(dict_class=class2str(base.dictionary_class()))
        parser.set_defaults(base_agent=student)
        if known.get("replay_task"):
            parser.add_task_args(known["replay_task"], known)
        if not base_agent.brings_its_dictionary(base, known):
            parser.set_defaults(dict_file=f"{modelzoo_path(known.get('datapath'), path)}.dict")
        return True

    updating_agent.add_flags_once_known(parser, partial, add_students, missing)
    updating_agent.training_defaults(parser, partial, epochs)
    return parser


def _add_ours(parser: ParlaiParser) -> None:
    group = parser.add_argument_group("Distill Student Arguments")
    group.add_argument("--teacher-model", help="the deployed model; only read")
    group.add_argument(
        "--update-teacher", help="a second teacher, tuned on the update, for the update's examples"
    )
    group.add_argument(
        "--update-task",
        help="which of -t is the update, on which the gold labels alone are learnt: its name, "
        "several, or 'none' (default: the last of several tasks)",
    )
    group.add_argument(
        "--student-agent",
        help="the student's agent, as for -m (default: the teacher's; any of its flags given "
        "overrides the teacher's value, e.g. --n-decoder-layers 1)",
    )
    added_classes.add_flags(group, "the teacher")
    group.add_argument(
        "--student-init",
        default="layers",
        help="what the student starts from: 'layers' (evenly spaced teacher layers, where shapes "
        "allow), 'random', or a model file",
    )
    group.add_argument(
        "--distill-loss",
        default="forward_kl",
        help=f"divergence from the teacher: {', '.join(plugin.DIVERGENCES)} (cosine: rankers)",
    )
    group.add_argument(
        "--distill-weight",
        type=float,
        default=0.5,
        help="share of the soft labels in the loss on original data; gold labels have the rest",
    )
    group.add_argument(
        "--distill-temperature",
        type=float,
        default=1.0,
        help="logits are divided by it before soft labels are taken; the loss is "
        "multiplied by its square",
    )
    group.add_argument(
        "--distill-beta",
        type=float,
        default=0.5,
        help="the teacher's share in the mixture of --distill-loss jensen_shannon",
    )
    group.add_argument(
        "--distill-hidden-weight",
        type=float,
        default=0.0,
        help="weight of the error between hidden states of evenly spaced layers (0: off)",
    )
    group.add_argument(
        "--distill-attention-weight",
        type=float,
        default=0.0,
        help="weight of the error between attention of evenly spaced layers (0: off)",
    )
    group.add_argument(
        "--distill-on-policy",
        type=float,
        default=0.0,
        help="share of batches in which the teacher scores replies drawn from the student",
    )
    group.add_argument(
        "--distill-across-vocabularies",
        type="bool",
        default=False,
        help="allow a student with another dictionary; it learns the teacher's decoded replies",
    )
    group.add_argument(
        "--distill-chunked",
        type="bool",
        default=False,
        help="for large vocabularies: logits of a few rows at a time, so that memory does not grow "
        "with the vocabulary (slower)",
    )
    group.add_argument(
        "--teacher-cache", help="folder in which the teacher's distributions are kept and found"
    )
    group.add_argument(
        "--teacher-cache-method",
        default="topk",
        help="what is kept of a distribution: 'topk', the most probable choices and the mass of "
        "the rest, or 'sample', an unbiased sample",
    )
    group.add_argument(
        "--teacher-cache-k", type=int, default=16, help="choices kept, or draws, for each token"
    )
    group.add_argument(
        "--teacher-cache-size", type=float, default=10.0, help="bound on disk, in GB"
    )


def our_options() -> set[str]:
    """Names of the options above."""
    return base_agent.names_added(_add_ours, replay.add_flags)


def plain_opt(opt: Opt) -> Opt:
    """The student's options as a ParlAI without us wants them: its own agent, nothing of ours."""
    ours = our_options() | {"base_agent", "override", _EMPTY_BART}
    plain = Opt(own_flags.without_ours(opt, ours))
    plain["model"] = opt["base_agent"]
    if str(plain.get("init_model") or "").endswith(".checkpoint"):
        plain["init_model"] = None
    return plain


def check(opt: Opt) -> None:
    """
    Refuse numbers and names that cannot work.

    :raises UsageError: naming the flag, what was found and what was expected
    """
    for name in ("distill_weight", "distill_on_policy"):
        if not 0.0 <= opt[name] <= 1.0:
            raise UsageError(f"{_flag(name)} {opt[name]}: expected between 0 and 1")
    for name in ("distill_hidden_weight", "distill_attention_weight"):
        if not opt[name] >= 0.0:
            raise UsageError(f"{_flag(name)} {opt[name]}: expected 0 (off) or more")
    for name in ("teacher_cache_k", "teacher_cache_size"):
        if not opt[name] > 0:
            raise UsageError(f"{_flag(name)} {opt[name]}: expected more than 0")
    replay.check(opt)
    if opt.get("penalty") == "lwf" and opt.get("penalty_weight") is not None:
        raise UsageError(
            f"--penalty-weight {opt['penalty_weight']}: --penalty lwf keeps the deployed model's "
            "soft labels, as -m distill_student does already; its weight here is --distill-weight"
        )
    check_one_of("--distill-loss", opt["distill_loss"], plugin.DIVERGENCES)
    check_one_of("--teacher-cache-method", opt["teacher_cache_method"], ("topk", "sample"))
    if opt.get("model_parallel"):
        raise UsageError("--model-parallel true: the teacher and the student share one device")
    sizes = opt.get("embedding_size"), opt.get("n_heads")
    if all(sizes) and sizes[0] % sizes[1]:
        raise UsageError(
            f"--embedding-size {sizes[0]} is no multiple of --n-heads {sizes[1]}; give both"
        )
    start = opt["student_init"]
    if start not in ("layers", "random"):
        model_files.read_opt(modelzoo_path(opt.get("datapath"), start), "--student-init")
    if opt["distill_chunked"] and (opt["distill_on_policy"] or opt["distill_across_vocabularies"]):
        raise UsageError(
            "--distill-chunked goes neither with --distill-on-policy nor with "
            "--distill-across-vocabularies; leave one of them away"
        )
    matching = matches_layers(opt)
    if matching and opt["distill_on_policy"]:
        raise UsageError(
            "--distill-on-policy scores other replies than those whose hidden states are matched: "
            "leave it away, or --distill-hidden-weight and --distill-attention-weight"
        )
    if opt.get("teacher_cache"):
        if matching:
            raise UsageError(
                "--teacher-cache keeps distributions, not hidden states: leave it away, or "
                "--distill-hidden-weight and --distill-attention-weight"
            )
        if opt["distill_loss"] == "cosine":
            raise UsageError("--teacher-cache keeps some scores only; cosine needs all of them")
        if opt["teacher_cache_method"] == "sample" and opt["distill_loss"] != "forward_kl":
            raise UsageError(
                f"--teacher-cache-method sample is unbiased for forward_kl only, not for "
                f"--distill-loss {opt['distill_loss']}; use topk"
            )
    refuse_unread(opt, _DEPENDENT, _add_ours)


def matches_layers(opt: Opt) -> bool:
    """Whether hidden states or attention are to be matched."""
    return bool(opt["distill_hidden_weight"] > 0 or opt["distill_attention_weight"] > 0)


def check_kind(opt: Opt, kind: str) -> None:
    """
    Refuse what does not suit generators, rankers or classifiers.

    :param opt: of the student
    :param kind: ``generator``, ``ranker`` or ``classifier``
    :raises UsageError: naming the flag
    """
    if opt["distill_loss"] == "cosine" and kind == "generator":
        raise UsageError("--distill-loss cosine compares scores of candidates; not for generators")
    for name in ("distill_on_policy", "distill_across_vocabularies", "distill_chunked"):
        if opt[name] and kind != "generator":
            raise UsageError(f"{_flag(name)}: the student must be a generator, not a {kind}")
    if kind == "ranker" and opt.get("teacher_cache") and opt.get("candidates") == "batch":
        raise UsageError(
            "--teacher-cache with --candidates batch: an example's scores depend on the others in "
            "its batch, so none would be found again; use --candidates inline or fixed"
        )


def settle_classes(opt: Opt, student: type, teachers: list[Teacher]) -> None:
    """
    Give the student what ``--classes`` and ``--add-classes`` say; it has all of its teachers'.

    :param opt: of the student
    :param student: its agent
    :param teachers: its teachers
    :raises UsageError: naming what is in one only
    """
    if "classes" in (opt.get("override") or {}):
        opt["classes_from_file"] = None  # the teacher's, which ParlAI would take first
    added_classes.take_over(opt, added_classes.widened(teachers[0].opt, opt, student))
    for teacher in teachers:
        if teacher.kind != "classifier":
            continue
        own, theirs = kinds.class_names(opt), kinds.class_names(teacher.opt)
        if not set(theirs) <= set(own):
            more, fewer = sorted(set(own) - set(theirs)), sorted(set(theirs) - set(own))
            raise UsageError(
                f"--classes of the student and of {teacher.flag} {teacher.model_file} differ: only "
                f"the student has {more or 'none'}, only the teacher {fewer or 'none'}"
            )


def resolve_student(opt: Opt) -> None:
    """Settle what depends on which flags were given, and which are the teacher's."""
    given = opt.get("override") or {}
    if "n_layers" in given:
        for name in ("n_encoder_layers", "n_decoder_layers"):
            if name in opt and name not in given:
                opt[name] = -1  # ParlAI's word for "as --n-layers"
    start = opt["student_init"]
    if start not in ("layers", "random") and not opt.get("init_model"):
        opt["init_model"] = modelzoo_path(opt.get("datapath"), start)
    if opt["base_agent"] == "bart" and not opt.get("init_model"):
        # or it would start from the published model, downloaded, whatever sizes the student has
        opt[_EMPTY_BART] = True


def _flag(name: str) -> str:
    return f"--{name.replace('_', '-')}"
