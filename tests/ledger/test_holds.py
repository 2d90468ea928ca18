"""Holds: a change waits for a person, whose answer is about the payload they saw."""

from __future__ import annotations

from datetime import UTC, datetime

import pyarrow as pa
import pytest

from commerce_sync.errors import ConfigurationError

FULL = (1 << 64) - 1


def rows(**fingerprints):
    return pa.table({
        "key": list(fingerprints), "fingerprint": pa.array(fingerprints.values(), pa.uint64()),
        "reason": ["value above 10,000"] * len(fingerprints), "payload": ['{"Email": "***"}'] * len(fingerprints),
    })  # fmt: skip


@pytest.fixture
def ask(ledger):
    return lambda run="r1", **fingerprints: ledger.put_holds("leg", run=run, rows=rows(**fingerprints))


@pytest.fixture
def answer(ledger):
    return lambda *keys, status="approved", **more: ledger.answer_holds(
        "leg", keys=list(keys) or None, status=status, by="eve", **more
    )


def statuses(ledger):
    return {item.key: item.status for item in ledger.holds("leg")}


def test_a_hold_comes_back_as_it_went_in(ledger, ask):
    assert ask(a=FULL) == 1
    (hold,) = ledger.holds()
    assert (hold.leg, hold.key, hold.fingerprint, hold.run, hold.status) == ("leg", "a", FULL, "r1", "waiting")
    assert (hold.reason, hold.payload, hold.answered_by) == ("value above 10,000", {"Email": "***"}, None)
    assert ledger.holds_table("leg").to_pylist() == [{"key": "a", "fingerprint": FULL, "status": "waiting"}]


def test_an_answer_holds_until_the_payload_changes(ledger, ask, answer):
    ask(a=1, b=1)
    assert answer("a", reason="known customer") == 1
    assert ask("r2", a=1, b=1) == 0
    assert statuses(ledger) == {"a": "approved", "b": "waiting"}
    assert ledger.holds(status="approved")[0].reason == "known customer"
    assert ask("r3", a=2) == 1
    (hold,) = [item for item in ledger.holds("leg") if item.key == "a"]
    assert (hold.status, hold.answered_by, hold.run) == ("waiting", None, "r3")


def test_an_answer_to_what_a_person_saw_is_no_answer_to_what_came_after(ledger, ask, answer):
    ask(a=1, b=1)
    seen = datetime.now(UTC)
    ask("r2", a=2)
    assert answer("a", "b", asked_until=seen) == 1
    assert statuses(ledger) == {"a": "waiting", "b": "approved"}


def test_an_answer_to_all_leaves_those_already_answered(ledger, ask, answer):
    ask(a=1, b=1)
    answer("a", status="refused")
    assert answer() == 1
    assert statuses(ledger) == {"a": "refused", "b": "approved"}


def test_an_answer_can_be_taken_back(ledger, ask, answer):
    ask(a=1)
    answer("a")
    assert answer("a") == 0
    assert answer("a", status="refused") == 1
    assert statuses(ledger) == {"a": "refused"}


def test_another_word_is_no_answer(ask, answer):
    ask(a=1)
    with pytest.raises(ConfigurationError, match="use approved or refused"):
        answer("a", status="maybe")


def test_what_was_sent_waits_no_longer(ledger, ask):
    ask(a=1, b=1)
    run = ledger.begin("leg", "r1", kind="changes")
    ledger.settle(run, state_version=0, status="green", clear_holds=["a", "unknown"])
    assert statuses(ledger) == {"b": "waiting"}
    assert ledger.clear_holds("leg", keys=["b"]) == 1
    assert ledger.holds_table("leg").num_rows == 0
