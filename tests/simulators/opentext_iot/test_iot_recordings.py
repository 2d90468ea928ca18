"""The public examples, replayed line by line as plain HTTP, and every published call tried once."""

from __future__ import annotations

import base64
import http.client
import json
from pathlib import Path
from string import Template
from typing import Any
from urllib.parse import quote, urlsplit

import pytest
import requests
import yaml

RECORDINGS = yaml.safe_load(Path(__file__).with_name("recordings.yaml").read_text())
PAYLOADS = (
    '{"schemaVersion":1,"occurredAt":"2026-11-20T09:14:03Z","faultInstanceId":"f-8812","faultCode":"E17","component":"air-filter","severity":"high","runtimeHours":4210.5,"faultState":"raised"}',
    '{"schemaVersion":1,"occurredAt":"2026-11-20T09:10:00Z","consumableType":"toner-black","levelPct":11.5,"remainingUnits":230,"unit":"page","estDaysLeft":6}',
    '{"schemaVersion":1,"occurredAt":"2026-11-20T09:12:30Z","warehouseCode":"WH-EU-1","productCode":"300938","onHandQty":41,"unit":"pieces","countMethod":"rfid","confidence":0.97,"sequence":88121}',
    '{"schemaVersion":1,"occurredAt":"2026-11-20T08:55:00Z","orderCode":"00012001","consignmentCode":"a00012001","status":"IN_TRANSIT","locationCode":"HUB-7","eta":"2026-11-22"}',
    '{"schemaVersion":1,"occurredAt":"2026-11-20T09:00:00Z","excursionId":"x-301","metric":"temperatureC","value":11.8,"limit":8.0,"unit":"C","durationSec":1260,"state":"open","affectedBatch":"B-77"}',
    '{"schemaVersion":1,"occurredAt":"2026-11-20T00:00:00Z","windowStart":"2026-11-19T00:00:00Z","windowEnd":"2026-11-20T00:00:00Z","runtimeHoursTotal":4210.5,"runtimeHoursDelta":21.4,"cyclesTotal":98211,"loadPctAvg":83.2}',
    '{"schemaVersion":1,"occurredAt":"2026-10-02T07:30:00Z","serialNumber":"A17-000231","productCode":"300938","activationDate":"2026-10-02","firmware":"3.4.1"}',
)


def send(url: str, text: str):
    """One recorded request over a plain connection: (status, headers, body)."""
    head, _, body = text.partition("\n\n")
    first, *lines = head.strip().splitlines()
    method, target, _ = first.split(" ")
    connection = http.client.HTTPConnection(urlsplit(url).netloc, timeout=20)
    try:
        headers = dict(line.split(": ", 1) for line in lines)
        connection.request(method, target, body=body.strip().encode() or None, headers=headers)
        answer = connection.getresponse()
        return answer.status, answer.headers, answer.read().decode()
    finally:
        connection.close()


def compare(expected: Any, found: Any, where: str) -> None:
    if expected == "<any>":
        return
    if expected == "<text>":
        assert isinstance(found, str), where
        assert found, where
    elif expected == "<ms>":
        assert isinstance(found, int), where
    elif isinstance(expected, dict):
        for name, value in expected.items():
            assert name in found, f"{where} lacks {name}: {found}"
            compare(value, found[name], f"{where}.{name}")
    elif isinstance(expected, list):
        assert len(found) == len(expected), f"{where}: {found}"
        for place, (one, other) in enumerate(zip(expected, found, strict=True)):
            compare(one, other, f"{where}[{place}]")
    else:
        assert found == expected, where


def filled(value: Any, known: dict[str, str]) -> Any:
    return json.loads(Template(json.dumps(value)).safe_substitute({k: json.dumps(v)[1:-1] for k, v in known.items()}))


def test_the_public_examples_answer_as_recorded(opentext_iot):
    pair = f"{opentext_iot.client_id}:{opentext_iot.client_secret}"
    known = {"basic": base64.b64encode(pair.encode()).decode()}
    known |= {"client_id": opentext_iot.client_id, "client_secret": opentext_iot.client_secret}
    for one in RECORDINGS:
        if "after_s" in one:
            opentext_iot.clock(advance_s=one["after_s"])
        status, headers, text = send(opentext_iot.url, Template(one["send"]).substitute(known))
        assert status == one["status"], f"{one['name']}: {status} {text}"
        if "text" in one:
            assert text == one["text"], one["name"]
            continue
        body = json.loads(text)
        compare(filled(one["answer"], known), body, one["name"])
        known |= {name: body[field] for name, field in one.get("keep", {}).items()}
        known |= {name: headers[field] for name, field in one.get("keep_header", {}).items()}


