"""``demo/report.json``: what the demo measured and proved, for people and for machines."""

from __future__ import annotations

import json
import platform
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from decimal import Decimal
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import TYPE_CHECKING, Any

from demo.exactness import Exactness

if TYPE_CHECKING:
    from demo.cycle import Cycle, Outcome

PACKAGES = (
    "commerce-sync",
    "apache-airflow",
    "duckdb",
    "pyarrow",
    "pandas",
    "great-expectations",
    "sqlalchemy",
)
SHOWN_DIFFERENCES = 20


@dataclass(frozen=True, slots=True)
class Check:
    """One statement the demo proves, or fails to."""

    name: str
    passed: bool
    detail: str


@dataclass(slots=True)
class Report:
    """Grows stage by stage; ``finish`` closes it."""

    scale: str
    started: str = field(default_factory=lambda: datetime.now(UTC).isoformat(timespec="seconds"))
    finished: str | None = None
    passed: bool = False
    error: str | None = None
    rows_seeded: dict[str, int] = field(default_factory=dict)
    events: dict[str, int] = field(default_factory=dict)
    arrived: dict[str, int] = field(default_factory=dict)
    cycles: list[dict[str, Any]] = field(default_factory=list)
    second_run_writes: int | None = None
    exactness: dict[str, Any] = field(default_factory=dict)
    changes: dict[str, Any] = field(default_factory=dict)
    runs_not_ours: int = 0
    checks: list[Check] = field(default_factory=list)
    seconds_per_stage: dict[str, float] = field(default_factory=dict)
    versions: dict[str, str] = field(default_factory=lambda: versions())

    def add_cycle(self, name: str, cycle: Cycle) -> None:
        """Note what one trigger set off: each flow's seconds and balances, each system's calls."""
        self.cycles.append(
            {
                "stage": name,
                "runs": [_run(outcome) for outcome in cycle.outcomes.values()],
                "approved": [item.subject for item in cycle.answers],
                "more_runs": len(cycle.more),
                "calls": {
                    system: {"total": made.total, "writes": made.writes, "by_route": made.by_route}
                    for system, made in cycle.calls.items()
                },
            }
        )

    def add_exactness(self, name: str, result: Exactness) -> None:
        """Note a comparison with the recomputation; the totals are over all comparisons."""
        values = {
            "max_difference": str(result.max_difference),
            "accounts_compared": result.accounts_compared,
            "figures_compared": result.figures_compared,
            "figures_different": len(result.differences),
            "differences": list(result.differences[:SHOWN_DIFFERENCES]),
        }
        stages = self.exactness.get("by_stage", {}) | {name: values}
        self.exactness = {
            "max_difference": str(max(Decimal(item["max_difference"]) for item in stages.values())),
            "accounts_compared": sum(item["accounts_compared"] for item in stages.values()),
            "figures_compared": sum(item["figures_compared"] for item in stages.values()),
            "figures_different": sum(item["figures_different"] for item in stages.values()),
            "by_stage": stages,
        }

    def check(self, name: str, *, passed: bool, detail: str) -> bool:
        """Note whether a statement is true."""
        self.checks.append(Check(name, passed, detail))
        return passed

    def finish(self, *, seconds_per_stage: dict[str, float], error: str | None) -> bool:
        """Close the report; it has passed when there was no error and every statement is true."""
        self.finished = datetime.now(UTC).isoformat(timespec="seconds")
        self.seconds_per_stage, self.error = dict(seconds_per_stage), error
        self.passed = error is None and bool(self.checks) and all(item.passed for item in self.checks)
        return self.passed

    def write(self, path: Path) -> None:
        """Write the report as JSON, in one step."""
        draft = path.with_suffix(".json.new")
        draft.write_text(json.dumps(asdict(self), indent=2, default=str) + "\n")
        draft.replace(path)


def _run(outcome: Outcome) -> dict[str, Any]:
    watched = outcome.watched
    return {
        "dag": watched.run.dag,
        "run_id": watched.run.run_id,
        "state": watched.run.state,
        "started_by": watched.started_by,
        "seconds": watched.run.seconds,
        "seconds_per_task": {task.name: task.seconds for task in watched.tasks},
        "legs": [balance.report() for balance in outcome.balances],
        "refused": [refusal.report() for refusal in outcome.refusals],
    }


def versions() -> dict[str, str]:
    """Versions that explain a result: Python, the machine's system and the packages that do the work."""
    found = {"python": platform.python_version(), "system": platform.platform()}
    for name in PACKAGES:
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            found[name] = "not installed"
    return found
