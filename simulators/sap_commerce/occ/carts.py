"""Carts with their entries, placing an order, quotes. Source: fact sheet section 4.

cartId is the cart's code, its guid (anonymous) or ``current``. Prices come from the product's price rows.
"""

from __future__ import annotations

import uuid
from typing import Any

from simulators.sap_commerce.occ.calls import OccCall, page_of
from simulators.sap_commerce.occ.catalog import list_price, product_of
from simulators.sap_commerce.occ.failures import conflict, invalid, unknown
from simulators.sap_commerce.occ.views import Views
from simulators.sap_commerce.store import Store

_ENTRY_NUMBERS = 8  # bits of a pk that name its table
_ACTIONS = {
    "SUBMIT": "BUYER_SUBMITTED",
    "CANCEL": "CANCELLED",
    "APPROVE": "BUYER_APPROVED",
    "REJECT": "BUYER_REJECTED",
    "CHECKOUT": "BUYER_ACCEPTED",
}


def list_carts(call: OccCall) -> Any:
    """All carts of a user, or only the saved ones."""
    saved = call.query.get("savedCartsOnly") == "true"
    test = " AND saveTime IS NOT NULL" if saved else ""
    sql = f"SELECT pk FROM Cart WHERE user = ?{test} ORDER BY modifiedtime DESC, pk"
    pks = [pk for (pk,) in call.store.db.execute(sql, (call.subject(),))]
    views = Views(call.store)
    page = page_of(call, pks, name="carts")
    return page | {"carts": [views.cart(pk) for pk in page["carts"]]}


def create_cart(call: OccCall) -> Any:
    store, user = call.store, _owner(call)
    number = store.new_pk("Cart")
    values = {"user": user, "guid": str(uuid.uuid4()), "code": f"{number >> _ENTRY_NUMBERS:08d}"}
    values |= {"site": store.find(["BaseSite"], {"uid": call.site})[0], "date": store.now_ms(), "net": 0}
    currency = store.find(["Currency"], {"isocode": call.query.get("curr", "USD")})
    if not currency:
        raise invalid(f"Currency {call.query['curr']} is unknown.", subject="curr")
    amounts: dict[str, Any] = dict.fromkeys(
        ("totalPrice", "subtotal", "totalTax", "totalDiscounts", "deliveryCost"), 0.0
    )
    pk = store.insert("Cart", {**values, **amounts, "currency": currency[0], "calculated": 1})
    return Views(store).cart(pk)


def _owner(call: OccCall) -> int:
    if call.path["user"] != "anonymous":
        return call.subject()
    found = call.store.find(["Customer"], {"uid": "anonymous"})
    return found[0] if found else call.store.insert("Customer", {"uid": "anonymous", "name": "Anonymous"})


def read_cart(call: OccCall) -> Any:
    return Views(call.store).cart(cart_of(call))


def delete_cart(call: OccCall) -> Any:
    call.store.delete(cart_of(call))


def save_cart(call: OccCall) -> Any:
    """A saved cart is kept under a name until it is deleted."""
    cart = cart_of(call)
    name = call.query.get("saveCartName") or call.store.value(cart, "name")
    description = call.query.get("saveCartDescription") or call.store.value(cart, "description")
    values = {"name": name, "description": description, "saveTime": call.store.now_ms()}
    call.store.update(cart, values | {"savedBy": call.store.value(cart, "user")})
    return {"savedCartData": Views(call.store).cart(cart)}


def list_entries(call: OccCall) -> Any:
    return {"orderEntries": Views(call.store).amounts(cart_of(call))["entries"]}


