"""The records as the control API sees them: raw rows, past the API."""

from __future__ import annotations

from typing import Any

from simulators.iconik.approvals import recompute
from simulators.iconik.asset_records import OF_ASSETS, new_asset
from simulators.iconik.call import Event
from simulators.iconik.collections import new_collection
from simulators.iconik.customer import seed_customer
from simulators.iconik.demo import load_demo
from simulators.iconik.packages import Packer
from simulators.iconik.site import EDITOR_USER, Site
from simulators.iconik.store import KINDS, Row
from simulators.system import KEPT, Options

COMPLETE = "complete_assets"
FORMAT_VERSION = 1  # grows when a kept state folder can no longer be read
OWNERS = ("asset_id", "object_id", "collection_id")


class FarSide:
    """What the control API needs, over one site."""

    def __init__(self, site: Site, options: Options) -> None:
        self.site, self.options, self._started = site, options, False

    def reset(self, *, seed: str) -> object:
        """Back to a seed; the first reset of a process keeps what a state folder already holds."""
        site = self.site
        site.hooks.reset()
        site.rates.clear()
        mark = [FORMAT_VERSION, seed, self.options.scale if seed == "demo" else ""]
        started, self._started = self._started, True
        if not started and site.store.fact("seed") == mark:
            site.jobs.reload()
            return KEPT
        with site.store.transaction():
            self._fill(seed)
            site.store.remember("seed", mark)
        return None

    def _fill(self, seed: str) -> None:
        self.site.store.clear()
        self.site.index.clear()
        self.site.jobs.moving.clear()
        seed_customer(self.site.store)
        if seed == "demo":
            load_demo(self.site.store, self.site.index, scale=self.options.scale)

    def records(self, kind: str, *, where: dict[str, str], limit: int | None, offset: int) -> tuple[list[Row], int]:
        self.site.jobs.settle()
        found = self.site.store.find(self._known(kind))
        rows = [row for row in found if all(_text(row.get(name)) == value for name, value in where.items())]
        end = None if limit is None else offset + limit
        return rows[offset:end], len(rows)

    def load(self, kind: str, rows: list[Row]) -> int:
        """Store rows and index them at once."""
        store, index = self.site.store, self.site.index
        with store.transaction():
            if kind == COMPLETE:
                packer = Packer(store, index)
                for row in rows:
                    packer.add(row)
                packer.rows.store(store, index)
            else:
                for row in rows:
                    self._load(self._known(kind), row)
            index.flush(at_once=True)
        return len(rows)

    def _load(self, kind: str, row: Row) -> None:
        store, key = self.site.store, str(row.get("id") or row.get("name") or self.site.store.new_id())
        now = store.now()
        if kind == "assets":
            row = new_asset(now, key=key, version_id=store.new_id(), user_id=EDITOR_USER, values={"title": ""}) | row
        elif kind == "collections":
            row = new_collection(now, key=key, user_id=EDITOR_USER, values={"title": ""} | row)
        owner = next((row[name] for name in OWNERS if row.get(name)), None)
        part = row.get("version_id")
        if kind == "contents":
            key, part = f"{row['collection_id']}:{row['object_id']}", row["object_id"]
            owner = row["collection_id"]
        elif kind == "metadata":
            key = part = row.get("version_id") or row["object_id"]
            owner = row["object_id"]
        elif kind == "tokens":
            part = row["app_id"]
        store.put(kind, key, {"id": key} | row, owner=owner, part=part)
        self._touch(kind, key)

    def patch(self, kind: str, key: str, values: Row) -> None:
        """Somebody else's edit; the index follows with its lag. A patched decision counts in its review."""
        store = self.site.store
        with store.transaction():
            row = self._row(kind, key)
            store.put(kind, key, row | values)
            if kind == "decisions":
                recompute(store, row["version_id"])
            self._touch(kind, key)
            self.site.index.flush()
        self._tell(kind, key, operation="update")
        if kind == "jobs":
            self.site.jobs.reload()

    def delete(self, kind: str, key: str) -> None:
        store = self.site.store
        with store.transaction():
            row = self._row(kind, key)
            self._touch(kind, key)
            if kind == "assets":
                for one in OF_ASSETS:
                    store.remove_owned(one, key)
            store.remove(kind, key)
            if kind == "decisions":
                recompute(store, row["version_id"])
            self.site.index.flush()
        self._tell(kind, key, operation="purge")

    def _tell(self, kind: str, key: str, *, operation: str) -> None:
        if self.site.settings["raw_edits_fire_webhooks"] and kind in ("assets", "collections"):
            data = self.site.store.get(kind, key) or {"id": key}
            self.site.hooks.send([Event(kind, key, "entity", operation, data, EDITOR_USER, self.site.store.new_id())])

    def _touch(self, kind: str, key: str) -> None:
        owner = self.site.store.owner(kind, key)
        self.site.index.touch(key if kind in ("assets", "collections", "segments") else None, owner)
        if kind == "contents":
            self.site.index.touch(key.partition(":")[2])

    def _row(self, kind: str, key: str) -> Row:
        row = self.site.store.get(self._known(kind), key)
        if row is None:
            raise LookupError(f"{kind} has no record {key}")
        return row

    def _known(self, kind: str) -> str:
        if kind not in KINDS:
            raise LookupError(f"records of {kind!r} are unknown; legal: {', '.join([*KINDS, COMPLETE])}")
        return kind


def _text(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else "" if value is None else str(value)
