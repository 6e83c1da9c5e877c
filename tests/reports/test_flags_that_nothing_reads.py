"""A flag that the command, its action or its other flags leave unread is refused, not ignored."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from parlai_cu.errors import UsageError
from parlai_cu.versions.store import VersionStore
from tests.agents.served import GENERATOR

VERSIONS = [
    ("list --note x", "list: nothing reads --note x; it is a flag of import"),
    ("verify --force", "verify: nothing reads --force; it is a flag of promote"),
    ("export v1 --why because -o out", "--why because; it is a flag of promote, rollback"),
    ("list --keep=5", "--keep 5; it is a flag of prune"),
    ("--dry-run promote v1", "promote: nothing reads --dry-run; it is a flag of prune"),
    ("review --outfile x", "review: nothing reads --outfile x; it is a flag of export"),
]


@pytest.mark.parametrize("line, told", VERSIONS)
def test_of_another_action_of_versions(tmp_path: Path, line: str, told: str) -> None:
    """Wherever it stands on the line."""
    from parlai_cu.scripts.versions import VersionsScript

    with pytest.raises(UsageError, match=told):
        VersionsScript.main("--versions", str(tmp_path / "store"), *line.split())


FACTS = [
    ("stats --top-k 3", "stats: nothing reads --top-k 3; it is a flag of search, history"),
    ("search --text x --entity y", "--entity y; it is a flag of add, update"),
    ("add --text x --file f.csv", "add: nothing reads --file f.csv; it is a flag of import"),
    ("import --file f.csv --table t", "--table is of import --from-url, not of --file"),
    ("import --from-url sql+sqlite:///x --file f.csv", "--file is of import --file, not of"),
    ("remove --id a --json", "remove: nothing reads --json"),
]


@pytest.mark.parametrize("line, told", FACTS)
def test_of_another_action_of_knowledge_base(tmp_path: Path, line: str, told: str) -> None:
    """Before anything is opened."""
    from parlai_cu.scripts.knowledge_base import KnowledgeBaseScript

    with pytest.raises(UsageError, match=told):
        KnowledgeBaseScript.main(*line.split(), "--kb", f"sqlite:///{tmp_path}/facts.db")
    assert not list(tmp_path.iterdir())


COMMANDS = [
    ("data", "f.csv --channel live", "--channel live: nothing reads it without --versions DIR"),
    ("data", "f.csv --kb x --checks leaks", "--kb x: nothing reads it by these --checks"),
    ("data", "f.csv --model-file m --versions d", "--model-file m: nothing reads it with --vers"),
    ("doctor", "--agent-flags x", "--agent-flags x: nothing reads it without --agent AGENT"),
    ("update_model", "-bs 8", "--batchsize 8: .* by --training '--batchsize 8'"),
    ("update_model", "-dt valid", "--datatype valid: nothing reads it in update_model"),
    ("update_model", "--training=-mf=x", "--training '-mf=x': -mf is settled by update_model"),
    ("update_model", "--mode kb_augmented --training=-lr=1", "--training .* trains no model"),
    ("score_parameters", "-mf m -bs 8", "--batchsize 8: nothing reads it here"),
    ("eval_model", "-mf m --retention-metric f1", "--retention-metric f1: .*--base-model-file"),
    ("eval_model", "-m deployed --versions {0} --dict-file d", "--dict-file d: .* deployed"),
    (
        "eval_model",
        "-m deployed --versions {0} -mf {1}",
        "--model-file .*model: nothing reads it with -m",
    ),
    ("eval_model", "-m deployed --versions {0} --canary-share .5", "0.5: .* in an evaluation"),
]


@pytest.mark.parametrize("command, line, told", COMMANDS)
def test_of_a_command(
    deployed: Callable[[str], str], tmp_path: Path, command: str, line: str, told: str
) -> None:
    """Flags that count with others only, and ParlAI's own where they say nothing."""
    from parlai.core.script import superscript_main

    store = VersionStore(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))
    if "{0}" in line:
        store.promote(store.add(deployed(GENERATOR), mode="import").id, force=True)
    words = line.format(store.path, deployed(GENERATOR)).split()
    if command != "doctor" and command != "data":
        words += ["-t", "integration_tests"]
    if command == "update_model":
        words += ["--versions", store.path]
    with pytest.raises(UsageError, match=told):
        superscript_main([command, *words])


TRAINING: list[tuple[str, dict[str, Any], str]] = [
    ("frozen_layer", dict(penalty_weight=3.0), "--penalty-weight 3.0: .*without --penalty NAME"),
    ("frozen_layer", dict(replay_share=0.2), "--replay-share 0.2: .*without --replay-task OLD"),
    ("frozen_layer", dict(replay_size=7), "--replay-size 7: .*without --replay-task OLD"),
    ("frozen_layer", dict(lora_alpha=8), "--lora-alpha 8.0: .*without --lora-rank RANK"),
    ("frozen_layer", dict(cache_frozen_exact=False), "--cache-frozen-exact False: .*--cache-fr"),
    ("distill_student", dict(distill_beta=0.3), "0.3: .*without --distill-loss jensen_shannon"),
    ("distill_student", dict(teacher_cache_k=4), "--teacher-cache-k 4: .*without --teacher-cache"),
    (
        "distill_student",
        dict(distill_across_vocabularies=True, distill_temperature=2.0),
        "--distill-temperature 2.0: .* decoded replies",
    ),
    ("distill_student", dict(penalty_weight=3.0), "--penalty-weight 3.0: .*without --penalty"),
]


