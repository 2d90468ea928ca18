"""Each fault rule of the simulators against each flow that can meet it: does what is documented come of it?"""

from __future__ import annotations

from collections import Counter
from dataclasses import replace
from typing import Any

from proofs import crashes, results
from proofs.crash_stories import STORIES
from proofs.fault_rules import ELSEWHERE, FAULTS

OUTCOMES = ("none", "retried", "named", "stopped", "late")
HEAD = ("fault", "flows", "tried", *OUTCOMES, "wrong", "not met")
RULES = frozenset(fault.digest for fault in FAULTS)
Line = dict[str, Any]


def run(wanted: crashes.Wanted) -> int:
    """All cases that are wanted; prints and keeps the figures. 1 when anything else came of a fault than documented."""
    wanted = replace(wanted, proof="faults", module="proofs.fault_cells")
    kept = _kept(wanted) if wanted.resume and wanted.kept == crashes.KEPT else {}
    troubles = crashes.play(wanted, without=kept)
    told = {flow: kept.get(flow) or crashes.read(wanted.file(flow)) for flow in STORIES}
    lines = [line for flow in STORIES for line in told[flow]]
    figures = figures_of(lines) | {"troubles": troubles, "seed": wanted.seed, "lines": [_brief(line) for line in lines]}
    if wanted.bug is None and wanted.only is None and wanted.kept == crashes.KEPT:
        results.keep("faults", figures)
    print(results.table([HEAD, *(tuple(row.values()) for row in figures["faults"])]))
    for line in figures["wrong"][: crashes.MOST_REPORTED]:
        print(f"{line['flow']}, {line['cell']}: {'; '.join(line['wrong'])[:500]}")
    for flow, said in troubles.items():
        print(f"{flow} could not be played: {said}")
    print(f"\n{sentence(figures)}")
    return int(bool(figures["wrong"] or troubles))


def _kept(wanted: crashes.Wanted) -> dict[str, list[Line]]:
    """Flow -> its lines of another day. Of a flow with a rule that changed since, only those cells are played again."""
    told = by_flow(results.kept("faults"), seed=wanted.seed)
    for flow, lines in told.items():
        if not is_whole(lines):
            crashes.go_on_from(wanted, flow, lines)
    return {flow: lines for flow, lines in told.items() if is_whole(lines)}


def by_flow(figures: Line | None, *, seed: int) -> dict[str, list[Line]]:
    """Flow -> its lines in figures of another day, without what was wrong and cells of rules that are others now."""
    found: dict[str, list[Line]] = {}
    for line in figures["lines"] if figures and figures["seed"] == seed else []:
        if "cell" not in line or (line["rule"] in RULES and not (line["met"] and line["wrong"])):
            found.setdefault(line["flow"], []).append(line)
    return found


def is_whole(lines: list[Line]) -> bool:
    """Whether all cells of a flow were tried."""
    cells = {line["cell"] for line in lines if "cell" in line}
    about: Line = next((line for line in reversed(lines) if "routes" in line), {"cells": None})
    return len(cells) >= (about["cells"] or 1)


def _brief(line: Line) -> Line:
    """What the figures are made of; times and the words of errors stay in ``build``."""
    return {name: value for name, value in line.items() if name not in ("s", "cpu_s", "said", "failed")}


def figures_of(lines: list[Line]) -> Line:
    """By rule and in all: how many flows and places, what came of it."""
    cells = list({(line["flow"], line["cell"]): line for line in lines if "cell" in line}.values())
    about = {line["flow"]: line for line in lines if "routes" in line}
    names = list(dict.fromkeys((fault.system, fault.name) for fault in FAULTS))
    rows = [_of_rule(f"{system}: {name}", [x for x in cells if (x["system"], x["fault"]) == (system, name)])
            for system, name in names]  # fmt: skip
    return {
        "flows": len(about), "cells": sum(line["cells"] for line in about.values()), "tried": len(cells),
        "places": sum(line["places"] for line in about.values()), "met": sum(line["met"] for line in cells),
        "faults": [row for row in rows if row["tried"]],
        "outcomes": dict(Counter(line["outcome"] for line in cells if line["met"])),
        "wrong": [line for line in cells if line["wrong"] and line["met"]], "elsewhere": ELSEWHERE,
    }  # fmt: skip


def _of_rule(name: str, lines: list[Line]) -> Line:
    met = [line for line in lines if line["met"]]
    came = Counter(line["outcome"] for line in met)
    return {
        "fault": name, "flows": len({line["flow"] for line in lines}), "tried": len(lines),
        **{outcome: came[outcome] for outcome in OUTCOMES}, "wrong": sum(bool(line["wrong"]) for line in met),
        "not met": len(lines) - len(met),
    }  # fmt: skip


def sentence(figures: Line) -> str:
    """The result in one line."""
    places = f"a rule in a flow, at one of {figures['places']:,} places"
    tried = f"{figures['tried']:,} of {figures['cells']:,} cells tried ({places})"
    return (
        f"{figures['flows']} of {len(STORIES)} flows, {tried}, "
        f"{figures['met']:,} met their fault, {len(figures['wrong']):,} otherwise than documented"
    )
