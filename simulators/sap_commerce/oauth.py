"""Who is calling: OAuth2 client credentials, Basic, groups.

Source: fact sheet section 2.10.
"""

from __future__ import annotations

import base64
import binascii
import uuid
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulators.clock import Clock
from simulators.sap_commerce.errors import forbidden
from simulators.sap_commerce.store import Store

_ADMIN = "integrationadmingroup"
_ALLOWED = {
    "GET": {_ADMIN, "integrationviewgroup"},
    "POST": {_ADMIN, "integrationcreategroup"},
    "PATCH": {_ADMIN, "integrationcreategroup"},
    "DELETE": {_ADMIN, "integrationdeletegroup"},
}
_METADATA = {_ADMIN, "integrationcreategroup", "integrationviewgroup"}
_SERVICES = {
    "IntegrationService": ({_ADMIN}, {"integrationservicegroup"}),
    "InboundIntegrationMonitoring": ({"integrationmonitoringgroup"},),
    "OutboundIntegrationMonitoring": ({"integrationmonitoringgroup"},),
    "OutboundChannelConfig": ({_ADMIN}, {"outboundsyncgroup"}),
    "WebhookService": ({_ADMIN}, {"webhookservicegroup"}),
    "ScriptService": ({_ADMIN}, {"scriptservicegroup"}),
}


class Unauthenticated(Exception):
    """401; ``challenge`` is the WWW-Authenticate header."""

    def __init__(self, challenge: str, body: dict[str, str]) -> None:
        super().__init__(challenge)
        self.challenge, self.body = challenge, body


@dataclass(slots=True)
class Tokens:
    """Bearer tokens: one per client (and user, with a password), the same one until it expires."""

    store: Store
    clock: Clock
    settings: dict[str, Any]
    _by_holder: dict[tuple[str, str | None], tuple[str, float]] = field(default_factory=dict)
    _holders: dict[str, tuple[str, str | None]] = field(default_factory=dict)

    def clear(self) -> None:
        """Forget every token: each bearer is a stranger from now on."""
        self._by_holder.clear()
        self._holders.clear()

    def issue(self, client_id: str, uid: str | None = None) -> tuple[str, int]:
        """(token, seconds it will still live)."""
        now = self.clock.timestamp()
        holder = (client_id, uid)
        token, expires = self._by_holder.get(holder, ("", 0.0))
        if expires <= now:
            self._holders.pop(token, None)
            token, expires = str(uuid.uuid4()), now + float(self.settings["token_lifetime_s"])
            self._by_holder[holder] = (token, expires)
            self._holders[token] = holder
        return token, int(expires - now)

    def holder_of(self, token: str) -> tuple[str | None, str | None]:
        """(client, user or None) behind a token that lives; (None, None) for any other."""
        holder = self._holders.get(token)
        if holder is None or self._by_holder[holder][1] <= self.clock.timestamp():
            return None, None
        return holder

    async def endpoint(self, request: web.Request) -> web.Response:
        """POST /authorizationserver/oauth/token."""
        form = {**request.query, **(await request.post())}
        grant = str(form.get("grant_type", ""))
        if not grant:
            return _token_error(400, "invalid_request", "Missing grant type")
        grants = ("client_credentials", "password") if self.settings["password_grant"] else ("client_credentials",)
        if grant not in grants:
            return _token_error(400, "unsupported_grant_type", f"Unsupported grant type: {grant}")
        client_id, secret = _client_credentials(request, form)
        found = self.store.find(self.store.types.subtypes("OAuthClientDetails"), {"clientId": client_id})
        if not found or self.store.value(found[0], "clientSecret") != secret:
            return _token_error(401, "invalid_client", "Bad client credentials")
        uid = str(form.get("username", "")) if grant == "password" else None
        if uid is not None and not self._knows(uid, str(form.get("password", ""))):
            return _token_error(400, "invalid_grant", "Bad credentials")
        token, left = self.issue(client_id, uid)
        answer = {"access_token": token, "token_type": "bearer", "expires_in": left, "scope": "basic openid"}
        return web.json_response(answer, headers={"Cache-Control": "no-store"})

    def _knows(self, uid: str, password: str) -> bool:
        found = self.store.find(self.store.types.subtypes("User"), {"uid": uid})
        return bool(found and password) and self.store.value(found[0], "password") == password


def _client_credentials(request: web.Request, form: dict[str, Any]) -> tuple[str, str]:
    header = request.headers.get("Authorization", "")
    if header.lower().startswith("basic "):
        return _basic(header)
    return str(form.get("client_id", "")), str(form.get("client_secret", ""))


def _basic(header: str) -> tuple[str, str]:
    try:
        name, _, password = base64.b64decode(header[6:]).decode("utf-8").partition(":")
    except (binascii.Error, UnicodeDecodeError):
        return "", ""
    return name, password


def _token_error(status: int, code: str, description: str) -> web.Response:
    headers = {}
    if status == 401:
        headers["WWW-Authenticate"] = f'Basic realm="hybris", error="{code}", error_description="{description}"'
    body = {"error": code, "error_description": description}
    return web.json_response(body, status=status, headers=headers)


def authenticate(header: str, *, scheme: str, tokens: Tokens, store: Store) -> int:
    """The pk of the calling employee; raises Unauthenticated. ``scheme`` is what the channel asks for."""
    if scheme == "OAUTH":
        return _bearer_user(header, tokens=tokens, store=store)
    if header.lower().startswith("basic "):
        name, password = _basic(header)
        found = store.find(["Employee"], {"uid": name})
        if found and password and store.value(found[0], "password") == password:
            return found[0]
    raise Unauthenticated('Basic realm="hybris"', {"error": "unauthorized", "error_description": "Bad credentials"})


def _bearer_user(header: str, *, tokens: Tokens, store: Store) -> int:
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer":
        text = "Full authentication is required to access this resource"
        raise Unauthenticated(
            f'Bearer realm="hybris", error="unauthorized", error_description="{text}"',
            {"error": "unauthorized", "error_description": text},
        )
    client_id, uid = tokens.holder_of(token.strip())
    if client_id is None:
        text = f"Invalid access token: {token.strip()}"
        raise Unauthenticated(
            f'Bearer realm="hybris", error="invalid_token", error_description="{text}"',
            {"error": "invalid_token", "error_description": text},
        )
    clients = store.find(["IntegrationClientCredentialsDetails"], {"clientId": client_id})
    if uid is None and clients:
        return int(store.value(clients[0], "user"))
    employees = store.find(["Employee"], {"uid": uid}) if uid else []
    if not employees:  # a client without a user of its own, or a customer
        raise forbidden()
    return employees[0]


def groups_of(user: int, *, store: Store) -> set[str]:
    """The uids of all groups of a principal, inherited ones included."""
    found: set[str] = set()
    queue = [user]
    while queue:
        rows = store.db.execute(
            "SELECT p.pk, p.uid FROM links l JOIN Principal p ON p.pk = l.target"
            " WHERE l.relation = 'Principal.groups' AND l.source = ?",
            (queue.pop(),),
        )
        for pk, uid in rows.fetchall():
            if uid not in found:
                found.add(uid)
                queue.append(pk)
    return found


def authorize(user: int, *, method: str, service: str, metadata: bool, store: Store) -> None:
    """Raise forbidden unless the user's groups allow the verb on this service."""
    groups = groups_of(user, store=store)
    for needed in _SERVICES.get(service, ()):
        if not groups & needed:
            raise forbidden()
    if service.endswith("IntegrationMonitoring"):
        return
    if not groups & (_METADATA if metadata else _ALLOWED.get(method, {_ADMIN})):
        raise forbidden()
