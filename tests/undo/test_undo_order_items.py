"""Undo where the leg really deletes: order items, which Salesforce keeps in no recycle bin."""

from __future__ import annotations

from commerce_sync.ledger import Run
from flows.ordering import BOOK, HEADS, ITEMS, PRICES, PRODUCTS, lines_of, order, people, remove_line, run
from flows.walking import Org, Shop, Walk
from undo.taking_back import Back

LINES = (BOOK, PRODUCTS, PRICES, HEADS, ITEMS)


def edited(walk: Walk, shop: Shop, org: Org, back: Back) -> Run:
    """One line changed, one removed, one new."""
    back.keep(ITEMS)
    people(shop, org, 1)
    order(shop, "O1", (0, "beer", 2, 10.0), (1, "bread", 1, 5.0))
    run(walk, *LINES)
    remove_line(shop, "O1", 1)
    order(shop, "O1", (0, "beer", 3, 14.99), (2, "wine", 1, 7.0))
    found = run(walk, *LINES)[ITEMS]
    assert (found.new, found.modified, found.deleted) == (1, 1, 1)
    return found


def test_a_deleted_item_is_made_anew_and_a_made_one_deleted(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    found = edited(walk, shop, org, back)
    kept = org.live("OrderItem")["O1|0"]["Id"]
    undone = back.undo(found)
    assert lines_of(org, "O1") == {"O1|0": ("beer", 2, 10.0), "O1|1": ("bread", 1, 5.0)}
    assert (undone.new, undone.modified, undone.deleted, undone.created) == (1, 1, 1, 1)
    assert org.live("OrderItem")["O1|0"]["Id"] == kept
    assert {leg: done.sent for leg, done in run(walk, *LINES, mode="complete").items() if done.sent} == {}
    back.undo(undone)
    assert lines_of(org, "O1") == {"O1|0": ("beer", 3, 14.99), "O1|2": ("wine", 1, 7.0)}
    assert run(walk, ITEMS, mode="complete")[ITEMS].sent == 0
    assert back.held(ITEMS) == set()


def test_what_somebody_touched_is_neither_deleted_nor_made_twice(walk: Walk, shop: Shop, org: Org, back: Back) -> None:
    found = edited(walk, shop, org, back)
    wine = org.live("OrderItem")["O1|2"]
    org.far.patch("OrderItem", wine["Id"], Quantity=9)
    beer = org.live("OrderItem")["O1|0"]
    org.far.put("OrderItem", [{**{name: beer[name] for name in ("OrderId", "PricebookEntryId", "UnitPrice", "Quantity")},
                               "Commerce_Id__c": "O1|1", "Commerce_Product_Code__c": "cake"}])  # fmt: skip
    undone = back.undo(found)
    assert lines_of(org, "O1")["O1|1"][0] == "cake"
    assert lines_of(org, "O1")["O1|2"][1] == 9
    assert [row for row in back.rows(undone) if row[2] == "conflict"] == [
        ("O1|1", "", "conflict"), ("O1|2", "", "conflict"), ("O1|2", "Quantity", "conflict")]  # fmt: skip
    assert (undone.filtered, undone.delivered) == (2, 1)
