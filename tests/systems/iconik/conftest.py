"""An iconik domain to read and write: the simulator, a connection to it, batches on a scratch folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Awaitable, Callable
from datetime import datetime
from pathlib import Path
from typing import Any

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

import asyncio

import duckdb
import pyarrow as pa
import pytest

from commerce_sync.batches import Batch, Batches
from commerce_sync.mapping import Field, Lookup, Source, Target
from commerce_sync.systems.iconik.client import IconikClient
from commerce_sync.systems.iconik.hook import IconikHook

CONN_ID = "iconik_test"
Row = dict[str, Any]
COLUMNS = {"id": "VARCHAR", "title": "VARCHAR", "date_modified": "TIMESTAMP"}


class Domain:
    """One iconik domain, its hook, and legs' worth of batches. Pauses move the far side's clock."""

    def __init__(self, far: Any, folder: Path) -> None:
        self.far = far
        self.folder = folder
        self.batches = Batches(str(folder))
        self.hook = IconikHook(CONN_ID, sleep=self.nap)
        self.naps: list[float] = []
        self.runs = 0

    async def nap(self, seconds: float) -> None:
        """A pause that takes no time here and all of it over there."""
        self.naps.append(seconds)
        await asyncio.to_thread(self.far.clock, advance_s=seconds)

    def with_client(self, work: Callable[[IconikClient], Awaitable[Any]]) -> Any:
        async def within() -> Any:
            async with self.hook.client() as client:
                return await work(client)

        return asyncio.run(within())

    def asset(self, title: str = "An asset", **values: Any) -> str:
        """A whole asset, indexed at once; gives its id."""
        self.far.put("complete_assets", [{"title": title, **values}])
        return next(row["id"] for row in reversed(self.far.records("assets")) if row["title"] == title)

    def collection(self, external_id: str, title: str = "A package", **values: Any) -> str:
        self.far.put("collections", [{"title": title, "external_id": external_id, **values}])
        return self.far.records("collections", external_id=external_id)[-1]["id"]

    def catch_up(self, seconds: float = 60) -> None:
        """The index has seen everything."""
        self.far.clock(advance_s=seconds)

    def metadata(self, key: str) -> dict[str, list[Any]]:
        """Set metadata values of an object, of whatever version."""
        rows = [row for row in self.far.records("metadata") if row["object_id"] == key]
        found = {name: [one["value"] for one in entry["field_values"]]
                 for row in rows for name, entry in row["metadata_values"].items()}  # fmt: skip
        return {name: listed for name, listed in found.items() if listed}

    def links(self) -> set[tuple[str, str]]:
        return {(row["collection_id"], row["object_id"]) for row in self.far.records("contents")}

    def source(self, columns: Row | None = None, *, entity_set: str = "assets", **more: Any) -> Source:
        return Source(
            name="source", system="iconik", conn_id=CONN_ID, entity_set=entity_set, columns=columns or COLUMNS,
            key=more.pop("key", "id"), modified=more.pop("modified", "date_modified"),
            filter=more.pop("filter", None), options=more,
        )  # fmt: skip

    def extract(
        self, source: Source, *, since: datetime | None = None, until: datetime | None = None, complete: bool = False
    ) -> tuple[Any, dict[str, Row]]:
        """(what extract gave, rows by id)."""
        self.runs += 1
        with self.batches.write("leg", f"run-{self.runs}", "extract") as into:
            found = self.hook.extract(source, since=since, until=until, complete=complete, into=into)
        rows = self._rows(self.batches.read("leg", f"run-{self.runs}", "extract"))
        assert len(rows) == found.rows == len({row["id"] for row in rows})
        return found, {row["id"]: row for row in rows}

    def changes(self, rows: list[Row] | pa.Table, *, kind: str = "NEW") -> Batch:
        """A change batch; ``_key``, ``_kind``, ``_target_id``, ``_leave`` may be given per row."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        names = set(table.column_names)
        key = "_key::VARCHAR" if "_key" in names else f"{next(iter(table.column_names))}::VARCHAR"
        own = f"coalesce(_kind, '{kind}')" if "_kind" in names else f"'{kind}'"
        target = "_target_id::VARCHAR" if "_target_id" in names else "NULL::VARCHAR"
        mark = "_fingerprint::UBIGINT" if "_fingerprint" in names else "7::UBIGINT"
        leave = ", _leave" if "_leave" in names else ""
        self.runs += 1
        with self.batches.write("leg", f"run-{self.runs}", "changes") as writer, duckdb.connect() as con:
            con.register("rows", table)
            writer.copy(con, f"SELECT {key} AS _key, {own} AS _kind, {mark} AS _fingerprint, {target} AS _target_id, "
                             f"COLUMNS('^[^_].*'){leave} FROM rows")  # fmt: skip
        return self.batches.read("leg", f"run-{self.runs}", "changes")

    def load(
        self, rows: list[Row] | pa.Table, *, to: str, by: str = "external_id", kind: str = "NEW",
        on_delete: Any = "ignore", leave: tuple[str, ...] = (), lookups: dict[str, Lookup] | None = None, **options: Any,
    ) -> dict[str, Row]:  # fmt: skip
        """Outcome rows by key."""
        changes = self.changes(rows, kind=kind)
        fields, target = self.fields(changes, leave=leave, lookups=lookups), self.target(to, by, on_delete, **options)
        with self.batches.write("leg", f"run-{self.runs}", "load") as into:
            done = self.hook.load(target, fields, changes, jobs=None, into=into, wait_s=60)
        found = self._rows(self.batches.read("leg", f"run-{self.runs}", "load"))
        assert len(found) == done.rows == changes.rows
        return {row["_key"]: row for row in found}

    def fields(
        self, changes: Batch, *, leave: tuple[str, ...] = (), lookups: dict[str, Lookup] | None = None
    ) -> tuple[Field, ...]:
        with duckdb.connect() as con:
            names = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {changes.scan()}").fetchall()]
        return tuple(
            Field(name, name, "leave" if name in leave else "clear", lookup=(lookups or {}).get(name))
            for name in names if not name.startswith("_")
        )  # fmt: skip

    def target(self, to: str, by: str = "external_id", on_delete: Any = "ignore", **options: Any) -> Target:
        return Target("iconik", CONN_ID, to, by, on_delete=on_delete, options=options)

    def _rows(self, batch: Batch) -> list[Row]:
        with duckdb.connect() as con:
            return con.sql(f"SELECT * FROM {batch.scan()}").to_arrow_table().to_pylist()

    def writes(self) -> dict[str, int]:
        """Calls that could change something since the last ``reset_calls``."""
        routes = self.far.calls()["by_route"]
        return {route: count for route, count in routes.items()
                if not route.startswith("GET") and "/search/" not in route}  # fmt: skip


@pytest.fixture
def connect(iconik: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the test connection; keywords replace its values or go into its extra."""

    def make(**values: Any) -> None:
        connection = {
            "conn_type": "commerce_sync_iconik",
            "host": values.pop("host", iconik.url),
            "login": values.pop("login", iconik.app_id),
            "password": values.pop("password", iconik.auth_token),
            "extra": {"view": "SAP Commerce", "max_per_second": 100_000} | values,
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))

    make()
    return make


@pytest.fixture
def domain(iconik: Any, connect: Callable[..., None], tmp_path: Path) -> Domain:
    iconik.clear_faults()
    return Domain(iconik, tmp_path)
