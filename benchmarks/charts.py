"""``python -m benchmarks charts``: a drawing for each case, and the table in docs/evidence.md, from ``results/``.

The numbers are put together here; the drawing is done by matplotlib in the peers' environment, which alone has it.
"""

from __future__ import annotations

import json
import statistics
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from benchmarks import measure, peers
from benchmarks.aggregation import FRESH
from benchmarks.results import FOLDER

IMAGES, EVIDENCE = measure.ROOT / "docs" / "images", measure.ROOT / "docs" / "evidence.md"
BEGIN, END = "<!-- speed: made by `python -m benchmarks charts` -->", "<!-- speed: end -->"
ROWS = ("detection", "decode", "extraction", "load", "contention", "aggregation", "gates", "growth", "calls",
        "anti_entropy", "idle", "whole")  # fmt: skip
"""Cases with a drawing and a place in the table, in this order."""
OWN = ("ours", "watermark", "full scan", "a leg")
"""How names of our own contenders begin."""
Bar = dict[str, Any]


def draw() -> int:
    """Write ``docs/images/bench-*.svg`` and the figures of the section Speed; 1 when the drawing failed."""
    results = [content for case in ROWS if (content := chosen(case))]
    _publish(results)
    if fault := peers.install():
        measure.say(fault)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        asked = Path(folder) / "charts.json"
        asked.write_text(json.dumps([_chart(content) for content in results]))
        command = [str(peers.python()), "-m", "benchmarks.charts_drawing", str(asked), str(IMAGES)]
        done = subprocess.run(command, cwd=measure.ROOT, capture_output=True, text=True, timeout=300, check=False)
    print(done.stdout + done.stderr, end="")
    return int(done.returncode != 0)


def chosen(case: str) -> dict[str, Any] | None:
    """The result of a case with the most rows, of those with a peer in them if there are any."""
    found = [json.loads(path.read_text()) for path in FOLDER.glob(f"{case}*.json")]
    found = [content for content in found if content["case"] == case]
    return max(found, key=lambda item: (has_peer(item), item["parameters"].get("rows") or 0), default=None)


def has_peer(content: dict[str, Any]) -> bool:
    """Whether somebody else's way was raced too."""
    return any(not bar["name"].startswith((*OWN, "limit")) for bar in bars(content))


def bars(content: dict[str, Any]) -> list[Bar]:
    """Per contender: name, value, lowest and highest, unit; memory where it was measured."""
    ways = {"calls": _of_calls, "idle": _of_idle, "contention": _of_contention, "anti_entropy": _of_anti_entropy}
    return list(ways.get(content["case"], _of_tracks)(content))


def _of_tracks(content: dict[str, Any]) -> Iterator[Bar]:
    for name, track in content["figures"].items():
        if isinstance(track, dict) and track.get("samples"):
            work = [sample["work_s"] for sample in track["samples"]]
            cpu, peak = (statistics.median(s[key] for s in track["samples"]) for key in ("work_cpu_s", "peak_mb"))
            yield {"name": name, "value": statistics.median(work), "low": min(work), "high": max(work), "cpu": cpu,
                   "memory": peak, "unit": "seconds"}  # fmt: skip


def _of_calls(content: dict[str, Any]) -> Iterator[Bar]:
    for name, calls in content["figures"][str(content["parameters"]["rows"])].items():
        total = sum(calls.values())
        yield {"name": name, "value": total, "low": total, "high": total, "unit": "calls"}


def _of_contention(content: dict[str, Any]) -> Iterator[Bar]:
    for name, found in content["figures"]["samples"].items():
        seconds, left = [one["seconds"] for one in found], statistics.median(one["left"] for one in found)
        yield {"name": name + (f" ({left:,.0f} rows left out)" if left else ""), "value": statistics.median(seconds),
               "low": min(seconds), "high": max(seconds), "unit": "seconds"}  # fmt: skip


