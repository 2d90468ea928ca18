"""Contract 4.7 between the shop and the org: units whose name and state both sides may edit."""

from __future__ import annotations

from contextlib import closing
from datetime import UTC, datetime, timedelta
from pathlib import Path

import duckdb
import pytest

from commerce_sync import flow, mapping_file, walk
from commerce_sync.ledger import Run
from commerce_sync.window import Request
from flows.walking import SWIFT, Org, Shop, open_site, swift

SHARED = """
  {name}: {{value: "{name_from}", shared: {{name: name, owner: sap_commerce}}}}
  {active}: {{value: "{active_from}", shared: {{name: active, owner: salesforce}}}}
"""
OUT = (
    """
leg: units_to_accounts
pair: units
from:
  system: sap_commerce
  service: UnitSync
  entity_set: B2BUnits
  key: uid
  modified: modifiedtime
  columns:
    uid: VARCHAR
    name: VARCHAR
    active: BOOLEAN
    modifiedtime: TIMESTAMP
    addresses: STRUCT(town VARCHAR)[]
key: uid
to: {system: salesforce, object: Account, external_id: Commerce_Id__c, bulk_from: 100}
fields:
  Commerce_Id__c: uid
  BillingCity: "addresses[1].town"
""".rstrip()
    + SHARED.format(name="Name", name_from="name", active="Commerce_Active__c", active_from="coalesce(active, true)")
)
BACK = (
    """
leg: accounts_to_units
pair: units
from:
  system: salesforce
  entity_set: Account
  key: Commerce_Id__c
  modified: SystemModstamp
  filter: Commerce_Id__c != null
  columns: {Commerce_Id__c: VARCHAR, Name: VARCHAR, Commerce_Active__c: BOOLEAN, Tier__c: VARCHAR, SystemModstamp: TIMESTAMPTZ}
key: Commerce_Id__c
to: {system: sap_commerce, object: B2BUnits, external_id: uid, options: {service: InboundB2BUnit}}
fields:
  uid: Commerce_Id__c
  userPriceGroup.code: "coalesce(upper(Tier__c), 'NONE')"
""".rstrip()
    + SHARED.format(name="name", name_from="Name", active="active", active_from="Commerce_Active__c")
)


class Both:
    """The two legs over both simulators."""

    def __init__(self, folder: Path, shop: Shop, org: Org) -> None:
        self.site, self.shop, self.org = open_site(folder), shop, org
        self.legs = {}
        for name, text in (("out", OUT), ("back", BACK)):
            path = folder / f"{name}.yaml"
            path.write_text(text)
            mapping = mapping_file.load(path)
            self.legs[name] = swift(mapping) if name == "out" else mapping
        self._runs = 0

    def run(self, leg: str) -> Run:
        self._runs += 1
        return walk.leg(
            self.site, self.legs[leg], f"run-{self._runs}", request=Request(mode="auto"), sources=flow.source_system,
            targets=flow.target_system,
        )  # fmt: skip

    def cycle(self) -> None:
        for leg in ("out", "back"):
            assert self.run(leg).status == "green"

    def unit(self, uid: str) -> dict:
        return next(row for row in self.shop.far.records("B2BUnit") if row["uid"] == uid)

    def account(self, uid: str) -> dict:
        return self.org.accounts[uid]

    def edit_unit(self, uid: str, **values) -> None:
        # The shop is asked in whole seconds: what is edited in the second of the run belongs to the next one.
        before = datetime.now(UTC) - timedelta(seconds=30)
        self.shop.far.patch("B2BUnit", uid, **values, modifiedtime=before.isoformat())

    def edit_account(self, uid: str, **values) -> None:
        self.org.far.patch("Account", self.account(uid)["Id"], **values)

    def names(self, uid: str) -> tuple[str, str]:
        return self.unit(uid)["name"], self.account(uid)["Name"]


@pytest.fixture
def both(tmp_path, shop, org, monkeypatch):
    from commerce_sync.systems import rest

    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    shop.far.put("UserPriceGroup", [{"code": "NONE"}, {"code": "GOLD"}])
    found = Both(tmp_path, shop, org)
    shop.units("acme", "bolt", "crux")
    found.cycle()
    found.cycle()
    assert found.site.ledger.conflicts() == []
    return found


