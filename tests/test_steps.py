"""The steps as Airflow runs them: what they return, what they skip, what they refuse."""

from __future__ import annotations

import json
import runpy
import shutil
from collections import defaultdict
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG
from airflow.sdk.api.datamodels._generated import DagRunType
from airflow.sdk.exceptions import (
    AirflowRescheduleException,
    AirflowSkipException,
    DownstreamTasksSkipped,
    TaskAwaitingInput,
    TaskDeferred,
)

from commerce_sync import leg as legs
from commerce_sync import steps
from commerce_sync.company import LegBusy
from commerce_sync.errors import ConfigurationError, GuardError
from flows.house import org, shop
from flows.walking import CUSTOMERS, HISTORY, HOUSEHOLDS, KEY, SPEND, Org, Shop, line

__all__ = ["org", "shop"]
ROOT = Path(__file__).resolve().parents[1]


class Task:
    """One DAG run of one flow, task by task."""

    def __init__(self, dag_id: str, run_id: str, **params: Any) -> None:
        self.dag: DAG = runpy.run_path(str(ROOT / "dags" / f"{dag_id}.py"))["dag"]
        self.pushed: dict[str, Any] = {}
        self.context: dict[str, Any] = {
            "dag_run": SimpleNamespace(run_id=run_id, conf=params, run_type="manual", dag_id=dag_id),
            "params": params,
            "ti": SimpleNamespace(
                xcom_push=lambda key, value: self.pushed.update({key: value}),
                get_first_reschedule_date=lambda _context: self.waits_since,
            ),
            "outlet_events": defaultdict(SimpleNamespace),
        }
        self.waits_since: datetime | None = None

    def run(self, task_id: str) -> Any:
        """What the task returns; what it pushed before it skipped the rest is in ``pushed``."""
        return self.dag.get_task(task_id).execute(self.context)

    def all_of(self, leg: str, *names: str) -> None:
        """Steps of a leg, none of which skips another."""
        for name in names:
            self.run(f"{leg}.{name}")

    def skipped_by(self, task_id: str) -> list[str]:
        """Tasks that a task skips; it must skip some."""
        with pytest.raises(DownstreamTasksSkipped) as found:
            self.run(task_id)
        return sorted(str(task) for task in found.value.tasks)


@pytest.fixture(autouse=True)
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    return tmp_path


def of_leg(*names: str) -> list[str]:
    return sorted(f"{HOUSEHOLDS}.{name}" for name in names)


