"""Webhooks, custom actions and the connection's own user.

Source: the notifications, assets and users services' OpenAPI documents. A webhook carries no signature: the static
headers it was created with are all that proves where it comes from.
"""

from __future__ import annotations

from commerce_sync.systems.iconik.client import IconikClient, Row

WEBHOOKS = "notifications/v1/webhooks/"
ACTIONS = "assets/v1/custom_actions/"


async def me(client: IconikClient) -> Row:
    """The user the token runs as: the cheapest call, and how own changes are told apart."""
    return await client.get("users/v1/users/current/")


async def webhooks(client: IconikClient) -> list[Row]:
    """Every webhook of the domain."""
    found = await client.get(WEBHOOKS)
    return list(found["objects"])


async def ensure_webhook(client: IconikClient, body: Row) -> Row:
    """Create the webhook, or bring the one with this name and address to these values; a FAILING one is enabled."""
    alike = [one for one in await webhooks(client) if (one.get("name"), one["url"]) == (body["name"], body["url"])]
    if not alike:
        made: Row = await client.call("POST", WEBHOOKS, json={"status": "ENABLED"} | body)
        return made
    wanted = {"status": "ENABLED"} | body
    if all(alike[0].get(name) == value for name, value in wanted.items()):
        return alike[0]
    changed: Row = await client.change("PUT", f"{WEBHOOKS}{alike[0]['id']}/", wanted)
    return changed


async def failing_webhooks(client: IconikClient) -> list[Row]:
    """Webhooks that iconik has given up on after repeated failures."""
    return [one for one in await webhooks(client) if one["status"] == "FAILING"]


async def delete_webhook(client: IconikClient, webhook_id: str) -> bool:
    """Remove a webhook; False when it was not there."""
    return await client.remove(f"{WEBHOOKS}{webhook_id}/")


async def custom_actions(client: IconikClient) -> list[Row]:
    """Every custom action of the domain."""
    return await client.listed(ACTIONS)


async def ensure_custom_action(client: IconikClient, context: str, body: Row) -> Row:
    """Create the action, or bring the one with this title in this context to these values."""
    same = [one for one in await custom_actions(client) if (one["context"], one["title"]) == (context, body["title"])]
    if not same:
        made: Row = await client.call("POST", f"{ACTIONS}{context}/", json=body)
        return made
    if all(same[0].get(name) == value for name, value in body.items()):
        return same[0]
    changed: Row = await client.change("PATCH", f"{ACTIONS}{context}/{same[0]['id']}/", body)
    return changed


async def delete_custom_action(client: IconikClient, context: str, action_id: str) -> bool:
    """Remove a custom action; False when it was not there."""
    return await client.remove(f"{ACTIONS}{context}/{action_id}/")
