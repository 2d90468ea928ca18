"""Receipts: written with the events they are about, read on by number, successes and errors forgotten apart."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Receipt, event_schema

NOW = datetime(2026, 11, 20, 12, tzinfo=UTC)

WRITER = """
import sys
from datetime import UTC, datetime
from commerce_sync.ledger import Ledger, Receipt
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
seen, cursor = 0, 0
for _ in range(20):
    ledger.note_receipt(Receipt(datetime.now(UTC), "iconik", "webhook", 200))
    for one in ledger.receipts_after(cursor):
        seen, cursor = seen + 1, one.seq
print(cursor == seen)
"""


def receipt(status=201, *, days=0, **values):
    return Receipt(NOW - timedelta(days=days), "sap_commerce", "webhook", status, **values)


def events(*ids):
    row = {"type": "OrderSync.Changed", "source": "s", "subject": None, "occurred_at": NOW, "data": "{}"}
    return pa.Table.from_pylist([{"event_id": one} | row for one in ids], event_schema())


def test_a_receipt_is_read_as_it_was_written_newest_first(ledger):
    first = receipt(types=("b", "a", "a"), events=3, new=2, doubled=1, size_bytes=10, took_ms=1.5)
    ledger.note_receipt(first)
    ledger.note_receipt(receipt(422, reason="schema"))
    newest, oldest = ledger.receipts()
    assert (oldest.types, oldest.seq, oldest.at, oldest.took_ms, oldest.failed) == (("a", "b"), 1, NOW, 1.5, False)
    assert (newest.reason, newest.failed) == ("schema", True)
    assert [one.status for one in ledger.receipts(failed=True)] == [422]
    assert [one.status for one in ledger.receipts(failed=False, source="sap_commerce")] == [201]
    assert ledger.receipts(source="iconik") == []
    assert [one.status for one in ledger.receipts(limit=1, offset=1)] == [201]


def test_a_delivery_and_its_receipt_are_written_together_or_not_at_all(ledger):
    ledger.add_events("orders", events("a", "b"), receipt=lambda added: receipt(new=added.new, doubled=added.doubled))
    ledger.add_events("orders", events("b", "c"), receipt=lambda added: receipt(new=added.new, doubled=added.doubled))
    assert [(one.new, one.doubled) for one in ledger.receipts()] == [(1, 1), (2, 0)]

    def _fails(_added):
        raise ConfigurationError("no receipt")

    with pytest.raises(ConfigurationError):
        ledger.add_events("orders", events("d"), receipt=_fails)
    assert ledger.event_counts("orders") == {"OrderSync.Changed": 3}


def test_more_types_than_a_row_should_have_are_any(ledger):
    ledger.note_receipt(receipt(types=tuple(f"t{n}" for n in range(51))))
    assert ledger.receipts()[0].types == ("*",)


def test_reading_on_by_number_misses_none(ledger):
    assert (ledger.newest_receipt(), ledger.receipts_after(0)) == (0, [])
    for number in range(5):
        ledger.note_receipt(receipt(new=number))
    assert ledger.newest_receipt() == 5
    assert [one.new for one in ledger.receipts_after(2)] == [2, 3, 4]
    assert [one.new for one in ledger.receipts_after(2, limit=2)] == [2, 3]


def test_readers_beside_many_writers_miss_none(url, tmp_path, processes, ledger):
    """Each of six processes reads on after every write; whoever reads a number has read all below it."""
    assert processes(WRITER, url, f"{tmp_path}/files", number=6) == ["True"] * 6
    assert [one.seq for one in ledger.receipts_after(0)] == list(range(1, 121))


def test_successes_and_errors_are_forgotten_apart(ledger):
    for days in (1, 20, 100):
        ledger.note_receipt(receipt(days=days))
        ledger.note_receipt(receipt(503, days=days))
    assert ledger.sweep_receipts(success_days=14, error_days=90, now=NOW) == 3
    assert [(one.status, (NOW - one.at).days) for one in ledger.receipts()] == [(503, 20), (503, 1), (201, 1)]
    assert ledger.sweep_receipts(success_days=14, error_days=90, now=NOW) == 0
    ledger.sweep_receipts(success_days=0.1, error_days=0.1, now=NOW)
    ledger.note_receipt(receipt())
    assert ledger.newest_receipt() == 7


def test_counts_say_when_the_last_one_came(ledger):
    ledger.note_receipt(receipt(days=2))
    ledger.note_receipt(receipt(days=1))
    ledger.note_receipt(receipt(401))
    (one,) = ledger.receipt_counts(NOW - timedelta(days=7))
    assert (one.source, one.kind, one.taken, one.failed) == ("sap_commerce", "webhook", 2, 1)
    assert (one.last_taken, one.last_failed) == (NOW - timedelta(days=1), NOW)
    (one,) = ledger.receipt_counts(NOW - timedelta(hours=1))
    assert (one.taken, one.last_taken) == (0, None)


def test_events_beside_empty_pieces_of_a_table_are_written(ledger):
    rows = pa.concat_tables([events("a"), events(), events("b")])
    assert ledger.add_events("orders", rows).new == 2
