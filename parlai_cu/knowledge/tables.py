"""Databases of others, by SQLAlchemy: opened for reading, and errors that are ours."""

import importlib.util
from collections.abc import Callable
from typing import Any

from parlai_cu.errors import KnowledgeError

try:
    import sqlalchemy
    from sqlalchemy.exc import SQLAlchemyError
except ImportError:  # an extra
    sqlalchemy = None  # type: ignore[assignment]


# how long a question waits for a writer of a SQLite file
_WAIT_S = 1.0


def open_database(uri: str) -> tuple[str, Any]:
    """
    Its name without a password, and an engine.

    :param uri: an SQLAlchemy URL, or ``sql+`` and one
    :raises KnowledgeError: when it is none, or its driver is not there
    """
    if sqlalchemy is None:
        raise KnowledgeError(f'{uri}: tables need SQLAlchemy: pip install "parlai-cu[knowledge]"')
    try:
        url = sqlalchemy.engine.make_url(uri[len("sql+") :] if uri.startswith("sql+") else uri)
        return url.render_as_string(hide_password=True), _engine(url)
    except (SQLAlchemyError, ImportError) as error:
        raise KnowledgeError(f"{uri.split('@')[-1]}: {error}") from error


class TableConnection:
    """
    A connection whose errors are ours.

    :param engine: of SQLAlchemy
    :param name: of the database, for messages
    :param failed: told of every error
    """

    def __init__(
        self, engine: "sqlalchemy.Engine", name: str, failed: Callable[[], None] = lambda: None
    ) -> None:
        self._engine, self._name, self._failed = engine, name, failed
        self._db: Any = None

    def __enter__(self) -> Any:
        try:
            self._db = self._engine.connect()
        except SQLAlchemyError as error:
            self._failed()
            raise self._named(error) from error
        return self._db

    def __exit__(self, kind: object, error: object, traceback: object) -> None:
        self._db.close()
        if isinstance(error, (SQLAlchemyError, OSError)):
            self._engine.dispose()
            self._failed()
            raise self._named(error) from error

    def _named(self, error: BaseException) -> KnowledgeError:
        return KnowledgeError(f"{self._name}: {str(error).splitlines()[0]}")


def _engine(url: Any) -> Any:
    """What opens connections, for reading where the database can be told so."""
    more: dict[str, Any] = {}
    if url.get_backend_name() == "postgresql":
        more["execution_options"] = {
            "isolation_level": "REPEATABLE READ",
            "postgresql_readonly": True,
        }
        # of the two drivers the one that our other tables need is as good
        if "+" not in url.drivername and importlib.util.find_spec("psycopg"):
            url = url.set(drivername="postgresql+psycopg")
    elif url.get_backend_name() in ("mysql", "mariadb"):
        more["isolation_level"] = "REPEATABLE READ"
        if "+" not in url.drivername and importlib.util.find_spec("pymysql"):
            url = url.set(drivername=f"{url.drivername}+pymysql")
        engine = sqlalchemy.create_engine(url, pool_pre_ping=True, **more)
        sqlalchemy.event.listen(engine, "connect", _only_reads)
        return engine
    elif url.get_backend_name() == "sqlite" and url.database:
        url = _read_only(url)
        more["connect_args"] = {"timeout": _WAIT_S}
    return sqlalchemy.create_engine(url, pool_pre_ping=True, **more)


def _read_only(url: Any) -> Any:
    """SQLite: a file that is there, and is not written."""
    place = url.database.replace("%", "%25").replace("?", "%3f").replace("#", "%23")
    return url.set(database=f"file:{place}", query={"mode": "ro", "uri": "true"})


def _only_reads(connection: Any, record: object) -> None:
    """MySQL: no transaction of the connection writes."""
    with connection.cursor() as cursor:
        cursor.execute("SET SESSION TRANSACTION READ ONLY")
