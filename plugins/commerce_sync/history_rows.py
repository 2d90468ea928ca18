"""The rows of the history as SQL, and which files a question has to look at."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.history_files import HistoryFile, Side, micros, paths_sql, place, place_sql

if TYPE_CHECKING:
    import duckdb

OUTCOMES = ("delivered", "rejected", "unprocessed", "quarantined", "held", "dismissed", "edited", "retried")
"""What became of a record in a run; the last three: what a person said about it."""
LARGE_ROWS = 1_000_000
MANY = 3
FIRST_LOOK = 24
"""So many of the newest files are looked at first when the newest rows are asked for."""
SUCCESS_COLUMNS = ("key", "kind", "target_id", "created", "attempt", "job", "message_id")
ERROR_COLUMNS = (*SUCCESS_COLUMNS, "outcome", "code", "reason_class", "reason", "payload")
_SHOWN = """key, kind, {outcome}, target_id, created, {reasons}, attempt, job, message_id"""


def columns(side: Side, *, payload: bool = True) -> tuple[str, ...]:
    columns = SUCCESS_COLUMNS if side == "success" else ERROR_COLUMNS
    return tuple(name for name in columns if payload or name != "payload")


def shown(side: Side) -> str:
    """SQL of a message's columns after leg and run."""
    if side == "error":
        return _SHOWN.format(outcome="outcome", reasons="code, reason_class, reason")
    none = "NULL::VARCHAR AS code, NULL::VARCHAR AS reason_class, NULL::VARCHAR AS reason"
    return _SHOWN.format(outcome="'delivered' AS outcome", reasons=none)


def rows(
    con: duckdb.DuckDBPyConnection, files: Sequence[HistoryFile], columns: Sequence[str], *, named: bool = True
) -> str:
    """SQL of the rows of files of one side, with ``moment``, ``leg``, ``run``; those of a run's file stand in its name.

    named: False gives leg and run only where they cost nothing.
    """
    import pyarrow as pa

    con.register("history_files", pa.table({
        "path": [place(item.path) for item in files], "leg": [item.leg for item in files],
        "run": pa.array([item.run for item in files], pa.string()),
        "moment": pa.array([micros(item.last) for item in files], pa.int64()),
    }))  # fmt: skip
    shown = ", ".join(("", *columns))
    parts = []
    for own in (True, False):
        chosen = [item for item in files if (item.run is not None) == own]
        if chosen and not own and not named:
            parts.append(f"SELECT moment, NULL AS leg, NULL AS run{shown} FROM read_parquet({paths_sql(chosen)})")
        elif chosen:
            at = "f.moment, f.leg, f.run" if own else "r.moment, f.leg, r.run"
            parts.append(f"""SELECT {at}{shown} FROM read_parquet({paths_sql(chosen)}, filename = true) AS r
                JOIN history_files AS f ON f.path = {place_sql(chosen, "r.filename")}""")
    return " UNION ALL ".join(parts)


def narrowed(
    con: duckdb.DuckDBPyConnection, files: Sequence[HistoryFile], condition: str, values: list[Any], most: int
) -> list[HistoryFile]:
    """Without the files of many runs in which none of the newest ``most`` rows lies.

    Their rows are ordered by key, so that reading a few new ones in full costs as much as reading all; looking at their
    moments alone is cheap.
    """
    many = {place(item.path): item for item in files if item.run is None}
    if len(many) < MANY:
        return list(files)
    counts = con.execute(
        f"""SELECT moment, {place_sql(files, "filename")} AS place, count(*)
        FROM read_parquet({paths_sql(list(many.values()))}, filename = true)
        WHERE {condition.replace("outcome IN", "'delivered' IN") if _is_success(files) else condition}
        GROUP BY ALL ORDER BY moment DESC, place LIMIT {2 * most}""", values,
    ).fetchall()  # fmt: skip
    kept: set[str] = set()
    rows = 0
    for _at, path, count in counts:
        if rows >= 2 * most:
            break
        kept.add(path)
        rows += count
    return [item for item in files if item.run is not None or place(item.path) in kept]


def _is_success(files: Sequence[HistoryFile]) -> bool:
    return files[0].side == "success"


def known(outcomes: Sequence[str]) -> tuple[str, ...]:
    if unknown := sorted(set(outcomes) - set(OUTCOMES)):
        raise ConfigurationError(f"history: no outcome {', '.join(unknown)}; there are: {', '.join(OUTCOMES)}")
    return tuple(outcomes)


def condition(
    key: str | None,
    outcomes: Sequence[str],
    since: datetime | None,
    until: datetime | None,
    *,
    keys: Sequence[str] = (),
) -> tuple[str, list[Any]]:  # fmt: skip
    """SQL with its values."""
    parts: list[tuple[str, list[Any]]] = [("true", [])]
    if key is not None and key.endswith("*"):
        start = key[:-1]
        parts.append(("key >= ? AND starts_with(key, ?)", [start, start]))
    elif key is not None:
        parts.append(("key = ?", [key]))
    if keys:
        # Bounds, because the files are ordered by key and an IN alone skips fewer of their pages.
        parts.append((f"key IN ({', '.join('?' * len(keys))})", list(keys)))
    if outcomes:
        parts.append((f"outcome IN ({', '.join('?' * len(outcomes))})", list(outcomes)))
    parts += [(f"moment {sign} ?", [micros(at)]) for sign, at in ((">=", since), ("<", until)) if at is not None]
    return " AND ".join(text for text, _ in parts), [value for _, values in parts for value in values]


def newest_first(
    files: Sequence[HistoryFile], *, all_at_once: bool
) -> Iterator[tuple[list[HistoryFile], datetime | None]]:
    """Portions of the files, and how new a row of those that are left may be at most (None: none is left)."""
    ordered = sorted(files, key=lambda item: item.last, reverse=True)
    start, size = 0, len(ordered) if all_at_once else FIRST_LOOK
    while start < len(ordered):
        left = ordered[start + size :]
        yield ordered[start : start + size], left[0].last if left else None
        start, size = start + size, 2 * size


def groups(files: Sequence[HistoryFile]) -> Iterator[list[HistoryFile]]:
    """Neighbours in time that make one file together: of many runs, and not too large."""
    group: list[HistoryFile] = []
    for item in sorted(files, key=lambda item: item.last):
        if group and sum(other.rows for other in group) + item.rows > LARGE_ROWS:
            yield from [group] if len(group) > 1 else []
            group = []
        group.append(item)
    yield from [group] if len(group) > 1 else []
