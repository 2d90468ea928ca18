"""Channels, destinations and webhooks for the outbound tests."""

from __future__ import annotations

from typing import Any

EVENTS = "de.hybris.platform.webhookservices.event."


def destination_body(receiver: Any, name: str = "crm", *, target: str = "crmTarget", **more: Any) -> dict[str, Any]:
    oauth = more.pop("oauth", False)
    body = {
        "id": name,
        "url": f"{receiver.url}/in/Orders",
        "endpoint": {"id": f"{name}Ep", "version": "1", "name": name, "specUrl": "https://crm.local/spec"},
        "destinationTarget": {"id": target},
    }
    if oauth:
        address = f"{oauth}/authorizationserver/oauth/token" if isinstance(oauth, str) else f"{receiver.url}/token"
        credential = {"clientId": "integration_client", "clientSecret": "secret", "oAuthUrl": address}
        return body | {"credentialConsumedOAuth": {"id": f"{name}OAuth", **credential}} | more
    return body | {"credentialBasic": {"id": f"{name}Cred", "username": "u", "password": "p"}} | more


def destination(platform: Any, receiver: Any, name: str, **more: Any) -> Any:
    return platform.post("OutboundChannelConfig/ConsumedDestinations", destination_body(receiver, name, **more))


def channel(platform: Any, receiver: Any, *, url: str | None = None, oauth: bool = False, **more: Any) -> Any:
    target = {"url": url} if url else {}
    if oauth:
        target["oauth"] = platform.side.url
    body = {
        "code": "ordersOut",
        "integrationObject": {"code": "OutboundOrder"},
        "autoGenerate": True,
        "batch": False,
        "synchronizeDelete": False,
        "destination": destination_body(receiver, **target),
    }
    return platform.post("OutboundChannelConfig/OutboundChannelConfigurations", body | more)


def webhook(platform: Any, receiver: Any, event: str = "Saved", *, service: str = "OutboundOrder", **more: Any) -> Any:
    name = more.pop("name", "hook")
    body = {
        "integrationObject": {"code": service},
        "eventType": f"{EVENTS}Item{event}Event",
        "destination": destination_body(receiver, name, target="webhookServices", **more.pop("to", {})),
    }
    return platform.post("WebhookService/WebhookConfigurations", body | more)


def run(side: Any, job: str = "ordersOutCronJob") -> dict[str, Any]:
    return side.control("POST", "outbound/run", body={"cronjob": job})


def settle(side: Any, *, seconds: float = 1) -> dict[str, Any]:
    """Let the consolidation window pass and everything that is due be sent."""
    side.clock(advance_s=seconds)
    return side.control("POST", "outbound/tick")


def sent_codes(receiver: Any) -> list[str]:
    return sorted(one.json["code"] for one in receiver.posts)
