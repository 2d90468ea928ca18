"""Thresholds and rules: checks of their conditions, links, validation. Source: fact sheet 3, 7."""

from __future__ import annotations

from simulators.opentext_iot import conditions, shapes
from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.documents import Body
from simulators.opentext_iot.errors import invalid
from simulators.opentext_iot.profile import media

POLICY = "/eventthresholdpolicy/v1/eventTemplates/{parent}/thresholdPolicies/{id}"
LINK = "/ruledefinition/v1/triggerDefinitions/{id}/ruleDefinitionId/{rule}"


def routes() -> list[Route]:
    policy = (
        "application/json",
        media("eventThresholdPolicy.v1"),
        "application/vnd.com.covisint.platform.application/json",
    )
    trigger = (media("messaging.triggerDefinition.v1"),)
    return [
        Route("POST", f"{POLICY}/validateEvent", validate_event, accepts=policy, sends=policy),
        Route("PUT", LINK, link, accepts=trigger, sends=trigger),
        Route("DELETE", LINK, unlink, accepts=trigger, sends=trigger),
    ]


def check_policy(_call: Call, body: Body) -> None:
    """A policy has a readable condition."""
    conditions.check(body.get("condition"))


def check_trigger(_call: Call, body: Body) -> None:
    """A trigger without a condition fires with every event of its template."""
    shapes.technical(body, "name")
    if "condition" in body:
        conditions.check(body["condition"])


def validate_event(call: Call) -> Answer:
    """Whether the values of an event breach the policy; the answer's shape is assumed."""
    policy = call.platform.documents.get("thresholdPolicy", call.given["id"])
    if policy.body.get("eventTemplateId") != call.given["parent"]:
        raise invalid("The policy belongs to another event template")
    met = conditions.holds(policy.body["condition"], call.document())
    return Answer(body={"policyId": policy.id, "breached": met is not None, "breaches": met or []})


def link(call: Call) -> Answer:
    """Tie a trigger to a rule."""
    trigger = call.platform.documents.get("triggerDefinition", call.given["id"])
    rule = call.platform.documents.get("ruleDefinition", call.given["rule"])
    rule.body["triggerDefinitionId"] = trigger.id
    call.platform.documents.write(rule)
    trigger.body["ruleDefinitionId"] = rule.id
    return Answer(body=shapes.rendered(call.platform.documents.write(trigger)))


def unlink(call: Call) -> Answer:
    trigger = call.platform.documents.get("triggerDefinition", call.given["id"])
    rule = call.platform.documents.get("ruleDefinition", call.given["rule"])
    if rule.body.get("triggerDefinitionId") == trigger.id:
        del rule.body["triggerDefinitionId"]
        call.platform.documents.write(rule)
    trigger.body.pop("ruleDefinitionId", None)
    return Answer(body=shapes.rendered(call.platform.documents.write(trigger)))
