"""The rest of the demo shop: stock, prices, carts, quotes, campaigns and coupons, shipments, payments, content.

Everything follows from the same baskets as the orders and leaves those untouched. Choices of ours: list prices
are what was paid on average; stock levels follow from the product's number; orders of the last thirty days have
one shipment and one payment each; about one payment in a hundred was refused, one shipment in twenty left after its
promised day, and a third of the orders not yet shipped was promised for the day it was ordered.
"""

from __future__ import annotations

import json
from datetime import date
from typing import TYPE_CHECKING, Any

from simulators.sap_commerce.demo_connected import load_care, load_connected
from simulators.sap_commerce.demo_drafts import load_drafts
from simulators.seed.connected import consignment_code
from simulators.seed.journey import data_folder

if TYPE_CHECKING:
    from simulators.sap_commerce.demo_orders import Loader

_DAY_MS = 86_400_000
_RECENT_DAYS = 30
_QUOTE_STATES = ("BUYER_SUBMITTED", "BUYER_OFFER", "BUYER_DRAFT", "CANCELLED", "BUYER_ORDERED", "EXPIRED")


def load_shop(loader: Loader, *, today: date) -> None:
    """Add everything to a loaded journey."""
    loader.store.forget_numbers()
    shift = f"(DATE '{today.isoformat()}' - 1 - (SELECT max(transaction_timestamp)::DATE FROM raw_transactions))"
    _stock(loader)
    _prices(loader)
    _campaigns(loader, shift=shift)
    _coupons(loader, shift=shift)
    _shipments(loader)
    _payments(loader)
    _carts(loader)
    _quotes(loader)
    _content(loader)
    load_drafts(loader)
    load_connected(loader)
    load_care(loader)


def _stock(loader: Loader) -> None:
    """The main warehouse has every product, the second one a third of them."""
    records = loader.records
    rows = {"warehouse-main": "Main warehouse", "warehouse-city": "City warehouse"}
    pks = {code: records.load("Warehouse", {"code": code, "name": {"en": name}}) for code, name in rows.items()}
    status = records.reference("InStockStatus", "NOTSPECIFIED")
    first = loader.pk("StockLevel", "row_number() OVER (ORDER BY b.number, w.pk)")
    loader.insert(
        "StockLevel",
        "pk, itemtype, creationtime, modifiedtime, productCode, warehouse, available, reserved, overSelling, preOrder,"
        " inStockStatus",
        f"SELECT {first}, 'StockLevel', {loader.now()}, {loader.now()}, product_id::VARCHAR, w.pk,"
        f" (b.number * 7919 + w.pk) % 200, 0, 0, 0, {status} FROM bought b,"
        f" (VALUES ({pks['warehouse-main']}, 1), ({pks['warehouse-city']}, 3)) w(pk, every)"
        " WHERE b.number % w.every = 0 ORDER BY b.number, w.pk",
    )


def _prices(loader: Loader) -> None:
    records = loader.records
    dollar, piece = records.reference("Currency", "USD"), records.reference("Unit", "pieces")
    version = records.reference("CatalogVersion", "Online|Default")
    loader.insert(
        "PriceRow",
        "pk, itemtype, creationtime, modifiedtime, price, currency, unit, minqtd, unitFactor, net, product, productId,"
        " catalogVersion, sapConditionId",
        f"SELECT {loader.pk('PriceRow', 'b.number')}, 'PriceRow', {loader.now()}, {loader.now()},"
        f" round(paid.cents) / 100::DOUBLE, {dollar}, {piece}, 1, 1, 0, {loader.pk('Product', 'b.number')},"
        f" product_id::VARCHAR, {version}, 'LIST-' || product_id FROM bought b JOIN"
        " (SELECT product_id, sum(cents) / sum(quantity) AS cents FROM lines GROUP BY product_id) paid"
        " USING (product_id)"
        " ORDER BY b.number",
    )


