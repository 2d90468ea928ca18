"""The control API under ``/_sim/``: reset, read, load, mutate, clock, faults, options, call counts."""

from __future__ import annotations

import copy
import inspect
import json
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Any

from aiohttp import web

from simulators.calls import Calls
from simulators.clock import Clock
from simulators.faults import Faults
from simulators.seeding import SEEDS
from simulators.system import System

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


class Control:
    """The routes of one system; every answer is JSON, every refusal ``{"error": sentence}``."""

    def __init__(self, system: System, *, clock: Clock, faults: Faults, calls: Calls) -> None:
        self.system, self.clock, self.faults, self.calls = system, clock, faults, calls
        self.defaults = dict(system.settings)

    def add_routes(self, app: web.Application) -> None:
        record, records = "/_sim/records/{kind}/{key}", "/_sim/records/{kind}"
        table: list[tuple[str, str, Handler]] = [
            ("POST", "/_sim/reset", self.reset),
            ("GET", records, self.read),
            ("POST", records, self.load),
            ("PATCH", record, self.patch),
            ("DELETE", record, self.delete),
            ("GET", "/_sim/clock", self.read_clock),
            ("POST", "/_sim/clock", self.move_clock),
            ("GET", "/_sim/faults", self.list_faults),
            ("POST", "/_sim/faults", self.add_fault),
            ("DELETE", "/_sim/faults", self.clear_faults),
            ("GET", "/_sim/options", self.read_options),
            ("POST", "/_sim/options", self.change_options),
            ("GET", "/_sim/calls", self.read_calls),
            ("DELETE", "/_sim/calls", self.reset_calls),
            ("GET", "/_sim/inspect/{name}", self.inspect),
        ]
        for method, path, handler in table:
            app.router.add_route(method, path, _explained(handler))

    async def reset(self, request: web.Request) -> web.Response:
        seed = (await _body(request)).get("seed", "empty")
        if seed not in SEEDS:
            raise ValueError(f"seed {seed!r} is unknown; legal: {', '.join(SEEDS)}")
        self.clock.reset()
        self.faults.restart()
        self.system.settings.update(copy.deepcopy(self.defaults))
        await _done(self.system.store.reset(seed=seed))
        self.calls.reset()
        return _json({"reset": seed})

    async def read(self, request: web.Request) -> web.Response:
        where = dict(request.query)
        limit, offset = where.pop("limit", None), int(where.pop("offset", "0"))
        kind = request.match_info["kind"]
        found = self.system.store.records(kind, where=where, limit=int(limit) if limit else None, offset=offset)
        records, total = await _done(found)
        return _json({"records": records, "total": total})

    async def load(self, request: web.Request) -> web.Response:
        rows = await _body(request)
        if not isinstance(rows, list):
            raise ValueError("POST /_sim/records/{Type} takes a JSON list of objects")
        return _json({"loaded": await _done(self.system.store.load(request.match_info["kind"], rows))})

    async def patch(self, request: web.Request) -> web.Response:
        kind, key = request.match_info["kind"], request.match_info["key"]
        await _done(self.system.store.patch(kind, key, await _body(request)))
        return _json({"patched": key})

    async def delete(self, request: web.Request) -> web.Response:
        await _done(self.system.store.delete(request.match_info["kind"], request.match_info["key"]))
        return _json({"deleted": request.match_info["key"]})

    async def read_clock(self, _request: web.Request) -> web.Response:
        return _json({"now": self.clock.now().isoformat(), "offset_s": self.clock.offset_s})

    async def move_clock(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if "now" in body:
            self.clock.set(datetime.fromisoformat(body["now"]))
        self.clock.advance(float(body.get("advance_s", 0)))
        return await self.read_clock(request)

    async def list_faults(self, _request: web.Request) -> web.Response:
        return _json({"rules": [rule.report() for rule in self.faults.rules]})

    async def add_fault(self, request: web.Request) -> web.Response:
        return _json(self.faults.add(await _body(request)))

    async def clear_faults(self, _request: web.Request) -> web.Response:
        self.faults.clear()
        return _json({"rules": []})

    async def read_options(self, _request: web.Request) -> web.Response:
        return _json(self.system.settings)

    async def change_options(self, request: web.Request) -> web.Response:
        body = await _body(request)
        if unknown := set(body) - set(self.system.settings):
            legal = ", ".join(sorted(self.system.settings))
            raise ValueError(f"options {sorted(unknown)} are unknown; legal: {legal}")
        self.system.settings.update(body)
        return _json(self.system.settings)

    async def read_calls(self, request: web.Request) -> web.Response:
        return _json(self.calls.report(log=request.query.get("log") == "1"))

    async def reset_calls(self, _request: web.Request) -> web.Response:
        self.calls.reset()
        return _json({"total": 0})

    async def inspect(self, request: web.Request) -> web.Response:
        name = request.match_info["name"]
        if name not in self.system.inspect:
            raise LookupError(f"nothing to inspect under {name!r}; legal: {', '.join(self.system.inspect)}")
        return _json(await _done(self.system.inspect[name]()))


def _json(value: Any) -> web.Response:
    return web.json_response(value, dumps=lambda item: json.dumps(item, default=str))


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    return json.loads(raw) if raw.strip() else {}


async def _done(value: Any) -> Any:
    return await value if inspect.isawaitable(value) else value


def _explained(handler: Handler) -> Handler:
    async def guarded(request: web.Request) -> web.StreamResponse:
        try:
            return await handler(request)
        except LookupError as error:
            return web.json_response({"error": str(error)}, status=404)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return guarded
