"""What visitors did in the shop's storefront, invented but plausible: the same people and products each time.

Written as the feeds `storefront` and `rates` read them (``docs/events.md``, ``include/feeds/``). Moments are some
hours before the demo starts, so that nothing becomes due while it runs.
"""

from __future__ import annotations

import json
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import count
from pathlib import Path
from typing import Any

SHOP = "https://shop.example"
GUIDE = "buying-guide"
VIEWS, COMPARISONS, BUYERS, DOWNLOADS, STRANGERS, PASSERS_BY = 12, 6, 6, 4, 5, 40
"""How many people do what; passers-by look once and have no name."""
LOOKS = 4
PALLET = 640
"""Least amount, in the shop's currency, that the page of a pallet shows a buyer."""
RATES = {"EUR": "1.0832", "GBP": "1.2641"}
Event = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Catalog:
    """Who and what there is: logins of customers and buyers, codes and list prices of products; each in order."""

    customers: Sequence[str]
    buyers: Sequence[str]
    products: Sequence[tuple[str, str]]


def write(home: Path, catalog: Catalog, *, now: datetime) -> dict[str, int]:
    """Write both feeds below COMMERCE_SYNC_HOME; gives the number of events by type."""
    found = list(storefront(catalog, now=now)) + list(rates(now))
    for feed in ("storefront", "rates"):
        mine = [event for event in found if (event["type"] == "currency.rated") == (feed == "rates")]
        path = home / "feeds" / feed / f"{now:%Y-%m-%d}.jsonl"
        path.parent.mkdir(parents=True)
        path.write_text("".join(json.dumps(event) + "\n" for event in mine))
    kinds = [event["type"] for event in found]
    return {kind: kinds.count(kind) for kind in sorted(set(kinds))}


def storefront(catalog: Catalog, *, now: datetime) -> Iterator[Event]:
    """Every event, oldest first."""
    numbers = count(1)
    moment = now.replace(minute=0, second=0, microsecond=0) - timedelta(hours=26)
    for kind, data in _visits(catalog):
        moment += timedelta(minutes=6)
        data = {"consent": True, "url": f"{SHOP}/p/{data.get('product', '')}"} | data
        head = {"specversion": "1.0", "id": f"visit-{next(numbers):05d}", "source": SHOP, "type": kind}
        yield head | {"time": f"{moment:%Y-%m-%dT%H:%M:%SZ}", "data": data}


def _visits(catalog: Catalog) -> Iterator[tuple[str, dict[str, Any]]]:
    yield from _private(catalog)
    yield from _business(catalog)
    yield from _strangers(catalog)


def _private(catalog: Catalog) -> Iterator[tuple[str, dict[str, Any]]]:
    """Customers who look at a product again and again, or compare two."""
    people = catalog.customers[::3]
    for place, uid in enumerate(people[:VIEWS]):
        product, price = catalog.products[place % len(catalog.products)]
        for _ in range(LOOKS):
            yield "product.viewed", {"uid": uid, "product": product, "value": float(price), "currency": "USD"}
    for place, uid in enumerate(people[VIEWS : VIEWS + COMPARISONS]):
        pair = [catalog.products[(place + step) % len(catalog.products)][0] for step in (0, 1)]
        for _ in range(2):
            yield "product.compared", {"uid": uid, "products": pair, "url": f"{SHOP}/compare"}
        yield "search.performed", {"uid": uid, "query": "multipack", "results": 12 + place, "url": f"{SHOP}/search"}


def _business(catalog: Catalog) -> Iterator[tuple[str, dict[str, Any]]]:
    """Buyers of companies who look at whole pallets and read the guide."""
    for place, uid in enumerate(catalog.buyers[::4][:BUYERS]):
        product = catalog.products[(3 * place) % len(catalog.products)][0]
        for _ in range(LOOKS):
            yield "product.viewed", {"uid": uid, "product": product, "value": PALLET + 35 * place, "currency": "USD"}
    for uid in catalog.buyers[1::5][:DOWNLOADS]:
        yield "content.downloaded", {"uid": uid, "content": GUIDE, "gated": True, "url": f"{SHOP}/guide"}


def _strangers(catalog: Catalog) -> Iterator[tuple[str, dict[str, Any]]]:
    """People the shop has never seen: some leave their address, most just pass by."""
    for place, name in enumerate(("Ines Vogel", "Omar Haddad", "Priya Nair", "Tom Byrne", "Lena Sauer")[:STRANGERS]):
        mail = f"{name.split()[0]}@prospect-{place}.example".lower()
        who = {"uid": mail, "email": mail, "name": name, "company": f"Prospect {place} Ltd"}
        yield "customer.registered", who | {"consent": place % 2 == 0, "url": f"{SHOP}/register"}
    for place in range(PASSERS_BY):
        product, price = catalog.products[(7 * place) % len(catalog.products)]
        who = {"visitor": f"v-{place:04x}", "consent": False}
        yield "product.viewed", who | {"product": product, "value": float(price), "currency": "USD"}


def rates(now: datetime) -> Iterator[Event]:
    """One rate per currency and day of the last week."""
    for currency, rate in RATES.items():
        for days in range(7, 0, -1):
            day = (now - timedelta(days=days)).date().isoformat()
            head = {"specversion": "1.0", "id": f"bank-{currency}-{day}", "source": "bank", "type": "currency.rated"}
            yield head | {"time": f"{day}T00:00:00Z", "data": {"currency": currency, "rate": float(rate)}}
