"""The cells of one flow: every step of its run, disturbed in every way it can be, compared with the undisturbed run."""

from __future__ import annotations

import json
import random
import time
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs.crash_scene import End, Scene, Unseen, seconds
from proofs.crash_steps import HOWS, Watch

BUSY = ("salesforce Open", "salesforce UploadComplete", "salesforce InProgress")
ENDED = ("FINISHED", "FINISHED_WITH_WARNING", "SKIPPED", "FAILED", "ABORTED", "DISCARDED")
ANOTHER_SECOND_S = 1.2
TRACES = ("jobs", "tokens", "facts", "audit", "deliveries", "InboundRequest")
"""Kinds of rows at the far sides that tell of calls, and are no records anybody's change made."""


@dataclass(frozen=True)
class Cell:
    """One step, disturbed in one way."""

    kind: str
    step: str
    how: str

    @property
    def name(self) -> str:
        return f"{self.step}: {self.how}"


def play(scene: Scene, asked: dict[str, Any]) -> None:
    """All cells that are asked for and not done yet; each result is a line of ``asked["out"]``."""
    out, began = Path(asked["out"]), seconds()
    calms = undisturbed(scene)
    calm = calms[0]
    if calm.failed or calm.said:
        raise RuntimeError(f"the undisturbed run failed: {calm.said}")
    cells = cells_of(calm.steps)
    seed = f"{asked['seed']} {asked['flow']}"
    chosen = spread([cell for cell in cells if asked["only"] in cell.name], asked["sample"], seed=seed)
    _tell(out, {"flow": asked["flow"], "steps": dict(Counter(kind for kind, _ in calm.steps)), "cells": len(cells),
                "chosen": len(chosen), "undisturbed_writes": calm.writes, "cpu_s": seconds() - began})  # fmt: skip
    for cell in _as_they_come(scene, [cell for cell in chosen if cell.name not in asked["done"]]):
        _tell(out, _one(scene, calms, cell) | {"flow": asked["flow"]})


def _as_they_come(scene: Scene, cells: list[Cell]) -> Iterator[Cell]:
    """The cells in the order of the run; the scene goes on task by task, so that each begins with its own.

    Raises RuntimeError when the run ends and cells are left: it does not come where the undisturbed one did.
    """
    while cells:
        if not scene.task:
            raise RuntimeError(f"the run ended before the task of {len(cells)} cells: {cells[0].name}")
        now = f"{scene.task} | "
        yield from [cell for cell in cells if cell.step.startswith(now)]
        cells = [cell for cell in cells if not cell.step.startswith(now)]
        if cells:
            scene.advance()


def undisturbed(scene: Scene, **how: Any) -> list[End]:
    """Ends that are all right: of a run, and of one whose legs begin in another second than the one before ended.

    A leg reads what was modified before it began, to the second; whether it meets what another leg of the same run
    wrote is up to the clock. Raises RuntimeError when a third play ends like neither, or when the story cannot look.
    """
    ends = [scene.play(Watch(), **how), scene.play(Watch(), pause_s=ANOTHER_SECOND_S, **how)]
    again = scene.play(Watch(), **how)
    for end in ends:
        must_be_seen(end)
    without_clock([*ends, again])
    if said := least(differences(end, again) for end in ends):
        raise RuntimeError(f"two undisturbed runs end differently: {said}")
    return ends


def least(said: Iterable[list[str]]) -> list[str]:
    """The shortest."""
    return min(said, key=len)


def must_be_seen(calm: End) -> None:
    """Raises RuntimeError when the story cannot look at what an undisturbed run leaves."""
    for end in (calm, calm.later):
        if end is not None and isinstance(end.look, Unseen):
            raise RuntimeError(f"the story cannot look at the far sides: {end.look.why}")


def without_clock(ends: Sequence[End]) -> None:
    """Where the far side gives no time, the high water is the moment of the run: nothing to compare.

    Nor where it is the moment of a write of the flow's own, which the next leg reads back.
    """
    for leg in ends[0].ledger:
        if len({end.ledger[leg]["high water"] for end in ends}) > 1:
            for end in ends:
                del end.ledger[leg]["high water"]
    later = [end.later for end in ends if end.later is not None]
    if later:
        without_clock(later)


def cells_of(steps: list[tuple[str, str]]) -> list[Cell]:
    """Every step in every way it can be disturbed, in the order of the run."""
    return [Cell(kind, step, how) for kind, step in steps for how in HOWS[kind]]


def spread(cells: list[Cell], sample: int | None, *, seed: str) -> list[Cell]:
    """``sample`` of the cells, as many of each kind and way as the others; all of them without it."""
    if sample is None or sample >= len(cells):
        return cells
    draw, groups = random.Random(f"cells {seed}"), dict[tuple[str, str], list[Cell]]()
    for cell in cells:
        groups.setdefault((cell.kind, cell.how), []).append(cell)
    drawn = [draw.sample(group, len(group)) for group in draw.sample(list(groups.values()), len(groups))]
    chosen: list[Cell] = []
    while len(chosen) < sample:
        chosen += [group.pop() for group in drawn if group][: sample - len(chosen)]
    return chosen


def _one(scene: Scene, calms: Sequence[End], cell: Cell) -> dict[str, Any]:
    began, cpu = time.monotonic(), seconds()
    line: dict[str, Any] = {"cell": cell.name, "kind": cell.kind, "how": cell.how}
    try:
        end = scene.play(Watch(at=cell.step, how=cell.how))
    except RuntimeError as error:
        return line | {"met": True, "wrong": [f"the play itself failed: {error}"]}
    return line | {
        "met": end.met, "wrong": least(differences(calm, end) for calm in calms),
        "repeated": max(end.writes - calms[0].writes, 0),
        "runs": end.runs, "said": end.said, "s": round(time.monotonic() - began, 2),
        "cpu_s": round(seconds() - cpu, 2),
    }  # fmt: skip


def differences(calm: End, end: End) -> list[str]:
    """What is otherwise than after the undisturbed run, in words; empty when nothing is."""
    said = [] if calm.look == end.look else [f"the far sides hold {end.look!r}, undisturbed {calm.look!r}"]
    for kind in sorted(calm.census.keys() | end.census.keys()):
        one, two = calm.census.get(kind, 0), end.census.get(kind, 0)
        if one != two and kind not in TRACES:
            said.append(f"{two} rows of {kind}, undisturbed {one}")
    said += [f"{count} remote jobs left {state}" for state, count in end.jobs.items() if _busy(state)]
    for leg, known in calm.ledger.items():
        said += _of_leg(leg, known, end.ledger[leg])
    if end.runs > 1 and len(end.failed) == end.runs:
        said.append(f"no run succeeded: {end.failed[-1]}")
    return said


def _busy(state: str) -> bool:
    system, _, name = state.partition(" ")
    return state in BUSY if system == "salesforce" else name not in ENDED


def _of_leg(leg: str, calm: dict[str, Any], end: dict[str, Any]) -> list[str]:
    names = [name for name in calm if not (name == "counts" and end[name] is None)]
    return [f"{leg}: {name} {end[name]}, undisturbed {calm[name]}" for name in names if calm[name] != end[name]]


def _tell(out: Path, line: dict[str, Any]) -> None:
    with out.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line, default=str) + "\n")