def add_entry(call: OccCall) -> Any:
    """Add pieces; the same product joins the entry it already has."""
    store, cart = call.store, cart_of(call)
    given = call.body.get("product") if isinstance(call.body, dict) else None
    code = given.get("code") if isinstance(given, dict) else None
    if not isinstance(code, str):
        raise invalid("This field is required.", subject="product.code", reason="missing")
    product, quantity = product_of(store, code), _quantity(call, 1)
    rows = store.find(["CartEntry"], {"order": cart, "product": product})
    if rows:
        entry = rows[0]
        store.update(entry, {"quantity": int(store.value(entry, "quantity")) + quantity})
    else:
        entry = _new_entry(store, cart, product, quantity)
    calculate(store, cart)
    return _modified(store, cart, entry, quantity)


def _new_entry(store: Store, cart: int, product: int, quantity: int) -> int:
    numbers = [store.value(pk, "entryNumber") for pk in store.find(["CartEntry"], {"order": cart})]
    unit = store.value(product, "unit") or store.find(["Unit"], {"code": "pieces"})[0]
    row = {"order": cart, "entryNumber": max(numbers, default=-1) + 1, "product": product, "unit": unit}
    return store.insert(
        "CartEntry", {**row, "quantity": quantity, "basePrice": 0.0, "totalPrice": 0.0, "calculated": 1}
    )


def read_entry(call: OccCall) -> Any:
    currency = Views(call.store).code(cart_of(call), "currency", column="isocode")
    return Views(call.store).entry(_entry_of(call), currency)


def change_entry(call: OccCall) -> Any:
    """Set the quantity; zero removes the entry."""
    entry, cart, quantity = _entry_of(call), cart_of(call), _quantity(call, None)
    if quantity == 0:
        call.store.delete(entry)
    else:
        call.store.update(entry, {"quantity": quantity})
    calculate(call.store, cart)
    return _modified(call.store, cart, entry, quantity)


def delete_entry(call: OccCall) -> Any:
    call.store.delete(_entry_of(call))
    calculate(call.store, cart_of(call))


def _quantity(call: OccCall, default: int | None) -> int:
    value = call.body.get("quantity", default) if isinstance(call.body, dict) else default
    if isinstance(value, bool) or not isinstance(value, int) or value < (0 if default is None else 1) or value > 10**6:
        raise invalid(f"Quantity {value!r} is not valid.", subject="quantity")
    return value


def _modified(store: Store, cart: int, entry: int, quantity: int) -> dict[str, Any]:
    views = Views(store)
    view = views.entry(entry, views.code(cart, "currency", column="isocode")) if store.exists(entry) else {}
    return {"statusCode": "success", "quantity": quantity, "quantityAdded": quantity, "entry": view}


def calculate(store: Store, cart: int) -> None:
    """Prices of the entries and the totals of a cart."""
    total = 0.0
    for entry in store.find(["CartEntry"], {"order": cart}):
        quantity = int(store.value(entry, "quantity"))
        base = list_price(store, store.value(entry, "product"), quantity=quantity) or 0.0
        store.update(entry, {"basePrice": base, "totalPrice": round(base * quantity, 2)})
        total += round(base * quantity, 2)
    store.update(cart, {"subtotal": round(total, 2), "totalPrice": round(total, 2)})


def place_order(call: OccCall) -> Any:
    """A cart becomes an order and is gone."""
    store, user = call.store, call.subject()
    name = call.query.get("cartId") or (call.body.get("cartId") if isinstance(call.body, dict) else None)
    if not name:
        raise invalid("This field is required.", subject="cartId", reason="missing")
    cart = _find_cart(store, user, str(name))
    entries = store.find(["CartEntry"], {"order": cart})
    if not entries:
        raise conflict("WebserviceValidationError", "The cart is empty.")
    names = (
        "user currency site store net unit totalPrice subtotal totalTax totalDiscounts deliveryCost appliedCouponCodes"
    )
    values = {name: store.value(cart, name) for name in names.split()}
    (status,) = store.find(["OrderStatus"], {"code": "CREATED"})
    code = f"{store.new_pk('Order') >> _ENTRY_NUMBERS:08d}"
    guid = store.value(cart, "guid")
    order = store.insert("Order", values | {"code": code, "guid": guid, "date": store.now_ms(), "status": status})
    for entry in entries:
        columns = ("entryNumber", "product", "quantity", "unit", "basePrice", "totalPrice")
        store.insert("OrderEntry", {"order": order, **{name: store.value(entry, name) for name in columns}})
    store.delete(cart)
    return Views(store).order(order)


