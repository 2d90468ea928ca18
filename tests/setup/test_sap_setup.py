"""``sap-setup`` against a shop that has nothing: plan, apply, plan again, and the flows run."""

from __future__ import annotations

import asyncio
import base64
import json
import os
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest
import yaml
from setting import ROOT, SECRET, SHIPPED, Setup

from commerce_sync.systems.sap_commerce.hook import SapCommerceHook
from flows.walking import CUSTOMERS, HOUSEHOLDS, UNITS, Org, Shop, Walk, legs_of

SAP = "sap_commerce"


def all_mappings() -> list[Any]:
    return [mapping for path in sorted((ROOT / "dags").glob("*.py")) for mapping in legs_of(path.stem)]


def test_a_new_shop_is_set_up_and_the_flows_run(setup: Setup, walk: Walk, shop: Shop, org: Org) -> None:
    assert setup("plan", file=SHIPPED) == 2
    assert "+ integration object OrderSync (10 items, 47 attributes, 1 inbound channel)" in setup.out
    assert setup.shop.records("IntegrationObject", code="OrderSync") == [], "a plan changes nothing"
    assert setup("apply", file=SHIPPED) == 0, setup.out
    assert setup("plan", file=SHIPPED) == 0, setup.out
    assert setup.out == "0 to create, 0 to change, 0 extra\n"

    shop.units("acme", "zeta")
    shop.customers(1, 2)
    walk(CUSTOMERS)
    assert walk.errors == {}
    assert {run.leg: run.delivered for leg in (UNITS, HOUSEHOLDS) for run in walk.runs(leg)} == {
        UNITS: 2,
        HOUSEHOLDS: 2,
    }
    assert set(org.accounts) == {"acme", "zeta", "C0001", "C0002"}


def test_after_it_the_metadata_has_all_that_any_mapping_reads_or_writes(setup: Setup) -> None:
    assert setup("apply", file=SHIPPED) == 0
    hook, faults = SapCommerceHook("sap_commerce_default"), []
    for mapping in all_mappings():
        for source in (item for item in mapping.sources if item.system == SAP):
            faults += [f"{mapping.leg}: {text}" for text in asyncio.run(unread(hook, source))]
        if mapping.target.system == SAP and mapping.target.options.get("style") not in ("customer_group", "saved_cart"):
            faults += [f"{mapping.leg}: {text}" for text in hook.problems(mapping.target, mapping.fields)]
    assert faults == []


async def unread(hook: SapCommerceHook, source: Any) -> list[str]:
    async with hook.client(source.service) as client:
        try:
            (await client.metadata()).check(source.entity_set, source.columns)
        except Exception as error:
            return [str(error)]
    return []


def test_the_objects_of_the_simulator_are_those_of_the_file(setup: Setup) -> None:
    """One source: what the tests of the flows run on is what a real shop gets."""
    setup.shop.reset(seed="empty")
    assert setup("plan", "--only", "integration_objects", file=SHIPPED) == 0, setup.out


def test_each_thing_stands_in_the_shop_as_the_file_says(setup: Setup) -> None:
    setup.apply()
    shop = setup.shop
    (unit,) = shop.records("IntegrationObjectItem", code="B2BUnit")
    assert (unit["root"], unit["type"], unit["integrationObject"]) == (True, "B2BUnit", "UnitSync")
    attributes = {item["attributeName"]: item for item in shop.records("IntegrationObjectItemAttribute")
                  if item["integrationObjectItem"] == "UnitSync|B2BUnit"}  # fmt: skip
    assert attributes["uid"]["unique"] is True
    assert attributes["title"]["attributeDescriptor"] == "name|B2BUnit"
    assert attributes["addresses"]["returnIntegrationObjectItem"] == "UnitSync|Address"
    assert attributes["addresses"]["autoCreate"] is True
    (channel,) = shop.records("OutboundChannelConfiguration")
    assert (channel["batch"], channel["synchronizeDelete"], channel["autoGenerate"]) == (True, True, True)
    (stream,) = [item for item in shop.records("OutboundSyncStreamConfiguration") if item["whereClause"]]
    assert (stream["streamId"], stream["whereClause"]) == ("commerceSyncUnits_B2BUnit_Stream", "{item.active} = 1")
    (job,) = shop.records("OutboundSyncCronJob")
    assert (job["code"], job["sessionLanguage"]) == ("commerceSyncUnitsCronJob", "en")
    assert [item["cronExpression"] for item in shop.records("Trigger")] == ["0 0/5 * * * ?"]
    (credential,) = shop.records("BasicCredential")
    assert (credential["username"], credential["password"]) == ("shop", SECRET)
    destinations = {item["id"]: item for item in shop.records("ConsumedDestination")}
    assert destinations["commerceSyncHook"]["url"] == "https://airflow.example.com/hook"
    assert destinations["commerceSyncOut"]["additionalProperties"] == {"csrfURL": "https://crm.example/token"}
    (hook,) = shop.records("WebhookConfiguration")
    assert hook["filterLocation"] == "model://activeUnits"
    assert shop.records("Script")[0]["content"] == "// accept everything"
    assert setup("plan") == 0, setup.out


