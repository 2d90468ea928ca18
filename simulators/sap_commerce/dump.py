"""All orders in a plain shape, for recomputing figures without the API.

One JSON object per line: code, date and modifiedtime (ISO, UTC), status, currency, totals, user, unit,
entries with their products' categories, returns with the amounts given back.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import msgspec

from simulators.sap_commerce.rows import json_list
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.values import iso

_CHUNK = 1000
_ORDERS = """
SELECT o.pk, o.code, o.date, o.creationtime, o.modifiedtime, s.code, c.isocode, o.totalPrice, o.totalDiscounts,
       o.deliveryCost, p.uid, p.customerID, p.itemtype, u.uid
FROM "Order" o LEFT JOIN EnumerationValue s ON s.pk = o.status LEFT JOIN Currency c ON c.pk = o.currency
LEFT JOIN Principal p ON p.pk = o.user LEFT JOIN Principal u ON u.pk = o.unit
WHERE o.pk IN (SELECT value FROM json_each(?)) ORDER BY o.pk
"""
_ENTRIES = """
SELECT "order", entryNumber, quantity, basePrice, totalPrice, product FROM OrderEntry
WHERE "order" IN (SELECT value FROM json_each(?)) ORDER BY "order", entryNumber
"""
_PRODUCTS = """
SELECT p.pk, p.code, group_concat(c.code, ' ')
FROM Product p LEFT JOIN links l ON l.relation = 'Product.supercategories' AND l.source = p.pk
LEFT JOIN Category c ON c.pk = l.target GROUP BY p.pk
"""
_RETURNS = """
SELECT r."order", r.code, s.code, r.modifiedtime, e.entryNumber, f.expectedQuantity, f.receivedQuantity, f.amount
FROM ReturnRequest r LEFT JOIN EnumerationValue s ON s.pk = r.status
LEFT JOIN RefundEntry f ON f.returnRequest = r.pk LEFT JOIN OrderEntry e ON e.pk = f.orderEntry
WHERE r."order" IN (SELECT value FROM json_each(?)) ORDER BY r."order", r.pk, f.pk
"""


def order_lines(store: Store) -> Iterator[bytes]:
    """Newline-delimited JSON, about a thousand orders at a time."""
    pks = [pk for (pk,) in store.db.execute('SELECT pk FROM "Order" ORDER BY pk')]
    products = {pk: (code, (names or "").split()) for pk, code, names in store.db.execute(_PRODUCTS)}
    encoder = msgspec.json.Encoder()
    for start in range(0, len(pks), _CHUNK):
        listed = json_list(pks[start : start + _CHUNK])
        entries, returns = _entries(store, listed, products), _returns(store, listed)
        rows = store.db.execute(_ORDERS, (listed,)).fetchall()
        yield encoder.encode_lines([_order(row, entries, returns) for row in rows])


def _order(row: tuple[Any, ...], entries: dict[int, Any], returns: dict[int, Any]) -> dict[str, Any]:
    pk, code, date, created, modified, status, currency, total, discounts, delivery, uid, number, kind, unit = row
    return {
        "code": code,
        "date": iso(date),
        "creationtime": iso(created),
        "modifiedtime": iso(modified),
        "status": status,
        "currency": currency,
        "totalPrice": total,
        "totalDiscounts": discounts,
        "deliveryCost": delivery,
        "user": {"uid": uid, "customerID": number, "itemtype": kind},
        "unit": unit,
        "entries": entries.get(pk, []),
        "returns": list(returns.get(pk, {}).values()),
    }


def _entries(store: Store, listed: str, products: dict[int, tuple[str, list[str]]]) -> dict[int, list[dict[str, Any]]]:
    found: dict[int, list[dict[str, Any]]] = {}
    for order, number, quantity, base, total, product in store.db.execute(_ENTRIES, (listed,)).fetchall():
        code, categories = products.get(product, (None, []))
        entry = {
            "entryNumber": number,
            "quantity": quantity,
            "basePrice": base,
            "totalPrice": total,
            "product": code,
            "categories": categories,
        }
        found.setdefault(order, []).append(entry)
    return found


def _returns(store: Store, listed: str) -> dict[int, dict[str, dict[str, Any]]]:
    found: dict[int, dict[str, dict[str, Any]]] = {}
    for order, code, status, modified, number, expected, received, amount in store.db.execute(_RETURNS, (listed,)):
        one = found.setdefault(order, {}).setdefault(
            code, {"code": code, "status": status, "modifiedtime": iso(modified), "entries": []}
        )
        if number is not None:
            one["entries"].append(
                {
                    "entryNumber": number,
                    "expectedQuantity": expected,
                    "receivedQuantity": received,
                    "amount": amount,
                }
            )
    return found
