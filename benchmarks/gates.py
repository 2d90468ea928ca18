"""Case: ten checks over N changes, as the gate of a first load has them."""

from __future__ import annotations

import shutil
from collections.abc import Callable

from benchmarks import measure, records
from benchmarks.measure import Contender, Found
from benchmarks.results import Goal, Report, track_figures, track_table

MOST_ROUNDS = 3
RULES, EXPECTED = "ours, rules in SQL", "ours, ten expectations"
BOOLEAN, COMPLETE = "Great Expectations, BOOLEAN_ONLY", "Great Expectations, COMPLETE"
LIMIT = "limit: ten counts in DuckDB"
WANTED = 6


def run(*, rows: int, rounds: int) -> Report:
    """Both of our ways write the page and the quarantine, which the others do not."""
    rounds = min(rounds, MOST_ROUNDS)
    measure.prepare("records:generate", rows=rows)
    home = str(records.folder(rows) / "gates")
    built_in = measure.prepare("gates_ways:prepare", path=str(records.extract(rows, "before")), home=home)
    contenders = [
        Contender(RULES, "gates_ways:rules", {"home": home}),
        Contender(EXPECTED, "gates_ways:expected", {"home": home}),
        Contender(BOOLEAN, "gates_ways:whole_frame", {"home": home, "result_format": "BOOLEAN_ONLY"}),
        Contender(COMPLETE, "gates_ways:whole_frame", {"home": home, "result_format": "COMPLETE"}),
        Contender(LIMIT, "gates_ways:sql", {"home": home}),
    ]
    tracks = measure.race(contenders, rounds=rounds, accept=_judge(built_in))
    shutil.rmtree(home, ignore_errors=True)
    ours, expected = tracks[RULES], tracks[EXPECTED]
    report = Report("gates", f"Ten checks over {rows:,} changes", {"rows": rows, "rounds": rounds})
    report.table = track_table(list(tracks.values()), ours=ours)
    report.figures = track_figures(list(tracks.values()), ours=ours) | {"built_in": built_in}
    # The whole frame's COMPLETE result is what ours is: it names the rows.
    report.goals = [
        Goal(f"{rows:,} {label}: faster than {name}", tracks[name].ratio(track, "work_s"), WANTED, "at least")
        for label, track in (("rules", ours), ("expectations", expected))
        for name in (BOOLEAN, COMPLETE)
    ]
    return report


def _judge(built_in: Found) -> Callable[[str, Found], None]:
    def accept(name: str, found: Found) -> None:
        wanted = {column: int(rows > 0) for column, rows in built_in.items()} if name == BOOLEAN else built_in
        if found != wanted:
            raise ValueError(f"found {found}, built in were {wanted}")

    return accept
