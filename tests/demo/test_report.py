"""The report says passed only when everything was proved."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime
from decimal import Decimal

from demo.airflow_rest import Run, Task
from demo.balances import COUNTS, MORE_COUNTS, Balance, Refusal
from demo.cycle import Cycle, Outcome
from demo.exactness import Exactness
from demo.flows import Watched
from demo.report import Report
from demo.simulated import Calls

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)


def finished(report, *, error=None):
    return report.finish(seconds_per_stage={"customers": 12.5}, error=error)


def test_a_report_without_a_single_proof_has_not_passed():
    assert not finished(Report(scale="slice"))


def test_one_wrong_statement_is_enough_to_fail():
    report = Report(scale="slice")
    report.check("a", passed=True, detail="")
    assert finished(report)
    report.check("b", passed=False, detail="3 of 4")
    assert not finished(report)


def test_an_error_fails_the_report_whatever_was_proved():
    report = Report(scale="slice")
    report.check("a", passed=True, detail="")
    assert not finished(report, error="Airflow ended")
    assert report.error == "Airflow ended"


def test_the_file_holds_counts_calls_seconds_and_exactness(tmp_path):
    report = Report(scale="full")
    counts = dict.fromkeys((*COUNTS, *MORE_COUNTS), 0) | {"extracted": 7, "sent": 7, "delivered": 7}
    balance = Balance("units", "r1", "complete", "green", True, counts, {"load": 1.5}, {}, None, date(2026, 6, 30))
    watched = Watched(Run("d", "r1", "success", NOON, NOON), (Task("units.load", "success", 2.5, 1),))
    outcome = Outcome(watched, (balance,), (Refusal("units", 2, "too_long", "name is too long"),))
    report.add_cycle("first", Cycle({"d": outcome}, {"salesforce": Calls(3, {"PATCH /x": 2})}))
    report.add_exactness("recompute", Exactness(10, 190, Decimal("0.01"), ("one",)))
    report.add_exactness("recompute all", Exactness(10, 190, Decimal("0"), ()))
    finished(report)
    report.write(tmp_path / "report.json")
    read = json.loads((tmp_path / "report.json").read_text())
    (cycle,) = read["cycles"]
    (run,) = cycle["runs"]
    assert run["legs"][0] | {"leg": "units", "delivered": 7, "balanced": True} == run["legs"][0]
    assert run["seconds_per_task"] == {"units.load": 2.5}
    assert run["legs"][0]["seconds_per_step"] == {"load": 1.5}
    assert (run["started_by"], run["refused"][0]["code"]) == ("hand", "too_long")
    assert cycle["calls"]["salesforce"] == {"total": 3, "writes": 2, "by_route": {"PATCH /x": 2}}
    assert (read["exactness"]["max_difference"], read["exactness"]["figures_compared"]) == ("0.01", 380)
    assert read["seconds_per_stage"] == {"customers": 12.5}
    assert read["versions"]["apache-airflow"].startswith("3.3")
    assert not read["passed"]