def _campaigns(loader: Loader, *, shift: str) -> None:
    """A promotion rule per campaign, with its dates; its group is the audience."""
    sql = (
        f"SELECT campaign_id, campaign_type, epoch_ms((start_date::DATE + {shift}::INTEGER)::TIMESTAMP),"
        f" epoch_ms((end_date::DATE + {shift}::INTEGER)::TIMESTAMP) FROM raw_campaign_descriptions ORDER BY 1"
    )
    for chunk in loader.journey.rows(sql):
        for number, kind, start, end in chunk:
            name = {"en": f"Campaign {number}"}
            row = {"code": f"campaign-{number:02d}", "name": name, "description": {"en": str(kind)}}
            dates = {"startDate": start, "endDate": end, "priority": 100, "stackable": False}
            loader.records.load("PromotionSourceRule", row | dates | {"status": "PUBLISHED", "website": "shop"})


def _coupons(loader: Loader, *, shift: str) -> None:
    """Coupons that were redeemed, and each redemption with the customer's order of that day."""
    path = str(data_folder() / "coupon_redemptions.parquet").replace("'", "''")
    columns = "pk, itemtype, creationtime, modifiedtime"
    loader.insert(
        "AbstractCoupon",
        f"{columns}, couponId, active, name",
        f"SELECT {loader.pk('AbstractCoupon', 'row_number() OVER (ORDER BY upc)')}, 'SingleCodeCoupon', {loader.now()},"
        f" {loader.now()}, upc, 1, json_object('en', 'Coupon ' || upc)"
        f" FROM (SELECT DISTINCT coupon_upc::VARCHAR AS upc FROM '{path}') ORDER BY upc",
    )
    coupons = dict(loader.store.db.execute("SELECT couponId, pk FROM AbstractCoupon").fetchall())
    sql = (
        f"SELECT r.coupon_upc::VARCHAR, c.number, min(b.number), min(b.ordered_ms),"
        f" epoch_ms((r.redemption_date::DATE + {shift}::INTEGER)::TIMESTAMP) AS day"
        f" FROM '{path}' r JOIN customer_pks c ON c.id = r.household_id LEFT JOIN baskets b"
        " ON b.household_id = r.household_id"
        f" AND b.ordered_ms // {_DAY_MS} ="
        f" epoch_ms((r.redemption_date::DATE + {shift}::INTEGER)::TIMESTAMP) // {_DAY_MS}"
        " GROUP BY ALL ORDER BY ALL"
    )
    first = loader.first["Order"]
    rows: list[tuple[Any, ...]] = []
    for chunk in loader.journey.rows(sql):
        for upc, customer, basket, ordered, day in chunk:
            order = None if basket is None else basket * 256 + first
            moment = ordered or day
            rows.append((moment, moment, upc, customer, order, coupons[upc], moment))
    start = loader.store.new_pk("CouponRedemption")
    loader.store.db.executemany(
        'INSERT INTO CouponRedemption (pk, itemtype, creationtime, modifiedtime, couponCode, user, "order",'
        " coupon, date)"
        " VALUES (?, 'CouponRedemption', ?, ?, ?, ?, ?, ?, ?)",
        [(start + 256 * place, *row) for place, row in enumerate(rows)],
    )
    applied: dict[int, list[str]] = {}
    for row in rows:
        if row[4] is not None:
            applied.setdefault(row[4], []).append(row[2])
    loader.store.db.executemany(
        'UPDATE "Order" SET appliedCouponCodes = ? WHERE pk = ?',
        [(json.dumps(codes), order) for order, codes in applied.items()],
    )


def _recent() -> str:
    return (
        f"b.ordered_ms >= (SELECT max(ordered_ms) FROM baskets) - {_RECENT_DAYS * _DAY_MS} AND b.status <> 'CANCELLED'"
    )


