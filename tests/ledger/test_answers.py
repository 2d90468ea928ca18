"""What people say about rejects: kept, acted upon, and never undone by a run that settles beside them."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import Ledger, Said, reject_schema

LEG = "people"


def table(**rows: int) -> pa.Table:
    """Key -> fingerprint of rows that were refused."""
    given = [{"key": key, "status": "rejected", "code": "X", "reason_class": "lock", "fingerprint": mark, "attempts": 3,
              "payload": '{"Name": "***"}'} for key, mark in rows.items()]  # fmt: skip
    return pa.Table.from_pylist(given, schema=reject_schema())


def settle(ledger: Ledger, run: str, *, leg: str = LEG, said: Said | None = None, clear: Any = (), **rows: int) -> None:
    begun = ledger.begin(leg, run, kind="changes")
    version = ledger.state(leg).version
    ledger.settle(begun, state_version=version, status="green", rejects=table(**rows), said=said, clear=clear)


def stands(ledger: Ledger) -> dict[str, tuple[str, int]]:
    return {item.key: (item.status, item.attempts) for item in ledger.rejects(LEG)}


def test_rejects_are_grouped_over_all_legs(ledger: Ledger) -> None:
    settle(ledger, "r1", a=1, b=2)
    settle(ledger, "r1", leg="orders", a=1)
    (group,) = ledger.reject_groups()
    assert (group.reason_class, group.code, group.rows, group.legs) == ("lock", "X", 3, {LEG: 2, "orders": 1})
    assert [group.rows for group in ledger.reject_groups(legs=["orders"])] == [1]
    assert ledger.reject_groups(statuses=["parked"]) == []
    assert {(item.leg, item.key) for item in ledger.find_rejects([LEG, "orders", "none"], keys=["a", "z"])} == {
        (LEG, "a"), ("orders", "a"),
    }  # fmt: skip


def test_every_word_is_kept_with_who_and_when(ledger: Ledger) -> None:
    settle(ledger, "r1", a=2**63 + 1, b=2)
    before = datetime.now(UTC)
    assert ledger.retry_rejects(LEG, by="ann") == 2
    assert ledger.dismiss_rejects(LEG, keys=["a", "nobody"], by="bob", reason="not ours") == 1
    assert stands(ledger) == {"a": ("dismissed", 0), "b": ("rejected", 0)}
    said = ledger.said(keys=["a"])
    assert [(item.action, item.answered_by, item.reason, item.fingerprint) for item in said] == [
        ("retry", "ann", None, 2**63 + 1), ("dismiss", "bob", "not ours", 2**63 + 1),
    ]  # fmt: skip
    assert all(before <= item.answered_at for item in said)
    assert ledger.last_said(LEG) == said[-1].id
    assert ledger.last_said("orders") == 0


def test_what_the_history_has_is_remembered(ledger: Ledger) -> None:
    settle(ledger, "r1", a=1)
    ledger.dismiss_rejects(LEG, keys=["a"], by="ann")
    (word,) = ledger.said(noted=False)
    ledger.note_said([word.id])
    assert ledger.said(noted=False) == []
    ledger.prune(datetime.now(UTC) + timedelta(days=1))
    assert ledger.said() == []


def test_an_edit_stays_open_until_it_arrived_and_hides_what_is_personal_then(ledger: Ledger) -> None:
    settle(ledger, "r1", a=1)
    values = {"Name": "Ada", "City": "Bonn", "Phone": None}
    ledger.edit_reject(LEG, key="a", values=values, by="ann", personal=["Name", "Phone", "Email"])
    (word,) = ledger.said(status="open")
    assert (word.edited, word.shown) == (values, {"Name": "***", "City": "Bonn", "Phone": None})
    ledger.prune(datetime.now(UTC) + timedelta(days=1))
    settle(ledger, "r2", said=Said(seen=word.id, read=word.id, done=[word.id]), clear=["a"])
    (word,) = ledger.said()
    assert (word.status, word.run, word.edited) == ("done", "r2", {"Name": "***", "City": "Bonn", "Phone": None})


def test_a_newer_word_takes_the_place_of_an_open_edit(ledger: Ledger) -> None:
    settle(ledger, "r1", a=1)
    for name in ("Ada", "Grace"):
        ledger.edit_reject(LEG, key="a", values={"Name": name}, by="ann")
    assert [item.edited for item in ledger.said(status="open")] == [{"Name": "Grace"}]
    ledger.dismiss_rejects(LEG, keys=["a"], by="bob")
    assert ledger.said(status="open") == []


def test_what_cannot_be_edited_is_refused(ledger: Ledger) -> None:
    settle(ledger, "r1", a=1, gone=0)
    for key, values, said in (("nobody", {"Name": "x"}, "not among its rejects"), ("gone", {"Name": "x"}, "is a delete"),
                              ("a", {}, "no values")):  # fmt: skip
        with pytest.raises(ConfigurationError, match=said):
            ledger.edit_reject(LEG, key=key, values=values, by="ann")
    assert ledger.said() == []


def test_a_word_said_while_a_run_was_at_work_outlives_what_the_run_writes(ledger: Ledger) -> None:
    settle(ledger, "r1", a=1, b=2, c=3, d=4)
    seen = ledger.last_said(LEG)
    ledger.dismiss_rejects(LEG, keys=["a", "d"], by="ann")
    ledger.retry_rejects(LEG, keys=["b"], by="ann")
    settle(ledger, "r2", said=Said(seen=seen, read=ledger.last_said(LEG)), a=1, b=2, c=3, d=44)
    assert stands(ledger) == {
        "a": ("dismissed", 3),
        "b": ("rejected", 0),
        "c": ("rejected", 3),
        "d": ("rejected", 3),
    }, "what was said of d is about another payload"


def test_a_run_that_has_not_heard_of_an_edit_settles_again(ledger: Ledger) -> None:
    settle(ledger, "r1", a=1)
    read = ledger.last_said(LEG)
    ledger.edit_reject(LEG, key="a", values={"Name": "Ada"}, by="ann")
    with pytest.raises(RetryableError, match="a reject was edited while run 'r2' settled"):
        settle(ledger, "r2", said=Said(seen=read, read=read), clear=["a"])
    assert stands(ledger)["a"] == ("rejected", 0)
    settle(ledger, "r2", said=Said(seen=read, read=ledger.last_said(LEG)), clear=["a"])
    assert stands(ledger) == {}


def test_markers_of_a_record_are_found_in_all_legs_at_once(ledger: Ledger, deliver: Any) -> None:
    deliver("one", "r1", {"a": (1, "T1"), "b": (2, "T2")})
    deliver("one", "r2", {"a": (3, "T1")})
    deliver("two", "r1", {"T1": (4, "a")})
    deliver("three", "r1", {"z": (5, None)})
    found = {(row["leg"], row["key"]): (row["fingerprint"], row["run"]) for row in ledger.find_markers(["a", "T1"])}
    assert found == {("one", "a"): (3, "r2"), ("two", "T1"): (4, "r1")}
    assert [row["leg"] for row in ledger.find_markers(["a"], legs=["two"])] == []
    assert [row["key"] for row in ledger.find_markers(["T2"], are_targets=True)] == ["b"]
    deliver("one", "r3", {"a": None})
    assert ledger.find_markers(["a"])[0]["gone"] is True


def test_markers_keep_columns_they_do_not_know_out_of_sight(ledger: Ledger, con: Any, markers: Any) -> None:
    """Older files have no such columns, newer ones do; both are read together."""
    for run, more in (("r1", ""), ("r2", ", 'NEW' AS kind, 1 AS attempt"), ("r3", "")):
        begun = ledger.begin(LEG, run, kind="changes")
        version = ledger.state(LEG).version
        query = f"SELECT '{run}' AS key, 7 AS fingerprint, 'T' AS target_id, false AS gone{more}"
        ledger.settle(begun, state_version=version, status="green", delta=ledger.stage_delta(LEG, con, query))
    assert set(markers(LEG)) == {"r1", "r2", "r3"}
    ledger.compact(LEG)
    assert set(markers(LEG)) == {"r1", "r2", "r3"}