def _of_anti_entropy(content: dict[str, Any]) -> Iterator[Bar]:
    names = {"calls": "ours, compare and repair", "bulk_calls": "a full download by Bulk query",
             "rest_calls": "a full download by REST pages"}  # fmt: skip
    for key, name in names.items():
        calls = content["figures"][key]
        yield {"name": name, "value": calls, "low": calls, "high": calls, "unit": "calls"}


def _of_idle(content: dict[str, Any]) -> Iterator[Bar]:
    costs = content["figures"]["cpu_s"] | {"5 tasks that always start": content["figures"]["always"]}
    for name, cost in costs.items():
        if cost is not None:
            yield {"name": name, "value": cost, "low": cost, "high": cost, "unit": "s of CPU"}


def _chart(content: dict[str, Any]) -> dict[str, Any]:
    return {"case": content["case"], "title": content["title"], "bars": bars(content)}


def _publish(results: list[dict[str, Any]]) -> None:
    """Put the tables between the two marks of the evidence page, if they are there."""
    text = EVIDENCE.read_text()
    before, mark, rest = text.partition(BEGIN)
    if mark:
        _, _, after = rest.partition(END)
        EVIDENCE.write_text(f"{before}{BEGIN}\n{section(results)}\n{END}{after}")


def section(results: list[dict[str, Any]]) -> str:
    """Goals first, then each case's contenders."""
    goals = [(content["case"], goal) for content in results for goal in content["goals"]]
    counts = {word: sum(goal["verdict"] == word for _, goal in goals) for word in ("reached", "MISSED", "not measured")}
    lines = [f"Goals reached: {counts['reached']}. Missed: {counts['MISSED']}. Not measured: {counts['not measured']}.",
             *_without(results)]  # fmt: skip
    lines += ["", "| case | goal | found | wanted | |", "| --- | --- | --- | --- | --- |"]
    lines += [_goal_row(case, goal) for case, goal in goals]
    for content in results:
        lines += ["", *_case(content)]
    return "\n".join(lines)


def _reference(found: list[Bar]) -> Bar:
    """The contender that the ratios are taken by: ours, as the case itself takes them."""
    ours = [bar for bar in found if bar["name"].startswith(OWN)] or found
    return next((bar for bar in ours if bar["name"] == FRESH), ours[0])


def _without(results: list[dict[str, Any]]) -> list[str]:
    absent = sorted(set(ROWS) - {content["case"] for content in results})
    return [f"Without figures so far: {', '.join(absent)}."] if absent else []


def _goal_row(case: str, goal: dict[str, Any]) -> str:
    found = "-" if goal["found"] is None else f"{goal['found']:,.2f} {goal['unit']}".strip()
    wanted = f"{goal['sense']} {goal['limit']:,g} {goal['unit']}".strip()
    verdict = "**missed**" if goal["verdict"] == "MISSED" else goal["verdict"]
    return f"| {case} | {goal['text']} | {found} | {wanted} | {verdict} |"


def _case(content: dict[str, Any]) -> Iterator[str]:
    machine, rounds = content["machine"], content["parameters"].get("rounds", 1)
    place = f"rounds: {rounds}, load {machine['load_1min']:g} on {machine['cores']} cores"
    yield f"**{content['title']}** ({content['date'][:10]}, {place})"
    yield ""
    yield f"![{content['title']}](images/bench-{content['case']}.svg)"
    yield ""
    found = bars(content)
    if not any("memory" in bar for bar in found):
        yield from ("| | |", "| --- | --- |")
        yield from (f"| {bar['name']} | {bar['value']:,.5g} {bar['unit']} |" for bar in found)
        return
    ours = _reference(found)
    yield f"| | work s | CPU s | peak MB | time / {ours['name']} | CPU | memory |"
    yield "| --- | --- | --- | --- | --- | --- | --- |"
    for bar in found:
        ratios = " | ".join(f"{bar[key] / max(ours[key], 1e-9):.2f}" for key in ("value", "cpu", "memory"))
        yield f"| {bar['name']} | {bar['value']:.2f} | {bar['cpu']:.2f} | {bar['memory']:.0f} | {ratios} |"