def _shipments(loader: Loader) -> None:
    shipped, ready = (loader.records.reference("ConsignmentStatus", code) for code in ("SHIPPED", "READY"))
    house = loader.records.reference("Warehouse", "warehouse-main")
    place, mode = loader.pk("Consignment", "b.number"), loader.records.reference("DeliveryMode", "standard")
    order, sent = loader.pk("Order", "b.number"), "b.status = 'COMPLETED'"
    late = f"{sent} AND spread % 20 = 7 AND ordered_ms < {loader.now()} - {9 * _DAY_MS}"
    left = f"CASE WHEN {late} THEN ordered_ms + (4 + spread % 3) * {_DAY_MS} WHEN {sent} THEN modified_ms END"
    days = f"CASE WHEN NOT {sent} AND spread % 3 = 0 THEN 0 ELSE 3 END"
    loader.insert(
        "Consignment",
        'pk, itemtype, creationtime, modifiedtime, code, "order", status, warehouse, deliveryMode, trackingID, carrier,'
        " shippingDate, namedDeliveryDate",
        f"SELECT {place}, 'Consignment', modified_ms, coalesce({left}, modified_ms),"
        f" '{consignment_code('')}' || basket_id, {order},"
        f" CASE WHEN {sent} THEN {shipped} ELSE {ready} END, {house}, {mode},"
        f" CASE WHEN {sent} THEN 'TRK' || basket_id END, 'UPS', {left},"
        f" ordered_ms + {days} * {_DAY_MS} FROM baskets b WHERE {_recent()} ORDER BY b.number",
    )
    entry = loader.pk("ConsignmentEntry", "l.number")
    loader.insert(
        "ConsignmentEntry",
        "pk, itemtype, creationtime, modifiedtime, consignment, orderEntry, quantity, shippedQuantity",
        f"SELECT {entry}, 'ConsignmentEntry', b.modified_ms, b.modified_ms, {place},"
        f" {loader.pk('OrderEntry', 'l.number')}, quantity, CASE WHEN {sent} THEN quantity ELSE 0 END"
        " FROM lines l JOIN baskets b ON b.number = l.basket_number"
        f" WHERE {_recent()} ORDER BY l.number",
    )


def _payments(loader: Loader) -> None:
    kind = loader.records.reference("PaymentTransactionType", "CAPTURE")
    dollar = loader.records.reference("Currency", "USD")
    place, order = loader.pk("PaymentTransaction", "b.number"), loader.pk("Order", "b.number")
    columns = "pk, itemtype, creationtime, modifiedtime, code"
    loader.insert(
        "PaymentTransaction",
        f'{columns}, requestId, paymentProvider, "order"',
        f"SELECT {place}, 'PaymentTransaction', modified_ms, modified_ms, 'P' || basket_id, 'R' || basket_id, 'demo',"
        f" {order} FROM baskets b WHERE {_recent()} ORDER BY b.number",
    )
    loader.insert(
        "PaymentTransactionEntry",
        f"{columns}, paymentTransaction, type, amount, currency, time, transactionStatus, transactionStatusDetails",
        f"SELECT {loader.pk('PaymentTransactionEntry', 'b.number')}, 'PaymentTransactionEntry', modified_ms,"
        f" modified_ms, 'P' || basket_id || '-1', {place}, {kind},"
        f" (total_cents / 100::DOUBLE)::DECIMAL(18, 2)::VARCHAR, {dollar},"
        " modified_ms, CASE WHEN spread % 100 = 7 THEN 'REJECTED' ELSE 'ACCEPTED' END,"
        " CASE WHEN spread % 100 = 7 THEN 'INSUFFICIENT_FUNDS' ELSE 'SUCCESFULL' END"
        f" FROM baskets b WHERE {_recent()} ORDER BY b.number",
    )


def _last_baskets(loader: Loader, *, chosen: str) -> list[tuple[Any, ...]]:
    """(user pk, last change, products with quantity and price) from the newest basket of the chosen customers."""
    sql = (
        "SELECT c.number, max(b.modified_ms), list([b2.number, l.quantity, l.cents] ORDER BY l.entry_number)[:4]"
        " FROM customer_pks c JOIN (SELECT household_id, max(number) AS number FROM baskets GROUP BY household_id) n"
        " ON n.household_id = c.id JOIN baskets b ON b.number = n.number JOIN lines l ON l.basket_number = b.number"
        f" JOIN bought b2 USING (product_id) WHERE {chosen} GROUP BY c.id, c.number ORDER BY c.id"
    )
    return [row for chunk in loader.journey.rows(sql) for row in chunk]


