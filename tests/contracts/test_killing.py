"""Contract 4.5: kill any step anywhere, start it again in another process: the end is that of an undisturbed run."""

from __future__ import annotations

import os
from typing import Any

import pytest

from commerce_sync import attempts, error_desk
from commerce_sync import leg as legs
from commerce_sync.explain import explain
from commerce_sync.systems.salesforce.hook import SalesforceHook
from flows.dying import AGGREGATE_POINTS, POINTS, STEPS, in_a_process
from flows.walking import HOUSEHOLDS, KEY, SPEND, Org, Shop, Walk, line, uid

RUN = "the-run"
CREATED, CHANGED, GONE, REFUSED = 3, 2, 1, 1
SINCE = "2026-01-05T08:00:00+00:00"
"""When they all registered: a time of the shop's own would tell the two histories apart."""


def begin_with_some(walk: Walk, shop: Shop, org: Org) -> None:
    """Ten customers are known; then some come, some change, one goes, one will be refused."""
    walk.alter(HOUSEHOLDS, target={"bulk_from": 1})
    shop.customers(*range(10), creationtime=SINCE)
    walk.leg(HOUSEHOLDS)
    shop.customers(10, 11, 12, 13, creationtime=SINCE)
    shop.change(1, name="Grace Hopper")
    shop.change(2, name="Mary Somerville")
    shop.remove(3)
    org.far.fault(action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": "C0013"}, times=None)
    org.far.reset_calls()


def go(walk: Walk, steps: tuple[str, ...], point: str = "", *, leg: str = HOUSEHOLDS) -> int | None:
    environment = {name: value for name, value in os.environ.items() if name.startswith("AIRFLOW_CONN_")}
    return in_a_process(str(walk.folder), environment, leg, RUN, steps, point)


def rows_worked_on(org: Org) -> int:
    """Rows the org has worked on in the jobs of the run, the first load's ten left out."""
    hook = SalesforceHook("salesforce_default")
    jobs = [job for job in hook.call("GET", "jobs/ingest")["records"] if job["state"] != "Aborted"]
    infos = [hook.call("GET", f"jobs/ingest/{job['id']}") for job in jobs]
    return sum(info["numberRecordsProcessed"] for info in infos) - 10


def outcome(walk: Walk, org: Org) -> dict[str, Any]:
    """All that has to be as if nothing had happened."""
    run = walk.site.ledger.find_run(HOUSEHOLDS, attempts.latest(walk.site.ledger, HOUSEHOLDS, RUN))
    assert run is not None
    accounts = {key: (row["Name"], row["Commerce_Active__c"]) for key, row in org.accounts.items()}
    marks = {key: marker["fingerprint"] for key, marker in walk.markers(HOUSEHOLDS).items()}
    rejects = {key: (item.status, item.attempts) for key, item in walk.rejects(HOUSEHOLDS).items()}
    version = walk.site.ledger.state(HOUSEHOLDS).version
    return {"accounts": accounts, "marks": marks, "rejects": rejects, "version": version,
            "status": run.status, "counts": run.counts, "digest": run.digest}  # fmt: skip


undisturbed: dict[str, Any] = {}


def assert_as_undisturbed(walk: Walk, shop: Shop, org: Org, *, sent_again: bool = False) -> None:
    """sent_again: what had been created before the kill is reported as updated by the second try."""
    found = outcome(walk, org)
    assert {item["target_id"] for item in walk.markers(HOUSEHOLDS).values()} <= {
        row["Id"] for row in org.accounts.values()
    }
    if not undisturbed:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1)
        other = Walk(walk.folder / "undisturbed")
        other.gated = False
        begin_with_some(other, shop, org)
        assert go(other, STEPS) == 0
        undisturbed.update(outcome(other, org) | {"jobs": org.jobs(), "worked": rows_worked_on(org)})
    wanted = {key: undisturbed[key] for key in found}
    if sent_again:
        for side in (found, wanted):
            side["counts"] = side["counts"] | {"created": None}
    assert found == wanted


@pytest.mark.parametrize("point", POINTS)
def test_a_step_killed_for_good_is_taken_up_by_another_process(walk: Walk, shop: Shop, org: Org, point: str) -> None:
    begin_with_some(walk, shop, org)
    step = POINTS[point][0]
    killed = STEPS.index(step)
    assert go(walk, STEPS[: killed + 1], point) == -9
    assert go(walk, STEPS[killed:]) == 0
    jobs, worked = org.jobs(), rows_worked_on(org)
    assert_as_undisturbed(walk, shop, org)
    assert undisturbed["worked"] == CREATED + CHANGED + GONE + REFUSED == worked, "nothing was sent twice into effect"
    aborted = 1 if point == "load, the data uploaded" else 0
    assert jobs == undisturbed["jobs"] + aborted, "a job that Salesforce has begun is resumed, not made again"


