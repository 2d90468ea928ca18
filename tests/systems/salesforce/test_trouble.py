"""Locks, failing jobs, lost connections, used up allowances: nothing is lost, nothing is there twice."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import QuotaError, RetryableError
from commerce_sync.systems.jobs import MemoryJobs, Waiting
from systems.salesforce.rows import BOTH, hits, people


@BOTH
def test_locked_rows_go_again_until_they_are_through(org: Any, bulk_from: int) -> None:
    org.far.fault(action="lock", object="Contact", when={"field": "Commerce_Id__c", "regex": "0$"}, times=150)
    loaded, _ = org.load(org.changes(people(1000)), bulk_from=bulk_from)
    assert (loaded.delivered, loaded.rejected) == (1000, 0)
    assert len(org.contacts()) == 1000


@BOTH
def test_a_row_that_stays_locked_is_rejected_as_lock(org: Any, bulk_from: int) -> None:
    org.far.fault(action="lock", object="Contact", when={"field": "Commerce_Id__c", "regex": "c-00007$"}, times=None)
    loaded, outcomes = org.load(org.changes(people(20)), bulk_from=bulk_from)
    assert (loaded.delivered, loaded.rejected) == (19, 1)
    assert (outcomes["c-00007"]["code"], outcomes["c-00007"]["reason_class"]) == ("UNABLE_TO_LOCK_ROW", "lock")


def test_a_failed_job_that_committed_a_part_is_read_and_its_rest_sent_again(org: Any) -> None:
    org.far.fault(action="job_failed", after_rows=400, times=1)
    loaded, _ = org.load(org.changes(people(3000)), bulk_from=1)
    assert (loaded.delivered, loaded.created) == (3000, 3000)
    assert len(org.contacts()) == 3000


def test_rows_of_jobs_that_keep_failing_are_unprocessed(org: Any) -> None:
    org.far.fault(action="job_failed", after_rows=0, times=None)
    loaded, outcomes = org.load(org.changes(people(50)), bulk_from=1, redrives=1)
    assert (loaded.delivered, loaded.unprocessed) == (0, 50)
    assert {row["code"] for row in outcomes.values()} == {"UNPROCESSED"}


def test_a_job_a_person_aborts_is_reported_and_not_sent_again(org: Any) -> None:
    org.far.fault(action="hold_jobs", times=None)
    jobs = MemoryJobs()
    changes = org.changes(people(30))
    waiting, _ = org.load(changes, bulk_from=1, jobs=jobs, wait_s=0)
    org.hook.call("PATCH", f"jobs/ingest/{waiting.jobs[0]}", json={"state": "Aborted"})
    org.far.clear_faults()
    loaded, outcomes = org.load(changes, bulk_from=1, jobs=jobs)
    assert loaded.unprocessed == 30
    assert {row["code"] for row in outcomes.values()} == {"ABORTED"}
    assert len(org.job_states()) == 1


def test_waiting_is_given_back_and_the_next_call_goes_on(org: Any) -> None:
    org.far.fault(action="hold_jobs", times=None)
    jobs, changes = MemoryJobs(), org.changes(people(500))
    waiting, _ = org.load(changes, bulk_from=1, job_rows=400, jobs=jobs, wait_s=0.1)
    assert isinstance(waiting, Waiting)
    assert len(waiting.jobs) == 2
    org.far.clear_faults()
    loaded, _ = org.load(changes, bulk_from=1, job_rows=400, jobs=jobs)
    assert (loaded.delivered, len(org.job_states())) == (500, 2)


@BOTH
def test_an_expired_token_is_renewed_in_the_middle(org: Any, bulk_from: int) -> None:
    org.far.fault(action="status", status=401, match={"path": "composite|jobs"}, skip=2, times=1,
                  body=[{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}])  # fmt: skip
    loaded, _ = org.load(org.changes(people(900)), bulk_from=bulk_from)
    assert (loaded.delivered, len(org.contacts())) == (900, 900)


DROPPED = [("PATCH", 2000), ("POST", 1), ("PUT", 1), ("PATCH", 1), ("GET", 1)]
"""Methods of the calls a load makes, by Collections and by Bulk."""


@pytest.mark.parametrize(("method", "bulk_from"), DROPPED)
@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
def test_a_dropped_connection_doubles_and_loses_nothing(org: Any, bulk_from: int, method: str, action: str) -> None:
    org.far.fault(action=action, match={"method": method, "path": "/composite/|/jobs/"}, times=1)
    loaded, _ = org.load(org.changes(people(250)), bulk_from=bulk_from)
    assert hits(org) == 1, "nothing was dropped"
    assert (loaded.delivered, len(org.contacts())) == (250, 250)
    assert "Open" not in [state for state in org.job_states() if method != "POST"]


@BOTH
@pytest.mark.parametrize("action", ["drop_before", "drop_after"])
@pytest.mark.parametrize("on_delete", ["delete", {"Title": "'gone'"}], ids=["delete", "update"])
def test_a_dropped_farewell_is_said_all_the_same(org: Any, bulk_from: int, action: str, on_delete: Any) -> None:
    org.load(org.changes(people(5)))
    gone = [
        {"_key": key, "_kind": "DELETED", "_target_id": row["Id"], "Commerce_Id__c": None, "LastName": None}
        for key, row in org.contacts().items()
        if key < "c-00003"
    ]
    org.far.fault(action=action, match={"path": "/composite/|/batches"}, times=1)
    loaded, _ = org.load(org.changes(gone), bulk_from=bulk_from, on_delete=on_delete)
    assert (loaded.delivered, hits(org)) == (3, 1)
    left = org.contacts()
    assert len(left) == (2 if on_delete == "delete" else 5)
    assert all(row["Title"] == "gone" for key, row in left.items() if key < "c-00003")


@BOTH
def test_a_short_throttle_is_waited_out(org: Any, bulk_from: int) -> None:
    org.far.fault(action="status", status=429, headers={"Retry-After": "1"}, match={"path": "composite|jobs"}, times=2)
    loaded, _ = org.load(org.changes(people(100)), bulk_from=bulk_from)
    assert loaded.delivered == 100


@BOTH
def test_a_long_throttle_is_left_to_the_scheduler(org: Any, bulk_from: int) -> None:
    org.far.fault(
        action="status", status=429, headers={"Retry-After": "300"}, match={"path": "composite|jobs"}, times=None
    )
    with pytest.raises(RetryableError) as caught:
        org.load(org.changes(people(100)), bulk_from=bulk_from)
    assert caught.value.retry_after == 300


@BOTH
def test_a_used_up_allowance_stops_the_load_at_once(org: Any, bulk_from: int) -> None:
    org.far.fault(action="quota", match={"path": "composite|jobs"}, times=None)
    with pytest.raises(QuotaError):
        org.load(org.changes(people(100)), bulk_from=bulk_from)


def test_an_allowance_used_up_on_the_way_keeps_what_was_delivered(org: Any) -> None:
    org.far.fault(action="quota", match={"path": "composite"}, skip=2, times=None)
    loaded, outcomes = org.load(org.changes(people(1500)), redrives=0)
    assert loaded.delivered == len(org.contacts()) > 0
    assert loaded.unprocessed == 1500 - loaded.delivered
    assert {row["reason_class"] for row in outcomes.values()} == {None, "limit"}


def test_calls_kept_for_others_are_not_used(org: Any, connect: Any) -> None:
    connect(call_reserve=99_990)
    loaded, outcomes = org.load(org.changes(people(4000)), bulk_from=5000, redrives=0)
    assert loaded.delivered + loaded.unprocessed == 4000
    assert loaded.unprocessed >= 2000
    assert all("reserved" in row["reason"] for row in outcomes.values() if row["outcome"] == "unprocessed")
    assert (
        org.far.calls()["by_route"].get("PATCH /services/data/v62.0/composite/sobjects/Contact/Commerce_Id__c", 0) <= 10
    )


def test_one_unreadable_record_does_not_take_its_neighbours_along(org: Any) -> None:
    """The whole call is refused as long as that record is in it; halves of it find the one."""
    refusal = [{"message": "Unexpected character", "errorCode": "JSON_PARSER_ERROR"}]
    org.far.fault(action="status", status=400, body=refusal, match={"path": "composite", "body": "c-00017"}, times=None)
    loaded, outcomes = org.load(org.changes(people(40)))
    assert hits(org) == 6, "40, 20, 10, 5, 3 records and the one"
    assert (loaded.delivered, loaded.rejected) == (39, 1)
    assert (outcomes["c-00017"]["outcome"], outcomes["c-00017"]["code"]) == ("rejected", "JSON_PARSER_ERROR")
    assert set(org.contacts()) == set(outcomes) - {"c-00017"}


@pytest.mark.parametrize("answered_204", [True, False])
def test_result_files_without_rows_are_accepted(org: Any, answered_204: bool) -> None:
    org.far.options(empty_failed_results_204=answered_204)
    loaded, _ = org.load(org.changes(people(10)), bulk_from=1)
    assert loaded.delivered == 10
