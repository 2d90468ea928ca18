"""Outbound channels: reading one, and what ``autoGenerate`` creates for it.

Source: fact sheet section 3.2.
"""

from __future__ import annotations

from dataclasses import dataclass

from simulators.sap_commerce.outbound.streams import stream_types
from simulators.sap_commerce.schema import IntegrationObject, Schemas
from simulators.sap_commerce.store import Store


@dataclass(frozen=True, slots=True)
class Channel:
    """An outbound channel configuration, read for a run."""

    pk: int
    code: str
    service: IntegrationObject
    destination: int
    deletes: bool
    batch: bool


def read_channel(store: Store, schemas: Schemas, pk: int | None) -> Channel:
    """The channel behind a pk; LookupError when it or its integration object does not exist."""
    if pk is None or not store.exists(pk):
        raise LookupError("the outbound channel configuration of a stream does not exist")
    code = store.value(pk, "code")
    name = store.value(store.value(pk, "integrationObject"), "code")
    service = schemas.get(name) if name else None
    if service is None:
        raise LookupError(f"channel {code}: its integration object does not exist")
    deletes, batch = bool(store.value(pk, "synchronizeDelete")), bool(store.value(pk, "batch"))
    return Channel(pk, code, service, store.value(pk, "destination"), deletes, batch)


def generate(store: Store, schemas: Schemas, channel: int) -> None:
    """Container, streams, job and cron job of a new channel; a trigger is left to the administrator."""
    one = read_channel(store, schemas, channel)
    container = _made(store, "OutboundSyncStreamConfigurationContainer", {"id": f"{one.code}Container"})
    for code in stream_types(one.service):
        (kind,) = store.find(["ComposedType"], {"code": code})
        row = {"streamId": f"{one.code}_{code}_Stream"}
        rest = {"container": container, "itemTypeForStream": kind, "outboundChannelConfiguration": channel}
        _made(store, "OutboundSyncStreamConfiguration", row, rest | {"active": 1})
    job = _made(store, "OutboundSyncJob", {"code": f"{one.code}Job"}, {"streamConfigurationContainer": container})
    (unknown,) = store.find(["CronJobStatus"], {"code": "UNKNOWN"})
    (no_result,) = store.find(["CronJobResult"], {"code": "UNKNOWN"})
    state = {"job": job, "active": 1, "status": unknown, "result": no_result}
    _made(store, "OutboundSyncCronJob", {"code": f"{one.code}CronJob"}, state)


def _made(store: Store, code: str, key: dict[str, object], rest: dict[str, object] | None = None) -> int:
    found = store.find([code], key)
    return found[0] if found else store.insert(code, {**key, **(rest or {})})
