"""S1, both ways: what sales edits reaches the shop, each value has an owner, and then nothing moves any more."""

from __future__ import annotations

import pytest

from flows.both_sides import TO_ADDRESSES, TO_BUYERS, TO_CUSTOMERS, TO_UNIT_ADDRESSES, TO_UNITS, Both
from flows.walking import HOUSEHOLDS, UNITS, Org, Shop, Walk, mapping_of


@pytest.fixture
def both(walk: Walk, shop: Shop, org: Org) -> Both:
    """A unit with two buyers and three private customers, known on both sides."""
    walk.gated = False
    found = Both(walk, shop, org)
    shop.units("acme", "bolt")
    shop.buyers(1, 2, unit="acme")
    shop.customers(1, 2, 3)
    found.run()
    return found


def test_what_sales_edits_reaches_the_shop_and_then_nothing_is_written(both: Both) -> None:
    both.edit_account("acme", Name="Acme Holding", Phone="040 77", BillingStreet="Oak Road\r\n 7b", BillingCity="Bonn")
    both.edit_contact("C0001", FirstName="Ada Augusta", LastName="King", MailingCountry="FR")
    both.edit_contact("B0001", Email="Buyer@acme.example", Phone=None)
    assert both.sent() == {TO_UNITS: 1, TO_UNIT_ADDRESSES: 1, TO_CUSTOMERS: 1, TO_BUYERS: 1, TO_ADDRESSES: 2}
    address, person = both.in_shop("Address", "A-acme"), both.in_shop("Address", "A-C1")
    assert both.in_shop("B2BUnit", "acme")["name"] == "Acme Holding"
    assert (address["streetname"], address["streetnumber"], address["town"]) == ("Oak Road", "7b", "Bonn")
    assert (address["phone1"], address["postalcode"]) == ("040 77", "10115")
    assert both.in_shop("Customer", "c1@people.example")["name"] == "Ada Augusta King"
    assert (person["country"], person["town"], person["phone1"]) == ("FR", "Berlin", "030 1234567")
    assert both.in_shop("B2BCustomer", "b1@people.example")["email"] == "buyer@acme.example"
    assert both.in_shop("Address", "A-B1")["phone1"] is None
    assert both.conflicts() == []
    assert both.sent() == {HOUSEHOLDS: 1}, "the household is named after its customer"
    both.assert_at_rest()
    assert (both.org.contacts["C0001"]["FirstName"], both.org.contacts["C0001"]["LastName"]) == ("Ada Augusta", "King")
    assert both.org.contacts["B0001"]["Email"] == "Buyer@acme.example", "only the spelling differs: nothing to send"


def test_where_both_edited_the_owner_wins_and_the_other_value_is_kept_for_a_person(both: Both) -> None:
    both.edit_account("acme", Name="Acme by sales", BillingCity="Bonn")
    both.edit_shop("B2BUnit", "acme", name="Acme by the shop")
    both.edit_contact("C0002", LastName="By Sales", Phone="1")
    both.edit_shop("Customer", "c2@people.example", name="Grace By Shop")
    both.run()
    both.run()
    assert both.in_shop("B2BUnit", "acme")["name"] == both.org.accounts["acme"]["Name"] == "Acme by sales"
    assert both.in_shop("Customer", "c2@people.example")["name"] == "Grace By Shop"
    contact = both.org.contacts["C0002"]
    assert (contact["FirstName"], contact["LastName"], contact["Phone"]) == ("Grace By", "Shop", "1")
    assert both.in_shop("Address", "A-C2")["phone1"] == "1", "a value of the same record that only sales edited"
    assert sorted(both.conflicts()) == [
        ("C0002", "name", "Grace By Shop", "Ada By Sales"), ("acme", "name", "Acme by sales", "Acme by the shop")]  # fmt: skip
    both.assert_at_rest()


def test_what_the_shop_does_not_have_is_not_made_by_the_crm(both: Both) -> None:
    both.shop.remove(3)
    both.shop.far.delete("B2BUnit", "bolt")
    both.edit_contact("C0003", LastName="Gone")
    both.edit_account("bolt", Name="Gone Ltd")
    both.org.far.put("Contact", [{"LastName": "New", "AccountId": both.org.accounts["acme"]["Id"]}])
    both.org.far.put(
        "Contact", [{"LastName": "Odd", "Commerce_Id__c": "C0099", "Commerce_Uid__c": "odd@people.example"}]
    )
    for mode in ("auto", "complete"):  # between two scans nobody has seen yet that they are gone
        both.run(mode=mode)
    people = {row["uid"] for row in both.shop.far.records("Customer")}
    assert {uid for uid in people if not uid.startswith("b")} == {"c1@people.example", "c2@people.example"}
    assert {row["uid"] for row in both.shop.far.records("B2BUnit")} == {"acme"}
    assert both.org.contacts["C0003"]["Commerce_Active__c"] is False


def test_what_is_the_shops_alone_does_not_come_back(both: Both) -> None:
    """Login, unit membership, language and state: edits in the CRM stay there."""
    both.edit_contact(
        "B0001", Commerce_Uid__c="other@people.example", AccountId=both.org.accounts["bolt"]["Id"],
        Commerce_Language__c="de", Commerce_Active__c=False,
    )  # fmt: skip
    before = both.shop_state()
    assert both.sent() == {}
    assert both.shop_state() == before


def test_an_automation_that_rewrites_our_field_is_isolated_and_the_others_go_on(both: Both) -> None:
    for leg in (UNITS, TO_UNITS):
        both.walk.alter(leg, target={"options": {**mapping_of(leg).target.options, "max_turns": 2}})
    for turn in range(5):
        both.edit_account("acme", Name=f"Acme {turn} (checked)")
        both.walk.attempt(TO_UNITS)
        both.edit_shop("B2BUnit", "acme", name=f"Acme {turn}")
        both.walk.attempt(UNITS)
    held = {leg: both.walk.rejects(leg) for leg in (UNITS, TO_UNITS)}
    stopped = [item for items in held.values() for item in items.values()]
    assert {(item.key, item.code, item.status) for item in stopped} == {("acme", "loop", "parked")}
    assert "back and forth" in stopped[0].reason
    both.edit_account("bolt", Name="Bolt by sales")
    both.edit_shop("B2BUnit", "acme", name="Once more")
    both.run()
    assert both.in_shop("B2BUnit", "bolt")["name"] == "Bolt by sales"
    assert "Once more" not in both.org.accounts["acme"]["Name"]
