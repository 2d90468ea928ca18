"""The iconik domain and the shop's catalog in a few words, for the stories of the iconik flows."""

from __future__ import annotations

import uuid
from datetime import UTC, datetime, timedelta
from typing import Any
from urllib.parse import quote

from flows.walking import Row

STAGED, ONLINE = "Staged|Default", "Online|Default"
OWN = ("pk", "itemtype", "creationtime", "owner")
WRITING = ("POST", "PUT", "PATCH", "DELETE", "MERGE")


class Archive:
    """An iconik domain whose index does not lag, as a reader sees it."""

    def __init__(self, far: Any) -> None:
        self.far = far
        far.options(index_lag_s=0)

    def asset(
        self, title: str, *, media: str | None = "image", approval: str | None = "APPROVED", **values: Any
    ) -> str:
        """A whole asset, indexed at once; gives its id. ``metadata``: field -> value or list."""
        key = str(uuid.uuid4())
        self.far.put("complete_assets", [{"id": key, "title": title, "media": media, "approval": approval, **values}])
        return key

    def package(self, code: str, *, catalog: str = "Default") -> str:
        """A product's collection."""
        key = str(uuid.uuid4())
        self.far.put("collections", [{"id": key, "title": code, "external_id": f"sapcc:{catalog}:{code}"}])
        return key

    def collections(self) -> dict[str, Row]:
        return {row["external_id"]: row for row in self.far.records("collections")}

    def assets(self) -> dict[str, Row]:
        """By external id."""
        return {row["external_id"]: row for row in self.far.records("assets") if row["external_id"]}

    def metadata(self, key: str) -> dict[str, list[Any]]:
        """Set metadata values of an object, of whatever version."""
        rows = [row for row in self.far.records("metadata") if row["object_id"] == key]
        found = {name: [one["value"] for one in entry["field_values"]]
                 for row in rows for name, entry in row["metadata_values"].items()}  # fmt: skip
        return {name: listed for name, listed in found.items() if listed}

    def edit(self, key: str, **values: Any) -> None:
        """Somebody sets metadata of an asset; None clears."""
        row = next(row for row in self.far.records("metadata") if row["object_id"] == key)
        entries = dict(row["metadata_values"])
        for name, value in values.items():
            listed = value if isinstance(value, list) else [] if value is None else [value]
            entries[name] = {"date_created": None, "field_values": [{"value": one} for one in listed]}
        self.far.patch("metadata", row["id"], metadata_values=entries)
        self.touch(key)

    def touch(self, key: str, **values: Any) -> None:
        """Change an asset; it was modified just now."""
        now = self.far.clock()["now"]
        self.far.patch("assets", key, date_modified=now, **values)

    def contents(self) -> set[tuple[str, str]]:
        return {(row["collection_id"], row["object_id"]) for row in self.far.records("contents")}

    def writes(self) -> int:
        """Calls since the last ``reset_calls`` that could change something."""
        return writes(self.far)


class Catalog:
    """The shop's products, media and pages."""

    def __init__(self, far: Any) -> None:
        self.far = far
        far.put("Catalog", [{"id": "Default"}, {"id": "Content"}])
        versions = [("Default", "Staged"), ("Default", "Online"), ("Content", "Staged"), ("Content", "Online")]
        far.put("CatalogVersion", [{"catalog": catalog, "version": version} for catalog, version in versions])

    def tick(self) -> str:
        """A moment ago: a run that begins now reads it, as literals of the shop leave fractions of a second out."""
        return (datetime.now(UTC) - timedelta(seconds=2)).isoformat()

    def categories(self, *codes: str, **values: Any) -> None:
        self.far.put("Category", [{"code": code, "catalogVersion": STAGED, "modifiedtime": self.tick(), **values}
                                  for code in codes])  # fmt: skip

    def product(self, code: str, *, categories: tuple[str, ...] = (), version: str = STAGED, **values: Any) -> None:
        """A product; given again under its code it is the same product, edited, its lists replaced."""
        row: Row = {"name": f"Thing {code}", "approvalStatus": "approved", "modifiedtime": self.tick()}
        row |= {"supercategories": [f"{category}|{version}" for category in categories]} | values
        row |= {"code": code, "catalogVersion": version}
        for known in self.far.records("Product"):
            if known["code"] == code and known["catalogVersion"] == version:
                # Edits of lists only add to them: the product is made anew from what it was.
                kept = {name: value for name, value in known.items() if value not in (None, []) and name not in OWN}
                row = kept | row
                self.far.delete("Product", quote(f"{code}|{version}", safe=""))
        self.far.put("Product", [row])

    def variant(self, code: str, *, of: str, **values: Any) -> None:
        row = {"code": code, "name": f"Variant {code}", "catalogVersion": STAGED, "baseProduct": f"{of}|{STAGED}"}
        self.far.put("GenericVariantProduct", [row | {"modifiedtime": self.tick()} | values])

    def media(self, *codes: str, version: str = STAGED, **values: Any) -> None:
        self.far.put("Media", [{"code": code, "catalogVersion": version, "modifiedtime": self.tick(), **values}
                               for code in codes])  # fmt: skip

    def change(self, kind: str, key: str, **values: Any) -> None:
        self.far.patch(kind, key, **({"modifiedtime": self.tick()} | values))

    def writes(self) -> int:
        return writes(self.far)


def writes(far: Any) -> int:
    """Calls of a far side since the last ``reset_calls`` that could change something; reads by POST are none."""
    routes = far.calls()["by_route"]
    return sum(count for route, count in routes.items()
               if route.startswith(WRITING) and "search" not in route and "token" not in route)  # fmt: skip
