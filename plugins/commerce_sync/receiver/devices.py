"""OpenText IoT Platform: signed subscriptions of ``generic_rest``, and envelopes that a rule or a side-car posts.

Both end in the feed that is polled too, under the same event ids: an event that is pushed and polled is there once.
The platform's own word which of its gateways this is comes from its connection's profile. A gateway that sends ids of
event templates is asked for their names, briefly, and not again while it does not answer.
"""

from __future__ import annotations

import asyncio
import json
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Any

from commerce_sync.errors import SyncError
from commerce_sync.ledger import REFUSED, Refused, event_schema, reject_schema
from commerce_sync.receiver.bodies import must_be, parsed
from commerce_sync.receiver.deliveries import Call, Delivery, Hint, answered, digest, rows_of
from commerce_sync.receiver.refusals import later, wrong
from commerce_sync.systems.opentext_iot import envelopes
from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook
from commerce_sync.systems.opentext_iot.parts import session
from commerce_sync.systems.opentext_iot.polling import FEED
from commerce_sync.systems.opentext_iot.profile import Profile

if TYPE_CHECKING:
    import pyarrow as pa

JSON = ("application/json",)
MOST_EVENTS = 10_000
ASKING_S = 3.0
NAMES_KEPT_S = 600.0
NAMES_AGAIN_S = 30.0
"""A template that is not known is asked for again after this long: it may be new."""
TAKEN = b'{"status": "taken"}'


@dataclass(frozen=True, slots=True)
class Platform:
    """What the receiver needs of the platform. names: event template id -> name, or what is known of them."""

    profile: Profile
    names: Callable[[Sequence[str]], dict[str, str]]


class Platforms:
    """Platforms by connection, with the names of their event templates."""

    def __init__(self) -> None:
        self._names: dict[str, tuple[float, dict[str, str]]] = {}
        self._turn = threading.Lock()

    def find(self, conn_id: str) -> Platform:
        """The platform of a connection; default ``opentext_iot_default``."""
        hook = OpenTextIotHook(conn_id or OpenTextIotHook.default_conn_name)
        try:
            profile = hook.profile
        except SyncError:
            raise
        except Exception as error:  # there is no such connection, or a secrets backend fails in its own way
            kind = type(error).__name__
            raise later("no_platform", f"the platform's connection cannot be read ({kind})", seconds=60) from error
        return Platform(profile, lambda wanted: self._known(hook, wanted))

    def _known(self, hook: OpenTextIotHook, wanted: Sequence[str]) -> dict[str, str]:
        with self._turn:
            at, names = self._names.get(hook.conn_id, (float("-inf"), {}))
            patience = NAMES_KEPT_S if set(wanted) <= set(names) else NAMES_AGAIN_S
            if time.monotonic() - at > patience:
                names = _asked(hook)
                self._names[hook.conn_id] = (time.monotonic(), names)
            return names


def _asked(hook: OpenTextIotHook) -> dict[str, str]:
    async def _ask() -> dict[str, str]:
        async with asyncio.timeout(ASKING_S), hook.client() as client:
            return await client.names(str(hook.profile.events.types))

    try:
        return asyncio.run(_ask())
    except Exception as error:  # whatever is wrong over there: the sender has to come again
        kind = type(error).__name__
        raise later("names_unknown", f"the platform does not tell its event templates ({kind})", seconds=10) from error


def push(call: Call, platforms: Platforms) -> Delivery:
    """The events of one delivery: ``{"deliveryId", "events": [...]}``, an envelope, or a list of envelopes."""
    must_be(call.media, JSON)
    items = _items(parsed(call.body))
    platform = platforms.find(call.credential.platform)
    spec = platform.profile.events
    names: dict[str, str] = {}
    if spec.types:
        paths = spec.fields.get("type", ())
        names = platform.names([str(item.get(path)) for item in items for path in paths if item.get(path)])
    valid, refused = _rows(items, platform.profile, names)
    reason = f"{refused.rejects.num_rows} events refused" if refused else None
    return Delivery(FEED, valid, answered(200, TAKEN), refused, reason)


