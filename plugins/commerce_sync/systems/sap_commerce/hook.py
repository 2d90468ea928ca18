"""The Airflow hook: a connection becomes a client, and the steps' extract and load become plain calls.

Connection: host is the shop's address; user and password are Basic credentials (an Employee with integration
groups); client_id and client_secret are OAuth 2 client credentials. Which scheme a service takes is decided
per integration object in the shop (InboundChannelConfiguration), hence ``auth`` for most and
``other_services`` for the exceptions.
"""

from __future__ import annotations

# Importing Airflow makes it ask the provider, and so this module, for CONNECTION: it has to be here by then.
from commerce_sync.systems.addresses import base_url

from commerce_sync.systems.sap_commerce.connection import CONN_TYPE, CONNECTION  # isort: skip

import asyncio
import os
import tempfile
from collections.abc import Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.http.hooks.http import HttpHook

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, SyncError
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.foreseen import Foreseen
from commerce_sync.systems.jobs import Loaded
from commerce_sync.systems.metadata import Objects
from commerce_sync.systems.rest import Auth, Basic, Call, ClientCredentials, RestSession
from commerce_sync.systems.sap_commerce import (
    carts,
    loader,
    media_store,
    members,
    predict,
    present,
    seen,
    target_check,
    together,
    windows,
)
from commerce_sync.systems.sap_commerce.client import BASE_PATH, TOKEN_PATH, SapCommerceClient
from commerce_sync.systems.sap_commerce.media_folder import HotFolder, hot_folder
from commerce_sync.systems.sap_commerce.media_options import (
    Binaries,
    MediaOptions,
    check_fields,
    is_media_store,
    plain,
    plain_fields,
)
from commerce_sync.systems.sap_commerce.members import is_membership
from commerce_sync.systems.sap_commerce.protocol import literal, moment
from commerce_sync.systems.sap_commerce.reading import ReadOptions, Report
from commerce_sync.systems.trust import Trust

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa
    from airflow.sdk import Connection

__all__ = ["CONNECTION", "SapCommerceHook"]

KEYS_PER_REQUEST = 20
T = TypeVar("T")


