"""Undo at Salesforce: accounts and contacts that were made, changed, cleared and switched off go back."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from flows.walking import CONTACTS, HOUSEHOLDS, Org, Shop, Walk
from undo.taking_back import Back

OWN = {"SystemModstamp", "LastModifiedDate", "LastModifiedById", "LastViewedDate", "LastReferencedDate"}


def values(records: dict[str, Any]) -> dict[str, Any]:
    """Without the times of writing."""
    return {key: {name: value for name, value in row.items() if name not in OWN} for key, row in records.items()}


def a_town(walk: Walk, shop: Shop, back: Back) -> None:
    back.keep(HOUSEHOLDS)
    shop.customers(1, 2, 3, 4)
    walk.leg(HOUSEHOLDS)


def test_changed_cleared_made_and_switched_off_accounts_go_back(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    a_town(walk, shop, back)
    before = values(org.accounts)
    shop.change(1, name="Grace Hopper")
    shop.change(2, address={"phone1": None, "town": "Bonn"})
    shop.remove(3)
    shop.customers(9)
    run = walk.leg(HOUSEHOLDS, "complete")
    assert (run.new, run.modified, run.deleted) == (1, 2, 1)
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
    assert org.accounts["C0002"]["Phone"] is None
    undone = back.undo(run)
    assert (undone.kind, undone.status, undone.balanced) == ("undo", "green", True)
    assert (undone.extracted, undone.delivered, undone.filtered, undone.digest) == (4, 4, 0, undone.digest)
    after = values(org.accounts)
    made = after.pop("C0009")
    assert after == before
    assert made["Commerce_Active__c"] is False, "made by the run: switched off, as the leg's deletes are"


def test_what_was_undone_waits_until_its_source_changes(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    a_town(walk, shop, back)
    shop.change(1, name="Grace Hopper")
    shop.remove(3)
    shop.customers(9)
    back.undo(walk.leg(HOUSEHOLDS, "complete"))
    before = org.stamps()
    for mode in ("complete", "changes", "complete"):
        run = walk.leg(HOUSEHOLDS, mode)
        assert (run.status, run.sent) == ("green", 0)
    assert org.stamps() == before
    assert back.held(HOUSEHOLDS) == {"C0001", "C0003", "C0009"}
    shop.change(1, name="Grace Murray Hopper")
    assert walk.leg(HOUSEHOLDS).modified == 1
    assert org.accounts["C0001"]["Name"] == "Grace Murray Hopper (household)"
    assert back.held(HOUSEHOLDS) == {"C0003", "C0009"}


def test_a_source_that_goes_back_itself_has_nothing_to_send(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    a_town(walk, shop, back)
    shop.change(1, name="Grace Hopper")
    back.undo(walk.leg(HOUSEHOLDS))
    shop.change(1, name="Ada Lovelace1")
    run = walk.leg(HOUSEHOLDS)
    assert (run.unchanged, run.sent) == (run.extracted, 0)
    assert back.held(HOUSEHOLDS) == set()


def test_a_person_lets_it_go_again(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    from commerce_sync import undo

    a_town(walk, shop, back)
    shop.change(1, name="Grace Hopper")
    shop.remove(3)
    back.undo(walk.leg(HOUSEHOLDS, "complete"))
    assert undo.redo(walk.site, HOUSEHOLDS, ["C0001", "nobody"], by="Ada") == ["C0001"]
    walk.leg(HOUSEHOLDS, "complete")
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)"
    assert org.accounts["C0003"]["Commerce_Active__c"] is True
    assert undo.redo(walk.site, HOUSEHOLDS, by="Ada") == ["C0003"]
    walk.leg(HOUSEHOLDS, "complete")
    assert org.accounts["C0003"]["Commerce_Active__c"] is False


def test_a_field_that_somebody_changed_since_is_left_and_listed(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    a_town(walk, shop, back)
    shop.change(1, name="Grace Hopper", address={"town": "Bonn"})
    shop.change(2, name="Jean Bartik")
    shop.customers(9)
    run = walk.leg(HOUSEHOLDS)
    org.far.patch("Account", org.accounts["C0001"]["Id"], BillingCity="Paris")
    org.far.patch("Account", org.accounts["C0002"]["Id"], Name="By hand")
    org.far.patch("Account", org.accounts["C0009"]["Id"], Phone="112")
    planned = back.plan(run)
    assert planned.counts == {"extracted": 3, "unchanged": 0, "filtered": 2, "waiting": 0, "new": 0, "modified": 1,
                              "deleted": 0}  # fmt: skip
    assert org.accounts["C0001"]["Name"] == "Grace Hopper (household)", "a plan sends nothing"
    undone = back.undo(run)
    assert back.rows(undone) == [
        ("C0001", "BillingCity", "conflict"), ("C0001", "Name", "restore"), ("C0002", "Name", "conflict"),
        ("C0009", "", "conflict"), ("C0009", "Phone", "conflict"),
    ]  # fmt: skip
    assert (undone.extracted, undone.filtered, undone.delivered) == (3, 2, 1)
    assert "2 left because they changed since" in (undone.message or "")
    assert (org.accounts["C0001"]["Name"], org.accounts["C0001"]["BillingCity"]) == (
        "Ada Lovelace1 (household)",
        "Paris",
    )
    assert org.accounts["C0002"]["Name"] == "By hand"
    assert (org.accounts["C0009"]["Phone"], org.accounts["C0009"]["Commerce_Active__c"]) == ("112", True)
    assert walk.leg(HOUSEHOLDS, "complete").sent == 0
    history = walk.site.history.search(key="C0002")
    assert [(item.outcome, item.code) for item in history if item.run == undone.run and item.leg == HOUSEHOLDS] == [
        ("held", "UNDO_CONFLICT")
    ]


def test_undo_of_undo_is_the_state_after_the_run(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    a_town(walk, shop, back)
    shop.change(1, name="Grace Hopper")
    shop.change(2, address={"phone1": None})
    shop.remove(3)
    shop.customers(9)
    run = walk.leg(HOUSEHOLDS, "complete")
    after, markers = values(org.accounts), walk.markers(HOUSEHOLDS)
    first = back.undo(run)
    second = back.undo(first)
    assert values(org.accounts) == after
    assert walk.markers(HOUSEHOLDS) == markers
    assert back.held(HOUSEHOLDS) == set()
    assert walk.leg(HOUSEHOLDS, "complete").sent == 0
    back.undo(second)
    assert org.accounts["C0001"]["Name"] == "Ada Lovelace1 (household)"
    assert back.held(HOUSEHOLDS) == {"C0001", "C0002", "C0003", "C0009"}
    assert walk.leg(HOUSEHOLDS, "complete").sent == 0


def test_undone_twice_it_changes_nothing_more(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    a_town(walk, shop, back)
    shop.change(1, name="Grace Hopper")
    run = walk.leg(HOUSEHOLDS)
    back.undo(run)
    before = org.stamps()
    again = back.undo(run)
    assert (again.unchanged, again.sent, again.status) == (1, 0, "green")
    assert org.stamps() == before


def test_an_older_run_gives_back_only_what_later_runs_left_alone(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    a_town(walk, shop, back)
    shop.change(1, name="Grace Hopper", address={"town": "Bonn"})
    first = walk.leg(HOUSEHOLDS)
    shop.change(1, name="Jean Bartik")
    walk.leg(HOUSEHOLDS)
    undone = back.undo(first)
    assert back.rows(undone) == [("C0001", "BillingCity", "restore"), ("C0001", "Name", "conflict")]
    assert (org.accounts["C0001"]["Name"], org.accounts["C0001"]["BillingCity"]) == (
        "Jean Bartik (household)",
        "Berlin",
    )
    assert walk.leg(HOUSEHOLDS, "complete").sent == 0, "what the source offers now is held as well"
    shop.change(1, address={"town": "Bonn", "phone1": "110"})
    walk.leg(HOUSEHOLDS)
    assert (org.accounts["C0001"]["BillingCity"], org.accounts["C0001"]["Phone"]) == ("Bonn", "110")


def test_both_directions_stay_agreed(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    from flows.walking import CUSTOMERS

    back.keep(HOUSEHOLDS, CONTACTS)
    shop.customers(1, 2)
    walk(CUSTOMERS)
    walk(CUSTOMERS)
    shop.change(1, name="Grace Hopper", address={"phone1": "040 99"})
    runs = walk(CUSTOMERS)
    assert org.contacts["C0001"]["LastName"] == "Hopper"
    undone = back.undo(runs[CONTACTS])
    assert (undone.modified, undone.delivered) == (1, 1)
    contact = org.contacts["C0001"]
    assert (contact["FirstName"], contact["LastName"], contact["Phone"]) == ("Ada", "Lovelace1", "030 1234567")
    for mode in ("auto", "complete"):
        runs = walk(CUSTOMERS, mode)
        assert walk.errors == {}
        assert {leg: run.sent for leg, run in runs.items() if run.sent} == {}
    assert shop.far.records("Customer", uid="c1@people.example")[0]["name"] == "Grace Hopper", "the shop is not undone"
    shop.change(1, address={"phone1": "040 11"})
    walk(CUSTOMERS)
    assert walk.errors == {}
    assert (org.contacts["C0001"]["Phone"], org.contacts["C0001"]["LastName"]) == ("040 11", "Hopper")


def test_a_name_of_two_fields_goes_back_as_a_whole_or_not_at_all(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    from flows.walking import CUSTOMERS

    back.keep(CONTACTS)
    shop.customers(1)
    walk(CUSTOMERS)
    shop.change(1, name="Grace Hopper", address={"phone1": "040 99"})
    runs = walk(CUSTOMERS)
    org.far.patch("Contact", org.contacts["C0001"]["Id"], FirstName="Amazing Grace")
    back.undo(runs[CONTACTS])
    contact = org.contacts["C0001"]
    assert (contact["FirstName"], contact["LastName"], contact["Phone"]) == ("Amazing Grace", "Hopper", "030 1234567")


def test_a_leg_that_keeps_no_images_says_so(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    shop.customers(1)
    org.far.reset_calls()
    run = walk.leg(HOUSEHOLDS)
    with pytest.raises(ConfigurationError, match="has no before-images"):
        back.undo(run)
    with pytest.raises(ConfigurationError, match="has no run 'nothing'"):
        back.undo(type(run)(**{**{name: getattr(run, name) for name in run.__slots__}, "run": "nothing"}))


def test_by_bulk_jobs_and_where_the_org_refuses_a_record(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    back.keep(HOUSEHOLDS, target={"bulk_from": 1})
    shop.customers(1, 2, 3)
    walk.leg(HOUSEHOLDS)
    before = values(org.accounts)
    for number in (1, 2):
        shop.change(number, name="Grace Hopper", address={"phone1": None})
    shop.remove(3)
    run = walk.leg(HOUSEHOLDS, "complete")
    org.far.fault(action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": "^C0002$"}, times=1)
    org.far.reset_calls()
    first = back.undo(run)
    assert org.jobs() > 0
    assert (first.status, first.delivered, first.rejected, first.balanced) == ("green", 2, 1, True)
    assert "1 not taken by salesforce: undo again" in (first.message or "")
    assert org.accounts["C0002"]["Name"] == "Grace Hopper (household)"
    assert back.held(HOUSEHOLDS) == {"C0001", "C0003"}, "what was not undone is as it was: delivered"
    second = back.undo(run)
    assert (second.unchanged, second.delivered) == (2, 1)
    assert values(org.accounts) == before
    assert back.held(HOUSEHOLDS) == {"C0001", "C0002", "C0003"}
    assert walk.leg(HOUSEHOLDS, "complete").sent == 0


def test_rows_that_the_gate_set_aside_are_no_part_of_it(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    walk.gated = True
    walk.alter(HOUSEHOLDS, undo=True)
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    shop.change(1, name="Grace Hopper")
    shop.change(2, name="Jean Bartik" + "x" * 300)
    run = walk.leg(HOUSEHOLDS)
    assert (run.quarantined, run.delivered) == (1, 1)
    undone = back.undo(run)
    assert (undone.extracted, undone.delivered) == (1, 1)
    assert org.accounts["C0001"]["Name"] == "Ada Lovelace1 (household)"
    assert walk.rejects(HOUSEHOLDS)["C0002"].status == "quarantined"
