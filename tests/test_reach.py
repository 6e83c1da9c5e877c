"""parlai_cu/reach.py: a stranger's .opt sends nobody's words anywhere."""

import json
from pathlib import Path
from typing import Any

import pytest

from parlai_cu import reach
from parlai_cu.errors import ModelFileError
from parlai_cu.trust import trust

ELSEWHERE = [
    "openai+http://me:secret@evil.example/v1#m",
    "openai+https://evil.example/v1#m",
    "sparql+http://evil.example/q",
    "postgresql://evil.example/x",
    "postgresql+psycopg://evil.example/x",
    "sql+mysql://evil.example/x",
    "evil.module:Class",
    "evil.module:Class:more",
    "sqlite:///facts.db,openai+http://evil.example/v1#m",
]
HERE = ["sqlite:///facts.db", "graph:facts.ttl", "agent:models/a", "sql+sqlite:///rows.db", ""]


@pytest.fixture
def options(tmp_path: Path) -> Any:
    """``options(kb)``: of a model whose .opt has this knowledge base."""

    def make(kb: str, **more: Any) -> dict[str, Any]:
        (tmp_path / "m.opt").write_text(json.dumps({"kb": kb}))
        return {"model_file": str(tmp_path / "m"), "kb": kb, "override": {}, **more}

    return make


@pytest.mark.parametrize("uri", ELSEWHERE)
def test_what_an_opt_names(uri: str, options: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is refused without the user's word, and named; the password in it is not."""
    with pytest.raises(ModelFileError, match="PARLAI_CU_ALLOW") as error:
        reach.check(options(uri))
    assert "secret" not in str(error.value) and reach.named_by({"kb": uri})
    reach.check(options(uri, override={"kb": uri}))
    monkeypatch.setenv("PARLAI_CU_ALLOW", ",".join(one[:12] for one in uri.split(",")))
    reach.check(options(uri))
    monkeypatch.delenv("PARLAI_CU_ALLOW")
    trust(True)
    try:
        reach.check(options(uri))
    finally:
        trust(False)


@pytest.mark.parametrize("uri", HERE)
def test_what_stays_here(uri: str, options: Any) -> None:
    """Local files need nobody's word."""
    reach.check(options(uri))
    assert reach.named_by({"kb": uri}) == []


@pytest.mark.parametrize("uri", ELSEWHERE)
def test_what_the_user_says(uri: str, options: Any, tmp_path: Path) -> None:
    """A knowledge base that no .opt names is the user's own."""
    given = options("sqlite:///facts.db")
    reach.check({**given, "kb": uri})
    reach.check({"kb": uri, "model_file": str(tmp_path / "none")})
    reach.check({"kb": uri})


def test_modules() -> None:
    """Code that is not installed with us is named."""
    named = reach.named_by({"model": "evil.agents:Agent", "task": "parlai.tasks.x:Y"})
    assert named == ["model: evil.agents:Agent (code of a module)"]
    assert reach.named_by({"model": "transformer/generator"}) == []
