"""A Salesforce org to load into: the simulator, a connection to it, batches on a scratch folder."""

from __future__ import annotations

import json
import os
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

os.environ.setdefault("AIRFLOW_HOME", tempfile.mkdtemp(prefix="airflow-home-"))
os.environ.setdefault("AIRFLOW__CORE__LOAD_EXAMPLES", "False")

from commerce_sync.batches import Batch, Batches
from commerce_sync.mapping import Field, Lookup, Target
from commerce_sync.systems.jobs import Jobs, Loaded, MemoryJobs, Waiting

CONN_ID = "sf_test"
KEY = "Commerce_Id__c"
LOOKUP = Lookup(object="Account", external_id=KEY)


async def no_nap(_seconds: float) -> None:
    """A pause between rounds that takes no time."""


class Org:
    """One org and the load of one object into it."""

    def __init__(self, far: Any, folder: Path) -> None:
        from commerce_sync.systems.salesforce.hook import SalesforceHook

        self.far = far
        self.batches = Batches(str(folder))
        self.hook = SalesforceHook(CONN_ID, sleep=no_nap, scratch=str(folder))
        self.runs = 0

    def changes(self, rows: list[dict[str, Any]] | pa.Table, *, kind: str = "NEW") -> Batch:
        """A change batch of rows; the key is the external id, ``_kind``, ``_target_id`` may be given per row."""
        table = rows if isinstance(rows, pa.Table) else pa.Table.from_pylist(rows)
        names = set(table.column_names)
        key = "_key" if "_key" in names else f"{KEY}::VARCHAR"
        given = f"coalesce(_kind, '{kind}')" if "_kind" in names else f"'{kind}'"
        target = "_target_id::VARCHAR" if "_target_id" in names else "NULL::VARCHAR"
        self.runs += 1
        with self.batches.write("leg", f"run-{self.runs}", "changes") as writer, duckdb.connect() as con:
            con.register("rows", table)
            writer.copy(
                con,
                f"SELECT {key} AS _key, {given} AS _kind, 0::UBIGINT AS _fingerprint, {target} AS _target_id, "
                "COLUMNS('^[^_].*') FROM rows",
            )
        return self.batches.read("leg", f"run-{self.runs}", "changes")

    def load(
        self,
        changes: Batch,
        *,
        fields: tuple[Field, ...] | None = None,
        to: str = "Contact",
        jobs: Jobs | None = None,
        wait_s: float = 60,
        bulk_from: int = 2000,
        on_delete: Any = "ignore",
        **options: Any,
    ) -> tuple[Any, dict[str, dict[str, Any]]]:
        """(what load gave, outcome rows by key)."""
        fields = fields or self.fields(changes)
        target = Target(
            system="salesforce",
            conn_id=CONN_ID,
            object=to,
            external_id=KEY,
            on_delete=on_delete,
            bulk_from=bulk_from,
            options={"poll_first_s": 0.02, "poll_most_s": 0.1, **options},
        )
        with self.batches.write("leg", f"run-{self.runs}", "load") as into:
            given = self.hook.load(target, fields, changes, jobs=jobs or MemoryJobs(), into=into, wait_s=wait_s)
        if isinstance(given, Waiting):
            return given, {}
        assert isinstance(given, Loaded)
        scan = self.batches.read("leg", f"run-{self.runs}", "load").scan()
        with duckdb.connect() as con:
            rows = con.sql(f"SELECT * FROM {scan}").to_arrow_table().to_pylist()
        assert len(rows) == given.rows == changes.rows
        return given, {row["_key"]: row for row in rows}

    def fields(self, changes: Batch, *, leave: tuple[str, ...] = ()) -> tuple[Field, ...]:
        """A field per column; ``AccountId`` is a lookup."""
        with duckdb.connect() as con:
            names = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {changes.scan()}").fetchall()]
        return tuple(
            Field(
                name=name,
                value=name,
                on_null="leave" if name in leave else "clear",
                lookup=LOOKUP if name == "AccountId" else None,
            )
            for name in names
            if not name.startswith("_")
        )

    def contacts(self) -> dict[str, dict[str, Any]]:
        """Live contacts by external id."""
        return self.live("Contact")

    def live(self, kind: str) -> dict[str, dict[str, Any]]:
        rows = self.far.control("GET", f"records/{kind}", params={"limit": 100000})["records"]
        return {row[KEY]: row for row in rows if not row["IsDeleted"]}

    def job_states(self) -> list[str]:
        """States of every ingest job of the org, oldest first."""
        return [job["state"] for job in self.jobs()]

    def jobs(self) -> list[dict[str, Any]]:
        answer = self.hook.call("GET", "jobs/ingest")
        return sorted(answer["records"], key=lambda job: job["id"])


@pytest.fixture
def connect(salesforce: Any, monkeypatch: pytest.MonkeyPatch) -> Callable[..., None]:
    """Set the test connection; keywords go into its extra, login and password may be replaced."""

    def make(login: str | None = None, password: str | None = None, **extra: Any) -> None:
        connection = {
            "conn_type": "commerce_sync_salesforce",
            "host": salesforce.url,
            "login": salesforce.client_id if login is None else login,
            "password": salesforce.client_secret if password is None else password,
            "extra": extra,
        }
        monkeypatch.setenv(f"AIRFLOW_CONN_{CONN_ID.upper()}", json.dumps(connection))

    make()
    return make


@pytest.fixture
def org(salesforce: Any, connect: Callable[..., None], tmp_path: Path) -> Org:
    salesforce.clear_faults()
    salesforce.options(job_min_polls=1, job_latency_ms=0)
    return Org(salesforce, tmp_path)