class SapCommerceHook(HttpHook):
    """Reads and writes one shop through its Integration API.

    conn_id: a connection of type ``commerce_sync_sap_commerce``, looked up at first use.   on_call: told
    about every request attempt, for budgets.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "sap_commerce_default"
    conn_type = CONN_TYPE
    hook_name = "SAP Commerce Cloud"

    def __init__(self, conn_id: str = default_conn_name, *, on_call: Callable[[Call], None] | None = None) -> None:
        super().__init__(method="GET", http_conn_id=conn_id)
        self.conn_id = conn_id
        self._on_call = on_call
        self._connection: Connection | None = None
        self.binaries: Binaries | None = None
        """Where the bytes of media come from; set by who knows both systems (see ``media_options``)."""

    @property
    def connection(self) -> Connection:
        """The Airflow connection, fetched once."""
        if self._connection is None:
            self._connection = self.get_connection(self.conn_id)
        return self._connection

    def client(self, service: str, *, language: str | None = None) -> SapCommerceClient:
        """A client for one service, for ``async with``. Raises ConfigurationError without credentials."""
        session = RestSession(
            self._base_url(),
            auth=self._auth(service),
            name=self.conn_id,
            timeout_s=float(self._extra("timeout_s") or 120),
            max_per_second=self._extra("max_per_second"),
            on_call=self._on_call,
            trust=Trust.of(self.connection.extra_dejson),
        )
        return SapCommerceClient(
            session, service=service, base_path=self._extra("base_path") or BASE_PATH, language=language
        )

    def extract(
        self,
        source: Source,
        *,
        since: datetime | None,
        until: datetime | None,
        complete: bool,
        into: BatchWriter,
        report: Report | None = None,
    ) -> windows.Extracted:
        """Read a source into a batch; see ``windows.extract`` for bounds, completeness and errors."""

        async def work() -> windows.Extracted:
            async with self.client(source.service, language=ReadOptions.of(source).language) as client:
                return await windows.extract(
                    client, source, since=since, until=until, complete=complete, into=into, report=report
                )

        return _run(work())

    def load(
        self,
        target: Target,
        fields: Sequence[Field],
        changes: Batch,
        *,
        jobs: Any = None,
        into: BatchWriter,
        wait_s: float,
    ) -> Loaded:
        """Write changes and an outcome per row, see ``loader.load``; memberships in groups, see ``members.load``; saved
        carts, see ``carts.load``; media with their bytes, see ``media_store.load``; references that change together,
        see ``together.load``.

        jobs: where a cart that is about to be made is written down.   wait_s: not used, no job runs on at the far side
        once a request is answered.
        """

        async def work() -> Loaded:
            if is_membership(target):
                async with self.client("") as client:
                    return await members.load(client, target, fields, changes, into=into)
            if carts.is_cart(target):
                async with self.client("") as client:
                    return await carts.load(client, target, fields, changes, jobs=jobs, into=into)
            if is_media_store(target):
                async with self._hot_folder(target) as folder:
                    return await media_store.load(self._store(target, folder), target, fields, changes, into=into)
            if together.is_together(target):
                async with self.client(target.options.get("service", "")) as client:
                    return await together.load(client, target, fields, changes, into=into)
            async with self.client(loader.LoadOptions.of(target).service) as client:
                return await loader.load(client, target, fields, changes, into=into)

        return _run(work())

    def current(
        self, target: Target, fields: Sequence[Field], keys: Sequence[str], *, types: Mapping[str, str]
    ) -> pa.Table:
        """``_target_key`` and the present values of ``fields`` for those of ``keys`` that have a record.

        keys: values of the external id, or integration keys where that is no property.   types: field -> DuckDB type.
        """

        async def work() -> pa.Table:
            if is_membership(target):
                async with self.client("") as client:
                    return await members.current(client, target, fields, keys)
            if carts.is_cart(target):
                async with self.client("") as client:
                    return await carts.current(client, target, fields, keys)
            options = loader.LoadOptions.of(plain(target))
            async with self.client(options.service, language=options.accept_language) as client:
                return await present.current(client, plain(target), plain_fields(fields), keys, types=types)

        return _run(work())

    def predict(
        self, target: Target, fields: Sequence[Field], con: duckdb.DuckDBPyConnection, *, rows: str,
        types: Mapping[str, str],
    ) -> Foreseen:  # fmt: skip
        """What the shop would refuse of a plan's rows; see ``predict.predict``.

        Of memberships, saved carts, media with their bytes, and references that change together nothing can be told.
        """
        if any(is_one(target) for is_one in (is_membership, carts.is_cart, is_media_store, together.is_together)):
            return Foreseen(warnings=(f"what the shop would refuse of {target.object!r} cannot be told beforehand",))

        async def work() -> Foreseen:
            async with self.client(loader.LoadOptions.of(target).service) as client:
                return await predict.predict(client, target, fields, con, rows=rows, types=types)

        return _run(work())

    def gone(self, target: Target, fields: Sequence[Field]) -> list[str]:
        """Which fields of a mapping the shop does not have, one sentence each; memberships and carts have no schema."""
        if is_membership(target) or carts.is_cart(target) or together.is_together(target):
            return []

        async def work() -> list[str]:
            async with self.client(loader.LoadOptions.of(plain(target)).service) as client:
                return await target_check.gone(client, plain(target), plain_fields(fields))

        return _run(work())

    def objects_of(self, part: Source | Target, fields: Sequence[Field] = ()) -> dict[str, str]:
        """Entity sets a mapping names -> their service, see ``systems.metadata``; memberships and carts have none."""
        if isinstance(part, Target) and any(
            is_one(part) for is_one in (is_membership, carts.is_cart, is_media_store, together.is_together)
        ):
            return {}
        return seen.objects_of(part)

    def document(self, name: str) -> Objects:
        """The entity sets of a service."""

        async def work() -> Objects:
            async with self.client(name) as client:
                return seen.seen(await client.metadata())

        return _run(work())

    def problems(self, target: Target, fields: Sequence[Field]) -> list[str]:
        """What of a mapping the shop would refuse, one sentence each; empty when all is well."""

        async def work() -> list[str]:
            if is_membership(target):
                async with self.client("") as client:
                    return await members.problems(client, target, fields)
            if carts.is_cart(target):
                carts.check_fields(fields)
                carts.CartOptions.of(target)
                return []
            if together.is_together(target):
                async with self.client(target.options.get("service", "")) as client:
                    return await together.problems(client, target, fields)
            if is_media_store(target):
                MediaOptions.of(target)
                check_fields(fields)
            async with self.client(loader.LoadOptions.of(plain(target)).service) as client:
                return await target_check.problems(client, plain(target), plain_fields(fields))

        try:
            return _run(work())
        except ConfigurationError as error:
            return [str(error)]

    def _hot_folder(self, target: Target) -> HotFolder:
        options = MediaOptions.of(target)
        found = self.get_connection(options.hot_folder)
        scheme = "" if "://" in (found.host or "") else f"{found.schema or 'https'}://"
        return hot_folder(
            f"{scheme}{found.host or ''}", found.password or "", name=options.hot_folder, intake=options.intake,
            trust=Trust.of(found.extra_dejson),
        )  # fmt: skip

    def _store(self, target: Target, folder: HotFolder) -> media_store.MediaStore:
        if self.binaries is None:
            raise ConfigurationError(
                f"target {target.object!r} is a media store, but nothing was set to fetch its bytes from; build the "
                "flow with sync_dag, or set SapCommerceHook.binaries"
            )
        options = loader.LoadOptions.of(plain(target))
        home = os.environ.get("COMMERCE_SYNC_HOME") or tempfile.gettempdir()
        return media_store.MediaStore(
            clients=self.client, folder=folder, binaries=self.binaries, options=MediaOptions.of(target),
            service=options.service, entity_set=options.entity_set, spool=Path(home).expanduser() / "spool",
        )  # fmt: skip

    def fetch_count(self, source: Source, *, since: datetime | None = None, until: datetime | None = None) -> int:
        """Rows of a source, optionally modified in [since, until), by ``$count``."""
        precision = ReadOptions.of(source).precision
        terms = [f"{source.modified} ge {moment(since, precision=precision)}"] if since else []
        terms += [f"{source.modified} lt {moment(until, precision=precision)}"] if until else []
        terms += [f"({source.filter})" if terms and " or " in source.filter else source.filter] if source.filter else []

        async def work() -> int:
            async with self.client(source.service) as client:
                return await client.count(source.entity_set, where=" and ".join(terms) or None)

        return _run(work())

    def read_keys(self, source: Source, keys: Iterable[Any]) -> set[Any]:
        """Which of ``keys`` (values of ``source.key``) still exist: proof before a delete is passed on.

        Integration keys are asked for one by one, whatever the source's filter says; other key columns are
        filtered for, 20 at a time and within the source's filter.
        """
        wanted = list(dict.fromkeys(keys))

        async def work() -> set[Any]:
            async with self.client(source.service) as client:
                return await _existing(client, source, wanted)

        return _run(work())

    def test_connection(self) -> tuple[bool, str]:
        """What Airflow's test button does: reads the service document of ``test_service``."""
        service = self._extra("test_service")
        if not service:
            return False, "fill in 'Service for the test' with the code of an exposed integration object"

        async def work() -> list[str]:
            async with self.client(service) as client:
                return await client.service_document()

        try:
            return True, f"{service} has the entity sets {', '.join(_run(work()))}"
        except SyncError as error:
            return False, str(error)

    def _extra(self, name: str) -> Any:
        return self.connection.extra_dejson.get(name) or None

    def _base_url(self) -> str:
        return base_url(self, self.connection, wanted="the shop's address, https://...")

    def _auth(self, service: str) -> Auth:
        scheme = self._extra("auth") or ("oauth" if self._extra("client_id") else "basic")
        if scheme not in ("oauth", "basic"):
            raise ConfigurationError(f"connection {self.conn_id!r}: auth is {scheme!r}; legal: oauth, basic")
        others = [name.strip() for name in (self._extra("other_services") or "").split(",")]
        if service and service in others:
            scheme = "basic" if scheme == "oauth" else "oauth"
        return self._oauth() if scheme == "oauth" else self._basic()

    def _basic(self) -> Auth:
        login, password = self.connection.login, self.connection.password
        if not login or not password:
            raise ConfigurationError(f"connection {self.conn_id!r} lacks user or password, needed for Basic")
        return Basic(login, password)

    def _oauth(self) -> Auth:
        client_id, secret = self._extra("client_id"), self._extra("client_secret")
        if not client_id or not secret:
            raise ConfigurationError(f"connection {self.conn_id!r} lacks client_id or client_secret, needed for OAuth")
        path = self._extra("token_path") or TOKEN_PATH
        url = path if "://" in path else f"{self._base_url()}{path}"
        trust = Trust.of(self.connection.extra_dejson)
        return ClientCredentials(url, client_id=client_id, client_secret=secret, trust=trust)


def _run(work: Coroutine[Any, Any, T]) -> T:
    return asyncio.run(work)


async def _existing(client: SapCommerceClient, source: Source, keys: list[Any]) -> set[Any]:
    limit = asyncio.Semaphore(ReadOptions.of(source).concurrency)
    by_key = source.key == "integrationKey"
    step = 1 if by_key else KEYS_PER_REQUEST

    async def look(part: list[Any]) -> set[Any]:
        async with limit:
            if by_key:
                return set(part) if await client.get(source.entity_set, part[0]) is not None else set()
            return await _matching(client, source, part)

    found = await asyncio.gather(*(look(keys[start : start + step]) for start in range(0, len(keys), step)))
    return set().union(*found)


async def _matching(client: SapCommerceClient, source: Source, keys: list[Any]) -> set[Any]:
    long = source.columns.get(source.key, "").upper() in ("BIGINT", "HUGEINT")
    where = " or ".join(f"{source.key} eq {literal(key, long=long)}" for key in keys)
    if source.filter:
        where = f"({where}) and ({source.filter})"
    pages = [page async for page in client.pages(source.entity_set, {"$filter": where})]
    found = {str(row[source.key]) for page in pages for row in page}
    return {key for key in keys if str(key) in found}
