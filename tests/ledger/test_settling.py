"""Settling: everything or nothing, once, one winner."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta

import pyarrow as pa
import pytest

from commerce_sync.errors import BalanceError, ConfigurationError, RetryableError
from commerce_sync.ledger import Run

NOON = datetime(2026, 3, 1, 12, tzinfo=UTC)
HOUR = timedelta(hours=1)
FULL = (1 << 64) - 1


def _reject(key: str, **values: object) -> pa.Table:
    return pa.Table.from_pylist([{"key": key, "status": "rejected", **values}])


def test_a_settled_run_moves_everything_at_once(ledger, stage, markers):
    run = ledger.begin("leg", "r1", kind="changes", mapping_version=2)
    delta = stage("leg", {"a": (1, "001"), "b": (FULL, None)})
    settled = ledger.settle(
        run, state_version=0, status="green", delta=delta, rejects=_reject("c"), carry="uri",
        replica={"o": ["x"]}, high_water=NOON, complete_at=NOON, extracted=3, sent=3, delivered=2, rejected=1, digest="77",
    )  # fmt: skip
    assert (settled.status, settled.settled_version, settled.delivered, settled.digest) == (
        "green",
        1,
        2,
        "77",
    )
    state = ledger.state("leg")
    assert (state.version, state.high_water, state.complete_at, state.mapping_version) == (1, NOON, NOON, 2)
    assert (state.carry, state.replica) == ("uri", {"o": ["x"]})
    assert markers("leg") == {"a": (1, "001"), "b": (FULL, None)}
    assert [item.key for item in ledger.rejects("leg")] == ["c"]


def test_settling_twice_does_nothing_the_second_time(ledger, stage, markers):
    run = ledger.begin("leg", "r1", kind="changes")
    first = ledger.settle(run, state_version=0, status="green", high_water=NOON)
    delta = stage("leg", {"a": (1, "001")})
    again = ledger.settle(run, state_version=0, status="red", delta=delta, rejects=_reject("c"), sent=9)
    assert again == first
    assert ledger.state("leg").version == 1
    assert markers("leg") == {}
    assert ledger.rejects("leg") == []
    assert ledger.update(run, status="red", sent=9, calls={"salesforce": 1}).status == "green"
    assert ledger.begin("leg", "r1", kind="changes").settled


def test_a_process_killed_between_staging_and_settling_leaves_the_old_state(ledger, deliver, stage, markers):
    deliver("leg", "r1", {"a": (1, "001")}, high_water=NOON)
    ledger.begin("leg", "r2", kind="changes")
    stage("leg", {"a": (2, "001"), "b": (3, "002")})
    assert markers("leg") == {"a": (1, "001")}
    assert ledger.state("leg").version == 1


DIE_HALF_WAY = """
import os, sys
from datetime import UTC, datetime
from commerce_sync.ledger import Ledger, rejects
import duckdb, pyarrow as pa
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
run = ledger.begin("leg", "r1", kind="changes")
row = "SELECT 'a' AS key, 1 AS fingerprint, NULL AS target_id, false AS gone"
delta = ledger.stage_delta("leg", duckdb.connect(), row)
refused = pa.table({"key": ["c"], "status": ["rejected"]})
put = rejects.put
rejects.put = lambda *given, **named: (put(*given, **named), os._exit(0))
now = datetime.now(UTC)
ledger.settle(run, state_version=0, status="green", delta=delta, rejects=refused, high_water=now)
print("still alive")
"""


def test_a_process_killed_inside_the_transaction_leaves_nothing_and_may_settle_again(
    ledger, url, tmp_path, markers, processes
):
    assert processes(DIE_HALF_WAY, url, f"{tmp_path}/files", number=1) == [""]
    assert (ledger.state("leg").version, markers("leg"), ledger.rejects("leg")) == (0, {}, [])
    run = ledger.begin("leg", "r1", kind="changes")
    assert run.status == "running"
    assert ledger.settle(run, state_version=0, status="green", high_water=NOON).settled
    assert ledger.state("leg").high_water == NOON


def test_the_second_of_two_runs_that_read_the_same_state_is_told_to_try_again(ledger):
    one, two = (ledger.begin("leg", name, kind="changes") for name in ("r1", "r2"))
    ledger.settle(one, state_version=0, status="green", high_water=NOON)
    with pytest.raises(RetryableError, match="another run of the leg settled first"):
        ledger.settle(two, state_version=0, status="green", high_water=NOON + HOUR)
    assert ledger.state("leg").high_water == NOON
    ledger.settle(two, state_version=1, status="green", high_water=NOON + HOUR)
    assert ledger.state("leg").high_water == NOON + HOUR


COMPETE = """
import sys
from commerce_sync.errors import RetryableError
from commerce_sync.ledger import Ledger
import duckdb, pyarrow as pa
name = "r" + sys.argv[3]
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
run = ledger.begin("leg", name, kind="changes")
row = f"SELECT 'a' AS key, {sys.argv[3]} AS fingerprint, NULL AS target_id, false AS gone"
delta = ledger.stage_delta("leg", duckdb.connect(), row)
rejects = pa.table({"key": [name], "status": ["rejected"]})
try:
    print(ledger.settle(run, state_version=0, status="green", delta=delta, rejects=rejects).run)
