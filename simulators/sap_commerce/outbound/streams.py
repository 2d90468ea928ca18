"""Streams of changes: what is new, modified or gone since it was last consumed.

One ItemVersionMarker per stream and item holds the version (``modifiedtime``) that was consumed. NEW: no marker;
MODIFIED: the item is newer than its marker; DELETED: a marker whose item is gone. Consuming writes the marker.
Source: fact sheet section 3.2.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from simulators.sap_commerce.outbound.flexible import where_sql
from simulators.sap_commerce.outbound.payload import integration_key
from simulators.sap_commerce.outbound.roots import item_of_type, way_to_root
from simulators.sap_commerce.schema import IntegrationObject
from simulators.sap_commerce.store import Store


@dataclass(frozen=True, slots=True)
class Stream:
    """One stream configuration, read for a run. ``where`` is SQL over alias ``item``."""

    id: str
    type: str
    codes: tuple[str, ...]
    where: str
    channel: int


@dataclass(frozen=True, slots=True)
class Change:
    """One change of a stream; ``info`` is what the marker kept, ``marker`` its pk if there is one."""

    stream: str
    kind: str  # NEW, MODIFIED, DELETED
    pk: int
    itemtype: str
    version: int
    marker: int | None
    info: str | None = None


def stream_types(service: IntegrationObject) -> list[str]:
    """The types an automatic channel watches: the root's and those that lead to it; all of them without a root."""
    items = [item for item in service.items.values() if not item.type.enum]
    if service.root is not None:
        items = [item for item in items if way_to_root(service, item) is not None]
    return list(dict.fromkeys(item.type.code for item in items))


def read_stream(store: Store, pk: int) -> Stream:
    """A stream from its configuration; ValueError when its where clause cannot be understood."""
    kind = store.value(store.value(pk, "itemTypeForStream"), "code")
    excluded_types = store.collection(
        pk, store.types.get("OutboundSyncStreamConfiguration").attributes["excludedTypes"]
    )
    excluded = {code for one in excluded_types for code in store.types.subtypes(store.value(one, "code"))}
    codes = tuple(code for code in store.types.subtypes(kind) if code not in excluded)
    clause = store.value(pk, "whereClause") or ""
    where = where_sql(clause, type_code=kind, types=store.types) if clause.strip() else "1"
    return Stream(store.value(pk, "streamId"), kind, codes, where, store.value(pk, "outboundChannelConfiguration"))


def changes_of(store: Store, stream: Stream) -> list[Change]:
    """All unconsumed changes of a stream, oldest items first."""
    table = store.types.get(stream.type).table
    marks = ", ".join("?" * len(stream.codes))
    sql = (
        f'SELECT item.pk, item.itemtype, item.modifiedtime, m.pk, m.info FROM "{table}" item'
        " LEFT JOIN ItemVersionMarker m ON m.streamId = ? AND m.itemPK = item.pk"
        f" WHERE item.itemtype IN ({marks}) AND (m.pk IS NULL OR item.modifiedtime > m.version)"
        f" AND ({stream.where}) ORDER BY item.pk"
    )
    rows = store.db.execute(sql, (stream.id, *stream.codes)).fetchall()
    found = [
        Change(stream.id, "NEW" if marker is None else "MODIFIED", pk, itemtype, version or 0, marker, info)
        for pk, itemtype, version, marker, info in rows
    ]
    gone = (
        "SELECT m.itemPK, m.itemComposedType, m.version, m.pk, m.info FROM ItemVersionMarker m"
        f' LEFT JOIN "{table}" item ON item.pk = m.itemPK WHERE m.streamId = ? AND item.pk IS NULL ORDER BY m.itemPK'
    )
    for pk, itemtype, version, marker, info in store.db.execute(gone, (stream.id,)).fetchall():
        found.append(Change(stream.id, "DELETED", pk, itemtype, version or 0, marker, info))
    return found


def consume(store: Store, change: Change, *, info: str | None) -> None:
    """Use a change up. ``version`` is the one that was collected: later edits stay changes."""
    if change.kind == "DELETED":
        if change.marker is not None:
            store.delete(change.marker)
        return
    values: dict[str, Any] = {"version": change.version, "info": info, "status": "ACTIVE"}
    if change.marker is not None and store.exists(change.marker):
        store.update(change.marker, values)
        return
    store.insert(
        "ItemVersionMarker",
        {"streamId": change.stream, "itemPK": change.pk, "itemComposedType": change.itemtype, **values},
    )


def reset_stream(store: Store, stream: str) -> int:
    """Forget what was consumed: everything is NEW again. Gives the number of markers removed."""
    removed = store.db.execute("DELETE FROM ItemVersionMarker WHERE streamId = ?", (stream,)).rowcount
    store.version += 1
    return removed


def marker_info(store: Store, service: IntegrationObject, change: Change, *, null_key: str) -> str | None:
    """What a deletion needs later: the key of a root item, taken while the item still exists."""
    item, root = item_of_type(service, change.itemtype, store=store), service.root
    if item is None or item is not root or not store.exists(change.pk):
        return None
    return json.dumps({"key": integration_key(store, service, item, change.pk, null=null_key)})
