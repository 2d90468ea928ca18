"""What the receiver's tests share: the real application on a port of its own, and the far sides that push to it."""

from __future__ import annotations

import json
import socket
import threading
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import requests
import uvicorn
from starlette.applications import Starlette
from starlette.routing import Mount

from commerce_sync.ledger import Ledger, Receipt
from commerce_sync.receiver.app import PREFIX, build
from commerce_sync.receiver.credentials import CONNECTION, Keys
from commerce_sync.receiver.door import Door

Row = dict[str, Any]
SECRET = "s3cr\u00e9t-of-the-tests"
LOGIN = "shop"
EVENTS = "de.hybris.platform.webhookservices.event."
TIMEOUT_S = 20
CONFIG = """
sources:
  sap_commerce: {max_bytes: 4000000, per_minute: 6000}
  iconik: {}
  opentext_iot: {}
  storefront: {max_bytes: 100000}
receipts: {success_days: 14, error_days: 90}
starts:
  salesforce_orders:
    sap_commerce: [OrderSync.*, OutboundOrder.*]
"""


def until(is_true: Callable[[], Any], *, what: str, seconds: float = 20, pause_s: float = 0.02) -> Any:
    """Poll a local server until it has done something."""
    end = time.monotonic() + seconds
    while not (found := is_true()):
        assert time.monotonic() < end, f"waited {seconds} s for {what}"
        time.sleep(pause_s)
    return found


