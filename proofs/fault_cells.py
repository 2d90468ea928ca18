"""One flow against every fault it can meet: did what is documented come of it, is every row accounted for?"""

from __future__ import annotations

import json
import re
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from proofs.crash_cells import Cell, by_key, differences, either, spread, undisturbed
from proofs.crash_scene import End, Scene, seconds
from proofs.crash_steps import Watch, plain
from proofs.fault_rules import Case, cases, shaped

PLAIN_REPLAY = ["replay", "complete", "complete"]
CALM = ["complete", "complete"]
GREEN = "green"


def play(scene: Scene, asked: dict[str, Any]) -> None:
    """All cases that are asked for and not done yet; each result is a line of ``asked["out"]``."""
    out, calls = Path(asked["out"]), list[tuple[str, str, str]]()
    calms = undisturbed(scene, rest=lambda _end: CALM, calls=True)
    found = _cases(scene, calms[0], calls)
    by_name = {case.name: case for case in found}
    cells = [Cell(case.fault.name, case.name, case.fault.system) for case in found]
    seed = f"{asked['seed']} {asked['flow']}"
    wanted = cells if asked["everywhere"] or asked["only"] else one_of_each(cells, seed=seed)
    chosen = spread([cell for cell in wanted if asked["only"] in cell.step], asked["sample"], seed=seed)
    _tell(out, {"flow": asked["flow"], "cells": len(wanted), "places": len(cells),
                "routes": len({call[1:] for call in calls}), "chosen": len(chosen)})  # fmt: skip
    for cell in chosen:
        if cell.step not in asked["done"]:
            _tell(out, _one(scene, calms, by_name[cell.step]) | {"flow": asked["flow"]})


def one_of_each(cells: list[Cell], *, seed: str) -> list[Cell]:
    """Every rule the flow can meet, at one of its places, which the seed draws."""
    return spread(cells, len({(cell.kind, cell.how) for cell in cells}), seed=seed)


def _cases(scene: Scene, seen: End, calls: list[tuple[str, str, str]]) -> list[Case]:
    """What the flow can meet, going by the calls of an undisturbed run."""
    calls += seen.calls
    routes = list(dict.fromkeys((system, method, _pattern(path)) for system, method, path in calls))
    objects = list(dict.fromkeys(item.target.object for item in scene.mappings if item.target.system == "salesforce"))
    steps = [step for kind, step in seen.steps if kind == "http"]
    by_system: dict[str, list[str]] = {}
    for system, method, path in calls:
        name = f"{method} {plain(path)} #"
        by_system.setdefault(system, []).extend(step for step in steps if name in step)
    return cases(routes, objects, called=lambda system: list(dict.fromkeys(by_system.get(system, []))),
                 systems=list(by_system))  # fmt: skip


def _pattern(path: str) -> str:
    """A regular expression for a path and those that differ in what is drawn."""
    return "^" + ".+".join(re.escape(part) for part in plain(path).split("*")) + r"(\?|$)"


def _one(scene: Scene, calms: Sequence[End], case: Case) -> dict[str, Any]:
    began, cpu = time.monotonic(), seconds()
    line: dict[str, Any] = {"cell": case.name, "system": case.fault.system, "fault": case.fault.name,
                            "rule": case.fault.digest}  # fmt: skip
    side = scene.of(case.fault.system)

    def post() -> None:
        side.fault(**case.spec)

    def clear() -> int:
        hits = 1 if case.at else sum(rule["hits"] for rule in side.control("GET", "faults")["rules"])
        side.clear_faults()
        return hits

    def rest(end: End) -> list[str]:
        return PLAIN_REPLAY if any(known["rejects"] for known in end.ledger.values()) else CALM

    try:
        on = Watch(at=case.at, act=post) if case.at else Watch()
        end = scene.play(on, before=None if case.at else post, after=clear, rest=rest,
                         mappings=shaped(scene.mappings, case.fault.legs))  # fmt: skip
    except RuntimeError as error:
        return line | {"met": True, "wrong": [f"the play itself failed: {error}"], "outcome": "?"}
    outcome, wrong = judged(case, calms, end)
    return line | {
        "met": bool(end.met if case.at else end.hits), "outcome": outcome, "wrong": wrong, "said": end.said[:3],
        "failed": end.failed, "s": round(time.monotonic() - began, 2), "cpu_s": round(seconds() - cpu, 2),
    }  # fmt: skip


def judged(case: Case, calms: Sequence[End], end: End) -> tuple[str, list[str]]:
    """What came of it, and what is wrong with that. calms: ends of undisturbed runs; each is right."""
    outcome, wrong = outcome_of(calms, end)
    may = case.may | ({"stopped"} if "named" in case.may and _all_were_refused(end) else set())
    if outcome not in may:
        wrong.append(f"it was {outcome}; documented: {', '.join(sorted(may))}")
    if end.later is None:
        return outcome, [*wrong, "no run followed"]
    if end.later.failed:
        wrong.append(f"the fault is gone, and a run still failed: {end.later.failed[-1]}")
    calm_later, later = [calm.later for calm in calms if calm.later is not None], end.later
    if case.fault.touches:
        calm_later, later = [_by_keys(calm) for calm in calm_later], _by_keys(later)
    rest = differences(calm_later, later)
    moved = (": counts ", ": high water ") if case.fault.touches else (": counts ",)
    wrong += [f"at rest: {said}" for said in rest if not any(name in said for name in moved)]
    return outcome, wrong


def _by_keys(end: End) -> End:
    """With markers by key alone: a leg that sends when a record was modified sends another moment of a touched one."""
    ledger = {leg: known | {"markers": [(key, None, gone) for key, _, gone in known["markers"]]}
              for leg, known in end.ledger.items()}  # fmt: skip
    return replace(end, ledger=ledger)


def _all_were_refused(end: End) -> bool:
    """A leg that could deliver nothing of what it had to send is red: its guard names the reasons and stops the run."""
    return bool(end.failed) and all("GuardError" in why and "max_rejected" in why for why in end.failed)


def outcome_of(calms: Sequence[End], end: End) -> tuple[str, list[str]]:
    """Of the run the fault hit. A green run that left a row unaccounted for is wrong whatever is documented.

    A leg that comes after one that named rows may have found less to do; what it missed is looked for at rest.
    """
    if end.failed:
        return "stopped", []
    wrong, unnamed, others_named = [], list[str](), False
    for leg, known in end.ledger.items():
        if not known["balanced"] or known["status"] not in (GREEN, "red"):
            wrong.append(f"{leg} is {known['status']}, balanced: {known['balanced']}")
        named = {key for key, *_ in known["rejects"]}
        missing = set.intersection(*(_otherwise(calm.ledger[leg], known) for calm in calms)) - named
        unnamed += [] if others_named else [f"{leg} {key}" for key in sorted(missing)]
        others_named |= all(known["rejects"] != calm.ledger[leg]["rejects"] for calm in calms)
    if others_named:
        return "named", [*wrong, *(f"nobody names {row}" for row in unnamed)]
    if unnamed or not either(end.look, [calm.look for calm in calms]):
        return "late", wrong
    return ("retried" if end.said else "none"), wrong


def _otherwise(calm: dict[str, Any], known: dict[str, Any]) -> set[str]:
    """Keys whose marker is another one, or only in one of both."""
    was, now = by_key(calm["markers"]), by_key(known["markers"])
    return {key for key in was.keys() | now.keys() if was.get(key) != now.get(key)}


def _tell(out: Path, line: dict[str, Any]) -> None:
    with out.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line, default=str) + "\n")
