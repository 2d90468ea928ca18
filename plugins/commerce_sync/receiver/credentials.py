"""Who may deliver: one Airflow connection per source, ``commerce_sync_receiver_<source>``; without it nobody may.

Schemes, chosen by the extra ``auth``:

basic    login and password of the connection                              (default of sap_commerce)
header   the password in a header of its own, extra ``header``             (default of iconik: X-Secret)
bearer   the password as bearer token                                      (default of feeds)
hmac     the password signs ``<timestamp>.<body>`` with SHA-256, hex       (default of opentext_iot)

The extra ``previous_password`` is taken too, so that a password can be changed without losing a delivery.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
import hmac
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

from commerce_sync.errors import ConfigurationError
from commerce_sync.receiver.refusals import not_allowed

CONNECTION = "commerce_sync_receiver_{source}"
DEFAULTS = {"sap_commerce": "basic", "iconik": "header", "opentext_iot": "hmac"}
SCHEMES = ("basic", "header", "bearer", "hmac")
EXTRAS = (
    "auth", "header", "previous_password", "signature_header", "timestamp_header", "skew_s", "own_users", "connection",
)  # fmt: skip
KEPT_S = 30.0
"""How long a connection is remembered, or that there is none."""
SKEW_S = 300.0
Headers = Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Credential:
    """How one source proves who it is. ``secrets`` are the present password and the one before.

    own_users: users whose events are our own echoes.   platform: Airflow connection of the platform itself.
    """

    scheme: str
    login: str
    secrets: tuple[str, ...]
    header: str = "X-Secret"
    signature_header: str = "X-OTIoT-Signature"
    timestamp_header: str = "X-OTIoT-Timestamp"
    skew_s: float = SKEW_S
    own_users: frozenset[str] = frozenset()
    platform: str = ""

    def __repr__(self) -> str:
        return f"<Credential {self.scheme}>"

    @property
    def proofs(self) -> tuple[str, ...]:
        """The headers that prove who sends; each may come once: of two, a proxy may have judged the other."""
        if self.scheme == "hmac":
            return (self.signature_header, *([self.timestamp_header] if self.timestamp_header else []))
        return (self.header,) if self.scheme == "header" else ("authorization",)

    def check_headers(self, headers: Headers) -> None:
        """Raises Refusal unless the headers prove it; a signature is left to ``check_body``."""
        names = [name.lower() for name in headers]  # of the framework's headers a name comes as often as it was sent
        if any(names.count(name.lower()) > 1 for name in self.proofs):
            raise not_allowed("doubled", "a header with credentials came more than once")
        if self.scheme == "hmac":
            if not headers.get(self.signature_header):
                raise not_allowed("no_signature", f"the header {self.signature_header} is missing")
            return
        given = self._given(headers)
        expected = [f"{self.login}:{secret}" if self.scheme == "basic" else secret for secret in self.secrets]
        if not _is_one_of(given, expected):
            raise not_allowed()

    def _given(self, headers: Headers) -> bytes:
        """The bytes that were sent; headers come as Latin-1 whatever they were."""
        if self.scheme == "header":
            return headers.get(self.header, "").encode("latin-1", "replace")
        kind, _, value = headers.get("authorization", "").partition(" ")
        if kind.lower() != self.scheme:
            return b""
        return _pair(value.strip()) if self.scheme == "basic" else value.strip().encode("latin-1", "replace")

    def check_body(self, headers: Headers, body: bytes, *, now: float | None = None) -> None:
        """Raises Refusal for a body that is not signed, or was too long ago; other schemes have nothing to check."""
        if self.scheme != "hmac":
            return
        signed = body
        if self.timestamp_header:
            stamp = headers.get(self.timestamp_header, "")
            self._check_stamp(stamp, time.time() if now is None else now)
            signed = f"{stamp}.".encode() + body
        given = (
            headers.get(self.signature_header, "").strip().removeprefix("sha256=").lower().encode("latin-1", "replace")
        )
        expected = [hmac.new(secret.encode(), signed, hashlib.sha256).hexdigest() for secret in self.secrets]
        if not _is_one_of(given, expected):
            raise not_allowed("bad_signature", "the signature does not fit the body")

    def _check_stamp(self, stamp: str, now: float) -> None:
        if not re.fullmatch(r"[0-9]{1,13}", stamp):
            raise not_allowed("no_timestamp", f"the header {self.timestamp_header} has to hold seconds since 1970")
        if abs(now - int(stamp)) > self.skew_s:
            raise not_allowed("stale", f"signed more than {self.skew_s:.0f} s from now; look at the sender's clock")


def _is_one_of(given: bytes, expected: list[str]) -> bool:
    """Compares digests of the same length, all of them, so that time tells nothing."""
    mark = hashlib.sha256(given).digest()
    fits = [hmac.compare_digest(mark, hashlib.sha256(one.encode()).digest()) for one in expected]
    return any(fits) and bool(given)


def _pair(value: str) -> bytes:
    try:
        return base64.b64decode(value, validate=True)
    except (binascii.Error, ValueError):
        return b""


class Keys:
    """Credentials by source, remembered for half a minute. ``fetch`` gives a connection, or None without one."""

    def __init__(self, fetch: Callable[[str], Any] | None = None, *, kept_s: float = KEPT_S) -> None:
        self._fetch = fetch or _airflow_connection
        self._kept_s = kept_s
        self._kept: dict[str, tuple[float, Credential | None]] = {}
        self._turn = threading.Lock()

    def find(self, source: str) -> Credential | None:
        """The source's credential, None when nobody may deliver.

        Raises ConfigurationError for a connection that cannot be used.
        """
        with self._turn:
            until, found = self._kept.get(source, (0.0, None))
            if until <= time.monotonic():
                found = self._read(source)
                self._kept[source] = (time.monotonic() + self._kept_s, found)
            return found

    def _read(self, source: str) -> Credential | None:
        name = CONNECTION.format(source=source)
        connection = self._fetch(name)
        return None if connection is None else credential(source, connection, name=name)


def credential(source: str, connection: Any, *, name: str) -> Credential:
    """What an Airflow connection says. Raises ConfigurationError with the legal names; never with a secret."""
    extra = dict(connection.extra_dejson or {})
    scheme = extra.get("auth") or DEFAULTS.get(source, "bearer")
    unknown = sorted(set(extra) - set(EXTRAS))
    if unknown:
        raise ConfigurationError(f"connection {name!r}: unknown extra {unknown[0]!r}; legal: {', '.join(EXTRAS)}")
    if scheme not in SCHEMES:
        raise ConfigurationError(f"connection {name!r}: auth is {scheme!r}; legal: {', '.join(SCHEMES)}")
    if not connection.password or (scheme == "basic" and not connection.login):
        needed = "login and password" if scheme == "basic" else "a password"
        raise ConfigurationError(f"connection {name!r} lacks {needed}; nobody can deliver")
    secrets = [str(one) for one in (connection.password, extra.get("previous_password")) if one]
    texts = {key: str(extra[key]) for key in ("header", "signature_header", "timestamp_header") if key in extra}
    try:
        skew_s = float(extra.get("skew_s") or SKEW_S)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"connection {name!r}: skew_s is {extra['skew_s']!r}; seconds are needed") from error
    users = extra.get("own_users") or ()
    own = [users] if isinstance(users, str) else [str(one) for one in users]
    return Credential(
        scheme, str(connection.login or ""), tuple(secrets), skew_s=skew_s, own_users=frozenset(own),
        platform=str(extra.get("connection") or ""), **texts,
    )  # fmt: skip


def _airflow_connection(name: str) -> Any:
    from airflow.sdk import BaseHook
    from airflow.sdk.exceptions import AirflowNotFoundException, AirflowRuntimeError

    try:
        return BaseHook.get_connection(name)
    except (AirflowNotFoundException, AirflowRuntimeError):
        return None