except RetryableError:
    print("lost")
"""


def test_of_processes_that_settle_at_once_exactly_one_wins(ledger, url, tmp_path, markers, processes):
    printed = processes(COMPETE, url, f"{tmp_path}/files", number=3)
    winners = [name for name in printed if name != "lost"]
    assert [run.run for run in ledger.runs("leg") if run.settled] == winners
    assert len(winners) == 1
    assert markers("leg") == {"a": (int(winners[0][1:]), None)}
    assert [item.key for item in ledger.rejects("leg")] == winners


def test_of_threads_that_settle_at_once_exactly_one_wins(ledger):
    runs = [ledger.begin("leg", f"r{number}", kind="changes") for number in range(4)]
    gate = threading.Barrier(4)

    def compete(run: Run) -> str:
        gate.wait(timeout=30)
        try:
            return ledger.settle(run, state_version=0, status="green", rejects=_reject(run.run)).run
        except RetryableError:
            return "lost"

    with ThreadPoolExecutor(4) as pool:
        winners = [name for name in pool.map(compete, runs) if name != "lost"]
    assert len(winners) == 1
    assert [item.key for item in ledger.rejects("leg")] == winners
    assert ledger.state("leg").version == 1


def test_one_run_settled_by_two_threads_counts_once(ledger):
    run = ledger.begin("leg", "r1", kind="changes")

    def close(_: int) -> object:
        return ledger.settle(run, state_version=0, status="green", calls={"salesforce": 1})

    with ThreadPoolExecutor(2) as pool:
        one, two = pool.map(close, range(2))
    assert one == two
    assert one.calls == {"salesforce": 1}


def test_the_high_water_never_moves_back(ledger, deliver):
    deliver("leg", "r1", {}, high_water=NOON, complete_at=NOON)
    deliver("leg", "r2", {}, high_water=NOON - HOUR, complete_at=NOON - HOUR)
    deliver("leg", "r3", {})
    state = ledger.state("leg")
    assert (state.high_water, state.complete_at, state.version) == (NOON, NOON, 3)


def test_a_backfill_never_moves_the_high_water(ledger, stage, markers):
    run = ledger.begin("leg", "r1", kind="backfill")
    delta = stage("leg", {"a": (1, "001")})
    ledger.settle(run, state_version=0, status="green", delta=delta, high_water=NOON, complete_at=NOON)
    assert (ledger.state("leg").high_water, ledger.state("leg").complete_at) == (None, None)
    assert markers("leg") == {"a": (1, "001")}


def test_an_unbalanced_run_is_never_green_and_never_advances(ledger):
    run = ledger.begin("leg", "r1", kind="changes")
    with pytest.raises(BalanceError):
        ledger.settle(run, state_version=0, status="green", high_water=NOON, extracted=2, sent=2, delivered=1)
    assert ledger.state("leg").version == 0
    ledger.settle(run, state_version=0, status="red", high_water=NOON, extracted=2, sent=2, delivered=1)
    assert ledger.state("leg").high_water is None


def test_a_plan_settles_nothing(ledger):
    run = ledger.begin("leg", "r1", kind="plan")
    with pytest.raises(ConfigurationError, match="is a plan"):
        ledger.settle(run, state_version=0, status="green")
    with pytest.raises(ConfigurationError, match="not as running"):
        ledger.settle(ledger.begin("leg", "r2", kind="changes"), state_version=0, status="running")


def test_what_a_run_does_not_mention_is_kept_and_none_takes_it_away(ledger, deliver):
    deliver("leg", "r1", {}, carry="uri", replica={"orders": ["x"]})
    deliver("leg", "r2", {})
    assert (ledger.state("leg").carry, ledger.state("leg").replica) == ("uri", {"orders": ["x"]})
    deliver("leg", "r3", {}, carry=None, replica={})
    assert (ledger.state("leg").carry, ledger.state("leg").replica) == (None, {})
    assert [state.leg for state in ledger.states()] == ["leg"]
