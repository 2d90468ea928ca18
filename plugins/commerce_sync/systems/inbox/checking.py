"""From what was delivered to rows of the ledger: valid events as they are, the others set aside with a reason."""

from __future__ import annotations

import hashlib
import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from functools import cache
from typing import TYPE_CHECKING, Any

import msgspec

from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import REFUSED, Refused, event_schema, reject_schema
from commerce_sync.systems.inbox.schema import TYPES, Envelope

if TYPE_CHECKING:
    import pyarrow as pa

MASK = "***"
SHOWN = frozenset({"product", "products", "content", "value", "currency", "consent", "gated", "results"})
"""Data fields a refused event's payload shows; whatever else it says may be about a person."""
AHEAD = timedelta(days=1)
"""How far the far side's clock may be ahead of ours."""
LONGEST = 1 << 20
"""Characters of one event."""
FIRST = datetime(1970, 1, 1, tzinfo=UTC)

_envelope = msgspec.json.Decoder(Envelope)
_object = msgspec.json.Decoder(dict[str, Any])


@dataclass(slots=True)
class Checked:
    """A delivery after checking: valid events, and original n with reject n for what is not valid."""

    events: list[tuple[Any, ...]] = field(default_factory=list)
    originals: list[tuple[Any, ...]] = field(default_factory=list)
    rejects: list[dict[str, Any]] = field(default_factory=list)

    def rows(self) -> pa.Table:
        """The valid events as the ledger takes them."""
        return _table(self.events)

    def refused(self) -> Refused | None:
        """What is not valid as the ledger takes it; None when all is."""
        import pyarrow as pa

        if not self.rejects:
            return None
        fields = pa.schema([reject_schema().field(name) for name in self.rejects[0]])
        return Refused(_table(self.originals), pa.Table.from_pylist(self.rejects, fields))


def _table(rows: list[tuple[Any, ...]]) -> pa.Table:
    import pyarrow as pa

    fields = event_schema()
    columns = zip(*rows, strict=True) if rows else [()] * len(fields)
    return pa.table([pa.array(list(v), f.type) for v, f in zip(columns, fields, strict=True)], fields)


def check(deliveries: Iterable[bytes], *, types: Collection[str], where: str = "") -> Checked:
    """Sort deliveries (one JSON text each) into valid events and such that are set aside; nothing raises.

    types: what the feed takes.   where: said in reasons, so that a person finds the original.
    """
    done = Checked()
    latest = datetime.now(UTC) + AHEAD
    for body in deliveries:
        try:
            done.events.append(_row(body, types=types, latest=latest))
        except (ValueError, msgspec.MsgspecError) as error:
            _set_aside(done, body, reason=str(error), where=where)
    return done


def _row(body: bytes, *, types: Collection[str], latest: datetime) -> tuple[Any, ...]:
    if len(body) > LONGEST:
        raise ValueError(f"an event of {len(body)} bytes; {LONGEST} are the most")
    found = _envelope.decode(body)
    if found.type not in types:
        raise ValueError(f"type {found.type!r} is not one this feed takes: {', '.join(sorted(types))} - at `$.type`")
    if not FIRST <= found.time <= latest:
        raise ValueError(f"time {found.time.isoformat()} is not between 1970 and tomorrow - at `$.time`")
    text = _data(found)
    return (found.id, found.type, found.source, found.subject, found.time, text)


def _data(found: Envelope) -> str:
    body = bytes(found.data)
    try:
        _object.decode(body)
        signal = _decoder(found.type).decode(body) if found.type in TYPES else None
    except msgspec.ValidationError as error:
        raise ValueError(
            str(error).replace("`$", "`$.data") if "`$" in str(error) else f"{error} - at `$.data`"
        ) from error
    if signal is not None and signal.uid is None and signal.visitor is None:
        raise ValueError("neither uid nor visitor says who it was; one is needed - at `$.data`")
    return body.decode()


@cache
def _decoder(kind: str) -> msgspec.json.Decoder[Any]:
    return msgspec.json.Decoder(TYPES[kind])


def _set_aside(done: Checked, body: bytes, *, reason: str, where: str) -> None:
    """Keep the original under its digest: a corrected event with the same id must not look like a repetition."""
    told = _told(body)
    original = f"~{hashlib.blake2b(body, digest_size=16).hexdigest()}"
    text = body.decode("utf-8", "replace")
    key = told["id"] if isinstance(told.get("id"), str) and told["id"] else original
    kind = told.get("type") if isinstance(told.get("type"), str) else "?"
    done.originals.append((original, REFUSED, str(kind)[:512], key, datetime.now(UTC), text))
    place = re.search(r"at `\$\.?([^`]*)`", reason)
    done.rejects.append({
        "key": key, "status": "quarantined", "code": str(kind)[:255], "reason_class": "validation",
        "reason": f"{where}: {reason}" if where else reason, "fields": place.group(1) if place else None,
        "payload": msgspec.json.encode(_masked(told)).decode(),
    })  # fmt: skip


def _told(body: bytes) -> dict[str, Any]:
    try:
        found = _object.decode(body)
        msgspec.json.encode(found)  # text that is not Unicode decodes, and cannot be stored
    except (ValueError, msgspec.MsgspecError):
        return {}
    return found


def _masked(told: dict[str, Any]) -> dict[str, Any]:
    data = told.get("data")
    inside = (
        {name: value if name in SHOWN else MASK for name, value in data.items()} if isinstance(data, dict) else MASK
    )
    envelope = {name: value for name, value in told.items() if name in ("id", "type", "source", "time", "specversion")}
    return envelope | ({"data": inside} if "data" in told else {})


def feed_types(types: Collection[str] | None) -> frozenset[str]:
    """What a feed takes: the types it lists, all known ones when it lists none. Raises ConfigurationError if empty."""
    chosen = frozenset(TYPES if types is None else types)
    if not chosen or any(name.startswith("~") for name in chosen):
        raise ConfigurationError(f"types {sorted(chosen)} of a feed; name at least one, none beginning with '~'")
    return chosen
