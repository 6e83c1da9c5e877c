"""
``parlai versions``: the versions of a model in service, and which of them is served.

A promotion or a rollback is noticed within a second by every ``-m deployed`` of the channel.
"""

import argparse
import contextlib
import copy
import dataclasses
import functools
import json
import os
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from parlai.core.build_data import modelzoo_path
from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu.errors import UsageError, VersionsError, nearest
from parlai_cu.host.model_pickles import add_flag
from parlai_cu.terminal import plain
from parlai_cu.unread_flags import add_flag_of, refuse_other_actions

if TYPE_CHECKING:
    from parlai_cu.corrections.review import Reviewed
    from parlai_cu.versions.records import Version
    from parlai_cu.versions.store import VersionStore
    from parlai_cu.versions.suite import Suite, SuitePart

ACTIONS = (
    "import",
    "list",
    "show",
    "diff",
    "promote",
    "rollback",
    "prune",
    "verify",
    "export",
    "suite",
    "review",
)
# how many versions an action names
_NAMES = {"show": 1, "diff": 2, "promote": 1, "export": 1}


class _WordsAmongFlags(argparse.Action):
    """
    The words of a command line, whatever flags stand between them.

    argparse ends a list of words at the first flag, and takes it for a mistake if more follow. Its
    ``parse_intermixed_args`` is out of reach: ParlAI parses a command with a parser that it makes
    of the command's flags, by ``parse_known_args``.
    """

    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: Any,
        option_string: str | None = None,
    ) -> None:
        """Read the flags in what is left of the line; what remains are the words."""
        flags = argparse.ArgumentParser(prog=parser.prog, add_help=False)
        # ParlAI's own types of values
        flags._registries = parser._registries
        flags.print_help = parser.print_help  # type: ignore[method-assign]
        flags.error = parser.error  # type: ignore[method-assign]
        for action in parser._actions:
            if action.option_strings:
                # a copy: an action knows its parser, which ParlAI has it taken out of once a flag
                # is defined anew, as by the agent of --model-file
                flags._add_action(copy.copy(action))
        _, words = flags.parse_known_args(values, namespace)
        unknown = [word for word in words if word.startswith("-")]
        if unknown:
            parser.error(f"unrecognized arguments: {' '.join(unknown)}")
        setattr(namespace, self.dest, words)


