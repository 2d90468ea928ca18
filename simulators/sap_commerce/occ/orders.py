"""Orders, cancellations, returns and shipments. Source: fact sheet section 4."""

from __future__ import annotations

from typing import Any

from simulators.sap_commerce.occ.calls import OccCall, page_of
from simulators.sap_commerce.occ.failures import conflict, invalid, unknown
from simulators.sap_commerce.occ.views import Views
from simulators.sap_commerce.store import Store


def user_orders(call: OccCall) -> Any:
    """A user's orders, newest first, optionally only those of some statuses."""
    views, user = Views(call.store), call.subject()
    wanted = {status for status in call.query.get("statuses", "").split(",") if status}
    sql = 'SELECT pk FROM "Order" WHERE user = ? AND versionID IS NULL ORDER BY date DESC, pk'
    pks = [pk for (pk,) in call.store.db.execute(sql, (user,))]
    if wanted:
        pks = [pk for pk in pks if views.code(pk, "status") in wanted]
    page = page_of(call, pks, name="orders")
    page["orders"] = [views.order_history(pk) for pk in page["orders"]]
    page["sorts"] = [{"code": "byDate", "selected": True}, {"code": "byOrderNumber", "selected": False}]
    return page


def user_order(call: OccCall) -> Any:
    return Views(call.store).order(_order_of(call))


def order_by_code(call: OccCall) -> Any:
    """Any user's order, by code or guid."""
    call.require_all()
    return Views(call.store).order(_find(call.store, call.path["code"]))


def cancel(call: OccCall) -> Any:
    """Take pieces out of an order; the last ones make it CANCELLED."""
    order = _order_of(call)
    views = Views(call.store)
    if not views.order(order)["cancellable"]:
        raise conflict("OrderCancellationError", f"Order {call.path['code']} cannot be cancelled.")
    entries = _entries(call, order, "cancellationRequestEntryInputs")
    for entry, quantity in entries:
        left = int(call.store.value(entry, "quantity"))
        if not 0 < quantity <= left:
            raise invalid(f"Quantity {quantity} is not cancellable.", subject="quantity")
    for entry, quantity in entries:
        _cancel_pieces(call.store, entry, quantity)
    _total_again(call.store, order)
    return None


def _cancel_pieces(store: Store, entry: int, quantity: int) -> None:
    before = int(store.value(entry, "quantity"))
    left = before - quantity
    total = round((store.value(entry, "totalPrice") or 0) * left / before, 2) if before else 0.0
    cancelled = int(store.value(entry, "quantityCancelled") or 0) + quantity
    store.update(entry, {"quantity": left, "totalPrice": total, "quantityCancelled": cancelled})


def _total_again(store: Store, order: int) -> None:
    rows = store.db.execute(
        'SELECT coalesce(sum(totalPrice), 0), coalesce(sum(quantity), 0) FROM OrderEntry WHERE "order" = ?', (order,)
    )
    total, pieces = rows.fetchone()
    values: dict[str, Any] = {"subtotal": round(total, 2), "totalPrice": round(total, 2)}
    if not pieces:
        values["status"] = store.find(["OrderStatus"], {"code": "CANCELLED"})[0]
    store.update(order, values)


def tracking(call: OccCall) -> Any:
    views, order = Views(call.store), _order_of(call)
    code = call.path["consignment"]
    found = [pk for pk in views.children(order, "consignments") if views.value(pk, "code") == code]
    if not found:
        raise unknown("consignment", code)
    view = views.consignment(found[0])
    carrier = views.code(found[0], "carrierDetails") or views.value(found[0], "carrier")
    events = [{"detail": view.get("status"), "eventDate": view.get("statusDate")}]
    answer = {"trackingID": view.get("trackingID"), "statusDisplay": view.get("status"), "trackingEvents": events}
    return answer | ({"carrierDetails": {"code": carrier}} if carrier else {})


