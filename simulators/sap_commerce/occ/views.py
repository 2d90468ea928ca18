"""Items as OCC objects. Source: fact sheet section 4 (schemas); fields without a value are left out."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import Any

from simulators.sap_commerce.store import Store

View = dict[str, Any]
_SYMBOLS = {"USD": "$", "EUR": "€", "GBP": "£"}
_DISPLAY = {"PENDING_APPROVAL": "pending.approval", "CREATED": "created", "COMPLETED": "completed"}
_FINAL_SHIPMENTS = {"CANCELLED", "SHIPPED", "PICKUP_COMPLETE"}


def filled(view: View) -> View:
    return {name: value for name, value in view.items() if value is not None}


def occ_time(ms: int | None) -> str | None:
    """ISO 8601 as OCC writes it, ``2018-01-09T16:28:45+0000``."""
    if ms is None:
        return None
    return datetime.fromtimestamp(ms / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S+0000")


class Views:
    """Reads items of one store."""

    def __init__(self, store: Store) -> None:
        self.store = store
        self.value = store.value

    def code(self, pk: int | None, name: str, *, column: str = "code") -> Any:
        """One column of what an attribute refers to."""
        return self.value(self.value(pk, name), column)

    def children(self, pk: int, name: str) -> list[int]:
        kind = self.store.types.get(self.store.itemtype(pk))
        return self.store.collection(pk, kind.attributes[name])

    def local(self, pk: int | None, name: str, language: str = "en") -> str | None:
        text: str | None = json.loads(self.value(pk, name) or "{}").get(language)
        return text

    def price(self, value: float | str | None, currency: str | None) -> View | None:
        if value is None:
            return None
        number = round(float(value), 2)
        text = f"{_SYMBOLS.get(currency or 'USD', '')}{number:,.2f}"
        return {"currencyIso": currency or "USD", "value": number, "priceType": "BUY", "formattedValue": text}

    def user(self, pk: int | None) -> View:
        """Uid and name only, as inside orders."""
        return filled({"uid": self.value(pk, "uid"), "name": self.value(pk, "name")})

    def customer(self, pk: int) -> View:
        name = self.value(pk, "name") or ""
        first, _, last = name.partition(" ")
        addresses = self.children(pk, "addresses")
        unit = self.value(pk, "defaultB2BUnit")
        view = {
            "type": "userWsDTO",
            "uid": self.value(pk, "uid"),
            "name": name,
            "customerId": self.value(pk, "customerID"),
            "firstName": first or None,
            "lastName": last or None,
            "titleCode": self.code(pk, "title"),
            "email": self.value(pk, "email") or self.value(pk, "contactEmail") or self.value(pk, "uid"),
            "currency": {"isocode": self.code(pk, "sessionCurrency", column="isocode") or "USD"},
            "language": {"isocode": self.code(pk, "sessionLanguage", column="isocode") or "en"},
            "defaultAddress": self.address(addresses[0]) if addresses else None,
            "deactivationDate": occ_time(self.value(pk, "deactivationDate")),
            "orgUnit": {"uid": self.value(unit, "uid"), "name": self.value(unit, "name")} if unit else None,
            "active": not self.value(pk, "loginDisabled"),
        }
        return filled(view)

    def address(self, pk: int | None) -> View | None:
        if pk is None or not self.store.exists(pk):
            return None
        names = {"firstName": "firstname", "lastName": "lastname", "line1": "streetname", "line2": "streetnumber"}
        names |= {"town": "town", "postalCode": "postalcode", "phone": "phone1", "email": "email"}
        view = {name: self.value(pk, column) for name, column in names.items()}
        country = self.code(pk, "country", column="isocode")
        rest = {"country": {"isocode": country} if country else None}
        return filled({"id": self.value(pk, "publicKey") or str(pk), **view, **rest})

    def order_history(self, pk: int) -> View:
        status = self.code(pk, "status")
        unit = self.value(pk, "unit")
        return filled(
            {
                "code": self.value(pk, "code"),
                "guid": self.value(pk, "guid") or self.value(pk, "code"),
                "status": status,
                "statusDisplay": _display(status),
                "placed": occ_time(self.value(pk, "date")),
                "total": self.price(self.value(pk, "totalPrice"), self.code(pk, "currency", column="isocode")),
                "purchaseOrderNumber": self.value(pk, "purchaseOrderNumber"),
                "orgUnit": {"uid": self.value(unit, "uid")} if unit else None,
            }
        )

    def amounts(self, pk: int) -> View:
        """What orders, carts and quotes have in common."""
        currency = self.code(pk, "currency", column="isocode")
        entries = [self.entry(entry, currency) for entry in self.children(pk, "entries")]
        names = {"totalPrice": "totalPrice", "totalPriceWithTax": "totalPrice", "totalTax": "totalTax"}
        names |= {"subTotal": "subtotal", "deliveryCost": "deliveryCost", "totalDiscounts": "totalDiscounts"}
        prices = {name: self.price(self.value(pk, column), currency) for name, column in names.items()}
        coupons = json.loads(self.value(pk, "appliedCouponCodes") or "[]")
        return {
            **prices,
            "code": self.value(pk, "code"),
            "guid": self.value(pk, "guid") or self.value(pk, "code"),
            "user": self.user(self.value(pk, "user")),
            "site": self.code(pk, "site", column="uid"),
            "store": self.code(pk, "store", column="uid"),
            "net": bool(self.value(pk, "net")),
            "calculated": bool(self.value(pk, "calculated")),
            "totalItems": len(entries),
            "totalUnitCount": sum(entry["quantity"] for entry in entries),
            "entries": sorted(entries, key=lambda entry: entry["entryNumber"] or 0),
            "deliveryAddress": self.address(self.value(pk, "deliveryAddress")),
            "paymentAddress": self.address(self.value(pk, "paymentAddress")),
            "appliedOrderPromotions": [],
            "appliedProductPromotions": [],
            "appliedVouchers": [{"code": code, "voucherCode": code} for code in coupons],
        }

    def entry(self, pk: int, currency: str | None) -> View:
        quantity = int(self.value(pk, "quantity") or 0)
        view = {
            "entryNumber": self.value(pk, "entryNumber"),
            "quantity": quantity,
            "basePrice": self.price(self.value(pk, "basePrice"), currency),
            "totalPrice": self.price(self.value(pk, "totalPrice"), currency),
            "product": self.product_reference(self.value(pk, "product")),
        }
        if self.store.itemtype(pk) == "OrderEntry":
            counted = {
                n: int(self.value(pk, n) or 0) for n in ("quantityCancelled", "quantityShipped", "quantityReturned")
            }
            open_pieces = quantity - counted["quantityShipped"]
            view |= counted | {"quantityPending": open_pieces, "cancellableQuantity": open_pieces}
            view |= {"returnableQuantity": quantity - counted["quantityReturned"]}
        return filled(view)

    def product_reference(self, pk: int | None) -> View:
        return filled({"code": self.value(pk, "code"), "name": self.local(pk, "name")}) if pk else {}

    def order(self, pk: int) -> View:
        status = self.code(pk, "status")
        shipments = [self.consignment(one) for one in self.children(pk, "consignments")]
        is_open = status not in ("CANCELLED", "CANCELLING")
        unit = self.value(pk, "unit")
        return filled(
            self.amounts(pk)
            | {
                "status": status,
                "statusDisplay": _display(status),
                "created": occ_time(self.value(pk, "date")),
                "deliveryStatus": self.code(pk, "deliveryStatus"),
                "paymentStatus": self.code(pk, "paymentStatus"),
                "guestCustomer": self.code(self.value(pk, "user"), "type") == "GUEST",
                "consignments": shipments,
                "unconsignedEntries": [],
                "deliveryMode": _named(self.code(pk, "deliveryMode")),
                "purchaseOrderNumber": self.value(pk, "purchaseOrderNumber"),
                "orgUnit": {"uid": self.value(unit, "uid"), "name": self.value(unit, "name")} if unit else None,
                "cancellable": is_open and not any(one.get("status") in _FINAL_SHIPMENTS for one in shipments),
                "returnable": status == "COMPLETED",
            }
        )

    def consignment(self, pk: int) -> View:
        entries = [
            {
                "quantity": int(self.value(one, "quantity") or 0),
                "shippedQuantity": int(self.value(one, "shippedQuantity") or 0),
                "orderEntry": {"entryNumber": self.code(one, "orderEntry", column="entryNumber")},
            }
            for one in self.children(pk, "consignmentEntries")
        ]
        return filled(
            {
                "code": self.value(pk, "code"),
                "status": self.code(pk, "status"),
                "statusDate": occ_time(self.value(pk, "modifiedtime")),
                "trackingID": self.value(pk, "trackingID"),
                "entries": entries,
                "shippingAddress": self.address(self.value(pk, "shippingAddress")),
                "shippingDate": occ_time(self.value(pk, "shippingDate")),
                "deliveryMode": _named(self.code(pk, "deliveryMode")),
                "warehouseCode": self.code(pk, "warehouse"),
                "orderCode": self.code(pk, "order"),
            }
        )

    def order_return(self, pk: int) -> View:
        order, status = self.value(pk, "order"), self.code(pk, "status")
        currency = self.code(order, "currency", column="isocode")
        entries = [
            filled(
                {
                    "orderEntry": {"entryNumber": self.code(one, "orderEntry", column="entryNumber")},
                    "expectedQuantity": self.value(one, "expectedQuantity"),
                    "receivedQuantity": self.value(one, "receivedQuantity"),
                    "refundAmount": self.price(self.value(one, "amount"), currency),
                }
            )
            for one in self.children(pk, "returnEntries")
        ]
        total = sum(entry["refundAmount"]["value"] for entry in entries if "refundAmount" in entry)
        return filled(
            {
                "code": self.value(pk, "code"),
                "rma": self.value(pk, "RMA"),
                "status": status,
                "order": self.order_history(order) if order else None,
                "returnEntries": entries,
                "cancellable": status == "APPROVAL_PENDING",
                "refundDeliveryCost": bool(self.value(pk, "refundDeliveryCost")),
                "subTotal": self.price(total, currency),
                "totalPrice": self.price(total, currency),
                "creationTime": occ_time(self.value(pk, "creationtime")),
            }
        )

    def cart(self, pk: int) -> View:
        return filled(
            self.amounts(pk)
            | {
                "type": "cartWsDTO",
                "name": self.value(pk, "name"),
                "description": self.value(pk, "description"),
                "saveTime": occ_time(self.value(pk, "saveTime")),
                "savedBy": self.user(self.value(pk, "savedBy")) or None,
                "expirationTime": occ_time(self.value(pk, "expirationTime")),
                "potentialOrderPromotions": [],
                "potentialProductPromotions": [],
            }
        )

    def quote(self, pk: int) -> View:
        return filled(
            self.amounts(pk)
            | {
                "name": self.value(pk, "name"),
                "state": self.code(pk, "state"),
                "version": self.value(pk, "version"),
                "description": self.value(pk, "description"),
                "cartId": self.code(pk, "cartReference"),
                "creationTime": occ_time(self.value(pk, "creationtime")),
                "updatedTime": occ_time(self.value(pk, "modifiedtime")),
                "expirationTime": occ_time(self.value(pk, "expirationTime")),
            }
        )


def _named(code: str | None) -> View | None:
    return {"code": code} if code else None


def _display(status: str | None) -> str | None:
    return None if status is None else _DISPLAY.get(status, status.lower())