def _carts(loader: Loader) -> None:
    """Left behind: what a customer nearly bought once more, some hours or days after the last order; some unknown."""
    anonymous = loader.records.load("Customer", {"uid": "anonymous", "name": "Anonymous"})
    for place, (user, changed, lines) in enumerate(_last_baskets(loader, chosen="c.id % 8 = 3"), start=1):
        moment = min(changed + (place % 60 + 1) * 3_600_000, loader.now())
        row = {"code": f"{place:08d}", "guid": f"cart-{place:08d}", "site": "shop", "store": "shop"}
        _document(loader, "Cart", row, user=anonymous if place % 10 == 0 else user, moment=moment, lines=lines)


def _quotes(loader: Loader) -> None:
    """Every second business customer has asked for a price."""
    buyers = loader.store.db.execute("SELECT pk FROM Principal WHERE itemtype = 'B2BCustomer' ORDER BY pk").fetchall()
    wanted = {pk for (pk,) in buyers[::2]}
    rows = [row for row in _last_baskets(loader, chosen="true") if row[0] in wanted]
    for place, (user, changed, lines) in enumerate(rows, start=1):
        state = _QUOTE_STATES[place % len(_QUOTE_STATES)]
        moment = changed - (40 * _DAY_MS if state == "EXPIRED" else 0)
        row = {"code": f"Q{place:07d}", "version": 1, "name": f"Quote {place}", "state": state}
        row |= {"expirationTime": moment + 30 * _DAY_MS}
        _document(loader, "Quote", row, user=user, moment=moment, lines=lines)


def _document(
    loader: Loader, kind: str, row: dict[str, Any], *, user: int, moment: int, lines: list[list[int]]
) -> None:
    total = sum(cents for _, _, cents in lines) / 100
    amounts = {"totalPrice": total, "subtotal": total, "calculated": True, "currency": "USD", "date": moment}
    store = loader.store
    values = amounts | {"creationtime": moment, "modifiedtime": moment, "user": {"uid": store.value(user, "uid")}}
    pk = loader.records.load(kind, row | values)
    unit, piece = store.value(user, "defaultB2BUnit"), loader.records.reference("Unit", "pieces")
    if unit is not None:
        store.update(pk, {"unit": unit, "modifiedtime": moment})
    for number, (product, quantity, cents) in enumerate(lines):
        prices = {"basePrice": round(cents / quantity) / 100, "totalPrice": cents / 100, "calculated": 1}
        times = {"creationtime": moment, "modifiedtime": moment, "giveAway": 0, "rejected": 0}
        item = {"order": pk, "entryNumber": number, "product": product * 256 + loader.first["Product"], "unit": piece}
        store.insert(f"{kind}Entry", {**item, "quantity": quantity, **prices, **times})


def _content(loader: Loader) -> None:
    """A home page with two banner slots, staged and online."""
    load = loader.records.load
    for version in ("Staged|Content", "Online|Content"):
        home = {"catalogVersion": version}
        load("ContentPage", home | {"uid": "homepage", "name": "Home", "label": "homepage", "defaultPage": True})
        for place in ("hero", "season"):
            media = {"code": f"default-{place}", "mime": "image/png", "url": f"/medias/default-{place}.png"}
            load("Media", home | media)
            key = f"default-{place}|{version}"
            load("BannerComponent", home | {"uid": f"banner-{place}", "name": place, "media": key, "urlLink": "/"})
            slot = {"uid": f"slot-{place}", "name": place, "cmsComponents": [f"banner-{place}|{version}"]}
            load("ContentSlot", home | slot)
            link = {"uid": f"homepage-{place}", "position": place, "page": f"homepage|{version}"}
            load("ContentSlotForPage", home | link | {"contentSlot": f"slot-{place}|{version}"})
