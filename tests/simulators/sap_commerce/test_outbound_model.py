"""Outbound Sync against a model: whatever happens in between, the receiver ends up with the current state."""

from __future__ import annotations

from urllib.parse import unquote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from outbound_setup import channel, run

CODES = ["a", "b", "c"]
edits = st.tuples(st.just("edit"), st.sampled_from(CODES), st.integers(0, 9))
children = st.tuples(st.just("child"), st.sampled_from(CODES), st.integers(1, 9))
deletes = st.tuples(st.just("delete"), st.sampled_from(CODES), st.just(0))
runs = st.tuples(st.just("run"), st.sampled_from(["ok", "ok", "fail", "first"]), st.just(0))
stories = st.lists(st.one_of(edits, edits, children, deletes, runs, runs), max_size=14)


class Model:
    """What the shop holds, what the receiver was told, and what still has to be told."""

    def __init__(self) -> None:
        self.shop: dict[str, dict[str, int]] = {}
        self.told: dict[str, dict[str, int]] = {}
        self.pending: set[str] = set()

    def edit(self, code: str, total: int) -> None:
        self.shop.setdefault(code, {"total": 0, "quantity": 1})["total"] = total
        self.pending.add(code)


def tell(shop, api, model, step, argument, number):
    shop.clock(advance_s=1)
    if step == "edit":
        body = {
            "code": argument,
            "date": "/Date(0)/",
            "user": {"uid": "ann@example.com"},
            "currency": {"isocode": "USD"},
        }
        api.post(
            "OrderSync/Orders", body | {"totalPrice": number, "entries": [] if argument in model.shop else [entry(1)]}
        )
        model.edit(argument, number)
    elif argument in model.shop and step == "child":
        api.post("OrderSync/OrderEntries", entry(number) | {"order": {"code": argument}})
        model.shop[argument]["quantity"] = number
        model.pending.add(argument)
    elif argument in model.shop and step == "delete":
        api.call("DELETE", f"OrderSync/Orders('{argument}')")
        del model.shop[argument]
        model.pending.discard(argument)


def entry(quantity):
    return {"entryNumber": 0, "quantity": quantity, "product": {"code": "p0"}}


def sync(shop, receiver, model, how):
    """One run; afterwards exactly what was pending has been tried, and the failed part still is pending."""
    receiver.received.clear()
    receiver.status = 500 if how == "fail" else 201
    receiver.statuses = [500] if how == "first" else []
    outcome = run(shop)
    assert sorted(one.json["code"] for one in receiver.posts) == sorted(model.pending)
    failing = len(receiver.received) if how == "fail" else min(len(receiver.received), how == "first")
    assert outcome["failed"] == failing
    for one in receiver.received[failing:]:
        if one.method == "DELETE":
            model.told.pop(unquote(one.path).partition("'")[2].rstrip("')"), None)
        else:
            post = one.json
            model.told[post["code"]] = {"total": post["totalPrice"], "quantity": int(post["entries"][0]["quantity"])}
            model.pending.discard(post["code"])


def orders_with_totals(platform, shop, receiver):
    """OutboundOrder with the order's total, deletions included, and no order yet."""
    for code in [one["code"] for one in shop.records("Order")]:
        shop.delete("Order", code)
    platform.post(
        "IntegrationService/IntegrationObjectItemAttributes",
        {
            "attributeName": "totalPrice",
            "integrationObjectItem": {"code": "Order", "integrationObject": {"code": "OutboundOrder"}},
            "attributeDescriptor": {"qualifier": "totalPrice", "enclosingType": {"code": "Order"}},
        },
    )
    channel(platform, receiver, synchronizeDelete=True)
    shop.options(outbound_max_retries=100, clockwork=False)


def test_the_receiver_ends_with_what_the_shop_holds(platform, api, shop, receiver):
    @settings(max_examples=40, deadline=None, suppress_health_check=list(HealthCheck))
    @given(story=stories)
    def check(story):
        shop.reset()
        api.session.headers["Authorization"] = f"Bearer {api.new_token()}"
        shop.put("Customer", [{"uid": "ann@example.com"}])
        shop.put("Product", [{"code": "p0"}])
        orders_with_totals(platform, shop, receiver)
        model = Model()
        for step, argument, number in story:
            if step == "run":
                sync(shop, receiver, model, argument)
            else:
                tell(shop, api, model, step, argument, number)
        sync(shop, receiver, model, "ok")
        assert model.told == model.shop
        sync(shop, receiver, model, "ok")
        assert receiver.received == []

    check()
