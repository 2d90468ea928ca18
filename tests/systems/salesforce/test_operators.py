"""The operators as a DAG of one's own uses them, and the trigger they wait with."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any

import duckdb
import pytest
from airflow.sdk.exceptions import TaskDeferred

from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.systems.salesforce.operators import (
    SalesforceBulkLoadOperator,
    SalesforceCallOperator,
    SalesforceDeleteOperator,
    SalesforceQueryOperator,
    SalesforceUpsertOperator,
)
from commerce_sync.systems.salesforce.triggers import SalesforceJobsTrigger

CONN = {"salesforce_conn_id": "sf_test"}
FAST = {"poll_first_s": 0.02, "poll_most_s": 0.1}


class TaskState(dict[str, Any]):
    """Airflow's task state store, as far as it is used."""

    def set(self, key: str, value: Any) -> None:
        self[key] = value

    def delete(self, key: str) -> None:
        self.pop(key, None)


def upsert(**more: Any) -> SalesforceUpsertOperator:
    arguments = {"task_id": "t", "object_name": "Contact", "external_id": "Commerce_Id__c", "options": FAST}
    return SalesforceUpsertOperator(**arguments | CONN | more)


def bulk(path: Path, **more: Any) -> SalesforceBulkLoadOperator:
    arguments = {"task_id": "t", "object_name": "Contact", "external_id": "Commerce_Id__c", "options": FAST}
    return SalesforceBulkLoadOperator(**arguments | CONN | {"path": str(path)} | more)


def parquet(path: Path, rows: int) -> Path:
    with duckdb.connect() as con:
        con.execute(f"COPY (SELECT 'c-' || n AS Commerce_Id__c, 'n' AS LastName FROM range({rows}) r(n)) TO '{path}'")
    return path


def test_records_are_upserted_with_their_parents(org: Any) -> None:
    org.far.put("Account", [{"Name": "A", "Commerce_Id__c": "a"}])
    records = [{"Commerce_Id__c": f"c{n}", "LastName": "x", "AccountId": "a"} for n in range(3)]
    counts = upsert(records=records, lookups={"AccountId": "Account.Commerce_Id__c"}).execute({})
    assert (counts["delivered"], counts["created"], counts["rejected"]) == (3, 3, 0)
    assert all(row["AccountId"] for row in org.contacts().values())


def test_too_many_refused_rows_fail_the_task_and_leave_a_file(org: Any, tmp_path: Path) -> None:
    records = [{"Commerce_Id__c": f"c{n}", "LastName": "x" * (90 if n < 2 else 5)} for n in range(5)]
    refused = tmp_path / "refused.csv"
    with pytest.raises(GuardError, match="2 of 5 rows.*STRING_TOO_LONG"):
        upsert(records=records, max_rejected=1, rejected_path=str(refused)).execute({})
    assert refused.read_text().count("STRING_TOO_LONG") == 2
    assert upsert(records=records, max_rejected=2).execute({})["rejected"] == 2


def test_records_and_path_exclude_each_other(org: Any) -> None:
    with pytest.raises(ConfigurationError, match="exactly one"):
        upsert().execute({})


def test_a_file_is_loaded_by_bulk_and_deferred_while_jobs_run(org: Any, tmp_path: Path) -> None:
    org.far.fault(action="hold_jobs", times=None)
    state = TaskState()
    operator = bulk(parquet(tmp_path / "in.parquet", 300), wait_s=0)
    with pytest.raises(TaskDeferred) as caught:
        operator.execute({"task_state_store": state})
    trigger = caught.value.trigger
    assert isinstance(trigger, SalesforceJobsTrigger)
    org.far.clear_faults()
    event = asyncio.run(first_event(trigger))
    assert event["status"] == "finished"
    counts = getattr(bulk(tmp_path / "in.parquet"), caught.value.method_name)({"task_state_store": state}, event=event)
    assert (counts["delivered"], counts["created"]) == (300, 300)
    assert len(org.job_states()) == 1
    assert state == {}, "a cleared task begins anew"


async def first_event(trigger: SalesforceJobsTrigger) -> Any:
    path, arguments = trigger.serialize()
    assert path.endswith("triggers.SalesforceJobsTrigger")
    again = SalesforceJobsTrigger(**arguments | {"poll_s": 0.05})
    async for event in again.run():
        return event.payload
    return None


def test_a_retry_takes_up_the_jobs_of_the_try_before(org: Any, tmp_path: Path) -> None:
    org.far.fault(action="hold_jobs", times=None)
    state, path = TaskState(), parquet(tmp_path / "in.parquet", 300)
    with pytest.raises(TaskDeferred):
        bulk(path, wait_s=0).execute({"task_state_store": state})
    org.far.clear_faults()
    counts = bulk(path, deferrable=False).execute({"task_state_store": state})
    assert (counts["created"], len(org.job_states())) == (300, 1)


def test_the_trigger_gives_up_after_its_time_and_tells_errors(org: Any, connect: Any) -> None:
    async def story(**arguments: Any) -> Any:
        trigger = SalesforceJobsTrigger("sf_test", poll_s=0.05, **arguments)
        async for event in trigger.run():
            return event.payload
        return None

    org.far.fault(action="hold_jobs", times=None)
    org.load(org.changes([{"Commerce_Id__c": "c", "LastName": "x"}]), bulk_from=1, wait_s=0)
    job = org.jobs()[0]["id"]
    assert asyncio.run(story(job_ids=[job], timeout_s=0.2))["status"] == "timeout"
    connect(password="wrong-secret")
    assert asyncio.run(story(job_ids=[job]))["status"] == "error"


def test_records_are_deleted_by_id(org: Any) -> None:
    org.far.put("Account", [{"Name": "A", "Commerce_Id__c": f"a{n}"} for n in range(3)])
    ids = [row["Id"] for row in org.live("Account").values()]
    operator = SalesforceDeleteOperator(task_id="t", object_name="Account", ids=ids[:2], options=FAST, **CONN)
    assert operator.execute({})["delivered"] == 2
    assert len(org.live("Account")) == 1


def test_a_query_writes_a_file(org: Any, tmp_path: Path) -> None:
    org.far.put("Account", [{"Name": "A"}])
    path = str(tmp_path / "deep" / "out.parquet")
    operator = SalesforceQueryOperator(task_id="t", soql="SELECT Id, Name FROM Account", path=path, **CONN)
    assert operator.execute({}) == {"path": path, "rows": 1}


def test_any_call_can_be_made(org: Any) -> None:
    operator = SalesforceCallOperator(task_id="t", path="limits", **CONN)
    assert operator.execute({})["DailyApiRequests"]["Max"] == 100_000
    made = SalesforceCallOperator(task_id="u", method="POST", path="sobjects/Account", json={"Name": "x"}, **CONN)
    assert made.execute({})["success"]


def test_making_an_operator_calls_nothing(org: Any) -> None:
    org.far.reset_calls()
    SalesforceCallOperator(task_id="t", path="limits", salesforce_conn_id="no_such_connection")
    upsert(path="/nowhere.parquet")
    assert org.far.calls()["total"] == 0
