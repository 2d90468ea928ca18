"""Requests to consumed destinations: credentials, passport, CSRF, limits, and a record of each.

Source: fact sheet sections 2.12 (OutboundRequest) and 3.1 (transport rules). Five connections, five seconds in
total, at most 1024 bytes of an answer are read.
"""

from __future__ import annotations

import asyncio
import base64
import json
import secrets
import uuid
from dataclasses import dataclass, field
from typing import Any

import aiohttp

from simulators.sap_commerce.outbound.monitor import record_outbound
from simulators.sap_commerce.store import Store

_CSRF_CACHED_S = 60
_NO_DETAIL = "Please see the log for details."
_TOO_LONG = "The error response message exceeded the allowed size."


@dataclass(frozen=True, slots=True)
class Destination:
    """A consumed destination as it was when it was read; it is kept for ``destination_cache_s``."""

    pk: int
    id: str
    url: str
    csrf_url: str | None
    basic: tuple[str, str] | None
    oauth: tuple[str, str, str] | None  # client id, secret, token address


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back: status 0 means nothing did, and ``error`` says why."""

    status: int
    body: bytes = b""
    headers: dict[str, str] = field(default_factory=dict)
    error: str = ""
    message_id: str = ""


@dataclass(frozen=True, slots=True)
class Message:
    """One request to be sent; ``source`` is OUTBOUNDSYNC, WEBHOOKSERVICES or UNKNOWN."""

    service: str
    key: str
    body: bytes
    source: str
    method: str = "POST"
    url: str | None = None
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(slots=True)
class Sender:
    """Sends messages to destinations; one HTTP session for the life of the process."""

    store: Store
    settings: dict[str, Any]
    _session: aiohttp.ClientSession | None = None
    _kept: dict[int, tuple[float, Destination]] = field(default_factory=dict)
    _tokens: dict[tuple[str, str], tuple[float, str]] = field(default_factory=dict)
    _csrf: dict[int, tuple[float, str]] = field(default_factory=dict)

    async def close(self) -> None:
        if self._session is not None:
            await self._session.close()
            self._session = None

    def forget(self) -> None:
        """Drop cached destinations, tokens and CSRF tokens."""
        for cache in (self._kept, self._tokens, self._csrf):
            cache.clear()

    def destination(self, pk: int | None) -> Destination:
        """The destination behind a pk; LookupError when it does not exist."""
        if pk is None or not self.store.exists(pk):
            raise LookupError("the consumed destination does not exist")
        now = self.store.clock.timestamp()
        until, found = self._kept.get(pk, (0.0, None))
        if found is None or until <= now:
            found = self._read(pk)
            self._kept[pk] = (now + float(self.settings["destination_cache_s"]), found)
        return found

    def _read(self, pk: int) -> Destination:
        value = self.store.value
        credentials = [value(pk, name) for name in ("credentialBasic", "credentialConsumedOAuth", "credential")]
        basic: tuple[str, str] | None = None
        oauth: tuple[str, str, str] | None = None
        for one in credentials:
            if one is None or not self.store.exists(one):
                continue
            if self.store.itemtype(one) == "ConsumedOAuthCredential":
                names = ("clientId", "clientSecret", "oAuthUrl")
                oauth = (*(value(one, name) or "" for name in names),)  # type: ignore[assignment]
            else:
                basic = (value(one, "username") or "", value(one, "password") or "")
        properties = json.loads(value(pk, "additionalProperties") or "{}")
        csrf = properties.get("csrfURL")
        return Destination(pk, value(pk, "id"), value(pk, "url") or "", csrf, basic, oauth)

    async def send(self, message: Message, destination: Destination) -> Answer:
        """Send, record in OutboundRequests, and give the answer; never raises for what the receiver does."""
        message_id, passport = str(uuid.uuid4()), new_passport()
        answer = await self._attempt(message, destination, message_id=message_id, passport=passport)
        record_outbound(
            self.store,
            settings=self.settings,
            message_id=message_id,
            passport=passport,
            service=message.service,
            key=message.key,
            destination=message.url or destination.url,
            source=message.source,
            method=message.method,
            payload=message.body,
            error=answer.error,
        )
        return answer

    async def _attempt(self, message: Message, destination: Destination, *, message_id: str, passport: str) -> Answer:
        limit_ms = int(self.settings["outbound_timeout_ms"])
        try:
            async with asyncio.timeout(limit_ms / 1000):
                return await self._exchange(message, destination, message_id=message_id, passport=passport)
        except TimeoutError:
            return Answer(0, error=f"Request timed out after {limit_ms} ms", message_id=message_id)
        except (aiohttp.ClientError, OSError, ValueError) as error:
            return Answer(0, error=f"{type(error).__name__}: {error}", message_id=message_id)

    async def _exchange(self, message: Message, destination: Destination, *, message_id: str, passport: str) -> Answer:
        headers = {"Content-Type": "application/json", **message.headers}
        headers |= {"SAP-PASSPORT": passport, "integrationMessageId": message_id}
        headers |= await self._authorization(destination)
        headers |= await self._csrf_header(destination, headers)
        address = message.url or destination.url
        async with self._http().request(message.method, address, data=message.body, headers=headers) as response:
            body = await self._limited(response, whole="multipart" in headers["Content-Type"])
            error = "" if response.status < 400 else _told(body)
            return Answer(response.status, body or b"", dict(response.headers), error, message_id)

    async def _limited(self, response: aiohttp.ClientResponse, *, whole: bool) -> bytes | None:
        """The answer's body; None when it is longer than what is read of a plain answer."""
        if whole:
            return await response.read()
        limit = int(self.settings["outbound_response_limit"])
        body = b""
        async for chunk in response.content.iter_chunked(limit + 1):
            body += chunk
            if len(body) > limit:
                return None
        return body

    async def _authorization(self, destination: Destination) -> dict[str, str]:
        if destination.oauth is not None:
            return {"Authorization": f"Bearer {await self._token(destination.oauth)}"}
        if destination.basic is not None:
            pair = base64.b64encode(":".join(destination.basic).encode()).decode()
            return {"Authorization": f"Basic {pair}"}
        return {}

    async def _token(self, oauth: tuple[str, str, str]) -> str:
        client, secret, address = oauth
        now = self.store.clock.timestamp()
        until, token = self._tokens.get((client, address), (0.0, ""))
        if until <= now:
            form = {"grant_type": "client_credentials", "client_id": client, "client_secret": secret}
            async with self._http().post(address, data=form) as response:
                answer = await response.json(content_type=None)
            if not isinstance(answer, dict) or "access_token" not in answer:
                raise ValueError(f"the token address answered {response.status} without access_token")
            token = str(answer["access_token"])
            self._tokens[(client, address)] = (now + float(answer.get("expires_in", 300)) - 5, token)
        return token

    async def _csrf_header(self, destination: Destination, headers: dict[str, str]) -> dict[str, str]:
        if not destination.csrf_url:
            return {}
        now = self.store.clock.timestamp()
        until, token = self._csrf.get(destination.pk, (0.0, ""))
        if until <= now:
            asked = {name: headers[name] for name in ("Authorization",) if name in headers}
            async with self._http().get(destination.csrf_url, headers=asked | {"X-CSRF-Token": "Fetch"}) as response:
                token = response.headers.get("X-CSRF-Token", "")
            self._csrf[destination.pk] = (now + _CSRF_CACHED_S, token)
        return {"X-CSRF-Token": token}

    def _http(self) -> aiohttp.ClientSession:
        if self._session is None or self._session.closed:
            limit = int(self.settings["outbound_connections"])
            verifies = bool(self.settings["outbound_verify_tls"])
            connector = aiohttp.TCPConnector(limit=limit, ssl=verifies)
            self._session = aiohttp.ClientSession(connector=connector, cookie_jar=aiohttp.CookieJar(unsafe=True))
        return self._session


def new_passport() -> str:
    """A passport in hexadecimal: 230 bytes between the two eye catchers ``*TH*``."""
    return f"2A54482A0300E6{secrets.token_hex(219).upper()}2A54482A"


def _told(body: bytes | None) -> str:
    """The receiver's own words, when they come in the expected form."""
    if body is None:
        return _TOO_LONG
    try:
        message = json.loads(body)["error"]["message"]
    except (ValueError, KeyError, TypeError):
        return _NO_DETAIL
    return str(message.get("value", _NO_DETAIL)) if isinstance(message, dict) else str(message)
