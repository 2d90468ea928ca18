"""Conflicts and pairs: a lost value is listed once, counted when it is met again, and moves with the run that met it."""

from __future__ import annotations

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import PairMove

PAIR = "customers"


def rows(*lost, key="C1", **values):
    row = {"key": key, "field": "phone", "owner": "salesforce", "losing": "sap_commerce", "kept": "1"} | values
    return pa.Table.from_pylist([row | {"lost": text} for text in lost])


@pytest.fixture
def note(ledger):
    return lambda run, table: ledger.note_conflicts(PAIR, leg="leg", run=run, rows=table)


def test_a_conflict_says_what_was_kept_and_what_lost(ledger, note):
    note("r1", rows("2"))
    (found,) = ledger.conflicts()
    assert (found.pair, found.key, found.field, found.owner, found.losing) == (
        PAIR, "C1", "phone", "salesforce", "sap_commerce",
    )  # fmt: skip
    assert (found.kept, found.lost, found.status, found.seen, found.run) == ("1", "2", "open", 1, "r1")


def test_the_same_conflict_is_counted_once_per_run(ledger, note):
    for run in ("r1", "r1", "r2"):
        note(run, rows("2"))
    (found,) = ledger.conflicts()
    assert (found.seen, found.run) == (2, "r2")
    assert found.first_at < found.last_at


def test_another_value_is_another_conflict_also_when_it_is_empty_or_long(ledger, note):
    note("r1", rows("2", "3", None, "None", "x" * 100_000))
    assert ledger.conflict_counts(PAIR) == {"open": 5}


def test_masked_values_are_told_apart_by_their_digest(ledger, note):
    for digest in ("a", "b", "a"):
        note("r1", rows("***").append_column("digest", pa.array([digest])))
    assert ledger.conflict_counts() == {"open": 2}


def test_a_resolved_conflict_that_comes_again_is_a_new_one(ledger, note):
    for run in ("r1", "r2"):
        note(run, rows("2"))
        assert ledger.resolve_conflicts([item.id for item in ledger.conflicts(status="open")], by="ann") == 1
    assert ledger.conflict_counts() == {"resolved": 2}


def test_a_dismissed_conflict_that_comes_again_is_only_counted(ledger, note):
    note("r1", rows("2"))
    ledger.resolve_conflicts([ledger.conflicts()[0].id], status="dismissed", by="ann")
    note("r2", rows("2"))
    (found,) = ledger.conflicts()
    assert (found.status, found.seen, found.closed_by) == ("dismissed", 2, "ann")
    assert found.closed_at is not None


def test_conflicts_are_found_by_pair_status_and_key(ledger, note):
    note("r1", rows("2"))
    note("r2", rows("2", key="C2"))
    assert [item.key for item in ledger.conflicts()] == ["C2", "C1"]
    assert [item.key for item in ledger.conflicts(key="C1")] == ["C1"]
    assert ledger.conflicts(pair="other") == ledger.conflicts(status="resolved") == []
    assert len(ledger.conflicts(limit=1, offset=1)) == 1


def test_a_table_of_other_columns_is_refused(ledger, note):
    with pytest.raises(ConfigurationError, match="needed: key, field, owner"):
        note("r1", rows("2").drop_columns(["owner"]))


def test_a_pair_moves_once_from_each_version(ledger):
    assert ledger.pair_state(PAIR).version == 0
    moved = ledger.move_pair(PAIR, version=0, agreed=[{"name": "a.parquet", "rows": 1}])
    assert ledger.pair_state(PAIR) == moved
    for stale in (0, 2):
        with pytest.raises(RetryableError, match="settled first"):
            ledger.move_pair(PAIR, version=stale, agreed=[])
    assert ledger.pair_state(PAIR).agreed == [{"name": "a.parquet", "rows": 1}]


def test_a_run_settles_with_its_pair_or_not_at_all(ledger):
    ledger.move_pair(PAIR, version=0, agreed=[{"name": "a"}])
    run = ledger.begin("leg", "r1", kind="changes")
    stale = PairMove(PAIR, 0, [{"name": "b"}], rows("2"))
    with pytest.raises(RetryableError, match="settled first"):
        ledger.settle(run, state_version=0, status="green", pair=stale)
    assert ledger.conflicts() == []
    assert ledger.state("leg").version == 0
    assert not ledger.find_run("leg", "r1").settled


def test_a_run_settled_again_notes_its_conflicts_once(ledger):
    run = ledger.begin("leg", "r1", kind="changes")
    for _try in range(2):
        move = PairMove(PAIR, 0, [{"name": "b"}], rows("2"))
        ledger.settle(run, state_version=0, status="green", pair=move)
    assert ledger.pair_state(PAIR).version == 1
    assert [(item.seen, item.leg, item.run) for item in ledger.conflicts()] == [(1, "leg", "r1")]
