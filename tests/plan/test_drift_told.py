"""Fields that change on a far side are told before a run is hurt, once; a quiet night says nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from commerce_sync import drifting
from flows.walking import CONTACTS, HOUSEHOLDS, Org, Shop, Walk, mapping_of

BACK = "contacts_to_customers"


class Told:
    """What people would have read."""

    def __init__(self) -> None:
        self.messages: list[str] = []

    def error(self, text: str, *values: Any) -> None:
        self.messages.append(text % values)

    def info(self, *_: Any) -> None: ...

    def warning(self, text: str, *values: Any) -> None:
        self.warned = text % values


class Nights:
    """The nightly look over three legs."""

    def __init__(self, walk: Walk) -> None:
        self.walk, self.legs = walk, [mapping_of(leg) for leg in (HOUSEHOLDS, CONTACTS, BACK)]

    def __call__(self) -> list[str]:
        """One night; the lines of its message, none when there was nothing to say."""
        log = Told()
        self.found = drifting.tell(self.walk.site, {"salesforce_customers": [self.legs]}, log=log)
        self.warned = getattr(log, "warned", "")
        return [line for text in log.messages for line in text.splitlines()]


@pytest.fixture
def night(walk: Walk, shop: Shop, org: Org, monkeypatch: pytest.MonkeyPatch) -> Nights:
    monkeypatch.delenv("COMMERCE_SYNC_ALERTS", raising=False)
    nights = Nights(walk)
    assert nights() == [], "the first look has nothing to compare with"
    return nights


def test_a_quiet_night_says_nothing(night: Nights) -> None:
    assert night() == []
    assert (night.found["changes"], night.found["faults"], night.found["told"], night.found["seen_first"]) == (
        0,
        0,
        0,
        0,
    )
    assert night.found["objects"] == 3


DRIFTS: list[tuple[str, dict[str, Any], str]] = [
    ("Account.Name", {"length": 80}, "Account.Name takes 80 characters instead of 255"),
    ("Account.Commerce_Active__c", {"updateable": False, "createable": False}, "can no longer be set on new records"),
    ("Account.Phone", {"required": True}, "Account.Phone is required now"),
    ("Account.BillingCity", {"type": "picklist", "values": ["Berlin"], "restricted": True},
     "Account.BillingCity was string, now it is picklist"),
]  # fmt: skip


@pytest.mark.parametrize(("key", "values", "text"), DRIFTS, ids=[item[2][:40] for item in DRIFTS])
def test_a_changed_field_is_told_once(night: Nights, org: Org, key: str, values: dict[str, Any], text: str) -> None:
    org.far.patch("FieldDefinition", key, **values)
    said = night()
    assert any(text in line for line in said), said
    assert any("legs: " in line and HOUSEHOLDS in line for line in said)
    assert night() == [], "told once"


def test_fewer_digits_are_told(night: Nights, org: Org, walk: Walk) -> None:
    org.far.put("FieldDefinition", [{"object": "Account", "field": "Spend__c", "type": "Currency", "precision": 12,
                                     "scale": 2}])  # fmt: skip
    leg = night.legs[0]
    night.legs[0] = replace(leg, fields=(*leg.fields, replace(leg.fields[0], name="Spend__c", value="1.0")))
    assert night() == []
    org.far.patch("FieldDefinition", "Account.Spend__c", precision=8, scale=2)
    assert any("takes 6 digits before the point instead of 10" in line for line in night())
    org.far.patch("FieldDefinition", "Account.Spend__c", precision=7, scale=1)
    assert any("keeps 1 decimals instead of 2" in line for line in night())


def test_values_of_a_closed_list_that_come_and_go_are_told(night: Nights, org: Org) -> None:
    org.far.put("FieldDefinition", [{"object": "Account", "field": "Rank__c", "type": "Picklist", "restricted": True,
                                     "values": ["gold", "silver"]}])  # fmt: skip
    leg = night.legs[0]
    night.legs[0] = replace(leg, fields=(*leg.fields, replace(leg.fields[0], name="Rank__c", value="'gold'")))
    assert night() == []
    org.far.patch("FieldDefinition", "Account.Rank__c", values=["silver", "gold", "platinum"])
    assert any("also takes 'platinum'" in line and "No run is hurt" in line for line in night())
    org.far.patch("FieldDefinition", "Account.Rank__c", values=["silver", "platinum"])
    assert any("no longer takes 'gold'; the mapping writes 'gold'" in line for line in night())


def test_a_new_field_that_every_record_needs_is_told(night: Nights, org: Org) -> None:
    org.far.put(
        "FieldDefinition", [{"object": "Account", "field": "Tax__c", "type": "Text", "length": 9, "required": True}]
    )
    assert any("Account.Tax__c is new, and every new record needs it" in line for line in night())
    org.far.put("FieldDefinition", [{"object": "Account", "field": "Free__c", "type": "Text", "length": 9}])
    assert night() == [], "a field nobody needs is nobody's business"


def test_a_renamed_field_is_told_with_its_new_name_and_the_leg_that_stops(night: Nights, org: Org) -> None:
    org.far.patch("FieldDefinition", "Account.BillingCity", name="Billing_Town__c")
    said = night()
    assert any("Account.BillingCity is gone; it may be Billing_Town__c now" in line for line in said)
    assert any("has no field 'BillingCity'" in line and "the leg stops until it is corrected" in line for line in said)
    assert night() == []
    org.far.patch("FieldDefinition", "Account.Billing_Town__c", name="BillingCity")
    assert any(line.startswith("over: drift") for line in night())
    org.far.patch("FieldDefinition", "Account.BillingCity", name="Billing_Town__c")
    assert any("is gone" in line for line in night()), "the same again later is news again"


def test_a_removed_field_is_told(night: Nights, org: Org) -> None:
    org.far.delete("FieldDefinition", "Account.Registered_At__c")
    assert any("Account.Registered_At__c is gone, or hidden" in line for line in night())


def test_a_property_the_shop_no_longer_exposes_is_told(night: Nights, shop: Shop) -> None:
    service = mapping_of(BACK).target.options["service"]
    rows = shop.far.records("IntegrationObjectItemAttribute", attributeName="name")
    shop.far.delete("IntegrationObjectItemAttribute", next(row["pk"] for row in rows if service in str(row)))
    said = night()
    assert any(f"{service}/" in line and ".name is gone" in line for line in said), said
    assert any("has no property 'name'" in line for line in said)


def test_a_change_of_a_field_no_mapping_uses_is_silence(night: Nights, org: Org) -> None:
    org.far.patch("FieldDefinition", "Account.TickerSymbol", length=3)
    org.far.delete("FieldDefinition", "Account.Jigsaw")
    assert night() == []


def test_a_system_that_is_down_is_left_for_the_next_night(night: Nights, org: Org) -> None:
    org.far.patch("FieldDefinition", "Account.Name", length=80)
    org.far.fault(action="status", status=503, times=500)
    assert night() == []
    assert "was not asked" in night.warned
    org.far.clear_faults()
    assert any("takes 80 characters" in line for line in night())


def test_each_document_is_read_once(night: Nights, org: Org, shop: Shop) -> None:
    org.far.reset_calls()
    night()
    described = [count for route, count in org.far.calls()["by_route"].items() if "describe" in route]
    assert sum(described) <= 2 + 3, "two objects, and those the check of each leg asks for"


def test_a_look_remembers_nothing(night: Nights, org: Org, walk: Walk) -> None:
    org.far.patch("FieldDefinition", "Account.Name", length=80)
    flows = {"salesforce_customers": [night.legs]}
    for _ in range(2):
        looked = drifting.look(walk.site, flows)
        assert [change.kind for _flow, change, _at in looked.changes] == ["shortened"]
    assert looked.as_json()["changes"][0]["hurts"] is True
