"""The search index: a copy of the records that lags behind them, as the far side's own does.

A write takes its snapshot when it is made and shows it ``index_lag_s`` simulated seconds later. Reads by id never
come from here. Source: fact sheet sections 10 and 17.5; the length of the delay is not documented.
"""

from __future__ import annotations

import mimetypes
from typing import Any

import msgspec

from simulators.iconik.store import Row, Store, public

ASSET_PARTS = {"metadata", "approvals", "decisions", "formats", "file_sets", "files", "proxies", "keyframes"}
COLUMNS = (
    "id",
    "object_type",
    "title",
    "status",
    "type",
    "external_id",
    "media_type",
    "archive_status",
    "is_online",
    "approval_status",
    "date_created",
    "date_modified",
    "words",
    "doc",
)
_TABLES = (
    "CREATE TABLE IF NOT EXISTS found (id TEXT PRIMARY KEY, object_type TEXT, title TEXT, status TEXT, type TEXT,"
    " external_id TEXT, media_type TEXT, archive_status TEXT, is_online TEXT, approval_status TEXT,"
    " date_created TEXT, date_modified TEXT, words TEXT, doc TEXT)",
    "CREATE INDEX IF NOT EXISTS found_modified ON found (date_modified, id)",
    "CREATE INDEX IF NOT EXISTS found_created ON found (date_created, id)",
    "CREATE INDEX IF NOT EXISTS found_external ON found (external_id)",
    "CREATE TABLE IF NOT EXISTS pending (number INTEGER PRIMARY KEY, id TEXT, due REAL, doc TEXT)",
)
_INSERT = f"INSERT OR REPLACE INTO found VALUES ({', '.join('?' * len(COLUMNS))})"
_encode = msgspec.json.Encoder().encode
_decode = msgspec.json.Decoder().decode


class Index:
    """Documents for search and lists, in tables beside the records."""

    def __init__(self, store: Store, settings: Row) -> None:
        self.store, self.settings = store, settings
        self._dirty: dict[str, None] = {}
        for statement in _TABLES:
            store.db.execute(statement)

    def clear(self) -> None:
        self._dirty.clear()
        for table in ("found", "pending"):
            self.store.db.execute(f"DELETE FROM {table}")

    def touch(self, *keys: str | None) -> None:
        """These assets, collections or segments have changed."""
        self._dirty.update(dict.fromkeys(key for key in keys if key))

    def forget(self) -> None:
        """The call failed: nothing has changed after all."""
        self._dirty.clear()

    def flush(self, *, at_once: bool = False) -> None:
        """Take the snapshots of what was touched."""
        lag = 0.0 if at_once else float(self.settings["index_lag_s"])
        due = self.store.clock.timestamp() + lag
        for key in self._dirty:
            document = self.build(key)
            if lag <= 0:
                self.store.db.execute("DELETE FROM pending WHERE id = ?", (key,))
                self._show(key, document)
            else:
                text = None if document is None else _encode(document).decode()
                self.store.db.execute("INSERT INTO pending (id, due, doc) VALUES (?, ?, ?)", (key, due, text))
        self._dirty.clear()

    def catch_up(self) -> None:
        """Show every snapshot whose time has come."""
        now = self.store.clock.timestamp()
        sql = "SELECT number, id, doc FROM pending WHERE due <= ? ORDER BY number"
        for number, key, text in self.store.db.execute(sql, (now,)).fetchall():
            self._show(key, None if text is None else _decode(text))
            self.store.db.execute("DELETE FROM pending WHERE number = ?", (number,))

    def show_many(self, documents: list[Row]) -> None:
        """Index ready documents at once, for seeds."""
        self.store.db.executemany(_INSERT, [_columns(document) for document in documents])

    def _show(self, key: str, document: Row | None) -> None:
        if document is None:
            self.store.db.execute("DELETE FROM found WHERE id = ?", (key,))
        else:
            self.store.db.execute(_INSERT, _columns(document))

    def build(self, key: str) -> Row | None:
        """The document of one object as of now; None when it is gone."""
        if asset := self.store.get("assets", key):
            return self._asset(asset)
        if collection := self.store.get("collections", key):
            return self._collection(collection)
        if segment := self.store.get("segments", key):
            document = public(segment) | {"object_type": "segments", "title": segment.get("segment_text") or ""}
            return document | {"metadata": flat(segment.get("metadata") or {})}
        return None

    def _asset(self, asset: Row) -> Row:
        key, version = asset["id"], latest_version(asset)
        current = version["id"] if version else key
        metadata = self.store.get("metadata", current) or {}
        return asset_document(
            asset,
            values=metadata.get("metadata_values", {}),
            approval=self.store.get("approvals", current),
            parts={kind: self.store.find(kind, owner=key) for kind in ("formats", "files", "proxies", "keyframes")},
            collections=(holders := self.holders(key)),
            ancestors=self.ancestors(holders),
            relations=self.store.find("relations", owner=key),
            comments=sum(row["segment_type"] == "COMMENT" for row in self.store.find("segments", owner=key)),
        )

    def _collection(self, collection: Row) -> Row:
        metadata = self.store.get("metadata", collection["id"]) or {}
        holders = [collection["parent_id"]] if collection.get("parent_id") else []
        holders += [one for one in self.holders(collection["id"]) if one not in holders]
        return public(collection) | {
            "object_type": "collections",
            "metadata": flat(metadata.get("metadata_values", {})),
            "in_collections": holders,
            "parents": self.ancestors(holders),
            "ancestor_collections": self.ancestors(holders),
            "permissions": ["read", "write", "delete"],
        }

    def holders(self, key: str) -> list[str]:
        """The collections that contain an object directly."""
        return [row["collection_id"] for row in self.store.find("contents", part=key)]

    def ancestors(self, keys: list[str]) -> list[str]:
        """These collections and everything above them, nearest first."""
        seen: dict[str, None] = {}
        waiting = list(keys)
        while waiting:
            key = waiting.pop(0)
            if key in seen:
                continue
            seen[key] = None
            row = self.store.get("collections", key)
            if row and row.get("parent_id"):
                waiting.append(row["parent_id"])
        return list(seen)


