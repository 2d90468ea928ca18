"""Pairs of tables that mean the same (or do not), and what each way of hashing makes of them."""

from __future__ import annotations

import hashlib
import json
import unicodedata
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pyarrow as pa

BERLIN = timezone(timedelta(hours=1))
NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Trap:
    """Two tables; the first rows of both mean the same record when ``same``. types: the mapping's field types."""

    name: str
    one: pa.Table
    other: pa.Table
    types: dict[str, str]
    same: bool = True


def traps() -> list[Trap]:
    """Every trap of the list, made anew (tables are cheap)."""
    return [*_numbers(), *_moments(), *_shapes()]


def _numbers() -> list[Trap]:
    nan, null = _t(a=pa.array([float("nan")])), _t(a=pa.array([None], pa.float64()))
    return [
        Trap("0.0 and -0.0", _t(a=pa.array([0.0])), _t(a=pa.array([-0.0])), {"a": "DOUBLE"}),
        Trap("not a number and null", nan, null, {"a": "DOUBLE"}),
        Trap("decimal 1.1 and 1.10", _decimal("1.1"), _decimal("1.10"), {"a": "DECIMAL(18,2)"}),
        Trap("integer 1 and 1.0", _t(a=pa.array([1])), _t(a=pa.array([1.0])), {"a": "BIGINT"}),
        Trap("a null elsewhere on the page", _t(a=pa.array([1, 2])), _t(a=pa.array([1, None])), {"a": "BIGINT"}),
    ]


def _moments() -> list[Trap]:
    stamp, zoned = "TIMESTAMP", "TIMESTAMPTZ"
    naive = NOON.replace(tzinfo=None)
    utc = _t(a=pa.array([NOON], pa.timestamp("us", tz="UTC")))
    berlin = _t(a=pa.array([NOON.astimezone(BERLIN)], pa.timestamp("us", tz="+01:00")))
    milli, micro = (_t(a=pa.array([naive], pa.timestamp(unit))) for unit in ("ms", "us"))
    late = _t(a=pa.array([naive + timedelta(hours=1)], pa.timestamp("us")))
    return [
        Trap("one instant in two time zones", utc, berlin, {"a": zoned}),
        Trap("timestamp in ms and in us", milli, micro, {"a": stamp}),
        Trap("timestamp in us and in ns", micro, _t(a=pa.array([naive], pa.timestamp("ns"))), {"a": stamp}),
        Trap("an hour of difference is noticed", micro, late, {"a": stamp}, same=False),
    ]


def _shapes() -> list[Trap]:
    text = {"a": "VARCHAR", "b": "VARCHAR", "c": "VARCHAR"}
    composed, apart = (_t(a=pa.array([unicodedata.normalize(form, "Zo\u00eb")])) for form in ("NFC", "NFD"))
    null = pa.array([None], pa.string())
    shifted = _t(a=["a"], b=null, c=["b"]), _t(a=["a"], b=["b"], c=null)
    moved = _t(a=["x", "y"], b=["1", "2"]), _t(a=["x", "w"], b=["1", "3"])
    forged = _t(a=["x\x1fy"], b=["z"], c=[""]), _t(a=["x"], b=["y\x1fz"], c=[""])
    return [
        Trap("other rows beside it", *moved, {"a": "VARCHAR", "b": "VARCHAR"}),
        Trap("other column order", _t(a=["x"], b=["1"]), _t(b=["1"], a=["x"]), {"a": "VARCHAR", "b": "VARCHAR"}),
        Trap("letters composed and decomposed", composed, apart, {"a": "VARCHAR"}),
        Trap("a null does not let its neighbour slip", *shifted, text, same=False),
        Trap("text cannot imitate a separator", *forged, text, same=False),
    ]


def _t(**columns: Any) -> pa.Table:
    return pa.table(columns)


def _decimal(text: str) -> pa.Table:
    return pa.table({"a": pa.array([Decimal(text)])})


def probe(*, way: str) -> dict[str, str]:
    """Trap -> "pass", or what went wrong, for one way of hashing."""
    return {trap.name: _judge(WAYS[way], trap) for trap in traps()}


def _judge(hashed: Callable[[pa.Table, Trap], Any], trap: Trap) -> str:
    try:
        equal = hashed(trap.one, trap) == hashed(trap.other, trap)
    except (TypeError, ValueError) as error:
        return f"error: {type(error).__name__}"
    if equal == trap.same:
        return "pass"
    return "FALSE CHANGE" if trap.same else "LOST CHANGE"


def ours(table: pa.Table, trap: Trap) -> Any:
    """The product's fingerprint over columns cast to the mapping's types, as ``map_changes`` does it."""
    import duckdb

    from commerce_sync import changes

    casts = ", ".join(f'CAST("{name}" AS {kind}) AS "{name}"' for name, kind in trap.types.items())
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        con.register("page", table)
        query = f"SELECT {changes.fingerprint(trap.types, version=1)} FROM (SELECT {casts} FROM page) LIMIT 1"
        return con.execute(query).fetchall()[0][0]


def pandas(table: pa.Table, trap: Trap) -> Any:
    """``hash_pandas_object`` of the page as a frame."""
    import pandas as pd

    return int(pd.util.hash_pandas_object(table.to_pandas(), index=False).iloc[0])


def polars(table: pa.Table, trap: Trap) -> Any:
    """``DataFrame.hash_rows``."""
    import polars as pl

    return int(pl.from_arrow(table).hash_rows()[0])  # type: ignore[union-attr]


def json_sha(table: pa.Table, trap: Trap) -> Any:
    """sha256 over the row's sorted JSON."""
    row = table.to_pylist()[0]
    return hashlib.sha256(json.dumps(row, sort_keys=True, default=str).encode()).hexdigest()


WAYS: dict[str, Callable[[pa.Table, Trap], Any]] = {
    "ours": ours,
    "pandas": pandas,
    "polars": polars,
    "json": json_sha,
}


def golden() -> dict[str, str]:
    """pandas' own hashes of fixed values, to compare between two versions of pandas."""
    import pandas as pd

    values = {
        "-0.0": pd.Series([-0.0]),
        "text": pd.Series(["Zoe"]),
        "instant": pd.Series(pd.to_datetime(["2026-11-21T12:00:00Z"])),
    }
    hashes = {name: str(int(pd.util.hash_pandas_object(value, index=False).iloc[0])) for name, value in values.items()}
    return {"version": pd.__version__, **hashes}
