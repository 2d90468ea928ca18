"""What the org holds after a load, and what the load says about every row."""

from __future__ import annotations

from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.mapping import Field, Lookup
from commerce_sync.systems.jobs import MemoryJobs
from systems.salesforce.rows import BOTH, accounts, people

NASTY = [
    'He said "no", twice',
    "first\r\nsecond\nthird\rfourth",
    " lead and trail ",
    "comma, semicolon; tab\t.",
    "Zoë Ωmega 日本語 🛒",
    "next\u0085line\u2028sep\x0bvt\x0cff",
    "'; DROP TABLE x; --",
    "#N/Almost",
    "\\backslash\\",
    "ends with --",
    "a:b:c --",
]


@BOTH
def test_new_rows_are_created_and_reported_with_their_ids(org: Any, bulk_from: int) -> None:
    loaded, rows = org.load(org.changes(people(450)), bulk_from=bulk_from)
    held = org.contacts()
    assert (loaded.delivered, loaded.created) == (450, 450)
    assert {key: row["target_id"] for key, row in rows.items()} == {key: c["Id"] for key, c in held.items()}
    again, _ = org.load(org.changes(people(450)), bulk_from=bulk_from)
    assert (again.delivered, again.created) == (450, 0)
    assert len(org.contacts()) == 450


@BOTH
def test_an_empty_batch_calls_nothing(org: Any, bulk_from: int) -> None:
    schema = pa.schema([("Commerce_Id__c", pa.string()), ("LastName", pa.string())])
    org.far.reset_calls()
    loaded, rows = org.load(org.changes(schema.empty_table()), bulk_from=bulk_from)
    assert (loaded.rows, rows, org.far.calls()["total"]) == (0, {}, 0)


@BOTH
def test_any_text_arrives_as_it_was(org: Any, bulk_from: int) -> None:
    rows = [{"Commerce_Id__c": f'k"{n}, é\n', "LastName": "x", "Description": text} for n, text in enumerate(NASTY)]
    loaded, outcomes = org.load(org.changes(rows), bulk_from=bulk_from)
    assert loaded.delivered == len(NASTY), outcomes
    held = {key: row["Description"] for key, row in org.contacts().items()}
    assert held == {row["Commerce_Id__c"]: row["Description"].replace("\r\n", "\n").replace("\r", "\n") for row in rows}


@BOTH
def test_every_type_arrives_as_the_org_reads_it(org: Any, bulk_from: int) -> None:
    row = {
        "Commerce_Id__c": "a-1",
        "Name": "Types",
        "Commerce_Active__c": True,
        "Lifetime_Spend__c": Decimal("1234567890.10"),
        "Order_Count__c": 7,
        "Average_Order_Value__c": 0.25,
        "First_Purchase__c": date(2025, 2, 28),
    }
    loaded, outcomes = org.load(org.changes([row]), to="Account", bulk_from=bulk_from)
    assert loaded.delivered == 1, outcomes
    held = org.live("Account")["a-1"]
    assert held["Commerce_Active__c"] in (True, 1)
    assert float(held["Lifetime_Spend__c"]) == 1234567890.1
    assert float(held["Order_Count__c"]) == 7
    assert float(held["Average_Order_Value__c"]) == 0.25
    assert str(held["First_Purchase__c"]).startswith("2025-02-28")


@BOTH
def test_a_moment_is_sent_in_utc(org: Any, bulk_from: int) -> None:
    moment = datetime(2026, 3, 1, 12, 30, 15, 250000, tzinfo=UTC)
    table = pa.table({
        "Commerce_Id__c": ["t-1"],
        "LastName": ["x"],
        "Registered_At__c": pa.array([moment], pa.timestamp("us", tz="Europe/Berlin")),
        "Last_Order_Status_At__c": pa.array([moment.replace(tzinfo=None)], pa.timestamp("ns")),
    })  # fmt: skip
    loaded, outcomes = org.load(org.changes(table), bulk_from=bulk_from)
    assert loaded.delivered == 1, outcomes
    held = org.contacts()["t-1"]
    assert held["Registered_At__c"] == held["Last_Order_Status_At__c"] == "2026-03-01T12:30:15.250+0000"


