"""Rejects: rows people look at, in and out by the hundred thousand."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
FULL = (1 << 64) - 1
AWKWARD = 'a "quoted", comma\nnew line \\. tab\t ümläut 漢 '


def _table(rows):
    table = pa.table({name: [row[name] for row in rows] for name in rows[0] if name != "fingerprint"})
    if "fingerprint" not in rows[0]:
        return table
    return table.append_column("fingerprint", pa.array([row["fingerprint"] for row in rows], pa.uint64()))


def _settle(ledger, run, *, rows=None, clear=()):
    begun = ledger.begin("leg", run, kind="changes")
    rejects = _table(rows) if rows else None
    ledger.settle(begun, state_version=ledger.state("leg").version, status="green", rejects=rejects, clear=clear)


def test_a_reject_comes_back_as_it_went_in(ledger):
    row = {
        "key": AWKWARD, "status": "rejected", "code": "", "reason_class": "validation", "reason": AWKWARD,
        "fields": "Email,Phone", "payload": '{"Email": "***", "Name": null, "n": 1.5}', "fingerprint": FULL,
        "attempts": 2, "next_attempt": NOON,
    }  # fmt: skip
    _settle(ledger, "r1", rows=[row])
    (stored,) = ledger.rejects("leg")
    assert (stored.key, stored.reason, stored.code, stored.fingerprint) == (AWKWARD, AWKWARD, "", FULL)
    assert stored.payload == {"Email": "***", "Name": None, "n": 1.5}
    assert (stored.attempts, stored.next_attempt, stored.first_run, stored.last_run) == (2, NOON, "r1", "r1")


def test_columns_that_are_missing_are_null(ledger):
    _settle(ledger, "r1", rows=[{"key": "a", "status": "quarantined"}])
    (stored,) = ledger.rejects("leg")
    assert (stored.code, stored.payload, stored.fingerprint, stored.next_attempt, stored.attempts) == (
        None, None, None, None, 0,
    )  # fmt: skip


def test_a_record_refused_again_keeps_the_run_that_refused_it_first(ledger):
    _settle(ledger, "r1", rows=[{"key": "a", "status": "rejected", "attempts": 1, "reason": "one"}])
    _settle(ledger, "r2", rows=[{"key": "a", "status": "parked", "attempts": 2, "reason": "two"}])
    (stored,) = ledger.rejects("leg")
    assert (stored.status, stored.attempts, stored.reason) == ("parked", 2, "two")
    assert (stored.first_run, stored.last_run) == ("r1", "r2")


def test_delivered_keys_clear_their_rejects_and_no_others(ledger):
    _settle(ledger, "r1", rows=[{"key": key, "status": "rejected"} for key in "abc"])
    _settle(ledger, "r2", clear=pa.array(["a", "c", "z"]))
    assert [item.key for item in ledger.rejects("leg")] == ["b"]
    _settle(ledger, "r3", clear=["b"])
    assert ledger.rejects("leg") == []


def test_duckdb_joins_the_rejects_table(ledger, con):
    _settle(ledger, "r1", rows=[{"key": "a", "status": "rejected", "fingerprint": FULL, "next_attempt": NOON}])
    con.execute("SET TimeZone = 'UTC'")
    con.register("rejects", ledger.rejects_table("leg"))
    query = f"SELECT key, fingerprint = {FULL}::UBIGINT, next_attempt = '2026-03-01 12:00:00+00' FROM rejects"
    assert con.execute(query).fetchall() == [("a", True, True)]


def test_the_rejects_table_of_a_leg_without_rejects_has_the_same_columns(ledger):
    empty = ledger.rejects_table("leg")
    _settle(ledger, "r1", rows=[{"key": "a", "status": "rejected"}])
    assert empty.num_rows == 0
    assert empty.schema == ledger.rejects_table("leg").schema


def test_rejects_made_by_duckdb_go_in_as_they_are(ledger, con):
    table = con.sql(
        "SELECT 'a' AS key, 'rejected' AS status, to_json({'n': 1}) AS payload, 7::UBIGINT AS fingerprint, "
        "TIMESTAMP '2026-03-01 12:00:00' AS next_attempt, 1::BIGINT AS attempts"
    ).to_arrow_table()
    begun = ledger.begin("leg", "r1", kind="changes")
    ledger.settle(begun, state_version=0, status="green", rejects=table)
    (stored,) = ledger.rejects("leg")
    assert (stored.payload, stored.fingerprint, stored.next_attempt) == ({"n": 1}, 7, NOON)


def test_a_nul_character_in_a_reason_does_not_stop_the_leg(ledger):
    _settle(ledger, "r1", rows=[{"key": "a", "status": "rejected", "reason": "bad\x00value"}])
    assert ledger.rejects("leg")[0].reason.startswith("bad")


def test_a_hundred_thousand_rejects_go_in_out_and_away(ledger):
    keys = [f"K{number:07d}" for number in range(100_000)]
    number = len(keys)
    table = pa.table({
        "key": keys, "status": ["rejected"] * number, "reason": ["REQUIRED_FIELD_MISSING: Name"] * number,
        "payload": ['{"Name": null}'] * number, "fingerprint": pa.array(range(number), pa.uint64()),
    })  # fmt: skip
    begun = ledger.begin("leg", "r1", kind="changes")
    ledger.settle(begun, state_version=0, status="green", rejects=table)
    assert ledger.reject_counts("leg") == {"rejected": number}
    assert ledger.rejects_table("leg").num_rows == number
    begun = ledger.begin("leg", "r2", kind="changes")
    ledger.settle(begun, state_version=1, status="green", clear=pa.array(keys[1:]))
    assert [item.key for item in ledger.rejects("leg")] == ["K0000000"]


def test_a_person_retries_and_dismisses(ledger):
    parked = {"status": "parked", "attempts": 5, "next_attempt": NOON}
    _settle(ledger, "r1", rows=[{"key": key, **parked} for key in "abc"])
    assert ledger.retry_rejects("leg", keys=["a"]) == 1
    assert ledger.dismiss_rejects("leg", keys=["b", "none"]) == 1
    retried, dismissed, untouched = ledger.rejects("leg")
    assert (retried.status, retried.attempts) == ("rejected", 0)
    assert timedelta(0) <= datetime.now(UTC) - retried.next_attempt < timedelta(minutes=1)
    assert (dismissed.status, untouched.status) == ("dismissed", "parked")
    assert [item.key for item in ledger.rejects("leg", status="dismissed")] == ["b"]
    assert [item.key for item in ledger.rejects("leg", limit=1, offset=1)] == ["b"]
    assert ledger.retry_rejects("leg") == 3


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ({"key": "a"}, "key, status"),
        ({"key": "a", "status": "odd"}, "use one of"),
        ({"key": "a", "status": "parked", "x": 1}, "columns"),
    ],
)
def test_rejects_of_the_wrong_shape_are_refused(ledger, row, message):
    with pytest.raises(ConfigurationError, match=message):
        _settle(ledger, "r1", rows=[row])
    assert ledger.state("leg").version == 0
