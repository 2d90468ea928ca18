"""S3, CRM to shop: tier, terms, price group, credit limit and owner of an account become those of its B2B unit."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from flows.agreements import OWNERS, PRICES, TERMS, Sales
from flows.walking import Org, Shop, Walk


@pytest.fixture
def sales(shop: Shop, org: Org) -> Sales:
    return Sales(shop, org)


def terms(walk: Walk, **request: Any) -> int:
    """Walk the two legs of the units; gives how many rows they sent."""
    sent = [walk(PRICES, leg=leg, **request)[leg].sent for leg in (TERMS, OWNERS) if not walk.errors]
    assert walk.errors == {}
    return sum(sent)


def test_the_story_of_an_account(walk: Walk, sales: Sales) -> None:
    far, zeta = sales.org.far, sales.id("Account", "zeta")
    far.patch("Account", zeta, Tier__c=None, Payment_Terms__c="Net 30 \u20ac", Commerce_Price_Group__c="partners")
    far.patch("Account", zeta, Credit_Limit__c=2500.5)
    sales.shop.far.patch("B2BUnit", "acme", creditLimit=100.0)
    assert terms(walk) == 4
    acme, unit = sales.unit("acme"), sales.unit("zeta")
    assert (acme["userPriceGroup"], set(acme["groups"])) == ("prices-acme", {"retail", "crm-tier-gold"})
    assert (acme["creditLimit"], acme["accountManager"]) == (100.0, "Ann@sales.example"), "the shop's own limit stays"
    assert (unit["userPriceGroup"], set(unit["groups"])) == ("partners", {"retail", "crm-terms-net-30"})
    assert unit["creditLimit"] == 2500.5
    before = sales.stamps()
    assert (terms(walk), terms(walk, mode="complete"), sales.stamps()) == (0, 0, before)
    far.patch("Account", zeta, Tier__c="Bronze", Payment_Terms__c=None, Commerce_Price_Group__c=None)
    assert terms(walk) == 1
    unit = sales.unit("zeta")
    assert (unit["userPriceGroup"], set(unit["groups"])) == ("prices-zeta", {"retail", "crm-tier-bronze"})
    far.patch("Account", zeta, Tier__c=None)
    terms(walk)
    assert sales.unit("zeta")["groups"] == ["retail"], "only groups of ours are taken out"
    far.delete("Account", zeta)
    assert terms(walk, mode="complete") == 0, "a deleted account leaves its unit as it is"


def test_an_account_without_unit_makes_none(walk: Walk, sales: Sales) -> None:
    sales.account("ghost", unit=False)
    sales.account("C0001", unit=False, Tier__c=None)
    sales.org.far.put("Account", [{"Name": "not of the shop", "Tier__c": "Gold"}])
    assert terms(walk) == 4
    assert {row["uid"] for row in sales.shop.far.records("B2BUnit")} == {"acme", "zeta"}
    assert {key: item.code for key, item in walk.rejects(TERMS).items()} == {"ghost": "unit_is_in_the_shop"}
    sales.shop.units("ghost")
    assert terms(walk) == 2
    assert sales.unit("ghost")["userPriceGroup"] == "prices-ghost"
    assert walk.rejects(TERMS) == {}


def test_an_owner_without_login_leaves_the_manager_and_is_reported(walk: Walk, sales: Sales) -> None:
    terms(walk)
    stranger = sales.person("bob@elsewhere.example")
    for name in ("acme", "zeta"):
        sales.org.far.patch("Account", sales.id("Account", name), OwnerId=stranger, Tier__c="Platinum")
    assert terms(walk) == 2
    assert sales.unit("acme")["accountManager"] == "Ann@sales.example"
    assert "crm-tier-platinum" in sales.unit("acme")["groups"], "the rest arrives"
    found = walk.rejects(OWNERS)["acme"]
    assert (found.code, found.payload["accountManager.uid"]) == ("owner_works_in_the_shop", None)
    sales.shop.far.put(
        "Employee", [{"uid": "bob@elsewhere.example.test", "name": "Bob", "modifiedtime": sales.shop.tick(90)}]
    )
    assert terms(walk) == 2, "no account was touched"
    assert sales.unit("acme")["accountManager"] == "bob@elsewhere.example.test", "by e-mail address"
    assert walk.rejects(OWNERS) == {}


def test_bad_terms_are_named_and_the_others_arrive(walk: Walk, sales: Sales) -> None:
    far = sales.org.far
    far.patch("Account", sales.id("Account", "acme"), Credit_Limit__c=-1)
    name = "\u05d7\u05d1\u05e8\u05d4 \U0001f600 " + "x" * 200
    sales.account(name, Payment_Terms__c="\U0001f600")
    assert terms(walk) == 5
    assert {key: item.code for key, item in walk.rejects(TERMS).items()} == {"acme": "credit_limit_is_not_negative"}
    assert sales.unit(name)["userPriceGroup"] == f"prices-{name}"
    assert set(sales.unit(name)["groups"]) == {"retail", "crm-tier-gold"}


def test_a_unit_the_shop_deleted_since_the_last_scan_is_not_made_again(walk: Walk, sales: Sales) -> None:
    terms(walk)
    sales.shop.far.delete("B2BUnit", str(sales.unit("acme")["pk"]))
    other = sales.person("eve@sales.example")
    sales.shop.far.put("Employee", [{"uid": "eve@sales.example", "name": "Eve", "modifiedtime": sales.shop.tick(90)}])
    for name in ("acme", "zeta"):
        sales.org.far.patch("Account", sales.id("Account", name), OwnerId=other, Tier__c="Platinum")
    assert terms(walk, mode="changes") == 4
    assert [row["uid"] for row in sales.shop.far.records("B2BUnit")] == ["zeta"]
    unit = sales.unit("zeta")
    assert (unit["accountManager"], set(unit["groups"])) == ("eve@sales.example", {"retail", "crm-tier-platinum"})
    for leg in (TERMS, OWNERS):
        found = walk.rejects(leg)["acme"]
        assert (found.status, found.code, found.reason_class) == ("rejected", "not_in_shop", "reference")
        assert "creates: false" in found.reason
    sales.shop.units("acme", groups=["retail"])
    assert terms(walk, now=datetime.now(UTC) + timedelta(hours=1)) == 2
    unit = sales.unit("acme")
    assert (unit["userPriceGroup"], set(unit["groups"])) == ("prices-acme", {"retail", "crm-tier-platinum"})
    assert unit["accountManager"] == "eve@sales.example"
    assert (walk.rejects(TERMS), walk.rejects(OWNERS)) == ({}, {})
