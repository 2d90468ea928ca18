"""The part of the ledger that the receiver writes: what it was sent, and what it answered."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta

from sqlalchemy.engine import Engine

from commerce_sync.ledger import receipts
from commerce_sync.ledger.database import reading, writing
from commerce_sync.ledger.receipts import Receipt, ReceiptCount


class Reception:
    """Receipts of one ledger; those of taken deliveries are written by ``Inbox.add_events`` with their events."""

    _engine: Engine

    def note_receipt(self, receipt: Receipt) -> None:
        """Note a delivery that brought no events: a refusal, or nothing worth keeping."""
        with writing(self._engine) as connection:
            receipts.note(connection, receipt)

    def receipts(
        self, *, source: str | None = None, failed: bool | None = None, limit: int = 100, offset: int = 0
    ) -> list[Receipt]:
        """Receipts, the newest first; ``failed`` True or False gives only errors or only successes."""
        with reading(self._engine) as connection:
            return receipts.listed(connection, source=source, failed=failed, limit=limit, offset=offset)

    def receipts_after(self, seq: int, *, limit: int = 1000) -> list[Receipt]:
        """Receipts with a higher number, the oldest first: reading on from the last one's number misses none."""
        with reading(self._engine) as connection:
            return receipts.after(connection, seq, limit=limit)

    def newest_receipt(self) -> int:
        """Number of the newest receipt, 0 before the first."""
        with reading(self._engine) as connection:
            return receipts.newest(connection)

    def receipt_counts(self, since: datetime) -> list[ReceiptCount]:
        """Receipts since a moment per source and kind, with the times of the last success and the last error."""
        with reading(self._engine) as connection:
            return receipts.counted(connection, since=since)

    def sweep_receipts(self, *, success_days: float, error_days: float, now: datetime | None = None) -> int:
        """Forget receipts that are old, errors and successes by their own measure; gives their number.

        In many small transactions: others write in between. Numbers are never used again.
        """
        moment = now or datetime.now(UTC)
        return sum(
            self._sweep(moment - timedelta(days=days), failed=failed)
            for days, failed in ((success_days, False), (error_days, True))
        )

    def _sweep(self, before: datetime, *, failed: bool) -> int:
        swept = 0
        while True:
            with writing(self._engine) as connection:
                part = receipts.drop(connection, before=before, failed=failed)
            if not part:
                return swept
            swept += part
