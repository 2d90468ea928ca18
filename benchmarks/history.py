"""Case: what the monitor asks of the history, with millions of rows over many legs and a month.

The history lies as the nightly upkeep leaves it: one file per leg and side, and a few of today's runs beside it. Each
question is asked by a process's first look and again by one that has the footers in mind, as the API server does.
"""

from __future__ import annotations

import shutil
import statistics
import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

from benchmarks import records
from benchmarks.results import Goal, Report, table

LEGS, DAYS, RUNS_TODAY = 60, 30, 3
ERRORS = 0.02
NOW = datetime(2026, 11, 21, 12, tzinfo=UTC)
LIMIT_MS = 200
KEY = "leg07-00000042"
Pair = tuple[float, float]


def run(*, rows: int, rounds: int) -> Report:
    """rows: of the whole history. Every question is asked ``rounds`` times, in the first place by a fresh session."""
    home = records.DATA / f"history-{rows}"
    if not (home / "done").exists():
        shutil.rmtree(home, ignore_errors=True)
        _fill(home, rows)
        (home / "done").touch()
    first, again = _ask(home, rounds)
    report = Report("history", f"History, {rows:,} rows, {LEGS} legs, {DAYS} days", {"rows": rows, "rounds": rounds})
    lines = [("", "first ms", "median ms", "min-max ms", "cpu ms")]
    for name, found in again.items():
        clock, worked = ([pair[side] for pair in found] for side in (0, 1))
        middle, spread = statistics.median(clock), f"{min(clock):.0f}-{max(clock):.0f}"
        lines.append((name, f"{first[name][0]:.0f}", f"{middle:.0f}", spread, f"{statistics.median(worked):.0f}"))
        report.goals.append(Goal(name, middle, LIMIT_MS, "at most", " ms"))
    report.table, report.figures = table(lines), {"first": first, "again": again}
    return report


def _history(home: Path) -> Any:
    from commerce_sync.batches import Batches
    from commerce_sync.history import History

    kept = timedelta(days=DAYS)
    return History(str(home / "history"), runs=Batches(str(home / "runs")), keep_success=kept, keep_error=kept)


def _questions(home: Path) -> dict[str, Callable[[], Any]]:
    history, month = _history(home), NOW - timedelta(days=DAYS)
    return {
        "one key, all legs": lambda: history.search(key=KEY),
        "one key, one leg": lambda: history.search(key=KEY, legs=["leg07"]),
        "keys that begin with, all legs": lambda: history.search(key="leg07-0000004*"),
        "first page, newest": lambda: history.search(),
        "first page of the rejected": lambda: history.search(outcomes=["rejected"]),
        "first page of a day three weeks ago": lambda: history.search(
            since=NOW - timedelta(days=21), until=NOW - timedelta(days=20)
        ),
        "totals, a month by days": lambda: history.totals(since=month, until=NOW, step=timedelta(days=1)),
        "totals, a day by hours": lambda: history.totals(
            since=NOW - timedelta(days=1), until=NOW, step=timedelta(hours=1)
        ),
    }


def _ask(home: Path, rounds: int) -> tuple[dict[str, Pair], dict[str, list[Pair]]]:
    first: dict[str, Pair] = {}
    for name in _questions(home):
        first[name] = _timed(_questions(home)[name])
    again: dict[str, list[Pair]] = {}
    questions = _questions(home)
    for number in range(rounds + 1):
        for name, ask in questions.items():
            found = _timed(ask)
            if number:
                again.setdefault(name, []).append(found)
    return first, again


def _timed(ask: Callable[[], Any]) -> tuple[float, float]:
    """Milliseconds of a question by the clock and of CPU; it must find something."""
    began, worked = time.perf_counter(), time.process_time()
    if not ask():
        raise RuntimeError("the history has no answer to a question of this case")
    return 1000 * (time.perf_counter() - began), 1000 * (time.process_time() - worked)


def _fill(home: Path, rows: int) -> None:
    from commerce_sync.history_files import SIDES

    history = _history(home)
    with history.files.connect() as con:
        for leg in (f"leg{number:02d}" for number in range(LEGS)):
            for side in SIDES:
                count = int(rows / LEGS * (ERRORS if side == "error" else 1 - ERRORS))
                _fill_side(history, con, leg, side, count)


def _fill_side(history: Any, con: Any, leg: str, side: Any, count: int) -> None:
    """A month's hourly runs in one file, and a few runs of today in files of their own."""
    from commerce_sync.history_files import micros

    start, hours = micros(NOW - timedelta(days=DAYS)), DAYS * 24
    run = f"'scheduled__' || strftime(make_timestamp({start} + 3600000000 * (i % {hours})), '%Y-%m-%dT%H:00:00+00:00')"
    own = RUNS_TODAY * (count // hours)
    many = f"{start} + 3600000000 * (i % {hours}) AS moment, {run} AS run, "
    folder = Path(history.files.folder(leg, side)) / "merged"
    folder.mkdir(parents=True)
    last = start + 3_600_000_000 * (hours - 1)
    path = folder / f"{start}-{last}-{count - own}-bench.parquet"
    options = "(FORMAT parquet, COMPRESSION zstd, ROW_GROUP_SIZE 16384)"
    con.execute(f"COPY (SELECT {many}{_columns(leg, side)} FROM range({count - own}) AS t(i) ORDER BY key) "
                f"TO '{path}' {options}")  # fmt: skip
    for number in range(RUNS_TODAY):
        at = NOW - timedelta(minutes=10 * (number + 1))
        query = f"SELECT {_columns(leg, side)} FROM range({count // hours}) AS t(i)"
        history.files.put_run(con, leg=leg, side=side, run=f"scheduled__{at.isoformat()}", at=at, query=query)


def _columns(leg: str, side: str) -> str:
    key = f"'{leg}-' || lpad((hash(i) % 200000)::VARCHAR, 8, '0')"
    known = (
        f"{key} AS key, 'MODIFIED' AS kind, '003' || lpad(hash(i)::VARCHAR, 20, '0') AS target_id, false AS created, "
        "1 AS attempt, NULL::VARCHAR AS job, NULL::VARCHAR AS message_id"
    )
    if side == "success":
        return known
    payload = '\'{"Name": "***", "City": "Berlin", "Number": \' || i || \'}\''
    return (
        f"{known}, CASE i % 3 WHEN 0 THEN 'quarantined' ELSE 'rejected' END AS outcome, "
        "'REQUIRED_FIELD_MISSING' AS code, 'validation' AS reason_class, "
        f"'Required fields are missing: [LastName] ' || i AS reason, {payload} AS payload"
    )
