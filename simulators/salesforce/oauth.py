"""Sign-in by OAuth: client credentials, JWT bearer, refresh token, username and password, introspection.

Error texts other than ``authentication failure`` are unverified.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import time
from collections.abc import Mapping
from typing import Any
from urllib.parse import parse_qsl

import jwt
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from simulators.salesforce import values
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError
from simulators.salesforce.sessions import Session

CLIENT_ID = "3MVG9commerceSyncSimulatedConnectedApp"
CLIENT_SECRET = "simulated-consumer-secret"
USERNAME = "integration@commerce-sync.example"
PASSWORD = "simulated-password"
SECURITY_TOKEN = "simulatedSecurityToken"
LONGEST_ASSERTION_S = 300 + 60  # five minutes, and some for clocks that differ
GENERIC_HOSTS = ("login.salesforce.com", "test.salesforce.com")
JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


class DemoKey:
    """A key pair made at the first start, for the JWT flow without configuration."""

    def __init__(self, kept: str | None = None) -> None:
        loaded = serialization.load_pem_private_key(kept.encode(), password=None) if kept else None
        fresh = loaded if isinstance(loaded, rsa.RSAPrivateKey) else None
        self._key = fresh or rsa.generate_private_key(public_exponent=65537, key_size=2048)

    @property
    def private_pem(self) -> str:
        return self._key.private_bytes(
            serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
        ).decode()

    @property
    def public_pem(self) -> str:
        form = serialization.PublicFormat.SubjectPublicKeyInfo
        return self._key.public_key().public_bytes(serialization.Encoding.PEM, form).decode()


def _refused(code: str, message: str, *, status: int = 400) -> ApiError:
    return ApiError(status, code, message)


def _form(call: Call) -> dict[str, str]:
    return dict(parse_qsl(call.raw.decode("utf-8", "replace"), keep_blank_values=True))


def _client(call: Call, form: Mapping[str, str]) -> tuple[str, str]:
    """(client_id, client_secret) from HTTP Basic or from the form."""
    scheme, _, encoded = call.header("Authorization").partition(" ")
    if scheme.lower() != "basic":
        return form.get("client_id", ""), form.get("client_secret", "")
    try:
        name, _, secret = base64.b64decode(encoded).decode().partition(":")
    except (binascii.Error, UnicodeDecodeError) as error:
        raise _refused("invalid_client", "invalid client credentials") from error
    return name, secret


def _check_client(call: Call, form: Mapping[str, str]) -> None:
    name, secret = _client(call, form)
    if name != CLIENT_ID:
        raise _refused("invalid_client_id", "client identifier invalid")
    if not hmac.compare_digest(secret.encode(), CLIENT_SECRET.encode()):
        raise _refused("invalid_client", "invalid client credentials")


class OAuth:
    """The handlers under /services/oauth2, and /id."""

    def __init__(self, key: DemoKey) -> None:
        self.key = key

    def routes(self) -> list[Route]:
        start = "/services/oauth2"
        return [
            Route("POST", f"{start}/token", self.token, open=True, dialect="oauth"),
            Route("POST", f"{start}/introspect", self.introspect, open=True, dialect="oauth"),
            Route("POST", f"{start}/revoke", self.revoke, open=True, dialect="oauth"),
            Route("GET", f"{start}/revoke", self.revoke, open=True, dialect="oauth"),
            Route("GET", f"{start}/userinfo", self.userinfo),
            Route("GET", "/id/{org_id}/{user_id}", self.identity, open=True),
        ]

    async def token(self, call: Call) -> Answer:
        """POST /services/oauth2/token."""
        form = _form(call)
        grants = {
            "client_credentials": self._client_credentials,
            JWT_GRANT: self._assertion,
            "password": self._password,
            "refresh_token": self._refresh,
        }
        grant = grants.get(form.get("grant_type", ""))
        if grant is None:
            raise _refused("unsupported_grant_type", "grant type not supported")
        more = grant(call, form) or {}
        return Answer(body=_token_body(call, call.org.sessions.open()) | more)

    def _client_credentials(self, call: Call, form: Mapping[str, str]) -> None:
        if call.host.split(":")[0] in GENERIC_HOSTS:
            raise _refused("invalid_grant", "request not supported on this domain")
        _check_client(call, form)

    def _password(self, call: Call, form: Mapping[str, str]) -> None:
        _check_client(call, form)
        allowed = bool(call.org.settings["password_flow"])
        if not allowed or form.get("username") != USERNAME or not password_fits(form.get("password", "")):
            raise _refused("invalid_grant", "authentication failure")

    def _refresh(self, call: Call, form: Mapping[str, str]) -> dict[str, str]:
        """With the option ``refresh_rotation`` every answer carries a new refresh token and the old one dies."""
        _check_client(call, form)
        sessions = call.org.sessions
        if not sessions.knows_refresh(form.get("refresh_token", "")):
            raise _refused("invalid_grant", "expired access/refresh token")
        if not call.org.settings["refresh_rotation"]:
            return {}
        return {"refresh_token": sessions.rotate_refresh()}

    def _assertion(self, call: Call, form: Mapping[str, str]) -> None:
        key = public_key(call.org.settings["jwt_public_key"] or self.key.public_pem)
        checks: Any = {"verify_aud": False, "verify_exp": False, "verify_iat": False}
        try:
            claims = jwt.decode(form.get("assertion", ""), key, algorithms=["RS256"], options=checks)
        except jwt.InvalidTokenError as error:
            raise _refused("invalid_grant", "invalid assertion") from error
        if claims.get("iss") != CLIENT_ID:
            raise _refused("invalid_client_id", "client identifier invalid")
        if claims.get("sub") != USERNAME:
            raise _refused("invalid_grant", "user hasn't approved this consumer")
        if not _good_audience(str(claims.get("aud", "")), call):
            raise _refused("invalid_grant", "audience is invalid")
        if not _good_expiry(claims.get("exp")):
            raise _refused("invalid_grant", "assertion expired")

    async def introspect(self, call: Call) -> Answer:
        """POST /services/oauth2/introspect; a dead token is ``{"active": false}``."""
        form = _form(call)
        _check_client(call, form)
        session = call.org.sessions.find(form.get("token", ""))
        if session is None:
            return Answer(body={"active": False})
        expires = int(call.org.sessions.expires(session))
        body = {
            "active": True,
            "scope": "api",
            "client_id": CLIENT_ID,
            "username": USERNAME,
            "sub": _identity_url(call),
            "token_type": "access_token",
            "exp": expires,
            "iat": int(session.issued),
            "nbf": int(session.issued),
        }
        return Answer(body=body)

    async def revoke(self, call: Call) -> Answer:
        """POST /services/oauth2/revoke: an access token, or the refresh token."""
        call.org.sessions.revoke(_form(call).get("token") or call.query.get("token", ""))
        return Answer(200, "", content_type="text/html")

    async def userinfo(self, call: Call) -> Answer:
        """GET /services/oauth2/userinfo."""
        store, origin = call.org.store, call.origin
        person = {
            "sub": _identity_url(call),
            "user_id": store.user_id,
            "organization_id": store.org_id,
            "preferred_username": USERNAME,
            "nickname": "integ",
            "name": "Integration User",
            "given_name": "Integration",
            "family_name": "User",
            "email": USERNAME,
            "email_verified": True,
            "active": True,
            "user_type": "STANDARD",
            "language": "en_US",
            "locale": "en_US",
            "zoneinfo": "GMT",
            "utcOffset": 0,
            "updated_at": values.stamp(call.org.clock.now()),
        }
        pages = {
            "profile": f"{origin}/{store.user_id}",
            "picture": f"{origin}/profilephoto/005/F",
            "photos": {"picture": f"{origin}/profilephoto/005/F", "thumbnail": f"{origin}/profilephoto/005/T"},
            "address": {},
            "urls": _urls(origin),
        }
        return Answer(body=person | pages)

    async def identity(self, call: Call) -> Answer:
        """GET /id/{org}/{user}, the address in the token's ``id``."""
        bearer = call.header("Authorization").partition(" ")[2]
        if not call.org.sessions.touch(call.query.get("oauth_token") or bearer):
            return Answer(403, "Bad_OAuth_Token", content_type="text/html")
        store, origin = call.org.store, call.origin
        body = {
            "id": _identity_url(call),
            "user_id": store.user_id,
            "organization_id": store.org_id,
            "username": USERNAME,
            "active": True,
            "urls": _urls(origin),
        }
        return Answer(body=body)