def test_the_recorded_rule_set_off_what_it_should(opentext_iot, classic, tenant):
    """The event's threshold, route and audit leave their traces."""
    policy = {"name": "long-run", "condition": {"all": [{"expr": "runtimeHours > 4000"}]}}
    path = f"/eventthresholdpolicy/v1/eventTemplates/{tenant.fault}/thresholdPolicies"
    made = classic.ask("POST", path, "eventThresholdPolicy", body=policy).json()
    tenant.send(message_id="m-1", runtimeHours=4210.5)
    tenant.send(message_id="m-2", runtimeHours=10)
    alerts = [one["envelope"] for one in opentext_iot.records("TopicMessage")]
    assert [json.loads(base64.b64decode(one["message"]))["sourceMessageId"] for one in alerts] == ["m-1"]
    judged = classic.ask("POST", f"{path}/{made['id']}/validateEvent", "application/json", body={"runtimeHours": 1})
    assert judged.json()["breached"] is False
    assert {one["messageId"] for one in opentext_iot.records("eventAudit")} == {"m-1", "m-2"}


@pytest.mark.parametrize("payload", PAYLOADS)
def test_each_example_payload_comes_back_byte_for_byte(opentext_iot, classic, tenant, payload):
    message = base64.b64encode(payload.encode()).decode()
    body = tenant.event(message_id="m-1") | {"message": message}
    path = f"/sendevent/v1/message/event/{tenant.stream}"
    assert classic.ask("POST", path, "messaging.sendevent", body=body).ok
    classic.settle()
    assert [one["message"] for one in classic.search(0, 2**42)] == [message]


