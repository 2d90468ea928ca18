"""Each flow, each step, each way it can go wrong there: does it end as if nothing had happened?

Flows run side by side, each in a process with simulators of its own. What is done is kept line by line in
``build/proofs``, so that a proof that was stopped goes on where it stood.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
import threading
from collections import Counter
from collections.abc import Container, Iterable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from proofs import results
from proofs.crash_stories import STORIES, STORY

ROOT = Path(__file__).parents[1]
KEPT = ROOT / "build" / "proofs"
MEMORY = Path("/dev/shm")
MOST_REPORTED = 20
FLOW_TIMEOUT_S = 12 * 3600
Line = dict[str, Any]


@dataclass(frozen=True)
class Wanted:
    """What to play. proof: the name of the result.   module: what plays a scene.   sample: cells of each flow.

    everywhere: faults at every place of a flow, not at one.   only: cells whose name has this text.
    gated: with the gates, which cost seconds to import.   bug: a known one that is put in first.
    """

    proof: str = "crashes"
    module: str = "proofs.crash_cells"
    flows: Sequence[str] = ()
    sample: int | None = None
    seed: int = 0
    jobs: int = 1
    resume: bool = False
    everywhere: bool = False
    only: str | None = None
    gated: bool = True
    bug: str | None = None
    kept: Path = KEPT

    def file(self, flow: str) -> Path:
        """Where the lines of a flow are."""
        return self.kept / self.proof / f"{flow}.jsonl"


def run(wanted: Wanted) -> int:
    """All cells that are wanted; prints and keeps the figures. 1 when one is red, or a flow could not be played."""
    kept = _kept(wanted) if wanted.resume and wanted.kept == KEPT else {}
    troubles = play(wanted, without=kept)
    lines = [line for flow in STORIES for line in read(wanted.file(flow))]
    figures = figures_of(lines, kept=kept) | {"troubles": troubles, "seed": wanted.seed}
    figures["unfinished"] = unfinished(lines, figures)
    if wanted.bug is None and wanted.only is None and wanted.kept == KEPT:
        results.keep(wanted.proof, figures)
    rows = [tuple(row.values()) for row in figures["flows"]]
    print(results.table([HEAD, *rows, ("all", *figures["total"].values())]))
    for line in figures["wrong"][:MOST_REPORTED]:
        print(f"{line['flow']}, {line['cell']}: {line['wrong'][0][:500]}")
    for flow, said in troubles.items():
        print(f"{flow} could not be played: {said}")
    print(f"\n{sentence(figures)}")
    return int(bool(figures["wrong"] or troubles))


def _kept(wanted: Wanted) -> dict[str, Line]:
    """Flow -> its row of another day. A flow that was not finished then goes on where it stood."""
    figures = results.kept(wanted.proof)
    by_flow: dict[str, list[Line]] = {}
    for line in figures.get("unfinished", []) if figures and figures["seed"] == wanted.seed else []:
        by_flow.setdefault(line["flow"], []).append(line)
    for flow, lines in by_flow.items():
        go_on_from(wanted, flow, lines)
    return whole(figures)


def go_on_from(wanted: Wanted, flow: str, lines: list[Line]) -> None:
    """Let a flow go on after what was played on another day, unless it was begun here as well."""
    file = wanted.file(flow)
    if not file.exists():
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")


def unfinished(lines: Iterable[Line], figures: Line) -> list[Line]:
    """What was played of flows that were not played whole, in brief; a red cell is to be played again."""
    done = whole(figures)
    open_lines = [line for line in lines if line["flow"] not in done and not line.get("wrong")]
    return [{name: value for name, value in line.items() if name not in ("s", "said")} for line in open_lines]


def whole(figures: Line | None) -> dict[str, Line]:
    """Flow -> its row in figures of another day, for flows whose cells were all tried then, and none was red."""
    rows = figures["flows"] if figures else []
    return {row["flow"]: row for row in rows if row["tried"] == row["cells"] > 0 and not row["red"]}


def play(wanted: Wanted, *, without: Container[str] = ()) -> dict[str, str]:
    """Play what is not done yet; gives flow -> why it could not be played."""
    (wanted.kept / wanted.proof).mkdir(parents=True, exist_ok=True)
    flows = [flow for flow in wanted.flows or STORIES if flow not in without]
    place = threading.Lock()

    def one(flow: str) -> tuple[str, str]:
        said = _flow(wanted, flow)
        with place:
            print(f"{flow}: {said or _brief(read(wanted.file(flow)))}", file=sys.stderr, flush=True)
        return flow, said

    with ThreadPoolExecutor(wanted.jobs) as pool:
        return {flow: said for flow, said in pool.map(one, flows) if said}


def _flow(wanted: Wanted, flow: str) -> str:
    """One flow, in a process that runs its story; gives what went wrong with it, in words."""
    file = wanted.file(flow)
    if not wanted.resume:
        file.unlink(missing_ok=True)
    done = [line["cell"] for line in read(file) if "cell" in line]
    asked = {"flow": flow, "module": wanted.module, "out": str(file), "sample": wanted.sample, "seed": wanted.seed,
             "done": done, "only": wanted.only or "", "gated": wanted.gated, "bug": wanted.bug,
             "everywhere": wanted.everywhere}  # fmt: skip
    memory = MEMORY if os.access(MEMORY, os.W_OK) else None
    with tempfile.TemporaryDirectory(prefix=f"proof-{flow}-", dir=memory, ignore_cleanup_errors=True) as folder:
        story = Path(folder) / "story.json"
        story.write_text(json.dumps(asked), encoding="utf-8")
        command = [sys.executable, "-m", "pytest", "-p", "proofs.crash_stories", "-p", "no:cacheprovider", "-o",
                   "addopts=", "-x", "-q", "-rs", "--tb=short", "--show-capture=no", f"--basetemp={folder}/home",
                   str(ROOT / "tests" / STORIES[flow])]  # fmt: skip
        settings = {**os.environ, STORY: str(story), "PYTHONPATH": str(ROOT), "TMPDIR": folder}
        ended = subprocess.run(command, cwd=ROOT, env=settings, text=True, capture_output=True, check=False,
                               timeout=FLOW_TIMEOUT_S)  # fmt: skip
    if ended.returncode == 0 and "played" in ended.stdout:
        return ""
    return f"{ended.stdout[-3000:]}{ended.stderr[-1000:]}".strip() or f"exit code {ended.returncode}"


def read(file: Path) -> list[Line]:
    """What was told of a flow; a line that was being written when the proof was stopped is left out."""
    if not file.exists():
        return []
    whole = [text for text in file.read_text(encoding="utf-8").split("\n")[:-1] if text]
    return [json.loads(text) for text in whole]


HEAD = ("flow", "http", "file", "ledger", "cells", "tried", "green", "red", "not met", "to the task's end",
        "to the leg's end", "to the run's end", "next run", "repeated writes", "s CPU")  # fmt: skip


def figures_of(lines: Iterable[Line], *, kept: Mapping[str, Line] | None = None) -> dict[str, Any]:
    """By flow and in all: I/O steps by kind, cells there are and were tried, how they ended, writes that came again.

    kept: flow -> its row from another day.
    """
    lines, kept = list(lines), kept or {}
    told = {flow: [line for line in lines if line["flow"] == flow] for flow in STORIES}
    flows = [kept.get(flow) or _of_flow(flow, told[flow]) for flow in STORIES if flow in kept or told[flow]]
    total = Counter[str]()
    for row in flows:
        total.update({name: value for name, value in row.items() if name != "flow"})
    ways = Counter((line["kind"], line["how"], bool(line["wrong"])) for line in lines if line.get("met"))
    named = {f"{kind}, {how}": [count, ways[kind, how, True]] for (kind, how, bad), count in sorted(ways.items())
             if not bad}  # fmt: skip
    names = [name for name in _of_flow("", []) if name != "flow"]
    return {
        "flows": flows, "total": {name: round(total[name]) for name in names}, "ways": named,
        "wrong": [line for line in lines if line.get("wrong")],
    }  # fmt: skip


def _of_flow(flow: str, lines: list[Line]) -> Line:
    about: Line = next((line for line in reversed(lines) if "steps" in line), {"steps": {}, "cells": 0})
    cells = list({line["cell"]: line for line in lines if "cell" in line}.values())
    met = [line for line in cells if line["met"]]
    return {
        "flow": flow, **{kind: about["steps"].get(kind, 0) for kind in ("http", "file", "ledger")},
        "cells": about["cells"], "tried": len(cells), "green": sum(not line["wrong"] for line in met),
        "red": sum(bool(line["wrong"]) for line in met), "not met": len(cells) - len(met),
        **{f"to the {place}'s end": sum(line.get("to") == place for line in met) for place in ("task", "leg", "run")},
        "next run": sum(line.get("runs", 1) > 1 for line in met),
        "repeated writes": sum(line.get("repeated", 0) for line in met),
        "s CPU": round(sum(line.get("cpu_s", 0) for line in lines)),
    }  # fmt: skip


def _brief(lines: list[Line]) -> str:
    cells = [line for line in lines if "cell" in line]
    total = next((line["cells"] for line in reversed(lines) if "cells" in line), 0)
    return f"{len(cells)} of {total} cells, {sum(line['met'] and bool(line['wrong']) for line in cells)} red"


def sentence(figures: Line) -> str:
    """The result in one line."""
    total, flows = figures["total"], [row for row in figures["flows"] if row["tried"]]
    return (
        f"{len(flows)} of {len(STORIES)} flows, {total['tried']:,} of {total['cells']:,} cells tried, "
        f"{total['green']:,} green, {total['red']:,} red, {total['not met']:,} whose step did not come again"
    )
