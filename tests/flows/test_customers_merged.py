"""S1: accounts and contacts that are merged in Salesforce; nothing brings them back, an un-merge does."""

from __future__ import annotations

import pytest

from flows.both_sides import ACCOUNT_LINKS, Both
from flows.walking import BUYERS, Org, Shop, Walk


@pytest.fixture
def both(walk: Walk, shop: Shop, org: Org) -> Both:
    """Three units, a buyer in each of two, two private customers."""
    walk.gated = False
    found = Both(walk, shop, org)
    shop.units("acme", "bolt", "crux")
    shop.buyers(1, unit="acme")
    shop.buyers(2, unit="bolt")
    shop.customers(1, 2)
    found.run()
    return found


def merge(org: Org, kind: str, lost: str, into: str) -> str:
    """As Salesforce does it: the lost record goes to the recycle bin, its contacts go to the one that is left."""
    records = org.live(kind)
    gone, left = records[lost]["Id"], records[into]["Id"]
    if kind == "Account":
        for contact in [row for row in org.contacts.values() if row["AccountId"] == gone]:
            org.far.patch("Contact", contact["Id"], AccountId=left)
    org.far.patch(kind, gone, IsDeleted=True, MasterRecordId=left)
    return gone


def test_a_merged_account_stays_merged_and_its_people_go_to_the_one_that_is_left(both: Both) -> None:
    gone = merge(both.org, "Account", "acme", into="bolt")
    both.edit_shop("B2BUnit", "acme", name="Acme Reborn")
    both.edit_shop("B2BCustomer", "b1@people.example", name="Ada Moved")
    both.shop.buyers(3, unit="acme")
    runs = both.run()
    assert (runs["units_to_accounts"].filtered, runs["units_to_accounts"].sent) == (1, 0)
    assert set(both.org.accounts) == {"bolt", "crux", "C0001", "C0002"}
    left = both.org.accounts["bolt"]["Id"]
    assert {key: row["AccountId"] == left for key, row in both.org.contacts.items() if key[0] == "B"} == {
        "B0001": True, "B0002": True, "B0003": True}  # fmt: skip
    assert both.org.contacts["B0001"]["LastName"] == "Moved"
    both.assert_at_rest()
    # The nightly scan sees all of it again, and the unit that leaves the shop is no delete at a record that is gone.
    both.shop.far.delete("B2BUnit", "acme")
    runs = both.run(mode="complete")
    assert (runs["units_to_accounts"].deleted, runs["units_to_accounts"].rejected) == (0, 0)
    assert set(both.org.accounts) == {"bolt", "crux", "C0001", "C0002"}
    assert both.walk.site.ledger.aliases("salesforce", "Account") == {"acme": "bolt"}
    # The recycle bin forgets after two weeks; the link stays.
    both.org.far.patch("Account", gone, MasterRecordId=None, Commerce_Id__c=None)
    both.run(mode="complete")
    assert both.walk.site.ledger.aliases("salesforce", "Account") == {"acme": "bolt"}


def test_an_un_merge_restores_account_and_people(both: Both) -> None:
    gone = merge(both.org, "Account", "acme", into="bolt")
    both.edit_shop("B2BUnit", "acme", name="Acme Later")
    both.run()
    both.org.far.patch("Account", gone, IsDeleted=False, MasterRecordId=None)
    both.run(mode="complete")
    assert both.walk.site.ledger.aliases("salesforce", "Account") == {}
    assert both.org.accounts["acme"]["Id"] == gone
    assert both.org.accounts["acme"]["Name"] == "Acme Later"
    assert both.org.contacts["B0001"]["AccountId"] == gone
    both.assert_at_rest()


def test_merges_in_a_row_lead_to_the_last(both: Both) -> None:
    first = merge(both.org, "Account", "acme", into="bolt")
    both.run()
    merge(both.org, "Account", "bolt", into="crux")
    both.edit_shop("B2BCustomer", "b1@people.example", name="Ada Again")
    both.run()
    assert both.org.contacts["B0001"]["AccountId"] == both.org.accounts["crux"]["Id"]
    assert both.walk.site.ledger.aliases("salesforce", "Account") == {"acme": "crux", "bolt": "crux"}
    assert first not in both.org.stamps()


def test_people_of_an_account_merged_into_one_the_shop_does_not_know_are_refused_until_it_does(both: Both) -> None:
    both.org.far.put("Account", [{"Name": "Old Customer", "Commerce_Id__c": None}])
    (other,) = [row for row in both.org.far.records("Account") if row["Name"] == "Old Customer"]
    gone = both.org.accounts["acme"]["Id"]
    both.org.far.patch("Account", gone, IsDeleted=True, MasterRecordId=other["Id"])
    both.shop.buyers(3, unit="acme")
    runs = both.walk("salesforce_customers")
    refused = both.walk.rejects(BUYERS)
    assert runs[BUYERS].rejected == len(refused)
    assert refused["B0003"].reason_class == "reference"
    assert "acme" not in {row["Commerce_Id__c"] for row in both.org.far.records("Account") if not row["IsDeleted"]}
    both.org.far.patch("Account", other["Id"], Commerce_Id__c="acme")
    both.run(mode="replay")
    runs = both.run(mode="complete")
    assert both.walk.site.ledger.aliases("salesforce", "Account") == {}
    assert runs[ACCOUNT_LINKS].status == "green"
    assert both.org.accounts["acme"]["Id"] == other["Id"]
    assert both.org.contacts["B0003"]["AccountId"] == other["Id"]


def test_a_merged_contact_is_written_no_more(both: Both) -> None:
    merge(both.org, "Contact", "C0002", into="C0001")
    both.edit_shop("Customer", "c2@people.example", name="Somebody Else")
    both.run()
    assert "C0002" not in both.org.contacts
    assert both.org.contacts["C0001"]["LastName"] == "Lovelace1"
    both.assert_at_rest()
