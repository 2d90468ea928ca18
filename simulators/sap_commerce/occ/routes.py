"""The calls of the OCC subset, and how each request becomes an answer.

Base paths: ``/occ/v2/{site}`` and, as older systems have it, ``/rest/v2/{site}``. Source: fact sheet section 4.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web

from simulators.sap_commerce.oauth import Tokens
from simulators.sap_commerce.occ import carts, catalog, orders, people
from simulators.sap_commerce.occ.calls import OccCall, read_call
from simulators.sap_commerce.occ.failures import OccError, no_resource
from simulators.sap_commerce.occ.fields import selected
from simulators.sap_commerce.store import Store

Action = Callable[[OccCall], Any]
USER, CART = "/{site}/users/{user}", "/{site}/users/{user}/carts/{cart}"
ORDER, RETURNS = USER + "/orders/{code}", USER + "/orderReturns"
GROUP, TICKET, QUOTE = "/{site}/customergroups/{group}", USER + "/tickets/{ticket}", USER + "/quotes/{code}"

# method, path, action, status when it went well
CALLS: tuple[tuple[str, str, Action, int], ...] = (
    ("GET", "/basesites", catalog.list_sites, 200),
    ("GET", USER + "/orders", orders.user_orders, 200),
    ("POST", USER + "/orders", carts.place_order, 201),
    ("GET", ORDER, orders.user_order, 200),
    ("POST", ORDER + "/cancellation", orders.cancel, 200),
    ("GET", ORDER + "/consignments/{consignment}/tracking", orders.tracking, 200),
    ("GET", "/{site}/orders/{code}", orders.order_by_code, 200),
    ("GET", RETURNS, orders.user_returns, 200),
    ("POST", RETURNS, orders.create_return, 201),
    ("GET", RETURNS + "/{code}", orders.user_return, 200),
    ("PATCH", RETURNS + "/{code}", orders.change_return, 200),
    ("GET", "/{site}/feeds/orders/statusfeed", catalog.status_feed, 200),
    ("GET", "/{site}/export/products", catalog.export, 200),
    ("GET", "/{site}/products/expressupdate", catalog.express_update, 200),
    ("GET", "/{site}/products/search", catalog.search, 200),
    ("GET", "/{site}/products/{code}", catalog.read_product, 200),
    ("GET", "/{site}/products/{code}/stock", catalog.read_stock, 200),
    ("GET", "/{site}/products/{code}/references", catalog.read_references, 200),
    ("GET", "/{site}/promotions", catalog.list_promotions, 200),
    ("GET", "/{site}/promotions/{code}", catalog.read_promotion, 200),
    ("GET", "/{site}/catalogs", catalog.list_catalogs, 200),
    ("GET", "/{site}/catalogs/{catalog}", catalog.read_catalog, 200),
    ("GET", "/{site}/catalogs/{catalog}/{version}", catalog.read_catalog_version, 200),
    ("GET", "/{site}/languages", catalog.list_languages, 200),
    ("GET", "/{site}/currencies", catalog.list_currencies, 200),
    ("GET", "/{site}/stores", catalog.list_stores, 200),
    ("POST", "/{site}/users", people.register, 201),
    ("GET", USER, people.read_user, 200),
    ("PATCH", USER, people.change_user, 200),
    ("PUT", USER, people.change_user, 200),
    ("DELETE", USER, people.deactivate_user, 200),
    ("GET", USER + "/addresses", people.addresses, 200),
    ("GET", USER + "/customergroups", people.groups_of_user, 200),
    ("GET", "/{site}/customergroups", people.list_groups, 200),
    ("POST", "/{site}/customergroups", people.create_group, 201),
    ("GET", GROUP, people.read_group, 200),
    ("GET", GROUP + "/members", people.read_group, 200),
    ("PATCH", GROUP + "/members", people.add_members, 200),
    ("PUT", GROUP + "/members", people.replace_members, 200),
    ("DELETE", GROUP + "/members/{user}", people.remove_member, 200),
    ("GET", USER + "/tickets", people.list_tickets, 200),
    ("POST", USER + "/tickets", people.create_ticket, 201),
    ("GET", TICKET, people.read_ticket, 200),
    ("POST", TICKET + "/events", people.add_ticket_event, 201),
    ("GET", USER + "/carts", carts.list_carts, 200),
    ("POST", USER + "/carts", carts.create_cart, 201),
    ("GET", CART, carts.read_cart, 200),
    ("DELETE", CART, carts.delete_cart, 200),
    ("PATCH", CART + "/save", carts.save_cart, 200),
    ("GET", CART + "/entries", carts.list_entries, 200),
    ("POST", CART + "/entries", carts.add_entry, 200),
    ("GET", CART + "/entries/{entry}", carts.read_entry, 200),
    ("PUT", CART + "/entries/{entry}", carts.change_entry, 200),
    ("PATCH", CART + "/entries/{entry}", carts.change_entry, 200),
    ("DELETE", CART + "/entries/{entry}", carts.delete_entry, 200),
    ("GET", USER + "/quotes", carts.list_quotes, 200),
    ("POST", USER + "/quotes", carts.create_quote, 201),
    ("GET", QUOTE, carts.read_quote, 200),
    ("POST", QUOTE + "/action", carts.act_on_quote, 200),
)


def add_occ_routes(app: web.Application, *, store: Store, tokens: Tokens) -> None:
    """Serve the subset; what is not in it answers UnknownResourceError."""
    for base in ("/occ/v2", "/rest/v2"):
        for method, path, action, status in CALLS:
            app.router.add_route(method, base + path, _handler(action, status, store=store, tokens=tokens))
        app.router.add_route("*", base + "/{path:.*}", _nothing)


async def _nothing(request: web.Request) -> web.Response:
    return _refused(no_resource(request.path))


def _handler(
    action: Action, status: int, *, store: Store, tokens: Tokens
) -> Callable[[web.Request], Awaitable[web.Response]]:
    async def handle(request: web.Request) -> web.Response:
        try:
            call = await read_call(request, store=store, tokens=tokens)
            with store.transaction():
                answer = action(call)
            if answer is None:
                return web.Response(status=status)
            return _json(selected(answer, call.query.get("fields", "")), status=status)
        except OccError as error:
            return _refused(error)
        except (
            sqlite3.Error,
            OverflowError,
            UnicodeError,
            RecursionError,
        ) as error:  # numbers and texts no column can hold
            return _refused(OccError(400, "ValidationError", f"A value is not acceptable: {error}"))

    return handle


def _refused(error: OccError) -> web.Response:
    return _json(error.body(), status=error.status)


def _json(value: Any, *, status: int) -> web.Response:
    text = json.dumps(value, ensure_ascii=False)
    return web.Response(status=status, text=text, content_type="application/json")
