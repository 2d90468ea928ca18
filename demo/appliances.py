"""Proves what shop and platform say of devices: inbox, context, offers, saved carts, figures on product pages."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from demo import faults, fleet, insights
from demo.faults import Appliance, Episode, Message, Purchase, Reading, Wanted
from demo.insights import Holder, Said
from demo.world import World

Record = dict[str, Any]
OURS = ("sku:", "customer:", "b2bunit:", "grp:family-", "managed:")
GROUPS = ("iot-offer-", "iot-service", "iot-escalation")
KINDS = ("device.fault", "device.health", "usage.summary", "environment.excursion")
INSIGHT = "iot_insight_"


@dataclass(frozen=True, slots=True)
class Claim:
    """What a device said of itself before the first cycle: product, order, customer and unit; and its other tags."""

    product: str | None
    order: str | None
    customer: str | None
    unit: str | None
    others: frozenset[str]


@dataclass(frozen=True, slots=True)
class Bought:
    """An order: when, whose, what."""

    at: datetime
    is_cancelled: bool
    customer: str | None
    unit: str | None
    products: tuple[str, ...]


def claims(world: World) -> dict[str, Claim]:
    """Every device's own words; look before the flows run."""
    names = _names(world, "attributeType")
    return {row["id"]: _claim(row, names) for row in world.fleet.records("device")}


def _names(world: World, kind: str) -> dict[str, str]:
    return {row["id"]: row["name"] for row in world.fleet.records(kind)}


def attributes(row: Record, names: Mapping[str, str]) -> dict[str, str]:
    """Values of a device's attributes by name; empty ones are left out."""
    listed = [*row["attributes"]["standard"], *row["attributes"]["extended"]]
    return {names[one["attributeTypeId"]]: str(one["value"]) for one in listed if one["value"] not in (None, "")}


def _claim(row: Record, names: Mapping[str, str]) -> Claim:
    said = attributes(row, names)
    wanted = (said.get(name) for name in ("productCode", "purchaseOrderCode", "customerRef", "b2bUnit"))
    return Claim(*wanted, others=frozenset(tag for tag in row["tags"] if not tag.startswith(OURS)))


def prove(world: World, said: Mapping[str, Claim], *, name: str) -> Wanted:
    """Compare what platform and shop hold with what follows from devices, events and orders; gives what follows."""
    with world.screen.stage(name) as stage:
        stage.live("following every device")
        now, orders = datetime.now(UTC), _orders(world)
        events = [one for one in world.fleet.records("event") if fleet.created(one) > now - fleet.DAY]
        wanted = faults.decide(_episodes(world, said, events, orders=orders, now=now), shop=shop_of(world), now=now)
        sentences = {
            "every event of the last day is in the inbox, once": _lost(world, events),
            "devices know product, purchase and customer": _strange(world, said, orders=orders),
            "offers and service go to the customers of lasting faults": wanted.members ^ _members(world),
            "a saved cart with the right part waits for each fault that anybody may mend": wanted.carts ^ _carts(world),
            "product pages say what the recomputed averages say": _odd_figures(
                world, said, events, orders=orders, now=now
            ),
        }
        for sentence, wrong in sentences.items():
            detail = f"{len(wrong)} wrong{': ' if wrong else ''}{', '.join(sorted(map(str, wrong))[:3])}"
            world.report.check(f"{name}: {sentence}", passed=not wrong, detail=detail)
        stage.done(
            f"{len(said):,} devices, {len(wanted.members):,} memberships, {len(wanted.carts):,} carts recomputed"
        )
    return wanted


def _orders(world: World) -> dict[str, Bought]:
    return {
        raw["code"]: Bought(
            at=_moment(raw["date"]),
            is_cancelled=raw["status"] == "CANCELLED",
            customer=raw["user"]["customerID"],
            unit=raw["unit"],
            products=tuple(entry["product"] for entry in raw["entries"]),
        )
        for raw in world.shop.orders()
    }


def _moment(text: str) -> datetime:
    found = datetime.fromisoformat(text)
    return found if found.tzinfo else found.replace(tzinfo=UTC)


# The inbox


def _lost(world: World, events: list[Record]) -> set[str]:
    from demo.balances import open_ledger

    wanted = {(one["deviceId"], one["eventTemplateId"], one["messageId"], one["message"]) for one in events}
    there = sum(open_ledger(world.folder.sync).event_counts("iot").values())
    return set() if there == len(wanted) else {f"{there:,} in the inbox, {len(wanted):,} on the platform"}


# Context


