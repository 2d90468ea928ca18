"""Contracts 4.8 and 4.9: backfills read their interval and harm nothing; limits hold before anything is sent."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync import attempts, delivery, detection, flow
from commerce_sync import leg as legs
from commerce_sync.errors import ConfigurationError, GuardError, RetryableError
from commerce_sync.mapping import Guards, Limit
from flows.walking import HOUSEHOLDS, SPEND, Org, Shop, Walk, line


def days_ago(days: float) -> datetime:
    return datetime.now(UTC).replace(microsecond=0) - timedelta(days=days)


def three_days_of_customers(shop: Shop) -> None:
    for number, days in ((1, 3), (2, 2), (3, 1)):
        shop.customers(number, modifiedtime=(days_ago(days)).isoformat())


def high_water(walk: Walk) -> datetime | None:
    return walk.site.ledger.state(HOUSEHOLDS).high_water


def test_a_backfill_reads_its_interval_only(walk: Walk, shop: Shop, org: Org) -> None:
    three_days_of_customers(shop)
    run = walk.leg(HOUSEHOLDS, "changes", since=days_ago(2.5), until=days_ago(1.5), backfill=True)
    assert (run.kind, run.read, run.delivered) == ("backfill", 1, 1)
    assert set(org.accounts) == {"C0002"}
    assert high_water(walk) is None
    assert walk.leg(HOUSEHOLDS).delivered == 2, "the live schedule still begins with everything"


def test_a_backfill_never_moves_the_high_water(walk: Walk, shop: Shop, org: Org) -> None:
    three_days_of_customers(shop)
    walk.leg(HOUSEHOLDS)
    known = high_water(walk)
    shop.change(1, name="Grace Hopper", modifiedtime=days_ago(3).isoformat())
    assert walk.leg(HOUSEHOLDS, "changes", since=days_ago(4), until=days_ago(2.5), backfill=True).modified == 1
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
    assert high_water(walk) == known
    shop.change(2, name="Mary Somerville")
    walk.leg(HOUSEHOLDS, "changes", since=days_ago(1), until=datetime.now(UTC), backfill=True)
    assert high_water(walk) == known, "not forward either: what lies before the interval was not read"


def test_a_window_after_the_high_water_leaves_no_gap(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, modifiedtime=days_ago(3).isoformat())
    walk.leg(HOUSEHOLDS)
    shop.customers(2, modifiedtime=days_ago(2).isoformat())
    shop.customers(3, modifiedtime=days_ago(1).isoformat())
    assert walk.leg(HOUSEHOLDS, "changes", since=days_ago(1.5)).new == 1
    assert set(org.accounts) == {"C0001", "C0003"}
    assert walk.leg(HOUSEHOLDS, "changes").new == 1
    assert set(org.accounts) == {"C0001", "C0002", "C0003"}


def test_a_window_before_the_high_water_does_not_move_it_back(walk: Walk, shop: Shop) -> None:
    three_days_of_customers(shop)
    walk.leg(HOUSEHOLDS)
    known = high_water(walk)
    walk.leg(HOUSEHOLDS, "changes", since=days_ago(4), until=days_ago(2.5))
    assert high_water(walk) == known


def test_a_second_run_of_the_leg_waits_for_the_first(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    work = walk.begin(HOUSEHOLDS)
    walk.errors = {}
    with pytest.raises(RetryableError, match="run-1 is still at work") as found:
        walk.begin(HOUSEHOLDS, "changes", since=days_ago(2), until=days_ago(1), backfill=True)
    assert found.value.retry_after == 60
    assert [run.run for run in walk.runs(HOUSEHOLDS)] == [work.id], "the run that waits has left no trace"
    legs.release(walk.site, HOUSEHOLDS, work.id, message="killed")
    assert walk.leg(HOUSEHOLDS).delivered == 1


def test_of_two_runs_that_begin_at_the_same_moment_one_gives_way(
    walk: Walk, shop: Shop, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.customers(1)
    real, begun = attempts.to_begin, []

    def unseen(ledger: object, batches: object, leg: str, run_id: str) -> object:
        """Another process is past its look around, too, and writes its row first."""
        if not begun:
            begun.append(run_id)
            walk.begin(HOUSEHOLDS, run_id="the-other")
            monkeypatch.setattr(legs, "_refuse_company", lambda *_: None)
        return real(ledger, batches, leg, run_id)  # type: ignore[arg-type]

    monkeypatch.setattr(attempts, "to_begin", unseen)
    with pytest.raises(RetryableError, match="the-other is still at work"):
        walk.begin(HOUSEHOLDS, run_id="this-one")
    assert {run.run: run.status for run in walk.runs(HOUSEHOLDS)} == {"the-other": "running", "this-one": "stopped"}


@pytest.mark.parametrize("reached", ["extract", "map_changes"])
def test_a_run_taken_up_after_a_newer_one_settled_does_not_send_its_older_values(
    walk: Walk, shop: Shop, org: Org, reached: str
) -> None:
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    shop.change(1, name="Older Name")
    old = walk.begin(HOUSEHOLDS, run_id="old")
    legs.extract(old, flow.source_system)
    if reached == "map_changes":
        detection.map_changes(old)
    legs.release(walk.site, HOUSEHOLDS, "old", message="its worker died")
    shop.change(1, name="Newer Name")
    walk.leg(HOUSEHOLDS)
    again = legs.resume(walk.site, walk.mapping(HOUSEHOLDS), "old")
    steps: dict[str, Callable[[], Any]] = {
        "extract": lambda: detection.map_changes(again),
        "map_changes": lambda: delivery.load(again, flow.target_system, wait_s=5),
    }
    with pytest.raises(ConfigurationError, match="another run settled since"):
        steps[reached]()
    assert org.accounts["C0001"]["Name"] == "Newer Name (household)"


def test_a_settled_run_whose_load_is_cleared_later_does_not_send_its_older_values(
    walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1)
    walk.leg(HOUSEHOLDS, run_id="old")
    shop.change(1, name="Newer Name")
    walk.leg(HOUSEHOLDS)
    with pytest.raises(ConfigurationError, match="another run settled since"):
        delivery.load(legs.resume(walk.site, walk.mapping(HOUSEHOLDS), "old"), flow.target_system, wait_s=5)
    assert org.accounts["C0001"]["Name"] == "Newer Name (household)"


def test_a_stopped_run_that_is_taken_up_again_holds_up_the_next_one(walk: Walk, shop: Shop) -> None:
    shop.customers(1)
    legs.extract(walk.begin(HOUSEHOLDS, run_id="old"), flow.source_system)
    legs.release(walk.site, HOUSEHOLDS, "old", message="the DAG run failed")
    legs.resume(walk.site, walk.mapping(HOUSEHOLDS), "old")
    with pytest.raises(RetryableError, match="old is still at work"):
        walk.begin(HOUSEHOLDS)


@pytest.mark.parametrize(
    "request_", [{"mode": "changes", "backfill": True}, {"mode": "replay"}], ids=["backfill", "replay"]
)
def test_an_aggregate_never_makes_figures_of_a_part_of_the_orders(
    walk: Walk, shop: Shop, org: Org, request_: dict[str, object]
) -> None:
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    shop.product("p1")
    shop.order("O1", customer=1, day="2026-05-01", lines=[line(0, "p1", 1, 10.0)])
    window = {} if request_["mode"] == "replay" else {"since": days_ago(1), "until": datetime.now(UTC)}
    with pytest.raises(ConfigurationError, match="run the leg once with mode 'complete'"):
        walk.begin(SPEND, **(request_ | window))  # type: ignore[arg-type]
    assert org.accounts["C0001"]["Order_Count__c"] is None
    assert walk.leg(SPEND).delivered == 1


# Guards


@pytest.mark.parametrize("guard", ["max_deletes", "max_changes"])
def test_a_breached_guard_stops_before_anything_is_sent(walk: Walk, shop: Shop, org: Org, guard: str) -> None:
    shop.customers(*range(10))
    walk.leg(HOUSEHOLDS)
    before = org.stamps()
    for number in range(3):
        if guard == "max_deletes":
            shop.remove(number)
        else:
            shop.change(number, name=f"Grace Hopper{number}")
    walk.alter(HOUSEHOLDS, guards=Guards(**{guard: Limit(absolute=2)}))
    org.far.reset_calls()
    run = walk.attempt(HOUSEHOLDS, "complete")
    assert isinstance(walk.error, GuardError)
    assert f"3 of 10 records is more than guard {guard} allows (2)" in str(walk.error)
    assert (run.status, run.settled) == ("stopped", False)
    assert (org.stamps(), org.writes()) == (before, 0)
    walk.alter(HOUSEHOLDS, guards=Guards(**{guard: Limit(absolute=3)}))
    assert walk.leg(HOUSEHOLDS, "complete").delivered == 3


def test_a_first_load_passes_a_guard_given_as_a_share(walk: Walk, shop: Shop) -> None:
    shop.customers(1, 2)
    walk.alter(HOUSEHOLDS, guards=Guards(max_changes=Limit(share=1.0)))
    assert walk.leg(HOUSEHOLDS).delivered == 2


def test_a_plan_sends_nothing_and_consumes_nothing(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2, 3)
    run = walk.leg(HOUSEHOLDS, "plan")
    assert (run.kind, run.status, run.new) == ("plan", "stopped", 3)
    assert "3 to create" in (run.message or "")
    assert (org.accounts, org.writes(), walk.markers(HOUSEHOLDS)) == ({}, 0, {})
    assert walk.leg(HOUSEHOLDS).delivered == 3
    shop.change(2, name="Grace Hopper")
    shop.remove(3)
    before, known = org.stamps(), walk.site.ledger.state(HOUSEHOLDS)
    assert walk.leg(HOUSEHOLDS, "plan").modified == 1
    assert (org.stamps(), walk.site.ledger.state(HOUSEHOLDS)) == (before, known)
    assert walk.leg(HOUSEHOLDS, "changes").modified == 1
