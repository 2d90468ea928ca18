"""A stand-in for the Integration API that costs next to nothing: one entity set, rendered once, served by slices.

Rows lie one second apart, so the window of a filter is found by arithmetic, and a page is a copy of ready bytes. Each
answer waits for the latency. What a filter may say is the business of the simulator, not of this one.

``python -m benchmarks.stub_commerce ROWS LATENCY_MS`` prints one JSON line when ready: {"url"}.
"""

from __future__ import annotations

import asyncio
import json
import re
import signal
import sys
from datetime import UTC, datetime

from aiohttp import web

SERVICE, ENTITY_SET, TYPE = "BenchSync", "Records", "Record"
ROOT = f"/odata2webservices/{SERVICE}"
PAGE_ROWS = 1000
FIRST = int(datetime(2026, 1, 1, tzinfo=UTC).timestamp())
"""Modified time of the first row, seconds since 1970."""
LINKS = ("catalogVersion", "unit", "prices", "supercategories")
TEXT, NUMBER, MOMENT = "Edm.String", "Edm.Int64", "Edm.DateTime"
PROPERTIES = {"integrationKey": TEXT, "code": TEXT, "name": TEXT, "description": TEXT, "email": TEXT, "street": TEXT,
              "city": TEXT, "price": "Edm.Double", "stock": NUMBER, "status": TEXT, "modifiedtime": MOMENT}  # fmt: skip
_BOUND = re.compile(r"modifiedtime (ge|lt) datetime'([^']+)'")


class Stub:
    """All rows as one text, and where each begins."""

    def __init__(self, rows: int, latency_s: float) -> None:
        self.rows, self.latency_s = rows, latency_s
        parts = [_entity(number) for number in range(rows)]
        self.begins = [0]
        for part in parts:
            self.begins.append(self.begins[-1] + len(part) + 1)
        self.text = memoryview(b",".join(parts) + b",")

    def app(self) -> web.Application:
        app = web.Application(middlewares=[self.late])
        app.router.add_get(f"{ROOT}/$metadata", self.metadata)
        app.router.add_get(f"{ROOT}/{ENTITY_SET}/$count", self.count)
        app.router.add_get(f"{ROOT}/{ENTITY_SET}", self.page)
        return app

    @web.middleware
    async def late(self, request: web.Request, handler: object) -> web.StreamResponse:
        await asyncio.sleep(self.latency_s)
        return await handler(request)  # type: ignore[operator,no-any-return]

    async def metadata(self, _request: web.Request) -> web.Response:
        return web.Response(text=_edmx(), content_type="application/xml")

    async def count(self, request: web.Request) -> web.Response:
        low, high = self._window(request)
        return web.Response(text=str(high - low))

    async def page(self, request: web.Request) -> web.Response:
        """Rows of the window from ``$skip`` on; the order is ascending, but for the one row of an edge."""
        low, high = self._window(request)
        top, skip = int(request.query.get("$top", PAGE_ROWS)), int(request.query.get("$skip", 0))
        if request.query.get("$orderby", "").endswith(" desc"):
            first, end = max(high - top, low), high
        else:
            first, end = low + skip, min(low + skip + top, high)
        following = ""
        if end < high and first < end:
            url = request.url.update_query({"$skip": str(skip + top)})
            following = f',"__next":{json.dumps(str(url))}'
        content = self.text[self.begins[first] : self.begins[end] - 1] if first < end else b""
        body = b"".join((b'{"d":{"results":[', content, b"]", following.encode(), b"}}"))
        return web.Response(body=body, content_type="application/json")

    def _window(self, request: web.Request) -> tuple[int, int]:
        low, high = 0, self.rows
        for word, text in _BOUND.findall(request.query.get("$filter", "")):
            place = int(datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()) - FIRST
            place = min(max(place, 0), self.rows)
            low, high = (max(low, place), high) if word == "ge" else (low, min(high, place))
        return low, max(low, high)


def _entity(number: int) -> bytes:
    key = f"R-{number:08d}"
    uri = f"https://shop.example/odata2webservices/{SERVICE}/{ENTITY_SET}('{key}')"
    row = {"__metadata": {"id": uri, "uri": uri, "type": f"HybrisCommerceOData.{TYPE}"}}
    row |= {
        "integrationKey": key, "code": key, "name": f"steel garden {number % 9973}",
        "description": "light oak " * 12 + key, "email": f"oak.{number}@example.com",
        "street": f"linen street {number % 200}", "city": "woolville", "price": f"{number % 5000}.25",
        "stock": str(number % 700), "status": "approved", "modifiedtime": f"/Date({(FIRST + number) * 1000})/",
    }  # fmt: skip
    row |= {name: {"__deferred": {"uri": f"{uri}/{name}"}} for name in LINKS}
    return json.dumps(row).encode()


def _edmx() -> str:
    key = ' m:IsUnique="true"'
    listed = "".join(
        f'<Property Name="{name}" Type="{kind}" Nullable="{str(name != "integrationKey").lower()}"'
        f'{key if name == "code" else ""}/>' for name, kind in PROPERTIES.items()
    )  # fmt: skip
    return (
        '<?xml version="1.0" encoding="utf-8"?><edmx:Edmx Version="1.0" '
        'xmlns:edmx="http://schemas.microsoft.com/ado/2007/06/edmx"><edmx:DataServices m:DataServiceVersion="1.0" '
        'xmlns:m="http://schemas.microsoft.com/ado/2007/08/dataservices/metadata"><Schema '
        'Namespace="HybrisCommerceOData" xmlns="http://schemas.microsoft.com/ado/2006/04/edm" '
        'xmlns:s="http://schemas.sap.com/commerce">'
        f'<EntityType Name="{TYPE}"><Key><PropertyRef Name="integrationKey"/></Key>{listed.replace("m:Is", "s:Is")}'
        '</EntityType><EntityContainer Name="Container" m:IsDefaultEntityContainer="true"><EntitySet '
        f'Name="{ENTITY_SET}" EntityType="HybrisCommerceOData.{TYPE}"/></EntityContainer></Schema>'
        "</edmx:DataServices></edmx:Edmx>"
    )


async def serve(*, rows: int, latency_s: float) -> None:
    """Listen until SIGTERM."""
    runner = web.AppRunner(Stub(rows, latency_s).app(), access_log=None)
    await runner.setup()
    await web.TCPSite(runner, "127.0.0.1", 0).start()
    print(json.dumps({"url": f"http://127.0.0.1:{runner.addresses[0][1]}"}), flush=True)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await stop.wait()
    await runner.cleanup()


if __name__ == "__main__":
    asyncio.run(serve(rows=int(sys.argv[1]), latency_s=float(sys.argv[2]) / 1000))
