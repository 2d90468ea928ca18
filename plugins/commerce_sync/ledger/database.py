"""The ledger's database: connecting, locking, migrating, transactions.

SQLite runs in WAL mode with foreign keys on and waits up to 30 s for another writer; every write transaction
begins with BEGIN IMMEDIATE, because a read that later turns into a write cannot wait for anybody.
Source: https://www.sqlite.org/lang_transaction.html and https://www.sqlite.org/wal.html (read 2026-11).
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import sqlalchemy as sa
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.engine import URL, Connection, Engine
from sqlalchemy.pool import NullPool

from commerce_sync.errors import ConfigurationError, LedgerError, RetryableError
from commerce_sync.ledger.tables import VERSION_TABLE

MIGRATIONS = Path(__file__).parent / "migrations"
BUSY_TIMEOUT_S = 30
LOCK_TIMEOUT_S = 60
STATEMENT_TIMEOUT_S = 300
CONNECT_TIMEOUT_S = 10
ADVISORY_LOCK = 7_201_511_201  # any constant will do, as long as every process uses the same one

_in_process = threading.Lock()


def connect(url: str) -> Engine:
    """An engine for ``url``: sqlite:///path or postgresql+psycopg2://...; other databases are refused."""
    address = _address(url)
    if address.get_backend_name() == "sqlite":
        return _sqlite(address)
    return _postgresql(address)


def _address(url: str) -> URL:
    try:
        address = sa.make_url(re.sub(r"^postgres(ql)?://", "postgresql+psycopg2://", url))
    except sa.exc.ArgumentError as error:
        raise ConfigurationError(
            "ledger: the URL is not one; use sqlite:///path or postgresql+psycopg2://..."
        ) from error
    if address.get_backend_name() not in ("sqlite", "postgresql"):
        shown = address.render_as_string(hide_password=True)
        raise ConfigurationError(f"ledger: {shown} is not supported; use sqlite:///path or postgresql+psycopg2://...")
    if address.get_backend_name() == "sqlite" and address.database in (None, "", ":memory:"):
        raise ConfigurationError("ledger: an in-memory SQLite forgets everything; use sqlite:///path")
    return address


def _sqlite(address: URL) -> Engine:
    Path(str(address.database)).parent.mkdir(parents=True, exist_ok=True)
    # No pool: a SQLite connection must not live on in a forked child.
    engine = sa.create_engine(address, poolclass=NullPool, connect_args={"timeout": BUSY_TIMEOUT_S})
    sa.event.listen(engine, "connect", _prepare_sqlite)
    sa.event.listen(engine, "begin", _begin_sqlite)
    return engine


def _prepare_sqlite(dbapi_connection: Any, _record: Any) -> None:
    dbapi_connection.isolation_level = None  # transactions are begun below, not by the driver
    dbapi_connection.execute("PRAGMA foreign_keys = ON")


def _begin_sqlite(connection: Connection) -> None:
    writes = connection.get_execution_options().get("ledger_writes")
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")


def _postgresql(address: URL) -> Engine:
    timeouts = {"connect_timeout": CONNECT_TIMEOUT_S, "keepalives_idle": 30}
    engine = sa.create_engine(address, pool_size=2, max_overflow=10, pool_pre_ping=True, connect_args=timeouts)
    sa.event.listen(engine, "connect", _prepare_postgresql)
    return engine


