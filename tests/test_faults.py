"""Every writer: killed at each of its writes, on a full disk, and its files damaged afterwards."""

import json
import os
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, NamedTuple, cast

import numpy as np
import pytest
import torch
from parlai.core.opt import Opt

from parlai_cu import checkpoints, files
from parlai_cu.agents import model_files, penalties, replay, scoring
from parlai_cu.array_store import ArrayStore
from parlai_cu.corrections import review
from parlai_cu.distillation.teacher_cache import TeacherCache, digest
from parlai_cu.errors import ConversationError, KnowledgeError, ModelFileError, ParlaiCuError
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.knowledge.words import words
from parlai_cu.serving.feedback import Feedback, FeedbackLog
from parlai_cu.serving.transcript_store import StoredTurn, TranscriptStore
from parlai_cu.tasks.telecom import build as telecom
from parlai_cu.types import Fact, Turn
from parlai_cu.update.step_cache import RESULT, Step, StepCache
from parlai_cu.update.steps import vocab_extension, weight_interpolation
from parlai_cu.versions.store import VersionStore
from parlai_cu.zoo import shipped
from tests.faults import Crash, ending_at, full_disk
from tests.versions.models import change, loaded, tiny_model, write_model


class Writer(NamedTuple):
    """
    Something that writes.

    :param write: bring a folder from state n - 1 to state n; the same again does no harm
    :param read: the state that a folder is in; 0: nothing was written
    :param goes_on: on a full disk it works on, without
    """

    write: Callable[[Path, int], Any]
    read: Callable[[Path], int]
    goes_on: bool = False


def _text(name: str) -> Callable[[Path], int]:
    """Reads the number in a JSON file."""
    return lambda root: json.loads((root / name).read_text()) if (root / name).exists() else 0


def _save_model(root: Path, n: int) -> None:
    with model_files.written_whole(str(root / "model")) as staged:
        Opt(model="transformer/generator").save(f"{staged}.opt")
        Path(f"{staged}.dict").write_text("hello\t1\n")
        torch.save({"model": {"w": torch.full((50,), float(n))}}, staged)


def _saved_model(root: Path) -> int:
    if not (root / "model").exists():
        return 0
    model_files.read_opt(str(root / "model"), "-mf")
    assert (root / "model.dict").read_text() == "hello\t1\n"
    return int(checkpoints.load(str(root / "model"))["model"]["w"][49])


def _store_sample(root: Path, n: int) -> None:
    replay._store(str(root / "sample"), [[{"text": "hi", "labels": [str(n)]}]], {"n": n})


def _sample(root: Path) -> int:
    if not (root / "sample").exists():
        return 0
    message = json.loads((root / "sample").read_text())
    assert message["episode_done"]
    return int(message["labels"][0])


def _penalty(root: Path) -> int:
    held = penalties._load(str(root / "penalty"))
    return int(held["w"][49]) if held else 0


def _scale(root: Path, n: int) -> None:
    start = str(root.parent / "start" / "model")
    if not Path(start).exists():
        write_model(Path(start))
    trained = root.parent / "m"
    if not trained.exists():
        write_model(trained, change(tiny_model(), by=1.0))
    weight_interpolation.put(start, str(trained), 1.0 / n, str(root / "model"))


def _scaled(root: Path) -> int:
    """1 is the model as it was trained, 2 half of it."""
    if not (root / "model").exists():
        return 0
    moved = loaded(str(root / "model"))["model"]["layers.3.weight"] - tiny_model().layers[3].weight
    return {1.0: 1, 0.5: 2}[round(moved[0, 0].item(), 3)]


class _Dictionary:
    """Of the tiny model."""

    unk_token = "__unk__"

    def __len__(self) -> int:
        return 20

    def __getitem__(self, token: str) -> int:
        return 3


def _widen(root: Path, n: int) -> str:
    start = root.parent / "start" / "model"
    if not start.exists():
        write_model(start)
    agent = cast(Any, SimpleNamespace(dict=_Dictionary(), opt={}))
    with pytest.MonkeyPatch().context() as patched:
        patched.setattr(vocab_extension, "loads", lambda opt, path: _loaded(Path(path)))
        # one piece, then two
        made = str(root / f"model-{n:08d}")
        assert vocab_extension.widen(agent, str(start), ["new", "newer"][:n], made)
    return made