def user_returns(call: OccCall) -> Any:
    views = Views(call.store)
    sql = (
        'SELECT r.pk FROM ReturnRequest r JOIN "Order" o ON o.pk = r."order" WHERE o.user = ?'
        " ORDER BY r.creationtime DESC, r.pk"
    )
    pks = [pk for (pk,) in call.store.db.execute(sql, (call.subject(),))]
    page = page_of(call, pks, name="returnRequests")
    page["returnRequests"] = [views.order_return(pk) for pk in page["returnRequests"]]
    return page


def user_return(call: OccCall) -> Any:
    return Views(call.store).order_return(_return_of(call))


def create_return(call: OccCall) -> Any:
    order = _find(call.store, call.text("orderCode"), user=call.subject())
    store, views = call.store, Views(call.store)
    if not views.order(order)["returnable"]:
        raise conflict("ReturnError", f"Order {call.body['orderCode']} cannot be returned.")
    entries = _entries(call, order, "returnRequestEntryInputs")
    for entry, quantity in entries:
        free = int(store.value(entry, "quantity")) - int(store.value(entry, "quantityReturned") or 0)
        if not 0 < quantity <= free:
            raise invalid(f"Quantity {quantity} is not returnable.", subject="quantity")
    (status,) = store.find(["ReturnStatus"], {"code": "APPROVAL_PENDING"})
    number = store.new_pk("ReturnRequest") >> 8
    row = {"code": f"{number:08d}", "RMA": f"{number:08d}", "order": order, "status": status}
    request = store.insert("ReturnRequest", row | {"currency": store.value(order, "currency")})
    for entry, quantity in entries:
        amount = (store.value(entry, "totalPrice") or 0) * quantity / (int(store.value(entry, "quantity")) or 1)
        refund = {"returnRequest": request, "orderEntry": entry, "expectedQuantity": quantity}
        store.insert("RefundEntry", refund | {"amount": f"{amount:.2f}"})
        returned = int(store.value(entry, "quantityReturned") or 0) + quantity
        store.update(entry, {"quantityReturned": returned})
    return views.order_return(request)


def change_return(call: OccCall) -> Any:
    """``{"status": "CANCELLING"}`` is the only change a customer may make; it ends as CANCELED."""
    request = _return_of(call)
    if call.text("status") != "CANCELLING":
        raise invalid("Only CANCELLING is allowed.", subject="status")
    (status,) = call.store.find(["ReturnStatus"], {"code": "CANCELED"})
    call.store.update(request, {"status": status})


def _entries(call: OccCall, order: int, name: str) -> list[tuple[int, int]]:
    """(order entry, quantity) of each input."""
    inputs = call.body.get(name) if isinstance(call.body, dict) else None
    if not isinstance(inputs, list) or not inputs:
        raise invalid("This field is required.", subject=name, reason="missing")
    numbers = {call.store.value(pk, "entryNumber"): pk for pk in Views(call.store).children(order, "entries")}
    found = []
    for one in inputs:
        number, quantity = (one.get("orderEntryNumber"), one.get("quantity")) if isinstance(one, dict) else (None, None)
        if number not in numbers or not isinstance(quantity, int):
            raise invalid(f"Order entry {number} is unknown or has no quantity.", subject="orderEntryNumber")
        found.append((numbers[number], quantity))
    return found


def _order_of(call: OccCall) -> int:
    return _find(call.store, call.path["code"], user=call.subject())


def _find(store: Store, code: str, *, user: int | None = None) -> int:
    owner = {} if user is None else {"user": user}
    for column in ("code", "guid"):
        if found := store.find(["Order"], {column: code, "versionID": None, **owner}):
            return found[0]
    raise unknown("order", code)


def _return_of(call: OccCall) -> int:
    user, code = call.subject(), call.path["code"]
    for pk in call.store.find(["ReturnRequest"], {"code": code}):
        if call.store.value(call.store.value(pk, "order"), "user") == user:
            return pk
    raise unknown("returnRequest", code)