def test_the_steps_of_a_leg_hand_on_counts_and_no_rows(shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    task = Task(CUSTOMERS, "run-1")
    told = {name: task.run(f"{HOUSEHOLDS}.{name}") for name in ("extract", "map_changes", "check", "load", "commit")}
    assert len(org.accounts) == 2
    assert (told["extract"]["rows"], told["map_changes"]["new"], told["load"]["delivered"]) == (2, 2, 2)
    assert told["commit"]["status"] == "green"
    for name, value in told.items():
        text = json.dumps(value, default=str)
        assert len(text) <= 4096, name
        assert not [word for word in ("Lovelace", "people.example", "1234567", org.far.client_secret) if word in text]


def test_a_leg_with_nothing_to_send_skips_its_own_later_steps_only(shop: Shop, org: Org) -> None:
    shop.customers(1)
    first = Task(CUSTOMERS, "run-1")
    for name in ("extract", "map_changes", "check", "load", "commit"):
        first.run(f"{HOUSEHOLDS}.{name}")
    second = Task(CUSTOMERS, "run-2")
    second.run(f"{HOUSEHOLDS}.extract")
    assert second.skipped_by(f"{HOUSEHOLDS}.map_changes") == of_leg("check", "load", "commit")
    assert second.pushed["return_value"]["unchanged"] == 1
    shop.remove(1)
    third = Task(CUSTOMERS, "run-3", mode="changes")
    assert third.skipped_by(f"{HOUSEHOLDS}.extract") == of_leg("map_changes", "check", "load", "commit")
    runs = steps.site().ledger.runs(HOUSEHOLDS)
    assert [(run.run, run.status) for run in runs] == [("run-3", "green"), ("run-2", "green"), ("run-1", "green")]


def test_a_plan_ends_before_the_gate(shop: Shop, org: Org) -> None:
    shop.customers(1)
    task = Task(CUSTOMERS, "run-1", mode="plan")
    task.run(f"{HOUSEHOLDS}.extract")
    assert task.skipped_by(f"{HOUSEHOLDS}.map_changes") == of_leg("check", "load", "commit")
    assert task.pushed["return_value"]["new"] == 1
    assert org.writes() == 0


def test_an_aggregate_leg_has_its_own_step(shop: Shop, org: Org) -> None:
    shop.customers(1)
    org.far.put("Account", [{"Name": "x", KEY: "C0001"}])
    shop.product("p1")
    shop.order("O1", customer=1, day="2026-05-01", lines=[line(0, "p1", 1, 10.0)])
    task = Task(HISTORY, "run-1")
    assert task.run(f"{SPEND}.extract")["sources"] == {"orders": 1, "returns": 0, "proposed": 0, "rates": 0}
    assert task.run(f"{SPEND}.aggregate")["touched"] == 1
    for name in ("map_changes", "check", "load", "commit"):
        task.run(f"{SPEND}.{name}")
    assert org.accounts["C0001"]["Lifetime_Spend__c"] == 10


def test_an_aggregate_leg_without_news_ends_with_two_tasks(shop: Shop, org: Org) -> None:
    shop.customers(1)
    org.far.put("Account", [{"Name": "x", KEY: "C0001"}])
    shop.product("p1")
    shop.order("O1", customer=1, day="2026-05-01", lines=[line(0, "p1", 1, 10.0)])
    rest = ("map_changes", "check", "load", "commit")
    Task(HISTORY, "run-1").all_of(SPEND, "extract", "aggregate", *rest)
    org.far.reset_calls()
    second = Task(HISTORY, "run-2")
    second.run(f"{SPEND}.extract")
    assert second.skipped_by(f"{SPEND}.aggregate") == sorted(f"{SPEND}.{name}" for name in rest)
    assert org.writes() == 0
    assert second.pushed["return_value"]["unchanged"] == 1
    assert steps.site().ledger.runs(SPEND)[0].status == "green"


def test_an_aggregate_leg_without_news_still_offers_what_was_refused(shop: Shop, org: Org) -> None:
    shop.customers(1)
    shop.product("p1")
    shop.order("O1", customer=1, day="2026-05-01", lines=[line(0, "p1", 1, 10.0)])
    org.far.put("Account", [{"Name": "x", KEY: "C0001"}])
    org.far.fault(action="row_error", object="Account", when={"field": KEY, "regex": "."}, times=1,
                  code="FIELD_CUSTOM_VALIDATION_EXCEPTION", message="no")  # fmt: skip
    first = Task(HISTORY, "run-1")
    first.all_of(SPEND, "extract", "aggregate", "map_changes", "check", "load")
    with pytest.raises(GuardError, match="1 rejected"):
        first.run(f"{SPEND}.commit")
    steps.site().ledger.retry_rejects(SPEND, keys=["C0001"], by="ann")
    Task(HISTORY, "run-2").all_of(SPEND, "extract", "aggregate", "map_changes", "check", "load", "commit")
    assert org.accounts["C0001"]["Lifetime_Spend__c"] == 10


def test_a_load_that_waits_for_bulk_jobs_frees_its_worker_and_goes_on_later(shop: Shop, org: Org) -> None:
    shop.customers(1)
    task = Task(CUSTOMERS, "run-1")
    task.run(f"{HOUSEHOLDS}.extract")
    task.run(f"{HOUSEHOLDS}.map_changes")
    task.run(f"{HOUSEHOLDS}.check")
    org.far.fault(action="hold_jobs", times=None)
    load = task.dag.get_task(f"{HOUSEHOLDS}.load")
    load.wait_s, real = 0.0, load.target
    load.target = lambda mapping, on_call: Bulk(real(mapping, on_call))
    with pytest.raises(TaskDeferred) as deferred:
        load.execute(task.context)
    assert deferred.value.method_name == "execute"
    org.far.clear_faults()
    load.wait_s = 30.0
    assert load.execute(task.context, event={"status": "success"})["delivered"] == 1
    assert org.jobs() == 1, "the job that waited, no other"


class Bulk:
    """The target, sending everything by bulk jobs."""

    def __init__(self, real: Any) -> None:
        self.real = real

    def load(self, target: Any, *args: Any, **kwargs: Any) -> Any:
        from dataclasses import replace

        options = {"poll_first_s": 0.02, "poll_most_s": 0.05}
        return self.real.load(replace(target, bulk_from=1, options=options), *args, **kwargs)


def test_a_second_run_waits_for_the_first_without_using_up_a_try(shop: Shop, org: Org) -> None:
    shop.customers(1)
    first, second = Task(CUSTOMERS, "run-1"), Task(CUSTOMERS, "run-2")
    first.run(f"{HOUSEHOLDS}.extract")
    before = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as put_back:
        second.run(f"{HOUSEHOLDS}.extract")
    assert timedelta(seconds=55) < put_back.value.reschedule_date - before < timedelta(seconds=75)
    for name in ("map_changes", "check", "load", "commit"):
        first.run(f"{HOUSEHOLDS}.{name}")
    second.run(f"{HOUSEHOLDS}.extract")
    second.skipped_by(f"{HOUSEHOLDS}.map_changes")
    assert [run.status for run in steps.site().ledger.runs(HOUSEHOLDS)] == ["green", "green"]
    assert len(org.accounts) == 1


def test_a_step_in_the_middle_waits_as_well(shop: Shop, org: Org) -> None:
    shop.customers(1)
    old, new = Task(CUSTOMERS, "old"), Task(CUSTOMERS, "new")
    old.run(f"{HOUSEHOLDS}.extract")
    legs.release(steps.site(), HOUSEHOLDS, "old", message="its DAG run failed")
    new.run(f"{HOUSEHOLDS}.extract")
    with pytest.raises(AirflowRescheduleException):
        old.run(f"{HOUSEHOLDS}.map_changes")


def test_waiting_ends_some_day(shop: Shop, org: Org) -> None:
    Task(CUSTOMERS, "run-1").run(f"{HOUSEHOLDS}.extract")
    second = Task(CUSTOMERS, "run-2")
    second.waits_since = datetime.now(UTC) - timedelta(hours=7)
    with pytest.raises(LegBusy, match="run-1 is still at work"):
        second.run(f"{HOUSEHOLDS}.extract")


def test_a_run_for_keys_and_a_limit_reaches_every_step(shop: Shop, org: Org) -> None:
    shop.customers(1, 2, 3)
    task = Task(CUSTOMERS, "run-1", keys=["C0002", "C0003"], limit=1)
    task.run(f"{HOUSEHOLDS}.extract")
    assert task.run(f"{HOUSEHOLDS}.map_changes")["waiting"] == 1
    for name in ("check", "load", "commit"):
        task.run(f"{HOUSEHOLDS}.{name}")
    assert set(org.accounts) == {"C0002"}


def test_a_leg_that_was_not_planned_has_no_part_when_its_flow_applies_the_plan(shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    planned = Task(CUSTOMERS, "plan-1", mode="plan")
    planned.run(f"{HOUSEHOLDS}.extract")
    planned.skipped_by(f"{HOUSEHOLDS}.map_changes")
    applied = Task(CUSTOMERS, "run-1", plan="plan-1")
    for name in ("extract", "map_changes", "check", "load", "commit"):
        applied.run(f"{HOUSEHOLDS}.{name}")
    assert len(org.accounts) == 2
    assert "customers_to_contacts.check" in applied.skipped_by("customers_to_contacts.extract")
    assert applied.pushed["return_value"] == {"idle": True, "no part in plan": "plan-1"}
    assert steps.site().ledger.runs("customers_to_contacts") == []


def test_a_plan_that_no_leg_of_the_flow_has_is_an_error(shop: Shop, org: Org) -> None:
    with pytest.raises(ConfigurationError, match="has no plan 'never'"):
        Task(CUSTOMERS, "run-1", plan="never").run(f"{HOUSEHOLDS}.extract")


def test_the_last_task_reports_what_was_moved_and_a_plan_reports_nothing(shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    task = Task(CUSTOMERS, "run-1")
    for name in ("extract", "map_changes", "check", "load", "commit"):
        task.run(f"{HOUSEHOLDS}.{name}")
    assert task.run("done") == {HOUSEHOLDS: 2}
    (event,) = task.context["outlet_events"].values()
    assert event.extra == {"run": "run-1", "delivered": 2}
    with pytest.raises(AirflowSkipException):
        Task(CUSTOMERS, "run-2", mode="plan").run("done")


def test_a_step_before_its_run_began_says_what_to_do(shop: Shop, org: Org) -> None:
    with pytest.raises(ConfigurationError, match="start it with its extract step"):
        Task(CUSTOMERS, "run-1").run(f"{HOUSEHOLDS}.map_changes")


def test_a_settled_run_that_is_cleared_becomes_a_new_one(shop: Shop, org: Org) -> None:
    shop.customers(1)
    task = Task(CUSTOMERS, "run-1")
    for name in ("extract", "map_changes", "check", "load", "commit"):
        task.run(f"{HOUSEHOLDS}.{name}")
    shop.change(1, name="Grace Hopper")
    for name in ("extract", "map_changes", "check", "load", "commit"):
        task.run(f"{HOUSEHOLDS}.{name}")
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
    assert [run.run for run in steps.site().ledger.runs(HOUSEHOLDS)] == ["run-1~2", "run-1"]


# What a run was asked to do


def asked(run_type: str = "manual", conf: dict[str, Any] | None = None, **values: Any) -> dict[str, Any]:
    run = SimpleNamespace(run_id="run-1", conf=conf, run_type=run_type)
    params = {name: values.pop(name) for name in ("mode", "since", "until", "keys", "limit") if name in values}
    return {"dag_run": run, "params": params, **values}


@pytest.mark.parametrize("run_type", ["backfill", DagRunType.BACKFILL])
def test_a_backfill_reads_its_data_interval(run_type: str) -> None:
    start = datetime(2026, 5, 1, tzinfo=UTC)
    found = steps.request(
        asked(run_type, data_interval_start=start, data_interval_end=start + timedelta(hours=1))  # type: ignore[arg-type]
    )
    assert (found.since, found.until, found.backfill) == (start, start + timedelta(hours=1), True)


def test_a_scheduled_run_does_not_read_its_data_interval() -> None:
    found = steps.request(asked("scheduled", data_interval_start=datetime(2026, 5, 1, tzinfo=UTC)))  # type: ignore[arg-type]
    assert (found.mode, found.since, found.backfill) == ("auto", None, False)


def test_a_run_that_another_flow_started_reads_what_changed() -> None:
    found = steps.request(asked("asset_triggered"))  # type: ignore[arg-type]
    assert (found.mode, found.since, found.backfill) == ("auto", None, False)


@pytest.mark.parametrize(
    ("context", "message"),
    [
        (asked(conf={"mod": "plan"}), "conf has mod; legal keys: keys, limit, mode, plan, since, until"),
        (asked(mode="all"), "mode 'all' is not known; legal modes: auto, changes"),
        (asked(since="yesterday"), "param since is 'yesterday'; give a date-time like"),
        (asked(keys="C0001"), "param keys is 'C0001'; give a list of keys"),
        (asked(limit="9"), "param limit is '9'; give a whole number"),
        (asked(since="2026-05-01T00:00:00"), "without a time zone"),
        (asked(since="2026-05-02T00:00:00+00:00", until="2026-05-01T00:00:00+00:00"), "window is empty"),
    ],
)  # fmt: skip
def test_what_a_run_cannot_be_asked_is_named(context: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigurationError, match=message):
        steps.request(context)  # type: ignore[arg-type]


# Asking a person


@pytest.fixture
def question(monkeypatch: pytest.MonkeyPatch) -> dict[str, Any]:
    """What Airflow was told to show to people."""
    shown: dict[str, Any] = {}
    monkeypatch.setattr(
        "airflow.providers.standard.operators.hitl.upsert_hitl_detail", lambda **told: shown.update(told)
    )
    return shown


def asking(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    """A run of the customers' flow whose households need approval from C0003 on, as far as its gate."""
    mappings = tmp_path / "mappings"
    shutil.copytree(ROOT / "include" / "mappings", mappings)
    with (mappings / "salesforce" / f"{HOUSEHOLDS}.yaml").open("a") as file:
        file.write("approval: {rows: \"Commerce_Id__c >= 'C0003'\", timeout: 2h}\n")
    monkeypatch.setenv("COMMERCE_SYNC_MAPPINGS", str(mappings))
    task = Task(CUSTOMERS, "run-1")
    task.context["task_instance"] = SimpleNamespace(id="ti")
    task.run(f"{HOUSEHOLDS}.extract")
    task.run(f"{HOUSEHOLDS}.map_changes")
    return task


@pytest.mark.parametrize(
    ("event", "arrived", "status"),
    [
        ({"chosen_options": ["Approve"], "params_input": {"reason": "fine"}, "responded_by_user": {"id": "7", "name": "ann"}},
         {"C0001", "C0003"}, ("approved", "ann", "fine")),
        ({"chosen_options": ["Refuse"], "params_input": {}, "responded_by_user": {"id": "7", "name": "ann"}},
         {"C0001"}, ("refused", "ann", "needs approval: Commerce_Id__c >= 'C0003'")),
        ({"error": "too late", "error_type": "timeout"}, {"C0001"}, ("refused", "nobody", "no answer in time")),
    ],
    ids=["yes", "no", "silence"],
)  # fmt: skip
def test_the_leg_stops_for_a_person_and_goes_on_with_the_answer(
    shop: Shop, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, question: dict[str, Any],
    event: dict[str, Any], arrived: set[str], status: tuple[str, str, str],
) -> None:  # fmt: skip
    shop.customers(1, 3)
    task = asking(tmp_path, monkeypatch)
    assert task.run(f"{HOUSEHOLDS}.check")["held"] == 1
    with pytest.raises(TaskAwaitingInput) as parked:
        task.run(f"{HOUSEHOLDS}.approve")
    assert (parked.value.method_name, parked.value.timeout) == ("execute_complete", timedelta(hours=2))
    assert "1 of 2 changes" in question["body"]
    assert "Lovelace" not in str(question)
    assert org.accounts == {}, "nothing goes before the answer"
    approve = task.dag.get_task(f"{HOUSEHOLDS}.approve")
    approve.execute_complete(task.context, event={"responded_at": datetime.now(UTC), **event})
    task.run(f"{HOUSEHOLDS}.load")
    assert task.run(f"{HOUSEHOLDS}.commit")["status"] == "green"
    assert set(org.accounts) == arrived
    (hold,) = steps.site().ledger.holds(HOUSEHOLDS)
    assert (hold.status, hold.answered_by, hold.reason) == status


def test_nobody_is_asked_when_nothing_is_held(
    shop: Shop, org: Org, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customers(1)
    task = asking(tmp_path, monkeypatch)
    assert task.skipped_by(f"{HOUSEHOLDS}.check") == of_leg("approve")
    task.run(f"{HOUSEHOLDS}.load")
    assert task.run(f"{HOUSEHOLDS}.commit")["delivered"] == 1
