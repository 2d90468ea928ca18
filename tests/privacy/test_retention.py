"""How long things are kept: every row of the table in docs/privacy.md, with the clock moved past its days."""

from __future__ import annotations

import json
import os
import re
from collections.abc import Callable
from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest
import sqlalchemy as sa

from commerce_sync import before_images, places, steps
from commerce_sync.batches import Batches
from commerce_sync.ledger import Finding, Receipt
from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.tables import ANSWER, CALLS, CONFLICT, EVENT, HOLD, JOB, LEG, REJECT, TOMBSTONE
from commerce_sync.leg import Site
from commerce_sync.receiver import settings as receiving
from commerce_sync.receiver import upkeep as of_receiver

ROOT = Path(__file__).resolve().parents[2]
PEOPLE, RUN_ID = "people", "run-1"
HOUR, DAY = timedelta(hours=1), timedelta(days=1)
NOW = datetime.now(UTC)
Kept = Callable[[], bool]
Plant = Callable[[Site], list[Kept]]
"""Puts something of now there; gives for each piece whether it is still there."""


def table() -> dict[str, tuple[str, str]]:
    """What -> settings and days, as the page says."""
    text = (ROOT / "docs" / "privacy.md").read_text(encoding="utf-8").partition("## How long it is kept")[2]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in text.splitlines() if line.startswith("|")]
    return {what: (setting, days) for what, setting, days in rows[2:]}


