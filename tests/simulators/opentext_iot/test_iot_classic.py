"""What the classic API does beyond the recorded examples."""

from __future__ import annotations

import base64
import json

import pytest
import requests


def localized(text):
    return [{"lang": "en_US", "text": text}]


def packed(values):
    return base64.b64encode(json.dumps(values).encode()).decode()


def other(api, name="extra", kind="string"):
    return api.create("attributeType", {"name": name, "type": kind})["id"]


def test_pages_count_from_one_and_the_last_is_short(classic):
    for number in range(7):
        classic.ask(
            "POST", "/attributetype/v1/attributeTypes", "attributeType", body={"name": f"a{number}", "type": "string"}
        )
    classic.settle()
    pages = [[one["name"] for one in classic.listed("attributeType", pageSize=3, page=page)] for page in (1, 2, 3, 4)]
    assert pages == [["a0", "a1", "a2"], ["a3", "a4", "a5"], ["a6"], []]
    assert [one["name"] for one in classic.listed("attributeType", sortBy="-creation", pageSize=2)] == ["a6", "a5"]
    assert classic.count("attributeType") == 7


@pytest.mark.parametrize(
    "query", ["page=0", "page=x", "pageSize=-1", "sortBy=creation", "sortBy=+creation", "colour=red", "active=maybe"]
)
def test_a_malformed_list_request_is_refused(classic, query):
    answer = classic.ask("GET", f"/device/v3/devices?{query}", "device")
    assert (answer.status_code, answer.json()["apiStatusCode"]) == (400, "framework:validation:failed")


def test_the_default_page_has_fifty(classic, opentext_iot):
    opentext_iot.put("attributeType", [{"name": f"a{n}", "type": "string"} for n in range(60)])
    assert len(classic.listed("attributeType")) == 50


def test_a_repeated_filter_means_any_of_them(classic, tenant):
    keys = [tenant.product_code, tenant.runtime_hours]
    other(classic)
    assert {one["id"] for one in classic.listed("attributeType", id=keys)} == set(keys)
    assert classic.count("attributeType", id=keys) == 2


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("name", "Compressor C-200"),
        ("tag", "serial:A17-000231"),
        ("state", "ACTIVE"),
        ("state", "ONLINE"),
        ("active", "true"),
        ("parentDeviceTemplateId", "{template}"),
        ("standardAttributes.attributeType.id", "{runtime_hours}"),
        ("standardAttributes.value", "4210.5"),
        ("observableEvents.id", "{fault}"),
        ("supportedCommands.id", "{command}"),
    ],
)
def test_devices_are_filtered(classic, tenant, name, value):
    device = classic.ask("GET", f"/device/v3/devices/{tenant.device}", "device").json()
    device["attributes"]["standard"][1]["value"] = 4210.5
    assert classic.ask("PUT", f"/device/v3/devices/{tenant.device}", "device", body=device).ok
    wanted = value.format(**vars(tenant))
    assert [one["id"] for one in classic.listed("device", **{name: wanted})] == [tenant.device]
    assert classic.count("device", **{name: wanted}) == 1
    if name != "active":
        assert classic.listed("device", **{name: "nothing like it"}) == []


def test_a_reference_must_be_indexed_and_active(classic, opentext_iot, tenant):
    opentext_iot.options(index_delay_ms=5000)
    made = classic.ask(
        "POST", "/attributetype/v1/attributeTypes", "attributeType", body={"name": "x", "type": "string"}
    )
    key = made.json()["id"]
    template = {"name": localized("t"), "attributeTypes": [key]}
    path = "/devicetemplate/v1/deviceTemplates"
    refusals = [classic.ask("POST", path, "deviceTemplate", body=template)]
    opentext_iot.clock(advance_s=6)
    refusals.append(classic.ask("POST", path, "deviceTemplate", body=template))
    assert [one.status_code for one in refusals] == [400, 400]
    assert "not active" in refusals[1].json()["apiMessage"]
    classic.ask("POST", f"/attributetype/v1/attributeTypes/{key}/tasks/activate", "attributeType")
    assert classic.ask("POST", path, "deviceTemplate", body=template).status_code == 201


def test_an_inactive_template_makes_no_devices(classic, tenant):
    classic.ask("POST", f"/devicetemplate/v1/deviceTemplates/{tenant.template}/tasks/deactivate", "deviceTemplate")
    path = f"/device/v3/tasks/createDeviceFromTemplate?deviceTemplateId={tenant.template}"
    assert classic.ask("POST", path, "device").status_code == 400
    assert classic.ask("POST", path + "x", "device").status_code == 404


def test_the_names_of_2015_are_read_too(classic, tenant):
    body = {"name": localized("old"), "attributes": [tenant.product_code], "events": [tenant.fault], "commands": []}
    made = classic.ask("POST", "/devicetemplate/v1/deviceTemplates", "deviceTemplate", body=body).json()
    assert (made["attributeTypes"], made["eventTemplates"]) == ([tenant.product_code], [tenant.fault])