@pytest.mark.parametrize("agent, given, told", TRAINING)
def test_in_training(
    train: Callable[..., Any],
    deployed: Callable[[str], str],
    tmp_path: Path,
    agent: str,
    given: dict[str, Any],
    told: str,
) -> None:
    """Before any work."""
    base = {"frozen_layer": "init_model", "distill_student": "teacher_model"}[agent]
    settings = {"model": agent, base: deployed(GENERATOR), "model_file": str(tmp_path / "m")}
    with pytest.raises(UsageError, match=told):
        train(**settings, **given)


KNOWLEDGE: list[tuple[dict[str, Any], str]] = [
    (dict(kb_gate="always", kb_gate_threshold="0.4"), "--kb-gate-threshold 0.4: .*--kb-gate;"),
    (dict(kb_gate_precision=0.8), "--kb-gate-precision 0.8: .*without --kb-gate-threshold auto"),
    (dict(kb_template="So: {text}"), "--kb-template So.*without --kb-integrate template"),
    (dict(kb_fuse_weight=0.9), "--kb-fuse-weight 0.9: .*without --kb-integrate fuse"),
    (dict(kb_combine="priority"), "--kb-combine priority: nothing reads it with one --kb"),
    (dict(kb_prompt_format="lines"), "--kb-prompt-format lines: .*--kb-integrate prompt"),
]


@pytest.mark.parametrize("given, told", KNOWLEDGE)
def test_of_a_knowledge_base(
    deployed: Callable[[str], str], tmp_path: Path, given: dict[str, Any], told: str
) -> None:
    """In service as in training; and in config.yml."""
    from parlai.core.agents import create_agent

    from parlai_cu.chat_service.yaml_settings import model_options

    said = {"model": "kb_augmented", "init_model": deployed(GENERATOR), "no_cuda": True}
    said |= {"kb": f"sqlite:///{tmp_path}/facts.db", **given}
    with pytest.raises(UsageError, match=told):
        create_agent(model_options("bot", said))


@pytest.mark.parametrize("spelled", ["--beam-size=7", "--beam_size=7", "--beam-size 7"])
def test_however_a_flag_is_spelled_it_counts(
    deployed: Callable[[str], str], tmp_path: Path, spelled: str
) -> None:
    """ParlAI took ``--flag=value`` for not given, and changed underscores in the value."""
    from parlai.core.agents import create_agent
    from parlai.scripts.interactive import Interactive

    source = Path(deployed(GENERATOR))
    (tmp_path / "my_models").mkdir()
    for each in source.parent.glob("model*"):
        shutil.copyfile(each, tmp_path / "my_models" / each.name)
    path = tmp_path / "my_models" / "model"
    assert json.loads(Path(f"{path}.opt").read_text())["beam_size"] != 7
    words = [*spelled.split(), f"--model-file={path}", "--no-cuda"]
    assert create_agent(Interactive.setup_args().parse_args(words)).opt["beam_size"] == 7


@pytest.mark.parametrize(
    ("command", "words", "told"),
    [
        ("Interactive", "--penalty lwf", "--penalty lwf: nothing reads it where nothing is train"),
        ("SelfChat", "--replay-size 50", "--replay-size 50: nothing reads it where nothing"),
        ("EvalModel", "-t integration_tests --replay-share 0.2", "--replay-share 0.2: nothing"),
    ],
)
def test_of_a_training_where_nothing_is_trained(
    deployed: Callable[[str], str], command: str, words: str, told: str
) -> None:
    """Of a command that talks or judges."""
    from parlai.scripts.eval_model import EvalModel
    from parlai.scripts.interactive import Interactive
    from parlai.scripts.self_chat import SelfChat

    script = {"Interactive": Interactive, "SelfChat": SelfChat, "EvalModel": EvalModel}[command]
    model = ["-m", "frozen_layer", "--init-model", deployed(GENERATOR), "--tune", "*"]
    opt = script.setup_args().parse_args([*model, *words.split()])
    with pytest.raises(UsageError, match=told):
        script(opt).run()


def test_of_somebody_else_s_agent(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """A flag of theirs that is called as one of ours is their matter."""
    from parlai.scripts import interactive

    opt = interactive.setup_args().parse_args(["-m", "repeat_query"])
    opt["override"]["penalty"] = 0.6
    with monkeypatch.context() as patched:
        patched.setattr("builtins.input", lambda prompt: "[EXIT]")
        interactive.interactive(opt)
    assert "if you want to end the episode" in capsys.readouterr().out
