"""A few cells of the proof of faults; ``make prove-faults`` plays them all."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from commerce_sync import mapping_file
from proofs import crash_cells, crashes, fault_cells, fault_rules, faults
from proofs.crash_cells import Cell
from proofs.crash_scene import End
from proofs.fault_rules import FAULTS, Case, Fault

MAPPINGS = Path(__file__).parents[2] / "include" / "mappings"


def played(folder: Path, flow: str, **wanted: Any) -> list[dict[str, Any]]:
    """The cells of one flow, played by the proof as the command line does it."""
    asked = crashes.Wanted(
        proof="faults", module="proofs.fault_cells", flows=[flow], kept=folder, gated=False, **wanted
    )
    assert crashes.play(asked) == {}
    return [line for line in crashes.read(asked.file(flow)) if "cell" in line]


def test_of_a_fault_comes_what_is_documented(tmp_path: Path) -> None:
    found = played(tmp_path, "salesforce_purchase_history", only="row refused, once")
    assert [(line["outcome"], line["wrong"]) for line in found] == [("named", [])]


def test_every_fault_the_simulators_know_is_played_or_said_to_be_elsewhere(simulators: dict[str, Any]) -> None:
    """An unknown action is refused with the list of the legal ones, so a new one is noticed here."""
    import requests

    elsewhere = {name.strip() for names in fault_rules.ELSEWHERE for name in names.split(",")}
    for system in fault_rules.SYSTEMS:
        said = requests.post(f"{simulators[system]['url']}/_sim/faults", json={"action": "?"}, timeout=30).json()[
            "error"
        ]
        legal = {name.strip() for name in said.partition("legal:")[2].split(",")}
        known = {fault.spec["action"] for fault in FAULTS if fault.system == system}
        assert legal - known - elsewhere == set(), system


def test_every_rule_is_taken_once_wherever_the_seed_draws_it() -> None:
    cells = [Cell(name, f"{name} | {route}", system) for name in "ab" for system in "xy" for route in range(9)]
    chosen = fault_cells.one_of_each(cells, seed="1")
    assert sorted((cell.kind, cell.how) for cell in chosen) == [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y")]
    assert fault_cells.one_of_each(cells, seed="1") == chosen
    assert any(fault_cells.one_of_each(cells, seed=str(seed)) != chosen for seed in range(9))


def ended(**values: Any) -> End:
    known = {"markers": [("a", 1, False)], "rejects": [], "high water": None, "balanced": True, "status": "green",
             "counts": None, "reads back": False}  # fmt: skip
    leg = {name: values.pop(name) for name in list(values) if name in known}
    same: dict[str, Any] = {"look": {"a": 1}, "census": {}, "jobs": {}, "ledger": {"leg": known | leg}, "writes": 1,
                            "runs": 1, "failed": [], "said": [], "met": True}  # fmt: skip
    return End(**same | values)


@pytest.mark.parametrize(
    ("end", "outcome"),
    [
        (ended(), "none"),
        (ended(said=["load: RetryableError"]), "retried"),
        (ended(markers=[], rejects=[("a", "rejected", "LOCK")]), "named"),
        (ended(failed=["load: no"], markers=[]), "stopped"),
        (ended(markers=[]), "late"),
    ],
)
def test_what_came_of_a_fault_has_a_name(end: End, outcome: str) -> None:
    assert fault_cells.outcome_of([ended()], end) == (outcome, [])


def test_a_green_run_with_a_row_that_nobody_names_is_wrong() -> None:
    case = Case(Fault("iconik", "any", {"action": "status"}, fault_rules.ANY_BUT_LATE), {})
    _outcome, wrong = fault_cells.judged(case, [ended(later=ended())], ended(markers=[], later=ended()))
    assert wrong == ["it was late; documented: named, none, retried, stopped"]
    _outcome, wrong = fault_cells.judged(case, [ended(later=ended())], ended(balanced=False, later=ended()))
    assert wrong == ["leg is green, balanced: False"]


def test_a_leg_after_one_that_named_rows_may_have_found_less() -> None:
    def both(first: list[Any], second: list[Any], rejects: list[Any]) -> End:
        known = ended().ledger["leg"]
        return ended(ledger={"one": known | {"markers": first, "rejects": rejects}, "two": known | {"markers": second}})

    calm, row, named = both([("a", 1, False)], [("b", 2, False)], []), ("b", 2, False), [("a", "rejected", "LOCK")]
    assert fault_cells.outcome_of([calm], both([], [], named)) == ("named", [])
    assert fault_cells.outcome_of([calm], both([], [row], named)) == ("named", [])
    assert fault_cells.outcome_of([calm], both([], [row], [])) == ("late", [])
    _outcome, wrong = fault_cells.outcome_of([calm], both([], [], [("c", "rejected", "LOCK")]))
    assert wrong == ["nobody names one a"]


def test_a_row_that_is_still_missing_at_rest_is_wrong() -> None:
    case = Case(Fault("iconik", "any", {"action": "status"}, fault_rules.LASTS), {})
    gone = ended(failed=["load: no"], later=ended(markers=[]))
    _outcome, wrong = fault_cells.judged(case, [ended(later=ended())], gone)
    assert wrong == ["at rest: leg: markers [], undisturbed [('a', 1, False)]"]


def test_a_record_the_fault_touches_may_have_another_moment_at_rest_and_has_to_be_there() -> None:
    touched = Fault("sap_commerce", "rows move", {"action": "shift"}, fault_rules.PASSES | {"late"}, touches=True)
    plain = replace(touched, touches=False)
    other, missing = ended(later=ended(markers=[("a", 2, False)])), ended(later=ended(markers=[]))
    assert fault_cells.judged(Case(touched, {}), [ended(later=ended())], other) == ("none", [])
    assert len(fault_cells.judged(Case(plain, {}), [ended(later=ended())], other)[1]) == 1
    assert len(fault_cells.judged(Case(touched, {}), [ended(later=ended())], missing)[1]) == 1


@pytest.mark.parametrize(
    ("why", "wrong"),
    [
        ("leg.commit: GuardError: leg leg: 1 rejected of 1 rows is more than max_rejected allows", []),
        ("leg.load: ConfigurationError: no", ["it was stopped; documented: named"]),
    ],
)
def test_a_guard_may_stop_a_leg_all_of_whose_rows_were_refused(why: str, wrong: list[str]) -> None:
    case = Case(Fault("salesforce", "a row refused, once", {"action": "row_error"}, fault_rules.REFUSED), {})
    end = ended(failed=[why], markers=[], later=ended())
    assert fault_cells.judged(case, [ended(later=ended())], end) == ("stopped", wrong)


def test_what_depends_on_the_clock_may_be_as_in_either_undisturbed_run() -> None:
    quick, slow = ended(markers=[("a", 1, False)]), ended(markers=[("a", 1, False), ("b", 2, False)])
    assert fault_cells.outcome_of([quick, slow], slow) == ("none", [])
    assert fault_cells.outcome_of([quick], slow) == ("late", [])
    assert fault_cells.outcome_of([quick, slow], ended(markers=[("b", 2, False)])) == ("late", [])


def test_each_record_has_a_clock_of_its_own() -> None:
    quick, slow = ({"a": 1, "b": 1}, ["x"]), ({"a": 2, "b": 2}, ["x"])
    assert crash_cells.either(({"a": 1, "b": 2}, ["x"]), [quick, slow])
    assert not crash_cells.either(({"a": 1, "b": 3}, ["x"]), [quick, slow])
    assert not crash_cells.either(({"a": 1}, ["x"]), [quick, slow])
    assert not crash_cells.either(({"a": 1, "b": 2}, []), [quick, slow])


def test_high_water_that_goes_with_the_clock_is_not_compared() -> None:
    ends = [ended(**{"high water": 1}, later=ended(**{"high water": at})) for at in (1, 2)]
    crash_cells.without_clock(ends)
    assert [("high water" in end.ledger["leg"], "high water" in end.later.ledger["leg"]) for end in ends if end.later] == [
        (True, False), (True, False)]  # fmt: skip


@pytest.mark.parametrize(
    ("method", "path", "passes"),
    [("GET", "/", False), ("PATCH", "/", True), ("GET", "/sobjects/Task/describe(x)", True)],
)
def test_only_a_write_or_a_description_may_pass_when_its_answers_never_come(
    method: str, path: str, passes: bool
) -> None:
    (lost,) = [
        fault for fault in FAULTS if (fault.system, fault.name) == ("iconik", "connection lost after, and no end")
    ]
    case = Case(lost, lost.spec | {"match": {"method": method, "path": path}})
    _outcome, wrong = fault_cells.judged(case, [ended(later=ended())], ended(later=ended()))
    assert (wrong == []) is passes


def test_figures_count_what_came_of_each_fault() -> None:
    line = {"system": "iconik", "fault": "slow", "met": True, "wrong": [], "flow": "iconik_usage"}
    about = {"flow": "iconik_usage", "cells": 9, "places": 30, "routes": 2, "chosen": 2}
    lines = [about, line | {"cell": "a", "outcome": "none"}, line | {"cell": "b", "outcome": "late", "wrong": ["x"]}]
    found = faults.figures_of(lines)
    (row,) = found["faults"]
    assert (row["fault"], row["none"], row["late"], row["wrong"]) == ("iconik: slow", 1, 1, 1)
    assert faults.sentence(found) == (
        "1 of 24 flows, 2 of 9 cells tried (a rule in a flow, at one of 30 places), 2 met their fault, "
        "1 otherwise than documented"
    )


def test_cells_of_another_day_count_as_long_as_their_rule_is_the_same() -> None:
    def told(flow: str, tried: int, **last: Any) -> list[dict[str, Any]]:
        cells = [{"flow": flow, "cell": str(number), "met": True, "wrong": [], "rule": FAULTS[0].digest}
                 for number in range(tried)]  # fmt: skip
        return [{"flow": flow, "cells": 2, "places": 9, "routes": 1, "chosen": 2}, *cells[:-1], cells[-1] | last]

    lines = [*told("iconik_usage", 2), *told("iot_stock", 1), *told("iot_warranty", 2, wrong=["late"]),
             *told("salesforce_cases", 2, rule="another")]  # fmt: skip
    found = faults.by_flow({"seed": 0, "lines": lines}, seed=0)
    assert [flow for flow, own in found.items() if faults.is_whole(own)] == ["iconik_usage"]
    assert {flow: len(own) - 1 for flow, own in found.items()} == {
        "iconik_usage": 2, "iot_stock": 1, "iot_warranty": 1, "salesforce_cases": 1}  # fmt: skip
    assert faults.by_flow({"seed": 1, "lines": lines}, seed=0) == faults.by_flow(None, seed=0) == {}


def test_a_rule_that_changes_has_another_digest() -> None:
    (first, *others) = FAULTS
    assert first.digest == replace(first, may=frozenset(first.may)).digest
    assert first.digest not in {replace(first, touches=True).digest, *(other.digest for other in others)}


def test_a_fault_of_bulk_jobs_or_pages_meets_legs_that_have_them() -> None:
    flow = [mapping_file.load(MAPPINGS / "salesforce" / "order_exceptions_to_cases.yaml")]
    (bulk,), (paging,) = fault_rules.shaped(flow, "bulk"), fault_rules.shaped(flow, "paging")
    assert (bulk.target.bulk_from, bulk.sources) == (1, flow[0].sources)
    ways = {item.options.get("paging") for item in paging.sources if item.system == "sap_commerce"}
    assert ways == {"next"}
    assert fault_rules.shaped(flow, "") == flow
    assert {fault.legs for fault in FAULTS} == set(fault_rules.SHAPES)
