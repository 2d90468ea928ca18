"""I4 and I5: in whatever order, pieces and repetitions usage arrives, bands and hours of running end alike.

The SQL itself is run, as a leg's aggregate runs it: sources and ``before`` as relations, one run after the other.
"""

from __future__ import annotations

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from typing import Any

import duckdb
import pyarrow as pa
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from commerce_sync import mapping_file
from commerce_sync.mapping import Mapping
from flows.walking import ROOT, Row

NOW = datetime(2026, 11, 20, 9, tzinfo=UTC)
TODAY = NOW.replace(tzinfo=None, hour=0)
CLOSED = TODAY - timedelta(days=59)
"""What is older is read no more; its order has been settled long ago."""
BANDS = mapping_file.load(ROOT / "include/mappings/iot/usage_bands_to_groups.yaml")
WARRANTY = mapping_file.load(ROOT / "include/mappings/iot/warranty_to_shop.yaml")
CHEAP = settings(
    max_examples=20, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)


class Sql:
    """The aggregate of a leg over relations in memory."""

    def __init__(self, mapping: Mapping, fixed: dict[str, list[Row]], *, feed: str) -> None:
        self.mapping, self.feed = mapping, feed
        self.con = duckdb.connect()
        self.con.execute("SET TimeZone = 'UTC'")
        self.con.execute(f"SET VARIABLE now = TIMESTAMPTZ '{NOW.isoformat()}'")
        for source in mapping.sources:
            columns = ", ".join(f'"{name}" {kind}' for name, kind in source.columns.items())
            self.con.execute(f'CREATE TABLE "{source.name}" ({columns}, _owner VARCHAR)')
            self.put(source.name, fixed.get(source.name, []))
        columns = ", ".join(f'"{name}" {kind}' for name, kind in {"owner": "VARCHAR", **mapping.memory}.items())
        self.con.execute(f"CREATE TABLE nothing ({columns})")

    def put(self, name: str, rows: list[Row]) -> None:
        if rows:
            kinds = next(source.columns for source in self.mapping.sources if source.name == name)
            self.con.register("given", pa.Table.from_pylist(rows))
            picked = ", ".join(f'CAST("{column}" AS {kinds[column]}) AS "{column}"' for column in rows[0])
            self.con.execute(f'INSERT INTO "{name}" BY NAME SELECT {picked} FROM given')

    def begin(self) -> None:
        """As if nothing had ever been read."""
        self.con.execute(f'DELETE FROM "{self.feed}"')
        self.con.execute("CREATE OR REPLACE TABLE before AS SELECT * FROM nothing")

    def run(self, events: list[Row]) -> None:
        """One run that finds these new events."""
        self.put(self.feed, events)
        self.con.execute(f"CREATE OR REPLACE TABLE figures AS {self.mapping.aggregate}")
        columns = ", ".join(f'"{name}"' for name in ("owner", *self.mapping.memory))
        self.con.execute(f"CREATE OR REPLACE TABLE before AS SELECT {columns} FROM figures")

    def ended(self, query: str) -> list[Any]:
        return self.con.execute(query).fetchall()

    def all_ends(self, events: list[Row], query: str, *, seed: int, pieces: int) -> Iterator[list[Any]]:
        """What in-order arrival in one piece ends in, and shuffled arrival in several, some events twice."""
        for chance in (None, random.Random(seed)):
            self.begin()
            closed, rest = [[row for row in events if (row["time"] < CLOSED) is is_old] for is_old in (True, False)]
            if chance:
                rest += [row | {"id": f"{row['id']}'"} for row in chance.sample(rest, len(rest) // 5)]
                chance.shuffle(rest)
            size = -(-len(rest) // pieces) if chance else len(rest)
            self.run(closed)
            for start in range(0, len(rest), size or 1):
                self.run(rest[start : start + size])
            yield self.ended(query)


def usage(device: str, days_ago: int, *, word: int = 0, **data: Any) -> Row:
    start = TODAY - timedelta(days=days_ago)
    body = {"windowStart": start.isoformat(), "windowEnd": (start + timedelta(days=1)).isoformat(), **data}
    return {"id": f"{device}/{days_ago}/{word}", "subject": device, "time": start + timedelta(days=1, minutes=word), "data": body,
            "received_at": NOW.replace(tzinfo=None)}  # fmt: skip


@pytest.fixture(scope="module")
def bands() -> Sql:
    people = [f"C{n}" for n in range(6)]
    fixed = {
        "devices": [{"id": f"d{n}", "active": True, "attributes": {"productCode": "c200", "customerRef": who, "purchaseDate": None}}
                    for n, who in enumerate(people)],
        "customers": [{"uid": f"{who}@x", "customerID": who, "loginDisabled": False, "modifiedtime": TODAY} for who in people],
        "consents": [{"code": who, "consentGivenDate": TODAY, "customer": {"customerID": who}, "consentTemplate": {"id": "MARKETING"}}
                     for who in people],
    }  # fmt: skip
    return Sql(BANDS, fixed, feed="usage")


WEEKS = st.lists(st.sampled_from([None, 55, 72, 78, 82, 95]), min_size=13, max_size=13)
"""The load of each of thirteen weeks, the latest first; None: nothing was heard."""


@CHEAP
@given(
    loads=st.lists(WEEKS, min_size=6, max_size=6),
    corrected=st.integers(0, 12),
    seed=st.integers(0, 99),
    pieces=st.integers(1, 5),
)
def test_bands_end_alike(bands: Sql, loads: list[list[Any]], corrected: int, seed: int, pieces: int) -> None:
    events = [usage(f"d{n}", 7 * week + day, loadPctAvg=load, runtimeHoursDelta=9, cyclesTotal=100 * (91 - 7 * week - day))
              for n, weeks in enumerate(loads) for week, load in enumerate(weeks) if load is not None for day in range(1, 8)]  # fmt: skip
    events += [
        usage("d0", 7 * corrected + day, word=1, loadPctAvg=99, runtimeHoursDelta=9, cyclesTotal=0)
        for day in range(1, 8)
    ]
    query = """SELECT band, customer_id, is_in OR (SELECT count(*) FROM figures AS o WHERE o.band = f.band AND o.qualifies) < 5
        FROM figures AS f WHERE qualifies ORDER BY ALL"""
    quiet, shuffled = bands.all_ends(events, query, seed=seed, pieces=pieces)
    assert quiet == shuffled
    assert all(fits for _, _, fits in quiet), "a group of five or more takes all of them in"


@pytest.fixture(scope="module")
def warranty() -> Sql:
    day = (TODAY - timedelta(days=58)).date()
    fixed = {
        "devices": [{"id": f"d{n}", "active": True, "serial": f"S{n}", "attributes": {
            "productCode": "x9", "customerRef": "C1", "purchaseOrderCode": "O1", "contractId": None, "activationDate": f"{day}"}}
            for n in range(2)],
        "orders": [{"code": "O1", "date": TODAY - timedelta(days=59), "modifiedtime": TODAY, "status": {"code": "COMPLETED"},
                    "user": {"customerID": "C1"}, "entries": [{"entryNumber": 0, "quantity": 2, "product": {"code": "x9"}}]}],
    }  # fmt: skip
    return Sql(WARRANTY, fixed, feed="events")


@CHEAP
@given(
    steps=st.lists(st.tuples(st.integers(0, 1), st.integers(0, 57), st.integers(-300, 900)), min_size=1, max_size=40),
    seed=st.integers(0, 99), pieces=st.integers(1, 5),
)  # fmt: skip
def test_hours_of_running_and_the_end_of_warranty_end_alike(
    warranty: Sql, steps: list[tuple[int, int, int]], seed: int, pieces: int
) -> None:
    """Counters that rise, jump and fall, windows said twice with different totals."""
    body = {
        "serialNumber": None,
        "productCode": None,
        "activationDate": None,
        "faultInstanceId": None,
        "faultState": None,
    }
    events = []
    for number, (device, days, total) in enumerate(steps):
        row = usage(f"d{device}", days + 1, word=number, runtimeHoursTotal=total)
        data = {"windowEnd": row["data"]["windowEnd"], "runtimeHoursTotal": total}
        events.append({**row, "type": "usage.summary", "data": body | data})
    query = "SELECT id, status, warranty_end, limited_by, runtime_hours, settled_at, crossed_on FROM figures WHERE kind = 'device' ORDER BY id"
    quiet, shuffled = warranty.all_ends(events, query, seed=seed, pieces=pieces)
    assert quiet == shuffled
    assert {row[1] for row in quiet} <= {"in_warranty", "review"}
