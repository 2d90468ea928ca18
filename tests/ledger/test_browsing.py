"""What people page through: everything once, in order, on both databases."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from commerce_sync.ledger import COUNTS, Ledger, rejects
from commerce_sync.ledger.browsing import Browser
from commerce_sync.ledger.database import writing
from commerce_sync.ledger.tables import RUN

NOON = datetime(2026, 11, 21, 12, tzinfo=UTC)


def put_runs(ledger: Ledger, *rows: dict[str, Any]) -> None:
    empty = {"kind": "changes", "status": "green", "calls": {}, "seconds": {}, **dict.fromkeys(COUNTS, 0)}
    with writing(ledger._engine) as connection:
        connection.execute(sa.insert(RUN), [empty | {"ended": row["started"]} | row for row in rows])


def put_rejects(ledger: Ledger, leg: str, *rows: dict[str, Any]) -> None:
    given = [{"status": "rejected", "reason_class": None, "code": None} | row for row in rows]
    with writing(ledger._engine) as connection:
        rejects.put(connection, leg, run="run-1", rows=pa.Table.from_pylist(given))


@pytest.fixture
def browser(ledger: Ledger) -> Browser:
    return Browser(ledger)


def test_runs_of_one_moment_are_each_on_one_page(ledger: Ledger, browser: Browser) -> None:
    put_runs(ledger, *({"leg": f"leg{leg}", "run": f"r{run}", "started": NOON} for leg in range(3) for run in range(3)))
    seen: list[tuple[str, str]] = []
    before = None
    while page := browser.runs(before=before, limit=2):
        seen += [(run.leg, run.run) for run in page]
        before = (page[-1].started, page[-1].leg, page[-1].run)
    assert seen == sorted(seen, reverse=True)
    assert len(set(seen)) == 9


def test_runs_are_narrowed_by_leg_status_and_kind(ledger: Ledger, browser: Browser) -> None:
    put_runs(
        ledger,
        {"leg": "a", "run": "1", "started": NOON, "status": "red"},
        {"leg": "a", "run": "2", "started": NOON, "kind": "plan"},
        {"leg": "b", "run": "3", "started": NOON},
    )
    assert [run.run for run in browser.runs(leg="a")] == ["2", "1"]
    assert [run.run for run in browser.runs(status="red")] == ["1"]
    assert [run.run for run in browser.runs(kind="plan")] == ["2"]


def test_the_last_run_is_no_plan_and_the_last_green_one_is_remembered(ledger: Ledger, browser: Browser) -> None:
    earlier = NOON - timedelta(hours=1)
    put_runs(
        ledger,
        {"leg": "a", "run": "1", "started": earlier, "ended": earlier + timedelta(minutes=1)},
        {"leg": "a", "run": "2", "started": NOON, "status": "red"},
        {"leg": "a", "run": "3", "started": NOON + timedelta(hours=1), "kind": "plan", "status": "stopped"},
    )
    latest = browser.latest(["a", "never"])
    assert set(latest) == {"a"}
    assert (latest["a"].run.run, latest["a"].green) == ("2", earlier + timedelta(minutes=1))


def test_rows_over_time_add_up_in_steps(ledger: Ledger, browser: Browser) -> None:
    put_runs(
        ledger,
        {"leg": "a", "run": "0", "started": NOON - timedelta(seconds=1), "delivered": 1000},
        {"leg": "a", "run": "1", "started": NOON, "delivered": 3, "rejected": 1},
        {"leg": "b", "run": "2", "started": NOON + timedelta(minutes=29, seconds=59), "delivered": 4},
        {"leg": "a", "run": "3", "started": NOON + timedelta(minutes=90), "quarantined": 5, "unprocessed": 6},
        {"leg": "a", "run": "4", "started": NOON + timedelta(hours=2), "delivered": 1000},
    )
    span: dict[str, Any] = {"since": NOON, "until": NOON + timedelta(hours=2), "step_s": 1800}
    found = [(item.at, item.delivered, item.rejected, item.quarantined, item.unprocessed)
             for item in browser.rows_over_time(**span)]  # fmt: skip
    assert found == [(NOON, 7, 1, 0, 0), (NOON + timedelta(minutes=90), 0, 0, 5, 6)]
    assert [item.delivered for item in browser.rows_over_time(leg="b", **span)] == [4]


def test_rejects_of_all_legs_are_each_on_one_page(ledger: Ledger, browser: Browser) -> None:
    for leg in ("a", "b"):
        put_rejects(ledger, leg, *({"key": f"k{number}"} for number in range(5)))
    seen: list[tuple[str, str]] = []
    after = None
    while page := browser.rejects(after=after, limit=3):
        seen += [(item.leg, item.key) for item in page]
        after = (page[-1].leg, page[-1].key)
    assert seen == sorted(set(seen))
    assert len(seen) == 10


def test_rejects_are_found_by_class_code_status_and_the_beginning_of_a_key(ledger: Ledger, browser: Browser) -> None:
    put_rejects(
        ledger, "a",
        {"key": "10%_x", "reason_class": "lock", "code": "L1"}, {"key": "10%_y", "status": "parked"},
        {"key": "10Z", "status": "dismissed"}, {"key": "10*"},
    )  # fmt: skip
    assert [item.key for item in browser.rejects(reason_class="lock")] == ["10%_x"]
    assert {item.key for item in browser.rejects(reason_class="unknown")} == {"10%_y", "10*"}
    assert [item.key for item in browser.rejects(code="L1")] == ["10%_x"]
    assert [item.key for item in browser.rejects(statuses=("dismissed",))] == ["10Z"]
    assert {item.key for item in browser.rejects(key="10%*")} == {"10%_x", "10%_y"}, "no sign has a meaning in a key"
    assert {item.key for item in browser.rejects(key="10**")} == {"10*"}


def test_groups_count_what_has_class_code_leg_and_status_in_common(ledger: Ledger, browser: Browser) -> None:
    put_rejects(ledger, "a", *({"key": f"k{number}", "reason_class": "lock", "code": "L"} for number in range(3)))
    put_rejects(
        ledger,
        "b",
        {"key": "k", "reason_class": "lock", "code": "L"},
        {"key": "m"},
        {"key": "d", "status": "dismissed"},
    )
    found = [(item.reason_class, item.code, item.leg, item.status, item.rows) for item in browser.groups()]
    assert found[0] == ("lock", "L", "a", "rejected", 3)
    assert sorted(found[1:]) == [("lock", "L", "b", "rejected", 1), ("unknown", "", "b", "rejected", 1)]
    assert [item.rows for item in browser.groups(leg="b", statuses=("dismissed",))] == [1]


def test_what_waits_for_people_is_counted(ledger: Ledger, browser: Browser) -> None:
    put_rejects(ledger, "a", {"key": "k"}, {"key": "d", "status": "dismissed"})
    ledger.put_holds("a", run="r", rows=pa.table({"key": ["k", "m"], "fingerprint": pa.array([1, 2], pa.uint64())}))
    rows = {"key": "k", "field": "f", "owner": "x", "losing": "y", "kept": "1", "lost": "2"}
    ledger.note_conflicts("pair", leg="a", run="r", rows=pa.Table.from_pylist([rows]))
    waiting = browser.open_counts()
    assert (waiting.errors, waiting.conflicts, waiting.holds) == (1, 1, 2)
    (conflict,) = ledger.conflicts()
    assert browser.legs_of_conflicts([conflict.id]) == {"a"}
    assert browser.legs() == ["a"]