def owner_of(claim: Claim, orders: Mapping[str, Bought]) -> tuple[str | None, str | None]:
    """Customer and unit of a device: those of its order, none when it was cancelled."""
    order = orders.get(claim.order or "")
    if order is None:
        return claim.customer, claim.unit
    return (None, None) if order.is_cancelled else (order.customer, order.unit)


def _strange(world: World, said: Mapping[str, Claim], *, orders: Mapping[str, Bought]) -> set[str]:
    """Devices whose tags or attributes are not what follows from their claim."""
    names, products = _names(world, "attributeType"), _products(world)
    wrong = set()
    for row in world.fleet.records("device"):
        claim, shown = said[row["id"]], attributes(row, names)
        customer, unit = owner_of(claim, orders)
        name, categories = products.get(claim.product or "", (None, ()))
        tags = _tags(claim.product, customer, unit, family=min(categories, default=None))
        wanted = {"productName": name, "categoryCodes": ",".join(sorted(categories)), "customerRef": customer}
        if customer:
            wanted["purchaseDate"] = f"{orders[claim.order].at:%Y-%m-%d}" if claim.order in orders else None
        is_right = all(shown.get(key) == (value or None) for key, value in wanted.items())
        ours = {tag for tag in row["tags"] if tag.startswith(OURS)}
        if ours != tags or not claim.others <= set(row["tags"]) or not is_right:
            wrong.add(row["id"])
    return wrong


def _tags(product: str | None, customer: str | None, unit: str | None, *, family: str | None) -> set[str]:
    if not product and not customer:
        return set()
    parts = {"sku:": product, "customer:": customer, "b2bunit:": unit}
    parts["grp:family-"] = insights.slug(family) if family else None
    return {prefix + value for prefix, value in parts.items() if value} | {"managed:sapcc"}


def _products(world: World) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Name and categories of products by code, as sold where they are."""
    rows = sorted(world.shop.first_seen("Product"), key=lambda row: row["catalogVersion"].startswith("Online"))
    return {
        row["code"]: (next(iter(row["name"].values())), tuple(key.partition("|")[0] for key in row["supercategories"]))
        for row in rows
    }


# Faults


def _episodes(
    world: World, said: Mapping[str, Claim], events: list[Record], *, orders: Mapping[str, Bought], now: datetime
) -> list[Episode]:
    kinds = _names(world, "eventTemplate")
    messages: dict[str, dict[str, list[Message]]] = defaultdict(lambda: defaultdict(list))
    scores: dict[str, list[Reading]] = defaultdict(list)
    for one in events:
        kind, at, body = kinds[one["eventTemplateId"]], fleet.occurred(one), one["payload"]
        if at > now + faults.SOON:
            continue
        if kind == "device.fault":
            message = Message(at, body["faultState"] == "cleared", body["faultCode"], body["severity"])
            messages[one["deviceId"]][body["faultInstanceId"]].append(message)
        elif kind == "device.health":
            scores[one["deviceId"]].append(Reading(at, float(body["healthScore"])))
    people, bought = logins(world), _purchases(orders)
    found = {}
    for key, claim in _of_use(said).items():
        found[key] = _appliance(key, claim, owner=owner_of(claim, orders), people=people, bought=bought)
    episodes = [item for key, one in found.items() for item in faults.of_messages(one, messages[key])]
    return episodes + [item for key, one in found.items() for item in faults.of_health(one, set(scores[key]))]


def _of_use(said: Mapping[str, Claim]) -> dict[str, Claim]:
    return {key: claim for key, claim in said.items() if claim.product}


def _appliance(
    key: str,
    claim: Claim,
    *,
    owner: tuple[str | None, str | None],
    people: Mapping[str, str],
    bought: Mapping[str, set[Purchase]],
) -> Appliance:
    customer, unit = owner
    uid = people.get(customer or "") or people.get(f"unit {unit}")
    mine = bought.get(customer or "", set()) | bought.get(unit or "", set())
    return Appliance(key, claim.product, uid, tuple(mine))


def logins(world: World) -> dict[str, str]:
    """Login by customer id, and of each unit's first buyer."""
    rows = [row for kind in ("Customer", "B2BCustomer") for row in world.shop.records(kind) if row["customerID"]]
    found = {row["customerID"]: row["uid"] for row in rows if not row["loginDisabled"]}
    for row in sorted(rows, key=lambda one: one["customerID"], reverse=True):
        if row.get("defaultB2BUnit") and row.get("active"):
            found[f"unit {row['defaultB2BUnit']}"] = row["uid"]
    return found


