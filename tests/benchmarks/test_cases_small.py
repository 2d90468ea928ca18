"""Each case at a tiny size: that it compares what it says it compares, never how long it took."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks import (
    aggregation,
    aggregation_ways,
    calls,
    charts,
    extraction_clients,
    gates,
    gates_ways,
    growth,
    growth_steps,
    idle,
    orders,
    own_leg,
    records,
    whole,
    whole_ways,
)
from benchmarks.extraction import stub
from benchmarks.loading import stub as crm_stub
from benchmarks.measure import Sample, Track
from benchmarks.results import Goal, Report

LINES, ROWS = 4_000, 10_000


@pytest.fixture(autouse=True)
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for module in (records, orders):
        monkeypatch.setattr(module, "DATA", tmp_path / "data")
    (tmp_path / "data").mkdir()


@pytest.fixture
def shop() -> Iterator[str]:
    with stub(2_500, latency_ms=0) as url:
        yield url


@pytest.mark.parametrize("way", ["ours", "arrow", "usual", "pyodata", "bytes_only"])
def test_every_client_reads_every_row_of_the_stand_in(shop: str, way: str) -> None:
    more: dict[str, Any] = {"concurrency": 4} if way in ("ours", "bytes_only") else {}
    assert getattr(extraction_clients, way)(url=shop, rows=2_500, **more)() == {"rows": 2_500}


def test_full_and_incremental_figures_equal_those_of_pandas_cell_for_cell(tmp_path: Path) -> None:
    orders.generate(rows=LINES)
    aggregation_ways.prepare(home=str(tmp_path / "own"), rows=LINES)
    accept, lines = aggregation._agree(), orders.file(LINES, "lines-after")
    accept(aggregation.PANDAS, aggregation_ways.pandas(lines=lines, out=str(tmp_path / "figures.parquet"))()())
    for way in ("incremental", "afresh", "whole"):
        accept(way, getattr(aggregation_ways, way)(home=str(tmp_path / "own"))()())
    aggregation_ways.prepare_first(home=str(tmp_path / "first"), rows=LINES)
    accept("first", aggregation_ways.whole(home=str(tmp_path / "first"))()())
    with pytest.raises(ValueError, match="came to"):
        accept("a wrong one", {"rows": 1, "mark": "0"})


@pytest.mark.filterwarnings("ignore")  # Great Expectations imports and calls what is deprecated
def test_every_way_of_the_gate_finds_the_defects_that_were_built_in(tmp_path: Path) -> None:
    records.generate(rows=ROWS)
    home = str(tmp_path / "gates")
    built_in = gates_ways.prepare(path=str(records.extract(ROWS, "before")), home=home)
    assert set(built_in.values()) == {2}
    accept = gates._judge(built_in)
    for name, work in {
        gates.LIMIT: gates_ways.sql(home=home),
        gates.RULES: gates_ways.rules(home=home),
        gates.EXPECTED: gates_ways.expected(home=home),
        gates.COMPLETE: gates_ways.whole_frame(home=home, result_format="COMPLETE"),
        gates.BOOLEAN: gates_ways.whole_frame(home=home, result_format="BOOLEAN_ONLY"),
    }.items():
        accept(name, work())
    with pytest.raises(ValueError, match="built in were"):
        accept(gates.RULES, built_in | {"name": 3})


@pytest.mark.parametrize("complete", [False, True])
def test_a_run_of_few_changes_finds_just_these(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, complete: bool) -> None:
    monkeypatch.setattr(growth_steps, "CHANGES", 100)
    home = str(tmp_path / "growth")
    growth_steps.prepare(home=home, markers=2_000, complete=complete)
    assert growth_steps.copied(home=home)()() == {"modified": 100, "delivered": 100}
    monkeypatch.setattr(growth, "CHANGES", 100)
    with pytest.raises(ValueError, match="built in were"):
        growth._accept("one", {"modified": 99, "delivered": 99})


@pytest.mark.filterwarnings("ignore")  # Great Expectations imports and calls what is deprecated
def test_a_leg_brings_every_row_home_and_then_none(shop: str, tmp_path: Path) -> None:
    with crm_stub(tmp_path / "tls") as place:
        common = {"home": str(tmp_path / "leg"), "shop": shop, "rows": 2_500, **place}
        whole._accept(2_500, whole.FIRST, first := whole_ways.ours(**common, again=False)()())
        told = calls._calls(**place)
        assert first["calls"]["salesforce"] == sum(told.values()) > calls._polls(told) > 0
        whole._accept(2_500, whole.AGAIN, whole_ways.ours(**common, again=True)()())
        assert calls._calls(**place) == {}, "nothing changed, nothing is sent"
        whole._accept(2_500, whole.SCRIPT, whole_ways.script(**common)()())


def test_a_leg_that_started_its_gate_was_not_idle() -> None:
    with pytest.raises(ValueError, match="something to do"):
        idle._accept(next(iter(idle.LEGS)), {"tasks": ["extract", "map_changes", "check"]})


def test_every_further_start_of_an_idle_leg_is_paid_for() -> None:
    def track(name: str, cpu_s: float, *tasks: str) -> Track:
        return Track(name, [Sample(0.0, 0.0, 0.0, cpu_s, 100.0, {"tasks": list(tasks), "imported": []})])

    one, other = idle.LEGS
    tracks = {one: track(one, 5, "extract"), other: track(other, 6, "extract", "aggregate", "map_changes"),
              idle.EMPTY: track(idle.EMPTY, 4, "nothing"), idle.GATE: track(idle.GATE, 9, "nothing")}  # fmt: skip
    report = idle._report(tracks, 1)
    assert report.figures["cpu_s"] == {one: 5, other: 6 + 2 * 4, idle.EMPTY: 4, idle.GATE: 9}
    assert [goal.verdict for goal in report.goals[:4]] == ["reached", "reached", "MISSED", "reached"]


def test_goals_that_were_missed_are_said_plainly_in_the_evidence() -> None:
    report = Report("load", "Loading", {"rows": 10}, goals=[Goal("faster than a peer", 0.5, 4, "at least")])
    content = {
        "case": "load", "title": "Loading", "date": "2026-11-21T00:00:00", "machine": {"load_1min": 1, "cores": 2},
        "parameters": {"rows": 10}, "goals": [{**vars_of(report.goals[0]), "verdict": report.goals[0].verdict}],
        "figures": {"ours": {"samples": [sample(2.0)]}, "a peer": {"samples": [sample(1.0), sample(3.0)]}},
    }  # fmt: skip
    told = charts.section([content])
    assert "Goals reached: 0. Missed: 1." in told
    assert "Without figures so far: aggregation, " in told
    assert "| load | faster than a peer | 0.50 x | at least 4 x | **missed** |" in told
    assert "| a peer | 2.00 | 1.00 | 100 | 1.00 | 1.00 | 1.00 |" in told


def vars_of(goal: Goal) -> dict[str, Any]:
    return {name: getattr(goal, name) for name in ("text", "found", "limit", "sense", "unit")}


def sample(work_s: float) -> dict[str, float]:
    return {"work_s": work_s, "work_cpu_s": 1.0, "peak_mb": 100.0}


def test_markers_of_the_growth_case_are_those_of_its_leg(tmp_path: Path) -> None:
    growth_steps.prepare(home=str(tmp_path / "own"), markers=10_000, complete=False)
    leg = own_leg.resume(str(tmp_path / "own"))
    with leg.connect() as con:
        assert con.execute(f"SELECT count(*) FROM ({leg.site.ledger.markers_sql(leg.state)})").fetchall() == [(10_000,)]