def test_activation_twice_keeps_the_version(classic, tenant):
    path = f"/device/v3/devices/{tenant.device}/tasks/activate"
    versions = {classic.ask("POST", path, "device").json()["version"] for _ in range(2)}
    assert len(versions) == 1


def test_every_write_changes_the_version(classic, tenant):
    path = f"/device/v3/devices/{tenant.device}"
    versions = [classic.ask("GET", path, "device").json()["version"]]
    for method, tail in (
        ("PUT", "/tags/a"),
        ("DELETE", "/tags/a"),
        ("POST", "/tasks/deactivate"),
        ("POST", "/tasks/activate"),
    ):
        versions.append(classic.ask(method, path + tail, "device").json()["version"])
    assert len(set(versions)) == 5


@pytest.mark.parametrize("status", [409, 412, 400])
def test_the_status_of_a_conflict_is_a_switch(classic, opentext_iot, tenant, status):
    opentext_iot.options(conflict_status=status)
    path = f"/device/v3/devices/{tenant.device}"
    device = classic.ask("GET", path, "device").json()
    assert classic.ask("PUT", path, "device", body=device).status_code == 200
    assert classic.ask("PUT", path, "device", body=device).status_code == status


def test_a_put_without_a_version_is_refused(classic, tenant):
    path = f"/device/v3/devices/{tenant.device}"
    device = classic.ask("GET", path, "device").json()
    del device["version"]
    assert classic.ask("PUT", path, "device", body=device).status_code == 400


def test_a_post_with_a_version_is_refused(classic):
    body = {"name": "x", "type": "string", "version": "0"}
    assert classic.ask("POST", "/attributetype/v1/attributeTypes", "attributeType", body=body).status_code == 400


def test_a_put_replaces_everything_it_may(classic, tenant):
    """Absent fields go; tags, activity and parent have calls of their own."""
    path = f"/device/v3/devices/{tenant.device}"
    device = classic.ask("GET", path, "device").json()
    key = other(classic)
    device["attributes"]["extended"] = [{"attributeTypeId": key, "value": "v"}]
    stored = classic.ask("PUT", path, "device", body=device | {"tags": [], "isActive": False}).json()
    assert (stored["tags"], stored["isActive"]) == (["serial:A17-000231"], True)
    assert stored["attributes"]["extended"] == [{"attributeTypeId": key, "value": "v"}]
    del stored["name"]
    stored["attributes"]["extended"] = []
    again = classic.ask("PUT", path, "device", body=stored).json()
    assert "name" not in again
    assert again["attributes"]["extended"] == []


@pytest.mark.parametrize("value", ["high", True, [1]])
def test_a_value_of_another_type_is_refused(classic, tenant, value):
    path = f"/device/v3/devices/{tenant.device}"
    device = classic.ask("GET", path, "device").json()
    device["attributes"]["standard"][1]["value"] = value
    assert classic.ask("PUT", path, "device", body=device).status_code == 400


@pytest.mark.parametrize(("form", "shown"), [("string", ["300938", "4210.5"]), ("native", ["300938", 4210.5])])
def test_values_are_texts_or_native(classic, opentext_iot, tenant, form, shown):
    opentext_iot.options(value_form=form)
    path = f"/device/v3/devices/{tenant.device}"
    device = classic.ask("GET", path, "device").json()
    for one, value in zip(device["attributes"]["standard"], ("300938", "4210.5"), strict=True):
        one["value"] = value
    stored = classic.ask("PUT", path, "device", body=device).json()
    assert [one["value"] for one in stored["attributes"]["standard"]] == shown


def test_tags_survive_odd_characters(classic, tenant):
    for tag in ("grp:ä b/c", "100%", "x?y#z"):
        path = f"/device/v3/devices/{tenant.device}/tags/{requests.utils.quote(tag, safe='')}"
        assert tag in classic.ask("PUT", path, "device").json()["tags"]
        assert [one["id"] for one in classic.listed("device", tag=tag)] == [tenant.device]
        assert tag not in classic.ask("DELETE", path, "device").json()["tags"]


def test_lenient_media_types_take_anything(classic, opentext_iot, tenant):
    assert classic.ask("GET", "/device/v3/devices", "device", accept="*/*").status_code == 406
    opentext_iot.options(media="lenient")
    assert classic.ask("GET", "/device/v3/devices", "device", accept="*/*").ok


def test_a_reader_may_not_write(classic, tenant):
    classic.sign_in(user="svc-reader", secret="iot-reader-secret")
    assert classic.ask("GET", f"/device/v3/devices/{tenant.device}", "device").ok
    assert classic.ask("PUT", f"/device/v3/devices/{tenant.device}/tags/x", "device").status_code == 403


