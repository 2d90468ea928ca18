"""A fleet of devices, the shop they were bought in, and the events between them, in a few words, for the IoT stories."""

from __future__ import annotations

import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pyarrow as pa
import pytest

from commerce_sync.ledger import Ledger
from commerce_sync.systems.opentext_iot.hook import OpenTextIotHook
from commerce_sync.systems.opentext_iot.polling import Pace
from flows.walking import Row, Shop, uid
from systems.opentext_iot.iot_tenant import Tenant, key

PROFILES = ("covisint_classic", "generic_rest")
MORE_TEXTS = (
    "b2bUnit",
    "purchaseDate",
    "firmware",
    "serialNumber",
    "warrantyEnd",
    "contractId",
    "contractLevel",
    "contractEnd",
)
MORE_TYPES = (
    "device.activated",
    "device.health",
    "usage.summary",
    "environment.excursion",
    "device.downtime",
    "usage.anomaly",
)
PACE = Pace(lag=timedelta(0), overlap=timedelta(minutes=15), first=timedelta(days=3), step=timedelta(days=3))


class Appliances(Tenant):
    """The simulated platform with all that the IoT flows read and write."""

    def __init__(self, far: Any, shop: Shop, patch: pytest.MonkeyPatch, *, profile: str = PROFILES[0]) -> None:
        super().__init__(far)
        self.shop = shop
        extra = {"profile": profile, "realm": far.realm, "tenant": far.tenant, "max_per_second": 2000}
        login = {"conn_type": "commerce_sync_opentext_iot", "host": far.url, "login": far.client_id,
                 "password": far.client_secret, "extra": extra}  # fmt: skip
        patch.setenv("AIRFLOW_CONN_OPENTEXT_IOT_DEFAULT", json.dumps(login))
        far.put("attributeType", [{"id": key(name), "name": name, "type": "string", "isActive": True}
                                  for name in MORE_TEXTS])  # fmt: skip
        far.put("eventTemplate", [{"id": key(name), "name": name, "isActive": True, "eventFields": []}
                                  for name in MORE_TYPES])  # fmt: skip

    def relabel(self, device: str, **values: Any) -> None:
        """Somebody edits attributes on the platform."""
        lists = self.stored(device)["attributes"]
        kept = [one for one in lists["extended"] if one["attributeTypeId"] not in {key(name) for name in values}]
        own = {key("productCode")}
        standard = [one | {"value": values.get("productCode", one["value"])} if one["attributeTypeId"] in own else one
                    for one in lists["standard"]]  # fmt: skip
        more = [
            {"attributeTypeId": key(name), "value": value} for name, value in values.items() if name != "productCode"
        ]
        self.far.patch("device", device, attributes={"standard": standard, "extended": kept + more})

    def device_id(self, number: int) -> str:
        """The id of the device with that number."""
        return key(f"device {number}")

    def versions(self) -> dict[str, Any]:
        """How often each device was written."""
        return {row["id"]: row["version"] for row in self.far.records("device")}

    def reading(self, device: str, kind: str, *, hours_ago: float = 1, **payload: Any) -> None:
        self.event(device, kind, minutes_ago=hours_ago * 60, payload=payload)

    def polled(self, ledger: Ledger) -> Any:
        """Bring the events into the inbox as the service flow does."""
        return OpenTextIotHook().poll(ledger, pace=PACE, now=self.now)


def noted(ledger: Ledger, *events: Row) -> None:
    """Events straight into the inbox: id, type, subject, time (datetime) and data."""
    names = {"event_id": "id", "type": "type", "subject": "subject", "occurred_at": "time"}
    columns: dict[str, list[Any]] = {name: [event[own] for event in events] for name, own in names.items()}
    columns["source"] = [f"device/{event['subject']}" for event in events]
    columns["data"] = [json.dumps(event["data"]) for event in events]
    ledger.add_events("iot", pa.table(columns))


def fault(
    device: str, code: str | None, at: datetime, *, state: str = "raised", instance: str | None = "f-1", n: int = 0, **data: Any
) -> Row:  # fmt: skip
    """A fault message as the inbox has it; ``n`` tells repeated messages apart."""
    body = {"faultCode": code, "severity": "high", "component": "air-filter", "faultState": state,
            "faultInstanceId": instance} | data  # fmt: skip
    name = f"{device}/{code}/{instance}/{state}/{at.isoformat()}/{n}"
    return {"id": name, "type": "device.fault", "subject": device, "time": at, "data": body}


RAW = "compressor seized by sabotage"
"""What a device says of a cause; no customer ever reads it."""


def excursion(device: str, name: str | None, at: datetime, *, state: str = "open", **data: Any) -> Row:
    """A report of an excursion, as the inbox has it."""
    body = {"excursionId": name, "metric": "temperatureC", "value": 11.8, "state": state, "cause": RAW} | data
    return {"id": f"{device}/{name}/{state}/{at.isoformat()}", "type": "environment.excursion", "subject": device,
            "time": at, "data": body}  # fmt: skip


def downtime(device: str, name: str, at: datetime, *, state: str = "open", **data: Any) -> Row:
    """A report of a downtime, as the inbox has it."""
    body = {"downtimeId": name, "state": state, "startAt": at.isoformat(), "cause": RAW} | data
    return {"id": f"{device}/{name}/{state}/{at.isoformat()}", "type": "device.downtime", "subject": device, "time": at,
            "data": body}  # fmt: skip


