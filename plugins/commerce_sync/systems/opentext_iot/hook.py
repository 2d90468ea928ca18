"""The Airflow hook: a connection becomes a client; extract, load and poll become plain calls."""

from __future__ import annotations

# Importing Airflow makes it ask the provider, and so this package, for CONNECTION: it has to be here by then.
from commerce_sync.systems.opentext_iot.connection import CALLS_PER_SECOND, CONN_TYPE, CONNECTION  # isort: skip

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Iterable, Mapping, Sequence
from datetime import datetime
from typing import TYPE_CHECKING, Any, TypeVar

from airflow.providers.http.hooks.http import HttpHook

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, SyncError
from commerce_sync.mapping import Field, Source, Target
from commerce_sync.systems.addresses import base_url
from commerce_sync.systems.answers import Call
from commerce_sync.systems.jobs import Jobs, Loaded
from commerce_sync.systems.opentext_iot import loader, message_writers, polling, present, reading
from commerce_sync.systems.opentext_iot.asked import Extracted, ReadOptions, check_source
from commerce_sync.systems.opentext_iot.auth import IotToken
from commerce_sync.systems.opentext_iot.client import IotClient
from commerce_sync.systems.opentext_iot.profile import Profile, profile
from commerce_sync.systems.trust import Trust

if TYPE_CHECKING:
    import pyarrow as pa
    from airflow.sdk import Connection

    from commerce_sync.ledger import Ledger

__all__ = ["CONNECTION", "CONN_TYPE", "OpenTextIotHook"]

T = TypeVar("T")


class OpenTextIotHook(HttpHook):
    """Reads and writes one tenant by a connection of type ``commerce_sync_opentext_iot``.

    on_call: told every HTTP call (budget).   sleep: injected by tests.
    """

    conn_name_attr = "conn_id"
    default_conn_name = "opentext_iot_default"
    conn_type = CONN_TYPE
    hook_name = "OpenText IoT Platform"

    def __init__(
        self,
        conn_id: str = default_conn_name,
        *,
        on_call: Callable[[Call], None] | None = None,
        sleep: Callable[[float], Awaitable[None]] = asyncio.sleep,
    ) -> None:
        super().__init__(method="GET", http_conn_id=conn_id)
        self.conn_id = conn_id
        self._on_call = on_call
        self._sleep = sleep
        self._connection: Connection | None = None

    @property
    def connection(self) -> Connection:
        """The Airflow connection, fetched once."""
        if self._connection is None:
            self._connection = self.get_connection(self.conn_id)
        return self._connection

    @property
    def profile(self) -> Profile:
        """How this gateway spells things. Raises ConfigurationError for a profile that is not there or broken."""
        return profile(self._extra("profile") or "covisint_classic", file=self._extra("profile_file"))

    def client(self) -> IotClient:
        """A client for ``async with``. Raises ConfigurationError without host or credentials."""
        found, address = self.connection, self._base_url()
        if not found.login or not found.password:
            raise ConfigurationError(f"connection {self.conn_id!r} lacks client id (login) or client secret (password)")
        values = {"realm": self._extra("realm"), "tenant": self._extra("tenant")}
        trust = Trust.of(found.extra_dejson)
        auth = IotToken(
            address, self.profile.auth, client_id=found.login, client_secret=found.password, values=values,
            trust=trust,
        )  # fmt: skip
        return IotClient(
            address, self.profile, auth, name=self.conn_id, timeout_s=float(self._extra("timeout_s") or 60),
            max_per_second=float(self._extra("max_per_second") or CALLS_PER_SECOND), trust=trust,
            on_call=self._on_call, sleep=self._sleep,
        )  # fmt: skip

    def extract(
        self,
        source: Source,
        *,
        since: datetime | None,
        until: datetime | None,
        complete: bool,
        into: BatchWriter,
        now: datetime | None = None,
    ) -> Extracted:
        """Read events, devices or templates into a batch; see ``reading.extract``."""
        return self._with_client(
            lambda client: reading.extract(
                client, source, since=since, until=until, complete=complete, into=into, now=now
            )
        )

    def load(
        self,
        target: Target,
        fields: Sequence[Field],
        changes: Batch,
        *,
        jobs: Jobs | None = None,
        into: BatchWriter,
        wait_s: float = 0,
    ) -> Loaded:
        """Write changes and an outcome per row; see ``loader.load``. wait_s: not used, nothing runs on remotely."""
        return self._with_client(lambda client: loader.load(client, target, fields, changes, into=into, jobs=jobs))

    def current(
        self, target: Target, fields: Sequence[Field], keys: Iterable[str], *, types: Mapping[str, str]
    ) -> pa.Table:
        """What the platform holds now, one row per key that is there: ``_target_key`` and the fields, typed.

        keys: values of the target's external id; of tags as records, ``<device id> <tag>``.
        """
        wanted = list(dict.fromkeys(keys))
        return self._with_client(lambda client: present.current(client, target, fields, wanted, types=types))

    def poll(
        self, ledger: Ledger, *, feed: str = polling.FEED, pace: polling.Pace | None = None,
        now: datetime | None = None, run: str = "poll",
    ) -> polling.Polled:  # fmt: skip
        """Bring the events since the feed's cursor into the ledger's inbox; see ``polling.poll``."""
        return self._with_client(lambda client: polling.poll(client, ledger, feed=feed, pace=pace, now=now, run=run))

    def send_event(self, *, device_id: str, event_type: str, values: dict[str, Any], message_id: str,
                   stream_id: str | None = None) -> None:  # fmt: skip
        """Send one event on behalf of a device."""
        self._with_client(
            lambda client: message_writers.send_event(
                client, device_id=device_id, event_type=event_type, values=values, message_id=message_id,
                stream_id=stream_id,
            )
        )  # fmt: skip

    def command_status(self, message_id: str) -> str:
        """ACCEPTED, DONE, FAILED or UNKNOWN."""
        return self._with_client(lambda client: message_writers.command_status(client, message_id))

    def problems(self, target: Target, fields: Sequence[Field]) -> list[str]:
        """What of a mapping's target the platform would refuse, one sentence each; empty when all is well."""
        return self._with_client(lambda client: loader.problems(client, target, fields))

    def problems_of_source(self, source: Source) -> list[str]:
        """What of a mapping's source cannot be read, one sentence each; empty when all is well."""

        async def look(client: IotClient) -> list[str]:
            try:
                options = ReadOptions.of(source)
                check_source(client.profile, source)
                await reading.EventFilter.of(client, options)
                known = (
                    set((await client.names(client.profile.events.types)).values())
                    if client.profile.events.types
                    else None
                )
            except ConfigurationError as error:
                return [str(error)]
            strange = [name for name in options.types if known is not None and name not in known]
            return [f"there is no event type {name!r}; there are: {', '.join(sorted(known or ()))}" for name in strange]

        return self._with_client(look)

    def test_connection(self) -> tuple[bool, str]:
        """What Airflow's test button does: signs in and reads the device templates."""

        async def look(client: IotClient) -> str:
            names = await client.names("device_template")
            return f"connected by profile {client.profile.profile}; {len(names)} device templates"

        try:
            return True, self._with_client(look)
        except (SyncError, ValueError) as error:
            return False, str(error)

    def _with_client(self, work: Callable[[IotClient], Coroutine[Any, Any, T]]) -> T:
        async def run() -> T:
            async with self.client() as client:
                return await work(client)

        return asyncio.run(run())

    def _extra(self, name: str) -> Any:
        return self.connection.extra_dejson.get(name) or None

    def _base_url(self) -> str:
        return base_url(self, self.connection, wanted="the gateway's address, https://...")
