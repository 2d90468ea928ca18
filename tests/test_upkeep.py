"""The nightly upkeep: what is old goes, what may still be needed stays."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
import sqlalchemy as sa

from commerce_sync import upkeep
from commerce_sync.ledger.database import writing
from commerce_sync.ledger.tables import RUN
from commerce_sync.leg import Site
from flows.walking import open_site

NOW = datetime.now(UTC)
KEPT = upkeep.Kept(
    batch=timedelta(days=2), payload=timedelta(days=7), run=timedelta(days=90), event=timedelta(days=400)
)
STEPS = ("extract-source", "changes", "load")
LEG = "people"


@pytest.fixture
def site(tmp_path: Path) -> Site:
    return open_site(tmp_path)


def ran(site: Site, run: str, *, days: float, settled: bool = True) -> None:
    """A run of some days ago that left three batches and a gate page."""
    begun = site.ledger.begin(LEG, run, kind="changes")
    if settled:
        site.ledger.settle(begun, state_version=site.ledger.state(LEG).version, status="green")
    with writing(site.ledger._engine) as connection:
        this = (RUN.c.leg == LEG) & (RUN.c.run == run)
        connection.execute(sa.update(RUN).where(this).values(started=NOW - timedelta(days=days)))
    for step in STEPS:
        with site.batches.write(LEG, run, step) as into, site.batches.connect() as con:
            into.copy(con, "SELECT 1 AS a")
    page = site.pages / LEG / run
    page.mkdir(parents=True)
    (page / "gate.html").write_text("x")
    moment = (NOW - timedelta(days=days)).timestamp()
    os.utime(page, (moment, moment))


def left(site: Site, run: str) -> set[str]:
    return {step for step in STEPS if site.batches.find(LEG, run, step)}


def test_batches_go_after_their_time_and_changes_later(site: Site) -> None:
    for run, days, settled in (("old", 8, True), ("older", 3, True), ("unsettled", 3, False), ("new", 1, True)):
        ran(site, run, days=days, settled=settled)
    gone = upkeep.sweep(site, kept=KEPT, now=NOW)
    assert gone["batches"] == 3 + 2
    assert left(site, "old") == set()
    assert left(site, "older") == {"changes"}, "payloads of what arrived are read from it"
    assert left(site, "unsettled") == left(site, "new") == set(STEPS)
    assert upkeep.sweep(site, kept=KEPT, now=NOW)["batches"] == 0


def test_runs_and_their_pages_go_together_and_the_newest_run_stays(site: Site) -> None:
    for run, days in (("old", 91), ("new", 1)):
        ran(site, run, days=days)
    gone = upkeep.sweep(site, kept=KEPT, now=NOW)
    assert (gone["runs"], gone["pages"]) == (1, 1)
    assert [run.run for run in site.ledger.runs(LEG)] == ["new"]
    assert [path.name for path in (site.pages / LEG).iterdir()] == ["new"]


def test_an_empty_installation_is_no_trouble(site: Site) -> None:
    assert set(upkeep.sweep(site, kept=KEPT, now=NOW).values()) == {0}
