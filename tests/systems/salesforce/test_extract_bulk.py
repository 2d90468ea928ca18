"""A Bulk query gives the same batch as pages do, and is used where it pays and can be."""

from __future__ import annotations

import json
import logging
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync.errors import RetryableError
from commerce_sync.systems.salesforce import shape
from systems.salesforce.reads import KEY, START, account, accounts, at, keys, numbers, read, read_table

PLUS = {
    "Description": "VARCHAR", "Lifetime_Spend__c": "DECIMAL(18,2)", "Order_Count__c": "BIGINT", "BillingLatitude": "DOUBLE",
    "NumberOfEmployees": "INTEGER", "First_Purchase__c": "DATE", "Commerce_Active__c": "BOOLEAN", "Top_Category_1_Share__c":
    "DECIMAL(7,2)", "CreatedDate": "TIMESTAMP", "Parent": "STRUCT(Site VARCHAR, Name VARCHAR, Owner STRUCT(Email VARCHAR))",
}  # fmt: skip
TEXTS = [
    "plain",
    None,
    'with "quotes", commas',
    "two\nlines",
    "Grüße 🛒 漢字",
    " spaces ",
    "#N/A",
    "null",
    "NaN",
    "0012",
]


def jobs(org: Any) -> list[dict[str, Any]]:
    return list(org.hook.call("GET", "jobs/query")["records"])


def query_jobs_made(org: Any) -> int:
    routes = org.far.calls()["by_route"]
    return sum(count for route, count in routes.items() if route.startswith("POST") and route.endswith("jobs/query"))


def varied(number: int) -> dict[str, Any]:
    """An account with values and empty fields in turn."""
    return account(
        number, Description=TEXTS[number % len(TEXTS)], Lifetime_Spend__c=number * 1000.01 if number % 4 else None,
        Order_Count__c=number if number % 3 else None, BillingLatitude=number / 7, NumberOfEmployees=number,
        First_Purchase__c=f"2026-02-{number % 28 + 1:02d}" if number % 5 else None, Commerce_Active__c=number % 2 == 0,
        Top_Category_1_Share__c=number / 100, Site="x" if number % 2 else None,
    )  # fmt: skip


def sorted_rows(table: pa.Table) -> pa.Table:
    return table.sort_by([(KEY, "ascending")])


@pytest.mark.parametrize("deleted", [False, True])
def test_a_bulk_query_gives_the_same_batch_as_pages(org: Any, deleted: bool) -> None:
    org.far.put("Account", [varied(number) for number in range(3000)])
    rows = {row[KEY]: row["Id"] for row in org.far.records("Account")}
    for number in range(20):
        org.far.patch("Account", rows[f"a-{number:05d}"], ParentId=rows[f"a-{number + 30:05d}"])
        org.far.patch("Account", rows[f"a-{number + 100:05d}"], IsDeleted=True)
    plus = PLUS | ({"IsDeleted": "BOOLEAN"} if deleted else {})
    both = {
        way: read_table(org, accounts(plus=plus, options={"bulk": way, "deleted": deleted}), since=None, until=None,
                        complete=True)
        for way in ("never", "always")
    }  # fmt: skip
    assert {way: found.facts["way"] for way, (found, _) in both.items()} == {"never": "rest", "always": "bulk"}
    (pages, by_pages), (bulk, by_bulk) = both["never"], both["always"]
    assert by_pages.schema == by_bulk.schema
    assert sorted_rows(by_pages).equals(sorted_rows(by_bulk))
    assert (bulk.rows, bulk.high_water, bulk.complete) == (pages.rows, pages.high_water, True)
    assert pages.rows == 3000 if deleted else 2980


def test_values_with_line_ends_survive_the_blocks_a_file_is_read_in(org: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shape, "CSV_BLOCK_BYTES", 3000)
    text = 'a\nb,\n"c"\n' * 20
    org.far.put("Account", [account(number, Description=f"{text}{number}") for number in range(300)])
    _, rows = read(org, accounts(plus={"Description": "VARCHAR"}, options={"bulk": "always"}))
    assert {row[KEY]: row["Description"] for row in rows} == {f"a-{n:05d}": f"{text}{n}" for n in range(300)}


