"""The two OAuth grants for servers: client credentials and JWT bearer."""

from __future__ import annotations

import time

import jwt

from commerce_sync.errors import ConfigurationError
from commerce_sync.systems.tokens import ClientCredentials, TokenEndpoint
from commerce_sync.systems.trust import USUAL, Trust

TOKEN_PATH = "/services/oauth2/token"  # noqa: S105
ASSERTION_LIFETIME_S = 180
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def client_credentials(
    instance_url: str, *, client_id: str, client_secret: str, trust: Trust = USUAL
) -> ClientCredentials:
    """Tokens of the app's Run-As user. The generic login hosts refuse this grant: My Domain only.

    Source: help.salesforce.com, OAuth 2.0 Client Credentials Flow for Server-to-Server Integration.
    """
    url = instance_url.rstrip("/") + TOKEN_PATH
    return ClientCredentials(url, client_id=client_id, client_secret=client_secret, trust=trust)


def jwt_bearer(
    login_url: str,
    *,
    client_id: str,
    username: str,
    private_key: str,
    audience: str | None = None,
    trust: Trust = USUAL,
) -> TokenEndpoint:
    """Tokens of ``username`` by an RS256 assertion signed with the app's private key (PEM text).

    audience: ``https://login.salesforce.com``, ``https://test.salesforce.com`` or the My Domain URL (default:
    ``login_url``). Salesforce takes assertions that expire within 5 minutes; these last 3.
    Source: help.salesforce.com, OAuth 2.0 JWT Bearer Flow for Server-to-Server Integration.
    """
    base = login_url.rstrip("/")

    def form() -> dict[str, str]:
        claims = {
            "iss": client_id,
            "sub": username,
            "aud": audience or base,
            "exp": int(time.time()) + ASSERTION_LIFETIME_S,
        }
        return {"grant_type": JWT_GRANT, "assertion": _signed(claims, private_key)}

    return TokenEndpoint(base + TOKEN_PATH, form=form, trust=trust)


def _signed(claims: dict[str, object], private_key: str) -> str:
    try:
        return jwt.encode(claims, private_key.replace("\\n", "\n"), algorithm="RS256")
    except (ValueError, TypeError, jwt.PyJWTError):
        # The library's message may quote the key.
        raise ConfigurationError(
            "the private key of the Salesforce connection cannot be read: give an RSA key as PEM text, "
            "with its BEGIN and END lines"
        ) from None