def test_edits_on_both_sides_meet_and_then_nothing_is_written(both):
    both.edit_unit("acme", name="Acme by the shop")
    both.edit_account("acme", Commerce_Active__c=False)
    both.edit_account("bolt", Name="Bolt by sales", Tier__c="gold")
    both.edit_unit("crux", name="Crux by the shop", active=True)
    both.edit_account("crux", Name="Crux by sales")
    both.cycle()
    both.cycle()
    assert both.names("acme") == ("Acme by the shop", "Acme by the shop")
    assert both.unit("acme")["active"] is False
    assert both.names("bolt") == ("Bolt by sales", "Bolt by sales")
    assert both.names("crux") == ("Crux by the shop", "Crux by the shop")
    (conflict,) = both.site.ledger.conflicts()
    assert (conflict.key, conflict.kept, conflict.lost) == ("crux", "Crux by the shop", "Crux by sales")
    assert conflict.losing == "salesforce"
    stamps = both.org.stamps()
    both.org.far.reset_calls()
    both.shop.far.reset_calls()
    both.cycle()
    assert both.org.stamps() == stamps
    assert both.org.writes() == 0
    assert not [route for route in both.shop.far.calls()["by_route"] if "$batch" in route]


@pytest.mark.parametrize("bulk_from", [100, 1], ids=["collections", "bulk"])
def test_a_value_left_alone_stays_what_sales_made_it(both, bulk_from):
    from dataclasses import replace

    both.legs["out"] = replace(
        both.legs["out"], target=replace(both.legs["out"].target, bulk_from=bulk_from, options=SWIFT)
    )
    both.edit_account("acme", Name="Acme by sales", Commerce_Active__c=False)
    both.shop.far.patch("Address", "A-acme", town="Bonn")
    both.edit_unit("acme")
    assert both.run("out").delivered == 1
    account = both.account("acme")
    assert (account["Name"], account["Commerce_Active__c"], account["BillingCity"]) == ("Acme by sales", False, "Bonn")


def test_rows_that_leave_different_fields_go_in_one_bulk_job(tmp_path, org):
    """Per row and field: set, clear or leave, in CSV and in JSON."""
    import pyarrow as pa

    from commerce_sync.batches import Batches
    from commerce_sync.mapping import Field, Lookup, Target
    from commerce_sync.systems.jobs import MemoryJobs
    from commerce_sync.systems.salesforce.hook import SalesforceHook

    org.far.put("Account", [{"Commerce_Id__c": f"parent{n}", "Name": f"Parent {n}"} for n in (1, 2)])
    parents = {key: row["Id"] for key, row in org.accounts.items()}
    fields = (
        Field("Commerce_Id__c", "k"), Field("LastName", "n"), Field("Phone", "p"),
        Field("AccountId", "a", lookup=Lookup("Account", "Commerce_Id__c")),
    )  # fmt: skip
    cases = {
        "set": (["new", "parent2"], [], ("new", parents["parent2"])),
        "clear": ([None, None], [], (None, None)),
        "leave both": (["new", "parent2"], ["Phone", "AccountId"], ("old", parents["parent1"])),
        "leave nulls": ([None, None], ["AccountId", "Phone"], ("old", parents["parent1"])),
        "leave one": (["#N/A", None], ["Phone"], ("old", None)),
    }
    for protocol, bulk_from in (("bulk", 1), ("collections", 1000)):
        keys = {name: f"{protocol} {name}" for name in cases}
        org.far.put("Contact", [
            {"Commerce_Id__c": key, "LastName": "X", "Phone": "old", "AccountId": parents["parent1"]}
            for key in keys.values()
        ])  # fmt: skip
        rows = [
            {"_key": keys[name], "_kind": "MODIFIED", "_fingerprint": 1, "_target_id": None, "Commerce_Id__c": keys[name],
             "LastName": "Y", "Phone": values[0], "AccountId": values[1], "_leave": leave}
            for name, (values, leave, _after) in cases.items()
        ]  # fmt: skip
        schema = pa.schema([
            *((name, pa.string()) for name in ("_key", "_kind")), ("_fingerprint", pa.uint64()),
            *((name, pa.string()) for name in ("_target_id", "Commerce_Id__c", "LastName", "Phone", "AccountId")),
            ("_leave", pa.list_(pa.string())),
        ])  # fmt: skip
        batches = Batches(str(tmp_path))
        with batches.write("leg", protocol, "changes") as into:
            into.add(pa.Table.from_pylist(rows, schema=schema))
        with batches.write("leg", protocol, "load") as into:
            SalesforceHook("salesforce_default").load(
                Target("salesforce", "salesforce_default", "Contact", "Commerce_Id__c", bulk_from=bulk_from,
                       options=SWIFT), fields, batches.read("leg", protocol, "changes"), jobs=MemoryJobs(), into=into,
                wait_s=30,
            )  # fmt: skip
        with closing(duckdb.connect()) as con:
            scan = batches.read("leg", protocol, "load").scan()
            assert con.execute(f"SELECT DISTINCT outcome, code FROM {scan}").fetchall() == [("delivered", None)]
        found = {name: (org.contacts[key]["Phone"], org.contacts[key]["AccountId"]) for name, key in keys.items()}
        assert found == {name: after for name, (_values, _leave, after) in cases.items()}, protocol
