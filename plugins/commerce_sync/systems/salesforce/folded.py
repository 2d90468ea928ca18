"""The hook's part of a comparison: sums of marks, the records behind them, and what somebody edited."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING

from commerce_sync.mapping import Field, Target
from commerce_sync.systems.salesforce import fold
from commerce_sync.systems.salesforce.client import SalesforceClient

if TYPE_CHECKING:
    import pyarrow as pa

Ask = Callable[[SalesforceClient], Awaitable["pa.Table"]]


class Folded:
    """What ``comparing`` asks a target; see ``fold`` for the columns."""

    def client(self) -> SalesforceClient:
        """A client of the connection."""
        raise NotImplementedError

    def _asked(self, ask: Ask) -> pa.Table:
        async def read() -> pa.Table:
            async with self.client() as client:
                return await ask(client)

        return asyncio.run(read())

    def folds(self, target: Target, *, buckets: Sequence[str] = ()) -> pa.Table:
        """Sums of the marks by bucket, or by cell of some buckets."""
        return self._asked(lambda client: fold.folds(client, target, buckets=buckets))

    def members(self, target: Target, cells: Iterable[tuple[str, str]]) -> pa.Table:
        """The records in some cells."""
        return self._asked(lambda client: fold.members(client, target, cells))

    def unmarked(self, target: Target) -> pa.Table:
        """The records that hold the external id and no mark."""
        return self._asked(lambda client: fold.unmarked(client, target))

    def standing(self, target: Target, ids: Iterable[str]) -> pa.Table:
        """Those of some records that are there."""
        return self._asked(lambda client: fold.standing(client, target, ids))

    def edited(
        self, target: Target, fields: Sequence[Field], *, since: datetime | None, types: Mapping[str, str]
    ) -> pa.Table:
        """Present values of the records that were modified since a moment."""
        return self._asked(lambda client: fold.edited(client, target, fields, since=since, types=types))
