"""The history of every record: what was sent, refused, set aside or held, one row per record and run.

    history.write(con, leg=..., run=..., at=..., delivered=file, refused=query)   # at commit
    history.search(key="C0042")                                                   # newest first
    history.payload("customers_to_contacts", run, "C0042")                        # what was sent, masked

Rows lie in Parquet, successes and errors apart, because they are kept for different times (see ``history_files``).
The payload of an error lies with it; that of a success is read from the run's change batch for as long as there is one.
"""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from commerce_sync import history_rows as sql
from commerce_sync.batches import Batches
from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.history_files import (
    EPOCH,
    SIDES,
    HistoryFile,
    HistoryFiles,
    Side,
    from_micros,
    micros,
    paths_sql,
    place,
    place_sql,
)

if TYPE_CHECKING:
    import duckdb

MASK = "***"
PERSONAL = "personal"
"""Fact of a change batch: the names of its fields that hold personal data."""
CHANGES = "changes"
MANY_FILES, SMALL_ROWS = 4, 50_000
TRIES = 5
OUTCOMES, ERROR_COLUMNS = sql.OUTCOMES, sql.ERROR_COLUMNS

Outcome = Literal["delivered", "rejected", "unprocessed", "quarantined", "held", "dismissed", "edited", "retried"]
Found = TypeVar("Found")


@dataclass(frozen=True, slots=True)
class Message:
    """What became of one record in one run. ``created``: whether the target made it anew, None when it does not say.

    run: the ledger's name of the run, ``desk-N`` for what a person said.   attempt: how often this payload was
    tried.   job: the far side's id of the job it travelled in.   message_id: SAP Commerce's integrationMessageId.
    """

    at: datetime
    leg: str
    run: str
    key: str
    kind: str
    outcome: Outcome
    target_id: str | None
    created: bool | None
    code: str | None
    reason_class: str | None
    reason: str | None
    attempt: int
    job: str | None
    message_id: str | None


@dataclass(frozen=True, slots=True)
class Total:
    """Rows of one outcome from ``at`` on, as long as a step lasts."""

    at: datetime
    outcome: Outcome
    rows: int


