"""The demo shop beyond its orders: every reference leads somewhere, sums agree, and orders stay as they were."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
import requests

ROOT = Path(__file__).parents[3]


class Demo:
    def __init__(self, url):
        self.url, self.session = url, requests.Session()
        self.session.trust_env = False

    def records(self, kind, **where):
        return self.session.get(f"{self.url}/_sim/records/{kind}", params=where, timeout=60).json()["records"]

    def total(self, kind):
        return self.session.get(f"{self.url}/_sim/records/{kind}", params={"limit": 1}, timeout=60).json()["total"]


@pytest.fixture(scope="module")
def demo():
    command = [sys.executable, "-m", "simulators", "--port-base", "0", "--only", "sap_commerce", "--control"]
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    with subprocess.Popen(command, cwd=ROOT, env=environment, stdout=subprocess.PIPE, text=True) as process:
        try:
            yield Demo(json.loads(process.stdout.readline())["sap_commerce"]["url"])
        finally:
            process.terminate()
            process.wait(timeout=20)


def test_every_product_on_sale_has_a_price_and_stock(demo):
    products = len(demo.records("Product", catalogVersion="Online|Default"))
    assert demo.total("PriceRow") == products
    assert demo.total("StockLevel") > products
    (price,) = demo.records("PriceRow", limit=1)
    assert price["product"] == f"{price['productId']}|Online|Default"
    assert price["price"] > 0


def test_drafts_are_products_on_sale_and_novelties_that_wait(demo):
    drafts = demo.records("Product", catalogVersion="Staged|Default")
    on_sale = {row["code"] for row in demo.records("Product", catalogVersion="Online|Default")}
    news = {row["code"] for row in drafts if row["approvalStatus"] == "check"}
    assert (len(drafts), len(news)) == (92, 12)
    assert {row["code"] for row in drafts} - on_sale == news
    categories = {row["code"] for row in demo.records("Category", catalogVersion="Staged|Default")}
    assert {key.partition("|")[0] for row in drafts for key in row["supercategories"]} == categories


def test_some_returns_are_on_their_way(demo):
    states = [row["status"] for row in demo.records("ReturnRequest")]
    assert 0 < states.count("WAIT") < len(states) / 10
    assert set(states) == {"WAIT", "COMPLETED"}


@pytest.mark.parametrize("kind", ["Cart", "Quote"])
def test_carts_and_quotes_belong_to_customers_and_add_up(demo, kind):
    found = demo.records(kind)
    assert len(found) >= 5
    for one in found:
        (entries,) = [demo.records(f"{kind}Entry", order="|".join(one["entries"][0].split("|")[1:]))]
        assert round(sum(entry["totalPrice"] for entry in entries), 2) == one["totalPrice"]
        assert one["user"]
        assert all(entry["product"] for entry in entries)


def test_redeemed_coupons_name_customer_coupon_and_mostly_an_order(demo):
    found = demo.records("CouponRedemption")
    assert len(found) > 100
    assert all(one["user"] and one["coupon"] == one["couponCode"] for one in found)
    with_order = [one for one in found if one["order"]]
    assert len(with_order) > len(found) / 2
    for one in with_order[:10]:
        assert demo.records("Order", code=one["order"])[0]["user"] == one["user"]


def test_recent_orders_are_shipped_and_paid(demo):
    shipments, payments = demo.records("Consignment", limit=20), demo.records("PaymentTransactionEntry", limit=20)
    assert {one["status"] for one in shipments} <= {"SHIPPED", "READY"}
    for one in payments[:5]:
        (transaction,) = demo.records("PaymentTransaction", code=one["paymentTransaction"])
        (order,) = demo.records("Order", code=transaction["order"])
        assert float(one["amount"]) == order["totalPrice"]


def test_campaigns_have_dates_and_the_home_page_its_banners(demo):
    assert all(rule["startDate"] < rule["endDate"] for rule in demo.records("PromotionSourceRule"))
    (home,) = demo.records("ContentPage", limit=1)
    assert len(home["contentSlots"]) == 2
