"""Control calls of the outbound side; they exist only when the control API is switched on.

POST /_sim/send            one item through one integration object to one destination, as the service facade does
POST /_sim/outbound/run    one run of a cron job, now
POST /_sim/outbound/reset  forget what a stream has consumed
POST /_sim/outbound/tick   everything that is due by the simulated clock: triggers, webhooks, retries
POST /_sim/scripts         put a Python callable behind a script code or hook name
POST /_sim/retention       run the cleanup jobs, now
"""

from __future__ import annotations

import json
from typing import Any

from aiohttp import web

from simulators.sap_commerce.outbound.clockwork import Clockwork
from simulators.sap_commerce.outbound.monitor import clean_up
from simulators.sap_commerce.outbound.payload import PayloadWriter, integration_key
from simulators.sap_commerce.outbound.roots import item_of_type
from simulators.sap_commerce.outbound.streams import reset_stream
from simulators.sap_commerce.outbound.transport import Message, Sender
from simulators.sap_commerce.records import Records
from simulators.sap_commerce.schema import Schemas
from simulators.sap_commerce.scripts import register
from simulators.sap_commerce.store import Store


class OutboundControl:
    """The routes; every refusal is ``{"error": sentence}``."""

    def __init__(
        self, store: Store, *, schemas: Schemas, sender: Sender, clockwork: Clockwork, settings: dict[str, Any]
    ) -> None:
        self._store, self._schemas, self._sender = store, schemas, sender
        self._clockwork, self._settings = clockwork, settings
        self._records = Records(store)

    def add_routes(self, app: web.Application) -> None:
        table = {
            "/_sim/send": self.send,
            "/_sim/outbound/run": self.run,
            "/_sim/outbound/reset": self.reset,
            "/_sim/outbound/tick": self.tick,
            "/_sim/scripts": self.script,
            "/_sim/retention": self.retention,
        }
        for path, action in table.items():
            app.router.add_post(path, _answered(action))

    async def send(self, body: dict[str, Any]) -> Any:
        """``{"item": {"type", "key"}, "integration_object", "destination"}``: what the receiver answered."""
        wanted = body["item"]
        pk = self._records.find(wanted["type"], wanted["key"])
        service = self._schemas.get(body["integration_object"])
        if service is None:
            raise LookupError(f"there is no integration object {body['integration_object']!r}")
        item = item_of_type(service, self._store.itemtype(pk), store=self._store)
        if item is None:
            raise ValueError(f"{service.code} has no item for type {self._store.itemtype(pk)}")
        found = self._store.find(["ConsumedDestination"], {"id": body["destination"]})
        destination = self._sender.destination(found[0] if found else None)
        as_text = self._settings["outbound_long"] == "string"
        language, null_key = str(self._settings["platform_language"]), str(self._settings["null_key_part"])
        writer = PayloadWriter(self._store, service, language, long_as_text=as_text, null_key=null_key)
        payload = json.dumps(writer.write(item, pk), ensure_ascii=False).encode()
        key = integration_key(self._store, service, item, pk, null=null_key)
        answer = await self._sender.send(Message(service.code, key, payload, "UNKNOWN"), destination)
        text = answer.body.decode("utf-8", "replace")
        return {"status": answer.status, "body": text, "error": answer.error, "messageId": answer.message_id}

    async def run(self, body: dict[str, Any]) -> Any:
        """``{"cronjob": code}``: status, result and counts of the run."""
        found = self._store.find(["OutboundSyncCronJob"], {"code": body["cronjob"]})
        if not found:
            raise LookupError(f"there is no cron job {body['cronjob']!r}")
        return await self._clockwork.sync.run(found[0])

    async def reset(self, body: dict[str, Any]) -> Any:
        return {"removed": reset_stream(self._store, body["stream"])}

    async def tick(self, _body: dict[str, Any]) -> Any:
        return await self._clockwork.tick()

    async def script(self, body: dict[str, Any]) -> Any:
        """``{"kind", "code", "callable": "package.module:function"}``."""
        register(body["kind"], body["code"], body["callable"])
        return {"registered": body["code"]}

    async def retention(self, _body: dict[str, Any]) -> Any:
        return clean_up(self._store, settings=self._settings)


def _answered(action: Any) -> Any:
    async def handler(request: web.Request) -> web.Response:
        raw = await request.read()
        try:
            return web.json_response(await action(json.loads(raw) if raw.strip() else {}))
        except KeyError as error:
            return web.json_response({"error": f"{error} is missing or unknown"}, status=400)
        except LookupError as error:
            return web.json_response({"error": str(error)}, status=404)
        except (ValueError, TypeError) as error:
            return web.json_response({"error": str(error)}, status=400)

    return handler
