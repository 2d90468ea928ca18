"""What others changed in the shop since: shown old and new, put right, and what is besides is only told."""

from __future__ import annotations

import json
from typing import Any

import pytest
from setting import SECRET, Setup


@pytest.fixture
def made(setup: Setup) -> Setup:
    setup.apply()
    return setup


def changes(setup: Setup) -> dict[str, dict[str, tuple[Any, Any]]]:
    """Name -> value -> (old, new), as the plan tells them."""
    found = setup.json("plan")["differences"]
    return {
        f"{item['kind']} {'/'.join(item['key'])}": {one["value"]: (one["old"], one["new"]) for one in item["changes"]}
        for item in found
        if item["action"] == "change"
    }


def extra(setup: Setup) -> set[str]:
    found = setup.json("plan")["differences"]
    return {f"{item['kind']} {'/'.join(item['key'])}" for item in found if item["action"] == "extra"}


def attribute(shop: Any, item: str, name: str) -> Any:
    rows = shop.records("IntegrationObjectItemAttribute", attributeName=name)
    return next(row for row in rows if row["integrationObjectItem"] == item)


def test_what_was_changed_is_shown_with_old_and_new_and_put_right(made: Setup) -> None:
    shop = made.shop
    shop.patch("IntegrationObjectItemAttribute", "UnitSync|B2BUnit|addresses", autoCreate=False)
    shop.patch("InboundChannelConfiguration", "UnitSync", authenticationType="BASIC")
    shop.patch("ConsumedDestination", "commerceSyncHook|webhookServices", url="https://elsewhere.example", active=False)
    shop.patch("BasicCredential", "commerceSyncCred", username="somebody")
    shop.patch("OutboundChannelConfiguration", "commerceSyncUnits", batch=False)
    shop.patch("OutboundSyncStreamConfiguration", "commerceSyncUnits_B2BUnit_Stream", whereClause="1 = 0")
    shop.patch("Script", "activeUnits", content="// nothing goes out")
    trigger = shop.records("Trigger")[0]
    shop.patch("Trigger", str(trigger["pk"]), cronExpression="0 0 3 * * ?")
    assert changes(made) == {
        "script activeUnits": {"content": ("// nothing goes out", "// accept everything")},
        "attribute UnitSync/B2BUnit/addresses": {"auto_create": (False, True)},
        "inbound channel UnitSync": {"authentication": ("BASIC", "OAUTH")},
        "basic credential commerceSyncCred": {"username": ("somebody", "shop")},
        "destination commerceSyncHook/webhookServices": {
            "url": ("https://elsewhere.example", "https://airflow.example.com/hook"), "active": (False, True)},
        "outbound channel commerceSyncUnits": {"batch": (False, True)},
        "stream commerceSyncUnits_B2BUnit_Stream": {"where": ("1 = 0", "{item.active} = 1")},
        "trigger commerceSyncUnitsCronJob": {"cron": ("0 0 3 * * ?", "0 0/5 * * * ?")},
    }  # fmt: skip
    made("plan")
    assert "    batch: false -> true" in made.out
    made.apply()
    assert made("plan") == 0, made.out
    assert len(shop.records("Trigger")) == 1, "the trigger was changed, not made again"
    assert shop.records("BasicCredential")[0]["password"] == SECRET


def test_a_reference_that_should_not_be_there_is_taken_away(made: Setup) -> None:
    made.shop.patch("WebhookConfiguration", "UnitSync|commerceSyncHook|webhookServices|"
                    "de.hybris.platform.webhookservices.event.ItemSavedEvent", filterLocation="model://other")  # fmt: skip
    del made.content["webhooks"][0]["filter"]
    assert changes(made) == {
        "webhook UnitSync/commerceSyncHook/webhookServices/de.hybris.platform.webhookservices.event.ItemSavedEvent": {
            "filter": ("model://other", None)}}  # fmt: skip
    made.apply()
    assert made("plan") == 0, made.out


def test_collections_are_replaced_not_merged(made: Setup) -> None:
    streams = made.content["outbound_channels"]["commerceSyncUnits"]["streams"]
    streams["B2BUnit"]["excluded_types"] = ["Company", "UserGroup"]
    made.content["destinations"]["commerceSyncOut"]["csrf_url"] = "https://crm.example/csrf"
    made.apply()
    streams["B2BUnit"]["excluded_types"] = ["Company"]
    del made.content["destinations"]["commerceSyncOut"]["csrf_url"]
    assert changes(made) == {
        "destination commerceSyncOut/commerceSyncTarget": {"properties": ({"csrfURL": "https://crm.example/csrf"}, {})},
        "stream commerceSyncUnits_B2BUnit_Stream": {"excluded_types": (["Company", "UserGroup"], ["Company"])},
    }
    made.apply()
    assert made("plan") == 0, made.out
    (stream,) = [item for item in made.shop.records("OutboundSyncStreamConfiguration") if item["excludedTypes"]]
    assert stream["excludedTypes"] == ["Company"]


