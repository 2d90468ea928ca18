"""The run record."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest

from commerce_sync.errors import BalanceError, ConfigurationError
from commerce_sync.ledger import Window

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)


def test_a_retried_task_gets_the_window_of_its_first_try(ledger):
    first = ledger.begin("leg", "r1", kind="changes", window=Window(NOON, NOON + HOUR), mapping_version=3)
    again = ledger.begin("leg", "r1", kind="changes", window=Window(NOON, NOON + 2 * HOUR), mapping_version=4)
    assert again == first
    assert again.window == Window(NOON, NOON + HOUR)


def test_a_failed_run_that_is_begun_again_is_running(ledger):
    run = ledger.begin("leg", "r1", kind="changes", window=Window(None, NOON))
    ledger.update(run, status="stopped", message="too many deletes")
    again = ledger.begin("leg", "r1", kind="changes", window=Window(NOON, NOON))
    assert (again.status, again.ended, again.message) == ("running", None, None)
    assert again.window == Window(None, NOON)


def test_moments_come_back_in_utc_whatever_zone_they_came_in(ledger):
    berlin = NOON.astimezone(timezone(HOUR))
    run = ledger.begin("leg", "r1", kind="changes", window=Window(berlin, None))
    assert run.since == NOON
    assert run.since.utcoffset() == timedelta(0)


def test_a_time_without_a_zone_is_refused(ledger):
    with pytest.raises(ConfigurationError, match="no time zone"):
        ledger.begin("leg", "r1", kind="changes", window=Window(NOON.replace(tzinfo=None), None))


def test_calls_add_up_over_tries_and_seconds_are_those_of_the_last(ledger):
    run = ledger.begin("leg", "r1", kind="changes")
    ledger.update(run, calls={"salesforce": 3}, seconds={"load": 9.0})
    ledger.update(run, calls={"salesforce": 2, "sap_commerce": 1}, seconds={"load": 2.5, "check": 0.5})
    stored = ledger.find_run("leg", "r1")
    assert stored.calls == {"salesforce": 5, "sap_commerce": 1}
    assert stored.seconds == {"load": 2.5, "check": 0.5}


def test_a_run_with_an_unaccounted_row_cannot_be_green(ledger):
    run = ledger.begin("leg", "r1", kind="changes")
    with pytest.raises(BalanceError, match="extracted 5"):
        ledger.update(run, status="green", extracted=5, unchanged=4)
    assert ledger.find_run("leg", "r1").status == "running"
    assert ledger.update(run, status="red", extracted=5, unchanged=4).ended is not None


def test_unknown_names_are_refused_with_the_legal_ones(ledger):
    run = ledger.begin("leg", "r1", kind="changes")
    with pytest.raises(ConfigurationError, match="no sendt; it has: read"):
        ledger.update(run, sendt=1)
    with pytest.raises(ConfigurationError, match="use one of: running"):
        ledger.update(run, status="yellow")
    with pytest.raises(ConfigurationError, match="use one of: changes"):
        ledger.begin("leg", "r2", kind="delta")
    with pytest.raises(ConfigurationError, match="cannot be a leg's name"):
        ledger.begin("../leg", "r2", kind="changes")


def test_updating_a_run_that_never_began_says_so(ledger):
    run = ledger.begin("leg", "r1", kind="changes")
    ledger.begin("leg", "r2", kind="changes")
    ledger.prune(datetime.now(UTC) + HOUR)
    with pytest.raises(ConfigurationError, match="call begin"):
        ledger.update(run, sent=1)


def test_runs_are_listed_newest_first(ledger):
    for name in ("r1", "r2", "r3"):
        ledger.begin("leg", name, kind="changes")
    ledger.begin("other", "r9", kind="complete")
    assert [run.run for run in ledger.runs("leg", limit=2)] == ["r3", "r2"]
    assert [run.run for run in ledger.runs(limit=1)] == ["r9"]
    assert ledger.find_run("leg", "r9") is None


def test_pruning_keeps_young_runs_and_the_newest_of_every_leg(ledger):
    for leg, name in (("a", "r1"), ("a", "r2"), ("b", "r1")):
        ledger.begin(leg, name, kind="changes")
        ledger.jobs(leg, name).plan("job")
    assert ledger.prune(datetime.now(UTC) - HOUR) == 0
    assert ledger.prune(datetime.now(UTC) + HOUR) == 1
    assert [(run.leg, run.run) for run in ledger.runs()] == [("b", "r1"), ("a", "r2")]
    assert ledger.jobs("a", "r1").all() == []
    assert len(ledger.jobs("a", "r2").all()) == 1