def test_large_reads_go_by_bulk_and_small_ones_by_pages(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(900)])
    source = accounts(options={"bulk_from": 500})
    found, rows = read(org, source)
    assert (found.facts["way"], keys(rows)) == ("bulk", numbers(*range(900)))
    found, rows = read(org, source, since=at(100), until=at(800), complete=False)
    assert (found.facts["way"], keys(rows)) == ("bulk", numbers(*range(100, 800)))
    found, rows = read(org, source, since=at(500), complete=False)
    assert (found.facts["way"], keys(rows)) == ("rest", numbers(*range(500, 900)))
    assert read(org, accounts(options={"bulk_from": 500, "bulk": "never"}))[0].facts["way"] == "rest"
    assert jobs(org) == [], "finished jobs are taken away"


def test_nothing_to_read_is_an_empty_batch_by_bulk_too(org: Any) -> None:
    found, rows = read(org, accounts(options={"bulk": "always"}), since=START, complete=False)
    assert (rows, found.facts["way"], found.high_water) == ([], "bulk", None)


def test_child_lists_are_read_by_pages_and_it_is_said(org: Any, caplog: pytest.LogCaptureFixture) -> None:
    org.far.put("Account", [account(number) for number in range(300)])
    plus = {"Contacts": "STRUCT(LastName VARCHAR)[]"}
    with caplog.at_level(logging.WARNING):
        found, rows = read(org, accounts(plus=plus, options={"bulk": "always", "bulk_from": 1}))
    assert (found.facts["way"], len(rows)) == ("rest", 300)
    assert "cannot read child relationships (Contacts)" in caplog.text


@pytest.mark.parametrize(
    ("status", "code"),
    [(400, "INVALIDENTITY"), (400, "API_ERROR"), (400, "LIMIT_EXCEEDED"), (403, "REQUEST_LIMIT_EXCEEDED")],
)
def test_an_org_that_takes_no_bulk_query_is_read_by_pages(
    org: Any, status: int, code: str, caplog: pytest.LogCaptureFixture
) -> None:
    org.far.put("Account", [account(number) for number in range(700)])
    said = json.dumps([{"errorCode": code, "message": "Entity 'Account' is not supported by the Bulk API."}])
    org.far.fault(
        action="status", status=status, body=said, match={"method": "POST", "path": "/jobs/query"}, times=None
    )
    with caplog.at_level(logging.WARNING):
        found, rows = read(org, accounts(options={"bulk_from": 500}), since=START, complete=False)
    assert (found.facts["way"], keys(rows)) == ("rest", numbers(*range(700)))
    assert code in caplog.text


def test_a_result_file_that_is_cut_short_is_an_error(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(50)])
    half = '"Id","Commerce_Id__c","Name","SystemModstamp"\n"001000000000001AAA","x","y","2026-11-01T12:00:00.000Z"\n'
    org.far.fault(action="status", status=200, body=half, match={"path": "/results"}, times=1)
    with pytest.raises(RetryableError, match="read 1 of 50 records"):
        read(org, accounts(options={"bulk": "always"}), since=START, complete=False)
    broken = '"Id","Commerce_Id__c","Name","SystemModstamp"\n"001000000000001AAA","x","y"\n'
    org.far.fault(action="status", status=200, body=broken, match={"path": "/results"}, times=1)
    with pytest.raises(RetryableError, match="cannot be read"):
        read(org, accounts(options={"bulk": "always"}), since=START, complete=False)


def test_passing_trouble_of_a_bulk_query_is_waited_out(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(500)])
    org.far.fault(action="status", status=503, match={"path": r"/jobs/query$"}, times=1)
    org.far.fault(action="truncate", bytes=2000, match={"path": "/results"}, times=1)
    said = json.dumps([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])
    org.far.fault(action="status", status=401, body=said, match={"path": r"/jobs/query/\w+$"}, times=1)
    found, rows = read(org, accounts(options={"bulk": "always"}))
    assert (found.facts["way"], keys(rows)) == ("bulk", numbers(*range(500)))


def test_a_job_that_never_ends_is_given_up(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(5)])
    org.far.fault(action="hold_jobs", times=None)
    with pytest.raises(RetryableError, match="still .* and was aborted"):
        read(org, accounts(options={"bulk": "always", "longest_s": 0.2}), since=START, complete=False)
    assert [job["state"] for job in jobs(org)] == ["Aborted"]


def test_a_statement_too_long_for_a_url_goes_by_bulk(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(10)])
    wanted = ", ".join(f"'a-{number:05d}-and-a-longer-text-still'" for number in range(600))
    source = accounts(filter=f"Commerce_Id__c = 'a-00001' OR Commerce_Id__c IN ({wanted})")
    found, rows = read(org, source, since=START, complete=False)
    assert (found.facts["way"], keys(rows)) == ("bulk", numbers(1))