def test_the_root_moves_from_one_item_to_another(made: Setup) -> None:
    del made.item("B2BUnit")["root"]
    made.item("Address")["root"] = True
    made.apply("--only", "integration_objects")
    roots = [
        item["code"]
        for item in made.shop.records("IntegrationObjectItem", integrationObject="UnitSync")
        if item["root"]
    ]
    assert roots == ["Address"]


def test_an_item_that_vanished_is_made_again_with_all_it_had(made: Setup) -> None:
    made.shop.delete("IntegrationObjectItem", "UnitSync|Address")
    made("plan")
    assert "+ item UnitSync/Address" in made.out
    made.apply()
    assert made("plan") == 0, made.out
    assert attribute(made.shop, "UnitSync|Address", "town")


def with_extras(made: Setup) -> set[str]:
    """Things of others in our objects and under our names, and things that are none of our business."""
    shop = made.shop
    attribute_of = {"integrationObjectItem": "UnitSync|B2BUnit", "attributeName": "buyer",
                    "attributeDescriptor": {"qualifier": "buyer", "enclosingType": "B2BUnit"}}  # fmt: skip
    shop.put("IntegrationObjectItemAttribute", [attribute_of])
    shop.put("IntegrationObjectItem", [{"integrationObject": "UnitSync", "code": "Title", "type": "Title"}])
    shop.put("IntegrationObject", [{"code": "TheirSync"}, {"code": "commerceSyncOld"}])
    shop.put("IntegrationObjectItem", [{"integrationObject": "commerceSyncOld", "code": "Unit", "type": "Unit"}])
    shop.put("InboundChannelConfiguration", [{"integrationObject": "commerceSyncOld", "authenticationType": "BASIC"}])
    shop.put("ConsumedDestination", [{"id": name, "url": "https://x.example", "destinationTarget": "webhookServices"}
                                     for name in ("theirs", "commerceSyncGone")])  # fmt: skip
    event = "de.hybris.platform.webhookservices.event.ItemDeletedEvent"
    shop.put("WebhookConfiguration", [{"integrationObject": "UnitSync", "destination": name, "eventType": event}
                                      for name in ("theirs|webhookServices", "commerceSyncGone|webhookServices")])  # fmt: skip
    return {
        "attribute UnitSync/B2BUnit/buyer", "item UnitSync/Title", "integration object commerceSyncOld",
        "inbound channel commerceSyncOld", "destination commerceSyncGone/webhookServices",
        f"webhook UnitSync/commerceSyncGone/webhookServices/{event}",
    }  # fmt: skip


def test_what_is_there_besides_is_told_and_never_removed(made: Setup) -> None:
    besides = with_extras(made)
    assert extra(made) == besides
    assert made("plan") == 2
    made.apply()
    assert "extra   - attribute UnitSync/B2BUnit/buyer: remove it with --prune" in made.out
    assert extra(made) == besides
    assert attribute(made.shop, "UnitSync|B2BUnit", "buyer")


def test_pruned_it_goes_and_what_is_theirs_stays(made: Setup) -> None:
    with_extras(made)
    made.apply("--prune")
    assert made("plan") == 0, made.out
    shop = made.shop
    assert {row["code"] for row in shop.records("IntegrationObject")} >= {"TheirSync", "UnitSync"}
    assert shop.records("IntegrationObject", code="commerceSyncOld") == []
    assert {row["id"] for row in shop.records("ConsumedDestination")} == {
        "theirs",
        "commerceSyncHook",
        "commerceSyncOut",
    }
    assert len(shop.records("WebhookConfiguration")) == 2


def test_a_channel_that_left_the_file_goes_with_all_that_was_made_for_it(made: Setup) -> None:
    made.content["outbound_channels"] = {}
    assert extra(made) >= {
        "outbound channel commerceSyncUnits", "stream container commerceSyncUnitsContainer",
        "stream commerceSyncUnits_B2BUnit_Stream", "job commerceSyncUnitsJob", "cron job commerceSyncUnitsCronJob",
        "trigger commerceSyncUnitsCronJob",
    }  # fmt: skip
    made.apply("--prune")
    assert made("plan") == 0, made.out
    for kind in ("OutboundChannelConfiguration", "OutboundSyncStreamConfiguration", "OutboundSyncCronJob", "Trigger"):
        assert made.shop.records(kind) == [], kind