def _loaded(path: Path) -> Any:
    opt = model_files.read_opt(str(path), "-mf")
    assert Path(opt["dict_file"]) == Path(f"{path}.dict")
    # write_model's dictionary has a hundred lines, for twenty pieces
    lines = Path(f"{path}.dict").read_text().splitlines()
    return SimpleNamespace(dict=range(len(lines) - 80))


def _widened(root: Path) -> int:
    """The most pieces of a model that is there; each that is there is whole."""
    found = [path for path in root.glob("model-????????") if path.is_file()]
    sizes = [len(checkpoints.load(str(path))["model"]["embedding.weight"]) for path in found]
    assert [len(_loaded(path).dict) for path in found] == sizes
    return max(sizes, default=20) - 20


def _rows(n: int) -> Any:
    choices = np.arange(6).reshape(3, 2) + n
    return choices, -choices / 8.0


def _teacher(root: Path) -> TeacherCache:
    return TeacherCache(str(root), {"t": 1}, k=2, vocabulary=99, max_bytes=10**6, warn=str)


def _teach(root: Path, n: int) -> None:
    cache = _teacher(root)
    if cache.get(digest(bytes([n]))) is None:
        cache.put(digest(bytes([n])), *_rows(n))


def _taught(root: Path) -> int:
    cache, n = _teacher(root), 0
    while (entry := cache.get(digest(bytes([n + 1])))) is not None:
        n += 1
        assert (entry.choices == _rows(n)[0]).all()
    return n


def _activations(root: Path) -> ArrayStore:
    return ArrayStore(str(root), max_bytes=10**6, warn=str)


def _activate(root: Path, n: int) -> None:
    cache = _activations(root)
    if cache.get(bytes([n] * 16)) is None:
        cache.put(bytes([n] * 16), [np.full(9, n)])
    cache.close()


def _activated(root: Path) -> int:
    cache, n = _activations(root), 0
    while (entry := cache.get(bytes([n + 1] * 16))) is not None:
        n += 1
        assert (entry[0] == n).all()
    return n


def _judgement(n: int) -> Feedback:
    return Feedback("c", n, "v1", [], "when?", "now", "down", f"answer {n}", None)


def _judge(root: Path, n: int) -> None:
    if _judged(root) < n:
        FeedbackLog(str(root / "log.jsonl")).append(_judgement(n))


def _judged(root: Path) -> int:
    path = root / "log.jsonl"
    if not path.exists() or not path.stat().st_size:
        return 0
    return len(review.reviewed(str(path)))


def _decide(root: Path, n: int) -> None:
    _judge(root, 1)
    review.decide(str(root / "log.jsonl"), ["all" if n == 1 else _one(root)], "accept", f"{n}")


def _one(root: Path) -> str:
    return review.reviewed(str(root / "log.jsonl"))[0].judgement.id


def _decided(root: Path) -> int:
    if not (root / "log.jsonl").exists() or not (root / "log.jsonl").stat().st_size:
        return 0
    decided = [r for r in review.reviewed(str(root / "log.jsonl")) if r.decision != review.PENDING]
    return int(str(decided[0].judgement.correction)) if decided else 0


def _ship(root: Path, n: int) -> None:
    place = root.parent / f"place{n}" / "small"
    if not place.exists():
        (place / "base").mkdir(parents=True)
        (place / "base" / "model").write_text(str(n))
        sums = {"base/model": shipped.sha256(str(n).encode())}
        (place / shipped.SUMS).write_text(json.dumps(sums))
    shipped.PLACES, before = (root.parent / f"place{n}",), shipped.PLACES
    try:
        shipped.install("small", str(root))
    finally:
        shipped.PLACES = before


def _shipped(root: Path) -> int:
    held = [*root.glob("models/small/base"), *root.glob("models/small/base.changed")]
    return int(held[0].read_text()) if held else 0


class _Exchange:
    def __init__(self, n: int) -> None:
        self.n = n

    def as_json(self) -> int:
        """Its number."""
        return self.n


def _build(root: Path, n: int) -> None:
    patch = pytest.MonkeyPatch()
    with patch.context() as patched:
        patched.setattr(telecom, "DATA_SETS", {"plans": lambda split: [[_Exchange(n)]]})
        patched.setattr(telecom, "_version", lambda: str(n))
        telecom.build(Opt(datapath=str(root)))


def _built(root: Path) -> int:
    found = {int(json.loads(p.read_text())[0]) for p in root.glob("telecom/*.jsonl")}
    assert len(found) < 2
    return found.pop() if found else 0


