"""Tombstones in both databases, the words they recognise, and the edge of sources and inbox."""

from __future__ import annotations

import hashlib
import hmac
import json
from datetime import UTC, datetime

import pyarrow as pa
import pytest

from commerce_sync import forget_rows
from commerce_sync.ledger import Finding, Ledger, event_schema
from commerce_sync.ledger.tombstones_marks import Marks, mark

KEY, UID = "CZQ77001", "zqlogin.one@people.example"
SALT = b"salt"
MARKS = Marks(SALT, {mark(SALT, scope="*", name=name) for name in (KEY, UID)})


def events(*data: object, subject: str | None = None) -> pa.Table:
    rows = [
        {"event_id": f"e{number}", "type": "t", "source": "s", "subject": subject, "occurred_at": datetime.now(UTC),
         "data": item if isinstance(item, str) else json.dumps(item)}
        for number, item in enumerate(data)
    ]  # fmt: skip
    return pa.Table.from_pylist(rows, event_schema())


def test_a_mark_is_an_hmac_that_anybody_can_check() -> None:
    expected = hmac.new(SALT, b"leg:x\x00zqlogin.one@people.example", hashlib.sha256).hexdigest()
    assert mark(SALT, scope="leg:x", name=" ZQlogin.One@people.example ") == expected


@pytest.mark.parametrize("text", [
    KEY, UID, UID.upper(), f"group|{KEY}", f"iot%7Coffer|{UID}", f"no result for '{KEY}'", f"Customers('{KEY}')",
    "https://shop.example/?u=zqlogin.one%40people.example&x=1", f'{{"uid": "{UID}"}}', f"mail to <{UID}>.", f"key:{KEY}/7",
])  # fmt: skip
def test_a_name_is_recognised_where_it_stands_as_a_word(text: str) -> None:
    assert MARKS.mentions(text)
    assert not MARKS.mentions(MARKS.scrub(text))


@pytest.mark.parametrize("text", ["", f"{KEY}7", f"x{KEY}", "other@people.example", "people.example", "CZQ"])
def test_others_are_not_taken_for_her(text: str) -> None:
    assert not MARKS.mentions(text)
    assert MARKS.scrub(text) == text


def test_from_a_row_that_stays_the_person_goes_and_the_rest_is_as_it_was() -> None:
    row = {"code": "O1", "user": {"uid": UID, "name": "Zq", "age": 7}, "unit": {"uid": "acme"}, "total": 7.5,
           "deliveryAddress": {"street": "S", "country": {"code": "DE"}}, "entries": [{"note": "by " + KEY}, {"note": "x"}],
           "_hash": 99}  # fmt: skip
    done = forget_rows.redacted(row, MARKS)
    assert done == {"code": "O1", "user": {"uid": None, "name": None, "age": 7}, "unit": {"uid": "acme"}, "total": 7.5,
                    "deliveryAddress": {"street": None, "country": {"code": None}},
                    "entries": [{"note": None}, {"note": "x"}], "_hash": 0}  # fmt: skip


def test_rows_keep_their_order_and_their_types() -> None:
    table = pa.table({
        "_key": ["a1", KEY, "a2", "a3"], "who": pa.array([{"uid": "u"}, {"uid": "u"}, {"uid": UID}, None]),
        "tags": [["x"], [], None, [KEY]], "n": pa.array([1, 2, 3, 4], pa.uint64()),
    })  # fmt: skip
    left = forget_rows.without(table, MARKS, forget_rows.judge(table, MARKS))
    assert left.schema == table.schema
    assert left["_key"].to_pylist() == ["a1", "a2", "a3"]
    assert left["who"].to_pylist() == [{"uid": "u"}, {"uid": None}, None]
    assert left["tags"].to_pylist() == [["x"], None, [None]]
    blank = forget_rows.blanked(table, MARKS, forget_rows.judge(table, MARKS))
    assert blank["n"].to_pylist() == [1, None, 3, 4]
    assert forget_rows.filled(blank).equals(left)


def test_the_inbox_takes_nothing_of_the_forgotten(ledger: Ledger) -> None:
    assert ledger.add_events("shop", events({"uid": UID}, {"uid": "other"})).new == 2
    ledger.bury([KEY, UID], by="anna")
    assert ledger.erase(ledger.marks()) == {"ledger_event": 1}
    escaped = json.dumps({"uid": UID}).replace("@", "\\u0040")
    added = ledger.add_events("shop", events({"uid": UID}, {"uid": "other"}, {"a": [{"b": UID.upper()}]}, escaped))
    assert (added.new, added.doubled) == (0, 4), "one was known, three are not taken"
    assert ledger.add_events("devices", events({"x": 1}, subject=KEY)).new == 0
    assert ledger.event_counts("shop") == {"t": 1}
    assert ledger.readmit(UID) == 2
    assert ledger.add_events("devices", events({"x": 1}, subject=KEY)).new == 1


def test_erasing_masks_texts_and_leaves_other_rows(ledger: Ledger) -> None:
    ledger.claim_alerts([Finding("1", "failure", "f", None, f"told of {UID}, and so on"),
                         Finding("2", "failure", "f", None, "of nobody")])  # fmt: skip
    ledger.put_aliases("crm", "Contact", [{"lost": "OLD-1", "now": KEY}, {"lost": "OLD-2", "now": "C0001"}])
    ledger.bury([KEY, UID], by="anna")
    marks = ledger.marks()
    assert ledger.erase(marks, dry_run=True) == ledger.erase(marks) == {"ledger_alert": 1, "ledger_alias": 1}
    assert ledger.erase(marks) == {}
    assert [item.message for item in ledger.alerts()] == ["told of ***, and so on", "of nobody"]
    assert ledger.aliases("crm", "Contact") == {"OLD-2": "C0001"}
    assert "rewritten" in ledger.scour()
    assert [item.message for item in ledger.alerts()] == ["told of ***, and so on", "of nobody"]


def test_tombstones_are_one_per_record_whatever_the_order(ledger: Ledger) -> None:
    first = ledger.bury([KEY], by="anna")
    second = ledger.bury(["OTHER-1"], by="anna")
    assert first != second
    assert ledger.bury([KEY, UID], by="bea") == first
    assert [(item.names, item.by) for item in ledger.tombstones() if item.subject == first] == [(2, "anna")]
    ledger.note_erased([first])
    assert [item.subject for item in ledger.tombstones(pending=True)] == [second]
    assert not ledger.marks("system:crm", subjects=[second]).names(KEY)
    scoped = ledger.bury(["THIRD-1"], scope="leg:x", by="anna")
    assert ledger.marks("leg:x").names("THIRD-1")
    assert not ledger.marks("leg:y").names("THIRD-1")
    assert scoped