def ago(**span: float) -> datetime:
    """A moment before now, whole seconds of UTC."""
    return datetime.now(UTC).replace(microsecond=0) - timedelta(**span)


def summary(device: str, days_ago: int, *, load: Any = 85, hours: float = 24, n: int = 0, **data: Any) -> Row:
    """The usage of one day (UTC), or of its first hours, as the inbox has it; 0 is today.   n: tells words apart."""
    start = datetime.now(UTC).replace(hour=0, minute=0, second=0, microsecond=0) - timedelta(days=days_ago)
    end = start + timedelta(hours=hours)
    body = {"windowStart": _iso(start), "windowEnd": _iso(end), "loadPctAvg": load, "runtimeHoursDelta": 10} | data
    return {"id": f"{device}/{start.isoformat()}/{hours}/{n}", "type": "usage.summary", "subject": device,
            "time": end + timedelta(minutes=n), "data": body}  # fmt: skip


def _iso(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")


class Repairs:
    """A shop with parts for a compressor, customers with one each, and what becomes of their faults."""

    def __init__(self, fleet: Appliances, patch: pytest.MonkeyPatch) -> None:
        self.fleet, self.shop = fleet, fleet.shop
        patch.setenv("AIRFLOW_CONN_SAP_COMMERCE_OCC", trusted(self.shop))

    def stocked(self) -> None:
        """The compressor c200 has a filter (for anybody), a belt, and a pump for technicians; all of them in stock."""
        self.shop.far.put("Warehouse", [{"code": "main"}])
        self.parts("c200", "filter", "belt")
        self.fits("c200", "filter", "CONSUMABLE")
        self.fits("c200", "belt", "SPAREPART")

    def parts(self, *codes: str, status: str = "approved", available: int = 5, **values: Any) -> None:
        self.shop.far.put("Product", [{"code": code, "approvalStatus": status, "modifiedtime": self.shop.tick()} | values
                                      for code in codes])  # fmt: skip
        self.shop.far.put("StockLevel", [{"productCode": code, "warehouse": "main", "available": available,
                                          "modifiedtime": self.shop.tick()} for code in codes])  # fmt: skip

    def fits(self, product: str, part: str, kind: str, **values: Any) -> None:
        row = {"source": product, "target": part, "referenceType": kind, "modifiedtime": self.shop.tick()}
        self.shop.far.put("ProductReference", [row | values])

    def owner(self, number: int, *, product: str = "c200", consent: bool = True, **values: Any) -> str:
        """A customer with a device; gives the device."""
        self.shop.customers(number)
        if consent:
            self.consent(number)
        return self.fleet.device(number, productCode=product, customerRef=f"C{number:04d}", **values)

    def consent(self, number: int, *, withdrawn: bool = False) -> None:
        template = {"id": "MARKETING_NEWSLETTER", "version": 1, "baseSite": "shop"}
        if not self.shop.far.records("ConsentTemplate"):
            self.shop.far.put("ConsentTemplate", [template])
        times = {"consentGivenDate": "2026-01-01T00:00:00+00:00",
                 "consentWithdrawnDate": "2026-02-01T00:00:00+00:00" if withdrawn else None}  # fmt: skip
        self.shop.far.put("Consent", [{"code": f"c{number}", "consentTemplate": template, "customer": uid(number),
                                       "modifiedtime": self.shop.tick()} | times])  # fmt: skip

    def groups(self) -> dict[str, set[int]]:
        """Group of ours that has members -> their numbers."""
        rows = [row for row in self.shop.far.records("UserGroup") if row["uid"].startswith("iot-")]
        return {
            row["uid"]: {int(member[1:].partition("@")[0]) for member in row["members"]}
            for row in rows
            if row["members"]
        }

    def carts(self) -> dict[int, list[tuple[str, list[tuple[str, int]]]]]:
        """Customer number -> name and entries of each saved cart."""
        held: dict[str, list[tuple[str, int]]] = {}
        for entry in self.shop.far.records("CartEntry"):
            held.setdefault(str(entry["order"]), []).append(
                (str(entry["product"]).partition("|")[0], entry["quantity"])
            )
        found: dict[int, list[tuple[str, list[tuple[str, int]]]]] = {}
        for row in self.shop.far.records("Cart"):
            number = int(str(row["user"])[1:].partition("@")[0])
            found.setdefault(number, []).append((row["name"], sorted(held.get(row["code"], []))))
        return {number: sorted(carts, key=str) for number, carts in found.items()}


def trusted(shop: Shop) -> str:
    """The connection sap_commerce_occ to the simulator."""
    far = shop.far
    extra = {"auth": "oauth", "client_id": far.occ_client_id, "client_secret": far.occ_client_secret}
    return json.dumps({"conn_type": "commerce_sync_sap_commerce", "host": far.url, "extra": extra})


@pytest.fixture(name="fleet", params=PROFILES)
def fleet_by_profile(request: Any, opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Appliances:
    """The platform by each of its gateway profiles."""
    opentext_iot.clear_faults()
    return Appliances(opentext_iot, shop, monkeypatch, profile=request.param)


@pytest.fixture(name="one")
def one_fleet(opentext_iot: Any, shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Appliances:
    """The platform by its first profile: enough where a story does not depend on the gateway."""
    opentext_iot.clear_faults()
    return Appliances(opentext_iot, shop, monkeypatch)
