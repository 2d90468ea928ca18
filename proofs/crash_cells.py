"""The cells of one flow: every step of its run, disturbed in every way it can be, compared with the undisturbed run.

A play ends with the task that was disturbed if that sends nothing and nothing that can be seen there differs: the far
sides, the ledger, what files keep, the rows it leaves to the next task. Else it ends with the leg if nothing differs
there. What comes after it would then do what it does undisturbed. Where something does differ, and in one of ``LONG``
cells in any case, the play goes on to the end of the run and is compared there.
"""

from __future__ import annotations

import json
import random
import time
import zlib
from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

from proofs.crash_scene import End, Scene, Stop, Unseen, seconds
from proofs.crash_steps import HOWS, Watch

BUSY = ("salesforce Open", "salesforce UploadComplete", "salesforce InProgress")
ENDED = ("FINISHED", "FINISHED_WITH_WARNING", "SKIPPED", "FAILED", "ABORTED", "DISCARDED")
ANOTHER_SECOND_S = 1.2
SEND_NOTHING = ("extract", "aggregate", "map_changes", "check")
"""Tasks whose whole work is what they leave to the next one."""
BY_KEY = ("markers", "rejects")
HIGH_WATER = "high water"
READ = ("read", "extracted", "unchanged", "filtered")
"""Counts of what a leg met, and had no reason to send."""
LONG = 20
"""One of so many cells is played to the end of the run whatever is seen before; its name decides which."""
TRACES = ("jobs", "tokens", "facts", "audit", "deliveries", "InboundRequest", "InboundRequestError")
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

    @property
    def leg(self) -> str:
        """The leg whose step it is."""
        return self.step.partition(".")[0]

    @property
    def task(self) -> str:
        """The task whose step it is, by leg and name."""
        return self.step.partition(" | ")[0]

    @property
    def places(self) -> list[str]:
        """Where its play may end before the run does."""
        own = [self.task] if self.task.partition(".")[2] in SEND_NOTHING else []
        return [] if self.is_long else [*own, self.leg]

    @property
    def is_long(self) -> bool:
        """Whether it is played to the end of the run in any case."""
        return zlib.crc32(self.name.encode()) % LONG == 0


def play(scene: Scene, asked: dict[str, Any]) -> None:
    """All cells that are asked for and not done yet; each result is a line of ``asked["out"]``."""
    out, began = Path(asked["out"]), seconds()
    calms = undisturbed(scene)
    calm = calms[0]
    if calm.failed or calm.said:
        raise RuntimeError(f"the undisturbed run failed: {calm.said}")
    steps = list(dict.fromkeys(step for one in calms for step in one.steps))
    cells = cells_of(steps)
    seed = f"{asked['seed']} {asked['flow']}"
    chosen = spread([cell for cell in cells if asked["only"] in cell.name], asked["sample"], seed=seed)
    _tell(out, {"flow": asked["flow"], "steps": dict(Counter(kind for kind, _ in steps)), "cells": len(cells),
                "chosen": len(chosen), "undisturbed_writes": calm.writes, "cpu_s": seconds() - began})  # fmt: skip
    there = dict[str, list[End]]()
    for cell in _as_they_come(scene, [cell for cell in chosen if cell.name not in asked["done"]]):
        for place in cell.places:
            if place not in there:
                there[place] = _undisturbed_there(scene, place)
        _tell(out, _one(scene, calms, there, cell) | {"flow": asked["flow"]})


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
    """Two ends that are right: of a run whose legs begin at the same moment, and of one with a pause before each.

    A leg reads what was modified before it began, to the second; whether it meets what another leg of the same run
    wrote is up to the clock. Raises RuntimeError when a third play ends otherwise, or when the story cannot look.
    """
    ends = [scene.play(Watch(), pause_s=pause_s, **how) for pause_s in (None, ANOTHER_SECOND_S)]
    again = scene.play(Watch(), **how)
    for end in ends:
        must_be_seen(end)
    without_clock([*ends, again])
    if said := differences(ends, again):
        raise RuntimeError(f"undisturbed runs end differently: {said}")
    return ends


def _undisturbed_there(scene: Scene, place: str) -> list[End]:
    """How undisturbed runs stand after a leg or a task; none where the story cannot look so early at what a leg did."""
    try:
        return undisturbed(scene, stops=[Stop(place)])
    except CannotLookError:
        return []


class CannotLookError(RuntimeError):
    """A record the story expects is not there."""


def must_be_seen(calm: End) -> None:
    """Raises CannotLookError when the story cannot look at what an undisturbed run leaves."""
    for end in (calm, calm.later):
        if end is not None and place_of(end) != "task" and isinstance(end.look, Unseen):
            raise CannotLookError(f"the story cannot look at the far sides: {end.look.why}")


def without_clock(ends: Sequence[End]) -> None:
    """Where the far side gives no time, the high water is the moment of the run: nothing to compare."""
    for leg in ends[0].ledger:
        if len({end.ledger[leg][HIGH_WATER] for end in ends}) > 1:
            for end in ends:
                del end.ledger[leg][HIGH_WATER]
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


