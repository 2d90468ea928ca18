"""Case: a storm of device events. Exactly the oracle's offers, carts and stock levels, few writes, flat memory."""

from __future__ import annotations

import shutil
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

from benchmarks import measure, records, simulated, storm_flows
from benchmarks.measure import Contender, Sample
from benchmarks.results import Goal, Report, table
from demo.simulated import is_write

DEVICES = 10_000
FLAT = 1.5
WRITES = 1.05
Found = dict[str, Any]


@dataclass
class Storm:
    """All rounds of one storm. calls: writing calls the simulators counted, by route."""

    events: int
    samples: list[Sample] = field(default_factory=list)
    verdicts: list[Found] = field(default_factory=list)
    calls: Counter[str] = field(default_factory=Counter)

    def total(self, name: str) -> int:
        """Of one kind: what had to happen in all rounds."""
        return sum(verdict["results"][name] for verdict in self.verdicts)

    def writes(self, leg: str) -> int:
        return sum(sample.found[leg]["writes"] for sample in self.samples)

    @property
    def peak_mb(self) -> float:
        return max(sample.peak_mb for sample in self.samples)

    @property
    def seconds(self) -> float:
        return sum(sample.work_s for sample in self.samples)

    @property
    def wrong(self) -> int:
        return sum(len(verdict["wrong"]) for verdict in self.verdicts)


def run(*, rows: int, rounds: int, devices: int = DEVICES) -> Report:
    """A storm of ``rows`` events and one of a quarter of them, over the same devices. A storm is raged once."""
    quarter, whole = (_rage(events, devices) for events in (rows // 4, rows))
    report = Report("storm", f"{rows:,} events of {devices:,} devices in {storm_flows.BATCHES} deliveries",
                    {"rows": rows, "devices": devices})  # fmt: skip
    report.table = "\n\n".join((_rounds(whole), _results(whole), _calls(whole)))
    results, writes = _sums(whole)
    report.goals = [
        Goal(
            "rounds in which the shop was not as the oracle says", float(quarter.wrong + whole.wrong), 0, "at most", ""
        ),
        Goal("writes per result, withdrawn ones included", writes / max(results, 1), WRITES, "at most"),
        Goal(f"peak memory, {rows:,} to {rows // 4:,} events", whole.peak_mb / quarter.peak_mb, FLAT, "at most"),
    ]
    report.figures = {name: _figures(storm) for name, storm in (("quarter", quarter), ("whole", whole))}
    return report


def _rage(events: int, devices: int) -> Storm:
    """One storm with simulators of its own."""
    folder = records.DATA / "storm" / f"{events}-{devices}"
    shutil.rmtree(folder, ignore_errors=True)
    measure.say(f"  storm of {events:,} events")
    measure.prepare("storm_world:generate", folder=str(folder), events=events, devices=devices)
    storm = Storm(events)
    with simulated.simulators("--only", "sap_commerce,opentext_iot", "--seed", "empty") as (ready, _, _):
        world = {"folder": str(folder), "ready": ready}
        measure.prepare("storm_flows:fill", **world)
        for number in storm_flows.rounds():
            _round(storm, world | {"home": str(folder / "home"), "number": number})
    shutil.rmtree(folder, ignore_errors=True)
    return storm


def _round(storm: Storm, arguments: Found) -> None:
    sides = storm_flows.sides(arguments["ready"])
    for side in sides:
        side.reset_calls()
    sample = measure.run(Contender("storm", "storm_flows:play", arguments))
    for side in sides:
        storm.calls.update({route: count for route, count in side.calls().items() if is_write(route)})
    verdict = measure.prepare("storm_flows:judge", **arguments)
    storm.samples.append(sample)
    storm.verdicts.append(verdict)
    outcome = verdict["wrong"] or "as the oracle says"
    took = f"{sample.work_s:.1f} s, {sample.peak_mb:.0f} MB"
    measure.say(f"  round {arguments['number'] + 1}: {took}, {verdict['held']}, {outcome}")


def _rounds(storm: Storm) -> str:
    lines = [("round", "new events", "inbox s", *(f"{name} s" for name in storm_flows.LEGS.values()), "peak MB")]
    for number, sample in enumerate(storm.samples, 1):
        seconds = (f"{sample.found[leg]['s']:.1f}" for leg in storm_flows.LEGS)
        lines.append((str(number), f"{sample.found['new']:,}", f"{sample.found['take_s']:.1f}", *seconds,
                      f"{sample.peak_mb:.0f}"))  # fmt: skip
    return table(lines)


def _results(storm: Storm) -> str:
    lines = [("", "in the end", "results", "writes", "writes per result")]
    for leg, name in storm_flows.LEGS.items():
        results, writes = storm.total(name), storm.writes(leg)
        held = storm.verdicts[-1]["held"][name]
        lines.append((name, f"{held:,}", f"{results:,}", f"{writes:,}", f"{writes / max(results, 1):.3f}"))
    return table(lines)


def _calls(storm: Storm) -> str:
    return table(
        [
            ("writing calls at the simulators", "calls"),
            *((route, f"{count:,}") for route, count in sorted(storm.calls.items())),
        ]
    )


def _sums(storm: Storm) -> tuple[int, int]:
    """Results and writes of all kinds together."""
    return sum(map(storm.total, storm_flows.LEGS.values())), sum(map(storm.writes, storm_flows.LEGS))


def _figures(storm: Storm) -> Found:
    results, writes = _sums(storm)
    return {
        "events": storm.events, "work_s": storm.seconds, "peak_mb": storm.peak_mb, "results": results, "writes": writes,
        "rounds": [{"work_s": one.work_s, "cpu_s": one.work_cpu_s, "peak_mb": one.peak_mb, **one.found, **verdict}
                   for one, verdict in zip(storm.samples, storm.verdicts, strict=True)],
        "writing_calls": dict(storm.calls),
    }  # fmt: skip
