"""S1: units and customers of the shop are accounts and contacts in Salesforce."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from commerce_sync.mapping import Mapping
from flows.walking import BUYERS, CONTACTS, CUSTOMERS, HOUSEHOLDS, UNITS, Org, Shop, Walk, legs_of

OUT = {UNITS, HOUSEHOLDS, BUYERS, CONTACTS}
"""Legs from the shop to Salesforce that make accounts and contacts."""
LEGS = OUT | {
    "merged_accounts_to_links", "merged_contacts_to_links", "accounts_to_units", "accounts_to_addresses",
    "contacts_to_customers", "contacts_to_b2b_customers", "contacts_to_addresses", "carts_to_accounts",
    "activity_to_contacts",
}  # fmt: skip


def a_town(shop: Shop) -> None:
    """Two units with three buyers, four private customers."""
    shop.units("acme", "zeta")
    shop.buyers(1, 2, unit="acme")
    shop.buyers(3, unit="zeta")
    shop.customers(1, 2, 3, 4)


def in_an_hour() -> datetime:
    return datetime.now(UTC) + timedelta(hours=1)


def assert_in_step(walk: Walk, org: Org) -> None:
    """One more walk reads, finds nothing and writes nothing."""
    before = org.stamps()
    org.far.reset_calls()
    runs = walk(CUSTOMERS)
    assert walk.errors == {}
    assert {leg: (run.status, run.sent) for leg, run in runs.items()} == {leg: ("green", 0) for leg in LEGS}
    assert org.writes() == 0
    assert org.stamps() == before


def test_a_shop_comes_into_an_empty_org(walk: Walk, shop: Shop, org: Org) -> None:
    a_town(shop)
    runs = walk(CUSTOMERS)
    assert walk.errors == {}
    assert {leg: (run.delivered, run.created) for leg, run in runs.items() if run.sent} == {
        UNITS: (2, 2), HOUSEHOLDS: (4, 4), BUYERS: (3, 3), CONTACTS: (4, 4)}, "the others have nothing to say yet"  # fmt: skip
    assert set(org.accounts) == {"acme", "zeta", "C0001", "C0002", "C0003", "C0004"}
    account, contact = org.accounts["C0001"], org.contacts["C0001"]
    assert (account["Name"], account["BillingCity"]) == ("Ada Lovelace1 (household)", "Berlin")
    assert (contact["FirstName"], contact["LastName"]) == ("Ada", "Lovelace1")
    assert (contact["Email"], contact["Phone"]) == ("c1@people.example", "030 1234567")
    assert (contact["MailingStreet"], contact["MailingPostalCode"]) == ("Mill Lane 1", "10115")
    assert (contact["MailingCountry"], contact["Commerce_Language__c"]) == ("DE", "en")
    assert contact["Commerce_Active__c"] is True
    assert contact["AccountId"] == account["Id"]
    assert org.contacts["B0003"]["AccountId"] == org.accounts["zeta"]["Id"]
    assert_in_step(walk, org)


def test_only_what_changed_is_written(walk: Walk, shop: Shop, org: Org) -> None:
    a_town(shop)
    walk(CUSTOMERS)
    before = org.stamps()
    shop.change(2, name="Grace Hopper")
    shop.customers(9)
    shop.far.patch("B2BUnit", "zeta", name="Zeta Inc", modifiedtime=shop.tick())
    runs = walk(CUSTOMERS)
    assert {leg: (run.new, run.modified) for leg, run in runs.items() if run.sent} == {
        UNITS: (0, 1), HOUSEHOLDS: (1, 1), CONTACTS: (1, 1)}  # fmt: skip
    assert org.contacts["C0002"]["LastName"] == "Hopper"
    assert org.accounts["C0002"]["Name"] == "Grace Hopper (household)"
    assert org.accounts["zeta"]["Name"] == "Zeta Inc"
    changed = {org.accounts[key]["Id"] for key in ("zeta", "C0002")} | {org.contacts["C0002"]["Id"]}
    after = org.stamps()
    assert {key for key in before if after[key] != before[key]} == changed
    assert_in_step(walk, org)


def test_a_buyer_who_changes_the_company_moves_to_its_account(walk: Walk, shop: Shop, org: Org) -> None:
    a_town(shop)
    walk(CUSTOMERS)
    shop.far.patch("B2BCustomer", "b1@people.example", defaultB2BUnit="zeta", modifiedtime=shop.tick())
    assert walk(CUSTOMERS)[BUYERS].modified == 1
    assert org.contacts["B0001"]["AccountId"] == org.accounts["zeta"]["Id"]
    assert_in_step(walk, org)


def test_a_buyer_whose_unit_was_refused_arrives_once_the_unit_has(walk: Walk, shop: Shop, org: Org) -> None:
    a_town(shop)
    org.far.fault(action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": "^zeta$"}, times=1)
    first = walk(CUSTOMERS)
    assert (first[UNITS].rejected, first[BUYERS].rejected, first[CONTACTS].delivered) == (1, 1, 4)
    assert {first[leg].status for leg in (UNITS, BUYERS)} == {"green"}, "one row is named, and stops nobody"
    assert "zeta" in walk.rejects(UNITS)
    assert walk.rejects(BUYERS)["B0003"].reason_class == "reference"
    second = walk(CUSTOMERS, now=in_an_hour())
    assert {run.status for run in second.values()} == {"green"}
    assert org.contacts["B0003"]["AccountId"] == org.accounts["zeta"]["Id"]
    assert_in_step(walk, org)


def test_customers_without_an_id_are_left_out_and_counted(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    shop.customers(7, 8, customerID=None)
    run = walk.leg(HOUSEHOLDS)
    assert set(org.accounts) == {"C0001"}
    assert (run.read, run.extracted, run.filtered, run.sent) == (3, 3, 2, 1)


def test_the_flow_has_the_legs_of_its_docstring() -> None:
    found: tuple[Mapping, ...] = legs_of(CUSTOMERS)
    assert {mapping.leg for mapping in found} == LEGS
