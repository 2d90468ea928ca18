"""The Airflow side of iconik: the connection, extract and load as the steps call them, and plain calls.

Connection: host is the address (https://app.iconik.io, https://eu.iconik.io, a server of one's own), login the
App-ID, password the Auth-Token. The token runs as a user, whose rights decide what is seen.
"""

from __future__ import annotations

# First: importing Airflow asks every provider for its connection types, ours takes CONNECTION from here.
from commerce_sync.systems.iconik.connection import CONN_TYPE, CONNECTION, DEFAULT_HOST, MAX_PER_SECOND  # isort: split

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeVar

from airflow.providers.http.hooks.http import HttpHook

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, SyncError
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.addresses import base_url
from commerce_sync.systems.iconik import catalogue, download, extract, loader, media, metadata, present, seen, services
from commerce_sync.systems.iconik.client import IconikClient, Row, credentials
from commerce_sync.systems.iconik.reasons import classify
from commerce_sync.systems.iconik.sources import Reading
from commerce_sync.systems.iconik.targets import WriteOptions
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.metadata import Objects
from commerce_sync.systems.rest import Call, RestSession
from commerce_sync.systems.trust import Trust

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.sdk import Connection

__all__ = ["CONNECTION", "CONN_TYPE", "IconikHook"]
T = TypeVar("T")


