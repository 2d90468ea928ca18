"""Query results to Parquet or CSV: pages of the REST API for small results, Bulk query jobs for large ones."""

from __future__ import annotations

import csv
import json
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import duckdb

from commerce_sync.errors import ConfigurationError, QuotaError
from commerce_sync.systems.salesforce.bulk import BulkQuery
from commerce_sync.systems.salesforce.cells import literal, quoted
from commerce_sync.systems.salesforce.client import SalesforceClient, flat

BULK_FROM_ROWS = 10_000
WHOLE, FRACTION = ("int", "long"), ("double", "currency", "percent")


async def query_to_file(
    client: SalesforceClient, soql: str, path: Path, *, all_rows: bool = False, bulk: bool | None = None
) -> int:
    """Write the result of a query to ``path`` (``.parquet`` typed by describe, or ``.csv``); returns the rows.

    bulk: None decides by the number of rows and falls back to paging for queries Bulk does not take.
    Fields of parents are columns such as "Account.Name"; child lists are JSON text.
    """
    if path.suffix not in (".parquet", ".csv"):
        raise ConfigurationError(f"query result {path} must end in .parquet or .csv")
    path.parent.mkdir(parents=True, exist_ok=True)
    object_name, files = await _fetch(client, soql, path.parent, all_rows=all_rows, bulk=bulk)
    try:
        header = _header(files[0])
        types = await _types(client, object_name, header) if path.suffix == ".parquet" else {}
        return _convert(files, header, types, path)
    finally:
        for file in files:
            file.unlink(missing_ok=True)


async def _fetch(
    client: SalesforceClient, soql: str, folder: Path, *, all_rows: bool, bulk: bool | None
) -> tuple[str, list[Path]]:
    if bulk:
        job, files = await BulkQuery(client).to_csv(soql, folder, all_rows=all_rows)
        return str(job["object"]), files
    pages = client.pages(soql, all_rows=all_rows)
    first = await anext(pages)
    if bulk is None and first["totalSize"] >= BULK_FROM_ROWS:
        try:
            job, files = await BulkQuery(client).to_csv(soql, folder, all_rows=all_rows)
        except (ConfigurationError, QuotaError):
            pass  # aggregates, child lists and used-up query jobs still come by pages
        else:
            return str(job["object"]), files
    file = folder / "page-rest.csv"
    records = first["records"]
    await _write_pages(file, records, pages)
    return str(records[0]["attributes"]["type"]) if records else "", [file]


async def _write_pages(file: Path, records: list[dict[str, Any]], pages: AsyncIterator[dict[str, Any]]) -> None:
    names = list(dict.fromkeys(name for record in records for name in flat(record)))
    with file.open("w", encoding="utf-8", newline="") as sink:
        writer = csv.DictWriter(sink, names or ["Id"], lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        while True:
            writer.writerows({name: _cell(value) for name, value in flat(r).items()} for r in records)
            page = await anext(pages, None)
            if page is None:
                return
            records = page["records"]


async def _types(client: SalesforceClient, object_name: str, header: Sequence[str]) -> dict[str, str]:
    """DuckDB types of the columns that are plain fields of the queried object."""
    if not object_name or object_name == "AggregateResult":
        return {}
    fields = {field["name"]: field for field in (await client.describe(object_name))["fields"]}
    return {name: _type(fields[name]) for name in header if name in fields}


def _type(field: dict[str, Any]) -> str:
    kind = field["type"]
    if kind in FRACTION:
        return f"DECIMAL({min(38, max(18, field.get('precision') or 18))}, {field.get('scale') or 0})"
    if kind in WHOLE:
        return "BIGINT"
    return {"boolean": "BOOLEAN", "date": "DATE", "datetime": "TIMESTAMPTZ"}.get(kind, "VARCHAR")


def _convert(files: list[Path], header: list[str], types: dict[str, str], path: Path) -> int:
    columns = ", ".join(f"{literal(name)}: 'VARCHAR'" for name in header)
    names = ", ".join(literal(str(file)) for file in files)
    select = ", ".join(f"{_cast(name, types.get(name, 'VARCHAR'))} AS {quoted(name)}" for name in header)
    shape = "FORMAT parquet, COMPRESSION zstd" if path.suffix == ".parquet" else "FORMAT csv, HEADER true"
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        done = con.execute(
            f"COPY (SELECT {select} FROM read_csv([{names}], auto_detect = false, header = false, skip = 1, "
            f"columns = {{{columns}}}, delim = ',', quote = '\"', escape = '\"', new_line = '\\n', "
            f"parallel = false)) TO {literal(str(path))} ({shape})"
        )
        return int(done.fetchall()[0][0])


def _cast(name: str, type_text: str) -> str:
    column = f"nullif({quoted(name)}, '')"
    if type_text == "TIMESTAMPTZ":
        # REST writes +0000, which is not ISO 8601; Bulk writes Z.
        column = f"regexp_replace({column}, '([+-][0-9]{{2}})([0-9]{{2}})$', '\\1:\\2')"
    return f"CAST({column} AS {type_text})"


def _cell(value: Any) -> str | None:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, dict | list):
        return json.dumps(value, ensure_ascii=False)
    return None if value is None else str(value)


def _header(file: Path) -> list[str]:
    with file.open(encoding="utf-8-sig", newline="") as source:
        return next(csv.reader(source), ["Id"])
