"""What makes a delivery start flows: an asset per flow, watched by a trigger that reads the receipts by number.

An asset's event says no more than "there is something new"; the flow reads it by its own cursor. A burst is one nudge
and, while it lasts, at most one more each ``rest_s``; the last delivery of a burst always has a nudge after it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Any

from airflow.sdk import Asset, AssetWatcher
from airflow.triggers.base import BaseEventTrigger, TriggerEvent
from asgiref.sync import sync_to_async

from commerce_sync import places
from commerce_sync.errors import SyncError
from commerce_sync.ledger import Ledger, Receipt
from commerce_sync.receiver import settings

CURSOR = "seq"
ANY = "*"
PART = 1000
CONNECTING_S = 30.0
Wanted = Mapping[str, Sequence[str]]


def asset(flow: str) -> Asset | None:
    """The asset that deliveries update for a flow, with its watcher; None when none of them starts it.

    Raises ConfigurationError when the receiver's file is broken.
    """
    wanted = settings.load().starts.get(flow)
    if not wanted:
        return None
    trigger = DeliveryTrigger(wanted={name: sorted(types) for name, types in sorted(wanted.items())})
    watcher = AssetWatcher(name=f"deliveries {flow}", trigger=trigger)
    return Asset(name=f"deliveries {flow}", uri=f"commerce-sync://deliveries/{flow}", watchers=[watcher])


def concerns(receipt: Receipt, wanted: Wanted) -> bool:
    """Whether a delivery brought something new that a flow wants to know of."""
    patterns = wanted.get(receipt.source, ())
    if not receipt.new or not patterns:
        return False
    return ANY in receipt.types or any(fnmatchcase(kind, pattern) for kind in receipt.types for pattern in patterns)


class Newest:
    """Number of the newest receipt, asked once in ``fresh_s`` for all triggers of the process."""

    def __init__(self, *, fresh_s: float = 0.9) -> None:
        self._fresh_s = fresh_s
        self._ledger: Ledger | None = None
        self._reopen_at = 0.0
        self._asked_at = float("-inf")
        self._seq = 0
        self._turn: asyncio.Lock | None = None

    async def ledger(self) -> Ledger:
        """The ledger; its connection is looked up again twice a minute."""
        if self._ledger is None or time.monotonic() > self._reopen_at:
            self._ledger = await sync_to_async(places.open_ledger, thread_sensitive=False)()
            self._reopen_at = time.monotonic() + CONNECTING_S
        return self._ledger

    async def seq(self) -> int:
        """The number."""
        self._turn = self._turn or asyncio.Lock()
        async with self._turn:
            if time.monotonic() - self._asked_at >= self._fresh_s:
                self._seq = await asyncio.to_thread((await self.ledger()).newest_receipt)
                self._asked_at = time.monotonic()
            return self._seq


_newest = Newest()


class DeliveryTrigger(BaseEventTrigger):
    """Fires when a delivery brought events that are wanted. wanted: source -> patterns of event types.

    poll_s: how often it looks.   settle_s: how long it lets a burst go on before it fires.   rest_s: how long it is
    silent after that. Its cursor is kept with the asset, so that deliveries during a restart are seen after it; the
    very first start begins with what comes from then on.
    """

    def __init__(
        self, *, wanted: Wanted, poll_s: float = 1.0, settle_s: float = 1.0, rest_s: float = 30.0,
        newest: Newest | None = None,
    ) -> None:  # fmt: skip
        super().__init__()  # type: ignore[no-untyped-call]
        self.wanted = {name: list(types) for name, types in wanted.items()}
        self.poll_s, self.settle_s, self.rest_s = poll_s, settle_s, rest_s
        self._newest = newest or _newest

    def serialize(self) -> tuple[str, dict[str, Any]]:
        """Class path and arguments, as the triggerer wants them."""
        values = {"wanted": self.wanted, "poll_s": self.poll_s, "settle_s": self.settle_s, "rest_s": self.rest_s}
        return f"{type(self).__module__}.{type(self).__name__}", values

    async def run(self) -> AsyncIterator[TriggerEvent]:
        """Look for ever; trouble of the ledger is waited out."""
        cursor = await self._patiently(self._begin)
        while True:
            found, cursor = await self._patiently(self._look, cursor)
            if found:
                await asyncio.sleep(self.settle_s)
                _more, cursor = await self._patiently(self._look, cursor)
                yield TriggerEvent({"deliveries": CURSOR, "until": cursor})  # type: ignore[no-untyped-call]
                await self._keep(cursor)
                await asyncio.sleep(self.rest_s)
            await asyncio.sleep(self.poll_s)

    async def _patiently(self, work: Any, *arguments: Any) -> Any:
        while True:
            try:
                return await work(*arguments)
            except SyncError as error:
                self.log.warning("the ledger does not answer, looking again: %s", error)
                await asyncio.sleep(max(self.poll_s, 0.05) * 5)

    async def _begin(self) -> int:
        store = self.asset_state_store
        kept = await store.aget(CURSOR) if store is not None else None
        if isinstance(kept, int):
            return kept
        cursor = await self._newest.seq()
        await self._keep(cursor)
        return cursor

    async def _keep(self, cursor: int) -> None:
        if self.asset_state_store is not None:
            await self.asset_state_store.aset(CURSOR, cursor)

    async def _look(self, cursor: int) -> tuple[bool, int]:
        """Whether anything wanted came after the cursor, and the cursor after all that came."""
        found = False
        while await self._newest.seq() > cursor:
            ledger = await self._newest.ledger()
            part = await asyncio.to_thread(ledger.receipts_after, cursor, limit=PART)
            found = found or any(concerns(receipt, self.wanted) for receipt in part)
            if not part:
                break
            cursor = part[-1].seq
        return found, cursor