class IconikHook(HttpHook):
    """One iconik domain by a connection of type ``commerce_sync_iconik``.

    on_call: told every HTTP call to the API, for budgets.   sleep: injected by tests.
    """

    conn_name_attr = "iconik_conn_id"
    default_conn_name = "iconik_default"
    conn_type = CONN_TYPE
    hook_name = "iconik"

    def __init__(
        self, iconik_conn_id: str = default_conn_name, *, on_call: Callable[[Call], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:  # fmt: skip
        super().__init__(method="GET", http_conn_id=iconik_conn_id)
        self.iconik_conn_id = iconik_conn_id
        self._on_call = on_call
        self._sleep = sleep
        self._found: Connection | None = None
        self._extra: dict[str, Any] = {}

    def _known(self) -> Connection:
        if self._found is None:
            self._found = self.get_connection(self.iconik_conn_id)
            self._extra = self._found.extra_dejson
        return self._found

    def client(self) -> IconikClient:
        """A client of this connection, for ``async with``. Raises ConfigurationError without credentials."""
        return self._client_of(self._known())

    async def aclient(self) -> IconikClient:
        """The same on an event loop, where the connection must be asked for asynchronously (triggers)."""
        from airflow.providers.common.compat.connection import get_async_extra_dejson

        self._found = await self.aget_connection(self.iconik_conn_id)
        self._extra = await get_async_extra_dejson(self._found)
        return self._client_of(self._found)

    def _client_of(self, connection: Connection) -> IconikClient:
        if not connection.login or not connection.password:
            raise ConfigurationError(
                f"connection {self.iconik_conn_id!r} needs the App-ID as login and the Auth-Token as password"
            )
        session = RestSession(
            f"{self._host(connection)}/API",
            auth=credentials(connection.login, connection.password),
            name=self.iconik_conn_id,
            timeout_s=float(self._extra.get("timeout_s") or 60),
            max_per_second=float(self._extra.get("max_per_second") or MAX_PER_SECOND),
            on_call=self._on_call,
            trust=Trust.of(self._extra),
            classify=classify,
            sleep=self._sleep,
        )
        return IconikClient(session)

    def _host(self, connection: Connection) -> str:
        if not connection.host:
            return DEFAULT_HOST
        return base_url(self, connection, wanted="https://app.iconik.io").removesuffix("/API")

    @property
    def view(self) -> str | None:
        """The connection's metadata view."""
        self._known()
        return self._extra.get("view") or None

    def extract(
        self, source: Source, *, since: datetime | None, until: datetime | None, complete: bool, into: BatchWriter
    ) -> extract.Extracted:
        """Read assets or collections into a batch; see ``extract.extract`` for bounds, completeness and errors."""

        async def work(client: IconikClient) -> extract.Extracted:
            return await extract.extract(
                client, source, since=since, until=until, complete=complete, into=into, view=self.view
            )

        return self._run(work)

    def load(
        self, target: Target, fields: tuple[Field, ...], changes: Batch, *, jobs: Any = None, into: BatchWriter,
        wait_s: float = 0,
    ) -> Loaded:  # fmt: skip
        """Write changes and an outcome per row, see ``loader.load``.

        jobs, wait_s: not used, no job runs on at the far side once a call is answered.
        """

        async def work(client: IconikClient) -> Loaded:
            return await loader.load(client, target, fields, changes, into=into, view=self.view, sleep=self._sleep)

        return self._run(work)

    def current(
        self, target: Target, fields: Sequence[Field], keys: Sequence[str], *, types: dict[str, str]
    ) -> pa.Table:
        """Values iconik has now: ``_target_key`` and the fields, one row per key; see ``present.current``."""

        async def work(client: IconikClient) -> pa.Table:
            view = await loader.view_of(client, target, fields, view=self.view)
            return await present.current(client, target, fields, keys, types=types, view=view)

        return self._run(work)

    def problems(self, target: Target, fields: tuple[Field, ...]) -> list[str]:
        """What of a mapping iconik would refuse, one sentence each; empty when all is well."""

        async def work(client: IconikClient) -> list[str]:
            try:
                view = await loader.view_of(client, target, fields, view=self.view)
            except ConfigurationError as error:
                return [str(error)]
            return await present.problems(client, target, fields, view)

        return self._run(work)

    def gone(self, target: Target, fields: tuple[Field, ...]) -> list[str]:
        """Which metadata fields of a mapping the view does not have (any more), one sentence each."""
        if not present.writes_metadata(target, fields):
            return []

        async def work(client: IconikClient) -> list[str]:
            view = await loader.view_of(client, target, fields, view=self.view)
            return present.gone(target, fields, view)

        return self._run(work)

    def objects_of(self, part: Source | Target, fields: Sequence[Field] = ()) -> dict[str, str]:
        """The metadata view a target writes through; see ``systems.metadata``."""
        if isinstance(part, Source) or not present.writes_metadata(part, fields):
            return {}
        named = WriteOptions.of(part).view or self.view
        return {f"view {named}": named} if named else {}

    def document(self, name: str) -> Objects:
        """The fields of a metadata view."""

        async def work(client: IconikClient) -> Objects:
            return {f"view {name}": seen.seen(await metadata.view(client, name))}

        return self._run(work)

    def problems_of_source(self, source: Source) -> list[str]:
        """What is wrong with a source, one sentence each; empty when all is well."""

        async def work(client: IconikClient) -> list[str]:
            try:
                reading = Reading.of(source)
                named = (reading.options.view or self.view) if "metadata" in reading.parts else None
                view = await metadata.view(client, named) if named else None
            except ConfigurationError as error:
                return [str(error)]
            return present.source_problems(source, view)

        return self._run(work)

    def read_keys(self, source: Source, keys: Iterable[str]) -> set[str]:
        """Which of these ids are still there and count: proof before a delete is passed on."""
        reading = Reading.of(source)

        async def work(client: IconikClient) -> set[str]:
            slots = asyncio.Semaphore(reading.options.concurrency)

            async def is_there(key: str) -> bool:
                async with slots:
                    found = await catalogue.read(client, reading.kind, key)
                    return found is not None and found.get("status") in reading.options.statuses

            wanted = list(dict.fromkeys(keys))
            return {
                key for key, there in zip(wanted, await asyncio.gather(*map(is_there, wanted)), strict=True) if there
            }

        return self._run(work)

    def search(self, criteria: Row, *, limit: int | None = None) -> list[Row]:
        """Search documents, which are hints: the index lags. criteria: the body of ``POST search/``."""

        async def work(client: IconikClient) -> list[Row]:
            rows: list[Row] = []
            async for page in client.search(criteria):
                rows += page.objects
                if limit is not None and len(rows) >= limit:
                    break
            return rows[:limit]

        return self._run(work)

    def download(
        self, asset_id: str, key: str, to: Path, *, kind: Literal["files", "proxies", "keyframes"] = "files",
        expected_checksum: str | None = None, size: int | None = None,
    ) -> download.Downloaded:  # fmt: skip
        """Stream a file, proxy or keyframe to disk; see ``download.download`` for resuming and errors."""

        async def work(client: IconikClient) -> download.Downloaded:
            return await download.download(
                lambda: media.address(client, asset_id, kind, key), to, expected_checksum=expected_checksum, size=size,
                trust=Trust.of(self._extra), sleep=self._sleep,
            )  # fmt: skip

        return self._run(work)

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One call below ``/API/``; the decoded answer, None without a body. options: params, json, repeatable."""

        async def work(client: IconikClient) -> Any:
            return await client.call(method, path, **options)

        return self._run(work)

    async def job_states(self, job_ids: Sequence[str]) -> dict[str, Row]:
        """Each job's status and error message; a job that is gone is DISCARDED."""
        async with await self.aclient() as client:
            found = await asyncio.gather(*(media.job(client, key) for key in job_ids))
        gone = {"status": "DISCARDED", "error_message": "iconik does not know the job any more"}
        return {
            key: {name: (row or gone).get(name) for name in ("status", "error_message", "object_id")}
            for key, row in zip(job_ids, found, strict=True)
        }

    def test_connection(self) -> tuple[bool, str]:
        """What Airflow's test button does: ask who the token belongs to."""

        async def work(client: IconikClient) -> str:
            found = await services.me(client)
            return f"connected as {found.get('email') or found.get('id')}"

        try:
            return True, self._run(work)
        except (SyncError, ValueError) as error:
            return False, str(error)

    def _run(self, work: Callable[[IconikClient], Coroutine[Any, Any, T]]) -> T:
        async def within() -> T:
            async with self.client() as client:
                return await work(client)

        return asyncio.run(within())
