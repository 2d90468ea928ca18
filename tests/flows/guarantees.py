"""Devices that were sold, activated and used, in a few words, for the stories of warranties."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from typing import Any

import pytest

from commerce_sync.ledger import Ledger, Run
from flows.appliances import Appliances, Repairs, ago, noted, summary
from flows.walking import Row, Shop, Walk, line

FLOW = "iot_warranty"
RECORDS, DENIALS = "warranty_to_shop", "warranty_denials_to_shop"
OFFERS, CONTRACTS = "renewals_to_groups", "contracts_to_devices"
NAMES = ("warrantyEnd", "contractId", "contractLevel", "contractEnd")


def day(days_ago: float) -> date:
    return ago(days=days_ago).date()


def months_on(start: date, months: int) -> date:
    """The same day some months later, the last of the month where there is none."""
    year, month = divmod(start.year * 12 + start.month - 1 + months, 12)
    last = (date(year + (month == 11), (month + 1) % 12 + 1, 1) - timedelta(days=1)).day
    return date(year, month + 1, min(start.day, last))


class Guarantees(Repairs):
    """What the shop sold, and what both sides know of its cover."""

    def __init__(
        self,
        far: Any,
        shop: Shop,
        walk: Walk,
        patch: pytest.MonkeyPatch,
        *,
        ledger: Ledger | None = None,
        **options: Any,
    ) -> None:
        super().__init__(Appliances(far, shop, patch, **options), patch)
        self.walk, self.ledger = walk, ledger or walk.site.ledger

    def sold(
        self, number: int, *, on: date, activated: date | str | None = None, product: str = "c200", order: str | None = None,
        is_event: bool = True, **values: Any,
    ) -> str:  # fmt: skip
        """A customer with a device; gives the device. ``activated``: by default the day after."""
        code = order or f"O{number}"
        self.shop.customers(number)
        if order is None:
            self.shop.order(code, customer=number, day=f"{on}", lines=[line(0, product, 1, 500)])
        own = {"productCode": product, "purchaseOrderCode": code, "customerRef": f"C{number:04d}"} | values
        device = self.fleet.device(number, **{name: value for name, value in own.items() if value is not None})
        if is_event:
            self.activated(device, number, on=activated or on + timedelta(days=1), product=product)
        return device

    def activated(self, device: str, number: int, *, on: date | str, n: int = 0, **values: Any) -> None:
        body = {"serialNumber": f"SN-{number}", "productCode": "c200", "activationDate": f"{on}", "firmware": "3.4.1"} | {
            {"product": "productCode", "serial": "serialNumber"}[name]: value for name, value in values.items()}  # fmt: skip
        at = ago(days=50) + timedelta(minutes=n)
        noted(
            self.ledger,
            {"id": f"{device}/a/{n}", "type": "device.activated", "subject": device, "time": at, "data": body},
        )

    def ran(self, device: str, *totals: tuple[int, float]) -> None:
        """Counter readings: days ago (the day's end), hours."""
        noted(self.ledger, *(summary(device, days + 1, runtimeHoursTotal=total) for days, total in totals))

    def contract(
        self, code: str, customer: int, *, on: date, sku: str = "care-basic", quantity: int = 1, **values: Any
    ) -> None:
        self.shop.order(code, customer=customer, day=f"{on}", lines=[line(0, sku, quantity, 99)], **values)

    def __call__(self, *chosen: str, mode: str = "auto", days: float = 0) -> dict[str, Run]:
        """Walk legs (all, unless named), as some days from now; none may fail."""
        now, runs = datetime.now(UTC) + timedelta(days=days), {}
        for leg in chosen or (RECORDS, DENIALS, OFFERS, CONTRACTS):
            runs |= self.walk(FLOW, mode, leg, now=now)
            assert self.walk.errors == {}
        return runs

    def records(self) -> dict[str, Row]:
        return {row["serialNumber"]: row for row in self.shop.far.records("DeviceWarranty")}

    def states(self) -> dict[int, str]:
        """Number of the device -> state of its record."""
        return {int(serial.removeprefix("SN-")): row["status"] for serial, row in self.records().items()}

    def on_device(self, device: str) -> tuple[str | None, ...]:
        """warrantyEnd, contractId, contractLevel, contractEnd."""
        found = self.fleet.attributes(device)
        return tuple(found.get(name) for name in NAMES)

    def stamps(self) -> Any:
        """When each record was written, and how often each device."""
        return {serial: row["modifiedtime"] for serial, row in self.records().items()}, self.fleet.versions()
