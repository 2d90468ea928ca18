"""Case: bring new records into Salesforce and know what became of each."""

from __future__ import annotations

import json
import shutil
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import measure, peers, records
from benchmarks.measure import Contender, Found, Track
from benchmarks.results import Goal, Report, track_figures, track_table

OURS, OPERATOR = "ours, SalesforceHook.load", "Airflow SalesforceBulkOperator"
BULK2, BULK2_FILE = "simple-salesforce bulk2, records=", "simple-salesforce bulk2, csv_file="
SF_TOOLKIT, DRT = "sf-toolkit BulkApiIngestJob", "drt salesforce_bulk, counts only"
ENTRIES = {OURS: "ours", BULK2: "bulk2_records", BULK2_FILE: "bulk2_file", OPERATOR: "airflow_operator"}
INSTALLED = {SF_TOOLKIT: "sf_toolkit", DRT: "drt"}
"""Peers with an environment of their own."""


def run(*, rows: int, rounds: int) -> Report:
    """One stub for all; every contender starts from the same Parquet file."""
    measure.prepare("records:generate", rows=rows)
    home = records.folder(rows) / "load"
    measure.prepare("loading_clients:stage", path=str(records.extract(rows, "before")), home=str(home), rows=rows)
    with stub(home / "tls") as place:
        arguments = {"home": str(home), "scratch": str(home / "scratch"), **place}
        contenders = _contenders(arguments)
        tracks = measure.race(contenders, rounds=rounds, accept=lambda name, found: _accept(rows, found))
    shutil.rmtree(home, ignore_errors=True)
    ours = tracks[OURS]
    report = Report("load", f"Loading {rows:,} rows x 10 columns into a stub", {"rows": rows, "rounds": rounds})
    report.table = track_table(list(tracks.values()), ours=ours)
    report.figures = track_figures(list(tracks.values()), ours=ours)
    report.goals = _goals(rows, ours, tracks)
    return report


def _contenders(arguments: dict[str, Any]) -> list[Contender]:
    found = [Contender(name, f"loading_clients:{entry}", arguments) for name, entry in ENTRIES.items()]
    if fault := peers.install():
        measure.say(fault)
        return found
    return found + [
        Contender(name, f"loading_clients:{entry}", arguments, peer=True) for name, entry in INSTALLED.items()
    ]


def _accept(rows: int, found: Found) -> None:
    if found != {"rows": rows}:
        raise ValueError(f"accounted for {found}, sent were {rows} rows")


def _goals(rows: int, ours: Track, tracks: dict[str, Track]) -> list[Goal]:
    faster = {BULK2: 5, BULK2_FILE: 5, OPERATOR: 4} | {name: 1 for name in INSTALLED if name in tracks}
    goals = [
        Goal(f"{rows:,}: faster than {name}", tracks[name].ratio(ours, "work_s"), limit, "at least")
        for name, limit in faster.items()
    ]
    return goals + [
        Goal(f"{rows:,}: memory of {name}", tracks[name].ratio(ours, "peak_mb"), 3, "at least")
        for name in (BULK2, BULK2_FILE, OPERATOR)
    ]


@contextmanager
def stub(folder: Path) -> Iterator[dict[str, Any]]:
    """The stub in a process of its own; yields ``host`` and ``ca_file``."""
    command = [sys.executable, "-m", "benchmarks.stub_salesforce", str(folder)]
    with subprocess.Popen(
        command, cwd=measure.ROOT, env=measure.environment(), stdout=subprocess.PIPE, text=True
    ) as process:
        try:
            assert process.stdout is not None
            yield json.loads(process.stdout.readline())
        finally:
            process.terminate()
            process.wait(timeout=30)