PUBLISHED = """
GET /analyticsaggregation/v1/analyticsAggregations?analyticsDefinitionId=x&sortBy=-creation analytics.analyticsaggregation.v1
GET /analyticsdefinition/v1/analyticsDefinitions analyticsDefinition.v1
GET /analyticsdefinition/v1/analyticsDefinitions/count text/plain
GET /application/v1/applications application.v1
GET /application/v1/applications/count text/plain
GET /attributetype/v1/attributeTypes attributeType.v1
GET /attributetype/v1/attributeTypes/count text/plain
GET /commandaudit/v1/commandAudits messaging.commandAudit.v1
GET /commandaudit/v1/commandAudits/count text/plain
GET /commandtemplate/v1/commandTemplates commandTemplate.v1
GET /commandtemplate/v1/commandTemplates/count text/plain
GET /device/v3/devices device.v2
GET /device/v3/devices/count text/plain
GET /devicetemplate/v1/deviceTemplates deviceTemplate.v1;fetchattributetypes=true;fetcheventtemplates=true;fetchcommandtemplates=true
GET /devicetemplate/v1/deviceTemplates/count text/plain
GET /eventaudit/v1/eventAudits messaging.eventAudit.v1
GET /eventaudit/v1/eventAudits/count text/plain
GET /eventsearch/v1/events/search?startTime=0&endTime=1 application/json
GET /eventsearch/v1/events/count?startTime=0&endTime=1 application/json
GET /eventsource/v1/eventSources eventSource.v1
GET /eventsource/v1/eventSources/count text/plain
GET /eventtemplate/v1/eventTemplates eventTemplate.v1
GET /eventtemplate/v1/eventTemplates/count text/plain
GET /eventthresholdpolicy/v1/eventTemplates/{fault}/thresholdPolicies eventThresholdPolicy.v1
GET /gateway/v1/gateways gateway.v1
GET /group/v2/groups group.v1;includeEntitlements
GET /group/v2/memberships group.membership.v1;includeGroupAndEntitlements;includeGroup
GET /orchestrationconfig/v1/orchestrationConfigs orchestrationConfig.v1
GET /orchestrationconfig/v1/orchestrationConfigs/count text/plain
GET /route/v1/routes messaging.route.v1
GET /route/v1/routes/count text/plain
GET /ruleaudit/v1/ruleAudits messaging.ruleAudit.v1
GET /ruleaudit/v1/ruleAudits/count text/plain
GET /ruledefinition/v1/actionDefinitions messaging.actionDefinition.v1
GET /ruledefinition/v1/actionDefinitionTemplates messaging.actionDefinitionTemplate.v1
GET /ruledefinition/v1/ruleDefinitions messaging.ruleDefinition.v1
GET /ruledefinition/v1/ruleDefinitions/count text/plain
GET /ruledefinition/v1/triggerDefinitions messaging.triggerDefinition.v1
GET /ruledefinition/v1/triggerDefinitionTemplates messaging.triggerDefinitionTemplate.v1
GET /stream/v1/streams stream.v1
GET /stream/v1/streams/count text/plain
GET /stream/v1/streams/{stream}/devices stream.v1
GET /stream/v1/streams/{stream}/devices/{device} stream.v1
GET /stream/v1/streams/{stream}/activityState stream.activity.state.v1
POST /stream/v1/streams/{stream}/activityState/tasks/offline stream.activity.state.v1
POST /stream/v1/streams/{stream}/activityState/tasks/online stream.activity.state.v1
GET /stream/v1/streams/{stream}/controlState stream.control.state.v1
PUT /stream/v1/streams/{stream}/controlState/tasks/eventuid stream.control.state.v1
PUT /stream/v1/streams/{stream}/controlState/tasks/commanuid stream.control.state.v1
GET /stream/v1/streams/{stream}/lockState stream.lock.state.v1
PUT /stream/v1/streams/{stream}/lockState/tasks/lock stream.lock.state.v1
PUT /stream/v1/streams/{stream}/lockState/tasks/unlock stream.lock.state.v1
GET /stream/v1/strDocInfo/{stream}/documentInfo stream.documentInfo.v1
GET /tracking/v1/trackings?sortBy=-creation messaging.tracking.v1
GET /tracking/v1/subprocesses?sortBy=-creation&messageId=m messaging.subprocess.v1
GET /tracking/v1/processorAudits?sortBy=-creation&messageId=m messaging.processoraudit.v1
POST /device/v3/devices/{device}/tasks/register application/json
POST /device/v3/devices/{device}/tasks/reset device.v2
POST /device/v3/devices/{device}/tasks/suspend?reason=repair device.v2
POST /device/v3/devices/{device}/tasks/unsuspend?reason=repaired device.v2
POST /device/v3/devices/{device}/tasks/unlock?reason=found device.v2
POST /device/v3/tasks/migrateDeviceToNewTemplate?deviceId={device}&deviceTemplateId={template} device.v2
POST /device/v3/devices/{device}/tasks/deactivate device.v2
POST /device/v3/devices/{device}/tasks/delete device.v2
"""


def test_every_published_call_is_served(opentext_iot, classic, tenant):
    names = {"fault": tenant.fault, "stream": tenant.stream, "device": tenant.device, "template": tenant.template}
    for line in PUBLISHED.strip().splitlines():
        method, path, kind = line.split(" ")
        main, _, rest = kind.partition(";")
        accept = main if "/" in main else f"application/vnd.com.covisint.platform.{main}+json"
        answer = classic.ask(method, path.format(**names), kind, accept=accept + (f";{rest}" if rest else ""))
        assert answer.status_code in (200, 204), f"{line}: {answer.status_code} {answer.text}"
        if answer.status_code == 200:
            assert answer.headers["Content-Type"].startswith(main if "/" in main else accept), line
    assert opentext_iot.records("device") == []


def test_another_path_is_404_in_the_error_shape(opentext_iot):
    for path, shape in (("/device/v9/devices", "apiMessage"), ("/api/v2/devices", "detail")):
        answer = requests.get(opentext_iot.url + path, timeout=10)
        assert (answer.status_code, answer.json()["status"]) == (404, 404)
        assert quote(path, safe="/") in answer.json()[shape]


def test_devices_have_no_http_delete_and_attribute_types_no_put(classic, tenant):
    assert classic.ask("DELETE", f"/device/v3/devices/{tenant.device}", "device").status_code == 405
    path = f"/attributetype/v1/attributeTypes/{tenant.runtime_hours}"
    refused = classic.ask("PUT", path, "attributeType", body={})
    assert refused.status_code == 405
    assert refused.json()["apiMessage"]