@BOTH
def test_a_number_of_any_magnitude_is_sent_without_an_exponent(org: Any, bulk_from: int) -> None:
    numbers = [0.0, -0.5, 1e-7, 0.00099, 0.001, 123456789.25, 999999999999999.0, 1e15, 1.5e15]
    rows = [{"Commerce_Id__c": f"n-{n}", "Name": "x", "Lifetime_Spend__c": value} for n, value in enumerate(numbers)]
    odd = {"Commerce_Id__c": "nan", "Name": "x", "Lifetime_Spend__c": float("nan")}
    loaded, outcomes = org.load(org.changes([*rows, odd]), to="Account", bulk_from=bulk_from)
    assert loaded.delivered == len(rows) + 1, outcomes
    held = org.live("Account")
    assert held["nan"]["Lifetime_Spend__c"] is None
    assert [held[f"n-{n}"]["Lifetime_Spend__c"] for n in range(len(numbers))] == [round(n, 2) for n in numbers]


@BOTH
def test_null_clears_or_leaves_as_the_mapping_says(org: Any, bulk_from: int) -> None:
    accounts(org, 1)
    full = {"Phone": "1", "Title": "Boss", "Department": "D", "AccountId": "a-0"}
    org.load(org.changes([{"Commerce_Id__c": "c", "LastName": "x", **full}]), bulk_from=bulk_from)
    assert org.contacts()["c"]["AccountId"]
    nulls = pa.table({
        "Commerce_Id__c": ["c"], "LastName": ["x"], "Phone": pa.array([None], pa.string()),
        "Title": pa.array([None], pa.string()), "Department": [""], "AccountId": pa.array([None], pa.string()),
    })  # fmt: skip
    changes = org.changes(nulls)
    loaded, outcomes = org.load(
        changes, fields=org.fields(changes, leave=("Title", "Department", "AccountId")), bulk_from=bulk_from
    )
    assert loaded.delivered == 1, outcomes
    held = org.contacts()["c"]
    assert (held["Phone"], held["Title"], held["Department"]) == (None, "Boss", None)
    assert held["AccountId"], "a lookup that is left stays"
    org.load(org.changes(nulls), bulk_from=bulk_from)
    held = org.contacts()["c"]
    assert (held["Phone"], held["Title"], held["AccountId"]) == (None, None, None)


def test_many_cleared_lookups_go_by_bulk_in_jobs_of_their_own(org: Any) -> None:
    accounts(org, 5)
    with_parent = [row | {"AccountId": f"a-{n % 5}"} for n, row in enumerate(people(600))]
    org.load(org.changes(with_parent), bulk_from=1)
    half = [row | {"AccountId": None if n % 2 else f"a-{n % 5}"} for n, row in enumerate(people(600))]
    loaded, outcomes = org.load(org.changes(half), bulk_from=1)
    assert loaded.delivered == 600, [row for row in outcomes.values() if row["code"]][:3]
    assert sum(row["AccountId"] is None for row in org.contacts().values()) == 300


@BOTH
def test_the_text_that_means_null_arrives_as_text(org: Any, bulk_from: int) -> None:
    rows = [*people(3, Title="t"), {"Commerce_Id__c": "na", "LastName": "x", "Title": "#N/A"}]
    loaded, _ = org.load(org.changes(rows), bulk_from=bulk_from)
    assert loaded.delivered == 4
    assert org.contacts()["na"]["Title"] == "#N/A"


@BOTH
def test_thirty_refused_rows_of_a_thousand_are_named_with_their_reason(org: Any, bulk_from: int) -> None:
    rows = people(1000)
    for row in rows[::34]:
        row["LastName"] = "x" * 81
    bad = {row["Commerce_Id__c"] for row in rows[::34]}
    loaded, outcomes = org.load(org.changes(rows), bulk_from=bulk_from)
    assert (loaded.delivered, loaded.rejected) == (970, 30)
    assert {key for key, row in outcomes.items() if row["outcome"] == "rejected"} == bad
    sample = outcomes[min(bad)]
    assert (sample["code"], sample["reason_class"], sample["fields"]) == ("STRING_TOO_LONG", "validation", "LastName")
    assert "data value too large" in sample["reason"]
    assert set(org.contacts()) == {row["Commerce_Id__c"] for row in rows} - bad


