"""All that stands beside a model goes along, but for what belongs to its training."""

from pathlib import Path

from parlai_cu.versions import beside
from parlai_cu.versions.store import VersionStore
from tests.versions.models import change, tiny_model, write_model

KEPT = [".cands-task.cands", ".dict", ".dict.codecs", ".dict.opt", ".table", ".vocab.v2.json"]
LEFT = {
    ".checkpoint": "checkpoint",
    ".checkpoint.dict": "checkpoint",
    ".checkpoint.opt": "checkpoint",
    ".checkpoint.table": "checkpoint",
    ".index": "folder, which a version cannot hold",
    ".old": "another model",
    ".old.opt": "another model",
    ".old.table": "another model",
    ".penalty": "of --penalty, for a run that goes on",
    ".replay.jsonl": "old data, for a run that goes on",
    ".replay.jsonl.json": "old data, for a run that goes on",
    ".tensorboard": "log",
    ".trainstats": "log",
    ".valid": "log",
}


def beside_a_model(path: Path) -> str:
    """A model with all of these beside it."""
    model_file = write_model(path)
    for end in [*KEPT, *LEFT]:
        place = Path(model_file + end)
        if end in (".index", ".tensorboard"):
            place.mkdir()
        elif not place.exists():
            place.write_text(end)
    return model_file


def test_what_goes_along(tmp_path: Path) -> None:
    """And why the rest does not; files of other names are nobody's business."""
    (tmp_path / "models").mkdir()
    (tmp_path / "models" / "model2.table").write_text("of another model")
    found = beside.look(beside_a_model(tmp_path / "models" / "model"))
    assert found.kept == KEPT and found.left_out == LEFT


def test_it_comes_back_with_the_version(tmp_path: Path) -> None:
    """In full and as a delta, whose unchanged files are stored once; exported too."""
    store = VersionStore(str(tmp_path / "store"), create=True, cache=str(tmp_path / "cache"))
    model = tiny_model()
    first = store.add(beside_a_model(tmp_path / "a" / "model"), mode="import")
    later = write_model(tmp_path / "b" / "model", change(model))
    for end, text in ((".table", ".table"), (".vocab.v2.json", "other words")):
        Path(later + end).write_text(text)
    second = store.add(later, mode="import", parent=first.id, delta=True)
    assert second.files["model.table"].at == first.id
    assert second.files["model.vocab.v2.json"].at is None
    for version, words in ((first, ".vocab.v2.json"), (second, "other words")):
        path = store.model_file(version.id)
        assert Path(path + ".table").read_text() == ".table"
        assert Path(path + ".vocab.v2.json").read_text() == words
        assert not list(Path(path).parent.glob("*.trainstats"))