def _items(body: Any) -> list[dict[str, Any]]:
    found = body.get("events", [body]) if isinstance(body, dict) else body
    if not isinstance(found, list) or not all(isinstance(one, dict) for one in found):
        raise wrong("schema", "an envelope, a list of envelopes or an object with 'events' is needed")
    if len(found) > MOST_EVENTS:
        raise wrong("too_many", f"a delivery has at most {MOST_EVENTS} events")
    return found


def _rows(
    items: list[dict[str, Any]], profile: Profile, names: dict[str, str]
) -> tuple[pa.Table, Refused | None]:  # fmt: skip
    """Valid events, and what cannot be read; one that breaks the whole is told apart by reading them one by one."""
    import pyarrow as pa

    try:
        return _parted(_read(items, profile, names))
    except (ArithmeticError, LookupError, TypeError, ValueError, pa.ArrowException, _duckdb_error()):
        if len(items) == 1:
            return rows_of([]), _broken(items[0])
    parts = [_rows([item], profile, names) for item in items]
    refused = [one for _valid, one in parts if one is not None]
    together = Refused(
        pa.concat_tables([one.originals for one in refused]), pa.concat_tables([one.rejects for one in refused])
    ) if refused else None  # fmt: skip
    return pa.concat_tables([valid for valid, _refused in parts]), together


def _duckdb_error() -> type[Exception]:
    import duckdb

    return duckdb.Error


def _read(items: list[dict[str, Any]], profile: Profile, names: dict[str, str]) -> pa.Table:
    """As a poll reads them, with ``problem`` where something is wrong. Times no calendar has become the present."""
    spec, now = profile.events, datetime.now(UTC)
    with session() as con:
        envelopes.register_types(con, names)
        con.register("raw_events", envelopes.raw_table(items, spec, times=profile.times))
        events = envelopes.inbox_sql(envelopes.events_sql(spec), refused=REFUSED)
        sane = "occurred_at BETWEEN TIMESTAMPTZ '1970-01-01 00:00:00Z' AND $latest::TIMESTAMPTZ"
        sane_time = f"CASE WHEN {sane} THEN occurred_at ELSE $now::TIMESTAMPTZ END"
        query = f"SELECT * REPLACE ({sane_time} AS occurred_at) FROM ({events})"
        return con.sql(query, params={"now": now, "latest": now + timedelta(days=1)}).to_arrow_table()


def _parted(rows: pa.Table) -> tuple[pa.Table, Refused | None]:
    import pyarrow as pa
    import pyarrow.compute as pc

    wrong_ones = pc.is_valid(rows["problem"])
    fields = event_schema()
    valid = rows.filter(pc.invert(wrong_ones)).select(fields.names).cast(fields)
    found = rows.filter(wrong_ones)
    if not found.num_rows:
        return valid, None
    told = [_reject(one["event_id"], one["problem"]) for one in found.to_pylist()]
    return valid, Refused(found.select(fields.names).cast(fields), pa.Table.from_pylist(told, _reject_fields(told)))


def _broken(item: dict[str, Any]) -> Refused:
    """An envelope with values that cannot even be read as an event's."""
    import pyarrow as pa

    text = json.dumps(item)
    identity = f"~{digest(text)}"
    hint = Hint(identity, REFUSED, "device/", None, datetime.now(UTC), {"problem": "unreadable", "message": text})
    told = [_reject(identity, "unreadable envelope")]
    return Refused(rows_of([hint]), pa.Table.from_pylist(told, _reject_fields(told)))


def _reject(key: str, problem: str) -> dict[str, str]:
    return {"key": key, "status": "quarantined", "code": problem, "reason_class": "validation",
            "reason": f"the pushed event cannot be read: {problem}"}  # fmt: skip


def _reject_fields(told: list[dict[str, str]]) -> pa.Schema:
    import pyarrow as pa

    return pa.schema([reject_schema().field(name) for name in told[0]])
