"""
``parlai data``: files of conversations read critically, before anything is learnt from them.

::

    parlai data corrections.xlsx chats/ --against held_out.jsonl --fix clean.jsonl

Says what was read and what was left out, and finds what spoils an update: duplicates, one question
with two answers, held-out data, swapped speakers, broken encodings, replies that say nothing,
personal data. Nothing is changed; ``--fix`` writes a clean file.
"""

import json
import os
from collections.abc import Mapping
from typing import Any

import parlai.utils.logging as logging
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu import files, plugin
from parlai_cu.errors import ParlaiCuError, UsageError, near_file, nearest
from parlai_cu.parlai_types import Opt
from parlai_cu.tasks.file.flags import add_flags, options_of
from parlai_cu.unread_flags import Dependent, is_set, refuse_unread

# flags that count with others only
_DEPENDENT = (
    Dependent(("channel",), is_set("versions"), "without --versions DIR"),
    Dependent(("model_file",), lambda opt: not opt.get("versions"), "with --versions"),
    Dependent(("kb",), lambda opt: _runs(opt, "contradictions"), "by these --checks"),
    Dependent(("against",), lambda opt: _runs(opt, "contradictions", "leaks"), "by these --checks"),
)


@register_script("data")
class InspectData(ParlaiScript):
    """The command line of :mod:`parlai_cu.update.inspection`."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """Which data, what it is compared with, and where the report goes."""
        parser = ParlaiParser(
            add_parlai_args=False,
            add_model_args=False,
            description="Look critically at files of conversations",
        )
        parser.add_parlai_data_path()
        # not required: ParlAI parses every command's flags for `parlai -h`
        parser.add_argument("files", nargs="*", help="files or folders of any format")
        group = parser.add_argument_group("Data Arguments")
        group.add_argument(
            "--against",
            help="held-out or retained data: files, folders or tasks (their test data), several, "
            "comma-separated",
        )
        group.add_argument(
            "--kb", help="a knowledge base whose answers are true: sqlite:///facts.db"
        )
        group.add_argument(
            "--versions",
            help="versions directory: adds what its live model does not know, truncates or"
            " finds unlikely, and what earlier updates taught",
        )
        group.add_argument("--channel", default="live", help="which channel of --versions")
        group.add_argument("--model-file", help="a model file, in place of --versions")
        group.add_argument(
            "--checks", help=f"only these, comma-separated: {', '.join(plugin.DATA_CHECKS)}"
        )
        group.add_argument("--fix", help="write a clean file there (JSON Lines)")
        group.add_argument("--html", help="write the report there as a page")
        group.add_argument("--json", help="write the report there as JSON")
        add_flags(parser)
        return parser

    def run(self) -> dict[str, Any]:
        """
        Inspect, and say what was found.
        :raises UsageError: when a flag is missing or wrong
        """
        opt = self.opt
        if not opt["files"]:
            raise UsageError("parlai data needs a FILE: parlai data corrections.csv")
        refuse_unread(opt, _DEPENDENT)
        checks = _checks(opt.get("checks"))
        _check_places(opt)
        from parlai_cu.data.reading import read_path
        from parlai_cu.update.inspection import inspection as inspecting
        from parlai_cu.update.inspection import report
        from parlai_cu.update.inspection.base import InspectedData, of_file

        read = [one for path in opt["files"] for one in read_path(path, options_of(opt))]
        summary = [line for one in read for line in one.summary()]
        print("\n".join(summary) + "\n")
        conversations = [one for held in read for one in of_file(held)]
        data = InspectedData(conversations, _against(opt), _answers(opt, conversations))
        model = _model(opt)
        logging.disable()  # the report is what is asked for
        try:
            inspection = inspecting.inspect(data, checks, model)
        finally:
            logging.enable()
        print("\n".join(report.lines(inspection)))
        about = {"files": summary, **inspection.as_json()}
        if opt.get("fix"):
            repaired = inspecting.repair(inspection)
            written = inspecting.write_repaired(repaired, opt["fix"])
            print("\n" + "\n".join(report.repaired_lines(repaired, written)))
            about["fixed"] = {"files": written, "changed": dict(repaired.done)}
        if opt.get("html"):
            files.write_text(opt["html"], report.html(inspection, ", ".join(opt["files"]), summary))
        if opt.get("json"):
            files.write_text(opt["json"], json.dumps(about, ensure_ascii=False, indent=1) + "\n")
        return about


def _runs(opt: Mapping[str, Any], *checks: str) -> bool:
    return not opt.get("checks") or not set(checks).isdisjoint(_checks(opt["checks"]) or ())


def _checks(said: str | None) -> list[str] | None:
    if said is None:
        return None
    names = [name.strip() for name in said.split(",") if name.strip()]
    for name in names:
        if name not in plugin.DATA_CHECKS:
            close = nearest(name, plugin.DATA_CHECKS) or list(plugin.DATA_CHECKS)
            raise UsageError(f"--checks {name}: expected one of {', '.join(close)}")
    return names


def _check_places(opt: Mapping[str, Any]) -> None:
    given = [os.path.abspath(path) for path in opt["files"]]
    for flag in ("fix", "html", "json"):
        path = opt.get(flag)
        if path and os.path.abspath(path) in given:
            raise UsageError(f"--{flag} {path}: expected another file than the one that is read")
        if path and not os.path.isdir(os.path.dirname(os.path.abspath(path))):
            raise UsageError(f"--{flag} {path}: there is no folder {os.path.dirname(path)}")


def _against(opt: Mapping[str, Any]) -> dict[str, Any]:
    from parlai_cu.data.names import quoted

    names = filter(None, quoted(opt.get("against") or "").split(","))
    return {name: _conversations(opt, name, "test") for name in names}


def _conversations(opt: Mapping[str, Any], name: str, split: str) -> Any:
    """What a file holds, or a split of a task."""
    from parlai_cu.data.names import path_of
    from parlai_cu.data.reading import read_path
    from parlai_cu.update.inspection.base import of_examples, of_file

    path = path_of(name)
    if path:
        return [one for held in read_path(path) for one in of_file(held)]
    from parlai_cu.update.steps import data as task_data

    episodes = task_data.read(opt, name, split)
    return of_examples(f"{split.split(':')[0]} data of {name}", task_data.examples(episodes))


def _answers(opt: Mapping[str, Any], conversations: Any) -> dict[str, Any]:
    """What is true already: of a knowledge base, and of updates that were accepted before."""
    from parlai_cu.update.inspection import answers

    answers_by_source = {}
    if opt.get("kb"):
        answers_by_source["knowledge base"] = answers.of_knowledge(opt["kb"], conversations)
    if opt.get("versions"):
        for update, task in answers.of_versions(opt["versions"], opt["files"]).items():
            try:
                answers_by_source[update] = _conversations(opt, task, "train:evalmode")
            except (ParlaiCuError, ImportError, OSError) as error:
                print(f"{update}: not compared with, as its data cannot be read ({error})")
    return answers_by_source


def _model(opt: Opt) -> Any:
    path = opt.get("model_file")
    if opt.get("versions"):
        from parlai_cu.versions.store import VersionStore

        store = VersionStore(opt["versions"])
        live = store.channel(opt["channel"])
        if live is None:
            raise UsageError(f"--versions {opt['versions']}: {opt['channel']} serves nothing yet")
        path = store.model_file(live)
    if not path:
        return None
    from parlai.core.build_data import modelzoo_path

    from parlai_cu.update.steps.data_model import LiveModelView

    path = modelzoo_path(opt.get("datapath"), path)
    if not os.path.isfile(path):
        raise UsageError(f"--model-file {path}: there is no such model{near_file(path)}")
    return LiveModelView(opt, path)
