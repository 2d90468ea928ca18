"""A few cells of the proof of crashes; ``make prove-crashes`` plays them all."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from proofs import crash_cells, crash_steps, crashes
from proofs.crash_cells import Cell, cells_of, spread
from proofs.crash_scene import End
from proofs.crash_stories import STORIES
from proofs.crash_tasks import DagRun, tasks_of

ROOT = Path(__file__).parents[2]
CREATED = "POST /API/assets/v*/collections/ #1: kill after"


def played(folder: Path, flow: str, **wanted: Any) -> list[dict[str, Any]]:
    """The cells of one flow, played by the proof as the command line does it."""
    asked = crashes.Wanted(flows=[flow], kept=folder, gated=False, **wanted)
    assert crashes.play(asked) == {}
    return [line for line in crashes.read(asked.file(flow)) if "cell" in line]


def test_a_flow_killed_and_cut_off_here_and_there_ends_as_an_undisturbed_one(tmp_path: Path) -> None:
    found = played(tmp_path, "iconik_packages", sample=3)
    assert [line for line in found if line["wrong"]] == []
    assert sum(line["met"] for line in found) >= 2


def test_a_create_that_does_not_look_first_is_caught_when_it_is_killed_after_its_effect(tmp_path: Path) -> None:
    found = played(tmp_path, "iconik_packages", only=CREATED, bug="blind-creates")
    assert any("rows of collections" in said for line in found for said in line["wrong"])


@pytest.mark.parametrize(
    ("kind", "step"), [("http", "people.example/carts #1"), ("ledger", "repair_carts.load | commit RunJobs.plan")]
)
def test_a_cart_whose_making_is_cut_off_anywhere_is_taken_up_and_not_made_twice(
    tmp_path: Path, kind: str, step: str
) -> None:
    found = played(tmp_path, "iot_self_service", only=step)
    assert {(line["cell"].rpartition(": ")[2], line["met"], bool(line["wrong"])) for line in found} == {
        (how, True, False) for how in crash_steps.HOWS[kind]
    }


def test_every_flow_has_a_story() -> None:
    flows = {path.stem for path in (ROOT / "dags").glob("*.py")}
    assert set(STORIES) == {name for name in flows if not name.startswith("commerce_sync_")} - {"iot_inbox"}
    assert [name for name in STORIES.values() if not (ROOT / "tests" / name).exists()] == []


def test_a_call_a_file_and_a_transaction_are_disturbed_in_every_way_they_can_be() -> None:
    cells = cells_of([("http", "a"), ("file", "b"), ("ledger", "c")])
    assert [cell.how for cell in cells] == [how for ways in crash_steps.HOWS.values() for how in ways]


def test_a_sample_has_something_of_every_kind_and_way() -> None:
    cells = [Cell(kind, f"{kind} {number}", how) for kind, ways in crash_steps.HOWS.items() for how in ways
             for number in range(20)]  # fmt: skip
    chosen = spread(cells, 9, seed="1")
    assert len({(cell.kind, cell.how) for cell in chosen}) == len(chosen) == 9
    assert spread(cells, 9, seed="1") == chosen
    assert spread(cells, None, seed="1") == cells


def test_a_flow_that_was_played_whole_on_another_day_keeps_its_row() -> None:
    of = {"http": 1, "file": 0, "ledger": 0, "green": 4, "not met": 0, "next run": 0, "repeated writes": 0, "s CPU": 9}
    row = of | {"flow": "iconik_packages", "cells": 4, "tried": 4, "red": 0}
    rows = [row, row | {"flow": "iconik_metadata", "tried": 3}, row | {"flow": "salesforce_cases", "red": 1}]
    kept = crashes.whole({"flows": rows})
    assert kept == {"iconik_packages": row}
    assert crashes.whole(None) == {}
    found = crashes.figures_of([], kept=kept)
    assert (found["flows"], found["total"]["tried"]) == ([row], 4)


def test_a_flow_that_was_not_finished_goes_on_where_it_stood(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = {"flow": "iconik_usage", "kind": "http", "how": "kill before", "met": True, "wrong": [], "said": ["killed"]}
    lines = [{"flow": "iconik_usage", "steps": {"http": 1}, "cells": 4, "cpu_s": 1}, cell | {"cell": "a"},
             cell | {"cell": "b", "wrong": ["doubled"]}]  # fmt: skip
    told = crashes.figures_of(lines) | {"seed": 0}
    told["unfinished"] = crashes.unfinished(lines, told)
    monkeypatch.setattr(crashes.results, "kept", lambda _proof: told)
    wanted = crashes.Wanted(kept=tmp_path, resume=True)
    assert crashes._kept(wanted) == {}
    assert [line.get("cell") for line in crashes.read(wanted.file("iconik_usage"))] == [None, "a"]
    assert crashes._kept(crashes.Wanted(kept=tmp_path / "other", resume=True, seed=1)) == {}
    assert not (tmp_path / "other").exists()


def ended(**values: Any) -> End:
    known = {"markers": [("a", 1, False)], "rejects": [], "high water": None, "balanced": True, "status": "green",
             "counts": {"sent": 1}, "reads back": False}  # fmt: skip
    same: dict[str, Any] = {"look": {"a": 1}, "census": {"docs": 1}, "jobs": {}, "ledger": {"leg": known}, "writes": 1,
                            "runs": 1, "failed": [], "said": [], "met": True}  # fmt: skip
    return End(**same | values)


@pytest.mark.parametrize(
    ("back", "at", "same"), [(True, 2, True), (True, 0, False), (False, 2, False), (True, None, False)]
)
def test_a_leg_that_reads_what_its_flow_writes_may_get_further(*, back: bool, at: int | None, same: bool) -> None:
    known = ended().ledger["leg"] | {"reads back": back}
    calm, end = (ended(ledger={"leg": known | {"high water": moment}}) for moment in (1, at))
    assert (crash_cells.differences([calm], end) == []) is same


@pytest.mark.parametrize(("back", "counts", "same"), [
    (True, {"read": 3, "sent": 1}, True), (True, {"read": 3, "sent": 2}, False), (True, {"read": 1, "sent": 1}, False),
    (False, {"read": 3, "sent": 1}, False),
])  # fmt: skip
def test_such_a_leg_may_read_more_and_send_the_same(*, back: bool, counts: dict[str, int], same: bool) -> None:
    known = ended().ledger["leg"] | {"reads back": back}
    calm, end = (ended(ledger={"leg": known | {"counts": one}}) for one in ({"read": 2, "sent": 1}, counts))
    assert (crash_cells.differences([calm], end) == []) is same


@pytest.mark.parametrize(
    ("otherwise", "said"),
    [
        ({"look": {"a": 2}}, "the far sides hold"),
        ({"census": {"docs": 2}}, "2 rows of docs, undisturbed 1"),
        ({"jobs": {"salesforce Open": 1}}, "1 remote jobs left salesforce Open"),
        ({"jobs": {"iconik STARTED": 1}}, "1 remote jobs left iconik STARTED"),
    ],
)
def test_what_is_lost_doubled_or_left_at_work_makes_a_cell_red(otherwise: dict[str, Any], said: str) -> None:
    assert crash_cells.differences([ended()], ended()) == []
    assert crash_cells.differences([ended()], ended(**otherwise))[0].startswith(said)


def test_a_marker_that_did_not_move_makes_a_cell_red() -> None:
    behind = {"leg": ended().ledger["leg"] | {"markers": []}}
    assert crash_cells.differences([ended()], ended(ledger=behind)) == [
        "leg: markers [], undisturbed [('a', 1, False)]"
    ]


def test_a_play_ends_early_only_where_nothing_differs() -> None:
    there = [ended(stores={"ledger_hold": 0})]
    assert crash_cells.stands_as(there, ended(stores={"ledger_hold": 0}))
    assert not crash_cells.stands_as(there, ended(stores={"ledger_hold": 1}))
    assert not crash_cells.stands_as(there, ended(stores={"ledger_hold": 0}, census={"docs": 2}))
    assert not crash_cells.stands_as([], ended())


def test_a_task_that_sends_nothing_and_has_sent_something_is_no_place_to_end() -> None:
    sent = ended(writes=2)
    sent.after = "people_to_crm"
    assert crash_cells.stands_as([ended()], sent)
    sent.after = "people_to_crm.extract"
    assert not crash_cells.stands_as([ended()], sent)


def test_a_play_may_end_with_its_task_or_its_leg_and_one_in_twenty_goes_on_in_any_case() -> None:
    early = cells_of([("http", f"people_to_crm.check | GET /a #{at}") for at in range(500)])
    late = cells_of([("http", f"people_to_crm.load | GET /a #{at}") for at in range(500)])
    assert {tuple(cell.places) for cell in early} == {(), ("people_to_crm.check", "people_to_crm")}
    assert {tuple(cell.places) for cell in late} == {(), ("people_to_crm",)}
    assert 60 < sum(cell.is_long for cell in early) < 140


def test_a_run_that_stops_after_a_leg_has_the_tasks_of_the_ones_before_it_as_well() -> None:
    from flows.walking import legs_of

    legs = legs_of("iot_stock")
    run = DagRun(None, legs, "round-1")  # type: ignore[arg-type]
    run.stop_after(legs[1].leg)
    assert {task.mapping.leg for task in run.tasks[: run.last]} == {legs[0].leg, legs[1].leg}
    run.stop_after(f"{legs[1].leg}.extract")
    assert str(run.tasks[run.last - 1]) == f"{legs[1].leg}.extract"
    run.stop_after("")
    assert run.last == len(run.tasks)


def test_figures_count_cells_by_flow_and_by_how_they_ended() -> None:
    flow = "iconik_usage"
    line = {
        "flow": flow,
        "kind": "http",
        "how": "kill before",
        "met": True,
        "wrong": [],
        "repeated": 1,
        "runs": 1,
        "cpu_s": 1,
    }
    lines = [{"flow": flow, "steps": {"http": 2}, "cells": 8, "cpu_s": 1}, line | {"cell": "a"},
             line | {"cell": "b", "wrong": ["doubled"]}, line | {"cell": "c", "met": False}]  # fmt: skip
    found = crashes.figures_of(lines)
    assert {"tried": 3, "green": 1, "red": 1, "not met": 1, "repeated writes": 2}.items() <= found["total"].items()
    assert crashes.sentence(found).startswith("1 of 24 flows, 3 of 8 cells tried, 1 green, 1 red")
    assert [item["cell"] for item in found["wrong"]] == ["b"]


def test_a_run_has_the_tasks_of_its_dag() -> None:
    from flows.walking import legs_of

    names = [task.name for task in tasks_of(legs_of("salesforce_purchase_history"))]
    assert names == ["extract", "aggregate", "map_changes", "check", "load", "commit"]