def test_no_secret_is_ever_printed(setup: Setup) -> None:
    told = ""
    for call in (("plan",), ("plan", "--json"), ("apply",), ("plan", "--send-secrets"), ("apply", "--send-secrets")):
        setup(*call)
        told += setup.out + setup.err
    assert SECRET not in told
    assert "password: from connection commerce_sync_receiver_sap_commerce, field password" in told


def test_applying_twice_writes_once(setup: Setup) -> None:
    setup.apply()
    setup.shop.reset_calls()
    setup.apply()
    assert not [route for route in setup.shop.calls()["by_route"] if not route.startswith(("GET ", "HEAD "))]


def test_what_a_killed_run_left_undone_the_next_one_does(setup: Setup) -> None:
    shop = setup.shop
    shop.fault(match={"path": r"\$batch"}, action="delay", ms=150, times=None)
    command = [sys.executable, "-m", "commerce_sync", "sap-setup", "apply", "--file", str(SHIPPED)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.DEVNULL, env=dict(os.environ)) as process:
        end = time.monotonic() + 60
        while not shop.records("IntegrationObjectItemAttribute", attributeName="uid") or unfinished_is_all(shop):
            assert time.monotonic() < end, "nothing was made"
            assert process.poll() is None, "it ended before it could be killed"
        process.kill()
    shop.clear_faults()
    wanted = sum(len(item["attributes"]) for spec in yaml.safe_load(SHIPPED.read_text())["integration_objects"].values()
                 for item in spec["items"].values())  # fmt: skip
    assert ours(shop) < wanted, "it was killed in the middle"
    assert setup("plan", file=SHIPPED) == 2
    assert setup("apply", file=SHIPPED) == 0, setup.out
    assert ours(shop) == wanted
    assert setup("plan", file=SHIPPED) == 0


def ours(shop: Any) -> int:
    meta = ("IntegrationService|", "OutboundChannelConfig|", "WebhookService|", "ScriptService|", "InboundIntegration",
            "OutboundIntegration")  # fmt: skip
    rows = shop.records("IntegrationObjectItemAttribute")
    return sum(not str(row["integrationObjectItem"]).startswith(meta) for row in rows)


def unfinished_is_all(shop: Any) -> bool:
    return ours(shop) == 0


def test_an_object_is_opened_to_callers_only_when_it_is_whole(setup: Setup) -> None:
    setup.item("B2BUnit")["attributes"]["shoeSize"] = {}
    assert setup("apply") == 1
    assert setup.shop.records("IntegrationObject", code="UnitSync")
    assert setup.shop.records("InboundChannelConfiguration", integrationObject="UnitSync") == []


def test_a_refused_item_is_named_with_what_to_do_and_the_rest_is_done(setup: Setup) -> None:
    objects = setup.content["integration_objects"]
    objects["SizeSync"] = {"authentication": "OAUTH", "items": {
        "Shoe": {"attributes": {"size": {"key": True}}},
        "Unit": {"attributes": {"code": {"key": True}, "shoes": {"returns": "Shoe"}}}}}  # fmt: skip
    setup.item("B2BUnit")["attributes"]["shoeSize"] = {}
    found = setup.json("apply")
    refused = {"/".join(item["key"]): item["reason"] for item in found["refused"]}
    assert "The shop has no type Shoe" in refused["SizeSync/Shoe"]
    assert "The shop's type B2BUnit has no attribute shoeSize" in refused["UnitSync/B2BUnit/shoeSize"]
    waiting = {"/".join(item["key"]): item["reason"] for item in found["waiting"]}
    assert waiting["SizeSync/Shoe/size"] == "needs item SizeSync/Shoe, which is not there"
    assert "SizeSync/Unit/shoes" in waiting
    assert setup.shop.records("IntegrationObjectItem", code="B2BUnit"), "the rest is there"
    assert setup.shop.records("WebhookConfiguration")
    del setup.item("B2BUnit")["attributes"]["shoeSize"], objects["SizeSync"]
    assert setup("apply") == 0, setup.out
    assert setup("plan") == 0


