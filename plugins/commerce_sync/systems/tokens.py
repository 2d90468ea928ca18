"""Credentials as objects: each gives request headers and can renew them once they are refused."""

from __future__ import annotations

import base64
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

import aiohttp

from commerce_sync.errors import ConfigurationError, RetryableError, SyncError
from commerce_sync.systems.answers import excerpt, without
from commerce_sync.systems.trust import USUAL, Trust, refusal

TOKEN_TIMEOUT_S = 30.0


class Auth(Protocol):
    """What ``RestSession`` asks of credentials."""

    async def headers(self) -> dict[str, str]:
        """Headers that authorise a call; may fetch a token."""

    async def refresh(self) -> None:
        """Replace refused credentials. Raises ConfigurationError when there are no others."""


class FixedHeaders:
    """Credentials that never change: API keys, Basic."""

    def __init__(self, headers: Mapping[str, str]) -> None:
        self._headers = dict(headers)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(self._headers)})"

    async def headers(self) -> dict[str, str]:
        """The same headers each time."""
        return dict(self._headers)

    async def refresh(self) -> None:
        """Always raises ConfigurationError."""
        raise ConfigurationError("the credentials were refused (401) and cannot be renewed; correct the connection")


class Basic(FixedHeaders):
    """HTTP Basic (RFC 7617), UTF-8."""

    def __init__(self, username: str, password: str) -> None:
        pair = base64.b64encode(f"{username}:{password}".encode()).decode()
        super().__init__({"Authorization": f"Basic {pair}"})


class TokenEndpoint:
    """A bearer token from an OAuth 2 token endpoint (RFC 6749), fetched when needed and when it is refused.

    form: gives the fields of the token request, computed anew each time (assertions expire).
    Raises ConfigurationError for an address without TLS that ``trust`` does not permit.
    """

    def __init__(self, url: str, *, form: Callable[[], dict[str, str]], trust: Trust = USUAL) -> None:
        trust.permit(url, name="token endpoint")
        self.url = url
        self.answer: dict[str, Any] = {}
        self._secrets: set[str] = set()
        self._form = form
        self._trust = trust
        self._expires_at = float("inf")

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.url!r})"

    async def headers(self) -> dict[str, str]:
        """``Authorization: Bearer``; fetches a token when there is none or it is about to expire."""
        if not self.answer or time.monotonic() > self._expires_at:
            await self.refresh()
        return {"Authorization": f"Bearer {self.answer['access_token']}"}

    async def refresh(self) -> None:
        """Fetch a new token. Raises ConfigurationError when refused, RetryableError without an answer."""
        status, answer = await self._fetch()
        if status == 429 or status >= 500:
            raise RetryableError(f"token endpoint {self.url} answered {status}")
        if status != 200 or "access_token" not in answer:
            said = f"{answer.get('error', '')} {answer.get('error_description', '')}".strip() or "no OAuth error text"
            said = excerpt(without(said.encode(), self._secrets))
            raise ConfigurationError(
                f"token endpoint {self.url} answered {status} ({said}): check client id, secret or key, "
                "user and the app's permitted flows"
            )
        self.answer = answer
        lifetime_s = answer.get("expires_in")
        self._expires_at = time.monotonic() + float(lifetime_s) * 0.9 if lifetime_s else float("inf")

    async def _fetch(self) -> tuple[int, dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=TOKEN_TIMEOUT_S)
        form = self._form()
        self._secrets = {form[name] for name in ("client_secret", "assertion") if name in form}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(self.url, data=form, ssl=self._trust.context(), allow_redirects=False) as answer,
            ):
                decoded = await _json_or_nothing(answer)
                return answer.status, decoded
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._no_answer(error) from None

    def _no_answer(self, error: Exception) -> SyncError:
        if said := refusal(error):
            return ConfigurationError(f"token endpoint {self.url}: {said}")
        return RetryableError(f"token endpoint {self.url}: no answer ({type(error).__name__})")


class ClientCredentials(TokenEndpoint):
    """The OAuth 2 client-credentials grant (RFC 6749 section 4.4), id and secret in the body."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        client_secret: str,
        scope: str | None = None,
        trust: Trust = USUAL,
    ) -> None:
        fields = {"grant_type": "client_credentials", "client_id": client_id, "client_secret": client_secret}
        if scope:
            fields["scope"] = scope
        super().__init__(url, form=lambda: dict(fields), trust=trust)


async def _json_or_nothing(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        decoded = await answer.json(content_type=None)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
