"""Records and files of a DAG of one's own, as a change batch the loader takes; and what came of them."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Literal

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq

from commerce_sync.batches import Batch, Batches
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.mapping import Field, Lookup
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.salesforce.cells import literal, quoted

LEG, RUN = "operator", "run"
Rows = Sequence[Mapping[str, Any]] | str


def stage_input(batches: Batches, rows: Rows, *, key: str, kind: Literal["MODIFIED", "DELETED"]) -> Batch:
    """Write records, or a local .parquet or .csv file, as changes whose key is column ``key``.

    CSV columns stay text, which Salesforce converts. Raises ConfigurationError when the key column is missing.
    """
    with batches.write(LEG, RUN, "changes") as writer, duckdb.connect() as con:
        source = _source(con, rows)
        columns = [row[0] for row in con.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()]
        if key not in columns:
            raise ConfigurationError(f"the input has no column {key!r}; it has: {', '.join(columns)}")
        target_id = f"{quoted(key)}::VARCHAR" if kind == "DELETED" else "NULL::VARCHAR"
        writer.copy(
            con,
            f"SELECT coalesce({quoted(key)}::VARCHAR, 'row ' || row_number() OVER ()) AS _key, '{kind}' AS _kind, "
            f"0::UBIGINT AS _fingerprint, {target_id} AS _target_id, * FROM {source}",
        )
    return batches.read(LEG, RUN, "changes")


def one_of(records: Sequence[Mapping[str, Any]] | None, path: str | None, *, names: str) -> Rows:
    """The one input that was given. Raises ConfigurationError for none or both."""
    if (records is None) == (path is None):
        raise ConfigurationError(f"give exactly one of {names}")
    return path if records is None else records  # type: ignore[return-value]


def fields_of(changes: Batch, *, lookups: Mapping[str, str], on_null: Literal["clear", "leave"]) -> tuple[Field, ...]:
    """One mapping field per column; ``lookups``: column -> "Account.Commerce_Id__c"."""
    schema = pq.read_schema(changes.paths()[0])
    names = [name for name in schema.names if not name.startswith("_")]
    if unknown := sorted(set(lookups) - set(names)):
        raise ConfigurationError(f"lookup {unknown[0]!r} is no column of the input; it has: {', '.join(names)}")
    return tuple(Field(name=name, value=name, on_null=on_null, lookup=_lookup(lookups.get(name))) for name in names)


def report(loaded: Loaded, outcomes: Batch, *, rejected_path: str | None, max_rejected: int) -> dict[str, Any]:
    """Counts of a load; writes the rows that were not delivered to ``rejected_path`` (.parquet or .csv).

    Raises GuardError when more than ``max_rejected`` rows were not delivered, after the file is written.
    """
    refused = loaded.rejected + loaded.unprocessed
    if rejected_path:
        _write_refused(outcomes, Path(rejected_path))
    if refused > max_rejected:
        where = f"; they are in {rejected_path}" if rejected_path else "; set rejected_path to see them"
        raise GuardError(
            f"Salesforce did not take {refused} of {loaded.rows} rows, {max_rejected} are allowed "
            f"({_first_reason(outcomes)}){where}"
        )
    return {
        "delivered": loaded.delivered,
        "created": loaded.created,
        "rejected": loaded.rejected,
        "unprocessed": loaded.unprocessed,
        "rejected_path": rejected_path,
    }


def _source(con: duckdb.DuckDBPyConnection, rows: Rows) -> str:
    if not isinstance(rows, str):
        con.register("records", pa.Table.from_pylist([dict(row) for row in rows]))
        return "records"
    if rows.endswith(".parquet"):
        return f"read_parquet({literal(rows)})"
    if rows.endswith(".csv"):
        return f"read_csv({literal(rows)}, header = true, all_varchar = true)"
    raise ConfigurationError(f"input {rows!r} must be a list of records or a path ending in .parquet or .csv")


def _lookup(text: str | None) -> Lookup | None:
    if text is None:
        return None
    if not re.fullmatch(r"\w+\.\w+", text):
        raise ConfigurationError(f"lookup {text!r} must look like 'Account.Commerce_Id__c'")
    parent, external_id = text.split(".")
    return Lookup(object=parent, external_id=external_id)


def _write_refused(outcomes: Batch, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    shape = "FORMAT csv, HEADER true" if path.suffix == ".csv" else "FORMAT parquet, COMPRESSION zstd"
    with duckdb.connect() as con:
        con.execute(
            f"COPY (SELECT * FROM {outcomes.scan()} WHERE outcome <> 'delivered') TO {literal(str(path))} ({shape})"
        )


def _first_reason(outcomes: Batch) -> str:
    with duckdb.connect() as con:
        rows = con.execute(
            f"SELECT coalesce(code, 'no code'), count(*) FROM {outcomes.scan()} WHERE outcome <> 'delivered' "
            "GROUP BY 1 ORDER BY 2 DESC LIMIT 3"
        ).fetchall()
    return ", ".join(f"{count} x {code}" for code, count in rows)
