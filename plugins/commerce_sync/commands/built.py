"""What the commands share: the flows in the DAG files, tables, names of runs."""

from __future__ import annotations

import os
import runpy
import sys
from argparse import Namespace
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from commerce_sync.errors import ConfigurationError, SyncError


def run_id(kind: str) -> str:
    """A fresh name of a run."""
    return f"{kind}__{datetime.now(UTC):%Y-%m-%dT%H:%M:%S.%f}"


def chosen_mappings(options: Namespace) -> list[Any]:
    """Mappings of the flow asked for, or of one leg of it. Raises ConfigurationError with the names there are."""
    built, broken = built_flows(options)
    if options.flow not in built:
        show_broken(broken)
        raise ConfigurationError(f"no flow {options.flow!r}; there are: {', '.join(built) or 'none'}")
    mappings = [item for stage in built[options.flow] for item in stage]
    chosen = [item for item in mappings if options.leg in (None, item.leg)]
    if not chosen:
        raise ConfigurationError(
            f"flow {options.flow} has no leg {options.leg!r}; it has: {', '.join(item.leg for item in mappings)}"
        )
    return chosen


def built_flows(options: Namespace) -> tuple[dict[str, Any], list[str]]:
    """Flow -> stages of mappings, from the DAG files; and what is wrong with the files that are missing."""
    os.environ.setdefault("AIRFLOW__CORE__DAGS_FOLDER", str(Path(options.dags).resolve()))
    from commerce_sync.flow import BUILT

    broken = []
    for path in sorted(Path(options.dags).glob("*.py")):
        try:
            runpy.run_path(str(path))
        except SyncError as error:
            broken.append(f"{path}: {error}")
    return dict(BUILT), broken


def show_broken(broken: list[str]) -> int:
    """Print what is broken; 1 when something is."""
    for fault in broken:
        print(f"BROKEN  {fault}", file=sys.stderr)
    return 1 if broken else 0


def table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> None:
    """Print rows under their heads."""
    widths = [max(len(row[at]) for row in (head, *rows)) for at in range(len(head))]
    for row in (head, *rows):
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
