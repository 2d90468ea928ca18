"""Flows whose org has no calls left for them: they wait without failing, say so, and go on by themselves."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from airflow.sdk.exceptions import AirflowRescheduleException

from commerce_sync import steps, watching
from commerce_sync.budget import Allowance, Budget, Part
from commerce_sync.errors import QuotaError
from commerce_sync.ledger import Reported
from flows.house import org, shop
from flows.walking import CUSTOMERS, HOUSEHOLDS, Org, Shop, Walk
from test_steps import Task

__all__ = ["org", "shop"]
ORG = "salesforce_default"
TOLD = {ORG: Budget(ORG, {"calls": Allowance(reserve=Part(share=0.2), cushion=Part())})}


@pytest.fixture
def house(tmp_path: Path) -> Walk:
    made = Walk(tmp_path)
    made.gated = False
    made.site = replace(made.site, budgets=TOLD)
    return made


def standing(walk: Walk) -> Any:
    return next(item for item in walk.site.ledger.standings(list(TOLD.values())) if item.connection == ORG)


def api_calls(org: Org) -> int:
    """Calls that count against the allowance: logging in does not."""
    routes = org.far.calls()["by_route"]
    return sum(number for route, number in routes.items() if "/services/data" in route)


def test_every_call_is_counted_for_its_leg_also_one_that_fails(house: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    org.far.fault(action="status", status=503, match={"path": "composite"}, times=1)
    house.leg(HOUSEHOLDS)
    by_leg = {leg.leg: leg.used for leg in standing(house).legs}
    assert by_leg == {HOUSEHOLDS: api_calls(org)}


def test_a_run_waits_while_the_reserve_is_all_that_is_left_and_goes_on_when_there_is_room(
    house: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1)
    house.leg(HOUSEHOLDS)
    used = api_calls(org)
    org.far.options(daily_api_requests=used + 1)
    shop.customers(2, 3)
    stopped = house.attempt(HOUSEHOLDS)
    assert isinstance(house.error, QuotaError)
    assert (stopped.status, set(org.accounts)) == ("stopped", {"C0001"})
    waiting = [leg for leg in standing(house).legs if leg.since]
    assert [leg.leg for leg in waiting] == [HOUSEHOLDS]
    assert "room" in waiting[0].reason
    org.far.options(daily_api_requests=100_000)
    house.site.ledger.report(ORG, "calls", Reported(100_000, used, datetime.now(UTC)))
    assert house.leg(HOUSEHOLDS).delivered == 2
    assert set(org.accounts) == {"C0001", "C0002", "C0003"}
    assert not [leg for leg in standing(house).legs if leg.since]


def test_a_task_without_room_is_put_back_and_not_failed(
    shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """REQUEST_LIMIT_EXCEEDED of the org itself: class limit, a wait until there may be room."""
    shop.customers(1)
    org.far.fault(action="quota", match={"path": "composite"}, times=None)
    task = Task(CUSTOMERS, "run-1")
    for name in ("extract", "map_changes", "check"):
        task.run(f"{HOUSEHOLDS}.{name}")
    before = datetime.now(UTC)
    with pytest.raises(AirflowRescheduleException) as put_back:
        task.run(f"{HOUSEHOLDS}.load")
    assert timedelta(minutes=14) < put_back.value.reschedule_date - before < timedelta(minutes=16)
    listed = [leg for item in steps.site().ledger.standings([]) for leg in item.legs if leg.since]
    assert [(leg.leg, leg.priority) for leg in listed] == [(HOUSEHOLDS, "normal")]
    assert "REQUEST_LIMIT_EXCEEDED" in (listed[0].reason or "")
    org.far.clear_faults()
    task.run(f"{HOUSEHOLDS}.load")
    task.run(f"{HOUSEHOLDS}.commit")
    assert set(org.accounts) == {"C0001"}


def test_the_watch_speaks_up_before_the_reserve_is_reached(house: Walk) -> None:
    ledger, now = house.site.ledger, datetime.now(UTC)
    for hours, used in ((24, 1_000), (2, 1_500), (1, 20_000), (0, 45_000)):
        ledger.report(ORG, "calls", Reported(100_000, used, now - timedelta(hours=hours)))
    found = watching.budget_findings(ledger, list(TOLD.values()), now=now)
    assert [one.key for one in found] == [f"limits:{ORG}:calls"]
    assert "20,000 are the reserve for others" in found[0].message
    quiet = Reported(100_000, 45_000, now + timedelta(hours=3))
    ledger.report(ORG, "calls", quiet)
    assert watching.budget_findings(ledger, list(TOLD.values()), now=now + timedelta(hours=6)) == []


def test_low_and_high_flows_say_so_in_their_dag() -> None:
    from flows.walking import legs_of

    assert {leg.priority for leg in legs_of("salesforce_orders")} == {"high"}
    assert {leg.priority for leg in legs_of("salesforce_purchase_history")} == {"low"}
    assert {leg.priority for leg in legs_of(CUSTOMERS)} == {"normal"}
