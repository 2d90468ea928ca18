"""Reading loses nothing and doubles nothing, whatever the shop does meanwhile."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from systems.sap_commerce.shop import START, customer, customers

PAGE = 100
CUSTOMERS = r"/CustomerSync/Customers"


def keys(rows: list[dict[str, Any]]) -> list[str]:
    return sorted(row["uid"] for row in rows)


def numbers(count: int) -> list[str]:
    return [f"c{number:05d}" for number in range(count)]


def test_a_complete_scan_reads_every_row_once(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(1234)])
    found, rows = read(customers())
    assert keys(rows) == numbers(1234)
    assert (found.rows, found.complete) == (1234, True)
    assert found.high_water == START + timedelta(seconds=1233)
    assert found.facts["windows"] > 1


def test_a_complete_scan_of_nothing_is_an_empty_batch_with_its_columns(sap_commerce, read):
    found, rows = read(customers())
    assert (rows, found.rows, found.complete, found.high_water) == ([], 0, True, None)


def test_three_thousand_rows_of_one_moment_are_all_read(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number, at=START) for number in range(3000)])
    sap_commerce.put("Customer", [customer(number, at=START + timedelta(hours=1)) for number in range(3000, 3500)])
    found, rows = read(customers(options={}))
    assert keys(rows) == numbers(3500)
    assert found.facts["rereads"] == 0


def test_rows_whose_key_column_is_empty_are_read_like_the_others(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number, customerID=None) for number in range(250)])
    columns = {"uid": "VARCHAR", "customerID": "VARCHAR", "modifiedtime": "TIMESTAMP"}
    _, rows = read(customers(columns=columns, key="customerID"))
    assert keys(rows) == numbers(250)


def test_rows_of_one_second_are_told_apart_by_their_keys(sap_commerce, read):
    moments = [START + timedelta(milliseconds=7 * number) for number in range(700)]
    sap_commerce.put("Customer", [customer(number, at=moments[number]) for number in range(700)])
    for precision in ("seconds", "milliseconds"):
        _, rows = read(customers(options={"page_rows": PAGE, "precision": precision}))
        assert keys(rows) == numbers(700)


def test_changes_are_read_from_the_lower_bound_up_to_but_without_the_upper_one(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(60)])
    found, rows = read(
        customers(), since=START + timedelta(seconds=10), until=START + timedelta(seconds=20), complete=False
    )
    assert keys(rows) == numbers(60)[10:20]
    assert (found.complete, found.high_water) == (False, START + timedelta(seconds=19))


def test_changes_without_an_upper_bound_end_with_the_newest(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(450)])
    found, rows = read(customers(), since=START + timedelta(seconds=50), complete=False)
    assert keys(rows) == numbers(450)[50:]
    assert found.high_water == START + timedelta(seconds=449)


def test_no_changes_cost_one_request_and_name_no_high_water(sap_commerce, read):
    sap_commerce.put("Customer", [customer(1)])
    found, rows = read(customers(), since=START + timedelta(days=1), until=START + timedelta(days=2), complete=False)
    assert (rows, found.rows, found.calls, found.high_water) == ([], 0, 1, None)


def test_the_filter_of_the_source_narrows_every_read(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number, loginDisabled=number % 3 == 0) for number in range(300)])
    source = customers(filter="loginDisabled eq true or uid eq 'c00001'")
    found, rows = read(source)
    assert keys(rows) == sorted({*numbers(300)[::3], "c00001"})
    assert found.complete


def test_rows_that_move_while_they_are_read_are_not_lost(sap_commerce, read):
    """After each page a row of the front and one of the end are changed; offsets would skip their neighbours."""
    sap_commerce.put("Customer", [customer(number) for number in range(1500)])
    moved = iter(range(60))

    def move(_rows: int, _expected: int) -> None:
        number = next(moved)
        for one in (number, 1499 - number):
            at = datetime.now(UTC).isoformat()
            sap_commerce.patch("Customer", f"c{one:05d}", name="moved", modifiedtime=at)

    found, rows = read(customers(options={"page_rows": PAGE, "part_rows": 200}), report=move)
    assert found.complete
    assert found.facts["superseded"] > 0
    assert keys(rows) == numbers(1500)
    _, later = read(customers(), since=found.high_water, complete=False)
    stored = {row["uid"]: row["name"] for row in sap_commerce.records("Customer", limit="2000")}
    assert {row["uid"]: row["name"] for row in [*rows, *later]} == stored


def test_following_links_notices_that_the_pages_shifted(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(450)])
    sap_commerce.fault(action="page_shift", path="Customers", times=1)
    found, rows = read(customers(options={"page_rows": PAGE, "paging": "next"}))
    assert keys(rows) == numbers(450)
    assert found.facts["rereads"] >= 1


def test_a_shift_among_rows_of_one_moment_is_noticed_too(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number, at=START) for number in range(450)])
    sap_commerce.fault(action="page_shift", path="skip=", times=1)
    found, rows = read(customers())
    assert keys(rows) == numbers(450)
    assert found.facts["rereads"] == 1


def test_an_unsorted_set_without_a_modified_time_is_read_by_its_links(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(350)])
    source = customers(columns={"uid": "VARCHAR"}, modified=None)
    found, rows = read(source, complete=False, since=START)
    assert keys(rows) == numbers(350)
    assert (found.complete, found.high_water) == (True, None)


def test_a_late_commit_is_found_by_the_complete_scan_only(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(200)])
    first, _ = read(customers())
    sap_commerce.put("Customer", [customer(777, at=START + timedelta(seconds=5))])
    _, changes = read(customers(), since=first.high_water, until=START + timedelta(days=1), complete=False)
    assert "c00777" not in keys(changes)
    _, everything = read(customers())
    assert "c00777" in keys(everything)


def test_a_row_that_slips_behind_the_scan_makes_it_fail_rather_than_look_complete(sap_commerce, read):
    """A transaction committed late gives the last row a time in a window that has been read already."""
    sap_commerce.put("Customer", [customer(number) for number in range(1000)])

    def slip(rows: int, _expected: int) -> None:
        if rows >= 800:
            sap_commerce.patch("Customer", "c00999", modifiedtime=START.isoformat())

    with pytest.raises(RetryableError, match="read 999 of 1000 rows of CustomerSync/Customers"):
        read(customers(options={"page_rows": PAGE, "concurrency": 1}), report=slip)


def test_a_page_chain_that_is_cut_short_once_is_read_again(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(900)])
    sap_commerce.fault(action="truncate", path="Customers", after_rows=40, times=1)
    found, rows = read(customers())
    assert keys(rows) == numbers(900)
    assert found.facts["rereads"] == 1


@pytest.mark.parametrize("paging", ["keyset", "next"])
def test_a_shop_that_always_cuts_its_pages_short_never_looks_complete(sap_commerce, read, paging):
    sap_commerce.put("Customer", [customer(number) for number in range(900)])
    sap_commerce.fault(action="truncate", path="Customers", after_rows=40, times=None)
    with pytest.raises(RetryableError, match=r"read \d+ of \d+ rows of CustomerSync/Customers"):
        read(customers(options={"page_rows": PAGE, "paging": paging}))


def test_a_token_that_expires_in_the_middle_is_renewed(sap_commerce, read):
    sap_commerce.put("Customer", [customer(number) for number in range(900)])
    expired: list[int] = []

    def expire(rows: int, _expected: int) -> None:
        if rows > 200 and not expired:
            expired.append(rows)
            sap_commerce.fault(action="expire_tokens")

    _, rows = read(customers(), report=expire)
    assert expired
    assert keys(rows) == numbers(900)


@pytest.mark.parametrize(
    "fault",
    [
        {"action": "status", "status": 429, "headers": {"Retry-After": "0"}},
        {"action": "status", "status": 503, "headers": {"Retry-After": "0"}},
        {"action": "drop_before"},
        {"action": "drop_after"},
    ],
)
def test_passing_trouble_costs_a_repeated_call_and_no_row(sap_commerce, read, fault):
    sap_commerce.put("Customer", [customer(number) for number in range(300)])
    sap_commerce.fault(match={"path": CUSTOMERS}, skip=4, times=1, **fault)
    _, rows = read(customers())
    assert keys(rows) == numbers(300)


def test_an_unknown_column_is_refused_with_the_columns_there_are(sap_commerce, read):
    sap_commerce.put("Customer", [customer(1)])
    columns = {"uid": "VARCHAR", "nome": "VARCHAR", "modifiedtime": "TIMESTAMP"}
    with pytest.raises(ConfigurationError, match=r"'nome'.*did you mean 'name'"):
        read(customers(columns=columns))


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"service": "Nowhere"}, "Nowhere"),
        ({"entity_set": "Customer"}, "Customer"),
        ({"filter": "length(uid) gt 3"}, "operator_not_supported|refused a read"),
        ({"options": {"page_size": 5}}, "unknown options"),
        ({"options": {"paging": "random"}}, "legal: keyset, next"),
        ({"options": {"concurrency": 99}}, "legal: 1 to 8"),
        ({"modified": "uid"}, "declare it TIMESTAMP"),
    ],
)
def test_a_mistake_in_the_source_is_named_and_not_retried(sap_commerce, read, changes, said):
    sap_commerce.put("Customer", [customer(1)])
    with pytest.raises(ConfigurationError, match=said):
        read(customers(**changes))


def test_counts_and_existing_keys_can_be_asked_for(sap_commerce, hook):
    sap_commerce.put("Customer", [customer(number) for number in range(50)] + [customer(60, uid="o'neil|x y@a.b")])
    assert hook.fetch_count(customers()) == 51
    assert hook.fetch_count(customers(), since=START, until=START + timedelta(seconds=10)) == 10
    wanted = [*numbers(50)[:30], "gone", "o'neil|x y@a.b"]
    assert hook.read_keys(customers(), wanted) == {*wanted} - {"gone"}
    by_key = customers(columns={"integrationKey": "VARCHAR"}, key="integrationKey", modified=None)
    _, stored = numbers(2), hook.read_keys(by_key, ["c00001", "gone", "o%27neil%7Cx+y%40a.b"])
    assert stored == {"c00001", "o%27neil%7Cx+y%40a.b"}
