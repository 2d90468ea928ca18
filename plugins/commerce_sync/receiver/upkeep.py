"""Forgets what was kept long enough: events of the systems' feeds and receipts, once an hour beside a delivery."""

from __future__ import annotations

import logging
import threading
import time
from datetime import UTC, datetime, timedelta

from commerce_sync.errors import SyncError
from commerce_sync.ledger import Ledger
from commerce_sync.receiver import media, shop
from commerce_sync.receiver.settings import Settings

log = logging.getLogger(__name__)
EVERY_S = 3600.0
FEEDS = {"sap_commerce": shop.FEED, "iconik": media.FEED}
"""Feeds only the receiver writes. Those that are polled too have their own retention."""


class Upkeep:
    """Runs when it is due, by whichever delivery comes then; others do not wait for it."""

    def __init__(self) -> None:
        self._due = time.monotonic()
        self._turn = threading.Lock()

    def perhaps(self, ledger: Ledger, settings: Settings) -> None:
        """Begin a sweep on a thread of its own when the last one was an hour ago."""
        with self._turn:
            if time.monotonic() < self._due:
                return
            self._due = time.monotonic() + EVERY_S
        threading.Thread(target=self._safely, args=(ledger, settings), name="receiver-upkeep", daemon=True).start()

    def _safely(self, ledger: Ledger, settings: Settings) -> None:
        try:
            log.info("upkeep: %s", sweep(ledger, settings))
        except SyncError as error:
            log.warning("upkeep comes again later: %s", error)


def sweep(ledger: Ledger, settings: Settings, *, now: datetime | None = None) -> dict[str, int]:
    """Forget by the receiver's file; gives how many receipts and events."""
    moment = now or datetime.now(UTC)
    events = 0
    for name, feed in FEEDS.items():
        if name in settings.sources:
            before = moment - timedelta(days=settings.sources[name].keep_days)
            events += ledger.drop_events(before, feed=feed)
    swept = ledger.sweep_receipts(success_days=settings.success_days, error_days=settings.error_days, now=moment)
    return {"receipts": swept, "events": events}
