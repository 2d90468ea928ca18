"""A leg out of Salesforce: what a salesperson decides about an account reaches the shop, once."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from airflow.sdk import DAG

from commerce_sync import flow, mapping_file, walk
from commerce_sync.ledger import Run
from commerce_sync.mapping import Mapping
from commerce_sync.window import Request
from demo.simulated import is_write
from flows.house import org, shop
from flows.walking import KEY, Org, Shop, open_site

__all__ = ["org", "shop"]
LEG = "tiers_to_units"
YAML = """
leg: tiers_to_units
from:
  system: salesforce
  entity_set: Account
  key: Commerce_Id__c
  modified: SystemModstamp
  filter: Commerce_Id__c != null
  columns:
    Id: VARCHAR
    Commerce_Id__c: VARCHAR
    Tier__c: VARCHAR
    IsDeleted: BOOLEAN
    SystemModstamp: TIMESTAMPTZ
    Contacts: STRUCT(LastName VARCHAR)[]
    Owner: STRUCT(LastName VARCHAR)
  options: {deleted: true, page_rows: 200}
key: Commerce_Id__c
where: NOT IsDeleted
to:
  system: sap_commerce
  object: B2BUnits
  external_id: uid
  options: {service: InboundB2BUnit}
fields:
  uid: Commerce_Id__c
  description: "Owner.LastName || ', ' || len(Contacts) || ' contacts'"
  userPriceGroup.code: {value: upper(Tier__c), on_null: clear}
"""


@pytest.fixture
def mapping(tmp_path: Path) -> Mapping:
    path = tmp_path / f"{LEG}.yaml"
    path.write_text(YAML)
    return mapping_file.load(path)


@pytest.fixture
def town(shop: Shop, org: Org) -> dict[str, str]:
    """Three units of the shop are accounts; gives account ids."""
    shop.far.put("UserPriceGroup", [{"code": code} for code in ("BRONZE", "SILVER", "GOLD", "PLATINUM")])
    shop.units("acme", "zeta", "kappa")
    tiers = {"acme": "Gold", "zeta": "Silver", "kappa": None}
    org.far.put("Account", [{KEY: uid, "Name": uid, "Tier__c": tier} for uid, tier in tiers.items()])
    org.far.put("Account", [{"Name": "no customer yet", "Tier__c": "Gold"}])
    found = {uid: row["Id"] for uid, row in org.accounts.items() if uid}
    org.far.put("Contact", [{"LastName": "Ada", "AccountId": found["acme"], KEY: "c1"}])
    return found


@pytest.fixture
def once(mapping: Mapping, tmp_path: Path) -> Callable[..., Run]:
    """Walks the leg once."""
    site, count = open_site(tmp_path), iter(range(100))

    def run(mode: str = "auto", **more: Any) -> Run:
        return walk.leg(
            site, mapping, f"run-{next(count)}", request=Request(mode=mode), sources=flow.source_system,
            targets=flow.target_system, **more,
        )  # fmt: skip

    return run


def in_the_shop(shop: Shop) -> dict[str, tuple[Any, Any]]:
    """Price group and description of each unit."""
    rows = [row for row in shop.far.records("B2BUnit") if row["uid"] in ("acme", "zeta", "kappa")]
    return {row["uid"]: (row.get("userPriceGroup"), row.get("description")) for row in rows}


def edit(org: Org, key: str, **values: Any) -> None:
    """An edit of a second ago: one within the run's own millisecond would be the next run's."""
    stamp = datetime.now(UTC) - timedelta(seconds=1)
    org.far.patch("Account", key, **values, SystemModstamp=stamp.isoformat())


def writes(shop: Shop) -> int:
    return sum(count for route, count in shop.far.calls()["by_route"].items() if is_write(route))


def test_a_tier_set_in_salesforce_becomes_the_price_group_of_the_unit(
    shop: Shop, org: Org, town: dict[str, str], once: Callable[..., Run]
) -> None:
    first = once()
    assert (first.status, first.read, first.delivered) == ("green", 3, 3)
    expected = {"acme": ("GOLD", "User, 1 contacts"), "zeta": ("SILVER", "User, 0 contacts"),
                "kappa": (None, "User, 0 contacts")}  # fmt: skip
    assert in_the_shop(shop) == expected
    shop.far.reset_calls()
    assert (once().sent, once("complete").sent, writes(shop)) == (0, 0, 0)

    edit(org, town["zeta"], Tier__c="Platinum")
    edit(org, town["acme"], Tier__c=None)
    changed = once()
    assert (changed.status, changed.modified, changed.delivered) == ("green", 2, 2)
    assert in_the_shop(shop) == expected | {
        "zeta": ("PLATINUM", "User, 0 contacts"), "acme": (None, "User, 1 contacts")}  # fmt: skip
    shop.far.reset_calls()
    assert (once().sent, writes(shop)) == (0, 0)


def test_a_deleted_account_is_counted_and_writes_nothing(
    shop: Shop, org: Org, town: dict[str, str], once: Callable[..., Run]
) -> None:
    once()
    before = in_the_shop(shop)
    edit(org, town["acme"], IsDeleted=True)
    run = once()
    assert (run.status, run.filtered, run.sent) == ("green", 1, 0)
    assert in_the_shop(shop) == before


def test_a_run_that_cannot_read_everything_sends_nothing_and_the_next_one_does(
    shop: Shop, org: Org, town: dict[str, str], once: Callable[..., Run]
) -> None:
    before = in_the_shop(shop)
    org.far.fault(action="status", status=200, body='{"totalSize": 3, "done": true, "records": []}',
                  match={"path": r"q=SELECT(\+|%20)Id"}, times=1)  # fmt: skip
    with pytest.raises(Exception, match="read 0 of 3"):
        once()
    assert in_the_shop(shop) == before
    assert once().delivered == 3


def test_a_late_record_is_found_below_the_high_water(
    shop: Shop, org: Org, town: dict[str, str], once: Callable[..., Run], mapping: Mapping
) -> None:
    once()
    high_water = datetime.fromisoformat(org.accounts["acme"]["SystemModstamp"])
    assert mapping.source.overlap == timedelta(minutes=5)
    late = high_water - timedelta(minutes=4)
    org.far.patch("Account", town["zeta"], Tier__c="Bronze", SystemModstamp=late.isoformat())
    assert once().modified == 1
    assert in_the_shop(shop)["zeta"][0] == "BRONZE"


def test_its_steps_run_in_airflow(
    shop: Shop, org: Org, town: dict[str, str], mapping: Mapping, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COMMERCE_SYNC_HOME", str(tmp_path))
    with DAG("tiers", schedule=None) as dag:
        flow.leg_group(mapping)
    pushed: dict[str, Any] = {}
    context = {
        "dag_run": SimpleNamespace(run_id="run-1", conf={}, run_type="manual", dag_id="tiers"),
        "params": {},
        "ti": SimpleNamespace(xcom_push=lambda key, value: pushed.update({key: value})),
    }
    told = {}
    for name in ("extract", "map_changes", "check", "load", "commit"):
        told[name] = dag.get_task(f"{LEG}.{name}").execute(context)
    assert (told["extract"]["rows"], told["load"]["delivered"], told["commit"]["status"]) == (3, 3, "green")
    from commerce_sync import steps

    run = steps.site().ledger.runs(LEG)[0]
    assert run.calls["salesforce"] >= 1, "what was asked of Salesforce counts for its budget"
    assert in_the_shop(shop)["acme"][0] == "GOLD"
