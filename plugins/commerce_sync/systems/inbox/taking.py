"""Taking deliveries into the inbox: from feeds, from a receiver of webhooks, and once more what had been refused."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Sequence
from typing import Any

import msgspec

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import REFUSED, Added, FeedState, Ledger
from commerce_sync.systems.inbox import checking


def take(
    ledger: Ledger,
    feed: str,
    deliveries: Iterable[bytes],
    *,
    types: Collection[str] | None = None,
    where: str = "",
    seen: FeedState | None = None,
    cursor: dict[str, Any] | None = None,
    message: str | None = None,
) -> Added:
    """Check deliveries (one JSON text each) and write them, durable when this returns.

    Valid events are there once however often they come; what is not valid is kept as it came and listed among the
    rejects of ``feed/<feed>``.   types: what the feed takes; None takes every known type.
    seen, cursor, message: move the feed in the same transaction, see ``Ledger.add_events``.
    """
    checked = checking.check(deliveries, types=checking.feed_types(types), where=where)
    return ledger.add_events(
        feed, checked.rows(), seen=seen, cursor=cursor, message=message, refused=checked.refused(), run=where or feed
    )


def split(body: bytes) -> list[bytes]:
    """The deliveries in a request's body: one event, a JSON array (CloudEvents batch mode), or JSON lines.

    Raises ConfigurationError for an empty body; anything else that cannot be read is one delivery, to be set aside.
    """
    text = body.strip()
    if not text:
        raise ConfigurationError("the request has no body; send one event, an array of events, or one event a line")
    try:
        if text.startswith(b"["):
            return [bytes(item) for item in msgspec.json.decode(text, type=list[msgspec.Raw])]
        msgspec.json.decode(text)
    except msgspec.DecodeError:
        lines = [line.strip() for line in text.splitlines()]
        return [line for line in lines if line]
    return [text]


def retry_refused(ledger: Ledger, feed: str, *, types: Collection[str] | None = None) -> Added:
    """Check everything set aside once more, after the schema or the feed's types have changed; see ``take``."""
    total = Added()
    for batch in ledger.events(feed, types=[REFUSED]):
        total += _again(ledger, feed, batch.to_pylist(), types=types)
    return total


def _again(ledger: Ledger, feed: str, rows: Sequence[dict[str, Any]], *, types: Collection[str] | None) -> Added:
    allowed = checking.feed_types(types)
    accepted = checking.Checked()
    originals, keys = [], []
    for row in rows:
        found = checking.check([row["data"].encode()], types=allowed)
        if not found.rejects:
            accepted.events += found.events
            originals.append(row["event_id"])
            keys.append(row["subject"])
    added = ledger.accept_refused(feed, accepted.rows(), originals=originals, keys=keys)
    return Added(added.new, added.doubled, len(rows) - len(originals))