class Receiver:
    """The application as the API server mounts it, on one port that stays the same when it is started again."""

    def __init__(self, ledger: Ledger, patch: pytest.MonkeyPatch, file: Path, **door: Any) -> None:
        self.ledger, self._patch, self.file = ledger, patch, file
        self._door = {"keys": Keys(kept_s=0), "ledger": lambda: ledger} | door
        self._socket = socket.socket()
        self._socket.bind(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self._socket.close()
        self.url = f"http://127.0.0.1:{self.port}{PREFIX}"
        self.file.write_text(CONFIG)
        patch.setenv("COMMERCE_SYNC_RECEIVER", str(file))
        self._server: uvicorn.Server | None = None

    def start(self) -> Receiver:
        app = Starlette(routes=[Mount(PREFIX, build(Door(**self._door)))])
        config = uvicorn.Config(app, port=self.port, log_level="error", lifespan="off", ws="none", loop="asyncio")
        self._server = uvicorn.Server(config)
        self._thread = threading.Thread(target=self._server.run, daemon=True)
        self._thread.start()
        until(lambda: self._server.started, what="the receiver to listen")
        return self

    def stop(self) -> None:
        if self._server is not None:
            self._server.should_exit = True
            self._server.force_exit = True
            self._thread.join(10)
            self._server = None

    def open(self, source: str, *, login: str | None = None, password: str = SECRET, **extra: Any) -> None:
        """Make the source's connection."""
        fields = {"conn_type": "http", "login": login, "password": password, "extra": extra}
        name = CONNECTION.format(source=source).upper()
        self._patch.setenv(f"AIRFLOW_CONN_{name}", json.dumps(fields))

    def close(self, source: str) -> None:
        self._patch.delenv(f"AIRFLOW_CONN_{CONNECTION.format(source=source).upper()}")

    def post(self, path: str, body: Any = None, *, method: str = "POST", **options: Any) -> requests.Response:
        if isinstance(body, dict | list):
            options.setdefault("headers", {}).setdefault("Content-Type", "application/json")
            body = json.dumps(body).encode()
        with requests.Session() as session:
            session.trust_env = False
            return session.request(method, f"{self.url}{path}", data=body, timeout=TIMEOUT_S, **options)

    def kept(self, feed: str, *types: str) -> list[Row]:
        """Events of a feed, in the order they came, with their data."""
        found = [row for batch in self.ledger.events(feed, types=types or None) for row in batch.to_pylist()]
        return [row | {"data": json.loads(row["data"])} for row in found]

    def receipts(self, number: int, **asked: Any) -> list[Receipt]:
        """The newest receipts, once there are as many: those of refusals are written after the answer."""
        until(lambda: len(self.ledger.receipts(**asked)) >= number, what=f"{number} receipts")
        return self.ledger.receipts(**asked)


class Shop:
    """The SAP Commerce simulator as an administrator sees it, with a customer and orders."""

    def __init__(self, far: Any, receiver: Receiver) -> None:
        self.far, self.receiver = far, receiver
        far.put("Customer", [{"uid": "ann@example.com", "customerID": "C1", "name": "Ann",
                              "modifiedtime": "2026-01-01T00:00:00Z"}])  # fmt: skip
        far.put("Product", [{"code": "p1", "name": {"en": "Pump"}}])

    def order(self, code: str, **values: Any) -> None:
        row = {"code": code, "date": "2026-01-05T00:00:00Z", "user": "ann@example.com", "currency": "USD",
               "status": "CREATED", "totalPrice": 10.5,
               "entries": [{"entryNumber": 0, "quantity": 1, "product": "p1"}]}  # fmt: skip
        self.far.put("Order", [row | values])

    def post(self, path: str, body: Row) -> Row:
        answer = requests.post(f"{self.far.url}/odata2webservices/{path}", json=body, auth=("integration", "nimda"),
                               headers={"Accept": "application/json"}, timeout=TIMEOUT_S)  # fmt: skip
        assert answer.status_code == 201, answer.text
        return answer.json()["d"]

    def destination(self, name: str, path: str, *, target: str, password: str = SECRET) -> Row:
        return {
            "id": name, "url": f"{self.receiver.url}{path}", "destinationTarget": {"id": target},
            "endpoint": {"id": f"{name}Ep", "version": "1", "name": name, "specUrl": "https://crm.local/spec"},
            "credentialBasic": {"id": f"{name}Cred", "username": LOGIN, "password": password},
        }  # fmt: skip

    def channel(self, *, service: str = "OutboundOrder", **more: Any) -> None:
        """Outbound Sync of orders to the receiver, with its streams, job and cron job."""
        password = more.pop("password", SECRET)
        to = self.destination("receiver", f"/sap_commerce/sync/{service}", target="receiverTarget", password=password)
        body = {"code": "ordersOut", "integrationObject": {"code": service}, "autoGenerate": True, "batch": False,
                "synchronizeDelete": False, "destination": to}  # fmt: skip
        self.post("OutboundChannelConfig/OutboundChannelConfigurations", body | more)

    def webhook(self, event: str = "Saved", *, service: str = "OutboundOrder") -> None:
        to = self.destination(f"hook{event}", f"/sap_commerce/webhooks/{service}", target="webhookServices")
        body = {"integrationObject": {"code": service}, "eventType": f"{EVENTS}Item{event}Event", "destination": to}
        self.post("WebhookService/WebhookConfigurations", body)

    def run(self) -> Row:
        """One run of the cron job."""
        return self.far.control("POST", "outbound/run", body={"cronjob": "ordersOutCronJob"})

    def settle(self, *, seconds: float = 1) -> Row:
        """Let the consolidation window pass, and everything that is due be sent."""
        self.far.clock(advance_s=seconds)
        return self.far.control("POST", "outbound/tick")["webhooks"]

    def monitored(self) -> list[Row]:
        """Its own monitoring of outbound requests, as an administrator reads it, oldest first."""
        answer = requests.get(
            f"{self.far.url}/odata2webservices/OutboundIntegrationMonitoring/OutboundRequests?$expand=status,source",
            auth=("integration", "nimda"), headers={"Accept": "application/json"}, timeout=TIMEOUT_S,
        )  # fmt: skip
        assert answer.status_code == 200, answer.text
        return answer.json()["d"]["results"]