@pytest.mark.parametrize(
    ("pair", "form", "status"),
    [
        (("svc-airflow", "wrong"), {"grant_type": "client_credentials"}, 401),
        (
            None,
            {"grant_type": "client_credentials", "client_id": "svc-airflow", "client_secret": "iot-demo-secret"},
            401,
        ),
        (("svc-airflow", "iot-demo-secret"), {"grant_type": "password"}, 400),
    ],
)
def test_a_refused_sign_in_says_why(opentext_iot, pair, form, status):
    url = f"{opentext_iot.url}/oauth/v3/token"
    answer = requests.post(url, auth=pair, data=form, headers={"Accept": "application/json"}, timeout=10)
    assert (answer.status_code, answer.json()["status"]) == (status, status)


@pytest.mark.parametrize(
    "change",
    [
        {"deviceId": "nobody"},
        {"eventTemplateId": "nothing"},
        {"deviceId": None},
        {"message": None},
        {"message": 5},
        {"encodingType": 5},
    ],
)
def test_a_message_nobody_can_send_is_refused(classic, opentext_iot, tenant, change):
    path = f"/sendevent/v1/message/event/{tenant.stream}"
    assert classic.ask("POST", path, "messaging.sendevent", body=tenant.event() | change).status_code == 400
    assert opentext_iot.records("event") == []


def test_other_spellings_of_the_envelope_are_taken(classic, opentext_iot, tenant):
    body = {
        "messageID": "m-9",
        "deviceID": tenant.device,
        "eventTemplateId": tenant.fault,
        "message": packed({"faultCode": "E1"}),
    }
    path = f"/sendevent/v1/message/event/{tenant.stream}"
    assert classic.ask("POST", path, "messaging.sendevent", body=body).ok
    assert classic.ask(
        "POST", path, "messaging.sendevent", body=body | {"message": "{broken", "encodingType": "base64"}
    ).ok
    classic.settle()
    found = classic.search(0, 2**42)
    assert [(one["messageId"], one["message"]) for one in found] == [("m-9", body["message"]), ("m-9", "{broken")]
    assert "encodingType" not in found[0]


def test_a_bound_field_changes_the_attribute_when_switched_on(classic, opentext_iot, tenant):
    def hours():
        device = classic.ask("GET", f"/device/v3/devices/{tenant.device}", "device").json()
        return device["attributes"]["standard"][1]["value"]

    tenant.send(runtimeHours=11.5)
    assert hours() is None
    opentext_iot.options(update_bound_attributes=True)
    tenant.send(runtimeHours=12.5)
    tenant.send(runtimeHours="soon")
    assert hours() == "12.5"


def test_a_route_carries_messages_to_its_topic(classic, opentext_iot, tenant):
    source = {"name": [{"lang": "en_US", "value": "commerce"}]}
    source["sourceDeviceTemplates"] = [{"deviceTemplateId": tenant.template, "eventTemplateId": tenant.fault}]
    key = classic.create("eventSource", source, activate=False)["id"]
    body = {"routeType": "EVENT", "streamId": tenant.stream, "routeSourceId": key, "routingTopic": "t-1"}
    assert classic.ask("POST", "/route/v1/routes", "messaging.route", body=body).status_code == 201
    tenant.send(message_id="m-1", faultCode="E17")
    assert [one["envelope"]["messageId"] for one in opentext_iot.records("TopicMessage", topic="t-1")] == ["m-1"]


def test_an_active_rule_leaves_an_audit_entry(classic, opentext_iot, tenant):
    base = "/ruledefinition/v1"
    trigger = {
        "name": "hot",
        "eventTemplateId": tenant.fault,
        "condition": {"any": [{"expr": "faultCode == 'E17'"}, {"expr": "x > 1"}]},
    }
    made = classic.ask("POST", f"{base}/triggerDefinitions", "messaging.triggerDefinition", body=trigger).json()
    rule = classic.ask("POST", f"{base}/ruleDefinitions", "messaging.ruleDefinition", body={"name": "r"}).json()
    link = f"{base}/triggerDefinitions/{made['id']}/ruleDefinitionId/{rule['id']}"
    assert classic.ask("PUT", link, "messaging.triggerDefinition").ok
    tenant.send(message_id="m-0", faultCode="E17")
    for kind, key in (("triggerDefinition", made["id"]), ("ruleDefinition", rule["id"])):
        assert classic.ask("POST", f"{base}/{kind}s/{key}/tasks/activate", f"messaging.{kind}").ok
    tenant.send(message_id="m-1", faultCode="E17")
    tenant.send(message_id="m-2", faultCode="E18")
    classic.settle()
    audits = classic.ask("GET", "/ruleaudit/v1/ruleAudits", "messaging.ruleAudit").json()
    assert [one["messageId"] for one in audits] == ["m-1"]


