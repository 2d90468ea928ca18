"""What makes a run cost a tenth: nothing the engine decides differs, only what it stands on.

Sessions of DuckDB are cursors of one instance with one thread (each has its own temporary tables and variables), the
ledger is a migrated SQLite file that is copied, on a disk in memory where there is one, and the types of a mapping's
fields are bound once; the gate's page is not drawn. Histories over HTTP run without any of it.
"""

from __future__ import annotations

import os
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import duckdb
import sqlalchemy as sa
from sqlalchemy.engine import Engine
from sqlalchemy.pool import StaticPool

from commerce_sync import binding, company, gate_page, leg
from commerce_sync.batches import Batches
from commerce_sync.ledger import Ledger, database, runs
from commerce_sync.leg import Site
from commerce_sync.mapping import Mapping
from commerce_sync.systems.sap_commerce import windows
from proofs.clock import Virtual
from proofs.crm import Cut

MEMORY = Path("/dev/shm")


class ShakyLedger(Ledger):
    """The ledger, whose settling can be cut off: ``fault`` before or after the transaction, once."""

    fault: str | None = None

    def settle(self, run: Any, **values: Any) -> Any:
        """As the ledger does; a cut after the transaction leaves it settled."""
        fault, self.fault = self.fault, None
        if fault == "settle-before":
            raise Cut("the ledger does not answer")
        settled = super().settle(run, **values)
        if fault == "settle-after":
            raise Cut("the ledger's answer got lost")
        return settled


class Ground:
    """A site that is made once and wiped between histories."""

    def __init__(self) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="proofs-", dir=MEMORY if os.access(MEMORY, os.W_OK) else None))
        self.template = self.folder / "template.db"
        engine = database.connect(f"sqlite:///{self.template}")
        database.migrate(engine)
        engine.dispose()
        engine = database.connect(f"sqlite:///{self.folder}/ledger.db")
        engine.pool = self._kept_open = _kept_open(engine)
        self.ledger = ShakyLedger(engine, files=f"{self.folder}/files/markers")

    def site(self) -> Site:
        """Empty stores and an empty ledger."""
        shutil.rmtree(self.folder / "files", ignore_errors=True)
        self._kept_open.dispose()
        for name in ("ledger.db-wal", "ledger.db-shm"):
            (self.folder / name).unlink(missing_ok=True)
        shutil.copyfile(self.template, self.folder / "ledger.db")
        self.ledger.fault = None
        files = f"{self.folder}/files"
        return Site(self.ledger, Batches(f"{files}/runs"), Batches(f"{files}/stores"), self.folder / "pages")

    def remove(self) -> None:
        shutil.rmtree(self.folder, ignore_errors=True)


def _kept_open(engine: Engine) -> StaticPool:
    """One connection for all of a history: nobody forks here."""
    pool = StaticPool(engine.pool._creator)
    sa.event.listen(pool, "connect", database._prepare_sqlite)
    return pool


@contextmanager
def cheaply() -> Iterator[Ground]:
    """Everything within runs on the virtual clock, and cheaply."""
    real, bound = duckdb.connect, binding.field_types
    instance = duckdb.connect(config={"threads": 1, "preserve_insertion_order": False})
    known: dict[Any, binding.Types] = {}

    def field_types(mapping: Mapping) -> binding.Types:
        names = (mapping.leg, mapping.where, *((item.name, item.value) for item in mapping.fields))
        if names not in known:
            with mock.patch.object(duckdb, "connect", real):
                known[names] = bound(mapping)
        return known[names]

    def connect(*_: Any, **__: Any) -> Any:
        return Session(instance.cursor())

    ground = Ground()
    with (
        mock.patch.object(binding, "field_types", field_types), mock.patch.object(duckdb, "connect", connect),
        mock.patch.object(runs, "datetime", Virtual), mock.patch.object(leg, "datetime", Virtual),
        mock.patch.object(windows, "datetime", Virtual), mock.patch.object(company, "datetime", Virtual),
        mock.patch.object(company, "BUSY_FOR", timedelta(days=9)), mock.patch.object(gate_page, "write"),
    ):  # fmt: skip
        try:
            yield ground
        finally:
            ground.remove()


class Session:
    """A cursor that passes for a connection: settings of the instance are asked for in vain."""

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)

    def execute(self, query: str, *values: Any) -> Any:
        if query.startswith("SET temp_directory"):
            return self._cursor
        return self._cursor.execute(query, *values)

    def __enter__(self) -> Session:
        return self

    def __exit__(self, *_: object) -> None:
        self._cursor.close()
