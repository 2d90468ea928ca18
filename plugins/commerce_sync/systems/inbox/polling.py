"""Polling a feed: read on where the last poll ended, write events and cursor together, forget what is too old."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

from commerce_sync import budget_meter, places
from commerce_sync.budget import DEFAULT_PRIORITY
from commerce_sync.ledger import Added, FeedState, Ledger, feed_leg
from commerce_sync.systems.inbox import feeds, files, pages
from commerce_sync.systems.inbox.feeds import FeedFile
from commerce_sync.systems.inbox.taking import take


def poll(
    feed: str | FeedFile, *, ledger: Ledger | None = None, on_call: Callable[[Any], None] | None = None
) -> Added:  # fmt: skip
    """Bring in what a feed has to offer since its last poll; gives what came of it.

    feed: the name of a file in the feeds folder, or a feed.   on_call: told every HTTP call, for budgets.
    Every piece is written with the cursor it leads to, so a poll may die anywhere and be started again.
    Raises RetryableError when the source does not answer or another poll is at it, QuotaError when its connection's
    budget has no room, ConfigurationError for the file.
    """
    chosen = feeds.find(feed) if isinstance(feed, str) else feed
    work = _Poll(ledger or places.open_ledger(), chosen)
    if chosen.kind == "file":
        work.read_files()
    else:
        asyncio.run(work.read_pages(on_call))
    work.finish()
    return work.added


class _Poll:
    """One poll: the feed's state moves with every piece."""

    def __init__(self, ledger: Ledger, feed: FeedFile) -> None:
        self._ledger = ledger
        self._feed = feed
        self._seen = ledger.feed_state(feed.feed)
        self._begun = self._seen.version
        self.added = Added()

    def read_files(self) -> None:
        for piece in files.pieces(self._feed, self._seen.cursor):
            self._take(piece.lines, where=piece.where, cursor=piece.cursor, message=piece.message)

    async def read_pages(self, on_call: Callable[[Any], None] | None) -> None:
        leg = feed_leg(self._feed.feed)
        with budget_meter.metered(self._ledger, places.budgets(), leg=leg, priority=DEFAULT_PRIORITY):
            async with pages.session(self._feed, on_call=on_call) as session:
                async for page in pages.pages(session, self._feed, self._seen.cursor):
                    self._take(page.events, where=page.where, cursor=page.cursor, message=None)

    def _take(self, lines: list[bytes], *, where: str, cursor: dict[str, Any], message: str | None) -> None:
        self.added += take(
            self._ledger, self._feed.feed, lines, types=self._feed.types, where=where, seen=self._seen, cursor=cursor,
            message=message,
        )  # fmt: skip
        self._seen = _after(self._seen, cursor)

    def finish(self) -> None:
        """Note that the feed was looked at, also when it had nothing."""
        if self._seen.version == self._begun:
            self._ledger.feed_moved(self._seen, cursor=self._seen.cursor, message=self._seen.message)
        if self._feed.keep_days:
            before = datetime.now(UTC) - timedelta(days=self._feed.keep_days)
            self._ledger.drop_events(before, feed=self._feed.feed)


def _after(seen: FeedState, cursor: dict[str, Any]) -> FeedState:
    return replace(seen, version=seen.version + 1, cursor=cursor)