def _one(scene: Scene, calms: Sequence[End], there: dict[str, list[End]], cell: Cell) -> dict[str, Any]:
    """One cell. calms: ends of undisturbed runs.   there: how they stand at the places where its play may end."""
    began, cpu = time.monotonic(), seconds()
    line: dict[str, Any] = {"cell": cell.name, "kind": cell.kind, "how": cell.how}
    stops = [Stop(place, partial(stands_as, there[place])) for place in cell.places]
    try:
        end = scene.play(Watch(at=cell.step, how=cell.how), stops=stops)
    except RuntimeError as error:
        return line | {"met": True, "wrong": [f"the play itself failed: {error}"]}
    measure = there.get(end.after, calms)
    return line | {
        "met": end.met, "wrong": differences(measure, end), "to": place_of(end),
        "repeated": max(end.writes - measure[0].writes, 0),
        "runs": end.runs, "said": end.said, "s": round(time.monotonic() - began, 2),
        "cpu_s": round(seconds() - cpu, 2),
    }  # fmt: skip


def differences(calms: Sequence[End], end: End) -> list[str]:
    """What is as after none of the undisturbed runs, in words; empty when nothing is.

    Each record has a clock of its own: one may be as after the first of them, the next one as after the second.
    """
    seen = either(end.look, [calm.look for calm in calms])
    said = [] if seen else [f"the far sides hold {end.look!r}, undisturbed {calms[0].look!r}"]
    for kind in sorted(end.census.keys() | {name for calm in calms for name in calm.census}):
        count, counts = end.census.get(kind, 0), [calm.census.get(kind, 0) for calm in calms]
        if count not in counts and kind not in TRACES:
            said.append(f"{count} rows of {kind}, undisturbed {counts[0]}")
    said += [f"{count} remote jobs left {state}" for state, count in end.jobs.items() if _busy(state)]
    for leg in end.ledger:
        said += _of_leg(leg, [calm.ledger[leg] for calm in calms], end.ledger[leg])
    if end.runs > 1 and len(end.failed) == end.runs:
        said.append(f"no run succeeded: {end.failed[-1]}")
    return said


def place_of(end: End) -> str:
    """Where a play ended: with a task, with a leg, or with the run."""
    return "task" if "." in end.after else "leg" if end.after else "run"


def stands_as(there: Sequence[End], here: End) -> bool:
    """Whether nothing that can be seen differs, nor what is kept; and a task that sends nothing has sent nothing."""
    kept = [one.stores for one in there]
    silent = place_of(here) != "task" or here.writes in [one.writes for one in there]
    return bool(there) and silent and here.stores in kept and not differences(there, here)


def either(look: Any, looks: Sequence[Any]) -> bool:
    """Whether each part of what is seen is as in one of ``looks``."""
    if look in looks:
        return True
    if isinstance(look, dict) and all(isinstance(one, dict) and one.keys() == look.keys() for one in looks):
        return all(either(part, [one[name] for one in looks]) for name, part in look.items())
    if isinstance(look, list | tuple) and all(isinstance(one, type(look)) and len(one) == len(look) for one in looks):
        return all(either(part, [one[at] for one in looks]) for at, part in enumerate(look))
    return False


def _busy(state: str) -> bool:
    system, _, name = state.partition(" ")
    return state in BUSY if system == "salesforce" else name not in ENDED


def _of_leg(leg: str, calms: Sequence[dict[str, Any]], end: dict[str, Any]) -> list[str]:
    said = []
    for name, was in calms[0].items():
        now, others = end[name], [calm[name] for calm in calms]
        if name in BY_KEY:
            now, others = by_key(now), [by_key(other) for other in others]
            keys = now.keys() | {key for other in others for key in other}
            same = all(now.get(key) in [other.get(key) for other in others] for key in keys)
        else:
            same = either(now, others) or (name == "counts" and now is None) or _further(name, end, calms)
        if not same:
            said.append(f"{leg}: {name} {end[name]}, undisturbed {was}")
    return said


def _further(name: str, end: dict[str, Any], calms: Sequence[dict[str, Any]]) -> bool:
    """Whether a leg that reads what its own flow writes met more of that than undisturbed, and did the same with it."""
    now, others = end.get(name), [calm[name] for calm in calms if calm[name] is not None]
    if not end["reads back"] or now is None or not others:
        return False
    if name == HIGH_WATER:
        return bool(now >= min(others))
    return name == "counts" and any(_read_more(now, other) for other in others)


def _read_more(counts: dict[str, int], other: dict[str, int]) -> bool:
    return all(number >= other[name] if name in READ else number == other[name] for name, number in counts.items())


def by_key(rows: Iterable[Sequence[Any]]) -> dict[Any, list[Any]]:
    """Key -> the rest of its row."""
    return {key: rest for key, *rest in rows}


def _tell(out: Path, line: dict[str, Any]) -> None:
    with out.open("a", encoding="utf-8") as lines:
        lines.write(json.dumps(line, default=str) + "\n")
