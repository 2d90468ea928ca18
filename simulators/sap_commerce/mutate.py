"""A day's worth of change for the demo: late orders, edits, cancellations, returns.

Every change goes through the code that serves API writes, so system times, keys and limits are those of the
API. Totals stay consistent: an order's totalPrice is the sum of its entries' (no discounts in the seed).
"""

from __future__ import annotations

import random
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

from simulators.sap_commerce.localized import Localization, known_languages
from simulators.sap_commerce.schema import IntegrationObject, Schemas
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.upsert import Writer

_KINDS = ("edited", "edited", "edited", "edited", "cancelled", "cancelled", "returned", "returned", "late", "late")
_DAY_MS = 86_400_000


@dataclass(slots=True)
class Mutation:
    """One call of the demo's mutation; ``by_kind`` counts, the lists name what was touched."""

    store: Store
    orders_service: IntegrationObject
    returns_service: IntegrationObject
    random: random.Random
    codes: list[str] = field(default_factory=list)
    accounts: set[str] = field(default_factory=set)
    by_kind: dict[str, int] = field(default_factory=lambda: dict.fromkeys(_KINDS, 0))

    def run(self, share: float) -> dict[str, Any]:
        """Change the share of the orders; gives what the control API answers."""
        pks = [pk for (pk,) in self.store.db.execute('SELECT pk FROM "Order" WHERE code IS NOT NULL ORDER BY pk')]
        chosen = self.random.sample(pks, min(len(pks), round(len(pks) * share)))
        actions: dict[str, Callable[[int], str | None]] = {
            "edited": self._edit,
            "cancelled": self._cancel,
            "returned": self._return,
            "late": self._late,
        }
        for number, pk in enumerate(chosen):
            kind = _KINDS[number % len(_KINDS)]
            code = actions[kind](pk)
            if code is not None:
                self.by_kind[kind] += 1
                self.codes.append(code)
                self.accounts.add(self._account(pk))
        return {"orders": sorted(self.codes), "accounts": sorted(self.accounts), "by_kind": self.by_kind}

    def _write(self, service: IntegrationObject, payload: dict[str, Any]) -> int:
        language = Localization("en", False, known_languages(self.store))
        root = service.root
        if root is None:
            raise LookupError(f"integration object {service.code} has no root item")
        return Writer(self.store, service, language).post(root, payload)

    def _account(self, pk: int) -> str:
        unit = self.store.value(pk, "unit")
        if unit is not None:
            return str(self.store.value(unit, "uid"))
        return str(self.store.value(self.store.value(pk, "user"), "customerID"))

    def _entries(self, pk: int) -> list[tuple[int, int, float, float]]:
        sql = 'SELECT entryNumber, quantity, basePrice, totalPrice FROM OrderEntry WHERE "order" = ? ORDER BY 1'
        return self.store.db.execute(sql, (pk,)).fetchall()

    def _edit(self, pk: int) -> str | None:
        """Another quantity, and with it another price, for one entry."""
        entries = self._entries(pk)
        if not entries:
            return None
        number, quantity, base, total = self.random.choice(entries)
        quantity += self.random.randint(1, 3)
        price = round(base * 100) * quantity + self.random.randint(1, 99)
        rest = sum(round(entry[3] * 100) for entry in entries) - round(total * 100)
        code = str(self.store.value(pk, "code"))
        entry = {"entryNumber": number, "quantity": quantity, "totalPrice": price / 100}
        self._write(self.orders_service, {"code": code, "totalPrice": (rest + price) / 100, "entries": [entry]})
        return code

    def _cancel(self, pk: int) -> str | None:
        code, status = str(self.store.value(pk, "code")), self.store.value(pk, "status")
        if status is not None and self.store.value(status, "code") == "CANCELLED":
            return None
        self._write(self.orders_service, {"code": code, "status": {"code": "CANCELLED"}})
        return code

    def _return(self, pk: int) -> str | None:
        """Give back all of one entry; an order is returned once."""
        code, entries = str(self.store.value(pk, "code")), self._entries(pk)
        request = f"R{code}"
        if not entries or self.store.find(["ReturnRequest"], {"code": request}):
            return None
        number, quantity, _, total = self.random.choice(entries)
        refund = {
            "orderEntry": {"entryNumber": number, "order": {"code": code}},
            "expectedQuantity": quantity,
            "receivedQuantity": quantity,
            "amount": f"{total:.2f}",
        }
        payload = {"code": request, "RMA": f"RMA{code}", "status": {"code": "COMPLETED"}, "order": {"code": code}}
        self._write(self.returns_service, payload | {"returnEntries": [refund]})
        return code

    def _late(self, pk: int) -> str | None:
        """A new order of the same customer, dated in the past, with some of the products bought before."""
        products = self.store.db.execute(
            "SELECT DISTINCT p.code, e.basePrice FROM OrderEntry e JOIN Product p ON p.pk = e.product"
            ' WHERE e."order" = ? ORDER BY p.code LIMIT 4',
            (pk,),
        ).fetchall()
        if not products:
            return None
        code = self._free_code()
        entries, total = [], 0
        for number, (product, base) in enumerate(products):
            quantity, cents = self.random.randint(1, 3), max(round(base * 100), 1)
            total += cents * quantity
            prices = {"basePrice": cents / 100, "totalPrice": cents * quantity / 100}
            entries.append({"entryNumber": number, "quantity": quantity, "product": {"code": product}, **prices})
        self._write(self.orders_service, self._late_order(pk, code, total) | {"entries": entries})
        return code

    def _late_order(self, pk: int, code: str, total: int) -> dict[str, Any]:
        read = self.store.value
        moment = self.store.now_ms() - self.random.randint(3 * _DAY_MS, 200 * _DAY_MS)
        order: dict[str, Any] = {
            "code": code,
            "date": f"/Date({moment})/",
            "status": {"code": "COMPLETED"},
            "currency": {"isocode": read(read(pk, "currency"), "isocode")},
            "user": {"uid": read(read(pk, "user"), "uid")},
            "totalPrice": total / 100,
            "totalDiscounts": 0.0,
            "deliveryCost": 0.0,
        }
        unit = read(pk, "unit")
        return order | ({"unit": {"uid": read(unit, "uid")}} if unit is not None else {})

    def _free_code(self) -> str:
        number = (self.store.fact("late_orders") or 0) + 1
        self.store.remember("late_orders", number)
        return f"LATE{number:06d}"


def mutate_orders(store: Store, *, schemas: Schemas, share: float, seed: int) -> dict[str, Any]:
    """Change about ``share`` of the orders; the same store and seed give the same changes."""
    orders, returns = schemas.get("OrderSync"), schemas.get("ReturnSync")
    if orders is None or returns is None:
        raise LookupError("mutate needs the integration objects OrderSync and ReturnSync")
    with store.transaction():
        return Mutation(store, orders, returns, random.Random(seed)).run(share)
