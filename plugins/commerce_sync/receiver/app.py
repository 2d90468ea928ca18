"""The routes of the receiver, an application of its own beside Airflow's: every source has its own credentials.

Airflow's login plays no part here, and nothing here shows data: a delivery is answered with a status and counts.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from fastapi import FastAPI, Request, Response

from commerce_sync.receiver import devices, media, shop, signals
from commerce_sync.receiver.deliveries import Call, Delivery
from commerce_sync.receiver.door import Door, Reader
from commerce_sync.receiver.refusals import Refusal, unknown_source
from commerce_sync.receiver.settings import SYSTEMS

PREFIX = "/commerce-sync/receive"
FEEDS = "events"


def build(door: Door | None = None) -> FastAPI:
    """The application; without a file and connections of its own it refuses everything."""
    app = FastAPI(title="Commerce Sync receiver", docs_url=None, redoc_url=None, openapi_url=None)
    door, platforms = door or Door(), devices.Platforms()

    def _push(call: Call) -> Delivery:
        return devices.push(call, platforms)

    routes: list[tuple[str, list[str], str, str, Reader]] = [
        ("/sap_commerce/webhooks/{object}", ["POST"], "sap_commerce", "webhook", shop.webhook),
        ("/sap_commerce/sync/{target:path}", ["POST", "DELETE"], "sap_commerce", "sync", shop.sync),
        ("/iconik/webhooks", ["POST"], "iconik", "webhook", media.webhook),
        ("/iconik/actions", ["POST"], "iconik", "action", media.action),
        ("/opentext_iot/events", ["POST"], "opentext_iot", "push", _push),
        (f"/{FEEDS}/{{feed}}", ["POST"], FEEDS, "events", signals.events),
    ]
    for path, methods, source, kind, reader in routes:
        endpoint = _endpoint(door, source, kind=kind, reader=reader)
        app.add_api_route(path, endpoint, methods=methods, response_class=Response, response_model=None)
    return app


def _endpoint(door: Door, source: str, *, kind: str, reader: Reader) -> Callable[[Request], Awaitable[Response]]:
    async def _receive(request: Request) -> Response:
        name = request.path_params["feed"] if source == FEEDS else source
        try:
            if source == FEEDS and name in SYSTEMS:
                raise unknown_source()
            answer = await door.take(request, name, kind=kind, reader=reader)
        except Refusal as refusal:
            return Response(refusal.body(), refusal.status, dict(refusal.headers), "application/json")
        return Response(answer.body, answer.status, media_type=answer.media)

    return _receive
