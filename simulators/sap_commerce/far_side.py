"""What the control API sees: reset, raw records, and the demo's own actions."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from aiohttp import web

from simulators.sap_commerce.demo_orders import demo_database
from simulators.sap_commerce.dump import order_lines
from simulators.sap_commerce.mutate import mutate_orders
from simulators.sap_commerce.oauth import Tokens
from simulators.sap_commerce.page_faults import PageFaults
from simulators.sap_commerce.records import Records, Row
from simulators.sap_commerce.schema import Schemas
from simulators.sap_commerce.seeding import definitions_mark, essential_store
from simulators.sap_commerce.store import Store
from simulators.system import KEPT, Options


class FarSide:
    """The ``Store`` of the simulator kernel, over items."""

    def __init__(
        self, store: Store, *, options: Options, schemas: Schemas, tokens: Tokens, page_faults: PageFaults
    ) -> None:
        self._store, self._options, self._tokens, self._page_faults = store, options, tokens, page_faults
        self._schemas = schemas
        self._records = Records(store)
        self.on_reset: list[Callable[[], None]] = []
        self._empty = essential_store(clock=store.clock)
        self._started = False

    def add_routes(self, app: web.Application) -> None:
        """The control actions of this system; only called when the control API is switched on."""
        app.router.add_post("/_sim/mutate", self.mutate)
        app.router.add_get("/_sim/dump/orders", self.dump_orders)

    def reset(self, *, seed: str) -> object:
        """Back to a seed; the first reset of a process keeps what a state folder already holds."""
        self._tokens.clear()
        self._page_faults.clear()
        for forget in self.on_reset:
            forget()
        mark = [seed, self._options.scale if seed == "demo" else "", definitions_mark()]
        if not self._started and self._kept() == mark:
            self._started = True
            return KEPT
        self._started = True
        if seed == "demo":
            self._load_demo()
        elif seed == "bare":
            self._store.replace_with(essential_store(clock=self._store.clock, bare=True).db)
        else:
            self._store.replace_with(self._empty.db)
        self._store.remember("seed", mark)
        return None

    def _kept(self) -> list[str] | None:
        tables = self._store.db.execute("SELECT count(*) FROM sqlite_master WHERE name = 'facts'").fetchone()
        return self._store.fact("seed") if tables[0] else None

    def records(self, kind: str, *, where: dict[str, str], limit: int | None, offset: int) -> Any:
        pks = self._records.select(kind, where)
        end = None if limit is None else offset + limit
        return [self._records.read(pk) for pk in pks[offset:end]], len(pks)

    def load(self, kind: str, rows: list[Row]) -> int:
        with self._store.transaction():
            for row in rows:
                self._records.load(kind, row)
        return len(rows)

    def patch(self, kind: str, key: str, values: Row) -> None:
        with self._store.transaction():
            self._records.patch(kind, key, values)

    def delete(self, kind: str, key: str) -> None:
        with self._store.transaction():
            self._store.delete(self._records.find(kind, key))

    def _load_demo(self) -> None:
        self._store.replace_with(demo_database(self._options, empty=self._empty, clock=self._store.clock))

    async def mutate(self, request: web.Request) -> web.Response:
        body = await request.json()
        share, seed = float(body.get("share", 0.01)), int(body.get("seed", 1))
        if not 0 < share <= 1:
            return web.json_response({"error": f"share is {share}; legal: above 0, at most 1"}, status=400)
        return web.json_response(mutate_orders(self._store, schemas=self._schemas, share=share, seed=seed))

    async def dump_orders(self, request: web.Request) -> web.StreamResponse:
        """All orders, newline-delimited."""
        response = web.StreamResponse(headers={"Content-Type": "application/x-ndjson"})
        await response.prepare(request)
        for chunk in order_lines(self._store):
            await response.write(chunk)
        await response.write_eof()
        return response