class History:
    """The history below one folder or fsspec URL.

    runs: the batches of the runs, where payloads of successes lie.   keep_success, keep_error: what ``sweep`` leaves.
    """

    def __init__(self, root: str, *, runs: Batches, keep_success: timedelta, keep_error: timedelta) -> None:
        self.files = HistoryFiles(root)
        self._runs = runs
        self._keep: dict[Side, timedelta] = {"success": keep_success, "error": keep_error}
        self._lock = threading.Lock()
        self._session: tuple[int, duckdb.DuckDBPyConnection] | None = None

    # Writing

    def write(
        self, con: duckdb.DuckDBPyConnection, *, leg: str, run: str, at: datetime, delivered: tuple[str, int] | None,
        refused: str,
    ) -> None:  # fmt: skip
        """Keep what became of a run's records; written again it takes the place of what was written before.

        delivered: path of a Parquet file ordered by key that has ``SUCCESS_COLUMNS``, and its rows; it is copied.
        refused: SQL with ``ERROR_COLUMNS``.
        """
        if delivered is not None and delivered[1]:
            self.files.take_run(delivered[0], leg=leg, side="success", run=run, at=at, rows=delivered[1])
        else:
            self.files.drop_run(leg=leg, side="success", run=run)
        self.put_errors(con, leg=leg, run=run, at=at, rows=refused)

    def put_errors(self, con: duckdb.DuckDBPyConnection, *, leg: str, run: str, at: datetime, rows: str) -> None:
        """The error side of ``write`` alone."""
        if con.execute(f"SELECT count(*) FROM ({rows})").fetchall()[0][0]:
            self.files.put_run(con, leg=leg, side="error", run=run, at=at, query=rows)
        else:
            self.files.drop_run(leg=leg, side="error", run=run)

    def merge(self, leg: str) -> int:
        """Put many small files of a leg together; gives how many files went. Killed anywhere, no row is lost."""
        gone = 0
        for side in SIDES:
            small = [item for item in self.files.listed(leg, side) if item.rows < SMALL_ROWS]
            if len(small) >= MANY_FILES:
                gone += self._replace(small)
        return gone

    def _replace(self, old: Sequence[HistoryFile], *, where: str = "true") -> int:
        import duckdb

        side = old[0].side
        with self.files.connect() as con:
            rows = f"""SELECT * FROM ({sql.rows(con, old, sql.columns(side))}) WHERE {where}
                QUALIFY row_number() OVER (PARTITION BY run, key ORDER BY moment DESC) = 1"""
            try:
                self.files.replace(con, old, rows)
            except (duckdb.IOException, RetryableError):
                return 0  # another process is at it
        return len(old)

    # Reading

    def search(
        self, *, key: str | None = None, keys: Sequence[str] = (), legs: Sequence[str] = (),
        outcomes: Sequence[str] = (), since: datetime | None = None, until: datetime | None = None, limit: int = 100,
        offset: int = 0,
    ) -> list[Message]:  # fmt: skip
        """Messages, newest first. key: exact, or what it begins with when it ends with ``*``.   keys: exact ones.

        since: included.   until: not included.   Raises ConfigurationError for an outcome that does not exist.
        """
        wanted = sql.known(outcomes)
        condition, values = sql.condition(key, wanted, since, until, keys=keys)
        one_record = key is not None or bool(keys)

        def look() -> list[Message]:
            files = self._listed(legs, wanted, since, until)
            found: list[Message] = []
            for part, newest_left in sql.newest_first(files, all_at_once=one_record):
                found += self._look(part, condition, values, limit + offset, narrow=not one_record)
                found = _distinct(found)
                if newest_left is None or sum(item.at > newest_left for item in found) >= limit + offset:
                    break
            return found[offset : offset + limit]

        return _patiently(look)

    def _look(
        self, files: Sequence[HistoryFile], condition: str, values: list[Any], most: int, *, narrow: bool
    ) -> list[Message]:
        found: list[Message] = []
        for side in SIDES:
            chosen = [item for item in files if item.side == side]
            with self._cursor() as con:
                if narrow:
                    chosen = sql.narrowed(con, chosen, condition, values, most)
                if not chosen:
                    continue
                every = sql.rows(con, chosen, sql.columns(side, payload=False))
                rows = f"SELECT moment, leg, run, {sql.shown(side)} FROM ({every})"
                # One more than asked for would not do: what a crash left twice is only told apart afterwards.
                query = f"SELECT * FROM ({rows}) WHERE {condition} ORDER BY moment DESC, leg, run, key LIMIT {2 * most}"
                found += [Message(from_micros(at), *row) for at, *row in con.execute(query, values).fetchall()]
        return found

    def payload(self, leg: str, run: str, key: str) -> dict[str, Any] | None:
        """What was sent for a record, or would have been; personal values masked, None when it is no longer kept."""

        def look() -> dict[str, Any] | None:
            files = self.files.listed(leg, "error")
            chosen = [item for item in files if item.run in (None, run)]
            if not chosen:
                return None
            with self._cursor() as con:
                every = sql.rows(con, chosen, ("key", "payload"))
                query = f"SELECT payload FROM ({every}) WHERE key = ? AND run = ? ORDER BY moment DESC LIMIT 1"
                row = con.execute(query, [key, run]).fetchone()
                return dict(json.loads(row[0])) if row and row[0] else None

        return _patiently(look) or self._sent(leg, run, key)

    def _sent(self, leg: str, run: str, key: str) -> dict[str, Any] | None:
        """From the change batch of the run."""
        batch = self._runs.find(leg, run, CHANGES)
        if batch is None or not batch.parts or PERSONAL not in batch.facts:
            return None
        with self._runs.connect(memory_limit="256MB") as con:
            rows = con.execute(f"SELECT * FROM {batch.scan()} WHERE _key = ?", [key])
            names, row = [item[0] for item in rows.description], rows.fetchone()
        if row is None:
            return None
        hidden, own = set(batch.facts[PERSONAL]), {"_key", "_kind", "_fingerprint", "_target_id"}
        values = {name: value for name, value in zip(names, row, strict=True) if name not in own}
        masked = {name: MASK if name in hidden and value is not None else value for name, value in values.items()}
        return dict(json.loads(json.dumps(masked, default=str)))

    def totals(self, *, legs: Sequence[str] = (), since: datetime, until: datetime, step: timedelta) -> list[Total]:
        """Rows per outcome and step, steps counted from ``since``, oldest first; steps without rows are left out."""
        if step <= timedelta(0):
            raise ConfigurationError(f"history: totals by steps of {step}; give a positive one")

        def look() -> list[Total]:
            sums: dict[tuple[int, str], int] = {}
            for item in self._counts(self._listed(legs, (), since, until), since, until, step):
                sums[item[:2]] = sums.get(item[:2], 0) + item[2]
            return [Total(since + at * step, outcome, rows) for (at, outcome), rows in sorted(sums.items())]  # type: ignore[arg-type]

        return _patiently(look)

    def _counts(
        self, files: Sequence[HistoryFile], since: datetime, until: datetime, step: timedelta
    ) -> Iterator[tuple[int, str, int]]:
        """Step, outcome, rows; successes that lie in one step as a whole are counted by their files' names."""
        opened: dict[Side, list[HistoryFile]] = {side: [] for side in SIDES}
        for item in files:
            whole = (
                item.first >= since
                and item.last < until
                and (item.first - since) // step == (item.last - since) // step
            )
            if item.side == "success" and whole:
                yield (item.first - since) // step, "delivered", item.rows
            else:
                opened[item.side].append(item)
        for side in (side for side in SIDES if opened[side]):
            outcome = "'delivered'" if side == "success" else "outcome"
            columns = () if side == "success" else ("outcome",)
            with self._cursor() as con:
                rows = sql.rows(con, opened[side], columns, named=False)
                yield from con.execute(
                    f"""SELECT (moment - {micros(since)}) // {micros(EPOCH + step)}, {outcome}, count(*)
                    FROM ({rows}) WHERE moment >= ? AND moment < ? GROUP BY ALL""", [micros(since), micros(until)]
                ).fetchall()  # fmt: skip

    def _listed(
        self, legs: Sequence[str], outcomes: Sequence[str], since: datetime | None, until: datetime | None
    ) -> list[HistoryFile]:
        sides = [
            side for side in SIDES if not outcomes or (side == "success") in {name == "delivered" for name in outcomes}
        ]
        found = [item for leg in legs or self.files.legs() for side in sides for item in self.files.listed(leg, side)]
        return [
            item for item in found if (since is None or item.last >= since) and (until is None or item.first < until)
        ]

    def _cursor(self) -> duckdb.DuckDBPyConnection:
        """Of a session that stays open, because it knows the footers it has read; threads have cursors of their own."""
        with self._lock:
            if self._session is None or self._session[0] != os.getpid():
                self._session = os.getpid(), self.files.connect()
            return self._session[1].cursor()

    # Forgetting

    def forget(self, key: str) -> int:
        """Erase a record from all legs, with the batches of the runs that handled it; gives the number of rows."""
        found = self.search(key=key, limit=1_000_000) if not key.endswith("*") else _exact(self, key)
        for item in found:
            self._runs.remove(self._runs.address(item.leg, item.run, "x").rpartition("/")[0])
        for leg in {item.leg for item in found}:
            for side in SIDES:
                for old in self._holding(leg, side, key):
                    self._replace([old], where=f"key <> '{key.replace(chr(39), chr(39) * 2)}'")
        return len(found)

    def _holding(self, leg: str, side: Side, key: str) -> list[HistoryFile]:
        def look() -> list[HistoryFile]:
            files = self.files.listed(leg, side)
            if not files:
                return []
            with self._cursor() as con:
                rows = f"read_parquet({paths_sql(files)}, filename = true)"
                query = f"SELECT DISTINCT {place_sql(files, 'filename')} FROM {rows} WHERE key = ?"
                names = {name for (name,) in con.execute(query, [key]).fetchall()}
            return [item for item in files if place(item.path) in names]

        return _patiently(look)

    def sweep(self, *, now: datetime) -> int:
        """Remove what is older than it is kept, put small files together, tidy up; gives the number of rows removed."""
        removed = 0
        for leg in self.files.legs():
            self.files.tidy(leg)
            for side in SIDES:
                removed += self._expire(leg, side, before=now - self._keep[side])
                for group in sql.groups(self.files.listed(leg, side)):
                    self._replace(group)
        return removed

    def _expire(self, leg: str, side: Side, *, before: datetime) -> int:
        removed = 0
        for item in self.files.listed(leg, side):
            if item.last < before:
                self.files.remove(item.path)
                removed += item.rows
            elif item.first < before:
                rows = sum(left.rows for left in self.files.listed(leg, side))
                self._replace([item], where=f"moment >= {micros(before)}")
                removed += rows - sum(left.rows for left in self.files.listed(leg, side))
        return removed


def _distinct(found: list[Message]) -> list[Message]:
    """Newest first; of what a crash left twice the newer one."""
    ordered = sorted(found, key=lambda item: (-micros(item.at), item.leg, item.run, item.key))
    first: dict[tuple[str, str, str], Message] = {}
    for item in ordered:
        first.setdefault((item.leg, item.run, item.key), item)
    return list(first.values())


def _exact(history: History, key: str) -> list[Message]:
    """Messages of a key that ends with an asterisk itself."""
    return [item for item in history.search(key=f"{key}*", limit=1_000_000) if item.key == key]


def _patiently(look: Callable[[], Found]) -> Found:
    """Look again when a file went while it was being read: its rows are in another one by then."""
    import duckdb

    for _ in range(TRIES):
        try:
            return look()
        except duckdb.IOException as error:
            gone = error
    raise RetryableError(f"history: its files change faster than they can be read: {gone}")