@register_script("versions")
class VersionsScript(ParlaiScript):
    """One action on one versions directory."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """An action, the versions it is about, and what it needs."""
        parser = ParlaiParser(
            add_parlai_args=False,
            add_model_args=False,
            description="Keep the versions of a model in service: compare, promote, roll back",
        )
        parser.add_parlai_data_path()
        # not required: ParlAI parses every command's flags for `parlai -h`
        parser.add_argument(
            "words",
            nargs=argparse.REMAINDER,
            action=_WordsAmongFlags,
            metavar="ACTION",
            help=f"{', '.join(ACTIONS)}; then the versions that it is about",
        )
        parser.add_argument("--versions", help="the versions directory")
        flag = functools.partial(add_flag_of, parser)
        flag(["import"], "-mf", "--model-file", help="the model; its files are only read")
        add_flag(parser)
        flag(["import"], "--parent", help="the version that it was made from")
        flag(["import"], "--note", default="", help="what it is, in words")
        flag(
            ["promote", "rollback", "show", "suite"],
            "--channel",
            default="live",
            help="the channel that it is served on",
        )
        flag(
            ["promote"],
            "--force",
            action="store_true",
            help="promote a version that the gate did not accept; this is recorded",
        )
        flag(["promote", "rollback"], "--why", default="", help="the reason, for the history")
        flag(
            ["rollback"],
            "--facts",
            action="store_true",
            help="also take the facts back to their state when the version went live; "
            "corrections made since are lost",
        )
        flag(
            ["prune"],
            "--keep",
            type=int,
            default=3,
            help="how many of the newest versions, and of each channel's, to keep",
        )
        flag(["prune"], "--dry-run", action="store_true", help="only say what would go")
        flag(["export"], "-o", "--outfile", help="where the plain model is to be written")
        flag(
            ["review"],
            "--chatlog",
            help="the service's record of feedback (default: the one that config.yml in "
            "this folder names)",
        )
        flag(["review"], "--accept", help="ids of corrections (their beginnings will do), or all")
        flag(["review"], "--reject", help="likewise, to reject them")
        flag(["review"], "--text", help="with --accept ID, the right answer instead")
        flag(
            ["list", "show", "diff", "review", "prune", "verify", "suite"],
            "--json",
            action="store_true",
            help="print JSON",
        )
        return parser

    def run(self) -> Any:
        """
        Do it, and print what came of it.

        :raises UsageError: when the action is unknown, or something it needs is missing
        """
        from parlai.utils.io import PathManager

        from parlai_cu.versions.store import VersionStore

        action, *names = self.opt.get("words") or [""]
        if action not in ACTIONS:
            close = nearest(action, ACTIONS) or ACTIONS
            raise UsageError(
                f"parlai versions {action}: expected one of {', '.join(ACTIONS)}; "
                f"nearest: {', '.join(close)}"
            )
        refuse_other_actions(self, "versions", action)
        if action == "review":
            return self._review(names)
        self._need(action, "versions")
        if action != "suite" and len(names) != _NAMES.get(action, 0):
            raise UsageError(
                f"parlai versions {action} {' '.join(names)}: expected {_NAMES.get(action, 0)} "
                "versions (an id, a beginning of it, or a channel)"
            )
        store = VersionStore(
            self.opt["versions"], create=action == "import", path_manager=PathManager
        )
        steps: dict[str, Callable[..., Any]] = {
            name: getattr(self, f"_{name}") for name in ACTIONS if name != "review"
        }
        return steps[action](store, *names)

    def _review(self, names: Sequence[str]) -> list[str]:
        """Corrections from live chats: those that wait are listed, or decided on."""
        from parlai_cu.corrections import review, service_log

        path, decisions = _what_to_review(names, self.opt)
        path = path or service_log.find(self.opt.get("versions"))
        text = self.opt.get("text")
        if text and [len(ids) for ids in decisions.values()] != [1]:
            raise UsageError("--text is the answer of one correction: --accept ID --text ANSWER")
        decided: list[str] = []
        for decision, ids in decisions.items():
            if text and (decision == review.REJECT or ids == ["all"]):
                raise UsageError("--text is the answer of one accepted correction: --accept ID")
            decided += review.decide(path, ids, decision, text)
        corrections = review.reviewed(path)
        waiting = [one for one in corrections if one.decision == review.PENDING]
        if self.opt["json"]:
            print(json.dumps([_correction(one) for one in waiting], indent=1))
        elif decided:
            print(f"{len(decided)} decided; {len(waiting)} wait in {path}")
        else:
            print(f"{path}: {len(waiting)} wait for a decision\n{review.listed(corrections)}")
        return decided

    def _need(self, action: str, *flags: str) -> None:
        for flag in flags:
            if not self.opt.get(flag):
                raise UsageError(f"parlai versions {action} needs --{flag.replace('_', '-')}")

    def _import(self, store: "VersionStore") -> Any:
        from parlai_cu import reach
        from parlai_cu.agents import base_agent, model_files
        from parlai_cu.versions import beside

        self._need("import", "model_file")
        model_file = modelzoo_path(self.opt.get("datapath"), self.opt["model_file"])
        opt = model_files.read_opt(model_file, "--model-file")
        # said now, not by the service that is to start
        base_agent.base_agent_class(
            opt.get("base_agent") or opt["model"], f"--model-file {model_file}: its agent"
        )
        version = store.add(
            model_file,
            mode="import",
            parent=self.opt.get("parent"),
            note=self.opt["note"],
        )
        print(f"{version.id}: {_size(version)} of {version.agent}, added to {store.path}")
        # an agent may keep anything beside its weights
        beside_it = beside.look(model_file)
        print("  with " + ", ".join(f"MODEL{end}" for end in (".opt", *beside_it.kept)))
        if beside_it.left_out:
            left = [f"MODEL{end} ({what})" for end, what in beside_it.left_out.items()]
            print("  without " + ", ".join(left))
        for named in reach.reached(opt, model_file):
            print(f"  REACHES BEYOND ITS FOLDER: {named}")
        if not store.channels():
            print(
                f"nothing is served yet; to serve it: parlai versions --versions {store.path} "
                f"promote {version.id} --force"
            )
        return version

    def _list(self, store: "VersionStore") -> list[Any]:
        versions: list[Any] = store.list()
        if self.opt["json"]:
            print(json.dumps([_plain(version) for version in versions], indent=1))
            return versions
        served: dict[str, list[str]] = {}
        for channel, head in store.channels().items():
            served.setdefault(head, []).append(channel)
        rows = [
            [
                version.id,
                ",".join(served.get(version.id, [])),
                version.created[:16].replace("T", " "),
                version.mode,
                version.parent or "-",
                _size(version),
                version.decision,
                plain(version.note),
            ]
            for version in versions
        ]
        heading = ["version", "serves", "created (UTC)", "mode", "parent", "size", "gate", "note"]
        print(table(heading, rows) if rows else f"{store.path} has no versions yet")
        return versions

    def _show(self, store: "VersionStore", name: str) -> Any:
        version = store.get(name)
        if self.opt["json"]:
            print(json.dumps(_plain(version), indent=1))
            return version
        for field, value in _plain(version).items():
            if field not in ("files", "verdict", "packages"):
                print(f"{field:<12} {'-' if value is None else plain(value)}")
        self._show_facts(store, version)
        packages = ", ".join(f"{name} {number}" for name, number in version.packages.items())
        print(f"{'packages':<12} {packages}\n{'verdict':<12} {version.decision}")
        for reason in version.verdict.reasons if version.verdict else ():
            print(f"{'':<12} {reason}")
        rows = [
            [file_name, f"{file.size:,d}", file.at or "", file.sha256]
            for file_name, file in version.files.items()
        ]
        print(table(["file", "bytes", "kept with", "SHA-256"], rows))
        changes = [
            [
                change.time,
                channel,
                change.action,
                plain(change.who),
                "forced" if change.forced else "",
                plain(change.why),
            ]
            for channel in store.channels()
            for change in store.history(channel)
            if change.id == version.id
        ]
        if changes:
            print(table(["time", "channel", "", "who", "", "why"], changes))
        return version

    def _show_facts(self, store: "VersionStore", version: "Version") -> None:
        from parlai_cu.versions import facts

        if version.pruned:
            return
        count = facts.differing(store, version.id, self.opt["channel"])
        if count is not None:
            since = f"{count:,d} are not as they were with this version" if count else "as then"
            print(f"{'facts':<12} {since}")

    def _diff(self, store: "VersionStore", one: str, other: str) -> Any:
        diff = store.diff(one, other)
        if self.opt["json"]:
            print(json.dumps(dataclasses.asdict(diff), indent=1))
            return diff
        changed = diff.changed
        print(f"{diff.one} -> {diff.other}: {len(changed)} of {len(diff.blocks)} blocks moved")
        rows = [
            [
                block.block,
                f"{block.changed + block.added + block.removed} of {block.tensors}",
                f"{block.elements:,d} of {block.numel:,d}",
                "other shape" if block.moved is None else f"{block.moved:.3%}",
                "-" if block.largest is None else f"{block.largest:.2e}",
            ]
            for block in changed
        ]
        if rows:
            print(table(["block", "tensors", "numbers", "moved", "largest"], rows))
        for option, (before, after) in diff.settings.items():
            if before is not None and after is not None:
                print(f"setting {option}: {before} -> {after}")
        for name, side in ((diff.other, 0), (diff.one, 1)):
            only = [option for option, values in diff.settings.items() if values[side] is None]
            if only:
                print(f"settings only of {name}: {', '.join(only)}")
        for file_name in diff.files:
            print(f"file {file_name} differs")
        return diff

    def _promote(self, store: "VersionStore", name: str) -> Any:
        from parlai_cu.versions import facts

        channel = self.opt["channel"]
        before = store.channel(channel)
        change = store.promote(
            name,
            channel,
            force=self.opt["force"],
            why=self.opt["why"],
            kb_snapshot=facts.snapshot_now(store, name),
        )
        print(f"{channel}: {before or 'nothing'} -> {change.id}{' (forced)' * change.forced}")
        return change

    def _rollback(self, store: "VersionStore") -> Any:
        from parlai_cu.versions import channels, facts

        channel = self.opt["channel"]
        before = store.channel(channel)
        back = channels.before(store.history(channel))
        facts_back = ""
        taken: contextlib.AbstractContextManager[int] = contextlib.nullcontext(0)
        if self.opt["facts"] and back is not None:
            taken = facts.taken_back(store, back, channel)
        with taken as count:
            # the facts go back only if the channel does
            change = store.rollback(channel, to=back, expected=before, why=self.opt["why"])
        if self.opt["facts"]:
            facts_back = f"; {count:,d} facts are as they were with it"
        print(f"{channel}: {before} -> {change.id} (rolled back){facts_back}")
        return change

    def _prune(self, store: "VersionStore") -> list[Any]:
        gone: list[Any] = store.prune(keep=self.opt["keep"], dry_run=self.opt["dry_run"])
        freed = sum(version.stored_bytes for version in gone)
        if self.opt["json"]:
            print(json.dumps([_plain(version) for version in gone], indent=1))
            return gone
        would = "would remove" if self.opt["dry_run"] else "removed"
        print(f"{would} the files of {len(gone)} versions ({_bytes(freed)})")
        for version in gone:
            print(f"  {version.id}")
        return gone

    def _suite(self, store: "VersionStore", *words: str) -> Any:
        """What must not be lost: listed, parts of it dropped, its size set."""
        from parlai_cu.versions.suite import Suite

        suite, live = Suite(store), store.channel(self.opt["channel"])
        match words:
            case () if live is not None:
                return self._suite_listed(suite, suite.parts(live))
            case ("drop", _, *_) if live is not None:
                for part in (gone := suite.drop(live, words[1:])):
                    print(f"dropped {part.name}: {part.examples:,d} examples")
                return gone
            case ("size", number) if number.isdigit():
                suite.resize(int(number))
                print(f"the suite has at most {suite.size:,d} examples of each split")
                return None
        if live is None and words[:1] in ((), ("drop",)):
            raise UsageError(f"parlai versions suite: the channel {self.opt['channel']} is empty")
        raise UsageError(
            f"parlai versions suite {' '.join(words)}: expected nothing more, drop PART [PART], "
            "or size EXAMPLES"
        )

    def _suite_listed(self, suite: "Suite", parts: "Sequence[SuitePart]") -> Any:
        if self.opt["json"]:
            print(json.dumps([dataclasses.asdict(part) for part in parts], indent=1))
            return parts
        rows = [
            [
                part.content[:8],
                part.name,
                *(f"{part.counts.get(split, 0):,d}" for split in ("train", "valid", "test")),
                part.since[:10],
            ]
            for part in parts
        ]
        heading = ["part", "from", "replayed", "validate", "judge", "since"]
        print(table(heading, rows) if rows else "the suite is empty yet")
        print(f"at most {suite.size:,d} examples of each split are used")
        return parts

    def _verify(self, store: "VersionStore") -> None:
        from parlai_cu.versions.suite import Suite

        problems = [*store.verify(), *Suite(store).problems()]
        if self.opt["json"]:
            print(json.dumps(problems, indent=1))
        else:
            print("".join(f"{problem}\n" for problem in problems), end="")
        if problems:
            raise VersionsError(f"--versions {store.path}: {len(problems)} problems, see above")
        if not self.opt["json"]:
            print(f"{len(store.list())} versions, every file has its hash")

    def _export(self, store: "VersionStore", name: str) -> None:
        from parlai_cu.agents.model_files import read_opt
        from parlai_cu.scripts.export_model import export_model

        self._need("export", "outfile")
        version, target = store.get(name), self.opt["outfile"]
        source = store.model_file(version.id)
        if read_opt(source, "--versions").get("base_agent"):
            export_model(source, target)
        else:
            store.export(version.id, target)
        print(f"wrote {target}; any ParlAI loads it with -mf {target}")


def _what_to_review(
    names: Sequence[str], opt: Mapping[str, Any]
) -> tuple[str | None, dict[str, list[str]]]:
    """The chat log, if one is named, and the ids by decision."""
    from parlai_cu.corrections import review

    path = opt.get("chatlog")
    decisions = {
        decision: [name for name in str(opt[decision]).split(",") if name]
        for decision in (review.ACCEPT, review.REJECT)
        if opt.get(decision)
    }
    words = list(names)
    if words and path is None and os.path.exists(words[0]):
        path = words.pop(0)
    if words and words[0] in (review.ACCEPT, review.REJECT):
        decisions.setdefault(words.pop(0), [])
    if words and len(decisions) != 1:
        raise UsageError(
            f"parlai versions review {' '.join(words)}: there is no such file; expected "
            "[CHATLOG] [--accept | --reject ID ...]"
        )
    for ids in decisions.values():
        ids += [name for word in words for name in word.split(",") if name]
        if not ids:
            raise UsageError("parlai versions review: expected ids of corrections, or all")
    return path, decisions


def _correction(one: "Reviewed") -> dict[str, Any]:
    return {**dataclasses.asdict(one.judgement), "decision": one.decision}


def table(heading: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """
    Columns under their headings, numbers to the right.

    :param heading: a word for each column
    :param rows: of texts, as many as there are columns
    """
    lines = [list(heading), *(list(map(str, row)) for row in rows)]
    columns = list(zip(*lines))
    widths = [max(map(len, column)) for column in columns]
    right = [all(set(cell) <= set("0123456789,.%e-") for cell in column[1:]) for column in columns]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if is_number else cell.ljust(width)
            for cell, width, is_number in zip(line, widths, right)
        ).rstrip()
        for line in lines
    )


def _plain(version: "Version") -> dict[str, Any]:
    from parlai_cu.versions.records import to_json

    return to_json(version)


def _size(version: "Version") -> str:
    kind = " delta" if version.delta_of else ""
    return f"{_bytes(version.stored_bytes)}{kind}"


def _bytes(count: float | None) -> str:
    count = float(count or 0)
    for unit in ("B", "kB", "MB"):
        if count < 1000:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= 1000
    return f"{count:.1f} GB"
