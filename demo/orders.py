"""Reads the shop's order dump: into the oracle's terms, and into an index that tells which orders changed."""

from __future__ import annotations

import hashlib
import json
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any

from demo.oracle import Line, Order

Raw = dict[str, Any]
NO_CATEGORY = "Other"


def read(raws: Iterable[Raw], *, categories: Mapping[str, str]) -> Iterator[Order]:
    """Every order that belongs to an account; one without unit and customer has nobody to be counted for.

    categories: name by code.
    """
    for raw in raws:
        account = account_of(raw)
        if account:
            yield _order(raw, account=account, categories=categories)


def account_of(raw: Raw) -> str | None:
    """External id of the account an order counts for: the unit's uid, else the customer's id."""
    key: str | None = raw["unit"] or raw["user"]["customerID"]
    return key


def _order(raw: Raw, *, account: str, categories: Mapping[str, str]) -> Order:
    returned = _returned(raw["returns"])
    return Order(
        code=raw["code"],
        account=account,
        day=utc_day(raw["date"]),
        is_cancelled=raw["status"] == "CANCELLED",
        lines=tuple(_line(entry, returned=returned, categories=categories) for entry in raw["entries"]),
    )


def utc_day(moment: str) -> date:
    """The UTC date of an ISO 8601 moment; one without an offset is UTC."""
    parsed = datetime.fromisoformat(moment)
    return (parsed if parsed.tzinfo else parsed.replace(tzinfo=UTC)).astimezone(UTC).date()


def _returned(requests: Iterable[Raw]) -> dict[int, Decimal]:
    """Returned pieces by entry number, over all return requests that are not cancelled."""
    pieces: dict[int, Decimal] = defaultdict(Decimal)
    for request in requests:
        if request["status"] == "CANCELED":
            continue
        for item in request["entries"]:
            pieces[item["entryNumber"]] += Decimal(item["expectedQuantity"])
    return pieces


def _line(entry: Raw, *, returned: dict[int, Decimal], categories: Mapping[str, str]) -> Line:
    code = min(entry["categories"], default=None)
    return Line(
        quantity=Decimal(entry["quantity"]),
        returned=returned.get(entry["entryNumber"], Decimal(0)),
        total_price=Decimal(str(entry["totalPrice"])),
        category=categories.get(code, NO_CATEGORY) if code else NO_CATEGORY,
    )


@dataclass(frozen=True, slots=True)
class Seen:
    """What is remembered of one order: whose it is and a digest of everything in it."""

    account: str | None
    digest: bytes


@dataclass(frozen=True, slots=True)
class Index:
    """All orders of one moment, and how many of what there were."""

    orders: dict[str, Seen]
    entries: int
    returns: int
    products: frozenset[str] = frozenset()
    """Codes of the products that were ordered."""


def index(raws: Iterable[Raw]) -> Index:
    """Read a dump into an index."""
    orders: dict[str, Seen] = {}
    products: set[str] = set()
    entries = returns = 0
    for raw in raws:
        text = json.dumps(raw, sort_keys=True, default=str).encode()
        orders[raw["code"]] = Seen(account_of(raw), hashlib.blake2b(text, digest_size=16).digest())
        entries += len(raw["entries"])
        products |= {entry["product"] for entry in raw["entries"] if entry.get("product")}
        returns += len(raw["returns"])
    return Index(orders=orders, entries=entries, returns=returns, products=frozenset(products))


def changed(before: Index, after: Index) -> set[str]:
    """Codes of the orders that came, went or differ."""
    codes = before.orders.keys() | after.orders.keys()
    return {code for code in codes if before.orders.get(code) != after.orders.get(code)}


def owners(codes: Iterable[str], *, before: Index, after: Index) -> set[str]:
    """Accounts that own an order in its old or its new version."""
    seen = (version.orders.get(code) for code in codes for version in (before, after))
    return {item.account for item in seen if item and item.account}
