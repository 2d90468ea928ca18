"""Case: which records of a full extract are new, modified, deleted."""

from __future__ import annotations

import shutil
from contextlib import nullcontext
from dataclasses import asdict
from functools import partial

from benchmarks import measure, peers, records
from benchmarks.aggregation import postgres
from benchmarks.measure import Contender, Found, Track
from benchmarks.results import Goal, Report, track_figures, track_table

NAIVE_ROWS = 100_000
"""Row-by-row hashing is only run up to here."""
PEER_ROWS = 1_000_000
"""Above this only ours and the limit run: the others need more memory than a small machine has."""
STAGED, WHOLE, DECODE = "ours, staged fingerprints", "ours, whole map_changes", "limit: decode to Arrow"
DLT, DATACOMPY = "dlt scd2 merge, Arrow", "datacompy, polars"
PANDAS, NAIVE = "pandas hash + merge", "json sha256 by row"
RELADIFF = "reladiff, two tables in PostgreSQL"


def run(*, rows: int, rounds: int) -> Report:
    """Prepare every contender's earlier state, race, compare the counts with what was built in."""
    measure.prepare("records:generate", rows=rows)
    expected = records.difference(rows)
    with postgres() if rows <= NAIVE_ROWS else nullcontext(None) as uri:
        contenders = _contenders(rows) + _reladiff(rows, uri)
        tracks = measure.race(contenders, rounds=rounds, accept=partial(_accept, asdict(expected), rows))
    shutil.rmtree(records.folder(rows) / "work", ignore_errors=True)
    ours, whole = tracks[STAGED], tracks[WHOLE]
    title = f"Detection, {rows:,} rows x {len(records.COLUMNS)} columns"
    report = Report("detection", title, {"rows": rows, "rounds": rounds})
    report.table = track_table(list(tracks.values()), ours=ours)
    report.figures = track_figures(list(tracks.values()), ours=ours) | {"expected": asdict(expected)}
    report.goals = _goals("staged", ours, tracks, rows) + _goals("whole", whole, tracks, rows)
    return report


def _contenders(rows: int) -> list[Contender]:
    before, after = (str(records.extract(rows, moment)) for moment in ("before", "after"))
    home = records.folder(rows) / "work"
    shutil.rmtree(home, ignore_errors=True)
    own = str(home / "own")
    measure.prepare("detection_ours:prepare", home=own, before=before, after=after, rows=rows)
    found = [
        Contender(STAGED, "detection_ours:staged", {"home": own}),
        Contender(WHOLE, "detection_ours:whole", {"home": own}),
        Contender(DECODE, "detection_peers:decode", {"after": after}),
        Contender("limit: scan, nothing handed out", "detection_peers:scan", {"after": after}),
    ]
    if rows <= PEER_ROWS:
        state = str(home / "pandas.parquet")
        measure.prepare("detection_peers:pandas_hash_state", before=before, state=state)
        found.append(Contender(PANDAS, "detection_peers:pandas_hash", {"after": after, "state": state}))
        found += _installed_peers(before, after, home=str(home))
    if rows <= NAIVE_ROWS:
        found.append(Contender(NAIVE, "detection_peers:json_sha", {"before": before, "after": after}))
    return found


def _installed_peers(before: str, after: str, *, home: str) -> list[Contender]:
    if fault := peers.install():
        measure.say(fault)
        return []
    dlt_home = f"{home}/dlt"
    measure.prepare("detection_peers:dlt_state", peer=True, before=before, home=dlt_home)
    arguments = {"after": after, "home": dlt_home, "work_home": f"{home}/dlt-work"}
    return [
        Contender(DATACOMPY, "detection_peers:datacompy_polars", {"before": before, "after": after}, peer=True),
        Contender(DLT, "detection_peers:dlt_scd2", arguments, peer=True),
    ]


def _reladiff(rows: int, uri: str | None) -> list[Contender]:
    """It compares segment by segment, or by a join that hands every row out: minutes for a million rows."""
    if uri is None or peers.install():
        return []
    before, after = (str(records.extract(rows, moment)) for moment in ("before", "after"))
    measure.prepare("detection_peers:reladiff_tables", peer=True, uri=uri, before=before, after=after)
    return [Contender(RELADIFF, "detection_peers:reladiff", {"uri": uri}, peer=True)]


def _accept(expected: dict[str, int], rows: int, name: str, found: Found) -> None:
    if "rows" in found:
        wanted = {"rows": rows + expected["new"] - expected["deleted"]}
    else:
        wanted = {kind: expected[kind] for kind in ("new", "modified", "deleted")}
    if found != wanted:
        raise ValueError(f"found {found}, built in were {wanted}")


def _goals(label: str, ours: Track, tracks: dict[str, Track], rows: int) -> list[Goal]:
    limits = {DLT: 10, DATACOMPY: 4, PANDAS: 6} | ({NAIVE: 40, RELADIFF: 80} if rows <= NAIVE_ROWS else {})
    goals = [
        Goal(f"{rows:,} {label}: faster than {name}", tracks[name].ratio(ours, "work_s"), limit, "at least")
        for name, limit in limits.items()
        if name in tracks
    ]
    goals.append(Goal(f"{rows:,} {label}: time of the decode", ours.ratio(tracks[DECODE], "work_s"), 3, "at most"))
    if rows == 1_000_000 and ours.samples:
        goals.append(Goal(f"{rows:,} {label}: peak memory", ours.median("peak_mb"), 300, "at most", "MB"))
    return goals