@pytest.mark.parametrize("point", ["map_changes, its changes written", "load, the job closed"])
def test_a_killed_run_walked_again_from_its_beginning_ends_the_same(
    walk: Walk, shop: Shop, org: Org, point: str
) -> None:
    begin_with_some(walk, shop, org)
    assert go(walk, ("walk",), point) == -9
    assert go(walk, ("walk",)) == 0
    assert_as_undisturbed(walk, shop, org, sent_again=point == "load, the job closed")


def test_a_killed_run_holds_up_the_next_one_until_it_is_released(walk: Walk, shop: Shop, org: Org) -> None:
    begin_with_some(walk, shop, org)
    assert go(walk, ("walk",), "commit, before the transaction") == -9
    walk.attempt(HOUSEHOLDS)
    assert "the-run is still at work" in str(walk.error)
    assert go(walk, ("walk",)) == 0
    assert walk.leg(HOUSEHOLDS, "complete").waiting == 1


@pytest.mark.parametrize("point", AGGREGATE_POINTS)
def test_figures_are_exact_after_a_run_that_was_killed(walk: Walk, shop: Shop, org: Org, point: str) -> None:
    shop.customers(1, 2, 3)
    org.far.put("Account", [{"Name": key, KEY: key} for key in ("C0001", "C0002", "C0003")])
    shop.product("p1")
    for number, total in ((1, 10.0), (2, 20.0), (3, 30.0)):
        shop.order(f"O{number}", customer=number, day="2026-05-01", lines=[line(0, "p1", 2, total)])
    walk.leg(SPEND)
    shop.touch("O1", user=uid(2))
    shop.returned("R1", "O2", entry=0, pieces=1)
    shop.order("O4", customer=3, day="2026-05-09", lines=[line(0, "p1", 1, 4.0)])
    assert go(walk, ("walk",), point, leg=SPEND) == -9
    assert go(walk, ("walk",), leg=SPEND) == 0
    found = {key: (row["Order_Count__c"], row["Lifetime_Spend__c"]) for key, row in org.accounts.items()}
    assert found["C0002"] == (2, 20.0)
    assert found["C0003"] == (2, 34.0)
    assert found["C0001"][0] == 0
    before = org.stamps()
    assert walk.leg(SPEND, "complete").sent == 0
    assert org.stamps() == before


@pytest.fixture
def left_behind(walk: Walk, shop: Shop, org: Org) -> Walk:
    """C0012's account was created by a load that died; its run is given up, and the shop has removed the customer."""
    begin_with_some(walk, shop, org)
    org.far.clear_faults()
    assert go(walk, ("walk",), "load, the job closed") == -9
    legs.release(walk.site, HOUSEHOLDS, RUN, message="its worker died")
    shop.remove(12)
    assert walk.leg(HOUSEHOLDS, "complete").balanced
    return walk


def test_a_record_nobody_will_take_back_is_named_until_a_person_has_looked(left_behind: Walk, org: Org) -> None:
    assert "C0012" in org.accounts
    (named,) = left_behind.rejects(HOUSEHOLDS).values()
    assert (named.key, named.status, named.code, named.payload) == ("C0012", "parked", "left_behind", None)
    place = next(item for item in explain(left_behind.site, "C0012").places if item.leg == HOUSEHOLDS)
    assert place.state.startswith("A load that died half-way may have created it")
    error_desk.retry(left_behind.site, HOUSEHOLDS, ["C0012"], by="ann")
    for mode in ("changes", "complete"):
        assert left_behind.leg(HOUSEHOLDS, mode).sent == 0
        assert left_behind.rejects(HOUSEHOLDS)["C0012"].status == "parked"
    error_desk.dismiss(left_behind.site, HOUSEHOLDS, ["C0012"], by="ann", reason="removed in the org")
    left_behind.leg(HOUSEHOLDS, "complete")
    assert left_behind.rejects(HOUSEHOLDS)["C0012"].status == "dismissed"


def test_its_name_goes_when_it_is_sent_again(left_behind: Walk, shop: Shop, org: Org) -> None:
    shop.customers(12, creationtime=SINCE)
    assert left_behind.leg(HOUSEHOLDS, "complete").delivered == 1
    assert left_behind.rejects(HOUSEHOLDS) == {}
    shop.remove(12)
    assert left_behind.leg(HOUSEHOLDS, "complete").deleted == 1
    assert org.accounts["C0012"]["Commerce_Active__c"] is False
