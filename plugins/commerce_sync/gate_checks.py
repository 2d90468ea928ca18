"""Expectations as a gate handles them: their names and arguments, their way through chunks, what they found.

Great Expectations itself is not imported here; its classes are handed in.
"""

from __future__ import annotations

import difflib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import Any, Literal

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.gate_page import CheckResult
from commerce_sync.gate_rows import MASK, Rows
from commerce_sync.mapping import Check

COUNTS = ("ExpectTableRowCountToBeBetween", "ExpectTableRowCountToEqual")
UNIQUE = ("ExpectColumnValuesToBeUnique", "ExpectCompoundColumnsToBeUnique")
ORDERED = ("ExpectColumnValuesToBeIncreasing", "ExpectColumnValuesToBeDecreasing")
WHOLE = (
    *ORDERED,
    "ExpectColumnValueZScoresToBeLessThan",
    "ExpectColumnValuesToNotBeOutliers",
    "ExpectColumnValuesToBeOfType",
    "ExpectColumnValuesToBeInTypeList",
)
NOT_FOR_FRAMES = ("LikePattern", "Query", "OtherTable", "UnexpectedRows", "ExpectMulticolumnValuesToBeUnique")
"""Parts of names that Great Expectations 1.24 only evaluates in a database (or not at all)."""
COLUMN_ARGUMENTS = ("column", "column_A", "column_B", "column_list")
NOT_OURS = frozenset(
    (
        "id",
        "meta",
        "notes",
        "result_format",
        "catch_exceptions",
        "rendered_content",
        "severity",
        "windows",
        "batch_id",
    )
) | {"library_metadata"}
WITHOUT_DEFAULT = ("regex", "like_pattern")
"""Great Expectations fills these with a pattern that everything matches: a check without one checks nothing."""
Kind = Literal["count", "table", "rows", "unique", "whole"]
"""What an expectation needs: a row count, the columns' names, frame by frame, equal values together, all rows."""


@dataclass(slots=True)
class Tally:
    """One expectation on its way through the chunks."""

    place: int
    check: Check
    expectation: Any
    kind: Kind
    columns: tuple[str, ...]
    checked: int = 0
    missing: int = 0
    failed: int = 0
    held: bool = True
    observed: str = ""

    @property
    def passed(self) -> bool:
        """Great Expectations' own rule over all chunks: the share of good values among those there are."""
        present = self.checked - self.missing
        if not self.checked:
            return self.held
        return not present or (present - self.failed) / present >= getattr(self.expectation, "mostly", 1)

    def take(self, rows: int, *, missing: int) -> None:
        """Add rows that were proven to be good, or to have no value to judge."""
        self.checked += rows
        self.missing += missing

    def merge(self, outcome: Any, *, hidden: bool) -> list[int]:
        """Add what one frame gave; returns the positions of failing rows in it."""
        found = outcome.result
        if "element_count" not in found or "unexpected_count" not in found:
            self.held = bool(outcome.success)
            self.observed = MASK if hidden else _observed(found)
            return []
        self.checked += int(found["element_count"])
        self.missing += int(found.get("missing_count") or 0)
        self.failed += int(found["unexpected_count"])
        positions = [int(position) for position in found.get("unexpected_index_list") or ()]
        if len(positions) != int(found["unexpected_count"]):
            raise ConfigurationError(
                f"{self.check.expect} counts failing rows without naming them; use a row rule instead"
            )
        return positions


def tally(classes: dict[str, Any], *, place: int, check: Check) -> Tally:
    """An expectation ready to run; ``place`` is how its results are found again. Raises ConfigurationError."""
    wrong = faults(classes, check)
    if wrong:
        raise ConfigurationError(" ".join(wrong))
    arguments = {name: _naive(value) for name, value in check.arguments.items()}
    expectation = classes[check.expect](**arguments, meta={"place": place})
    given = (check.arguments.get(name) for name in COLUMN_ARGUMENTS)
    columns = [name for item in given if item is not None for name in ([item] if isinstance(item, str) else item)]
    kind = _kind(check)
    return Tally(place, check, expectation, kind, () if kind in ("count", "table") else tuple(columns))


def _kind(check: Check) -> Kind:
    if check.expect in COUNTS:
        return "whole" if check.arguments.get("row_condition") else "count"
    if check.expect.startswith("ExpectTable") or check.expect == "ExpectColumnToExist":
        return "table"
    if check.expect in UNIQUE:
        return "unique"
    by_row = check.expect.startswith(("ExpectColumnValue", "ExpectColumnPair", "ExpectMulticolumn", "ExpectSelect"))
    return "rows" if by_row and check.expect not in WHOLE else "whole"


