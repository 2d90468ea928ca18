"""What an accepted event sets off: bound attributes, threshold alerts, routes, rules.

Topics have no broker here: what would be delivered is kept as records of the type TopicMessage.
Source: fact sheet 4 (routes, sources), 7 (rules, thresholds; bodies assumed).
"""

from __future__ import annotations

import base64
import uuid
from typing import Any

import msgspec

from simulators.opentext_iot import conditions, shapes
from simulators.opentext_iot.documents import Body, Document
from simulators.opentext_iot.errors import ApiError
from simulators.opentext_iot.platform import Platform
from simulators.opentext_iot.references import typed

Values = dict[str, Any]


def react(platform: Platform, event: Body, *, values: Values) -> None:
    """Let everything that watches this event see it."""
    template = platform.documents.find("eventTemplate", event["eventTemplateId"])
    if template is None:
        return
    if platform.settings["update_bound_attributes"]:
        _update_attributes(platform, template, event, values)
    _thresholds(platform, event, values)
    _routes(platform, event, values)
    _rules(platform, event, values)


def deliver(platform: Platform, topic: str, *, stream_id: str, envelope: Body) -> None:
    """Put a message on a topic."""
    platform.documents.create("TopicMessage", {"topic": topic, "streamId": stream_id, "envelope": envelope})


def envelope(event: Body, values: Values) -> Body:
    """The event as consumers get it."""
    message = base64.b64encode(msgspec.json.encode(values)).decode()
    kept = {name: event[name] for name in ("messageId", "deviceId", "eventTemplateId")}
    return kept | {"message": message, "encodingType": "BASE64"}


def _update_attributes(platform: Platform, template: Document, event: Body, values: Values) -> None:
    device = platform.documents.find("device", event["deviceId"])
    bound = {
        one["boundAttributeTypeId"]: values[one["name"]]
        for one in template.body.get("eventFields", [])
        if one.get("boundAttributeTypeId") and one.get("name") in values
    }
    if device is None or not bound:
        return
    types = platform.documents.by_ids("attributeType", bound)
    for one in device.body.get("attributes", {}).get("standard", []):
        key = one["attributeTypeId"]
        if key in bound and key in types:
            one["value"] = _suitable(bound[key], types[key], otherwise=one.get("value"))
    platform.documents.write(device)


def _suitable(value: Any, kind: Document, *, otherwise: Any) -> Any:
    try:
        return typed(value, kind.body.get("type", "string"), name=kind.body.get("name", ""))
    except ApiError:
        return otherwise


def _thresholds(platform: Platform, event: Body, values: Values) -> None:
    where = "json_extract(body, '$.eventTemplateId') = ?"
    policies = platform.documents.select("thresholdPolicy", where=where, values=(event["eventTemplateId"],))
    for policy in policies:
        for met in conditions.holds(policy.body["condition"], values) or ():
            _alert(platform, policy, event, met=met, values=values)


def _alert(platform: Platform, policy: Document, event: Body, *, met: Body, values: Values) -> None:
    """The breach message; its payload is assumed."""
    payload = {"policyId": policy.id, "policyName": policy.body.get("name"), **met}
    payload |= {"sourceMessageId": event["messageId"], "occurredAt": values.get("occurredAt")}
    stream = platform.documents.find("stream", event["streamId"])
    topic = stream.body.get("alertConsumerTopic", "") if stream else ""
    message = envelope(event | {"messageId": str(uuid.uuid4())}, payload)
    deliver(platform, topic, stream_id=event["streamId"], envelope=message)


def _routes(platform: Platform, event: Body, values: Values) -> None:
    routes = platform.documents.select("route")
    if not routes:
        return
    device = platform.documents.find("device", event["deviceId"])
    parent = device.body.get("parentDeviceTemplateId") if device else None
    sources = platform.documents.by_ids("eventSource", [str(one.body.get("routeSourceId")) for one in routes])
    for route in routes:
        source = sources.get(str(route.body.get("routeSourceId")))
        if source and _comes_from(source.body, event, parent):
            stream = platform.documents.find("stream", str(route.body.get("streamId")))
            topic = route.body.get("routingTopic") or (stream.body.get("consumerTopic", "") if stream else "")
            deliver(platform, topic, stream_id=stream.id if stream else "", envelope=envelope(event, values))


def _comes_from(source: Body, event: Body, parent: str | None) -> bool:
    def matches(one: Body, field: str, value: str | None) -> bool:
        template = one.get("eventTemplateId")
        return one.get(field) == value and template in (None, event["eventTemplateId"])

    return any(matches(one, "deviceId", event["deviceId"]) for one in source.get("sourceDevices", [])) or any(
        matches(one, "deviceTemplateId", parent) for one in source.get("sourceDeviceTemplates", [])
    )


def _rules(platform: Platform, event: Body, values: Values) -> None:
    """Active rules with a met, active trigger: an audit entry, and a message for each HTTP action."""
    where = "json_extract(body, '$.isActive') = 1"
    for rule in platform.documents.select("ruleDefinition", where=where):
        trigger = platform.documents.find("triggerDefinition", str(rule.body.get("triggerDefinitionId")))
        if trigger is None or not trigger.body.get("isActive"):
            continue
        if trigger.body.get("eventTemplateId") != event["eventTemplateId"]:
            continue
        if conditions.holds(trigger.body.get("condition") or {}, values) is None:
            continue
        audit = {"ruleDefinitionId": rule.id, "triggerDefinitionId": trigger.id, "status": "FIRED"}
        audit |= {"messageId": event["messageId"], "deviceId": event["deviceId"]}
        platform.documents.create("ruleAudit", shapes.given(audit))
