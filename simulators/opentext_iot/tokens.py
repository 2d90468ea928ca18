"""Access tokens: who holds one and when it dies. Times are seconds on the simulated clock."""

from __future__ import annotations

import base64
import binascii
import hmac
import secrets
from dataclasses import dataclass
from typing import Any

from simulators.clock import Clock


@dataclass(frozen=True, slots=True)
class Client:
    """A registered application."""

    client_id: str
    secret: str
    application: str
    realm: str
    may_write: bool = True


@dataclass(frozen=True, slots=True)
class Grant:
    """What a token stands for."""

    client: Client
    scope: str
    expires_s: float


CLIENTS = (
    Client("svc-airflow", "iot-demo-secret", "app-1", "ACME"),
    Client("svc-reader", "iot-reader-secret", "app-2", "ACME", may_write=False),
)


class Tokens:
    """All living tokens of the tenant."""

    def __init__(self, clock: Clock, settings: dict[str, Any]) -> None:
        self.clock, self.settings = clock, settings
        self._grants: dict[str, Grant] = {}

    def issue(self, client: Client, *, scope: str) -> str:
        token = f"2|{secrets.token_urlsafe(32)}"
        expires = self.clock.timestamp() + float(self.settings["token_ttl_s"])
        self._grants[token] = Grant(client, scope, expires)
        return token

    def grant(self, token: str) -> Grant | None:
        """The living grant of a token, or None."""
        grant = self._grants.get(token)
        if grant is None or grant.expires_s > self.clock.timestamp():
            return grant
        del self._grants[token]
        return None

    def revoke(self, token: str) -> None:
        self._grants.pop(token, None)

    def clear(self) -> int:
        """End all tokens; gives how many there were."""
        count = len(self._grants)
        self._grants.clear()
        return count


def client_of(client_id: str, secret: str) -> Client | None:
    """The registered client with these credentials."""
    for client in CLIENTS:
        same = hmac.compare_digest(client.secret.encode(), secret.encode("utf-8", "replace"))
        if client.client_id == client_id and same:
            return client
    return None


def basic(header: str) -> tuple[str, str] | None:
    """(user, password) of a Basic authorization header."""
    scheme, _, text = header.partition(" ")
    if scheme.lower() != "basic":
        return None
    try:
        user, colon, password = base64.b64decode(text.strip(), validate=True).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError, ValueError):
        return None
    return (user, password) if colon else None
