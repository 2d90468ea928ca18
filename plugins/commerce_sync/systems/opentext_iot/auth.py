"""The platform's token: client credentials by Basic or in the form, with the headers a tenant wants beside it."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Any

import aiohttp

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.opentext_iot.profile import SignIn
from commerce_sync.systems.tokens import TOKEN_TIMEOUT_S, Basic, TokenEndpoint
from commerce_sync.systems.trust import USUAL, Trust


class IotToken(TokenEndpoint):
    """A bearer token of the token call a profile describes.

    ``expires_in`` is a text with seconds there, ``token_type`` is not what the header says; both are documented.
    values: what ``{realm}`` and ``{tenant}`` stand for.
    """

    def __init__(
        self, base_url: str, sign_in: SignIn, *, client_id: str, client_secret: str,
        values: Mapping[str, str | None], trust: Trust = USUAL,
    ) -> None:  # fmt: skip
        self._sign_in = sign_in
        self._pair = (client_id, client_secret)
        self._headers = {name: text for name, part in sign_in.headers.items() if (text := _filled(part, values))}
        path = _filled(sign_in.token_path, values)
        if path is None:
            raise ConfigurationError(
                f"the token path {sign_in.token_path!r} needs a value the connection does not have; fill in: "
                + ", ".join(name for name, value in values.items() if not value)
            )
        super().__init__(base_url.rstrip("/") + path, form=self._fields, trust=trust)

    def _fields(self) -> dict[str, str]:
        form = {"grant_type": "client_credentials"}
        if self._sign_in.scope:
            form["scope"] = self._sign_in.scope
        if self._sign_in.style == "body":
            form |= {"client_id": self._pair[0], "client_secret": self._pair[1]}
        return form

    async def headers(self) -> dict[str, str]:
        """The bearer token and the tenant's own headers."""
        return await super().headers() | self._headers

    async def refresh(self) -> None:
        """Fetch a new token; it is replaced ``refresh_skew_s`` before its end, a short one after half its life."""
        await super().refresh()
        lifetime_s = float(self.answer.get("expires_in") or "inf")
        self._expires_at = time.monotonic() + max(lifetime_s - self._sign_in.refresh_skew_s, lifetime_s / 2)

    async def _fetch(self) -> tuple[int, dict[str, Any]]:
        timeout = aiohttp.ClientTimeout(total=TOKEN_TIMEOUT_S)
        sent = {"Accept": self._sign_in.accept}
        if self._sign_in.style == "basic":
            sent |= await Basic(*self._pair).headers()
        self._secrets = {self._pair[1], sent.get("Authorization", "").removeprefix("Basic ")}
        try:
            async with (
                aiohttp.ClientSession(timeout=timeout) as session,
                session.post(
                    self.url, data=self._form(), headers=sent, ssl=self._trust.context(), allow_redirects=False
                ) as answer,
            ):
                return answer.status, await _object(answer)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            raise self._no_answer(error) from None


def _filled(text: str, values: Mapping[str, str | None]) -> str | None:
    """The text with its values, None when one of them is empty."""
    for name, value in values.items():
        if "{" + name + "}" in text:
            if not value:
                return None
            text = text.replace("{" + name + "}", value)
    return text


async def _object(answer: aiohttp.ClientResponse) -> dict[str, Any]:
    try:
        decoded = await answer.json(content_type=None)
    except ValueError:
        return {}
    return decoded if isinstance(decoded, dict) else {}
