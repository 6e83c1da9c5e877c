"""Facts and tables in a PostgreSQL server: what differs from the embedded knowledge base."""

import threading
from typing import Any

import pytest

from parlai_cu.errors import KnowledgeError
from parlai_cu.knowledge.backends.postgresql import PostgresFacts, shown
from parlai_cu.knowledge.factory import open_knowledge_base
from parlai_cu.types import Fact, Turn
from tests.knowledge import postgres
from tests.knowledge.test_sqlite import FACTS, ids
from tests.knowledge.test_structured import SCRIPT


@pytest.fixture
def uri() -> str:
    """A database with facts in it."""
    found = postgres.empty()
    base = PostgresFacts(found, writable=True)
    base.add(FACTS)
    base.close()
    return found


def test_many_writers_wait_for_one_another(uri: str) -> None:
    """All that four of them add, change and remove is there, and the counts are right."""
    failed: list[Exception] = []

    def write(who: int) -> None:
        try:
            base = PostgresFacts(uri, writable=True)
            for number in range(10):
                base.add([Fact(f"Room {number} of house {who}.", id=f"{who}-{number}")])
                base.update(Fact(f"Bed {number} of house {who}.", id=f"{who}-{number}"))
            base.remove([f"{who}-0", f"{who}-1"])
            base.close()
        except Exception as error:
            failed.append(error)

    threads = [threading.Thread(target=write, args=(who,)) for who in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert not failed
    base = PostgresFacts(uri)
    assert base.stats()["facts"] == len(FACTS) + 4 * 8
    assert len({change["batch"] for change in base.history(1000)}) == 1 + 4 * 21
    with base._searching() as (_, _, index):
        assert index.documents(["bed"]) == {"bed": 4 * 8}
    base.close()


def test_serving_needs_no_more_than_to_read(uri: str) -> None:
    """A user who may only SELECT; who cannot change anything, even if asked to."""
    postgres.run(
        "DROP ROLE IF EXISTS reader; CREATE ROLE reader LOGIN; "
        "GRANT USAGE ON SCHEMA parlai_cu TO reader; "
        "GRANT SELECT ON ALL TABLES IN SCHEMA parlai_cu TO reader"
    )
    asked = uri.replace("postgres@", "reader@")
    base = PostgresFacts(asked)
    assert ids(base, "how much is breakfast?")[0] == "breakfast"
    with pytest.raises(KnowledgeError, match="open for reading"):
        base.add([Fact("x")])
    with pytest.raises(KnowledgeError, match="permission denied"):
        PostgresFacts(asked, writable=True).add([Fact("x")])
    base.close()
    postgres.run("DROP OWNED BY reader; DROP ROLE reader")


def test_a_server_that_goes_and_comes_back(uri: str) -> None:
    """Gone: a clear error; back: found again, without a restart of ours."""
    base = PostgresFacts(uri)
    assert ids(base, "breakfast")
    with postgres.stopped():
        for _ in range(2):
            with pytest.raises(KnowledgeError, match="postgresql://"):
                base.query(Turn("breakfast"))
    assert ids(base, "breakfast")[0] == "breakfast"
    base.close()


def test_a_connection_that_is_cut(uri: str) -> None:
    """By an administrator, say: one answer is lost."""
    base = PostgresFacts(uri)
    postgres.run(
        "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = "
        "'parlai_cu'"
    )
    with pytest.raises(KnowledgeError, match="terminat|closed"):
        base.query(Turn("breakfast"))
    assert ids(base, "breakfast")[0] == "breakfast"
    base.close()


def test_a_question_reads_no_table_as_a_whole(uri: str) -> None:
    """Nor does it after a change, though nothing has told the server how many facts there are."""
    base, writer = PostgresFacts(uri), PostgresFacts(uri, writable=True)

    def scans() -> int:
        base._connection.execute("SELECT pg_stat_force_next_flush()")
        found = base._connection.execute(
            "SELECT sum(seq_scan) AS n FROM pg_stat_user_tables WHERE relname = 'facts'"
        )
        return int(found.fetchone()["n"])

    assert ids(base, "breakfast")  # learns all names once
    before = scans()
    writer.add([Fact("Pool: open until 9.", id="pool", entity="Pool")])
    assert ids(base, "until when is the pool open, and breakfast?")[0] == "pool"
    assert scans() == before
    writer.close()
    base.close()


def test_a_damaged_base(uri: str) -> None:
    """A table that is missing is an error, and no end."""
    base = PostgresFacts(uri)
    postgres.run("ALTER TABLE parlai_cu.changes RENAME TO gone")
    with pytest.raises(KnowledgeError, match='"changes" does not exist'):
        base.query(Turn("breakfast"))
    postgres.run("ALTER TABLE parlai_cu.gone RENAME TO changes")
    assert ids(base, "breakfast")[0] == "breakfast"
    base.close()


def test_facts_of_the_first_format(uri: str) -> None:
    """They had an index of words in the server: it is not looked at, and goes with a change."""
    postgres.run(
        "CREATE TABLE parlai_cu.terms (term TEXT PRIMARY KEY, documents BIGINT NOT NULL); "
        "ALTER TABLE parlai_cu.facts ADD COLUMN search TSVECTOR NOT NULL DEFAULT ''; "
        "UPDATE parlai_cu.state SET value = '1' WHERE name = 'version'"
    )
    base = PostgresFacts(uri)
    assert ids(base, "breakfast")[0] == "breakfast"
    writer = PostgresFacts(uri, writable=True)
    writer.add([Fact("Pool: open until 9.", id="pool")])
    assert ids(base, "pool") == ["pool"]
    for one in (base, writer):
        one.close()


def test_what_has_no_facts_of_ours(uri: str) -> None:
    """Named, with both ways on; a database that is not there, too; never a password."""
    found = postgres.empty()
    with pytest.raises(KnowledgeError, match="no facts of ours. Make some: .* sql.postgresql://"):
        open_knowledge_base(found)
    secret = found.replace("postgres@/postgres", "postgres:hidden@/nowhere")
    with pytest.raises(KnowledgeError, match='"nowhere" does not exist') as error:
        open_knowledge_base(secret, writable=True)
    assert "hidden" not in str(error.value)
    assert shown("postgresql://me:hidden@h:5/x?user=me&password=hidden&host=/tmp") == (
        "postgresql://h:5/x?host=/tmp"
    )


def test_facts_of_another_format_are_refused(uri: str) -> None:
    """Those of a later release."""
    postgres.run("UPDATE parlai_cu.state SET value = '9' WHERE name = 'version'")
    with pytest.raises(KnowledgeError, match="is of format 9, this package reads 2"):
        PostgresFacts(uri)


# -- tables that exist -----------------------------------------------------------------------


@pytest.fixture
def tables() -> Any:
    """A town's tables, only read."""
    found = postgres.empty()
    postgres.run(SCRIPT)
    base = open_knowledge_base(f"sql+{found}")
    yield base
    base.close()


def names(base: Any, text: str, *history: str) -> list[str]:
    """What the rows are about that meet all."""
    return [f.entity for f in base.query(Turn(text, history)) if f.score == 1.0]


def test_tables_are_asked(tables: Any) -> None:
    """As those of any other database."""
    assert names(tables, "an indian restaurant in the north please") == ["Taj Mahal"]
    assert names(tables, "somewhere in the north for under 20 pounds") == ["Taj Mahal", "Saigon"]
    assert tables.get("restaurants:3").entity == "Taj Mahal"


def test_changed_values_are_seen(tables: Any) -> None:
    """Also where the number of rows stays."""
    before = tables.snapshot_id()
    assert tables.snapshot_id() == before and names(tables, "korean food please") == []
    postgres.run("UPDATE restaurants SET food = 'korean' WHERE id = 4")
    assert names(tables, "korean food please") == ["Saigon"]
    assert tables.snapshot_id() != before


def test_tables_are_only_read(tables: Any) -> None:
    """By the server's own word."""
    import sqlalchemy

    with pytest.raises(sqlalchemy.exc.SQLAlchemyError, match="read-only transaction"):
        with tables._engine.connect() as db:
            db.exec_driver_sql("DELETE FROM restaurants")


def test_tables_that_go_and_come_back(tables: Any) -> None:
    """With the server."""
    assert names(tables, "vietnamese") == ["Saigon"]
    with postgres.stopped(), pytest.raises(KnowledgeError, match="postgresql"):
        tables.query(Turn("vietnamese"))
    assert names(tables, "vietnamese") == ["Saigon"]