def _remember(root: Path, n: int) -> None:
    StepCache(str(root)).get(Step("count", int), {"n": n}, lambda place: n)


def _remembered(root: Path) -> int:
    """The greatest that is remembered; what was not finished is done anew."""
    cache, step = StepCache(str(root)), Step[int]("count", int)
    found = [n for n in (1, 2) if os.path.exists(os.path.join(cache.place(step, {"n": n}), RESULT))]
    assert all(cache.get(step, {"n": n}, lambda place: -1) == n for n in found)
    return max(found, default=0)


WRITERS: dict[str, Writer] = {
    "model": Writer(_save_model, _saved_model),
    "part of the way": Writer(_scale, _scaled),
    "wider dictionary": Writer(_widen, _widened),
    "replay sample": Writer(_store_sample, _sample),
    "fisher information": Writer(
        lambda root, n: penalties._store(str(root / "penalty"), {"w": torch.full((50,), n)}),
        _penalty,
    ),
    "scores": Writer(
        lambda root, n: scoring.write_scores(str(root / "s.json"), n),  # type: ignore[arg-type]
        _text("s.json"),
    ),
    "update_model": Writer(_remember, _remembered),
    "teacher cache": Writer(_teach, _taught, goes_on=True),
    "activation cache": Writer(_activate, _activated, goes_on=True),
    "chat log": Writer(_judge, _judged),
    "review": Writer(_decide, _decided),
    "zoo": Writer(_ship, _shipped),
    "telecom": Writer(_build, _built),
}


@pytest.fixture(params=WRITERS)
def writer(request: pytest.FixtureRequest) -> Iterator[Writer]:
    """Each of them."""
    yield WRITERS[request.param]


def folder(tmp_path: Path, name: str, writer: Writer, state: int) -> Path:
    """A folder in a state."""
    root = tmp_path / name / "root"
    root.mkdir(parents=True)
    for n in range(1, state + 1):
        writer.write(root, n)
    return root


@pytest.mark.parametrize("before", [0, 1])
def test_every_write_may_be_the_last(writer: Writer, before: int, tmp_path: Path) -> None:
    """The next run finds the old state or the new one, and goes on."""
    for number in range(1, 60):
        root = folder(tmp_path, str(number), writer, before)
        try:
            with ending_at(root, number):
                writer.write(root, before + 1)
        except Crash:
            # telecom's old data is moved away before the new is moved there: it is built again
            gone = 0 if writer is WRITERS["telecom"] else before
            assert writer.read(root) in (gone, before, before + 1)
            writer.write(root, before + 1)
            assert writer.read(root) == before + 1
        else:
            break
    assert number > 1, "no write was seen"
    assert writer.read(root) == before + 1


def test_a_full_disk(writer: Writer, tmp_path: Path) -> None:
    """The error names a file of the folder; the old state is there, and nothing half written."""
    root = folder(tmp_path, "full", writer, 1)
    if writer is WRITERS["zoo"]:
        _ship(tmp_path / "full" / "other", 2)  # what is shipped is there
    was = sorted(str(path) for path in root.rglob("*"))
    if writer.goes_on:
        with full_disk():
            writer.write(root, 2)
    else:
        with full_disk(), pytest.raises((ParlaiCuError, OSError)) as told:
            writer.write(root, 2)
        if not isinstance(told.value, OSError):  # ParlAI's own way to build a task's data
            assert str(root) in str(told.value)
            assert "too large" in str(told.value) or "could not write" in str(told.value)
    assert writer.read(root) == 1
    left = {str(path) for path in root.rglob("*")} - set(was)
    # of a step that is not done: its folder and its lock
    steps = writer is WRITERS["update_model"] and not any(RESULT in path for path in left)
    assert not left or steps or writer in (WRITERS["teacher cache"], WRITERS["activation cache"])
    writer.write(root, 2)
    assert writer.read(root) == 2


