"""Remote jobs, the call budget, and looking one record up."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, date, datetime

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Job


def test_a_job_planned_twice_is_the_job_that_was_there(ledger):
    jobs = ledger.jobs("leg", "r1")
    first = jobs.plan("upsert-0", rows=10)
    jobs.update(first, remote_id="750x", state="open")
    assert ledger.jobs("leg", "r1").plan("upsert-0", rows=99) == Job("upsert-0", "750x", "open", {"rows": 10})


def test_a_job_starts_without_a_state_and_gathers_facts(ledger):
    jobs = ledger.jobs("leg", "r1")
    job = jobs.plan("upsert-0", rows=10)
    assert job == Job("upsert-0", None, None, {"rows": 10})
    jobs.update(job, remote_id="750x", uploaded=True)
    job = jobs.update(job, state="complete", failed=1)
    assert job == Job("upsert-0", "750x", "complete", {"rows": 10, "uploaded": True, "failed": 1})


def test_jobs_are_listed_in_order_and_only_those_of_the_run(ledger):
    for name in ("b", "a", "c"):
        ledger.jobs("leg", "r1").plan(name)
    ledger.jobs("leg", "r2").plan("other")
    assert [job.name for job in ledger.jobs("leg", "r1").all()] == ["b", "a", "c"]


def test_a_job_that_was_never_planned_cannot_be_updated(ledger):
    with pytest.raises(ConfigurationError, match=r"plan\(\) it first"):
        ledger.jobs("leg", "r1").update(Job("x", None, "open", {}), state="done")


def test_calls_of_parallel_workers_add_up(ledger):
    with ThreadPoolExecutor(4) as pool:
        totals = list(pool.map(lambda _: ledger.spend("salesforce", 5), range(20)))
    assert sorted(totals) == list(range(5, 105, 5))
    assert ledger.spent("salesforce") == 100


def test_every_day_has_a_budget_of_its_own(ledger):
    ledger.spend("salesforce", 7, day=date(2026, 1, 1))
    ledger.spend("salesforce", 1, day=date(2026, 1, 2))
    ledger.spend("iconik", 9, day=date(2026, 1, 1))
    assert ledger.spent("salesforce", date(2026, 1, 1)) == 7
    assert ledger.spent("salesforce", date(2026, 1, 3)) == 0
    ledger.prune(datetime(2026, 1, 2, tzinfo=UTC))
    assert [ledger.spent("salesforce", date(2026, 1, day)) for day in (1, 2)] == [0, 1]


def test_explain_tells_marker_reject_and_runs_of_a_record(ledger, deliver):
    deliver("leg", "r1", {"a": (1, "001"), "b": (2, "002")})
    refused = pa.table({"key": ["a"], "status": ["rejected"], "reason": ["locked"], "payload": ['{"x": 1}']})
    deliver("leg", "r2", {"b": None}, rejects=refused)
    told = ledger.explain("leg", "a")
    assert (told["marker"]["fingerprint"], told["marker"]["target_id"], told["marker"]["gone"]) == (
        1,
        "001",
        False,
    )
    assert (told["reject"]["reason"], told["reject"]["payload"]) == ("locked", {"x": 1})
    assert told["runs"] == ["r1", "r2"]
    assert ledger.explain("leg", "b")["marker"]["gone"] is True
    assert ledger.explain("leg", "x") == {
        "leg": "leg",
        "key": "x",
        "marker": None,
        "reject": None,
        "runs": [],
    }
