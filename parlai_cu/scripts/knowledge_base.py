"""
``parlai knowledge_base``: look at the facts of a knowledge base, and change them while it serves.

A change is in force with the next turn of every conversation, in whatever process it is held.
"""

import dataclasses
import functools
import json
import os
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from parlai.core.params import ParlaiParser
from parlai.core.script import ParlaiScript, register_script

from parlai_cu.errors import KnowledgeError, UsageError, nearest
from parlai_cu.terminal import plain
from parlai_cu.types import Fact, Turn
from parlai_cu.unread_flags import add_flag_of, refuse_other_actions

if TYPE_CHECKING:
    from parlai_cu.knowledge.backends.base import KnowledgeBase
    from parlai_cu.knowledge.backends.stored import StoredFacts

_FACT_FLAGS = ("text", "entity", "question", "valid_from", "valid_until")
# a new knowledge base of no more facts gets vectors by its import
_ENCODED_BY_ITSELF = 20_000
WRITES = ("import", "add", "update", "remove", "undo", "encode")
# of import --file
_OF_FILES = ("file", "dry_run", "replace_source", "entity_column")
_WRITTEN = ("add", "update")
ACTIONS = (*WRITES, "get", "search", "stats", "history", "verify")


@register_script("knowledge_base")
class KnowledgeBaseScript(ParlaiScript):
    """One action on one knowledge base."""

    @classmethod
    def setup_args(cls) -> ParlaiParser:
        """An action, and what it needs."""
        parser = ParlaiParser(
            add_parlai_args=False,
            add_model_args=False,
            description="Look at the facts of a knowledge base, or change them while it serves",
        )
        # not required: ParlAI parses every command's flags for `parlai -h`
        parser.add_argument("action", nargs="?", help=", ".join(ACTIONS))
        parser.add_argument("--kb", help="the knowledge base, e.g. sqlite:///facts.db")
        flag = functools.partial(add_flag_of, parser)
        flag(
            ["import"],
            "--file",
            help="a table (csv, xlsx, ods, parquet), records (json, yaml) or document (md, html, "
            "txt, docx, pdf)",
        )
        flag(
            ["import"],
            "--entity-column",
            help="the column that names what a row is about, if it is not recognised",
        )
        flag(
            ["import"],
            "--replace-source",
            action="store_true",
            help="with --file: also remove the facts that earlier versions of the file had"
            " and this one lacks",
        )
        flag(
            ["import"],
            "--dry-run",
            action="store_true",
            help="with --file: print what would be imported, and write nothing",
        )
        flag(
            ["import"],
            "--from-url",
            help="a database with tables, e.g. sql+sqlite:///hotels.db, instead of --file",
        )
        flag(
            ["import"],
            "--table",
            help="with --from-url: the tables to import, comma-separated (default: all)",
        )
        flag(["add", "update", "remove", "get"], "--id", help="the fact's id, or how it begins")
        flag(
            ["add", "update", "search"],
            "--text",
            help="the fact in words; for search, what somebody might ask",
        )
        flag(_WRITTEN, "--entity", help="what it is about")
        flag(_WRITTEN, "--question", help="the question that the text answers")
        flag(_WRITTEN, "--valid-from", help="date or time from which the fact holds")
        flag(_WRITTEN, "--valid-until", help="date or time until which the fact holds")
        flag(["search"], "--kb-synonyms", help="as for -m kb_augmented")
        flag(
            ["encode", "import"],
            "--kb-encoder",
            help="what makes vectors of the facts: minilm (English, in a wheel; import takes it by "
            "itself), or a folder or a name of sentence-transformers; none: no vectors any more",
        )
        flag(["search", "history"], "--top-k", type=int, default=5, help="how many to show")
        flag(
            ["get", "search", "stats", "history", "verify"],
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
        action = self.opt.get("action")
        if action not in ACTIONS:
            close = nearest(action or "", ACTIONS) or ACTIONS
            raise UsageError(
                f"parlai knowledge_base {action or ''}: expected one of {', '.join(ACTIONS)}; "
                f"nearest: {', '.join(close)}"
            )
        refuse_other_actions(self, "knowledge_base", action)
        if action == "import":
            other = "from_url" if self.opt.get("from_url") else "file"
            for flag in _OF_FILES if other == "from_url" else ("table",):
                if self.opt.get(flag):
                    raise UsageError(
                        f"--{flag.replace('_', '-')} is of import "
                        f"{'--from-url' if other == 'file' else '--file'}, not of "
                        f"--{other.replace('_', '-')}"
                    )
        if action == "import" and self.opt["dry_run"]:
            return sum(len(plan.facts) for plan in self._plans())
        self._need(action, "kb")
        from parlai_cu.knowledge.factory import open_knowledge_base

        base = open_knowledge_base(self.opt["kb"], writable=action in WRITES)
        try:
            steps: dict[str, Callable[[Any], Any]] = {
                name: getattr(self, f"_{name}") for name in ACTIONS
            }
            return steps[action](base)
        finally:
            base.close()

    def _need(self, action: str, *names: str) -> None:
        for name in names:
            if not self.opt.get(name):
                raise UsageError(f"parlai knowledge_base {action} needs --{name.replace('_', '-')}")

    def _import(self, base: "StoredFacts") -> int:
        if not self.opt.get("from_url"):
            return self._import_file(base)
        from parlai_cu.knowledge.reading_tables import read_tables

        tables = (self.opt.get("table") or "").split(",")
        return self._add_all(
            base, read_tables(self.opt["from_url"], [name for name in tables if name])
        )

    def _add_all(self, base: "StoredFacts", facts: Iterable[Fact]) -> int:
        count = len(base.add(_counted(facts)))
        print(f"imported {count:,d} facts into {base.name}, snapshot {base.snapshot_id()}")
        return count

    def _import_file(self, base: "StoredFacts") -> int:
        plans = self._plans()
        facts = [fact for plan in plans for fact in plan.facts]
        if not hasattr(base, "bring_up_to_date"):  # of the user's own, or read only
            if self.opt["replace_source"]:
                raise UsageError(f"--replace-source: {base.name} knows of no file that it is from")
            return self._add_all(base, facts)
        counts = base.bring_up_to_date(
            os.path.basename(self.opt["file"]), _counted(facts), self.opt["replace_source"]
        )
        shown = ", ".join(f"{n:,d} {what}" for what, n in counts.items() if n and what != "gone")
        print(
            f"imported {len(facts):,d} facts into {base.name} ({shown}), "
            f"snapshot {base.snapshot_id()}"
        )
        self._encode_new(base, counts)
        if counts["gone"]:
            print(
                f"not in the file any more, and left: {counts['gone']:,d}; "
                "--replace-source removes them"
            )
        return len(facts)

    def _encode_new(self, base: Any, counts: dict[str, int]) -> None:
        """Vectors for new facts: by ``--kb-encoder``, or by the encoder that is installed."""
        from parlai_cu.knowledge.encoders import BUILT_IN, has_built_in

        stats, given = base.stats(), self.opt.get("kb_encoder")
        if given == "none" or (not given and (stats.get("encoder") or not has_built_in())):
            return
        if not given and (counts["added"] < stats["facts"] or stats["facts"] > _ENCODED_BY_ITSELF):
            print(
                "the facts are found by their words; by what they mean as well: "
                f"parlai knowledge_base encode --kb {base.name} --kb-encoder {BUILT_IN}"
            )
            return
        self.opt["kb_encoder"] = given or BUILT_IN
        self._encode(base)

    def _plans(self) -> list[Any]:
        """What is understood of ``--file``, which is printed."""
        from parlai_cu.knowledge.importing.files import read_source

        self._need("import", "file")
        plans = read_source(self.opt["file"], self.opt.get("entity_column"))
        for plan in plans:
            print(plan.preview())
            if plan.columns and not any(column.role for column in plan.columns):
                print("  no column says what a row is about; name it by --entity-column")
        return plans

    def _add(self, base: "StoredFacts") -> str:
        self._need("add", "text")
        (fact_id,) = base.add([self._fact(Fact(text="", id=self.opt.get("id")))])
        print(f"added {fact_id}, snapshot {base.snapshot_id()}")
        return str(fact_id)

    def _update(self, base: "StoredFacts") -> None:
        self._need("update", "id")
        name = _whole_id(base, self.opt["id"])
        before = base.fact(name)
        base.update(self._fact(before or Fact(text="", id=name)))
        print(f"updated {name}, snapshot {base.snapshot_id()}")

    def _remove(self, base: "StoredFacts") -> None:
        self._need("remove", "id")
        ids = [_whole_id(base, name) for name in self.opt["id"].split(",")]
        base.remove(ids)
        print(f"removed {', '.join(ids)}, snapshot {base.snapshot_id()}")

    def _get(self, base: "StoredFacts") -> Any:
        self._need("get", "id")
        fact = base.get(_whole_id(base, self.opt["id"]))
        if fact is None:
            raise UsageError(f"--id {self.opt['id']}: {base.name} has no such fact")
        self._show([fact])
        return fact

    def _search(self, base: "StoredFacts") -> list[Any]:
        from parlai_cu.knowledge.synonyms import InOtherWords, read_synonyms

        self._need("search", "text")
        asked: KnowledgeBase = base
        if self.opt.get("kb_synonyms"):
            asked = InOtherWords(base, read_synonyms(self.opt["kb_synonyms"]))
        evidence = asked.query(Turn(self.opt["text"]), self.opt["top_k"])
        self._show(evidence)
        return list(evidence)

    def _stats(self, base: "StoredFacts") -> dict[str, Any]:
        stats: dict[str, Any] = base.stats()
        if self.opt["json"]:
            print(json.dumps(stats, indent=1, default=str))
            return stats
        for name, value in stats.items():
            print(f"{name:<10} {value:,d}" if isinstance(value, int) else f"{name:<10} {value}")
        return stats

    def _verify(self, base: "StoredFacts") -> list[str]:
        from parlai_cu.knowledge.backends.stored import StoredFacts

        if not isinstance(base, StoredFacts):
            raise UsageError(f"--kb {base.name}: only databases of our own can be verified")
        damage: list[str] = base.verify()
        if self.opt["json"]:
            print(json.dumps(damage, indent=1))
        else:
            print("".join(f"{line}\n" for line in damage), end="")
        if damage:
            raise KnowledgeError(
                f"{base.name} is damaged: bring back a copy, or import its facts into a new one"
            )
        if not self.opt["json"]:
            print(f"{base.name} holds what was written")
        return damage

    def _history(self, base: "StoredFacts") -> list[dict[str, Any]]:
        changes: list[dict[str, Any]] = base.history(self.opt["top_k"])
        if self.opt["json"]:
            print(json.dumps(changes, indent=1, default=str))
            return changes
        for change in changes:
            print("{batch:>6} {at} {who:<10} {action:<7} {id}".format(**change))
        return changes

    def _undo(self, base: "StoredFacts") -> int:
        count: int = base.undo()
        print(f"took back {count:,d} changes, snapshot {base.snapshot_id()}")
        return count

    def _encode(self, base: "StoredFacts") -> int:
        from tqdm import tqdm

        self._need("encode", "kb_encoder")
        name = self.opt["kb_encoder"]
        if os.path.isdir(name):
            # other processes have other working directories
            name = os.path.abspath(name)
        count = 0
        with tqdm(unit=" facts", delay=2.0) as shown:
            for more in base.encode("" if name == "none" else name):
                shown.update(more)
                count += more
        print(f"encoded {count:,d} facts of {base.name} by {name}")
        return count

    def _show(self, shown: list[Any]) -> None:
        if self.opt["json"]:
            held = [dataclasses.asdict(evidence) for evidence in shown]
            print(json.dumps(held, indent=1, default=str))
            return
        for evidence in shown:
            print(f"{evidence.score:.3f}  {plain(evidence.id)}  {plain(evidence.text)}")
        if not shown:
            print("nothing found")

    def _fact(self, before: Fact) -> Fact:
        given = {name: self.opt[name] for name in _FACT_FLAGS if self.opt.get(name) is not None}
        return dataclasses.replace(before, **given)


def _whole_id(base: Any, name: str) -> str:
    """The id that is meant: as it stands, or the only one that begins so."""
    from parlai_cu.knowledge.backends.stored import StoredFacts

    if not isinstance(base, StoredFacts) or not name or base.fact(name) is not None:
        return name
    ids = base.ids_that_begin(name)
    if len(ids) > 1:
        raise UsageError(f"--id {name}: several facts begin so: {', '.join(ids)}")
    return ids[0] if ids else name


def _counted(facts: Iterable[Fact]) -> Iterable[Fact]:
    """The same, with a line of progress where there are many."""
    from tqdm import tqdm

    return tqdm(facts, unit=" facts", delay=2.0)