def latest_version(asset: Row) -> Row | None:
    """The version with the highest number that is not deleted."""
    alive = [one for one in asset.get("versions", []) if one.get("status") != "DELETED"]
    return max(alive, key=lambda one: one.get("version_number") or 0, default=None)


def flat(values: Row) -> Row:
    """Metadata as search documents carry it: plain lists, empty fields left out."""
    found = {name: [one.get("value") for one in entry.get("field_values") or []] for name, entry in values.items()}
    return {name: listed for name, listed in found.items() if listed}


def asset_document(
    asset: Row,
    *,
    values: Row,
    approval: Row | None,
    parts: dict[str, list[Row]],
    collections: list[str],
    ancestors: list[str],
    relations: list[Row],
    comments: int,
) -> Row:
    """What search answers for an asset, from records that are at hand."""
    version = latest_version(asset)
    current = version["id"] if version else None
    files = [public(row) for row in parts["files"] if row["version_id"] == current and row["status"] != "DELETED"]
    components = [one for row in parts["formats"] for one in row.get("components") or []]
    return public(asset) | {
        "object_type": "assets",
        "metadata": flat(values),
        "approval": public(approval) if approval else None,
        "approval_status": approval["status"] if approval else "N/A",
        "media_type": media_type(files),
        "format": files[0]["name"].rpartition(".")[2].upper() if files else None,
        "duration_milliseconds": _duration_ms(components),
        "versions_number": len([one for one in asset["versions"] if one.get("status") != "DELETED"]),
        "in_collections": collections,
        "ancestor_collections": ancestors,
        "file_names": [row["name"] for row in files],
        "files": files,
        "formats": [public(row) for row in parts["formats"] if row["status"] == "ACTIVE"],
        "proxies": [public(row) for row in parts["proxies"] if row["version_id"] == current],
        "keyframes": [public(row) for row in parts["keyframes"] if row["version_id"] == current],
        "relations": [_relation(row) for row in relations],
        "comments_count": comments,
        "permissions": ["read", "write", "delete"],
        "position": None,
    }


def media_type(files: list[Row]) -> str | None:
    """video, audio, image or document, by the name of the first file."""
    if not files:
        return None
    kind = (mimetypes.guess_type(files[0]["name"])[0] or "").partition("/")[0]
    return kind if kind in ("video", "audio", "image") else "document"


def _duration_ms(components: list[Row]) -> int | None:
    for one in components:
        seconds = (one.get("metadata") or {}).get("duration")
        try:
            return round(float(seconds) * 1000) if seconds is not None else None
        except (TypeError, ValueError, OverflowError):
            continue
    return None


def _relation(row: Row) -> Row:
    kept = {name: row.get(name) for name in ("related_to_asset_id", "relation_type", "description")}
    return kept | {"related_from_asset_id": row["asset_id"], "date_created": row.get("date_created")}


def _columns(document: Row) -> tuple[Any, ...]:
    words = [document.get("title"), document.get("description"), document.get("external_id")]
    words += document.get("file_names") or []
    words += [one for listed in (document.get("metadata") or {}).values() for one in listed]
    given = {name: document.get(name) for name in COLUMNS}
    if (online := given["is_online"]) is not None:
        given["is_online"] = str(online).lower()
    given["words"] = " ".join(str(word) for word in words if word is not None).casefold()
    given["doc"] = _encode(document).decode()
    return tuple(given.values())