def faults(classes: dict[str, Any], check: Check) -> list[str]:
    """What is wrong with an expectation's name and arguments, one sentence each."""
    cls = classes.get(check.expect)
    if cls is None:
        near = difflib.get_close_matches(check.expect, classes, n=3, cutoff=0.4) or sorted(classes)
        some = ", ".join(near)
        return [f"{check.expect!r} is not an expectation a batch can be judged with; legal are for example: {some}."]
    legal = sorted(name for name in cls.__fields__ if name not in NOT_OURS)
    unknown = [name for name in check.arguments if name not in legal]
    if unknown:
        return [f"{check.expect} has no argument {name!r}; it has: {', '.join(legal)}." for name in unknown]
    absent = [name for name in WITHOUT_DEFAULT if name in legal and name not in check.arguments]
    if absent:
        return [f"{check.expect} needs the argument {name!r}." for name in absent]
    try:
        cls(**{name: _naive(value) for name, value in check.arguments.items()})
    except (ValueError, TypeError) as error:
        return [f"{check.expect} refuses its arguments: {' '.join(str(error).split())}."]
    return []


def _naive(value: Any) -> Any:
    """Dates and times as frames hold them: naive UTC; inside lists too."""
    if isinstance(value, list | tuple):
        return [_naive(item) for item in value]
    if isinstance(value, datetime):
        return value.astimezone(UTC).replace(tzinfo=None) if value.tzinfo else value
    return datetime(value.year, value.month, value.day) if isinstance(value, date) else value


def raise_crash(rows: Rows, tally: Tally, outcome: Any) -> None:
    """An expectation that could not be evaluated says so in ``exception_info``; that is not bad data."""
    notes = outcome.exception_info or {}
    notes = [notes] if "raised_exception" in notes else list(notes.values())
    crash = next((note for note in notes if isinstance(note, dict) and note.get("raised_exception")), None)
    if crash is None:
        return
    cause = rows.cause(str(crash.get("exception_message")), columns=tally.columns)
    what = f"{tally.check.expect} on {', '.join(tally.columns) or 'the table'} of the {rows.title}"
    last = str(crash.get("exception_traceback")).strip().rpartition("\n")[2]
    if last.startswith(("MemoryError", "OSError", "numpy._core._exceptions._ArrayMemoryError")):
        raise RetryableError(f"{what} could not be evaluated: {cause}")
    raise ConfigurationError(f"{what} cannot be evaluated: {cause}; correct its arguments or the column's type")


def result(tally: Tally, rows: Rows, found: tuple[int, tuple[str, ...]] | None) -> CheckResult:
    """What an expectation found, for people."""
    return CheckResult(
        name=tally.check.expect,
        part="source" if rows.title == "source" else "changes",
        columns=tally.columns,
        detail=", ".join(f"{k}={_plain(v)}" for k, v in tally.check.arguments.items() if k not in COLUMN_ARGUMENTS),
        checked=tally.checked,
        failed=tally.failed,
        passed=tally.passed,
        on_fail=tally.check.on_fail if tally.checked and rows.has_key else "stop",
        observed=tally.observed,
        examples=found[1] if found else (),
    )


def label(result: CheckResult) -> str:
    """What stands before the values in the reason of a quarantined row."""
    return f"{result.name}: " if result.part == "rows" else f"{result.name} ({result.detail}): "


def _plain(value: Any) -> str:
    """A short text of an argument or an observed value, numpy's numbers as plain ones."""
    value = value.item() if hasattr(value, "item") and getattr(value, "ndim", 1) == 0 else value
    text = f"{value:.6g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 200 else text[:199] + "…"


def _observed(found: dict[str, Any]) -> str:
    if found.get("observed_value") is not None:
        return _plain(found["observed_value"])
    counts = ((name, found.get(f"{name}_count")) for name in ("unexpected", "missing"))
    return ", ".join(f"{count} {name} values" for name, count in counts if count)


def why(results: list[CheckResult]) -> str:
    """Why the leg stops, for a person; empty when it goes on."""
    stops = [result for result in results if result.outcome == "stopped"]
    parts = [_sentence(result) for result in stops if result.part != "limit"]
    for result in stops:
        if result.part == "limit":
            worst = sorted((r for r in results if r.outcome == "quarantined"), key=lambda r: -r.failed)[:3]
            named = "; ".join(_sentence(item) for item in worst)
            parts.insert(0, f"{result.failed} rows would be quarantined, {result.detail} may be. Most failed: {named}")
    return " ".join(parts)


def _sentence(result: CheckResult) -> str:
    where = f" on {', '.join(result.columns)}" if result.columns and result.part != "rows" else ""
    if result.checked:
        return f"{result.name}{where}: {result.failed} of {result.checked} rows failed."
    return f"{result.name}{where} ({result.detail}): found {result.observed or 'otherwise'}."