def _purchases(orders: Mapping[str, Bought]) -> dict[str, set[Purchase]]:
    """What every customer and every unit bought, by its id."""
    found: dict[str, set[Purchase]] = defaultdict(set)
    for one in orders.values():
        for who in {one.customer, one.unit} - {None} if not one.is_cancelled else ():
            found[str(who)] |= {Purchase(one.at, product) for product in one.products}
    return found


def shop_of(world: World) -> faults.Shop:
    """What the shop says of parts, stock and consent."""
    parts: dict[tuple[str, str], list[str]] = defaultdict(list)
    for row in world.shop.records("ProductReference"):
        source, target = (row[name].partition("|")[0] for name in ("source", "target"))
        if row["active"]:
            parts[source, row["referenceType"]].append(target)
    stocked = {
        row["productCode"]
        for row in world.shop.records("StockLevel")
        if row["available"] - row["reserved"] + row["overSelling"] > 0 and row["inStockStatus"] != "FORCEOUTOFSTOCK"
    }
    approved = {row["code"] for row in world.shop.first_seen("Product") if row["approvalStatus"] == "approved"}
    consents = [row for row in world.shop.records("Consent") if "MARKETING" in row["consentTemplate"]]
    willing = {row["customer"] for row in consents if row["consentGivenDate"] and not row["consentWithdrawnDate"]}
    return faults.Shop(
        parts={key: tuple(sorted(listed)) for key, listed in parts.items()},
        sellable=frozenset(stocked & approved),
        willing=frozenset(willing),
    )


def _members(world: World) -> set[tuple[str, str]]:
    groups = [row for row in world.shop.records("UserGroup") if row["uid"].startswith(GROUPS)]
    return {(row["uid"], member) for row in groups for member in row["members"]}


def _carts(world: World) -> set[tuple[str, str, str]]:
    parts = {row["order"]: row["product"].partition("|")[0] for row in world.shop.records("CartEntry")}
    rows = [row for row in world.shop.records("Cart") if (row["name"] or "").startswith("repair-")]
    return {(row["name"], row["user"], parts.get(row["code"], "nothing")) for row in rows}


# Figures of many


def _odd_figures(
    world: World, said: Mapping[str, Claim], events: list[Record], *, orders: Mapping[str, Bought], now: datetime
) -> set[tuple[Any, ...]]:
    """Figures that are published and should not be, or the other way round, or are off."""
    wanted = insights.averages(_readings(world, events), devices=_holders(world, said, orders=orders), now=now)
    shown = _shown(world)
    wrong = {key for key in wanted.keys() ^ shown.keys()}
    off = {
        key for key in wanted.keys() & shown.keys() if abs(wanted[key] - shown[key]) > insights.METRICS[key[2]].slack
    }
    return {(*map(str, key), f"{shown.get(key)} instead of {wanted.get(key)}") for key in wrong | off}


def _holders(world: World, said: Mapping[str, Claim], *, orders: Mapping[str, Bought]) -> dict[str, Holder]:
    found = {}
    for key, claim in _of_use(said).items():
        customer, unit = owner_of(claim, orders)
        site = next((tag[5:] for tag in sorted(claim.others) if tag.startswith("site:")), None)
        found[key] = Holder(str(claim.product), site, unit or customer or key)
    return found


def _readings(world: World, events: list[Record]) -> list[Said]:
    kinds = _names(world, "eventTemplate")
    found = []
    for one in events:
        kind, body = kinds[one["eventTemplateId"]], one["payload"]
        if kind not in KINDS or not body:
            continue
        value, metric = _figure(kind, body)
        if metric:
            found.append(Said(one["deviceId"], metric, fleet.occurred(one), float(value)))
    return found


def _figure(kind: str, body: Record) -> tuple[Any, str | None]:
    if kind == "device.health":
        return body["healthScore"], "health"
    if kind == "usage.summary":
        return body["loadPctAvg"], "utilisation"
    if kind == "environment.excursion" and body["metric"] == "temperatureC":
        return body["value"], "temperature"
    return 0, None


def _shown(world: World) -> dict[tuple[str, str | None, str], float]:
    found: dict[tuple[str, str | None, str], float] = {}
    for row in world.shop.records("ProductFeature"):
        if not row["qualifier"].startswith(INSIGHT):
            continue
        name, _, site = row["qualifier"].removeprefix(INSIGHT).partition("@")
        metric, _, part = name.partition("_")
        if part == "value":
            found[row["product"].partition("|")[0], site or None, metric] = float(row["value"])
    return found
