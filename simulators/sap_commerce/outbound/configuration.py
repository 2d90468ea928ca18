"""What saving or deleting a configuration item checks and sets off.

Source: fact sheet sections 1.1 (modelling limits), 2.9 (meta API errors), 3.2 (autoGenerate), 3.3 (destinations).
"""

from __future__ import annotations

from collections.abc import Callable

from simulators.sap_commerce.errors import ODataError, bad_request
from simulators.sap_commerce.outbound.channels import generate
from simulators.sap_commerce.outbound.clockwork import schedule
from simulators.sap_commerce.outbound.webhooks import KINDS_OF
from simulators.sap_commerce.schema import Schemas
from simulators.sap_commerce.store import Store

# who refers to what by which attribute: such an item cannot be deleted while it is in use
_USERS = {
    "IntegrationObject": (
        ("InboundChannelConfiguration", "integrationObject"),
        ("OutboundChannelConfiguration", "integrationObject"),
        ("WebhookConfiguration", "integrationObject"),
    ),
    "ConsumedDestination": (("OutboundChannelConfiguration", "destination"), ("WebhookConfiguration", "destination")),
    "OutboundSyncStreamConfigurationContainer": (
        ("OutboundSyncStreamConfiguration", "container"),
        ("OutboundSyncJob", "streamConfigurationContainer"),
    ),
    "OutboundSyncJob": (("OutboundSyncCronJob", "job"),),
}


def after_save(store: Store, schemas: Schemas, pk: int, *, created: bool) -> None:
    """Check one saved item; raises ODataError, which rolls the request back."""
    code = store.itemtype(pk)
    if code == "OutboundChannelConfiguration" and created and store.value(pk, "autoGenerate"):
        generate(store, schemas, pk)
    if (check := _CHECKS.get(code)) is not None:
        check(store, pk)


def check_unused(store: Store, pk: int) -> None:
    """Refuse to delete what other configurations refer to."""
    code = store.itemtype(pk)
    for user, attribute in _USERS.get(code, ()):
        if store.find([user], {attribute: pk}):
            name = store.value(pk, "id" if "id" in store.types.get(code).attributes else "code")
            message = f"The [{name}] cannot be deleted because it is in use with at least one [{user}]."
            raise bad_request("deletion_failure", message, innererror=name)


def _invalid(code: str, reason: str) -> ODataError:
    message = f"An error occurred while attempting to save entries for entityType: [{code}], with error message"
    return bad_request("invalid_attribute_value", f"{message} [{reason}].")


def _check_webhook(store: Store, pk: int) -> None:
    value = store.value
    event, destination = value(pk, "eventType"), value(pk, "destination")
    if event not in KINDS_OF:
        raise _invalid("WebhookConfiguration", f"event type {event} is not supported; legal: {', '.join(KINDS_OF)}")
    channel = value(value(value(destination, "destinationTarget"), "destinationChannel"), "code")
    if channel != "WEBHOOKSERVICES":
        raise _invalid("WebhookConfiguration", "the destination target's channel must be WEBHOOKSERVICES")
    names = ("credential", "credentialBasic", "credentialConsumedOAuth")
    if all(value(destination, name) is None for name in names):
        raise _invalid("WebhookConfiguration", "the destination must have a credential")


def _check_trigger(store: Store, pk: int) -> None:
    try:
        schedule(store, pk)
    except ValueError as error:
        raise _invalid("Trigger", str(error)) from error


def _check_item(store: Store, pk: int) -> None:
    owner = store.value(pk, "integrationObject")
    if not store.value(pk, "root"):
        return
    if len(store.find(["IntegrationObjectItem"], {"integrationObject": owner, "root": 1})) > 1:
        raise _invalid("IntegrationObjectItem", "an integration object has at most one root item")
    code = store.value(store.value(pk, "type"), "code")
    if code in store.types and store.types.get(code).abstract:
        raise _invalid("IntegrationObjectItem", f"the root's type {code} is abstract")


def _check_attribute(store: Store, pk: int) -> None:
    if store.value(pk, "attributeName") == "localizedAttributes":
        raise bad_request("invalid_attribute_name", "The attribute name [localizedAttributes] is reserved.")
    returned, item = store.value(pk, "returnIntegrationObjectItem"), store.value(pk, "integrationObjectItem")
    if returned is None or not store.value(pk, "unique"):
        return
    conditions = {"integrationObjectItem": item, "returnIntegrationObjectItem": returned, "unique": 1}
    if len(store.find(["IntegrationObjectItemAttribute"], conditions)) > 1:
        raise _invalid("IntegrationObjectItemAttribute", "two key attributes return the same item")


_CHECKS: dict[str, Callable[[Store, int], None]] = {
    "WebhookConfiguration": _check_webhook,
    "Trigger": _check_trigger,
    "IntegrationObjectItem": _check_item,
    "IntegrationObjectItemAttribute": _check_attribute,
}