@BOTH
def test_reasons_have_a_class(org: Any, bulk_from: int) -> None:
    accounts(org, 1)
    rows = [
        {"Commerce_Id__c": "ok", "LastName": "x", "AccountId": "a-0", "Email": "a@b.example"},
        {"Commerce_Id__c": "orphan", "LastName": "x", "AccountId": "a-404", "Email": "a@b.example"},
        {"Commerce_Id__c": "mail", "LastName": "x", "AccountId": "a-0", "Email": "nonsense"},
        {"Commerce_Id__c": "noname", "LastName": None, "AccountId": "a-0", "Email": "a@b.example"},
    ]
    _, outcomes = org.load(org.changes(rows), bulk_from=bulk_from)
    classes = {key: row["reason_class"] for key, row in outcomes.items()}
    assert classes == {"ok": None, "orphan": "reference", "mail": "validation", "noname": "validation"}


@BOTH
def test_a_row_without_external_id_is_refused_before_it_is_sent(org: Any, bulk_from: int) -> None:
    rows = [
        {"_key": "k1", "Commerce_Id__c": None, "LastName": "x"},
        {"_key": "k2", "Commerce_Id__c": "c", "LastName": "x"},
    ]
    loaded, outcomes = org.load(org.changes(rows), bulk_from=bulk_from)
    assert (loaded.delivered, loaded.rejected) == (1, 1)
    assert (outcomes["k1"]["code"], outcomes["k1"]["reason_class"]) == ("NO_EXTERNAL_ID", "validation")
    assert list(org.contacts()) == ["c"]


@BOTH
def test_the_same_external_id_twice_fails_loudly(org: Any, bulk_from: int) -> None:
    rows = [
        {"_key": "1", "Commerce_Id__c": "c", "LastName": "x"},
        {"_key": "2", "Commerce_Id__c": "c", "LastName": "y"},
    ]
    with pytest.raises(ConfigurationError, match="more than once"):
        org.load(org.changes(rows), bulk_from=bulk_from)
    assert org.contacts() == {}


@BOTH
def test_an_unknown_field_is_named(org: Any, bulk_from: int) -> None:
    rows = [row | {"Industryy": "x"} for row in people(3)]
    with pytest.raises(ConfigurationError, match="Industryy"):
        org.load(org.changes(rows), bulk_from=bulk_from)


@BOTH
def test_deletes_follow_the_policy(org: Any, bulk_from: int) -> None:
    org.load(org.changes(people(5)))
    ids = {key: row["Id"] for key, row in org.contacts().items()}
    vanished = [
        {"_key": key, "_kind": "DELETED", "_target_id": ids[key], "Commerce_Id__c": None, "LastName": None}
        for key in ("c-00001", "c-00002")
    ]
    org.far.reset_calls()
    loaded, outcomes = org.load(org.changes(vanished), on_delete="ignore", bulk_from=bulk_from)
    assert (loaded.delivered, org.far.calls()["total"]) == (2, 0)
    assert outcomes["c-00001"]["target_id"] == ids["c-00001"]

    org.load(org.changes(vanished), on_delete={"Commerce_Active__c": "false", "Title": "'gone'"}, bulk_from=bulk_from)
    held = org.contacts()
    assert [held[key]["Title"] for key in sorted(held)] == [None, "gone", "gone", None, None]

    loaded, _ = org.load(org.changes(vanished), on_delete="delete", bulk_from=bulk_from)
    assert (loaded.delivered, sorted(org.contacts())) == (2, ["c-00000", "c-00003", "c-00004"])
    loaded, _ = org.load(org.changes(vanished), on_delete="delete", bulk_from=bulk_from)
    assert loaded.delivered == 2, "gone already is what was wanted"


