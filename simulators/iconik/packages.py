"""Complete assets from a few words: asset, version, format, file set, file, proxy, keyframes, metadata, review.

A package is ``{"title", "id"?, "version_id"?, "external_id"?, "type"?, "media"?: image|png|video|audio|pdf,
"width"?, "height"?, "seconds"?, "seed"?, "file_name"?, "metadata"?: {field: value or list}, "approval"?: status,
"collections"?: [ids], "date_created"?, "date_modified"?, "archived"?, "versions"?, "packed"?}``. What has to be made
to name size and checksum is made once for equal recipes. A ``packed`` asset gets its files when somebody first asks.
"""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any

from simulators.iconik import media
from simulators.iconik.approvals import new_request
from simulators.iconik.asset_records import new_asset, new_version
from simulators.iconik.asset_shapes import APPROVAL
from simulators.iconik.customer import STORAGES
from simulators.iconik.field_values import entry_of
from simulators.iconik.files import new_file
from simulators.iconik.formats import new_file_set, new_format
from simulators.iconik.index import Index, asset_document
from simulators.iconik.metadata_values import blank
from simulators.iconik.renditions import components_of, keyframes_of, proxy_of
from simulators.iconik.site import EDITOR_USER
from simulators.iconik.store import Row, Store, words

MAKES = {"image": ("jpeg", "jpg"), "png": ("png", "png"), "video": ("mov", "mov"), "audio": ("wav", "wav")}
MAKES["pdf"] = ("pdf", "pdf")
OWN = words(
    "id version_id media width height seconds seed file_name metadata approval collections archived versions packed"
    " date_created date_modified"
)


def stable_id(text: str) -> str:
    """An id that follows from a text, in the form of the recorded ones."""
    digest = hashlib.md5(text.encode(), usedforsecurity=False).hexdigest()
    return f"{digest[:8]}-{digest[8:12]}-11{digest[12:14]}-9{digest[14:17]}-{digest[17:29]}"


@dataclass(slots=True)
class Rows:
    """Rows waiting to be stored, by kind: (id, owner, part, row); and ready index documents."""

    kinds: dict[str, list[tuple[str, str | None, str | None, Row]]] = field(default_factory=dict)
    documents: list[Row] = field(default_factory=list)

    def add(self, kind: str, row: Row, *, owner: str | None = None, part: str | None = None) -> Row:
        self.kinds.setdefault(kind, []).append((row["id"], owner, part, row))
        return row

    def store(self, store: Store, index: Index) -> None:
        """Write everything, and be empty again."""
        for kind, rows in self.kinds.items():
            store.put_many(kind, rows)
        index.show_many(self.documents)
        self.kinds.clear()
        self.documents.clear()


