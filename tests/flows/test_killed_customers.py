"""S1, both ways: killed at every step boundary of every leg it ends as if nothing had happened."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from flows.both_sides import Both
from flows.killing import assert_survives
from flows.walking import CUSTOMERS, Org, Shop, Walk, uid


def test_a_killed_flow_ends_as_an_undisturbed_one(shop: Shop, org: Org, walk: Walk, tmp_path: Path) -> None:
    both = Both(walk, shop, org)

    def reset() -> None:
        shop.far.reset()
        org.far.reset()
        org.far.options(job_min_polls=1, job_latency_ms=0)

    def edit(number: int) -> None:
        """New records on both sides; what arrived in the round before is edited, merged, left behind and agreed to."""
        shop.units(f"unit{number}", f"twin{number}")
        shop.customers(number)
        shop.buyers(number, unit=f"unit{number}")
        if number:
            in_the_crm(number - 1)
            before_checkout(number - 1)

    def in_the_crm(number: int) -> None:
        accounts, contacts = org.accounts, org.contacts
        both.edit_account(f"unit{number}", Name=f"Renamed {number}", Phone=f"0{number}")
        both.edit_contact(f"C{number:04d}", LastName=f"King{number}", MailingCity=f"Town {number}")
        both.edit_contact(f"B{number:04d}", LastName=f"Hopper{number}", Email=f"mail{number}@people.example")
        kept, lost = accounts[f"unit{number}"]["Id"], accounts[f"twin{number}"]["Id"]
        org.far.patch("Account", lost, IsDeleted=True, MasterRecordId=kept)
        if number % 2:
            kept, lost = contacts[f"C{number:04d}"]["Id"], contacts[f"C{number - 1:04d}"]["Id"]
            org.far.patch("Contact", lost, IsDeleted=True, MasterRecordId=kept)

    def before_checkout(number: int) -> None:
        shop.product("p1")
        lines = [{"entryNumber": 0, "product": {"code": "p1"}, "quantity": 1, "totalPrice": 5.0}]
        at = "2026-01-02T10:00:00+00:00"
        cart = {"code": f"cart{number}", "user": uid(number), "date": at, "currency": "USD", "entries": lines}
        shop.far.put("Cart", [cart | {"modifiedtime": at if number == 0 else shop.tick()}])
        shop.far.put("ConsentTemplate", [{"id": "MARKETING", "version": 0, "name": "News"}])
        consent = {"code": f"yes{number}", "customer": uid(number), "consentGivenDate": at, "modifiedtime": shop.tick()}
        shop.far.put("Consent", [consent | {"consentTemplate": {"id": "MARKETING", "version": 0}}])

    def look() -> Any:
        owner = {row["Id"]: key for key, row in org.accounts.items()}
        accounts = {key: (row["Name"], row["Phone"], row["Abandoned_Carts__c"]) for key, row in org.accounts.items()}
        contacts = {
            key: (row["LastName"], row["Email"], row["MailingCity"], row["Consent_Email__c"], owner[row["AccountId"]])
            for key, row in org.contacts.items()
        }
        names = {kind: sorted((row["uid"], row["name"]) for row in shop.far.records(kind))
                 for kind in ("B2BUnit", "Customer", "B2BCustomer")}  # fmt: skip
        towns = {row["publicKey"]: (row["town"], row["phone1"]) for row in shop.far.records("Address")}
        return accounts, contacts, names, towns

    assert_survives(CUSTOMERS, tmp_path, reset=reset, edit=edit, look=look)
