"""Operators for the Integration API that need no mapping: read a set, write, delete or batch-load records,
any call.

Constructors only keep their arguments. Rows travel as batches (Parquet at an address) wherever there may be
many; what an operator returns to XCom is small. All use a connection of type ``commerce_sync_sap_commerce``.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Any

from airflow.sdk import BaseOperator
from airflow.sdk.definitions.context import Context

from commerce_sync.batches import Batch, Batches
from commerce_sync.errors import ConfigurationError, GuardError
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.sap_commerce.hook import SapCommerceHook
from commerce_sync.systems.sap_commerce.protocol import write_headers

DEFAULT_CONN = SapCommerceHook.default_conn_name


def _moment(value: datetime | str | None, *, name: str) -> datetime | None:
    """A template renders to text: ISO 8601, empty for none."""
    if value is None or isinstance(value, datetime):
        return value
    if value in ("", "None"):
        return None
    try:
        return datetime.fromisoformat(value)
    except ValueError as error:
        raise ConfigurationError(f"{name} is {value!r}; give an ISO 8601 time such as 2026-01-31T00:00:00Z") from error


class SapCommerceExtractOperator(BaseOperator):
    """Read an entity set, or what changed in it, into a batch; returns its address and counts.

    columns: name -> DuckDB type text; ``STRUCT(...)`` and ``STRUCT(...)[]`` columns are expanded.   key:
    column that identifies a row.   modified: column that ``since`` (closed) and ``until`` (open) speak of.
    complete: read all rows and prove it by count; default when there is no ``modified`` or no ``since``.
    root: folder or object storage address below which the batch is written, as ``<dag>/<run>/<task>``.
    options: see ``reading.ReadOptions``.
    """

    template_fields: Sequence[str] = ("service", "entity_set", "where", "since", "until", "root")

    def __init__(
        self,
        *,
        service: str,
        entity_set: str,
        columns: Mapping[str, str],
        root: str,
        key: str = "integrationKey",
        modified: str | None = None,
        where: str | None = None,
        since: datetime | str | None = None,
        until: datetime | str | None = None,
        complete: bool | None = None,
        options: Mapping[str, Any] | None = None,
        conn_id: str = DEFAULT_CONN,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.entity_set = entity_set
        self.columns = dict(columns)
        self.root = root
        self.key = key
        self.modified = modified
        self.where = where
        self.since = since
        self.until = until
        self.complete = complete
        self.options = dict(options or {})
        self.conn_id = conn_id

    def execute(self, context: Context) -> dict[str, Any]:
        """Read; raises RetryableError when rows are missing, so a truncated batch is never published."""
        since, until = _moment(self.since, name="since"), _moment(self.until, name="until")
        complete = self.complete if self.complete is not None else self.modified is None or since is None
        source = Source(
            name=self.task_id, system="sap_commerce", conn_id=self.conn_id, service=self.service,
            entity_set=self.entity_set, columns=self.columns, key=self.key, modified=self.modified,
            filter=self.where or None, options=self.options,
        )  # fmt: skip
        batches, address = Batches(self.root), (self.dag_id, str(context["run_id"]), self.task_id)
        with batches.write(*address) as into:
            found = SapCommerceHook(self.conn_id).extract(
                source, since=since, until=until, complete=complete, into=into
            )
            newest = found.high_water.isoformat() if found.high_water else None
            into.facts = {
                "complete": found.complete,
                "high_water": newest,
                "calls": found.calls,
                **found.facts,
            }
        return batches.read(*address).brief()


class _WriteOperator(BaseOperator):
    """What every write shares: where to, and the headers that go along."""

    template_fields: Sequence[str] = ("service", "entity_set")

    def __init__(
        self,
        *,
        service: str,
        entity_set: str,
        content_language: str | None = None,
        pre_persist_hook: str | None = None,
        post_persist_hook: str | None = None,
        conn_id: str = DEFAULT_CONN,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.service = service
        self.entity_set = entity_set
        self.content_language = content_language
        self.pre_persist_hook = pre_persist_hook
        self.post_persist_hook = post_persist_hook
        self.conn_id = conn_id

    def _headers(self, context: Context, number: int) -> dict[str, str]:
        return write_headers(
            message_id=f"{self.dag_id}-{context['run_id']}-{self.task_id}-{number}",
            content_language=self.content_language,
            pre_persist_hook=self.pre_persist_hook,
            post_persist_hook=self.post_persist_hook,
        )


class SapCommerceUpsertOperator(_WriteOperator):
    """Create or update a few records, one POST each, in order; returns their integration keys.

    records: bodies as SAP takes them, nested references included. A refused record raises RejectedError;
    those before it stay written, and running again is harmless.
    """

    template_fields: Sequence[str] = ("service", "entity_set", "records")

    def __init__(self, *, records: Sequence[Mapping[str, Any]], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.records = records

    def execute(self, context: Context) -> list[str]:
        """Write the records."""

        async def work() -> list[str]:
            async with SapCommerceHook(self.conn_id).client(self.service) as client:
                return [
                    (await client.upsert(self.entity_set, record, headers=self._headers(context, number))).get(
                        "integrationKey", ""
                    )
                    for number, record in enumerate(self.records)
                ]

        return asyncio.run(work())


class SapCommerceDeleteOperator(_WriteOperator):
    """Delete records by integration key; returns the keys that were still there. Absent ones are no error."""

    template_fields: Sequence[str] = ("service", "entity_set", "keys")

    def __init__(self, *, keys: Sequence[str], **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self.keys = keys

    def execute(self, context: Context) -> list[str]:
        """Delete the records."""

        async def work() -> list[str]:
            async with SapCommerceHook(self.conn_id).client(self.service) as client:
                return [key for key in self.keys if await client.delete(self.entity_set, key)]

        return asyncio.run(work())


class SapCommerceBatchLoadOperator(_WriteOperator):
    """Load a batch of changes by ``$batch``; returns the outcome batch's address and counts.

    batch: address of a finished batch with the columns ``_key``, ``_kind``, ``_target_id`` and one column per
    property (dotted for nested references).   on_null: what null means for every column, ``clear`` or
    ``leave``. on_delete: ``delete`` or ``ignore``.   max_rejected: more rows than that not delivered raise
    GuardError, after the outcomes were written.   options: see ``loader.LoadOptions``.
    """

    template_fields: Sequence[str] = ("service", "entity_set", "batch", "root")

    def __init__(
        self,
        *,
        batch: str,
        root: str,
        on_null: str = "clear",
        on_delete: str = "delete",
        max_rejected: int = 0,
        options: Mapping[str, Any] | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.batch = batch
        self.root = root
        self.on_null = on_null
        self.on_delete = on_delete
        self.max_rejected = max_rejected
        self.options = dict(options or {})

    def execute(self, context: Context) -> dict[str, Any]:
        """Send the changes."""
        batches, address = Batches(self.root), (self.dag_id, str(context["run_id"]), self.task_id)
        changes = batches.open(self.batch)
        if changes is None:
            raise ConfigurationError(f"no finished batch at {self.batch}; name the folder a batch was written to")
        with batches.write(*address) as into:
            done = SapCommerceHook(self.conn_id).load(
                self._target(), self._fields(changes), changes, into=into, wait_s=0
            )
            into.facts = {
                "delivered": done.delivered,
                "rejected": done.rejected,
                "unprocessed": done.unprocessed,
            }
        if done.rejected + done.unprocessed > self.max_rejected:
            raise GuardError(
                f"{done.rejected} rejected and {done.unprocessed} unprocessed of {done.rows} rows is more than "
                f"max_rejected={self.max_rejected}; reasons are in {batches.address(*address)}"
            )
        return batches.read(*address).brief()

    def _target(self) -> Target:
        options = {
            "service": self.service,
            "content_language": self.content_language,
            "pre_persist_hook": self.pre_persist_hook,
            "post_persist_hook": self.post_persist_hook,
            **self.options,
        }
        return Target(
            system="sap_commerce", conn_id=self.conn_id, object=self.entity_set, external_id="integrationKey",
            on_delete=self.on_delete, options=options,
        )  # fmt: skip

    def _fields(self, changes: Batch) -> tuple[Field, ...]:
        import pyarrow.dataset as ds

        if self.on_null not in ("clear", "leave"):
            raise ConfigurationError(f"on_null is {self.on_null!r}; legal: clear, leave")
        names = ds.dataset(changes.paths(), format="parquet").schema.names if changes.parts else []
        on_null: Any = self.on_null
        return tuple(Field(name=name, value="", on_null=on_null) for name in names if not name.startswith("_"))


class SapCommerceCallOperator(BaseOperator):
    """Any call to the shop (Integration API, OCC); returns the decoded JSON answer, None when there is no
    body.

    method: GET, POST, PATCH, DELETE.   path: below the host, ``/occ/v2/electronics/orders/1``.   service:
    integration object whose authentication scheme applies.   Keep answers small: they travel through XCom.
    """

    template_fields: Sequence[str] = ("method", "path", "query", "body")

    def __init__(
        self,
        *,
        path: str,
        method: str = "GET",
        query: Mapping[str, str | int | None] | None = None,
        body: Any = None,
        headers: Mapping[str, str] | None = None,
        service: str = "",
        conn_id: str = DEFAULT_CONN,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self.path = path
        self.method = method
        self.query = dict(query or {})
        self.body = body
        self.headers = dict(headers or {})
        self.service = service
        self.conn_id = conn_id

    def execute(self, context: Context) -> Any:
        """Make the call."""

        async def work() -> Any:
            async with SapCommerceHook(self.conn_id).client(self.service) as client:
                answer = await client.call(
                    self.method, self.path, query=self.query, json=self.body, headers=self.headers
                )
                return answer.json() if answer.body.strip() else None

        return asyncio.run(work())