def test_a_full_disk_under_a_database(tmp_path: Path) -> None:
    """Facts, conversations: the file is named, and what was there before is there after."""
    facts, talk = tmp_path / "facts.db", tmp_path / "talk.db"
    _make_facts(facts)
    before = _facts(facts)
    base = open_knowledge_base(f"sqlite:///{facts}", writable=True)
    many = [Fact(f"roaming costs {n} cents " + "now " * 99, id=str(n)) for n in range(300)]
    with (
        full_disk(facts.stat().st_size),
        pytest.raises(KnowledgeError, match="facts.db.*(full|I/O)"),
    ):
        base.add(many)
    assert base.get("0") is None
    base.close()
    assert _facts(facts) == before
    _make_talk(talk)
    store = TranscriptStore(f"sqlite:///{talk}")
    turn = StoredTurn(61, "hello " * 20_000, "answer 60")
    held = store.resume("t" * 20)
    with full_disk(talk.stat().st_size), pytest.raises(ConversationError, match="talk.db"):
        assert held is not None
        store.add(held.id, turn)
    store.close()
    assert len(_talk(talk)) == 50 or len(_talk(talk)) == 60
    store = TranscriptStore(f"sqlite:///{talk}")
    store.add(held.id, turn)
    assert _talk(talk)[-1] == "answer 60"
    store.close()


def test_a_full_disk_under_a_versions_directory(tmp_path: Path) -> None:
    """The directory is named, the live version serves, and the same command works later."""
    store = VersionStore(str(tmp_path / "s"), create=True, cache=str(tmp_path / "cache"))
    first = store.add(write_model(tmp_path / "a" / "model"), mode="import")
    store.promote(first.id, force=True)
    source = write_model(tmp_path / "b" / "model", change(tiny_model()))
    with full_disk(), pytest.raises(ParlaiCuError, match=str(tmp_path / "s")):
        store.add(source, mode="import")
    trained = write_model(tmp_path / "t" / "model", tiny_model(3), training=True)
    with full_disk(), pytest.raises(ParlaiCuError, match=str(tmp_path / "s")):
        store.add(trained, mode="import", delta=False)
    other = store.add(write_model(tmp_path / "c" / "model", tiny_model(2)), mode="import")
    with full_disk(), pytest.raises(ParlaiCuError, match=str(tmp_path / "s")):
        store.promote(other.id, force=True)
    assert store.channel() == first.id and store.verify() == []
    assert loaded(store.model_file(first.id))["longest_label"] == 7
    second = store.add(source, mode="import")
    store.promote(second.id, force=True)
    assert store.channel() == second.id and store.verify() == []


def test_what_the_killed_left_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A day later, by the next who writes there; what is fresh, or a user's own, stays."""
    root = folder(tmp_path, "left", WRITERS["model"], 1)
    with pytest.raises(Crash), ending_at(root, 6):
        _save_model(root, 2)
    (left,) = root.glob(".saving-model-*")
    (root / ".saving-mine").mkdir()
    _save_model(root, 2)
    assert left.exists()
    monkeypatch.setattr(files, "STALE_SECONDS", -1.0)
    _save_model(root, 2)
    assert not left.exists() and (root / ".saving-mine").exists()


# -- damage ------------------------------------------------------------------------------------


def flipped(path: Path, rng: random.Random) -> None:
    """Flip one bit of a file."""
    data = bytearray(path.read_bytes())
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)
    path.write_bytes(data)


def test_flipped_bits_in_a_model(tmp_path: Path) -> None:
    """The file is named and not served, or nothing that matters was hit."""
    good = Path(write_model(tmp_path / "good" / "model"))
    expected, found = loaded(str(good))["model"], 0
    for seed in range(60):
        bad = tmp_path / "model"
        shutil.copyfile(good, bad)
        flipped(bad, random.Random(seed))
        try:
            held = checkpoints.load(str(bad))["model"]
        except ModelFileError as error:
            assert str(bad) in str(error) and "restore it" in str(error)
            found += 1
        else:
            assert all(torch.equal(held[name], tensor) for name, tensor in expected.items())
    assert found > 30


def test_flipped_bits_in_a_versions_directory(tmp_path: Path) -> None:
    """A delta, a full model, what stands beside them: told, or not used."""
    root = tmp_path / "store"
    store = VersionStore(str(root), create=True, cache=str(tmp_path / "cache"))
    store.add(write_model(tmp_path / "a" / "model"), mode="import")
    source = write_model(tmp_path / "b" / "model", change(tiny_model()))
    version = store.add(source, mode="import", parent="v1", delta=True)
    expected, found = loaded(source)["model"], 0
    paths = sorted(p for p in root.rglob("*") if p.is_file() and p.stat().st_size)
    assert any(path.suffix == ".safetensors" for path in paths)
    for seed in range(40):
        rng = random.Random(seed)
        path = paths[seed % len(paths)]
        good = path.read_bytes()
        flipped(path, rng)
        try:
            again = VersionStore(str(root), create=False, cache=str(tmp_path / f"cache{seed}"))
            held = loaded(again.model_file(version.id))["model"]
        except ParlaiCuError as error:
            assert str(root) in str(error) or "version v" in str(error)
            found += 1
        else:
            assert all(torch.equal(held[name], tensor) for name, tensor in expected.items())
        path.write_bytes(good)
    assert found > 10