class Packer:
    """Turns packages into rows; ``ancestors`` of collections are asked once."""

    def __init__(self, store: Store, index: Index) -> None:
        self.store, self.index, self.rows = store, index, Rows()
        self.fields = {row["name"]: row for row in store.find("fields")}
        self._above: dict[str, list[str]] = {}

    def add(self, package: Row) -> Row:
        """Raises ValueError when the package says something that is not known."""
        now = package.get("date_created") or self.store.now()
        key = package.get("id") or self.store.new_id()
        version = package.get("version_id") or stable_id(f"{key} version 1")
        values = {name: value for name, value in package.items() if name not in OWN}
        if not isinstance(values.get("title"), str):
            raise ValueError(f"a complete asset needs a title; got {package!r}")
        asset = new_asset(now, key=key, version_id=version, user_id=EDITOR_USER, values=values)
        asset["date_modified"] = package.get("date_modified") or now
        version = _more_versions(asset, int(package.get("versions", 1)), now=now)
        packed = bool(package.get("packed") and package.get("media"))
        parts = self._media({} if packed else package, asset, version=version, now=now)
        metadata = self._metadata(package, asset, version=version, now=now)
        approval = self._approval(package, asset, version=version, now=now)
        self.rows.add("assets", asset)
        holders = self._collections(package, asset, now=now)
        document = asset_document(
            asset,
            values=metadata,
            approval=approval,
            parts=parts,
            collections=holders,
            ancestors=[one for key in holders for one in self._ancestors(key)],
            relations=[],
            comments=0,
        )
        self.rows.documents.append(document | (self._packed(package, asset) if packed else {}))
        return asset

    def _packed(self, package: Row, asset: Row) -> Row:
        """Put the files aside; gives what search says about them meanwhile."""
        asset["is_online"] = asset["versions"][-1]["is_online"] = True
        self.rows.add("packed", {"id": asset["id"], "package": {**package, "title": asset["title"]}})
        ending = MAKES[package["media"]][1]
        kind = {"png": "image", "pdf": "document"}.get(package["media"], package["media"])
        names = [f"{_plain(asset['title'])}.{ending}"]
        return {"media_type": kind, "format": ending.upper(), "file_names": names, "is_online": True}

    def _ancestors(self, key: str) -> list[str]:
        if key not in self._above:
            self._above[key] = self.index.ancestors([key])
        return self._above[key]

    def _media(self, package: Row, asset: Row, *, version: str, now: str) -> dict[str, list[Row]]:
        parts: dict[str, list[Row]] = {"formats": [], "files": [], "proxies": [], "keyframes": []}
        kind = package.get("media")
        if kind is None:
            return parts
        if kind not in MAKES:
            raise ValueError(f"media {kind!r} is unknown; legal: {', '.join(MAKES)} or null")
        key = asset["id"]
        file = self._file(package, asset, version=version, now=now)
        archived = bool(package.get("archived"))
        components = components_of(file, key=stable_id(f"{key} component"))
        form = {"name": "ORIGINAL", "components": components, "storage_methods": ["GCS"], "is_online": not archived}
        form["archive_status"] = "ARCHIVED" if archived else "NOT_ARCHIVED"
        one = new_format(now, key=file["format_id"], asset_id=key, version_id=version, user_id=EDITOR_USER, values=form)
        home = {"name": "ORIGINAL", "base_dir": "/", "format_id": file["format_id"], "storage_id": STORAGES["FILES"]}
        home["component_ids"] = [components[0]["id"]]
        where = new_file_set(now, key=file["file_set_id"], asset_id=key, version_id=version, values=home)
        self.rows.add("file_sets", where, owner=key, part=version)
        proxy = proxy_of(now, key=stable_id(f"{key} proxy"), file=file, storage_id=STORAGES["PROXIES"])
        keys = [stable_id(f"{key} {role}") for role in ("poster", "keyframe")]
        frames = keyframes_of(now, keys=keys, file=file, storage_id=STORAGES["KEYFRAMES"])
        parts |= {"formats": [one], "files": [file], "keyframes": [_measured(frame) for frame in frames]}
        parts["proxies"] = [_measured(proxy) | {"status": "CLOSED"}] if proxy else []
        for name, rows in parts.items():
            for row in rows:
                self.rows.add(name, row, owner=key, part=version)
        asset |= {"is_online": not archived, "archive_status": form["archive_status"]}
        asset["versions"][-1] |= {"is_online": not archived, "archive_status": form["archive_status"]}
        return parts

    def _file(self, package: Row, asset: Row, *, version: str, now: str) -> Row:
        make, ending = MAKES[package["media"]]
        key = asset["id"]
        size = {"width": int(package.get("width", 800)), "height": int(package.get("height", 600))}
        recipe: Row = {"make": make, **size, "seconds": float(package.get("seconds", 2.0))}
        recipe |= {"seed": str(package.get("seed") or asset["title"]), "mark": f"\n{key}\n"}
        name = package.get("file_name") or f"{_plain(asset['title'])}.{ending}"
        length, checksum = _fingerprint(recipe)
        values: Row = {"original_name": name, "name": name, "directory_path": "masters", "type": "FILE"}
        values |= {"format_id": stable_id(f"{key} format"), "file_set_id": stable_id(f"{key} file set")}
        values |= {"status": "ARCHIVED" if package.get("archived") else "CLOSED", "storage_id": STORAGES["FILES"]}
        values |= {"size": length, "checksum": checksum, "_recipe": recipe}
        file_id = stable_id(f"{key} file")
        return new_file(now, key=file_id, asset_id=key, version_id=version, user_id=EDITOR_USER, values=values)

    def _metadata(self, package: Row, asset: Row, *, version: str, now: str) -> Row:
        values: Row = {}
        for name, given in (package.get("metadata") or {}).items():
            if name not in self.fields:
                raise ValueError(f"metadata field {name!r} does not exist; there are: {', '.join(self.fields)}")
            listed = given if isinstance(given, list) else [] if given is None else [given]
            entries = [entry_of(self.fields[name], one) for one in listed]
            values[name] = {"date_created": now, "field_values": entries}
        row = blank(version, kind="assets", object_id=asset["id"])
        row |= {"metadata_values": values, "date_created": now, "date_modified": now}
        self.rows.add("metadata", row, owner=asset["id"], part=version)
        return values

    def _approval(self, package: Row, asset: Row, *, version: str, now: str) -> Row | None:
        status = package.get("approval")
        if status in (None, "N/A"):
            return None
        if status not in APPROVAL:
            raise ValueError(f"approval {status!r} is unknown; legal: {', '.join(APPROVAL)}")
        base = new_request(now, version=version, object_type="assets", object_id=asset["id"], user_id=EDITOR_USER)
        row = base | {"users": [EDITOR_USER], "status": status}
        self.rows.add("approvals", row, owner=asset["id"], part=version)
        votes = {"APPROVED": ["APPROVED"], "NOT_APPROVED": ["NOT_APPROVED"], "MIXED": ["APPROVED", "NOT_APPROVED"]}
        for vote, who in zip(votes.get(status, []), (EDITOR_USER, "second@example.com"), strict=False):
            decision: Row = {"id": f"{version}:{who}", "user": None, "external": None, "status": vote}
            decision |= {"external" if "@" in who else "user": who, "change_date": now}
            decision |= {"object_id": asset["id"], "object_type": "assets", "version_id": version}
            self.rows.add("decisions", decision, owner=asset["id"], part=version)
        return row

    def _collections(self, package: Row, asset: Row, *, now: str) -> list[str]:
        holders: list[str] = list(package.get("collections") or [])
        for key in holders:
            link: Row = {"id": f"{key}:{asset['id']}", "collection_id": key, "object_id": asset["id"]}
            link |= {"object_type": "assets", "date_created": now}
            self.rows.add("contents", link, owner=key, part=asset["id"])
        return holders


