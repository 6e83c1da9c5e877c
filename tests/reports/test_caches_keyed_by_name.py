"""What is kept to be made once only is keyed by what it was made of, not by its name."""

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy
import pytest
import torch
from parlai.core.agents import create_agent_from_model_file
from parlai.core.opt import Opt

from parlai_cu.errors import DataError, UsageError
from parlai_cu.versions.store import VersionStore
from tests.agents.served import GENERATOR
from tests.conftest import TINY_TRANSFORMER, write_dialogues


@pytest.fixture
def ranker(deployed: Callable[[str], str], tmp_path: Path) -> str:
    """A copy of a tiny ranker."""
    source = Path(deployed("transformer/biencoder"))
    for each in source.parent.glob("model*"):
        shutil.copyfile(each, tmp_path / each.name)
    return str(tmp_path / "model")


def encoded(model_file: str, candidates: Path, **more: Any) -> Any:
    """The agent, as ``interactive --fixed-candidates-path`` makes it."""
    options = {"interactive_mode": True, "no_cuda": True, "fixed_candidates_path": str(candidates)}
    return create_agent_from_model_file(model_file, {**options, **more})


def reversal(file: Path) -> None:
    """Other lines, as long as those before, at the same time."""
    stat = file.stat()
    file.write_text("\n".join(reversed(file.read_text().split("\n"))))
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def test_a_rankers_candidates(ranker: str, tmp_path: Path) -> None:
    """The file is edited: its lines are encoded anew, those that are as before are not."""
    lines = tmp_path / "lines.txt"
    lines.write_text("1 2 3\n4 5 6")
    before = encoded(ranker, lines)
    kept = (tmp_path / "model.lines.encs").stat().st_mtime_ns
    assert torch.equal(encoded(ranker, lines).fixed_candidate_encs, before.fixed_candidate_encs)
    assert (tmp_path / "model.lines.encs").stat().st_mtime_ns == kept
    reversal(lines)
    after = encoded(ranker, lines)
    assert torch.equal(after.fixed_candidate_encs, before.fixed_candidate_encs.flip(0))


def test_a_rankers_candidates_by_other_weights(ranker: str, tmp_path: Path) -> None:
    """The same lines, the model behind the same name trained further."""
    lines = tmp_path / "lines.txt"
    lines.write_text("1 2 3\n4 5 6")
    before = encoded(ranker, lines).fixed_candidate_encs
    states = torch.load(ranker, weights_only=True)
    for weights in states["model"].values():
        weights += 0.1 if weights.is_floating_point() else 0
    torch.save(states, ranker)
    assert not torch.allclose(encoded(ranker, lines).fixed_candidate_encs, before)


def test_a_rankers_candidates_while_it_learns(
    train: Callable[..., Any], tmp_path: Path, data: Path
) -> None:
    """Each validation compares with what the weights of then make of them."""
    lines = tmp_path / "lines.txt"
    lines.write_text("there hello\nyou are how")
    path = str(tmp_path / "trained" / "model")
    given = dict(candidates="batch", eval_candidates="fixed", ignore_bad_candidates=True)
    train(
        model="transformer/biencoder",
        model_file=path,
        fixed_candidates_path=str(lines),
        validation_every_n_steps=2,
        **given,
        **TINY_TRANSFORMER,
    )
    agent = encoded(path, lines)
    fresh = agent._make_candidate_encs(agent.fixed_candidate_vecs)
    assert torch.allclose(agent.fixed_candidate_encs, fresh)


@pytest.mark.parametrize(
    "flags, told",
    [
        ({"fixed_candidates_path": "gone.txt"}, "--fixed-candidates-path gone.txt.*no such file"),
        ({"fixed_candidate_vecs": "gone.vecs"}, "--fixed-candidate-vecs gone.vecs.*no such file"),
    ],
)
def test_files_of_candidates_that_are_missing(
    ranker: str, tmp_path: Path, flags: dict[str, str], told: str
) -> None:
    """They are named, with the flag."""
    lines = tmp_path / "lines.txt"
    lines.write_text("1 2 3\n4 5 6")
    with pytest.raises((DataError, UsageError), match=told):
        encoded(ranker, lines, **flags)


