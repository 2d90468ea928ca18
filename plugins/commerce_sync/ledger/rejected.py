"""The part of the ledger about records that did not arrive, and what people said about them."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from sqlalchemy.engine import Engine

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import answers, rejects
from commerce_sync.ledger.answers import RejectAnswer
from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.rejects import Reject, RejectGroup, RejectStatus

if TYPE_CHECKING:
    import pyarrow as pa

SOMEBODY = "somebody"


@dataclass(frozen=True, slots=True)
class Said:
    """What a run that settles did with what people said.

    seen: number of the last word when its changes were detected; later ones hold for what it leaves behind.
    read: number of the last word when it settled; raises RetryableError when there is an edit after that.
    done: edits whose values arrived.   dropped: edits the source has overtaken.
    """

    seen: int
    read: int
    done: Sequence[int] = ()
    dropped: Sequence[int] = ()


class Rejected:
    """Rejects of one ledger."""

    _engine: Engine

    def rejects(
        self, leg: str, *, status: RejectStatus | None = None, limit: int | None = None, offset: int = 0
    ) -> list[Reject]:
        """Rejects of a leg by key, optionally of one status."""
        with reading(self._engine) as connection:
            return rejects.listed(connection, leg, status=status, limit=limit, offset=offset)

    def find_rejects(self, legs: Sequence[str], *, keys: Sequence[str]) -> list[Reject]:
        """Rejects of keys in several legs."""
        with reading(self._engine) as connection:
            return rejects.of_keys(connection, legs, keys=keys)

    def reject_groups(self, *, legs: Sequence[str] = (), statuses: Sequence[RejectStatus] = ()) -> list[RejectGroup]:
        """Rejects of all legs (or of some) by reason class and code with their number per leg, the largest first."""
        with reading(self._engine) as connection:
            return rejects.grouped(connection, legs=legs, statuses=statuses)

    def reject_counts(self, leg: str) -> dict[str, int]:
        """Number of rejects of a leg per status that occurs."""
        with reading(self._engine) as connection:
            return rejects.counted(connection, leg)

    def rejects_table(self, leg: str) -> pa.Table:
        """What detection joins with: key, status, fingerprint, attempts, next_attempt of a leg's rejects."""
        with reading(self._engine) as connection:
            return rejects.table(connection, leg)

    # What people say

    def retry_rejects(
        self, leg: str, *, keys: Sequence[str] | None = None, by: str = SOMEBODY, reason: str | None = None
    ) -> int:
        """Let the next run offer rejects again, their attempts forgotten; None: all of the leg. Gives their number."""
        with writing(self._engine) as connection:
            return answers.put(connection, leg, action="retry", keys=keys, by=by, reason=reason)

    def dismiss_rejects(self, leg: str, *, keys: Sequence[str], by: str = SOMEBODY, reason: str | None = None) -> int:
        """A person's word that these records need not arrive as they are now; gives their number."""
        with writing(self._engine) as connection:
            return answers.put(connection, leg, action="dismiss", keys=keys, by=by, reason=reason)

    def edit_reject(
        self, leg: str, *, key: str, values: dict[str, Any], by: str = SOMEBODY, reason: str | None = None,
        personal: Iterable[str] | None = None,
    ) -> int:  # fmt: skip
        """Values (field of the target -> JSON value) the next run sends in place of the mapped ones, once.

        They hold as long as the record's own values are what they are now. personal: names of fields whose values are
        masked when the edit is over; None: all of them.
        Raises ConfigurationError for a record that is not rejected, or is a delete.
        """
        with writing(self._engine) as connection:
            found = answers.demand(connection, leg, key=key)
            if not values:
                raise ConfigurationError(f"leg {leg}: no values to send for {key!r} are given")
            if not found.fingerprint:
                raise ConfigurationError(f"leg {leg}: the reject of {key!r} is a delete, it has no values to edit")
            return answers.put(
                connection,
                leg,
                action="edit",
                keys=[key],
                by=by,
                reason=reason,
                edited=values,
                personal=values if personal is None else personal,
            )

    def said(
        self, *, leg: str | None = None, keys: Sequence[str] | None = None, status: str | None = None,
        noted: bool | None = None,
    ) -> list[RejectAnswer]:  # fmt: skip
        """What people said about rejects, in that order. Edits that are ``open`` have their values unmasked."""
        with reading(self._engine) as connection:
            return answers.listed(connection, leg=leg, keys=keys, status=status, noted=noted)

    def last_said(self, leg: str) -> int:
        """Number of the last word about a leg's rejects; 0 when there is none."""
        with reading(self._engine) as connection:
            return answers.newest(connection, leg)

    def note_said(self, ids: Sequence[int]) -> None:
        """Remember that the history has these."""
        with writing(self._engine) as connection:
            answers.note(connection, ids)