@pytest.mark.parametrize("name", ["teacher cache", "activation cache"])
def test_flipped_bits_in_a_cache(name: str, tmp_path: Path) -> None:
    """What is damaged is computed again; nothing wrong is given."""
    writer, lost = WRITERS[name], 0
    good = folder(tmp_path, "good", writer, 2)
    paths = sorted(p.relative_to(good) for p in good.rglob("*") if p.is_file())
    for seed in range(30):
        root = tmp_path / str(seed)
        shutil.copytree(good, root)
        flipped(root / paths[seed % len(paths)], random.Random(seed))
        lost += writer.read(root) < 2  # checks each entry that it finds
        writer.write(root, 1)
        writer.write(root, 2)
        assert writer.read(root) == 2
    assert lost > 5


def _facts(path: Path) -> list[str]:
    base = open_knowledge_base(f"sqlite:///{path}")
    try:
        return [e.text for e in base.query(Turn("what does roaming cost?"))]
    finally:
        base.close()


def _make_facts(path: Path) -> None:
    base = open_knowledge_base(f"sqlite:///{path}", writable=True)
    base.add([Fact(f"roaming costs {n} euros", entity=f"plan {n}") for n in range(60)])
    base.close()


def _talk(path: Path) -> list[str]:
    store = TranscriptStore(f"sqlite:///{path}")
    try:
        held = store.resume("t" * 20)
        return [turn.reply for turn in held.turns] if held else []
    finally:
        store.close()


def _make_talk(path: Path) -> None:
    store = TranscriptStore(f"sqlite:///{path}")
    conversation, _ = store.start("t" * 20)
    for n in range(60):
        store.add(conversation.id, StoredTurn(n + 1, "hello " * 20, f"answer {n}"))
    store.close()


@pytest.mark.parametrize("make, read", [(_make_facts, _facts), (_make_talk, _talk)])
def test_flipped_bits_in_a_database(
    make: Callable[[Path], None], read: Callable[[Path], list[str]], tmp_path: Path
) -> None:
    """An error of ours that names the file, or an answer; never SQLite's own error."""
    good = tmp_path / "good.db"
    make(good)
    assert read(good)
    bad, named = tmp_path / "bad.db", 0
    for seed in range(40):
        for path in tmp_path.glob("bad.db*"):
            path.unlink()
        data = bytearray(good.read_bytes())
        rng = random.Random(seed)
        # a page's header, where damage can be seen; every fourth time the file's own
        page = 0 if seed % 4 == 0 else rng.randrange(len(data) // 4096)
        data[page * 4096 + rng.randrange(16)] ^= 1 << rng.randrange(8)
        bad.write_bytes(data)
        try:
            read(bad)
        except ParlaiCuError as error:
            assert "bad.db" in str(error)
            named += 1
    assert named > 3


def test_flipped_bits_in_facts_are_found(tmp_path: Path) -> None:
    """`knowledge_base verify`: wherever it was hit, the words of all facts are what they were."""
    good, bad, found = tmp_path / "good.db", tmp_path / "bad.db", 0
    _make_facts(good)

    def said(base: Any) -> list[list[str]]:
        return [words(f"{fact.id} {fact.entity} {fact.text}") for fact in base.facts()]

    base: Any = open_knowledge_base(f"sqlite:///{good}")
    expected = said(base)
    base.close()
    for seed in range(60):
        shutil.copyfile(good, bad)
        flipped(bad, random.Random(seed))
        try:
            base = open_knowledge_base(f"sqlite:///{bad}")
            damage = base.verify()
            found += bool(damage)
            assert damage or said(base) == expected
            base.close()
        except KnowledgeError as error:
            assert "bad.db" in str(error)
            found += 1
    assert found > 2  # most of a small file is room for more


def test_a_base_that_is_no_database(tmp_path: Path) -> None:
    """A file that was cut in the middle of its first page is named."""
    path = tmp_path / "facts.db"
    _make_facts(path)
    path.write_bytes(path.read_bytes()[:1000])
    with pytest.raises(KnowledgeError, match="facts.db"):
        _facts(path)