def _urls(origin: str) -> dict[str, str]:
    data = f"{origin}/services/data/v{{version}}/"
    return {"rest": data, "query": f"{data}query/", "search": f"{data}search/", "sobjects": f"{data}sobjects/"}


def password_fits(given: str) -> bool:
    """Password and security token arrive as one text."""
    return hmac.compare_digest(given.encode(), f"{PASSWORD}{SECURITY_TOKEN}".encode())


def public_key(pem: str) -> Any:
    """A public key from PEM of a key or of a certificate; raises ApiError when it is neither."""
    try:
        if "CERTIFICATE" in pem:
            return x509.load_pem_x509_certificate(pem.encode()).public_key()
        return serialization.load_pem_public_key(pem.encode())
    except ValueError as error:
        raise _refused("invalid_grant", "the certificate of the app cannot be read") from error


def _good_audience(audience: str, call: Call) -> bool:
    known = {f"https://{host}" for host in GENERIC_HOSTS} | {call.origin, f"{call.scheme}://{call.host}"}
    return audience.rstrip("/") in known or audience.endswith(".my.salesforce.com")


def _good_expiry(expires: Any) -> bool:
    # assertions are made by the client's own clock, which the simulated one does not move
    try:
        left = float(expires) - time.time()
    except (TypeError, ValueError):
        return False
    return 0 < left <= LONGEST_ASSERTION_S


def _identity_url(call: Call) -> str:
    return f"{call.origin}/id/{call.org.store.org_id}/{call.org.store.user_id}"


def _token_body(call: Call, session: Session) -> dict[str, str]:
    issued = str(int(session.issued * 1000))
    signed = hmac.new(CLIENT_SECRET.encode(), (_identity_url(call) + issued).encode(), hashlib.sha256)
    return {
        "access_token": session.token,
        "signature": base64.b64encode(signed.digest()).decode(),
        "scope": "api",
        "instance_url": call.origin,
        "id": _identity_url(call),
        "token_type": "Bearer",
        "issued_at": issued,
        "api_instance_url": "https://api.salesforce.com",
    }
