"""A field that is gone stops a leg before anything is read or sent."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from flows.walking import CONTACTS, HOUSEHOLDS, Org, Shop, Walk


@pytest.fixture(autouse=True)
def _ungated(walk: Walk, shop: Shop) -> None:
    walk.gated = False
    shop.customers(1)


@pytest.mark.parametrize("change", ["removed", "renamed"])
def test_a_field_that_is_gone_stops_the_leg_before_it_reads(walk: Walk, shop: Shop, org: Org, change: str) -> None:
    if change == "removed":
        org.far.delete("FieldDefinition", "Account.BillingCity")
    else:
        org.far.patch("FieldDefinition", "Account.BillingCity", name="Billing_Town__c")
    shop.far.reset_calls()
    org.far.reset_calls()
    run = walk.attempt(HOUSEHOLDS)
    assert isinstance(walk.error, ConfigurationError)
    assert "Account has no field 'BillingCity' this user may see" in str(walk.error)
    assert "Nothing was sent" in str(walk.error)
    assert (run.status, run.read) == ("stopped", 0)
    assert org.writes() == 0
    assert shop.far.calls()["total"] == 0


def test_a_field_that_went_since_the_last_run_stops_the_leg_before_it_sends(walk: Walk, shop: Shop, org: Org) -> None:
    walk.leg(HOUSEHOLDS)
    org.far.delete("FieldDefinition", "Account.BillingCity")
    shop.customers(2)
    org.far.reset_calls()
    walk.attempt(HOUSEHOLDS)
    assert "Account has no field 'BillingCity'" in str(walk.error)
    assert org.writes() == 0
    assert "C0002" not in org.accounts


def test_a_leg_that_finds_nothing_asks_the_target_once_an_hour(walk: Walk, org: Org) -> None:
    walk.leg(HOUSEHOLDS)
    assert "salesforce" not in walk.leg(HOUSEHOLDS).calls
    later = datetime.now(UTC) + timedelta(minutes=61)
    assert walk.leg(HOUSEHOLDS, now=later).calls["salesforce"] == 1


def test_a_parents_key_that_is_gone_stops_the_leg_too(walk: Walk, org: Org) -> None:
    org.far.patch("FieldDefinition", "Account.Commerce_Id__c", name="Shop_Id__c")
    walk.attempt(CONTACTS)
    assert "Account has no field 'Commerce_Id__c'" in str(walk.error)


def test_each_object_is_described_once_a_run(walk: Walk, org: Org) -> None:
    walk.leg(HOUSEHOLDS)
    org.far.reset_calls()
    walk.leg(CONTACTS)
    routes = org.far.calls()["by_route"]
    assert sum(count for route, count in routes.items() if "describe" in route) == 2, routes


def test_a_target_that_is_down_does_not_redden_a_leg_with_nothing_to_send(walk: Walk, org: Org) -> None:
    walk.leg(HOUSEHOLDS)
    org.far.fault(action="status", status=503, times=500)
    assert walk.leg(HOUSEHOLDS).status == "green"


def test_a_property_the_shop_took_out_of_the_integration_object_stops_the_leg(walk: Walk, shop: Shop, org: Org) -> None:
    leg = "contacts_to_customers"
    walk.leg(HOUSEHOLDS)
    walk.leg(CONTACTS)
    service = walk.mapping(leg).target.options["service"]
    rows = shop.far.records("IntegrationObjectItemAttribute", attributeName="name")
    mine = [row for row in rows if service in str(row)]
    assert mine, rows[:2]
    _remove(shop.far, mine[0])
    walk.attempt(leg)
    assert isinstance(walk.error, ConfigurationError)
    assert "has no property 'name'" in str(walk.error)


def _remove(far: Any, row: dict[str, Any]) -> None:
    far.delete("IntegrationObjectItemAttribute", row["pk"])
