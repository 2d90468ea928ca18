"""The scan that proves forgetting can find: whatever is planted, wherever it lies, however it is packed."""

from __future__ import annotations

import gzip
import json
import sqlite3
from base64 import b64encode
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import sqlalchemy as sa

from commerce_sync.ledger import Ledger
from commerce_sync.ledger.database import writing
from commerce_sync.ledger.tables import SALT, TOMBSTONE, metadata
from proofs import bytescan

NAME = "zqlogin.one@people.example"
TEXT = f"told of {NAME}, and so on"


def parquet(compression: str, **options: Any) -> Callable[[Path], None]:
    """A table in which she stands deep inside a list, as one of a thousand."""

    def write(path: Path) -> None:
        rows = [
            {"n": n, "deep": [{"who": {"uid": NAME if n == 700 else f"other{n}@people.example"}}]} for n in range(1000)
        ]
        pq.write_table(pa.Table.from_pylist(rows), path, compression=compression, write_statistics=False, **options)
        raw = path.read_bytes()
        assert compression == "none" or NAME.encode() not in raw, "the raw bytes would do"

    return write


def freed(path: Path) -> None:
    """A row of a database that was deleted; its page is free and holds it still."""
    with closing(sqlite3.connect(path)) as connection:
        connection.execute("PRAGMA secure_delete = OFF")
        connection.execute("CREATE TABLE t (a TEXT)")
        connection.execute("INSERT INTO t VALUES (?)", (TEXT,))
        connection.commit()
        connection.execute("DELETE FROM t")
        connection.commit()


def text(made: Callable[[str], bytes]) -> Callable[[Path], None]:
    return lambda path: path.write_bytes(made(TEXT)) and None


PLACES: dict[str, Callable[[Path], None]] = {
    "plain": text(str.encode),
    "upper case": text(lambda said: said.upper().encode()),
    "percent-encoded": text(lambda said: quote(said, safe="").encode()),
    "escaped as JSON": text(lambda said: json.dumps(said).replace("@", "\\u0040").encode()),
    "base64": text(lambda said: b64encode(said.encode())),
    "base64, moved by one": text(lambda said: b64encode(b"x" + said.encode())),
    "base64, moved by two": text(lambda said: b64encode(b"xx" + said.encode())),
    "UTF-16": text(lambda said: said.encode("utf-16")),
    "hexadecimal": text(lambda said: said.encode().hex().encode()),
    "gzip": text(lambda said: gzip.compress(said.encode())),
    "Parquet, zstd": parquet("zstd", use_dictionary=False),
    "Parquet, gzip": parquet("gzip", use_dictionary=False),
    "Parquet, snappy, with a dictionary": parquet("snappy"),
    "freed page of a database": freed,
}


@pytest.mark.parametrize("place", PLACES)
def test_a_planted_name_is_found(tmp_path: Path, place: str) -> None:
    (tmp_path / "batches").mkdir()
    PLACES[place](tmp_path / "batches" / "x")
    assert list(bytescan.scan(tmp_path, [NAME])) == [("batches/x", NAME)]
    assert list(bytescan.scan(tmp_path, ["zqlogin.two@people.example"])) == []


def test_a_name_is_found_in_the_name_of_a_file(tmp_path: Path) -> None:
    (tmp_path / f"{NAME}.html").write_text("x")
    assert [name for _path, name in bytescan.scan(tmp_path, [NAME])] == [NAME]


@pytest.mark.parametrize(("path", "store"), [
    ("ledger.db-wal", "ledger, its file"), ("batches/runs/people/run-1/before/part-0.parquet", "before-images"),
    ("batches/runs/people/run-1/check/part-0.parquet", "verdicts and quarantine"),
    ("batches/runs/people/run-1/changes/part-0.parquet", "batches of runs"),
    ("batches/stores/people/run-1/carry/part-0.parquet", "carried rows"),
    ("batches/stores/people/run-1/orders/part-0.parquet", "replicas and figures"), ("else/x", "other files"),
])  # fmt: skip
def test_every_file_belongs_to_a_store(path: str, store: str) -> None:
    assert bytescan.store_of(path) == store


def test_whatever_any_table_of_the_ledger_holds_is_found_and_erased(ledger: Ledger, tmp_path: Path) -> None:
    """Tables that come later are covered as soon as they are there."""
    tables = [table for table in metadata.sorted_tables if table not in (TOMBSTONE, SALT)]
    with writing(ledger._engine) as connection:
        for table in tables:
            connection.execute(sa.insert(table).values(row_of(table)))
    personal = {table.name for table in tables if any(map(holds_text, table.c))}
    assert {where for where, _name in told(ledger)} == personal
    ledger.bury([NAME], by="anna")
    ledger.erase(ledger.marks())
    ledger.scour()
    assert told(ledger) == []
    assert list(bytescan.scan(tmp_path, [NAME])) == [], "nor in the file, where the database is one"


def told(ledger: Ledger) -> list[tuple[str, str]]:
    seen = bytescan.Seen()
    for table, rows in bytescan.tables(ledger._engine):
        bytescan._seen(seen, table, [rows], [NAME])
    return seen.finds


def holds_text(column: sa.Column[Any]) -> bool:
    """Beside the names of rows: calls and allowances have no text but that."""
    return isinstance(column.type, sa.Text | sa.JSON) and not column.primary_key


def row_of(table: sa.Table) -> dict[str, Any]:
    """A row in which every text says her name, but for what names the row."""
    return {column.name: value_of(column) for column in table.c if column.autoincrement is not True}


def value_of(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, sa.Text):
        return column.name if column.primary_key else TEXT
    if isinstance(column.type, sa.JSON):
        return {"deep": [{"who": NAME}], "stays": 7}
    if isinstance(column.type, sa.Boolean):
        return False
    if isinstance(column.type, sa.Date):
        return date(2026, 11, 21)
    return 7 if isinstance(column.type, sa.Integer | sa.Float | sa.Numeric) else other_value(column)


def other_value(column: sa.Column[Any]) -> Any:
    return datetime.now(UTC) if "UTC" in type(column.type).__name__.upper() else 7
