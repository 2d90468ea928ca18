"""Case: no false change. Pass or fail, nothing is timed."""

from __future__ import annotations

from benchmarks import measure, peers
from benchmarks.results import Goal, Report, table

WAYS = {"ours": False, "pandas": False, "polars": True, "json": False}
"""Way of hashing -> whether it lives in the peers' environment."""


def run(*, rows: int, rounds: int) -> Report:
    """Every way of hashing over every trap; rows and rounds do not matter here."""
    fault = peers.install()
    found = {
        way: measure.prepare("traps_probes:probe", peer=peer, way=way)
        for way, peer in WAYS.items()
        if not (peer and fault)
    }
    report = Report("traps", "Hash traps: equal records must have equal hashes", {}, figures=dict(found))
    lines = [("", *found)]
    lines += [(trap, *(answers[trap] for answers in found.values())) for trap in found["ours"]]
    if not fault:
        lines.append(_upgrade(report, list(found)))
    report.table = table(lines)
    failed = sum(answer != "pass" for answer in found["ours"].values())
    report.goals = [Goal("false or lost changes of ours", float(failed), 0, "at most", "")]
    return report


def _upgrade(report: Report, ways: list[str]) -> tuple[str, ...]:
    """Two versions of pandas are at hand; ours has golden values in the project's tests."""
    one, other = (measure.prepare("traps_probes:golden", peer=peer) for peer in (False, True))
    differ = [name for name in one if name != "version" and one[name] != other[name]]
    report.figures["pandas versions"] = [one, other]
    said = {"ours": "pass (golden test)", "pandas": f"FALSE CHANGE ({', '.join(differ)})" if differ else "pass"}
    return (f"upgrade, pandas {other['version']} to {one['version']}", *(said.get(way, "-") for way in ways))
