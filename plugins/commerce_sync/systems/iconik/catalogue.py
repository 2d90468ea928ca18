"""Assets and collections: objects, versions, reviews, contents, relations, history, segments.

Source: the assets service's published OpenAPI document. ``external_id`` is not unique there, and
there is no call that reads by it: only the search knows it, with a delay.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any, Literal

from commerce_sync.systems.iconik.client import IconikClient, Row, all_of, any_of

Kind = Literal["assets", "collections"]
KINDS: tuple[Kind, ...] = ("assets", "collections")
LOOKUP_VALUES = 50
DELETED = "DELETED"
NO_APPROVAL: Row = {"status": "N/A", "version_id": None, "approvals_by": [], "users": []}


def path_of(kind: Kind, key: str = "", rest: str = "") -> str:
    """``assets/v1/assets/<id>/<rest>``."""
    return "/".join(part for part in ("assets/v1", kind, key, rest) if part) + "/"


async def read(client: IconikClient, kind: Kind, key: str, **params: Any) -> Row | None:
    """One asset or collection as stored, deleted ones included; None when there is none."""
    return await client.find(path_of(kind, key), **params)


async def create(client: IconikClient, kind: Kind, body: Row, **params: Any) -> Row:
    """A new asset or collection. An unanswered attempt raises UnknownOutcomeError: look it up before trying again."""
    made: Row = await client.call("POST", path_of(kind), json=body, params=params or None)
    return made


async def change(client: IconikClient, kind: Kind, key: str, body: Row) -> Row:
    """Overwrite the named fields, leave the others."""
    changed: Row = await client.change("PATCH", path_of(kind, key), body)
    return changed


async def delete(client: IconikClient, kind: Kind, key: str) -> bool:
    """Move to the delete queue; False when it was not there."""
    return await client.remove(path_of(kind, key))


async def restore(client: IconikClient, kind: Kind, key: str) -> None:
    """Take back out of the delete queue."""
    await client.change("PUT", path_of(kind, key, "restore"))


async def find_by_external_id(client: IconikClient, kind: Kind, values: Iterable[str]) -> dict[str, list[Row]]:
    """external_id -> live objects that have it, as the index knows them; several when somebody doubled it."""
    wanted = list(dict.fromkeys(values))
    found: dict[str, list[Row]] = {}
    for start in range(0, len(wanted), LOOKUP_VALUES):
        part = wanted[start : start + LOOKUP_VALUES]
        criteria = {
            "doc_types": [kind],
            "query": "",
            "filter": all_of(any_of("external_id", part)),
            "include_fields": ["id", "external_id", "status", "title"],
            "sort": [{"name": "date_created", "order": "asc"}, {"name": "id", "order": "asc"}],
        }
        async for page in client.search(criteria):
            for row in page.objects:
                # Text analysis of the index could match more than the very value.
                if row.get("external_id") in part and row.get("status") != DELETED:
                    found.setdefault(row["external_id"], []).append(row)
    return found


def latest_version(asset: Row) -> Row | None:
    """The version with the largest number, else the newest; the order of ``versions`` is not documented."""
    live = [one for one in asset.get("versions") or [] if one.get("status") not in ("DELETED", "DELETING")]
    if not live:
        return None
    newest: Row = max(live, key=lambda one: (one.get("version_number") or 0, str(one.get("date_created") or "")))
    return newest


async def add_version(client: IconikClient, asset_id: str, *, copy_metadata: bool = True) -> Row:
    """A new latest version; answers the asset's versions."""
    body = {"copy_metadata": copy_metadata, "copy_segments": True}
    made: Row = await client.call("POST", path_of("assets", asset_id, "versions"), json=body)
    return made


async def approval(client: IconikClient, kind: Kind, key: str) -> Row:
    """The review of the latest version; ``{"status": "N/A"}`` when none was ever asked for, in whichever way."""
    return await client.find(path_of(kind, key, "approvals/request")) or dict(NO_APPROVAL)