@pytest.mark.parametrize("expr", ["", "x", "x >", "x > y", "x = 1", "import os", "x > [1]", 5, "__x__.y > 'a"])
def test_an_unreadable_condition_is_refused(classic, tenant, expr):
    path = f"/eventthresholdpolicy/v1/eventTemplates/{tenant.fault}/thresholdPolicies"
    body = {"name": "p", "condition": {"all": [{"expr": expr}]}}
    assert classic.ask("POST", path, "eventThresholdPolicy", body=body).status_code == 400


@pytest.mark.parametrize(("unit", "factor"), [("epoch_ms", 1), ("epoch_s", 1000), ("iso8601", None)])
def test_the_time_unit_of_the_search_is_a_switch(classic, opentext_iot, tenant, unit, factor):
    tenant.send()
    classic.settle()
    opentext_iot.options(search_time_unit=unit)
    window = ("2020-01-01T00:00:00Z", "2090-01-01T00:00:00Z") if factor is None else (0, 4 * 10**12 // factor)
    assert len(classic.search(*window)) == 1


@pytest.mark.parametrize("wrapper", ["events", "content", "items"])
def test_the_envelope_of_the_search_is_a_switch(classic, opentext_iot, tenant, wrapper):
    tenant.send()
    classic.settle()
    opentext_iot.options(search_envelope=wrapper)
    assert len(classic.search(0, 2**42)[wrapper]) == 1


@pytest.mark.parametrize(
    "query", ["", "startTime=1", "startTime=x&endTime=2", "startTime=2&endTime=1", "startTime=-1&endTime=1"]
)
def test_a_malformed_window_is_refused(classic, query):
    for call in ("search", "count"):
        answer = classic.ask("GET", f"/eventsearch/v1/events/{call}?{query}", "application/json")
        assert answer.status_code == 400


def test_a_generic_create_is_active_at_once_and_idempotent_events_count_once(opentext_iot, classic, tenant):
    url, bearer = f"{opentext_iot.url}/api/v1", {"Authorization": classic.session.headers["Authorization"]}
    body = {
        "deviceTypeId": tenant.template,
        "name": "new",
        "serialNumber": "N-1",
        "attributes": {"productCode": "300938"},
    }
    made = requests.post(f"{url}/devices", json=body, headers=bearer, timeout=10)
    assert (made.status_code, made.json()["active"], made.json()["attributes"]) == (
        201,
        True,
        {"productCode": "300938"},
    )
    assert (
        requests.get(opentext_iot.url + made.headers["Location"], headers=bearer, timeout=10).headers["ETag"]
        == made.headers["ETag"]
    )
    event = {"deviceId": made.json()["id"], "eventType": "device.fault", "data": {"runtimeHours": 3}}
    for _ in range(2):
        assert (
            requests.post(
                f"{url}/events", json=[event] * 3, headers=bearer | {"Idempotency-Key": "k"}, timeout=10
            ).json()["accepted"]
            == 3
        )
    classic.settle()
    query = {"deviceId": made.json()["id"], "metric": "runtimeHours", "fn": "sum", "window": "1d"}
    found = requests.get(f"{url}/telemetry/aggregates", params=query, headers=bearer, timeout=10).json()["items"]
    assert [(one["value"], one["count"]) for one in found] == [(9, 3)]


def test_a_patch_without_if_match_is_refused(opentext_iot, classic, tenant):
    url = f"{opentext_iot.url}/api/v1/devices/{tenant.device}"
    headers = {"Authorization": classic.session.headers["Authorization"]}
    assert requests.patch(url, json={"name": "x"}, headers=headers, timeout=10).status_code == 428


def test_groups_hold_devices(opentext_iot, classic, tenant):
    url, headers = (
        f"{opentext_iot.url}/api/v1/device-groups",
        {"Authorization": classic.session.headers["Authorization"]},
    )
    group = requests.post(url, json={"name": "plant"}, headers=headers, timeout=10).json()["id"]
    member = f"{url}/{group}/members/{tenant.device}"
    assert requests.put(member, headers=headers, timeout=10).status_code == 204
    classic.settle()
    assert requests.get(url, headers=headers, timeout=10).json()["items"][0]["members"] == [tenant.device]
    assert [requests.delete(member, headers=headers, timeout=10).status_code for _ in range(2)] == [204, 404]


def test_stream_answers_are_the_only_place_of_its_secrets(classic, tenant):
    stream = classic.ask("GET", f"/stream/v1/streams/{tenant.stream}", "stream").json()
    assert "payloadSecurityAttributes" not in stream  # payloads are not encrypted
    assert not [name for name in stream if name.startswith("_")]
    assert json.dumps(stream).count(stream["password"]) == 1
