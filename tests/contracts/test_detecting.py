"""Contract 4.2: what is new, modified, deleted or as it was; time is an optimisation, complete scans are the truth."""

from __future__ import annotations

from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from commerce_sync.errors import GuardError, RetryableError
from flows.walking import HOUSEHOLDS, Org, Shop, Walk, uid


def names(org: Org) -> dict[str, str]:
    return {key: row["Name"] for key, row in org.accounts.items()}


def with_options(walk: Walk, **options: Any) -> None:
    source = replace(walk.mapping(HOUSEHOLDS).source, options=options)
    walk.alter(HOUSEHOLDS, sources=(source,))


def test_a_complete_scan_tells_new_modified_deleted_and_unchanged_apart(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2, 3, 4, 5)
    walk.leg(HOUSEHOLDS)
    before = org.accounts
    shop.change(2, name="Grace Hopper")
    shop.remove(3)
    shop.customers(6)
    run = walk.leg(HOUSEHOLDS, "complete")
    assert (run.new, run.modified, run.deleted, run.unchanged) == (1, 1, 1, 3)
    after = org.accounts
    assert after["C0002"]["Name"] == "Grace Hopper (household)"
    assert after["C0003"]["Commerce_Active__c"] is False
    assert after["C0006"]["Commerce_Active__c"] is True
    assert {key for key in before if after[key] != before[key]} == {"C0002", "C0003"}


def test_a_record_touched_without_a_change_of_what_is_sent_is_not_written(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    shop.change(1)
    org.far.reset_calls()
    assert walk.leg(HOUSEHOLDS).unchanged == 2
    assert org.writes() == 0


def test_rows_that_share_the_moment_of_the_high_water_are_neither_lost_nor_doubled(
    walk: Walk, shop: Shop, org: Org
) -> None:
    moment = shop.tick()
    shop.customers(*range(50), modifiedtime=moment)
    walk.leg(HOUSEHOLDS)
    before = org.stamps()
    for number in (7, 8):
        shop.change(number, name=f"Grace Hopper{number}", modifiedtime=moment)
    shop.customers(50, 51, modifiedtime=moment)
    run = walk.leg(HOUSEHOLDS, "changes")
    assert (run.kind, run.new, run.modified, run.unchanged) == ("changes", 2, 2, 48)
    assert len(org.accounts) == 52
    assert names(org)["C0007"] == "Grace Hopper7 (household)"
    assert sum(org.stamps().get(key) != stamp for key, stamp in before.items()) == 2


def test_a_late_commit_within_the_overlap_is_found_by_the_next_run(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    shop.customers(2, modifiedtime=(shop.moment - timedelta(minutes=4)).isoformat())
    assert walk.leg(HOUSEHOLDS, "changes").new == 1
    assert set(org.accounts) == {"C0001", "C0002"}


def test_a_commit_later_than_the_overlap_is_found_by_the_complete_scan(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    shop.customers(2, modifiedtime=(shop.moment - timedelta(minutes=20)).isoformat())
    assert walk.leg(HOUSEHOLDS, "changes").sent == 0
    assert set(org.accounts) == {"C0001"}
    assert walk.leg(HOUSEHOLDS, "complete").new == 1
    assert set(org.accounts) == {"C0001", "C0002"}


def test_a_deleted_customer_becomes_inactive_once_and_comes_back_when_created_again(
    walk: Walk, shop: Shop, org: Org
) -> None:
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    first_id = org.accounts["C0002"]["Id"]
    shop.remove(2)
    assert walk.leg(HOUSEHOLDS, "changes").deleted == 0, "a delta read cannot see what is gone"
    assert walk.leg(HOUSEHOLDS, "complete").deleted == 1
    gone = org.accounts["C0002"]
    assert (gone["Commerce_Active__c"], gone["Name"]) == (False, "Ada Lovelace2 (household)")
    assert walk.leg(HOUSEHOLDS, "complete").deleted == 0
    assert org.accounts["C0002"]["SystemModstamp"] == gone["SystemModstamp"]
    shop.customers(2)
    assert walk.leg(HOUSEHOLDS, "changes").new == 1
    back = org.accounts["C0002"]
    assert (back["Id"], back["Commerce_Active__c"]) == (first_id, True)


def test_a_truncated_complete_scan_deletes_nothing_and_is_not_green(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(*range(30))
    walk.leg(HOUSEHOLDS)
    with_options(walk, page_rows=10)
    before = org.stamps()
    shop.far.fault(action="truncate", path="Customers", after_rows=5, times=None)
    run = walk.attempt(HOUSEHOLDS, "complete")
    assert isinstance(walk.error, RetryableError)
    assert "nothing counts as complete, try again" in str(walk.error)
    assert (run.status, run.settled, run.deleted) == ("stopped", False, 0)
    assert org.stamps() == before
    shop.far.clear_faults()
    assert walk.leg(HOUSEHOLDS, "complete").unchanged == 30
    assert org.stamps() == before


def test_an_empty_shop_is_not_a_wish_to_delete_everybody(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    before = org.stamps()
    shop.remove(1)
    shop.remove(2)
    run = walk.attempt(HOUSEHOLDS, "complete")
    assert isinstance(walk.error, GuardError)
    assert (run.status, run.settled) == ("stopped", False)
    assert org.stamps() == before
    assert set(walk.markers(HOUSEHOLDS)) == {"C0001", "C0002"}


def test_a_shop_that_never_had_anything_is_green(walk: Walk, org: Org) -> None:
    assert walk.leg(HOUSEHOLDS).status == "green"
    assert walk.leg(HOUSEHOLDS).status == "green"
    assert org.accounts == {}


@pytest.mark.parametrize("paging", ["keyset", "next"])
def test_rows_that_move_while_they_are_read_all_arrive(walk: Walk, shop: Shop, org: Org, paging: str) -> None:
    shop.customers(*range(45))
    with_options(walk, page_rows=10, paging=paging)
    shop.far.fault(action="page_shift", path="Customers")
    run = walk.leg(HOUSEHOLDS)
    assert (run.delivered, len(org.accounts)) == (45, 45)


def test_a_change_of_the_mapping_is_a_change_of_the_record(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2)
    walk.leg(HOUSEHOLDS)
    fields = tuple(
        replace(item, value="customerID") if item.name == "Name" else item for item in walk.mapping(HOUSEHOLDS).fields
    )
    walk.alter(HOUSEHOLDS, fields=fields)
    assert walk.leg(HOUSEHOLDS, "complete").modified == 2
    assert names(org) == {"C0001": "C0001", "C0002": "C0002"}


def test_a_customer_whose_login_changes_stays_the_same_account(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    walk.leg(HOUSEHOLDS)
    shop.far.patch("Customer", uid(1), uid="new@people.example", modifiedtime=shop.tick())
    assert walk.leg(HOUSEHOLDS).unchanged == 1
    assert len(org.accounts) == 1