@pytest.mark.parametrize("delta", [False, True])
def test_a_checked_out_version(
    deployed: Callable[[str], str], tmp_path: Path, delta: bool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another content of the same size and time is not "checked by hash"."""
    from parlai_cu.versions import checkout

    store = VersionStore(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))
    version = store.add(deployed(GENERATOR), mode="import").id
    if delta:
        version = store.add(deployed(GENERATOR), mode="tune", parent=version, delta=True).id
    for name in ("model.opt", "model.dict", *(["model"] if delta else [])):
        file = Path(store.model_file(version)).parent / name
        stat, content = file.stat(), file.read_bytes()
        file.write_bytes(content[:-1] + bytes([content[-1] ^ 1]))
        os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        again = Path(store.model_file(version)).parent / name
        assert again.read_bytes() == content
    # what was read and not written since is not read again
    monkeypatch.setattr(checkout, "file_hash", None)
    store.model_file(version)


def test_the_length_of_a_stream(data: Path, tmp_path: Path) -> None:
    """Lines that are added count."""
    from parlai.core.params import ParlaiParser
    from parlai.core.teachers import create_task_agent_from_taskname

    file = write_dialogues(tmp_path / "stream.jsonl", ["hello there"], copies=2)

    def length() -> int:
        given = ParlaiParser(True, False).parse_kwargs(
            task=f"jsonfile:jsonfile_datapath={file}", datatype="train:stream", datapath=str(data)
        )
        (teacher,) = create_task_agent_from_taskname(given)
        return int(teacher.num_examples())

    before = length()
    assert length() == before
    write_dialogues(file, ["hello there"], copies=6)
    assert length() == 3 * before


class Sums:
    """An encoder; ``sign`` is what its folder holds."""

    def __init__(self, name: str, sign: float) -> None:
        self.name, self.sign = name, sign

    def encode(self, texts: Any) -> Any:
        """A direction by the length of the text."""
        angles = numpy.asarray([self.sign * len(text) / 50 for text in texts])
        return numpy.stack([numpy.cos(angles), numpy.sin(angles)], 1).astype(numpy.float32)


def test_vectors_of_facts(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """Another encoder behind the same name: its vectors are not compared with those of the old."""
    from parlai_cu.knowledge.backends import stored
    from parlai_cu.knowledge.factory import open_knowledge_base
    from parlai_cu.types import Fact, Turn

    sign = [1.0]
    monkeypatch.setattr(stored, "load_encoder", lambda name: Sums(name, sign[0]))
    uri = f"sqlite:///{tmp_path}/facts.db"
    base = open_knowledge_base(uri, writable=True)
    base.add([Fact("Parking is free.", id="parking")])
    assert sum(base.encode("mine")) == 1
    base.query(Turn("parking"))
    assert not caplog.records
    base.close()
    sign[0] = -1.0
    base = open_knowledge_base(uri, writable=True)
    assert [found.id for found in base.query(Turn("parking"))] == ["parking"]
    assert "mine is another one than made the vectors" in caplog.text
    assert sum(base.encode("mine")) == 1  # anew
    base.close()


def test_a_teacher_that_was_replaced(
    deployed: Callable[[str], str], tmp_path: Path, data: Path
) -> None:
    """One process, two runs, other weights of equal size and time behind one name."""
    from parlai_cu.agents.teacher import Teacher

    source = Path(deployed(GENERATOR))
    for each in source.parent.glob("model*"):
        shutil.copyfile(each, tmp_path / each.name)
    path = tmp_path / "model"
    opt = Opt(no_cuda=True, datapath=str(data))
    first = Teacher(str(path), opt).agent
    stat = path.stat()
    states = torch.load(path, weights_only=True)
    for weights in states["model"].values():
        weights += 1
    torch.save(states, path)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    second = Teacher(str(path), opt).agent
    one, other = (next(iter(agent.model.parameters())) for agent in (first, second))
    assert not torch.equal(one, other)
    assert json.loads(Path(f"{path}.opt").read_text())["model"] == GENERATOR


def test_a_graph_in_a_file(tmp_path: Path) -> None:
    """Other facts of the same size, with the time set back."""
    from parlai_cu.knowledge.factory import open_knowledge_base
    from parlai_cu.types import Turn

    file = tmp_path / "facts.nt"

    def say(price: str) -> None:
        name = "<http://www.w3.org/2000/01/rdf-schema#label>"
        file.write_text(
            f'<http://x/pool> {name} "Pool" .\n<http://x/pool> <http://x/price> "{price}" .\n'
        )

    say("one pound")
    base = open_knowledge_base(f"graph:{file}")
    assert "one pound" in base.query(Turn("price of the pool?"))[0].text
    stat = file.stat()
    say("two pound")
    os.utime(file, ns=(stat.st_atime_ns, stat.st_mtime_ns))
    assert "two pound" in base.query(Turn("price of the pool?"))[0].text


def test_tables_in_a_file(tmp_path: Path) -> None:
    """Another database of as many changes in the place of the first."""
    import sqlite3

    from parlai_cu.knowledge.factory import open_knowledge_base
    from parlai_cu.types import Turn

    for name, price in (("one", "11 pounds"), ("two", "22 pounds")):
        with sqlite3.connect(tmp_path / f"{name}.db") as db:
            db.execute("CREATE TABLE hotels (name TEXT, price TEXT)")
            db.execute("INSERT INTO hotels VALUES ('Red Lion', ?)", [price])
        db.close()
    base = open_knowledge_base(f"sql+sqlite:///{tmp_path}/one.db")
    asked = Turn("what is the price of the Red Lion?")
    assert "11 pounds" in base.query(asked)[0].text
    os.replace(tmp_path / "two.db", tmp_path / "one.db")
    assert "22 pounds" in base.query(asked)[0].text


def test_a_file_of_conversations(tmp_path: Path) -> None:
    """Other words of the same size, with the time set back."""
    from parlai_cu.data.reading import signature

    file = write_dialogues(tmp_path / "chats.jsonl", ["open the door"])
    before = signature(str(file))
    reversal(Path(file))
    assert signature(str(file)) != before