@pytest.fixture
def site(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Site:
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    found = steps.site()
    ran(found, RUN_ID)
    return found


def ran(site: Site, run: str, *, settled: bool = True, leg: str = PEOPLE) -> None:
    begun = site.ledger.begin(leg, run, kind="changes")
    if settled:
        site.ledger.settle(begun, state_version=site.ledger.state(leg).version, status="green")
    else:
        site.ledger.update(begun, status="stopped", message="given up")


def batch(batches: Batches, run: str, step: str) -> Kept:
    with batches.write(PEOPLE, run, step) as into:
        into.add(pa.table({"_key": ["C0001"]}))
    return lambda: batches.find(PEOPLE, run, step) is not None


def row(site: Site, which: sa.Table, **values: Any) -> Kept:
    """One row, filled up with what a column must have."""
    filled = {item.name: _some(item) for item in which.c if not item.nullable and item.autoincrement is not True}
    with writing(site.ledger._engine) as connection:
        connection.execute(sa.insert(which).values(filled | values))
    return lambda: _counted(site, which, **values) > 0


def _some(column: sa.Column[Any]) -> Any:
    if isinstance(column.type, sa.Text):
        return "x"
    if isinstance(column.type, sa.JSON):
        return {}
    if isinstance(column.type, sa.Date):
        return NOW.date()
    if isinstance(column.type, sa.Boolean):
        return True
    return NOW if "Utc" in type(column.type).__name__ else 7


def _counted(site: Site, which: sa.Table, **values: Any) -> int:
    query = (
        sa.select(sa.func.count()).select_from(which).where(*(which.c[name] == given for name, given in values.items()))
    )
    with reading(site.ledger._engine) as connection:
        return int(connection.scalar(query) or 0)


# One function for each row of the page's table


def history(outcome: str) -> Plant:
    def plant(site: Site) -> list[Kept]:
        kept = site.history
        assert kept is not None
        with closing(kept.files.connect()) as con:
            path = str(places.home() / "delta.parquet")
            con.execute(f"""COPY (SELECT 'C0001' AS key, 7::UBIGINT AS fingerprint, 'T1' AS target_id, false AS gone,
                'NEW' AS kind, true AS created, 1 AS attempt, NULL::VARCHAR AS job, 'm-1' AS message_id)
                TO '{path}' (FORMAT parquet)""")
            refused = """SELECT 'C0002' AS key, 'NEW' AS kind, NULL::VARCHAR AS target_id, NULL::BOOLEAN AS created,
                1 AS attempt, NULL::VARCHAR AS job, NULL::VARCHAR AS message_id, 'rejected' AS outcome, 'X' AS code,
                'lock' AS reason_class, 'x' AS reason, '{}' AS payload"""
            kept.write(con, leg=PEOPLE, run=RUN_ID, at=NOW, delivered=(path, 1), refused=refused)
        return [lambda: bool(kept.search(outcomes=[outcome]))]

    return plant


def change_batches(site: Site) -> list[Kept]:
    return [batch(site.batches, RUN_ID, "changes")]


def images(site: Site) -> list[Kept]:
    return [batch(site.batches, RUN_ID, step) for step in (before_images.BEFORE, "changes", "load")]


def other_batches(site: Site) -> list[Kept]:
    return [batch(site.batches, RUN_ID, "extract-source")]


def given_up(site: Site) -> list[Kept]:
    ran(site, "run-2", settled=False)
    return [batch(site.batches, "run-2", step) for step in ("extract-source", "changes")]


def superseded(site: Site) -> list[Kept]:
    """Of a run whose replica and carried rows a later one put others in place of."""
    return [batch(site.stores, RUN_ID, name) for name in ("orders", "figures", "carry")]


def records(site: Site) -> list[Kept]:
    begun = site.ledger.begin(PEOPLE, "run-0", kind="changes")
    site.ledger.update(begun, message="long ago")
    ran(site, "run-9")  # the newest of a leg stays
    page = site.pages / PEOPLE / RUN_ID
    page.mkdir(parents=True)
    (page / "gate.html").write_text("x")
    os.utime(page, (NOW.timestamp(), NOW.timestamp()))
    return [
        lambda: site.ledger.find_run(PEOPLE, "run-0") is not None, page.is_dir,
        row(site, JOB, leg=PEOPLE, run="run-0", name="create 1", updated=NOW),
        row(site, ANSWER, leg=PEOPLE, key="C0001", status="done", answered_at=NOW, noted=True),
        row(site, CONFLICT, pair="p", key="C0001", status="resolved", last_at=NOW),
        row(site, CALLS, system="salesforce", day=NOW.date()),
    ]  # fmt: skip


def event(feed: str) -> Plant:
    return lambda site: [row(site, EVENT, feed=feed, event_id="e-1", received_at=NOW, data=json.dumps({}))]


def receipts(site: Site) -> list[Kept]:
    site.ledger.note_receipt(Receipt(NOW, "sap_commerce", "webhook", 400, "x"))
    return [lambda: bool(site.ledger.receipts())]


def alerts(site: Site) -> list[Kept]:
    site.ledger.claim_alerts([Finding("1", "failure", "f", None, "x")])
    site.ledger.told_alerts(["1"])
    return [lambda: bool(site.ledger.alerts())]


def unsettled(site: Site) -> list[Kept]:
    return [
        row(site, REJECT, leg=PEOPLE, key="C0001", status="rejected"),
        row(site, ANSWER, leg=PEOPLE, key="C0001", status="open", answered_at=NOW, noted=True),
        row(site, CONFLICT, pair="p", key="C0001", status="open", last_at=NOW),
        row(site, HOLD, leg=PEOPLE, key="C0001", status="waiting"),
    ]


def standing(site: Site) -> list[Kept]:
    """What the leg's pointer names."""
    kept = [batch(site.stores, RUN_ID, name) for name in ("orders", "figures", "carry")]
    named = {"orders": [site.stores.address(PEOPLE, RUN_ID, "orders")],
             "figures": [site.stores.address(PEOPLE, RUN_ID, "figures")]}  # fmt: skip
    with writing(site.ledger._engine) as connection:
        values = {"replica": named, "carry": site.stores.address(PEOPLE, RUN_ID, "carry")}
        connection.execute(sa.update(LEG).where(LEG.c.leg == PEOPLE).values(values))
    return kept


def tombstones(site: Site) -> list[Kept]:
    site.ledger.bury(["C0001"], by="anna")
    return [lambda: _counted(site, TOMBSTONE) == 1]


CHECKS: dict[str, Plant] = {
    "history of what arrived": history("delivered"),
    "history of what did not, with masked payloads": history("rejected"),
    "change batches": change_batches,
    "before-images, and what their runs sent": images,
    "other batches of runs": other_batches,
    "batches of plans and of runs given up": given_up,
    "replicas, figures and carried rows that newer ones replaced": superseded,
    "runs (the newest of each leg stays), remote jobs, gate pages, answers, closed conflicts, consumption": records,
    "events of the inbox": event("elsewhere"),
    "events of a feed that says so itself, such as `storefront`": event("storefront"),
    "exchange rates, `rates`, which figures of old orders need": event("rates"),
    "receipts, at the most": receipts,
    "alerts that are over": alerts,
    "rejects, open edits, open conflicts, holds": unsettled,
    "markers, agreed values, replicas, figures, carried rows": standing,
    "tombstones": tombstones,
}


def night(moment: datetime, patch: pytest.MonkeyPatch) -> dict[str, int]:
    """The nightly task, as Airflow runs it, at another time."""

    class Moved(datetime):
        @classmethod
        def now(cls, tz: Any = None) -> datetime:  # type: ignore[override]
            return moment.astimezone(tz)

    patch.setattr(steps, "datetime", Moved)
    done: dict[str, int] = steps.Upkeep(task_id="sweep").execute({})  # type: ignore[typeddict-item]
    return done


def test_the_table_of_the_page_has_a_check_for_every_row() -> None:
    assert set(table()) == set(CHECKS)


@pytest.mark.parametrize("what", CHECKS)
def test_it_is_kept_for_its_days_and_no_longer(site: Site, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    _setting, days = table()[what]
    pieces = CHECKS[what](site)
    assert all(piece() for piece in pieces), "it was planted"
    if not days.isdecimal():
        night(NOW + timedelta(days=5_000), monkeypatch)
        assert all(piece() for piece in pieces)
        return
    night(NOW + timedelta(days=int(days)) - HOUR, monkeypatch)
    assert [piece() for piece in pieces] == [True] * len(pieces), "too early"
    night(NOW + timedelta(days=int(days)) + DAY + HOUR, monkeypatch)
    assert [piece() for piece in pieces] == [False] * len(pieces), "still there"


@pytest.mark.parametrize(
    "what", [what for what, (setting, _days) in table().items() if "COMMERCE_SYNC_KEEP" in setting]
)
def test_its_setting_is_heeded(site: Site, what: str, monkeypatch: pytest.MonkeyPatch) -> None:
    found = re.search(r"COMMERCE_SYNC_KEEP_([A-Z]+)_DAYS", table()[what][0])
    assert found is not None
    assert int(table()[what][1]) == places.DAYS[found.group(1)], (
        "the page says what holds unless a setting says otherwise"
    )
    monkeypatch.setenv(found.group(), "31")
    pieces = CHECKS[what](steps.site())
    night(NOW + timedelta(days=31) - HOUR, monkeypatch)
    assert [piece() for piece in pieces] == [True] * len(pieces), "too early"
    night(NOW + timedelta(days=32) + HOUR, monkeypatch)
    assert [piece() for piece in pieces] == [False] * len(pieces), "still there"


def test_the_receiver_sweeps_by_its_own_file(site: Site) -> None:
    kept = receiving.load(ROOT / "include" / "receiver.yaml")
    assert (kept.success_days, kept.error_days, kept.sources["sap_commerce"].keep_days) == (14, 90, 14)
    site.ledger.note_receipt(Receipt(NOW, "sap_commerce", "webhook", 202))
    of_receiver.sweep(site.ledger, kept, now=NOW + 14 * DAY - HOUR)
    assert site.ledger.receipts()
    of_receiver.sweep(site.ledger, kept, now=NOW + 14 * DAY + HOUR)
    assert not site.ledger.receipts()