def test_upserts_and_deletes_of_one_batch_are_both_done(org: Any) -> None:
    org.load(org.changes(people(2)))
    gone = org.contacts()["c-00001"]["Id"]
    rows = [
        {"_key": "c-00000", "_kind": "MODIFIED", "_target_id": None, "Commerce_Id__c": "c-00000", "LastName": "New"},
        {"_key": "c-00001", "_kind": "DELETED", "_target_id": gone, "Commerce_Id__c": None, "LastName": None},
        {"_key": "c-9", "_kind": "DELETED", "_target_id": None, "Commerce_Id__c": None, "LastName": None},
    ]
    loaded, outcomes = org.load(org.changes(rows), on_delete="delete")
    assert (loaded.delivered, loaded.rejected) == (2, 1)
    assert outcomes["c-9"]["code"] == "NO_TARGET_ID"
    assert {key: row["LastName"] for key, row in org.contacts().items()} == {"c-00000": "New"}


def test_children_of_one_parent_never_meet_in_two_jobs(org: Any) -> None:
    accounts(org, 20)
    rows = [row | {"AccountId": f"a-{(n * 7) % 20}"} for n, row in enumerate(people(2000))]
    loaded, _ = org.load(org.changes(rows), bulk_from=1, job_rows=300, redrives=0)
    assert loaded.delivered == 2000
    assert len(org.job_states()) >= 7


def test_the_org_does_refuse_children_of_one_parent_in_two_jobs(org: Any) -> None:
    """Without this the test above would prove nothing: here the parent is not what the rows are sorted by."""
    accounts(org, 2)
    org.far.options(lock_hold_ms=200)
    rows = [row | {"ReportsToId": None, "AccountId": f"a-{n % 2}"} for n, row in enumerate(people(1500))]
    table = pa.Table.from_pylist(rows)
    table = table.set_column(2, "ReportsToId", pa.array([None] * 1500, pa.string()))
    changes = org.changes(table)
    reports_to = Field(name="ReportsToId", value="x", on_null="leave", lookup=Lookup("Contact", "Commerce_Id__c"))
    fields = tuple(reports_to if field.name == "ReportsToId" else field for field in org.fields(changes))
    org.far.fault(action="hold_jobs", times=None)
    jobs = MemoryJobs()
    org.load(changes, fields=fields, bulk_from=1, job_rows=200, redrives=0, jobs=jobs, wait_s=0)
    org.far.clear_faults()
    loaded, outcomes = org.load(changes, fields=fields, bulk_from=1, job_rows=200, redrives=0, jobs=jobs)
    assert loaded.rejected
    assert {row["code"] for row in outcomes.values()} == {None, "UNABLE_TO_LOCK_ROW"}


def test_a_parent_too_large_for_one_job_is_written_by_jobs_in_turn(org: Any) -> None:
    accounts(org, 1)
    rows = [row | {"AccountId": "a-0"} for row in people(900)]
    loaded, _ = org.load(org.changes(rows), bulk_from=1, job_rows=300, redrives=0)
    assert loaded.delivered == 900
    assert len(org.job_states()) == 3


def test_jobs_are_cut_by_bytes(org: Any) -> None:
    rows = people(200, Description="é" * 1000)
    loaded, _ = org.load(org.changes(rows), bulk_from=1, job_bytes=100_000)
    assert loaded.delivered == 200
    assert len(org.job_states()) >= 4


@pytest.mark.parametrize("key", ["AccountId", "Title"], ids=["sorted for its parents", "as it lies there"])
def test_a_batch_of_several_parts_arrives_as_one(org: Any, key: str) -> None:
    accounts(org, 3)
    rows = [row | {key: f"a-{n % 3}", "Department": f"d{n}"} for n, row in enumerate(people(1500))]
    with org.batches.write("leg", "parts", "changes") as writer:
        for start in range(0, 1500, 400):
            part = org.changes(rows[start : start + 400])
            writer.add(pq.read_table(part.paths()[0]))
    org.runs += 1
    loaded, outcomes = org.load(org.batches.read("leg", "parts", "changes"), bulk_from=1, job_rows=300)
    held = org.contacts()
    assert loaded.delivered == len(outcomes) == 1500
    assert {name: row["Department"] for name, row in held.items()} == {f"c-{n:05d}": f"d{n}" for n in range(1500)}
    assert {name: row["target_id"] for name, row in outcomes.items()} == {name: row["Id"] for name, row in held.items()}