def _prepare_postgresql(dbapi_connection: Any, _record: Any) -> None:
    with dbapi_connection.cursor() as cursor:
        cursor.execute(f"SET lock_timeout = '{LOCK_TIMEOUT_S}s'; SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
    dbapi_connection.commit()


@contextmanager
def reading(engine: Engine) -> Iterator[Connection]:
    """A read transaction. Raises LedgerError when the database cannot be reached."""
    with _patiently(engine), engine.begin() as connection:
        yield connection


@contextmanager
def writing(engine: Engine) -> Iterator[Connection]:
    """A write transaction: all of it or nothing. Raises LedgerError when locked out or out of reach."""
    with _patiently(engine), engine.execution_options(ledger_writes=True).begin() as connection:
        yield connection


@contextmanager
def _patiently(engine: Engine) -> Iterator[None]:
    try:
        yield
    except (sa.exc.OperationalError, sa.exc.TimeoutError) as error:
        shown = engine.url.render_as_string(hide_password=True)
        cause = getattr(error, "orig", None) or error
        raise LedgerError(f"ledger at {shown} did not answer: {str(cause).strip()}; trying again") from error
    except sa.exc.StatementError as error:
        if isinstance(error.orig, ConfigurationError):  # a value that our own column types refused
            raise error.orig from error
        raise


def insert(connection: Connection, table: sa.Table) -> sqlite.Insert | postgresql.Insert:
    """An INSERT that knows ON CONFLICT, in the connection's dialect (both speak the same one)."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def head() -> str:
    """The newest revision this program knows: the highest number among the migration files."""
    return max(path.name[1:5] for path in (MIGRATIONS / "versions").glob("r[0-9]*.py"))


def migrate(engine: Engine) -> None:
    """Bring the database to the newest revision; any number of processes may call this at the same time.

    Raises ConfigurationError when the database is newer than this program.
    """
    # alembic keeps its context in module globals, so threads take turns as well as processes.
    with _in_process, _alone(engine), writing(engine) as connection:
        if connection.dialect.name == "postgresql":
            connection.execute(sa.select(sa.func.pg_advisory_xact_lock(ADVISORY_LOCK)))
        _upgrade(connection)


def _upgrade(connection: Connection) -> None:
    current, newest = revision(connection), head()
    if current == newest:
        return
    if current is not None and current > newest:
        raise ConfigurationError(
            f"ledger: the database is at revision {current}, this program knows {newest}; deploy the newer program"
        )
    from alembic import command

    command.upgrade(alembic_config(connection), "head")


def revision(connection: Connection) -> str | None:
    """The revision the database is at, or None when it is empty."""
    if not sa.inspect(connection).has_table(VERSION_TABLE):
        return None
    found: str | None = connection.exec_driver_sql(f"SELECT version_num FROM {VERSION_TABLE}").scalar()
    return found


def alembic_config(connection: Connection) -> Any:
    """Configuration of alembic for an open connection; there is no ini file."""
    from alembic.config import Config

    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
    config.attributes["connection"] = connection
    return config


@contextmanager
def _alone(engine: Engine) -> Iterator[None]:
    """On SQLite: hold ``<database>.lock`` while looking and migrating.

    Nobody may read while the file is switched to WAL: SQLite then says "database is locked" without waiting.
    """
    if engine.dialect.name != "sqlite":
        yield
        return
    import fcntl

    with Path(f"{engine.url.database}.lock").open("a") as handle:
        _wait_for(handle.fileno())
        try:
            _switch_to_wal(engine)
            yield
        finally:
            fcntl.flock(handle, fcntl.LOCK_UN)


def _wait_for(descriptor: int) -> None:
    import fcntl

    deadline = time.monotonic() + LOCK_TIMEOUT_S
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                raise RetryableError(f"ledger: another process has been migrating for {LOCK_TIMEOUT_S} s") from error
            time.sleep(0.02)


def _switch_to_wal(engine: Engine) -> None:
    connection = engine.raw_connection()  # the pragma is refused inside a transaction, and SQLAlchemy always has one
    try:
        connection.cursor().execute("PRAGMA journal_mode = WAL")
    finally:
        connection.close()


def dispose_after_fork(engine: Engine) -> None:
    """In a forked child: drop the parent's connections without closing them under the parent."""
    if hasattr(os, "register_at_fork"):
        os.register_at_fork(after_in_child=lambda: engine.dispose(close=False))