def unpack(store: Store, index: Index, key: str) -> None:
    """Make the files of a packed asset."""
    aside = store.get("packed", key)
    asset = store.get("assets", key) if aside else None
    if aside is None or asset is None:
        return
    store.remove("packed", key)
    packer = Packer(store, index)
    packer._media(aside["package"], asset, version=asset["versions"][-1]["id"], now=asset["date_created"])
    packer.rows.store(store, index)
    index.touch(key)


def _more_versions(asset: Row, count: int, *, now: str) -> str:
    """Further versions; gives the id of the latest."""
    for number in range(2, count + 1):
        key = stable_id(f"{asset['id']} version {number}")
        asset["versions"].append(new_version(now, key=key, user_id=EDITOR_USER, number=number))
    latest: str = asset["versions"][-1]["id"]
    return latest


@lru_cache(maxsize=1024)
def _base(recipe: tuple[tuple[str, Any], ...]) -> tuple[int, Any]:
    data = media.made(dict(recipe))
    return len(data), hashlib.md5(data, usedforsecurity=False)


def _fingerprint(recipe: Row) -> tuple[int, str]:
    """(size, MD5) of a recipe; only the mark is new work when the rest was made before."""
    mark = recipe["mark"].encode()
    length, digest = _base(tuple(sorted((name, value) for name, value in recipe.items() if name != "mark")))
    whole = digest.copy()
    whole.update(mark)
    return length + len(mark), whole.hexdigest()


def _measured(row: Row) -> Row:
    return row | {"size": _base(tuple(sorted(row["_recipe"].items())))[0]}


def _plain(title: str) -> str:
    return re.sub(r"\W", "_", title)[:60] or "asset"
