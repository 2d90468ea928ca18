"""Contract 4.6: a value sets, a null clears or leaves as the mapping says, by either protocol."""

from __future__ import annotations

import pytest

from flows.walking import BUYERS, CONTACTS, HOUSEHOLDS, UNITS, Org, Shop, Walk

CHOSEN = "Prof."
"""What sales chose."""

by_either = pytest.mark.parametrize("bulk_from", [1, 2000], ids=["bulk", "collections"])


def contacts(walk: Walk, shop: Shop, bulk_from: int) -> None:
    walk.alter(CONTACTS, target={"bulk_from": bulk_from})
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    walk.leg(CONTACTS)


@by_either
def test_a_salutation_that_becomes_null_is_left_and_a_street_is_cleared(
    walk: Walk, shop: Shop, org: Org, bulk_from: int
) -> None:
    shop.far.put("Title", [{"code": "mr"}])
    contacts(walk, shop, bulk_from)
    shop.change(1, title="mr")
    walk.leg(CONTACTS)
    assert bool(org.jobs()) == (bulk_from == 1)
    assert org.contacts["C0001"]["Salutation"] == "Mr."
    org.far.patch("Contact", org.contacts["C0001"]["Id"], Salutation=CHOSEN)
    shop.change(1, title=None, address={"phone1": None, "streetname": None, "streetnumber": None, "town": None})
    assert walk.leg(CONTACTS).modified == 1
    changed, other = org.contacts["C0001"], org.contacts["C0002"]
    assert changed["Salutation"] == CHOSEN
    assert (changed["Phone"], changed["MailingStreet"], changed["MailingCity"]) == (None, None, None)
    assert (changed["MailingPostalCode"], changed["LastName"]) == ("10115", "Lovelace1")
    assert (other["Phone"], other["MailingStreet"]) == ("030 1234567", "Mill Lane 1")


@by_either
def test_a_value_comes_back_after_it_was_cleared(walk: Walk, shop: Shop, org: Org, bulk_from: int) -> None:
    contacts(walk, shop, bulk_from)
    shop.change(1, address={"town": None}, name="Plato")
    walk.leg(CONTACTS)
    assert (org.contacts["C0001"]["MailingCity"], org.contacts["C0001"]["FirstName"]) == (None, None)
    shop.change(1, address={"town": 'Köln, "Altstadt"'}, name="Ada\u00a0von Lovelace")
    walk.leg(CONTACTS)
    back = org.contacts["C0001"]
    assert (back["MailingCity"], back["LastName"]) == ('Köln, "Altstadt"', "Lovelace")


@by_either
def test_text_that_looks_like_a_mark_is_only_text(walk: Walk, shop: Shop, org: Org, bulk_from: int) -> None:
    contacts(walk, shop, bulk_from)
    shop.change(1, address={"town": "line one\nline two", "postalcode": "=1+1", "streetname": "a,b;c\t'd'"})
    walk.leg(CONTACTS)
    found = org.contacts["C0001"]
    assert (found["MailingCity"], found["MailingPostalCode"]) == ("line one\nline two", "=1+1")
    assert found["MailingStreet"] == "a,b;c\t'd' 1"


@by_either
def test_a_buyer_who_leaves_the_company_loses_the_account(walk: Walk, shop: Shop, org: Org, bulk_from: int) -> None:
    walk.alter(BUYERS, target={"bulk_from": bulk_from})
    shop.units("acme")
    shop.buyers(1, 2, unit="acme")
    walk.leg(UNITS)
    walk.leg(BUYERS)
    assert org.contacts["B0001"]["AccountId"] == org.accounts["acme"]["Id"]
    shop.far.patch("B2BCustomer", "b1@people.example", defaultB2BUnit=None, modifiedtime=shop.tick())
    assert walk.leg(BUYERS).modified == 1
    assert org.contacts["B0001"]["AccountId"] is None
    assert org.contacts["B0002"]["AccountId"] == org.accounts["acme"]["Id"]


@by_either
def test_a_first_delivery_with_nulls_creates_the_record(walk: Walk, shop: Shop, org: Org, bulk_from: int) -> None:
    walk.alter(CONTACTS, target={"bulk_from": bulk_from})
    shop.customers(1, addresses=[])
    walk.leg(HOUSEHOLDS)
    assert walk.leg(CONTACTS).created == 1
    assert (org.contacts["C0001"]["Phone"], org.contacts["C0001"]["MailingStreet"]) == (None, None)
