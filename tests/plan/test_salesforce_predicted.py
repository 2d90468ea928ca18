"""What an org will refuse is told before it is asked: the same rows, with the same codes, and no others."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import pytest

from commerce_sync.mapping import Field, Lookup, Target
from flows.walking import SWIFT, connection
from plan.predicting import Row, compare, prove

KEY = "Commerce_Id__c"
TYPES = {
    KEY: "VARCHAR", "LastName": "VARCHAR", "FirstName": "VARCHAR", "Email": "VARCHAR", "Phone": "VARCHAR",
    "Description": "VARCHAR", "MailingGeocodeAccuracy": "VARCHAR", "MailingLatitude": "DOUBLE", "Birthdate": "VARCHAR",
    "HasOptedOutOfEmail": "VARCHAR", "Badge__c": "VARCHAR", "Level__c": "DOUBLE", "Seen_At__c": "VARCHAR",
    "Department": "VARCHAR", "ReportsToId": "VARCHAR", "AccountId": "VARCHAR",
}  # fmt: skip
LOOKUP = Lookup("Account", KEY)
FIELDS = tuple(
    Field(
        name,
        name,
        on_null="leave" if name in ("Phone", "Department") else "clear",
        lookup=LOOKUP if name == "AccountId" else None,
    )
    for name in TYPES
)
NEVER = "003000000000000AAA"


@pytest.fixture
def hook(salesforce: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """An org with accounts and contacts, a unique badge, a whole number, a field that is only set on create."""
    from commerce_sync.systems.salesforce.hook import SalesforceHook

    monkeypatch.setenv("AIRFLOW_CONN_SF_PLAN", connection(salesforce))
    salesforce.clear_faults()
    salesforce.options(job_min_polls=1, job_latency_ms=0)
    own = {"object": "Contact"}
    salesforce.put("FieldDefinition", [
        own | {"field": "Badge__c", "type": "Text", "length": 12, "unique": True},
        own | {"field": "Level__c", "type": "Number", "precision": 4, "scale": 1},
        own | {"field": "Seen_At__c", "type": "DateTime"},
    ])  # fmt: skip
    salesforce.patch("FieldDefinition", "Contact.Level__c", type="int")
    salesforce.patch("FieldDefinition", "Contact.Department", updateable=False)
    salesforce.put("Account", [{"Name": f"A{number}", KEY: f"A{number}"} for number in range(20)])
    salesforce.put("Contact", [{"LastName": f"There {number}", KEY: f"K{number:05d}", "Badge__c": f"old{number}"}
                               for number in range(0, 4000, 4)])  # fmt: skip
    return SalesforceHook("sf_plan")


def target(**values: Any) -> Target:
    return Target(**{"system": "salesforce", "conn_id": "sf_plan", "object": "Contact", "external_id": KEY,
                     "options": SWIFT} | values)  # fmt: skip


def sound(number: int) -> Row:
    return {
        "_key": f"K{number:05d}", "_kind": "NEW", "_target_id": None, KEY: f"K{number:05d}",
        "LastName": f"Hopper {number}", "FirstName": "Grace", "Email": f"g{number}@example.org", "Phone": "030 1",
        "Description": "Ω" * 50, "MailingGeocodeAccuracy": "City", "MailingLatitude": 52.5, "Birthdate": "1906-12-09",
        "HasOptedOutOfEmail": "true", "Badge__c": f"old{number}" if number % 4 == 0 else f"b{number}", "Level__c": 7.0, "Seen_At__c": "2026-01-31T10:00:00Z",
        "Department": None if number % 4 == 0 else "R&D", "ReportsToId": None, "AccountId": f"A{number % 20}",
    }  # fmt: skip


def defects(pick: random.Random, number: int) -> dict[str, list[Any]]:
    """Field -> values it refuses, next to some it only just takes."""
    return {
        "LastName": [None, "", "L" * 81, "L" * 80],
        "FirstName": ["F" * 41, "🛒" * 41, "🛒" * 40, None],
        "Email": ["not an address", "a@b", "a b@c.org", f"{'e' * 80}@example.org", "ok@example.org", ""],
        "Phone": ["0" * 41, "0" * 40, None],
        "Description": ["d" * 32001, "d" * 32000],
        "MailingGeocodeAccuracy": ["Galaxy", "city", "State", None],
        "MailingLatitude": [1000.0, -1000.5, 999.9, float("nan"), None],
        "Birthdate": ["soon", "2026-02-30", "2026-2-3", "2026-02-03", None],
        "HasOptedOutOfEmail": ["maybe", "TRUE", "0", None],
        "Badge__c": ["old0", f"old{(number // 4) * 4}", "B" * 13, None],
        "Level__c": [7.5, 3e9, -3e9, 2147483647.0, None],
        "Seen_At__c": ["yesterday", "2026-01-31T25:00:00Z", "2026-01-31", None],
        "Department": ["R&D", None],
        "ReportsToId": ["nobody", NEVER, "0030000"],
        "AccountId": ["A99", "a1", "A 1", None],
        KEY: [None, ""],
    }


def made(count: int, *, share: float, seed: int) -> list[Row]:
    """Rows of which a share has one defect or several."""
    pick, rows = random.Random(seed), []
    for number in range(count):
        row = sound(number)
        while pick.random() < share:
            name, values = pick.choice(list(defects(pick, number).items()))
            row[name] = pick.choice(values)
        rows.append(row)
    pick.shuffle(rows)
    return rows


@pytest.mark.parametrize(("bulk_from", "seed"), [(1_000_000, 1), (1_000_000, 2), (2000, 3), (2000, 4)],
                         ids=["collections", "collections again", "bulk", "bulk again"])  # fmt: skip
def test_random_defects_are_predicted(hook: Any, tmp_path: Path, bulk_from: int, seed: int) -> None:
    rows = made(4000, share=0.3, seed=seed)
    found = compare(hook, target(bulk_from=bulk_from), FIELDS, rows, types=TYPES, folder=tmp_path)
    prove(found, f"Salesforce, {'bulk' if bulk_from == 2000 else 'collections'}")
    assert len(found.other_codes) < 0.02 * len(found.rejected), list(found.other_codes.items())[:10]


def test_sound_rows_raise_no_alarm(hook: Any, tmp_path: Path) -> None:
    found = compare(hook, target(), FIELDS, [sound(number) for number in range(3000)], types=TYPES, folder=tmp_path)
    assert (found.rejected, found.predicted, found.warnings) == ({}, {}, ())


@pytest.mark.parametrize(("name", "value", "code"), [
    ("LastName", None, "REQUIRED_FIELD_MISSING"), ("LastName", "L" * 81, "STRING_TOO_LONG"),
    ("Email", "nobody", "INVALID_EMAIL_ADDRESS"), ("Level__c", 7.5, "JSON_PARSER_ERROR"),
    ("MailingLatitude", 1000.0, "NUMBER_OUTSIDE_VALID_RANGE"), ("Birthdate", "soon", "INVALID_TYPE_ON_FIELD_IN_RECORD"),
    ("MailingGeocodeAccuracy", "Galaxy", "INVALID_OR_NULL_FOR_RESTRICTED_PICKLIST"), ("AccountId", "A99", "INVALID_FIELD"),
    ("ReportsToId", "nobody", "MALFORMED_ID"), ("ReportsToId", NEVER, "INVALID_CROSS_REFERENCE_KEY"),
    ("Badge__c", "old0", "DUPLICATE_VALUE"), (KEY, None, "NO_EXTERNAL_ID"),
])  # fmt: skip
def test_each_defect_has_the_code_the_org_gives(hook: Any, tmp_path: Path, name: str, value: Any, code: str) -> None:
    rows = [sound(1) | {name: value}, sound(2)]
    found = compare(hook, target(), FIELDS, rows, types=TYPES, folder=tmp_path)
    assert found.predicted == found.rejected == {"K00001": code}


def test_a_field_that_may_only_be_set_at_creation_is_refused_later(hook: Any, tmp_path: Path) -> None:
    rows = [sound(1), sound(4) | {"Department": "R&D"}]
    found = compare(hook, target(), FIELDS, rows, types=TYPES, folder=tmp_path)
    assert found.predicted == found.rejected == {"K00004": "INVALID_FIELD_FOR_INSERT_UPDATE"}


def test_a_field_nobody_may_see_stops_the_whole_load(hook: Any, salesforce: Any, tmp_path: Path) -> None:
    from commerce_sync.errors import ConfigurationError

    salesforce.delete("FieldDefinition", "Contact.Phone")
    described = hook.describe("Contact")
    assert "Phone" not in {field["name"] for field in described["fields"]}
    fields = tuple(field for field in FIELDS if field.name in (KEY, "LastName", "Phone"))
    types = {field.name: "VARCHAR" for field in fields}
    with pytest.raises(ConfigurationError, match="Phone"):
        compare(hook, target(), fields, [sound(1)], types=types, folder=tmp_path)


def test_keys_that_several_records_hold_and_keys_sent_twice_are_refused(
    hook: Any, salesforce: Any, tmp_path: Path
) -> None:
    salesforce.patch("FieldDefinition", f"Contact.{KEY}", unique=False, case_sensitive=False)
    salesforce.put("Contact", [{"LastName": "twin", KEY: "twin"}] * 2)
    rows = [sound(1) | {KEY: "twin"}, sound(2) | {KEY: "again"}, sound(3) | {KEY: "AGAIN"}, sound(5)]
    found = compare(hook, target(), FIELDS, rows, types=TYPES, folder=tmp_path)
    assert found.rejected == {
        "K00001": "DUPLICATE_EXTERNAL_ID",
        "K00002": "DUPLICATE_VALUE",
        "K00003": "DUPLICATE_VALUE",
    }
    assert found.predicted == found.rejected


def test_a_value_that_passes_from_one_record_to_another_is_refused_in_one_call_and_else_a_warning(
    hook: Any, tmp_path: Path
) -> None:
    rows = [sound(0) | {"Badge__c": "fresh"}, sound(1) | {"Badge__c": "old0"}]
    found = compare(hook, target(), FIELDS, rows, types=TYPES, folder=tmp_path / "one")
    assert found.predicted == found.rejected == {"K00001": "DUPLICATE_VALUE"}
    many = [
        sound(4) | {"Badge__c": "new"},
        *(sound(number) for number in range(8, 400)),
        sound(5) | {"Badge__c": "old4"},
    ]
    found = compare(hook, target(), FIELDS, many, types=TYPES, folder=tmp_path / "many")
    assert found.predicted == {}
    assert found.warnings == ("1 values of Badge__c pass from one record to another: the other one may be refused",)


def test_a_delete_without_a_known_id_is_refused(hook: Any, tmp_path: Path) -> None:
    rows = [sound(1), {"_key": "gone", "_kind": "DELETED", "_target_id": None}]
    found = compare(hook, target(on_delete="delete"), FIELDS, rows, types=TYPES, folder=tmp_path)
    assert found.predicted == found.rejected == {"gone": "NO_TARGET_ID"}