def cart_of(call: OccCall) -> int:
    if call.path["user"] != "anonymous":
        return _find_cart(call.store, call.subject(), call.path["cart"])
    owner = call.store.find(["Customer"], {"uid": "anonymous"})
    found = call.store.find(["Cart"], {"guid": call.path["cart"], "user": owner[0]}) if owner else []
    if not found:
        raise _no_cart(call.path["cart"])
    return found[0]


def _find_cart(store: Store, user: int, name: str) -> int:
    if name == "current":
        sql = "SELECT pk FROM Cart WHERE user = ? ORDER BY modifiedtime DESC, pk DESC LIMIT 1"
        found = [pk for (pk,) in store.db.execute(sql, (user,))]
    else:
        found = store.find(["Cart"], {"code": name, "user": user})
    if not found:
        raise _no_cart(name)
    return found[0]


def _no_cart(name: str) -> Exception:
    error = unknown("cart", name)
    error.kind, error.details["reason"] = "CartError", "notFound"
    return error


def _entry_of(call: OccCall) -> int:
    text = call.path["entry"]
    found = (
        call.store.find(["CartEntry"], {"order": cart_of(call), "entryNumber": int(text)})
        if text.isascii() and text.isdigit()
        else []
    )
    if not found:
        raise unknown("entry", text)
    return found[0]


def list_quotes(call: OccCall) -> Any:
    views = Views(call.store)
    sql = "SELECT pk FROM Quote WHERE user = ? ORDER BY modifiedtime DESC, pk"
    page = page_of(call, [pk for (pk,) in call.store.db.execute(sql, (call.subject(),))], name="quotes")
    return page | {"quotes": [views.quote(pk) for pk in page["quotes"]]}


def read_quote(call: OccCall) -> Any:
    return Views(call.store).quote(_quote_of(call))


def create_quote(call: OccCall) -> Any:
    """A draft from a cart, which stays as the quote's own cart."""
    store, user = call.store, call.subject()
    cart = _find_cart(store, user, call.text("cartId"))
    (state,) = store.find(["QuoteState"], {"code": "BUYER_DRAFT"})
    names = ("user", "currency", "site", "unit", "totalPrice", "subtotal", "totalDiscounts")
    values = {name: store.value(cart, name) for name in names}
    code = f"{store.new_pk('Quote') >> _ENTRY_NUMBERS:08d}"
    more = {"code": code, "version": 1, "state": state, "date": store.now_ms(), "name": f"Quote {code}"}
    quote = store.insert("Quote", {**values, **more, "cartReference": cart})
    for entry in store.find(["CartEntry"], {"order": cart}):
        columns = ("entryNumber", "product", "quantity", "unit", "basePrice", "totalPrice")
        store.insert("QuoteEntry", {"order": quote, **{name: store.value(entry, name) for name in columns}})
    return Views(store).quote(quote)


def act_on_quote(call: OccCall) -> Any:
    quote, action = _quote_of(call), call.text("action")
    if action not in _ACTIONS:
        raise invalid(f"Action {action} is unknown; legal: {', '.join(_ACTIONS)}", subject="action")
    (state,) = call.store.find(["QuoteState"], {"code": _ACTIONS[action]})
    call.store.update(quote, {"state": state})


def _quote_of(call: OccCall) -> int:
    sql = "SELECT pk FROM Quote WHERE user = ? AND code = ? ORDER BY version DESC LIMIT 1"
    found = call.store.db.execute(sql, (call.subject(), call.path["code"])).fetchone()
    if found is None:
        raise unknown("quote", call.path["code"])
    return int(found[0])
