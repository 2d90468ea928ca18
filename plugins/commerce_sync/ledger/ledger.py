"""The ledger of one installation, opened from its database URL and its folder of marker files."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence
from dataclasses import asdict
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine

from commerce_sync.ledger import (
    aliases,
    answers,
    budget,
    budget_usage,
    conflicts,
    database,
    rejects,
    runs,
    settle,
    state,
)
from commerce_sync.ledger.alarms import Alarms
from commerce_sync.ledger.budgets import Budgets
from commerce_sync.ledger.conflicts import PairMove
from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.desk import Desk
from commerce_sync.ledger.inbox import Inbox
from commerce_sync.ledger.jobs import RunJobs
from commerce_sync.ledger.markers import MarkerFiles, needs_compaction
from commerce_sync.ledger.pairs import Pairs
from commerce_sync.ledger.reception import Reception
from commerce_sync.ledger.rejected import Rejected, Said
from commerce_sync.ledger.runs import Kind, Run, Status, Window
from commerce_sync.ledger.settle import KEEP, Keep, Settlement
from commerce_sync.ledger.state import RETIRED_FOR, LegState, MarkerFile
from commerce_sync.ledger.tombstones import Tombstones
from commerce_sync.ledger.tombstones_rows import Erasing

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

_opened: dict[tuple[str, str], Ledger] = {}
_opening = threading.Lock()


class Ledger(Inbox, Desk, Pairs, Reception, Rejected, Alarms, Tombstones, Erasing, Budgets):
    """Runs, leg states, markers, jobs, budget; events and aliases (``Inbox``), conflicts and holds (``Desk``), what
    pairs agreed on (``Pairs``), what the receiver was sent (``Reception``), what did not arrive (``Rejected``), what
    somebody was told (``Alarms``), what was forgotten (``Tombstones``, ``Erasing``).

    Safe for threads, processes and forks.
    """

    def __init__(self, engine: Engine, *, files: str) -> None:
        self._engine = engine
        self.files = MarkerFiles(files)

    @classmethod
    def open(cls, url: str, *, files: str) -> Ledger:
        """The ledger at ``url``, brought to the newest revision; the second call in a process costs nothing.

        url: sqlite:///path or postgresql+psycopg2://...   files: folder or fsspec URL of marker files.
        Raises ConfigurationError for another database or one newer than this program, RetryableError when the
        database does not answer.
        """
        with _opening:
            if (url, files) not in _opened:
                engine = database.connect(url)
                database.migrate(engine)
                database.dispose_after_fork(engine)
                _opened[url, files] = cls(engine, files=files)
            return _opened[url, files]

    # Runs

    def begin(
        self,
        leg: str,
        run: str,
        *,
        kind: Kind,
        window: Window | None = None,
        mapping_version: int | None = None,
    ) -> Run:
        """The row of a run, made at the first call.

        A retried step gets the same row, with the window of the first try; a run that had failed is running
        again; a settled one is returned as it is.
        """
        self.files.folder(leg)  # refuses a name that cannot be a folder before anything is written
        with writing(self._engine) as connection:
            return runs.begin(connection, leg, run=run, kind=kind, window=window, mapping_version=mapping_version)

    def update(self, run: Run, **values: Any) -> Run:
        """Set counts, status, digest or message; ``calls`` add up, ``seconds`` are kept per step (last try).

        A settled run only takes calls and seconds. Raises BalanceError for green over unbalanced counts.
        """
        with writing(self._engine) as connection:
            return runs.update(connection, run, values=values)

    def find_run(self, leg: str, run: str) -> Run | None:
        """The row of a run, or None."""
        with reading(self._engine) as connection:
            return runs.find(connection, leg, run=run)

    def runs(self, leg: str | None = None, *, limit: int = 50) -> list[Run]:
        """The newest runs of a leg (None: of all legs), newest first."""
        with reading(self._engine) as connection:
            return runs.latest(connection, leg, limit=limit)

    # What a leg remembers

    def state(self, leg: str) -> LegState:
        """The pointer row of a leg; version 0 before its first settled run."""
        with reading(self._engine) as connection:
            return state.read(connection, leg)

    def states(self) -> list[LegState]:
        """The pointer rows of all legs that ever settled, by name."""
        with reading(self._engine) as connection:
            return state.legs(connection)

    def attach(self, con: duckdb.DuckDBPyConnection) -> None:
        """Let a DuckDB session read its files; needed before ``markers_sql`` when they are remote."""
        self.files.attach(con)

    def markers_sql(self, leg_state: LegState) -> str:
        """SQL of the current markers: key VARCHAR, fingerprint UBIGINT, target_id VARCHAR."""
        return self.files.current(leg_state)

    def stage_delta(self, leg: str, con: duckdb.DuckDBPyConnection, query: str) -> MarkerFile:
        """Write ``query`` (key, fingerprint, target_id, gone) as a delta nobody sees until a run settles it.

        Raises BalanceError for a key that is null or there twice.
        """
        return self.files.stage(con, leg=leg, query=query)

    def settle(
        self,
        run: Run,
        *,
        state_version: int,
        status: Status,
        delta: MarkerFile | None = None,
        rejects: pa.Table | None = None,
        clear: Iterable[Any] = (),
        carry: str | None | Keep = KEEP,
        replica: dict[str, Any] | Keep = KEEP,
        high_water: datetime | None = None,
        complete_at: datetime | None = None,
        pair: PairMove | None = None,
        clear_holds: Iterable[Any] = (),
        said: Said | None = None,
        **values: Any,
    ) -> Run:
        """Close a run: markers, rejects, conflicts, pointer rows and run row in one transaction, once.

        state_version: the version the caller read.   rejects: Arrow table, see ``reject_schema``.
        clear: keys whose rejects are over (an Arrow array is best; keys without one cost nothing).
        pair: what changes of the leg's pair, with the conflicts met.   clear_holds: keys whose holds are over.
        said: what the run did with what people said.   values: counts, digest, message, calls, seconds.
        The high water never moves back, and not at all for a backfill or an unbalanced run. A run settled
        before is returned as stored. Raises RetryableError when another run of the leg settled first.
        """
        settlement = Settlement(
            state_version,
            status,
            delta,
            rejects,
            clear,
            carry,
            replica,
            high_water,
            complete_at,
            pair,
            clear_holds,
            said,
            dict(values),
        )
        with writing(self._engine) as connection:
            return settle.settle(connection, run, settlement=settlement)

    def compact(self, leg: str) -> bool:
        """Fold the deltas into a new base when they exceed 10 % of it or are more than 20; True when done.

        Call it after settling. Runs beside it do not disturb it, and a killed one leaves the old files.
        """
        before = self.state(leg)
        if not needs_compaction(before):
            return False
        base = self.files.compact(before)
        with writing(self._engine) as connection:
            done = settle.replace_compacted(connection, compacted=before, base=base)
        self.sweep(leg)
        return done

    # Remote jobs and budget

    def jobs(self, leg: str, run: str) -> RunJobs:
        """The remote jobs of a run."""
        return RunJobs(self._engine, leg=leg, run=run)

    def spend(self, system: str, calls: int, *, day: date | None = None) -> int:
        """Add API calls to a system's UTC day (today) atomically; gives the day's new total."""
        with writing(self._engine) as connection:
            return budget.spend(connection, system, calls=calls, day=day or budget.today())

    def spent(self, system: str, day: date | None = None) -> int:
        """API calls noted for a system on a UTC day (today)."""
        with reading(self._engine) as connection:
            return budget.spent(connection, system, day=day or budget.today())

    # Looking in and cleaning up

    def other_names(self, names: Sequence[str]) -> list[str]:
        """What records of these names were called before they were merged away, or are called since."""
        with reading(self._engine) as connection:
            return aliases.other_names(connection, names) if names else []

    def find_markers(
        self, keys: Sequence[str], *, legs: Sequence[str] = (), are_targets: bool = False
    ) -> list[dict[str, Any]]:
        """Markers of keys in all legs (or in some): leg, key, fingerprint, target_id, gone, run.

        are_targets: the keys are ids at the targets; finding those takes a look at every marker.
        """
        states = [item for item in self.states() if not legs or item.leg in legs]
        return self.files.find_many(states, keys=keys, column="target_id" if are_targets else "key")

    def explain(self, leg: str, key: str) -> dict[str, Any]:
        """All the ledger knows of one record: its marker, its reject, the ids of the runs that name it."""
        with reading(self._engine) as connection:
            leg_state, reject = state.read(connection, leg), rejects.find(connection, leg, key=key)
        marker = self.files.find(leg_state, key=key)
        named = [marker["run"]] if marker else []
        named += [reject.first_run, reject.last_run] if reject else []
        found = [run for run in dict.fromkeys(named) if run is not None]
        return {
            "leg": leg,
            "key": key,
            "marker": marker,
            "reject": asdict(reject) if reject else None,
            "runs": found,
        }

    def prune(self, before: datetime) -> int:
        """Forget runs started before a moment (the newest of each leg stays), their jobs, days of calls, and conflicts.

        Open conflicts stay. Gives the number of runs removed.
        """
        with writing(self._engine) as connection:
            conflicts.prune(connection, before=before)
            answers.prune(connection, before=before)
            budget.prune(connection, before=before.astimezone(UTC).date())
            budget_usage.prune(connection, before=before)
            return runs.prune(connection, before=before)

    def sweep(self, leg: str, *, older_than: timedelta = RETIRED_FOR) -> int:
        """Delete the leg's files that no pointer row has named for a while; gives their number.

        Those are staged files of killed runs, superseded markers, and superseded files named in ``replica``.
        """
        before = datetime.now(UTC) - older_than
        with writing(self._engine) as connection:
            kept = settle.forget_retired(connection, leg, before=before)
        names = kept.names() | {name for name, _since in kept.retired}
        return self.files.sweep(leg, keep=names, before=before)
