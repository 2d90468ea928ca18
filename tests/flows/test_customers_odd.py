"""S1: odd records are set aside or refused with a reason and the others arrive; consent and carts left behind."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.both_sides import Both
from flows.walking import BUYERS, CONTACTS, CUSTOMERS, HOUSEHOLDS, UNITS, Org, Shop, Walk, address

ACTIVITY, CARTS = "activity_to_contacts", "carts_to_accounts"


@pytest.fixture
def both(walk: Walk, shop: Shop, org: Org) -> Both:
    return Both(walk, shop, org)


def test_odd_records_are_set_aside_with_a_reason_and_the_others_arrive(both: Both) -> None:
    shop, org = both.shop, both.org
    shop.units("acme", name="Ünïcode 企业 🚀 שלום")
    shop.units("long", name="x" * 300)
    shop.far.put("Country", [{"isocode": "XX"}])
    shop.units("nowhere", addresses=[address("nowhere") | {"country": "XX"}])
    shop.customers(1, name="مريم 🚀 الأندلسي")
    shop.customers(2, name="Ada " + "y" * 300)
    shop.customers(3, uid="no-mail-address", addresses=[address("C3") | {"publicKey": "A-C3"}])
    shop.customers(4, uid="C1@people.example", name="Capital Letters")
    shop.far.put("Language", [{"isocode": "tlh"}])
    shop.customers(5, sessionLanguage="tlh")
    shop.customers(6)
    shop.buyers(1, unit="acme")
    shop.buyers(2, 3, unit="acme", email="same@acme.example")
    shop.buyers(4, unit="nowhere")
    runs = both.walk(CUSTOMERS)
    assert both.walk.errors == {}
    aside = {
        leg: {key: item.code for key, item in both.walk.rejects(leg).items()} for leg in (UNITS, HOUSEHOLDS, CONTACTS)
    }
    assert aside[UNITS] == {"long": "ExpectColumnValueLengthsToBeBetween", "nowhere": "country_is_known"}
    assert aside[HOUSEHOLDS] == {"C0002": "ExpectColumnValueLengthsToBeBetween"}
    assert set(aside[CONTACTS]) == {"C0001", "C0002", "C0003", "C0004", "C0005"}
    assert aside[CONTACTS]["C0005"] == "language_is_known"
    buyers = both.walk.rejects(BUYERS)
    assert {key: item.status for key, item in buyers.items()} == {
        "B0002": "quarantined", "B0003": "quarantined", "B0004": "rejected"}  # fmt: skip
    assert buyers["B0004"].reason_class == "reference", "its unit was set aside"
    assert org.accounts["acme"]["Name"] == "Ünïcode 企业 🚀 שלום"
    assert org.accounts["C0001"]["Name"] == "مريم 🚀 الأندلسي (household)"
    assert set(org.contacts) == {"C0006", "B0001"}
    assert {run.status for run in runs.values()} == {"green"}


def test_a_contact_that_a_duplicate_rule_refuses_is_kept_with_both_ids(both: Both) -> None:
    both.walk.gated = False
    both.shop.customers(1, 2)
    both.org.far.put("Contact", [{"LastName": "Lovelace1", "Email": "c1@people.example"}])
    (there,) = both.org.far.records("Contact")
    both.org.far.options(duplicate_rules=[{"object": "Contact", "fields": ["Email"], "block": True}])
    run = both.walk(CUSTOMERS)[CONTACTS]
    assert (run.delivered, run.rejected, run.status) == (1, 1, "green")
    refused = both.walk.rejects(CONTACTS)["C0001"]
    assert (refused.key, refused.code, refused.reason_class) == ("C0001", "DUPLICATES_DETECTED", "duplicate")
    assert there["Id"] in refused.reason
    # Somebody gives the record that was there already the shop's id: the next attempt finds it.
    both.org.far.patch("Contact", there["Id"], Commerce_Id__c="C0001")
    both.run(now=datetime.now(UTC) + timedelta(hours=1))
    assert both.org.contacts["C0001"]["Id"] == there["Id"]


def consent(shop: Shop, number: int, *, given: str | None, withdrawn: str | None = None) -> None:
    shop.far.put("ConsentTemplate", [{"id": "MARKETING_NEWSLETTER", "version": 0, "name": "Newsletter"}])
    just_now = (datetime.now(UTC) - timedelta(seconds=30)).isoformat()
    shop.far.put("Consent", [{
        "code": f"consent-{number}", "customer": f"c{number}@people.example", "consentGivenDate": given,
        "consentWithdrawnDate": withdrawn, "modifiedtime": just_now,
        "consentTemplate": {"id": "MARKETING_NEWSLETTER", "version": 0},
    }])  # fmt: skip


def test_consent_comes_from_the_shop_and_a_sync_never_widens_it(both: Both) -> None:
    both.walk.gated = False
    both.shop.customers(1, 2, 3, 4, 5)
    both.run()
    for number in (1, 2, 3):
        consent(both.shop, number, given="2026-01-02T10:00:00+00:00")
    both.edit_contact("C0003", HasOptedOutOfEmail=True)
    consent(both.shop, 4, given="2026-01-02T10:00:00+00:00", withdrawn="2026-02-01T10:00:00+00:00")
    both.edit_contact("C0004", Consent_Email__c=True)
    both.edit_contact("C0005", Consent_Email__c=True)

    def allowed() -> dict[str, bool]:
        return {key: row["Consent_Email__c"] for key, row in both.org.contacts.items()}

    both.run()
    # given, given, opted out in the CRM, withdrawn in the shop, the shop knows nothing
    assert allowed() == {"C0001": True, "C0002": True, "C0003": False, "C0004": False, "C0005": True}
    both.edit_contact("C0001", Consent_Email__c=False)
    both.run()
    both.assert_at_rest()
    # What the CRM withdrew stays withdrawn, whatever else changes, also in a complete scan.
    both.edit_shop("Customer", "c1@people.example", name="Ada New")
    both.run(mode="complete")
    assert allowed()["C0001"] is False
    # A new word of the customer gives it again; so does the withdrawal in the shop take it.
    consent(both.shop, 1, given="2026-03-01T10:00:00+00:00")
    consent(both.shop, 2, given="2026-01-02T10:00:00+00:00", withdrawn="2026-03-01T10:00:00+00:00")
    both.run()
    assert (allowed()["C0001"], allowed()["C0002"]) == (True, False)


def cart(shop: Shop, code: str, user: str, *, hours: float, lines: int = 1, **values: Any) -> None:
    entries = [
        {"entryNumber": number, "product": {"code": "p1"}, "quantity": 1, "totalPrice": 5.0} for number in range(lines)
    ]
    at = (datetime.now(UTC) - timedelta(hours=hours)).isoformat()
    shop.far.put(
        "Cart",
        [{"code": code, "user": user, "date": at, "currency": "USD", "modifiedtime": at, "entries": entries} | values],
    )


def test_carts_left_behind_are_counted_per_person_and_account(both: Both) -> None:
    both.walk.gated = False
    shop, org = both.shop, both.org
    shop.units("acme")
    shop.buyers(1, unit="acme")
    shop.customers(1, 2)
    shop.product("p1")
    cart(shop, "idle", "c1@people.example", hours=5)
    cart(shop, "fresh", "c1@people.example", hours=1)
    cart(shop, "saved", "c1@people.example", hours=9, saveTime="2026-01-01T00:00:00+00:00")
    cart(shop, "empty", "c2@people.example", hours=9, lines=0)
    cart(shop, "units", "b1@people.example", hours=9, unit="acme")
    both.run()
    both.run()

    def counts() -> dict[str, Any]:
        return {key: row["Abandoned_Carts__c"] for key, row in (org.accounts | org.contacts).items()}

    assert {key: count for key, count in counts().items() if count is not None} == {"C0001": 1, "acme": 1, "B0001": 1}
    assert org.accounts["C0001"]["Abandoned_Carts__c"] == 1
    both.assert_at_rest()
    both.run(now=datetime.now(UTC) + timedelta(hours=4))
    assert (counts()["C0001"], org.accounts["C0001"]["Abandoned_Carts__c"]) == (2, 2), "time alone made it one"
    for code in ("idle", "fresh"):
        shop.far.delete("Cart", code)
    both.run(mode="complete")
    assert (counts()["C0001"], org.accounts["C0001"]["Abandoned_Carts__c"]) == (0, 0)