async def decisions(client: IconikClient, kind: Kind, key: str) -> list[Row]:
    """Who decided what."""
    return await client.listed(path_of(kind, key, "approvals"))


async def request_approval(
    client: IconikClient, kind: Kind, key: str, *, users: Sequence[str], min_number: int = 1
) -> Row:
    """Ask these users for a review; a job's id when iconik does it in the background."""
    body: Row = {"users": list(users), "min_number": min_number}
    asked: Row = await client.call("POST", path_of(kind, key, "approvals/request"), json=body, repeatable=True)
    return asked


async def decide(client: IconikClient, kind: Kind, key: str, status: str) -> Row:
    """Set the connection's own user's decision: APPROVED or NOT_APPROVED."""
    made: Row = await client.change("PUT", path_of(kind, key, "approvals"), {"status": status})
    return made


async def contents(client: IconikClient, collection_id: str, **params: Any) -> list[Row]:
    """Index documents of what a collection holds."""
    return await client.listed(path_of("collections", collection_id, "contents"), **params)


async def holders(client: IconikClient, kind: Kind, key: str) -> list[str] | None:
    """Ids of the collections an object is in directly, as stored; None when there is no such object."""
    found = await read(client, kind, key, **({"include_collections": "true"} if kind == "assets" else {}))
    return None if found is None else list(found.get("in_collections") or [])


async def put_into(client: IconikClient, collection_id: str, kind: Kind, key: str) -> None:
    """Add an object to a collection."""
    body = {"object_id": key, "object_type": kind}
    await client.call("POST", path_of("collections", collection_id, "contents"), json=body)


async def take_out(client: IconikClient, collection_id: str, kind: Kind, key: str) -> bool:
    """Take an object out of a collection; False when it was not in it."""
    return await client.remove(path_of("collections", collection_id, f"contents/{kind}/{key}"))


async def relation_types(client: IconikClient) -> list[str]:
    """Names of the tenant's relation types."""
    return [row["name"] for row in await client.listed("assets/v1/assets/relation_types/")]


async def related(client: IconikClient, asset_id: str, relation_type: str) -> list[str]:
    """Ids of the assets this one is related to by a type."""
    rows = await client.listed(path_of("assets", asset_id, f"relations/{relation_type}"))
    return [row["id"] for row in rows]


async def relate(client: IconikClient, asset_id: str, relation_type: str, other_id: str) -> None:
    """Relate one asset to another."""
    body = {"related_to_asset_id": other_id, "relation_type": relation_type}
    await client.call("POST", path_of("assets", asset_id, "relations"), json=body)


async def unrelate(client: IconikClient, asset_id: str, relation_type: str, other_id: str) -> bool:
    """Undo a relation; False when there was none."""
    return await client.remove(path_of("assets", asset_id, f"relations/{relation_type}/{other_id}"))


async def history(client: IconikClient, asset_id: str, *, operation_type: str | None = None) -> list[Row]:
    """The audit trail, newest first."""
    params: Row = {"sort": "date_created,desc"}
    if operation_type:
        params["filter"] = f"operation_type,eq,{operation_type}"
    return await client.listed(path_of("assets", asset_id, "history"), **params)


async def add_history(client: IconikClient, asset_id: str, description: str) -> Row:
    """A CUSTOM entry; whether callers may write other types is not documented."""
    body = {"operation_type": "CUSTOM", "operation_description": description}
    made: Row = await client.call("POST", path_of("assets", asset_id, "history"), json=body)
    return made


async def segments(client: IconikClient, asset_id: str) -> list[Row]:
    """Comments, markers and other time-based notes of an asset."""
    return await client.listed(path_of("assets", asset_id, "segments"))


async def add_segment(client: IconikClient, asset_id: str, body: Row) -> Row:
    """A new segment; ``segment_type`` is required."""
    made: Row = await client.call("POST", path_of("assets", asset_id, "segments"), json=body)
    return made
