"""Tables in a MySQL server, where one is installed (Debian's ``mariadb-server``) and PyMySQL."""

import os
import shutil
import subprocess
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from parlai_cu.errors import KnowledgeError
from parlai_cu.types import Turn
from tests.knowledge.test_sqlite import HOSTILE
from tests.knowledge.test_structured import SCRIPT

sqlalchemy = pytest.importorskip("sqlalchemy")
pytest.importorskip("pymysql")

from parlai_cu.knowledge.backends.structured import StructuredDatabase  # noqa: E402

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not (shutil.which("mariadbd") and shutil.which("mariadb-install-db")),
        reason="no MySQL server here: apt install mariadb-server",
    ),
]


@pytest.fixture(scope="module")
def engine() -> Iterator[sqlalchemy.Engine]:
    """A server with an empty database; it listens at a socket alone, whose path must be short."""
    folder = Path(tempfile.mkdtemp(prefix="my-"))
    # as root it would run as an account of its own, which need not be there
    common = ["--no-defaults", f"--datadir={folder / 'data'}", "--user=root"]
    common = common if os.geteuid() == 0 else common[:2]
    made = ["mariadb-install-db", *common, "--auth-root-authentication-method=normal"]
    subprocess.run([*made, "--skip-test-db"], check=True, capture_output=True)
    options = [f"--socket={folder / 's'}", "--skip-networking", f"--pid-file={folder / 'pid'}"]
    with open(folder / "log", "w") as log:
        server = subprocess.Popen(["mariadbd", *common, *options], stdout=log, stderr=log)
    url = f"mysql+pymysql://root@/mysql?unix_socket={folder / 's'}"
    try:
        _wait(sqlalchemy.create_engine(url), server)
        yield sqlalchemy.create_engine(url.replace("/mysql?", "/town?"))
    finally:
        server.terminate()
        server.wait(60)
        shutil.rmtree(folder)


def _wait(engine: sqlalchemy.Engine, server: "subprocess.Popen[bytes]") -> None:
    """Until it answers, and has the database."""
    deadline = time.monotonic() + 60
    while True:
        try:
            with engine.begin() as db:
                db.exec_driver_sql("CREATE DATABASE town CHARACTER SET utf8mb4")
            return
        except sqlalchemy.exc.OperationalError:
            assert server.poll() is None and time.monotonic() < deadline
            time.sleep(0.1)


@pytest.fixture
def town(engine: sqlalchemy.Engine) -> StructuredDatabase:
    """The database of a town, open."""
    run(engine, f"DROP TABLE IF EXISTS restaurants, hotels; {SCRIPT}")
    return StructuredDatabase(engine.url.render_as_string())


def run(engine: sqlalchemy.Engine, script: str) -> None:
    """Some statements."""
    with engine.begin() as db:
        for statement in script.split(";"):
            if statement.strip():
                db.exec_driver_sql(statement)


def test_rows_are_found(town: StructuredDatabase) -> None:
    """By values, bounds and numbers; by their id."""
    (found, *_) = town.query(Turn("an indian restaurant in the north for under 20 pounds"))
    assert (found.entity, found.score, found.id) == ("Taj Mahal", 1.0, "restaurants:3")
    assert town.query(Turn("a 4 star hotel in the north"))[0].entity == "Old Mill"
    row = town.get("restaurants:2")
    assert row is not None and row.fields["phone_number"] == "01223 555"


def test_a_changed_value_is_known_by_its_new_name(
    town: StructuredDatabase, engine: sqlalchemy.Engine
) -> None:
    """Though neither the number of rows nor the largest key changed."""
    before = town.snapshot_id()
    assert town.snapshot_id() == before and not town.query(Turn("korean food"))
    run(engine, "UPDATE restaurants SET food = 'korean' WHERE id = 2")
    assert [found.entity for found in town.query(Turn("korean food"))] == ["The Nile"]
    assert town.snapshot_id() != before


def test_nothing_is_written(town: StructuredDatabase) -> None:
    """Not by what users say, nor by anything else on our connections."""
    before = town.stats()["snapshot"]
    for text in HOSTILE:
        town.query(Turn(text))
    with pytest.raises(KnowledgeError, match="READ ONLY"):
        with town._connection() as db:
            db.exec_driver_sql("DELETE FROM hotels")
    assert town.stats()["snapshot"] == before
