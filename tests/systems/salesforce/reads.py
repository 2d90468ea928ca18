"""Sources of the tests, and how a story reads one."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync.mapping import Source

START = datetime(2026, 11, 1, 12, 0, tzinfo=UTC)
KEY = "Commerce_Id__c"
COLUMNS = {"Id": "VARCHAR", KEY: "VARCHAR", "Name": "VARCHAR", "SystemModstamp": "TIMESTAMPTZ"}
QUICK = {"poll_first_s": 0.01, "poll_most_s": 0.05}


def at(seconds: float) -> datetime:
    """A moment after the start."""
    return START + timedelta(seconds=seconds)


def accounts(**more: Any) -> Source:
    """A source of accounts; keywords replace its parts, ``plus`` adds columns."""
    columns = COLUMNS | more.pop("plus", {})
    options = QUICK | more.pop("options", {})
    given = {"name": "source", "system": "salesforce", "conn_id": "sf_test", "entity_set": "Account"}
    return Source(**{**given, "columns": columns, "key": KEY, "modified": "SystemModstamp", **more, "options": options})


def account(number: int, **values: Any) -> dict[str, Any]:
    """An account that changed ``number`` seconds after the start."""
    return {KEY: f"a-{number:05d}", "Name": f"Account {number}", "SystemModstamp": at(number).isoformat(), **values}


def keys(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row[KEY] for row in rows)


def numbers(*numbers: int) -> list[str]:
    return [f"a-{number:05d}" for number in numbers]


def read(
    org: Any, source: Source, *, since: datetime | None = None, until: datetime | None = None, complete: bool = True
) -> tuple[Any, list[dict[str, Any]]]:
    """(what extract gave, the rows of its batch)."""
    found, table = read_table(org, source, since=since, until=until, complete=complete)
    return found, table.to_pylist()


def read_table(org: Any, source: Source, **window: Any) -> tuple[Any, pa.Table]:
    """(what extract gave, its batch as one table)."""
    org.runs += 1
    with org.batches.write("leg", f"run-{org.runs}", "extract") as into:
        found = org.hook.extract(source, into=into, **window)
    batch = org.batches.read("leg", f"run-{org.runs}", "extract")
    table = pa.concat_tables([pq.read_table(path) for path in batch.paths()])
    assert table.column_names == list(source.columns)
    assert found.rows == batch.rows == table.num_rows
    return found, table