def test_a_removal_the_shop_refuses_is_told_and_stops_nothing_else(made: Setup) -> None:
    """An object cannot go while a webhook of others refers to it."""
    made.shop.put("IntegrationObject", [{"code": "commerceSyncOld"}, {"code": "commerceSyncOlder"}])
    made.shop.put(
        "ConsumedDestination", [{"id": "theirs", "url": "https://x.example", "destinationTarget": "webhookServices"}]
    )
    made.shop.put(
        "WebhookConfiguration", [{"integrationObject": "commerceSyncOld", "destination": "theirs|webhookServices"}]
    )
    assert made("apply", "--prune") == 1
    assert "refused - integration object commerceSyncOld" in made.out
    assert "deletion_failure" in made.out
    assert made.shop.records("IntegrationObject", code="commerceSyncOlder") == []


def test_a_shared_object_keeps_what_others_put_into_it(made: Setup) -> None:
    made.content["integration_objects"]["UnitSync"]["shared"] = True
    with_extras(made)
    assert not any("UnitSync/B2BUnit" in name or "UnitSync/Title" in name for name in extra(made))
    made.apply("--prune")
    assert attribute(made.shop, "UnitSync|B2BUnit", "buyer")


def test_a_trigger_somebody_added_is_told(made: Setup) -> None:
    del made.content["outbound_channels"]["commerceSyncUnits"]["cron"]
    assert extra(made) == {"trigger commerceSyncUnitsCronJob"}


def test_a_generated_job_that_was_deleted_is_made_again(made: Setup) -> None:
    made.shop.delete("Trigger", str(made.shop.records("Trigger")[0]["pk"]))
    made.shop.delete("OutboundSyncCronJob", "commerceSyncUnitsCronJob")
    made.apply()
    assert made("plan") == 0, made.out
    assert made.shop.records("OutboundSyncCronJob", code="commerceSyncUnitsCronJob")


def test_a_channel_of_our_own_streams_needs_nothing_generated(setup: Setup) -> None:
    setup.content["outbound_channels"]["commerceSyncUnits"]["auto_generate"] = False
    setup.apply()
    assert setup("plan") == 0, setup.out
    assert [item["streamId"] for item in setup.shop.records("OutboundSyncStreamConfiguration")] == [
        "commerceSyncUnits_B2BUnit_Stream"
    ]


def test_a_new_password_is_sent_when_asked_for_or_compared(made: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    other = {"conn_type": "http", "host": "https://airflow.example.com", "login": "shop", "password": "the next one"}
    monkeypatch.setenv("AIRFLOW_CONN_COMMERCE_SYNC_RECEIVER_SAP_COMMERCE", json.dumps(other))
    assert made("plan") == 0, "a shop need not tell a password"
    made.apply("--send-secrets")
    assert made.shop.records("BasicCredential")[0]["password"] == "the next one"
    made.shop.patch("BasicCredential", "commerceSyncCred", password="changed over there")
    made.content["secrets"] = "compare"
    assert changes(made) == {"basic credential commerceSyncCred": {"password": ("(not shown)", "(not shown)")}}
    made.apply()
    assert made("plan") == 0
    assert made.shop.records("BasicCredential")[0]["password"] == "the next one"


def test_an_oauth_credential_takes_the_place_of_a_basic_one(made: Setup, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("CRM_SECRET", "also hidden")
    made.content["credentials"]["commerceSyncOAuth"] = {
        "client_id": "commerce", "client_secret": {"env": "CRM_SECRET"}, "oauth_url": "https://crm.example/token"}  # fmt: skip
    made.content["destinations"]["commerceSyncOut"]["credential"] = "commerceSyncOAuth"
    made.apply()
    assert "also hidden" not in made.out
    assert made("plan") == 0, made.out
    out = next(item for item in made.shop.records("ConsumedDestination") if item["id"] == "commerceSyncOut")
    assert (out["credentialBasic"], out["credentialConsumedOAuth"]) == (None, "commerceSyncOAuth")


def test_what_the_services_have_no_place_for_is_left_to_hands(made: Setup) -> None:
    made.item("B2BUnit")["classification"] = {
        "colour": {"system": "Features", "version": "1.0", "class": "paint", "attribute": "colour"}}  # fmt: skip
    assert made("plan") == 0
    assert "by hand: classification attribute UnitSync/B2BUnit/colour" in made.err


def test_a_virtual_attribute_is_made_with_its_script(made: Setup) -> None:
    made.item("B2BUnit")["virtual"] = {"inCapitals": {"script": "activeUnits"}}
    made.apply()
    assert made("plan") == 0, made.out
    (found,) = made.shop.records("IntegrationObjectItemVirtualAttribute")
    assert found["attributeName"] == "inCapitals"


def test_without_channels_no_rights_on_outbound_sync_are_needed(setup: Setup) -> None:
    del setup.content["outbound_channels"]
    setup.apply()
    assert setup("plan") == 0
    assert not any("OutboundChannelConfig" in route for route in setup.shop.calls()["by_route"])
