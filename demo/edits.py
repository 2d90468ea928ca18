"""What happens between two cycles: a review is taken back, another given, a text edited; faults come and go."""

from __future__ import annotations

import json
from base64 import b64encode
from collections import Counter
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import Any

from demo import appliances, fleet, library
from demo.appliances import Claim
from demo.errors import DemoError
from demo.faults import Wanted
from demo.library import Asset
from demo.world import World

EDITED = "Seen from above, edited by a person"
FAULT = {"faultCode": "E33", "component": "drive-belt", "severity": "high"}
AGO = timedelta(minutes=12)
"""A fault that began so long ago counts at once."""
ARRIVED = timedelta(minutes=4)
"""Messages that came so long ago are read by the next poll."""


@dataclass(frozen=True, slots=True)
class Edited:
    """Assets that were touched, and devices that said something."""

    revoked: str
    approved: str
    described: str
    raised: str
    cleared: str

    @property
    def assets(self) -> set[str]:
        """All assets that were touched."""
        return {self.revoked, self.approved, self.described}


def edit(world: World, said: Mapping[str, Claim], *, before: Wanted) -> Edited:
    """Change something in the library and on the devices."""
    with world.screen.stage("edits elsewhere") as stage:
        assets = library.read({kind: world.library.records(kind) for kind in library.DECIDING})
        products = {row["code"] for row in world.shop.first_seen("Product")}
        today = datetime.now(UTC).date()
        shown = library.shown(assets, products=products, today=today)
        plain = sorted(
            key for key, one in shown.items() if one.one("media_role") == "hero" and not one.one("campaign_code")
        )
        said_no = Counter(row["object_id"] for row in world.library.records("decisions"))
        refused = {key for key, one in assets.items() if one.review == "NOT_APPROVED" and said_no[key] == 1}
        found = _candidate(assets, shown, refused=refused, products=products)
        review(world, plain[0], "NOT_APPROVED")
        review(world, found, "APPROVED")
        describe(world, found, commerce_status="ready_for_commerce")
        describe(world, plain[1], alt_text=EDITED)
        raised = raise_fault(world, said, before=before)
        cleared = clear_fault(world, before=before)
        stage.done("1 approval revoked, 1 given, 1 text edited; 1 fault raised, 1 cleared")
    return Edited(plain[0], found, plain[1], raised, cleared)


def _candidate(
    assets: Mapping[str, Asset], shown: Mapping[str, Asset], *, refused: set[str], products: set[str]
) -> str:
    """An asset that one reviewer refused, that lacks nothing else, and takes nobody's place."""
    today = datetime.now(UTC).date()
    for key in sorted(refused):
        said = {**assets[key].said, "commerce_status": ("ready_for_commerce",)}
        then = library.shown(
            {**assets, key: replace(assets[key], review="APPROVED", said=said)}, products=products, today=today
        )
        if then.keys() == shown.keys() | {key}:
            return key
    raise DemoError("no asset of the library lacks nothing but its approval")


def review(world: World, asset: str, status: str) -> None:
    """A reviewer changes their mind."""
    version = _version(world, asset)
    decision = next(row for row in world.library.records("decisions") if row["version_id"] == version)
    world.library.patch("decisions", decision["id"], {"status": status})


def describe(world: World, asset: str, **values: str) -> None:
    """Somebody edits metadata."""
    version = _version(world, asset)
    row = next(row for row in world.library.records("metadata") if row["id"] == version)
    entries = {name: {"date_created": None, "field_values": [{"value": value}]} for name, value in values.items()}
    world.library.patch("metadata", version, {"metadata_values": row["metadata_values"] | entries})
    world.library.patch("assets", asset, {"date_modified": datetime.now(UTC).isoformat()})


def _version(world: World, asset: str) -> str:
    row = next(row for row in world.library.records("assets") if row["id"] == asset)
    return str(row["versions"][-1]["id"])


def keep_one_open(world: World, said: Mapping[str, Claim]) -> None:
    """See to it that a lasting fault is open, whatever the fleet's day was like: one will be cleared later.

    A device whose owner's devices said nothing of faults in the last day fails some hours ago.
    """
    heard = {one["deviceId"] for one in _faults(world)}
    logins = appliances.logins(world)
    busy = {logins.get(said[key].customer or "") for key in heard if key in said}
    device = _fitting(world, said, busy={uid for uid in busy if uid})
    opened = FAULT | {"faultInstanceId": "f-demo-0", "faultState": "raised"}
    say(world, device, opened, ago=timedelta(hours=3), arrived=timedelta(hours=3))


def raise_fault(world: World, said: Mapping[str, Claim], *, before: Wanted) -> str:
    """A device of a willing customer, with a part in stock and no fault so far, fails; gives the device."""
    busy = {uid for _, uid in before.members} | {uid for _, uid, _ in before.carts}
    device = _fitting(world, said, busy=busy)
    say(world, device, FAULT | {"faultInstanceId": "f-demo-1", "faultState": "raised"})
    return device


def _fitting(world: World, said: Mapping[str, Claim], *, busy: set[str]) -> str:
    """The first device of somebody willing, whose part is in stock, but of nobody who is busy with faults already."""
    shop, logins = appliances.shop_of(world), appliances.logins(world)
    for key, claim in sorted(said.items()):
        uid = logins.get(claim.customer or "")
        parts = shop.parts.get((claim.product or "", "SPAREPART"), ())
        if uid and uid in shop.willing and uid not in busy and set(parts) & shop.sellable:
            return key
    raise DemoError("no device of the fleet fits a new fault")


def clear_fault(world: World, *, before: Wanted) -> str:
    """The last open fault that brought somebody into a group is cleared; gives the device."""
    heard = [one for one in _faults(world) if fleet.created(one) > datetime.now(UTC) - fleet.DAY]
    over = {one["payload"]["faultInstanceId"] for one in heard if one["payload"]["faultState"] == "cleared"}
    over.add("f-demo-1")
    for one in reversed(heard):
        body = one["payload"]
        if body["faultInstanceId"] not in over and one["deviceId"] in before.devices:
            say(world, one["deviceId"], body | {"faultState": "cleared"})
            return str(one["deviceId"])
    raise DemoError("no fault of the fleet is open")


def _faults(world: World) -> list[fleet.Event]:
    kinds = {row["id"]: row["name"] for row in world.fleet.records("eventTemplate")}
    return [one for one in world.fleet.records("event") if kinds[one["eventTemplateId"]] == "device.fault"]


def say(
    world: World, device: str, body: Mapping[str, Any], *, kind: str = "device.fault", ago: timedelta = AGO,
    arrived: timedelta = ARRIVED,
) -> None:  # fmt: skip
    """A device reports something that happened some time ago, and arrived some time ago."""
    template = next(row["id"] for row in world.fleet.records("eventTemplate") if row["name"] == kind)
    now = datetime.now(UTC)
    payload = dict(body) | {"schemaVersion": 1, "occurredAt": f"{now - ago:%Y-%m-%dT%H:%M:%SZ}"}
    came = int((now - arrived).timestamp() * 1000)
    row = {"deviceId": device, "eventTemplateId": template, "creation": came, "visibleMs": came}
    stream = world.fleet.records("stream")[0]["id"]
    text = b64encode(json.dumps(payload, default=float).encode()).decode()
    world.fleet.put("event", [row | {"streamId": stream, "messageId": f"demo-{device[:8]}-{came}", "message": text}])
