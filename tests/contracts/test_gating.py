"""The gate on its way: failing rows are set aside by name, too many stop the leg, a crash is not a verdict."""

from __future__ import annotations

from dataclasses import replace

from commerce_sync.errors import ConfigurationError, GateError
from commerce_sync.mapping import Check, Checks, Guards, Limit
from flows.walking import CONTACTS, KEY, Org, Shop, Walk

BAD = "Ada-without-address"


def customers(shop: Shop, org: Org, *, good: int, bad: int) -> None:
    shop.customers(*range(good))
    for number in range(good, good + bad):
        shop.customers(number, uid=f"{BAD}-{number}")
    org.far.put("Account", [{"Name": "x", KEY: f"C{number:04d}"} for number in range(good + bad)])


def test_a_failing_row_is_quarantined_by_name_and_arrives_when_it_is_corrected(
    gated_walk: Walk, shop: Shop, org: Org
) -> None:
    customers(shop, org, good=11, bad=1)
    run = gated_walk.leg(CONTACTS)
    assert (run.status, run.sent, run.quarantined, run.delivered) == ("green", 11, 1, 11)
    assert "C0011" not in org.contacts
    reject = gated_walk.rejects(CONTACTS)["C0011"]
    assert (reject.status, reject.code) == ("quarantined", "ExpectColumnValuesToMatchRegex")
    assert BAD.lower() not in f"{reject.reason} {reject.payload}".lower()
    again = gated_walk.leg(CONTACTS, "replay")
    assert (again.carried, again.quarantined, again.sent) == (1, 1, 0), "it is looked at again"
    shop.tick(1200)
    shop.change(1, name="Grace Hopper")
    small = gated_walk.leg(CONTACTS, "changes")
    assert (small.quarantined, small.delivered) == (1, 1), "a row that is known to fail does not stop a small run"
    assert org.contacts["C0001"]["LastName"] == "Hopper"
    shop.far.patch("Customer", f"{BAD}-11", uid="right@people.example", modifiedtime=shop.tick())
    assert gated_walk.leg(CONTACTS, "changes").delivered == 1
    assert org.contacts["C0011"]["Email"] == "right@people.example"
    assert gated_walk.rejects(CONTACTS) == {}


def test_too_many_failing_rows_stop_the_leg_before_anything_is_sent(gated_walk: Walk, shop: Shop, org: Org) -> None:
    gated_walk.alter(CONTACTS, guards=Guards(max_quarantined=Limit(share=0.10)))
    customers(shop, org, good=5, bad=2)
    org.far.reset_calls()
    run = gated_walk.attempt(CONTACTS)
    assert isinstance(gated_walk.error, GateError)
    assert (run.status, run.settled, run.sent) == ("stopped", False, 0)
    assert (org.contacts, org.writes()) == ({}, 0)
    page = next((gated_walk.folder / "pages").rglob("*.html")).read_text()
    assert "ExpectColumnValuesToMatchRegex" in page
    assert BAD.lower() not in page.lower()


def test_a_run_that_reads_nothing_may_still_bring_home_what_was_refused(gated_walk: Walk, shop: Shop, org: Org) -> None:
    customers(shop, org, good=3, bad=0)
    org.far.fault(action="row_error", object="Contact", when={"field": KEY, "regex": "C0001"}, times=1)
    gated_walk.attempt(CONTACTS)
    run = gated_walk.leg(CONTACTS, "replay")
    assert (run.read, run.delivered, set(org.contacts)) == (0, 1, {"C0000", "C0001", "C0002"})


def test_an_empty_complete_scan_does_not_pass_a_gate_that_asks_for_rows(gated_walk: Walk, shop: Shop, org: Org) -> None:
    customers(shop, org, good=1, bad=0)
    gated_walk.leg(CONTACTS)
    shop.remove(0)
    gated_walk.attempt(CONTACTS, "complete")
    assert type(gated_walk.error).__name__ in ("GateError", "GuardError")
    assert org.contacts["C0000"]["Commerce_Active__c"] is True


def test_a_check_that_crashes_is_not_taken_for_data_that_fails(gated_walk: Walk, shop: Shop, org: Org) -> None:
    customers(shop, org, good=3, bad=0)
    broken = Check("ExpectColumnValuesToMatchRegex", {"column": "Email", "regex": "("}, "quarantine")
    gated_walk.alter(CONTACTS, checks=replace(Checks(), changes=(broken,)))
    run = gated_walk.attempt(CONTACTS)
    assert isinstance(gated_walk.error, ConfigurationError)
    assert "ExpectColumnValuesToMatchRegex" in str(gated_walk.error)
    assert (run.status, run.quarantined, org.contacts) == ("stopped", 0, {})
