"""The part of the ledger that people answer: conflicts of pairs, and changes that wait for a yes."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, Literal

from sqlalchemy.engine import Engine

from commerce_sync.ledger import conflicts, holds
from commerce_sync.ledger.conflicts import Conflict, ConflictStatus, PairState
from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.holds import Answer, Hold, HoldStatus

if TYPE_CHECKING:
    import pyarrow as pa


class Desk:
    """Pairs with their conflicts, and holds, of one ledger."""

    _engine: Engine

    def pair_state(self, pair: str) -> PairState:
        """Which files hold what both sides of a pair last agreed on; version 0 before anything was."""
        with reading(self._engine) as connection:
            return conflicts.pair_state(connection, pair)

    def move_pair(self, pair: str, *, version: int, agreed: list[dict[str, Any]]) -> PairState:
        """Point a pair at other files. Raises RetryableError when the pair is no longer at ``version``.

        A run that settles hands a ``PairMove`` to ``settle`` instead: then both move in one transaction.
        """
        with writing(self._engine) as connection:
            return conflicts.move_pair(connection, pair, version=version, agreed=agreed)

    def note_conflicts(self, pair: str, *, leg: str, run: str, rows: pa.Table) -> int:
        """Note conflicts (columns key, field, owner, losing, kept, lost; optionally digest); gives their number.

        The same lost value met again by another run is counted, unless it was resolved: then it is open again.
        """
        with writing(self._engine) as connection:
            return conflicts.note(connection, pair, leg=leg, run=run, rows=rows)

    def conflicts(
        self,
        *,
        pair: str | None = None,
        status: ConflictStatus | None = None,
        key: str | None = None,
        limit: int | None = None,
        offset: int = 0,
    ) -> list[Conflict]:
        """Conflicts, the last met first."""
        with reading(self._engine) as connection:
            return conflicts.listed(connection, pair=pair, status=status, key=key, limit=limit, offset=offset)

    def conflict_counts(self, pair: str | None = None) -> dict[str, int]:
        """Number of conflicts per status that occurs."""
        with reading(self._engine) as connection:
            return conflicts.counted(connection, pair=pair)

    def resolve_conflicts(
        self, ids: Sequence[int], *, status: Literal["resolved", "dismissed"] = "resolved", by: str
    ) -> int:
        """A person's word. resolved: met again it is a new one; dismissed: met again it is only counted."""
        with writing(self._engine) as connection:
            return conflicts.close(connection, ids, status=status, by=by)

    def put_holds(self, leg: str, *, run: str, rows: pa.Table) -> int:
        """Ask about changes (columns key, fingerprint; optionally reason, payload); gives the new questions.

        The same fingerprint keeps its answer, another one is asked anew.
        """
        with writing(self._engine) as connection:
            return holds.put(connection, leg, run=run, rows=rows)

    def answer_holds(
        self,
        leg: str,
        *,
        keys: Sequence[str] | None,
        status: Answer,
        by: str,
        reason: str | None = None,
        asked_until: datetime | None = None,
    ) -> int:
        """A person's answer to holds (None: to all that wait); gives the number of rows changed.

        asked_until: when the person looked; a question asked after that stays open.
        """
        with writing(self._engine) as connection:
            return holds.answer(
                connection, leg, keys=keys, status=status, by=by, reason=reason, asked_until=asked_until
            )

    def holds(
        self, leg: str | None = None, *, status: HoldStatus | None = None, limit: int | None = None, offset: int = 0
    ) -> list[Hold]:
        """Holds by leg and key."""
        with reading(self._engine) as connection:
            return holds.listed(connection, leg, status=status, limit=limit, offset=offset)

    def holds_table(self, leg: str) -> pa.Table:
        """What detection joins with: key, fingerprint, status of a leg's holds."""
        with reading(self._engine) as connection:
            return holds.table(connection, leg)

    def clear_holds(self, leg: str, *, keys: Iterable[Any]) -> int:
        """Remove holds once their changes are sent or gone; gives their number."""
        with writing(self._engine) as connection:
            return holds.clear(connection, leg, keys=keys)
