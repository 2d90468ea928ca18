"""Contract 4.3: a run accounts for every row by its key, or it is red and nothing of it counts."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import duckdb
import pytest

from commerce_sync import delivery, detection, flow
from commerce_sync import leg as legs
from commerce_sync.errors import BalanceError
from commerce_sync.ledger import Run
from commerce_sync.leg import LegRun
from flows.walking import HISTORY, HOUSEHOLDS, SPEND, Altering, Org, Shop, Walk, line

TAMPERING = {
    "drops a row": "SELECT * FROM results WHERE _key <> 'C0002'",
    "doubles a row": "SELECT * FROM results UNION ALL SELECT * FROM results WHERE _key = 'C0002'",
    "invents a row": "SELECT * FROM results UNION ALL SELECT 'C9999', * EXCLUDE (_key) FROM results WHERE _key = 'C0002'",
    "swaps a row": "SELECT CASE _key WHEN 'C0002' THEN 'C9999' ELSE _key END AS _key, * EXCLUDE (_key) FROM results",
    "loses an outcome": "SELECT * REPLACE (CASE _key WHEN 'C0002' THEN NULL ELSE outcome END AS outcome) FROM results",
    "reports another outcome": "SELECT * REPLACE ('sent' AS outcome) FROM results",
}


def assert_nothing_counts(walk: Walk, run: Run) -> None:
    assert isinstance(walk.error, BalanceError), repr(walk.error)
    assert (run.status, run.settled) == ("red", False)
    state = walk.site.ledger.state(run.leg)
    assert (state.version, state.high_water, state.carry) == (0, None, None)
    assert walk.markers(run.leg) == {}
    assert walk.rejects(run.leg) == {}


def assert_next_run_repairs(walk: Walk, org: Org) -> None:
    walk.target = flow.target_system
    run = walk.leg(HOUSEHOLDS)
    assert (run.status, run.delivered) == ("green", 3)
    assert set(walk.markers(HOUSEHOLDS)) == set(org.accounts) == {"C0001", "C0002", "C0003"}


@pytest.mark.parametrize("query", TAMPERING.values(), ids=TAMPERING)
def test_a_target_that_misreports_turns_the_run_red(walk: Walk, shop: Shop, org: Org, query: str) -> None:
    shop.customers(1, 2, 3)
    walk.target = Altering(query)
    assert_nothing_counts(walk, walk.attempt(HOUSEHOLDS))
    assert_next_run_repairs(walk, org)


def rewrite(uri: str, query: str) -> None:
    """Replace every part of a batch by what ``query`` makes of it."""
    for path in Path(uri).glob("*.parquet"):
        with duckdb.connect() as con:
            rows = con.sql(f"SELECT * FROM read_parquet('{path}')").to_arrow_table()
            con.register("rows", rows)
            con.execute(f"COPY ({query}) TO '{path}' (FORMAT parquet)")


def remove(uri: str, _query: str) -> None:
    for path in Path(uri).glob("*.parquet"):
        path.unlink()


Tamper = Callable[[str, str], None]
ALTERED: dict[str, tuple[str, str, Tamper, str]] = {
    # step before which it happens, batch, how, SQL
    "a source row lost": ("map_changes", "extract-source", rewrite, "FROM rows WHERE customerID <> 'C0002'"),
    "a source row doubled": ("map_changes", "extract-source", rewrite, "FROM rows UNION ALL FROM rows WHERE customerID = 'C0002'"),
    "the source rows gone": ("map_changes", "extract-source", remove, ""),
    "a value altered": ("load", "changes", rewrite, "SELECT * REPLACE ('Eve' AS Name) FROM rows"),
    "a change lost": ("load", "changes", rewrite, "FROM rows WHERE _key <> 'C0002'"),
    "a change doubled": ("load", "changes", rewrite, "FROM rows UNION ALL FROM rows WHERE _key = 'C0002'"),
    "the changes gone": ("load", "changes", remove, ""),
    "a change lost after it was sent": ("commit", "changes", rewrite, "FROM rows WHERE _key <> 'C0002'"),
    "a result lost": ("commit", "load", rewrite, "FROM rows WHERE _key <> 'C0002'"),
    "the results gone": ("commit", "load", remove, ""),
    "the verdicts gone": ("commit", "verdicts", remove, ""),
}  # fmt: skip


def step_by_step(work: LegRun, before: dict[str, Callable[[], None]]) -> None:
    """A whole run; ``before`` a step something happens."""
    steps: dict[str, Callable[[], Any]] = {
        "extract": lambda: legs.extract(work, flow.source_system),
        "map_changes": lambda: detection.map_changes(work),
        "check": lambda: delivery.check(work),
        "load": lambda: delivery.load(work, flow.target_system, wait_s=30),
        "commit": lambda: delivery.commit(work),
    }
    for name, step in steps.items():
        before.get(name, lambda: None)()
        step()


@pytest.mark.parametrize(("step", "batch", "tamper", "query"), ALTERED.values(), ids=ALTERED)
def test_a_batch_that_is_altered_between_two_steps_turns_the_run_red(
    walk: Walk, shop: Shop, org: Org, step: str, batch: str, tamper: Tamper, query: str
) -> None:
    shop.customers(1, 2, 3)
    work = walk.begin(HOUSEHOLDS)
    uri = walk.site.batches.address(HOUSEHOLDS, work.id, batch)
    with pytest.raises(BalanceError) as found:
        step_by_step(work, {step: lambda: tamper(uri, query)})
    walk.errors = {HOUSEHOLDS: found.value}
    assert_nothing_counts(walk, walk.runs(HOUSEHOLDS)[0])
    if step != "commit":
        assert org.accounts == {}, "nothing was sent"
    assert_next_run_repairs(walk, org)


def test_a_lost_source_row_of_a_complete_scan_is_not_taken_for_a_delete(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2, 3)
    walk.leg(HOUSEHOLDS)
    work = walk.begin(HOUSEHOLDS, "complete")
    uri = walk.site.batches.address(HOUSEHOLDS, work.id, "extract-source")
    with pytest.raises(BalanceError):
        step_by_step(work, {"map_changes": lambda: rewrite(uri, "FROM rows WHERE customerID <> 'C0002'")})
    assert org.accounts["C0002"]["Commerce_Active__c"] is True


def test_a_lost_order_never_makes_a_figure(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1)
    shop.product("p1")
    shop.order("O1", customer=1, day="2026-05-01", lines=[line(0, "p1", 1, 10.0)])
    shop.order("O2", customer=1, day="2026-05-02", lines=[line(0, "p1", 1, 20.0)])
    walk.leg(HOUSEHOLDS)
    work = walk.begin(SPEND)
    legs.extract(work, flow.source_system)
    rewrite(walk.site.batches.address(SPEND, work.id, "extract-orders"), "FROM rows WHERE code <> 'O1'")
    with pytest.raises(BalanceError):
        legs.aggregate(work)
    walk(HISTORY)
    assert org.accounts["C0001"]["Lifetime_Spend__c"] == 30


def test_every_run_balances_and_its_digest_is_that_of_its_keys(walk: Walk, shop: Shop, org: Org) -> None:
    shop.customers(1, 2, 3)
    shop.customers(8, customerID=None)
    org.far.fault(action="row_error", object="Account", when={"field": "Commerce_Id__c", "regex": "C0003"}, times=1)
    walk.attempt(HOUSEHOLDS)
    shop.change(1, name="Grace Hopper")
    walk.attempt(HOUSEHOLDS, "changes")
    walk.attempt(HOUSEHOLDS, "complete")
    runs = walk.runs(HOUSEHOLDS)
    assert len(runs) == 3
    assert all(run.balanced and run.settled for run in runs)
    assert [run.rejected for run in runs] == [0, 0, 1]
    assert runs[0].digest == runs[2].digest, "the same keys, in whatever order"
    assert int(runs[0].digest or 0) > 0
