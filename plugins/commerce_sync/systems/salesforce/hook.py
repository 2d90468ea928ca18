"""The Airflow side of Salesforce: the connection, the loader and reads as plain calls."""

from __future__ import annotations

import asyncio
import tempfile
from collections.abc import Awaitable, Callable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any

# First: importing Airflow asks every provider for its connection types, ours takes CONNECTION from here.
from commerce_sync.systems.salesforce.connection import CONN_TYPE, CONNECTION, DEFAULT_VERSION  # isort: split

from airflow.providers.http.hooks.http import HttpHook

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, SyncError
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.addresses import base_url
from commerce_sync.systems.answers import Call
from commerce_sync.systems.foreseen import Foreseen
from commerce_sync.systems.jobs import Jobs, Loaded, Waiting
from commerce_sync.systems.metadata import Objects
from commerce_sync.systems.salesforce import seen
from commerce_sync.systems.salesforce.auth import client_credentials, jwt_bearer
from commerce_sync.systems.salesforce.bulk import Ingest
from commerce_sync.systems.salesforce.client import SalesforceClient
from commerce_sync.systems.salesforce.describe import gone, problems
from commerce_sync.systems.salesforce.folded import Folded
from commerce_sync.systems.salesforce.loader import Load, Unfinished
from commerce_sync.systems.salesforce.predict import predict
from commerce_sync.systems.salesforce.present import current
from commerce_sync.systems.salesforce.queries import query_to_file
from commerce_sync.systems.salesforce.reading import Extracted, extract
from commerce_sync.systems.salesforce.results import empty
from commerce_sync.systems.salesforce.source_check import problems_of_source
from commerce_sync.systems.tokens import Auth
from commerce_sync.systems.trust import Trust

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from airflow.sdk import Connection

__all__ = ["CONNECTION", "CONN_TYPE", "SalesforceHook"]