def test_a_shop_that_is_busy_for_a_moment_is_asked_again(setup: Setup) -> None:
    setup.shop.fault(match={"path": r"\$batch"}, action="status", status=503, times=2)
    setup.apply()
    assert setup("plan") == 0


def test_a_batch_that_is_refused_as_a_whole_is_sent_one_by_one(setup: Setup) -> None:
    setup.shop.options(batch_limit=1)
    setup.apply()
    assert setup("plan") == 0


def test_a_user_without_the_groups_is_told_which_they_are(setup: Setup, monkeypatch: Any) -> None:
    poor = {"conn_type": "commerce_sync_sap_commerce", "host": setup.shop.url, "login": "outsider", "password": "nimda",
            "extra": {"auth": "basic"}}  # fmt: skip
    monkeypatch.setenv("AIRFLOW_CONN_POOR", json.dumps(poor))
    assert setup("plan", "--connection", "poor") == 1
    assert "integrationadmingroup and scriptservicegroup" in setup.err


def test_without_the_receivers_connection_it_says_so_and_the_objects_alone_go_through(
    setup: Setup, monkeypatch: Any
) -> None:
    monkeypatch.delenv("AIRFLOW_CONN_COMMERCE_SYNC_RECEIVER_SAP_COMMERCE")
    assert setup("plan", file=SHIPPED) == 1
    assert "no connection 'commerce_sync_receiver_sap_commerce'" in setup.err
    assert setup("apply", "--only", "integration_objects", file=SHIPPED) == 0, setup.err
    assert setup("plan", "--only", "integration_objects", file=SHIPPED) == 0


def test_pages_of_a_large_shop_are_read_in_an_order_that_loses_nothing(setup: Setup) -> None:
    setup.shop.options(default_order="scattered")
    assert setup("apply", file=SHIPPED) == 0
    types = setup.shop.records("ComposedType")
    many = [{"code": f"Their{number}", "integrationType": "INBOUND"} for number in range(1200)]
    setup.shop.put("IntegrationObject", many)
    assert len(types) > 10
    assert setup("plan", file=SHIPPED) == 0, setup.out


def test_what_was_set_up_reaches_its_address_with_its_credentials(
    setup: Setup, monkeypatch: pytest.MonkeyPatch
) -> None:
    with listening() as heard:
        monkeypatch.setenv("HOOK_HOST", heard["url"])
        setup.content["destinations"]["commerceSyncHook"]["url"] = {"env": "HOOK_HOST", "path": "/webhooks/UnitSync"}
        setup.content["destinations"]["commerceSyncOut"]["url"] = f"{heard['url']}/sync/UnitSync"
        del setup.content["destinations"]["commerceSyncOut"]["csrf_url"], setup.content["webhooks"][0]["filter"]
        setup.content["outbound_channels"]["commerceSyncUnits"]["batch"] = False
        setup.apply()
        setup.shop.put("B2BUnit", [{"uid": "acme", "name": "Acme", "active": True}])
        setup.shop.clock(advance_s=2)
        setup.shop.control("POST", "outbound/tick")
        setup.shop.control("POST", "outbound/run", body={"cronjob": "commerceSyncUnitsCronJob"})
    signed = "Basic " + base64.b64encode(f"shop:{SECRET}".encode()).decode()
    assert {(path, signature) for path, signature, _ in heard["calls"]} == {
        ("/webhooks/UnitSync", signed), ("/sync/UnitSync", signed)}  # fmt: skip
    assert {body["title"] for _, _, body in heard["calls"]} == {"Acme"}


@contextmanager
def listening() -> Iterator[dict[str, Any]]:
    """An address that takes everything, and what it was told."""
    heard: dict[str, Any] = {"calls": []}

    class Answer(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            heard["calls"].append((self.path, self.headers["Authorization"], body))
            self.send_response(201)
            self.send_header("Content-Length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            return

    with ThreadingHTTPServer(("127.0.0.1", 0), Answer) as server:
        heard["url"] = f"http://127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, daemon=True).start()
        try:
            yield heard
        finally:
            server.shutdown()
