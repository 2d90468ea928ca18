"""Case: pages of orders with entries, from bytes to a table."""

from __future__ import annotations

from benchmarks import measure
from benchmarks.decoding_ways import ENTRIES, PAGE_ROWS, PAGES
from benchmarks.measure import Contender, Found
from benchmarks.results import Goal, Report, track_figures, track_table

OURS, ARROW, NORMALIZE = "ours, typed decode to Arrow", "json, dicts, Arrow", "json + json_normalize"
ENTRIES_BY_NAME = {OURS: "ours", ARROW: "json_arrow", NORMALIZE: "normalize", "limit: msgspec to dicts": "parse_only"}


def run(*, rows: int, rounds: int) -> Report:
    """20 pages of 1,000 orders whatever ``rows`` says: pages are all alike."""
    contenders = [Contender(name, f"decoding_ways:{entry}") for name, entry in ENTRIES_BY_NAME.items()]
    tracks = measure.race(contenders, rounds=rounds, accept=_accept)
    ours = tracks[OURS]
    title = f"Decoding {PAGES} pages of {PAGE_ROWS:,} orders with {ENTRIES} entries"
    report = Report("decode", title, {"rounds": rounds})
    report.table = track_table(list(tracks.values()), ours=ours)
    report.figures = track_figures(list(tracks.values()), ours=ours)
    limits = {ARROW: 5.0, NORMALIZE: 8.0}
    report.goals = [
        Goal(f"faster than {name}", tracks[name].ratio(ours, "work_s"), limit, "at least")
        for name, limit in limits.items()
    ]
    return report


def _accept(name: str, found: Found) -> None:
    wanted = {"rows": PAGES * PAGE_ROWS, "entries": PAGES * PAGE_ROWS * ENTRIES}
    if found != wanted:
        raise ValueError(f"made {found}, the pages hold {wanted}")