class SalesforceHook(Folded, HttpHook):
    """Salesforce by one connection of type ``commerce_sync_salesforce``.

    on_call: told every HTTP call (budget).   scratch: folder for a load's working files, default the system's.
    sleep: injected by tests.
    """

    conn_name_attr = "salesforce_conn_id"
    default_conn_name = "commerce_sync_salesforce"
    conn_type = CONN_TYPE
    hook_name = "Salesforce (Commerce Sync)"

    def __init__(
        self,
        salesforce_conn_id: str = default_conn_name,
        *,
        on_call: Callable[[Call], None] | None = None,
        scratch: str | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(method="GET", http_conn_id=salesforce_conn_id)
        self.salesforce_conn_id = salesforce_conn_id
        self._on_call = on_call
        self._scratch = scratch
        self._sleep = sleep

    def client(self) -> SalesforceClient:
        """A client of this connection; use it with ``async with``."""
        connection = self.get_connection(self.salesforce_conn_id)
        return self._client_of(connection, connection.extra_dejson)

    async def aclient(self) -> SalesforceClient:
        """The same on an event loop, where the connection must be asked for asynchronously (triggers)."""
        from airflow.providers.common.compat.connection import get_async_extra_dejson

        connection = await self.aget_connection(self.salesforce_conn_id)
        return self._client_of(connection, await get_async_extra_dejson(connection))

    def _client_of(self, connection: Connection, extra: dict[str, Any]) -> SalesforceClient:
        self.base_url = base_url(self, connection, wanted="the org's address, such as https://acme.my.salesforce.com")
        return SalesforceClient(
            self.base_url,
            self._auth_of(connection, extra),
            str(extra.get("version") or DEFAULT_VERSION).removeprefix("v"),
            trust=Trust.of(extra),
            call_reserve=int(extra.get("call_reserve") or 0),
            name=self.salesforce_conn_id,
            on_call=self._on_call,
            sleep=self._sleep,
        )

    def _auth_of(self, connection: Connection, extra: dict[str, Any]) -> Auth:
        trust = Trust.of(extra)
        if connection.login and connection.password and not extra.get("private_key"):
            return client_credentials(
                self.base_url, client_id=connection.login, client_secret=connection.password, trust=trust
            )
        if connection.login and extra.get("private_key") and extra.get("username"):
            return jwt_bearer(
                self.base_url, client_id=connection.login, username=extra["username"],
                private_key=extra["private_key"], audience=extra.get("audience") or None, trust=trust,
            )  # fmt: skip
        raise ConfigurationError(
            f"connection {self.salesforce_conn_id!r} needs a client id (login) with either a client secret "
            "(password), or the extras username and private_key"
        )

    def test_connection(self) -> tuple[bool, str]:
        """Log in and read the org's allowances; says what is wrong when that fails."""

        async def ask() -> str:
            async with self.client() as client:
                calls = (await client.limits()).get("DailyApiRequests", {})
                return f"connected; {calls.get('Remaining')} of {calls.get('Max')} API calls of 24 hours are left"

        try:
            return True, asyncio.run(ask())
        except (SyncError, ValueError) as error:
            return False, str(error)

    def allowances(self) -> dict[str, tuple[int, int]]:
        """What the org allows in 24 hours: ``calls`` and ``batches`` -> (how many there are, how many are used).

        Source: REST API Developer Guide, Limits; needs the permission *View Setup and Configuration*.
        """

        async def ask() -> dict[str, Any]:
            async with self.client() as client:
                return await client.limits()

        said = asyncio.run(ask())
        named = {"calls": said.get("DailyApiRequests"), "batches": said.get("DailyBulkApiBatches")}
        return {name: (one["Max"], one["Max"] - one["Remaining"]) for name, one in named.items() if one}

    def extract(
        self, source: Source, *, since: datetime | None, until: datetime | None, complete: bool, into: BatchWriter
    ) -> Extracted:
        """Read a source into a batch; see ``reading.extract`` for bounds, completeness and errors.

        ``source.entity_set`` is the sObject, ``source.filter`` a SOQL condition.   ``source.columns``: a scalar is a
        field, ``STRUCT(...)`` a parent by its relationship name, ``STRUCT(...)[]`` a child relationship.
        ``source.options``: see ``ReadOptions``.
        """

        async def work() -> Extracted:
            async with self.client() as client:
                return await extract(
                    client, source, since=since, until=until, complete=complete, into=into, scratch=self._scratch
                )

        return asyncio.run(work())

    def load(
        self,
        target: Target,
        fields: tuple[Field, ...],
        changes: Batch,
        *,
        jobs: Jobs,
        into: BatchWriter,
        wait_s: float,
    ) -> Loaded | Waiting:
        """Send a change batch and write one outcome per change into ``into``; resumes what ``jobs`` knows.

        wait_s: how long to wait for bulk jobs before giving back ``Waiting``; nothing is written to ``into``
        then, and another call with the same batch and jobs goes on, in this process or any other.
        ``target.options``: job_rows, job_bytes, redrives, pauses_s, poll_first_s, poll_most_s (see ``Pace``),
        headers (sent with Collections), assignment_rule (id, for upserts by Bulk), create_only (fields that nobody
        may change later, such as the parent of an order item: sent with new records only).
        Raises ConfigurationError, QuotaError or RetryableError when the load as a whole cannot go on.
        """
        if not changes.rows:
            into.add(empty())
            return Loaded()
        try:
            return asyncio.run(self._load(target, fields, changes, jobs=jobs, into=into, wait_s=wait_s))
        except Unfinished as unfinished:
            from commerce_sync.systems.salesforce.triggers import SalesforceJobsTrigger

            trigger = SalesforceJobsTrigger(self.salesforce_conn_id, job_ids=list(unfinished.jobs))
            return Waiting(trigger=trigger, jobs=unfinished.jobs)

    async def _load(
        self,
        target: Target,
        fields: tuple[Field, ...],
        changes: Batch,
        *,
        jobs: Jobs,
        into: BatchWriter,
        wait_s: float,
    ) -> Loaded:
        with tempfile.TemporaryDirectory(prefix="salesforce-load-", dir=self._scratch) as folder:
            async with self.client() as client:
                load = Load(
                    client, target, fields, changes, jobs=jobs, wait_s=wait_s, folder=Path(folder), sleep=self._sleep
                )  # fmt: skip
                return await load.run(into)

    def query(self, soql: str, *, all_rows: bool = False) -> list[dict[str, Any]]:
        """Records of a SOQL query, flat; for small results (see ``query_to_file``)."""

        async def read() -> list[dict[str, Any]]:
            async with self.client() as client:
                return [record async for record in client.query(soql, all_rows=all_rows)]

        return asyncio.run(read())

    def query_to_file(self, soql: str, path: Path, *, all_rows: bool = False, bulk: bool | None = None) -> int:
        """Write the result of a SOQL query to a local .parquet or .csv file and return its rows."""

        async def read() -> int:
            async with self.client() as client:
                return await query_to_file(client, soql, path, all_rows=all_rows, bulk=bulk)

        return asyncio.run(read())

    def read_by_keys(
        self, object_name: str, keys: Sequence[str], *, key_field: str, fields: Sequence[str]
    ) -> list[dict[str, Any]]:
        """Records whose ``key_field`` is one of ``keys``; unknown keys are absent, order is the org's."""

        async def read() -> list[dict[str, Any]]:
            async with self.client() as client:
                rows = client.read_by_keys(object_name, keys, key_field=key_field, fields=fields)
                return [record async for record in rows]

        return asyncio.run(read())

    def describe(self, object_name: str) -> dict[str, Any]:
        """Fields and rights of one object as the connection's user sees them."""

        async def read() -> dict[str, Any]:
            async with self.client() as client:
                return await client.describe(object_name)

        return asyncio.run(read())

    def problems(self, target: Target, fields: tuple[Field, ...]) -> list[str]:
        """What of a mapping the org would refuse, one sentence each; empty when all is well."""

        async def read() -> list[str]:
            async with self.client() as client:
                return await problems(client, target, fields)

        return asyncio.run(read())

    def gone(self, target: Target, fields: tuple[Field, ...]) -> list[str]:
        """Which fields of a mapping the org does not have, or not for this user, one sentence each."""

        async def read() -> list[str]:
            async with self.client() as client:
                return await gone(client, target, fields)

        return asyncio.run(read())

    def objects_of(self, part: Source | Target, fields: Sequence[Field] = ()) -> dict[str, str]:
        """Objects a mapping names -> the document that describes them; see ``systems.metadata``."""
        return seen.objects_of(part, fields)

    def document(self, name: str) -> Objects:
        """An object's fields as the connection's user sees them."""
        return {name: seen.seen(self.describe(name))}

    def problems_of_source(self, source: Source) -> list[str]:
        """What of a source the org would not let be read, one sentence each; empty when all is well."""

        async def read() -> list[str]:
            async with self.client() as client:
                return await problems_of_source(client, source)

        return asyncio.run(read())

    def current(
        self, target: Target, fields: tuple[Field, ...], keys: Sequence[str], *, types: Mapping[str, str]
    ) -> pa.Table:
        """``_target_key`` and the present values of ``fields``, for those of ``keys`` that have a record.

        keys: values of the external id.   types: field -> DuckDB type text its values come in. A lookup comes as its
        parent's external id. See ``present.current``.
        """

        async def read() -> pa.Table:
            async with self.client() as client:
                return await current(client, target, fields, keys, types=types)

        return asyncio.run(read())

    def predict(
        self, target: Target, fields: tuple[Field, ...], con: duckdb.DuckDBPyConnection, *, rows: str,
        types: Mapping[str, str],
    ) -> Foreseen:  # fmt: skip
        """What the org would refuse of a plan's rows; see ``predict.predict``."""

        async def read() -> Foreseen:
            async with self.client() as client:
                return await predict(client, target, fields, con, rows=rows, types=types)

        return asyncio.run(read())

    def call(self, method: str, path: str, **options: Any) -> Any:
        """One REST call below ``/services/data/vXX.0``; the decoded JSON answer, None without a body."""

        async def send() -> Any:
            async with self.client() as client:
                answer = await client.call(method, path, **options)
                return answer.json() if answer.body else None

        return asyncio.run(send())

    async def job_states(self, job_ids: Sequence[str]) -> dict[str, str]:
        """The present state of each ingest job, "Aborted" for one that is gone."""
        async with await self.aclient() as client:
            ingest = Ingest(client)
            infos = await asyncio.gather(*(ingest.info(job_id) for job_id in job_ids))
        return {job_id: info["state"] if info else "Aborted" for job_id, info in zip(job_ids, infos, strict=True)}
