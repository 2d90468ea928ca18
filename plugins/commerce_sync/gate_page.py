"""What a gate found, and the page that shows it to a person.

The page is one file without scripts, fonts or pictures from anywhere: it opens from a folder, a bucket or an e-mail.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

import fsspec
import jinja2

from commerce_sync.batches import safe_name

BRIEF_BYTES = 4096
NAME_LENGTH = 80
PAGE = "gate.html"
TEMPLATES = Path(__file__).parent / "templates"


@dataclass(frozen=True, slots=True)
class CheckResult:
    """What one check found.

    name: expectation class, or the row rule's name.   part: what it looked at; ``limit`` is the quarantine limit.
    detail: its arguments or its SQL.   checked, failed: rows; both 0 for a check that judges the batch as a whole,
    which then has ``observed``.   on_fail: what a failure did; a check that cannot name rows always stops.
    examples: at most five values of failing rows, personal ones masked.
    """

    name: str
    part: Literal["source", "changes", "rows", "limit"]
    columns: tuple[str, ...]
    detail: str
    checked: int
    failed: int
    passed: bool
    on_fail: Literal["quarantine", "stop"]
    observed: str = ""
    examples: tuple[str, ...] = ()

    @property
    def percent(self) -> float:
        """Failed rows in percent of checked rows."""
        return round(100 * self.failed / self.checked, 2) if self.checked else 0.0

    @property
    def outcome(self) -> Literal["passed", "quarantined", "stopped"]:
        """What the check led to."""
        if self.passed:
            return "passed"
        return "stopped" if self.on_fail == "stop" else "quarantined"

    def describe(self) -> dict[str, Any]:
        """The JSON of one line of ``GateResult.brief``: counts, no values of any row."""
        return {
            "name": self.name[:NAME_LENGTH],
            "columns": ", ".join(self.columns)[:NAME_LENGTH],
            "checked": self.checked,
            "failed": self.failed,
            "percent": self.percent,
            "outcome": self.outcome,
        }


@dataclass(frozen=True, slots=True)
class GateResult:
    """What a gate found in one run of a leg.

    changes: rows of the change batch.   quarantined: keys set aside.   allowed: how many may be, None without limit.
    stopped: why the leg stops, empty when it goes on.   page: where the page for people is.
    """

    leg: str
    run: str
    changes: int
    quarantined: int
    allowed: int | None
    results: tuple[CheckResult, ...]
    stopped: str
    page: str
    seconds: float

    @property
    def verdict(self) -> Literal["passed", "quarantined", "stopped"]:
        """What the gate decided, in one word."""
        if self.stopped:
            return "stopped"
        return "quarantined" if self.quarantined else "passed"

    def brief(self) -> dict[str, Any]:
        """What may travel in XCom: at most 4 KB of JSON; of many failed checks, those with the most failing rows."""
        failed = sorted((r for r in self.results if not r.passed), key=lambda r: -r.failed)
        brief: dict[str, Any] = {
            "verdict": self.verdict,
            "changes": self.changes,
            "quarantined": self.quarantined,
            "checks": len(self.results),
            "failed": len(failed),
            "page": self.page[:1000],
            "seconds": round(self.seconds, 3),
            "top": [result.describe() for result in failed[:10]],
        }
        while brief["top"] and len(json.dumps(brief).encode()) > BRIEF_BYTES:
            brief["top"].pop()
        return brief


def address(pages: Path | str, *, leg: str, run: str) -> str:
    """Where the page of a run is: ``<pages>/<leg>/<run>/gate.html``; ``pages`` is a folder or an fsspec URL."""
    return f"{str(pages).rstrip('/')}/{safe_name(leg)}/{safe_name(run)}/{PAGE}"


def write(result: GateResult) -> None:
    """Write the page to ``result.page``, replacing the one of an earlier try."""
    fs, path = fsspec.core.url_to_fs(result.page)
    fs.makedirs(path.rpartition("/")[0], exist_ok=True)
    with fs.open(path, "wb") as sink:
        sink.write(render(result).encode("utf-8"))


def render(result: GateResult) -> str:
    """The page as HTML; everything that came from data is escaped."""
    loader = jinja2.FileSystemLoader(TEMPLATES)
    environment = jinja2.Environment(loader=loader, autoescape=True, undefined=jinja2.StrictUndefined, trim_blocks=True)
    environment.filters["count"] = _count
    return environment.get_template("gate.html.j2").render(gate=result, results=_worst_first(result.results))


def _worst_first(results: tuple[CheckResult, ...]) -> list[CheckResult]:
    order = {"stopped": 0, "quarantined": 1, "passed": 2}
    return sorted(results, key=lambda r: (order[r.outcome], -r.failed))


def _count(number: int) -> str:
    """1234567 as 1 234 567, with spaces that do not break the line."""
    return f"{number:,}".replace(",", "\u202f")
