"""Smaller classic calls: fields bound to attributes, group memberships, gateways, orchestration, aggregations."""

from __future__ import annotations

from simulators.opentext_iot import references, shapes
from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.errors import invalid, missing
from simulators.opentext_iot.profile import media


def routes() -> list[Route]:
    template, membership = (media("eventTemplate.v1"),), (media("group.membership.v1"),)
    gateway, asked = (media("provisionGatewayResponse.v1"),), (media("provisionGatewayRequest.v1"),)
    orchestration = (media("messaging.server.orchestration.v1"), "application/json")
    one = "/eventtemplate/v1/eventTemplates/{id}/tasks"
    return [
        Route("POST", f"{one}/bindEventField", bind, accepts=template, sends=template),
        Route("POST", f"{one}/unbindEventField", unbind, accepts=template, sends=template),
        Route("GET", "/group/v2/memberships", memberships, accepts=membership),
        Route("POST", "/gateway/v1/tasks/provisionGateway", provision, accepts=gateway, sends=asked),
        Route("POST", "/orchestrate", orchestrate, accepts=("application/json",), sends=orchestration),
        Route("POST", "/composer/v1/composer/verifyOrchestration", verify, accepts=orchestration, sends=orchestration),
    ]


def bind(call: Call) -> Answer:
    """Tie a field of an event template to an attribute type: ``{"name", "boundAttributeTypeId"}`` (assumed)."""
    body = call.document()
    references.usable(call.platform, "attributeType", [body.get("boundAttributeTypeId")], active=False)
    return _bound(call, body.get("name"), body["boundAttributeTypeId"])


def unbind(call: Call) -> Answer:
    return _bound(call, call.document().get("name"), None)


def _bound(call: Call, name: object, attribute: str | None) -> Answer:
    template = call.platform.documents.get("eventTemplate", call.given["id"])
    fields = [one for one in template.body.get("eventFields", []) if one.get("name") == name]
    if not fields:
        raise missing(str(name)[:80])
    for one in fields:
        one.pop("boundAttributeTypeId", None)
        if attribute is not None:
            one["boundAttributeTypeId"] = attribute
    return Answer(body=shapes.rendered(call.platform.documents.write(template)))


def memberships(call: Call) -> Answer:
    found = call.platform.documents.select(
        "groupMembership", where="indexed_ms <= ?", values=(call.platform.shown_ms(),)
    )
    return Answer(body=[shapes.rendered(one) for one in found])


def provision(call: Call) -> Answer:
    assert call.grant is not None
    body = shapes.signed(shapes.given(call.document()), call.grant)
    made = call.platform.documents.create("gateway", body)
    return Answer(int(call.platform.settings["create_status"]), shapes.rendered(made))


def orchestrate(call: Call) -> Answer:
    """Accepted and kept; nothing is run."""
    assert call.grant is not None
    made = call.platform.documents.create("orchestration", shapes.signed(shapes.given(call.document()), call.grant))
    return Answer(body={"id": made.id, "status": "ACCEPTED"})


def verify(call: Call) -> Answer:
    if not call.document():
        raise invalid("an orchestration must not be empty")
    return Answer(body={"valid": True})
