"""Whom an outgoing connection trusts: its authorities, its own certificate, and whether it may go without TLS at all.

Verification cannot be switched off. TLS 1.2 is the least that is spoken. Plain http is for loopback; anywhere else it
has to be asked for in the connection (``allow_http``), because credentials would go over the wire as they are.
"""

from __future__ import annotations

import ipaddress
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Self

import aiohttp
from yarl import URL

from commerce_sync.errors import ConfigurationError

REDIRECTED = frozenset({301, 302, 303, 307, 308})
MOST_REDIRECTS = 5
KEPT_ELSEWHERE = frozenset({"accept", "accept-encoding", "accept-language", "range", "if-range", "if-none-match"})
"""Headers of a request that may follow a redirect to another origin: what is wanted, never who asks."""
EXPIRED, NOT_YET, OTHER_HOST, OTHER_ADDRESS = 10, 9, 62, 64
"""``verify_code`` of OpenSSL, openssl-verification-options(1)."""
WANTS_A_CERTIFICATE = ("CERTIFICATE_REQUIRED", "HANDSHAKE_FAILURE", "ALERT_BAD_CERTIFICATE", "ALERT_UNKNOWN_CA",
                       "ALERT_CERTIFICATE_EXPIRED", "ALERT_CERTIFICATE_UNKNOWN", "ALERT_UNSUPPORTED_CERTIFICATE",
                       "ALERT_ACCESS_DENIED")  # fmt: skip
OTHER_VERSION = ("WRONG_VERSION_NUMBER", "UNSUPPORTED_PROTOCOL", "PROTOCOL_VERSION", "HTTP_REQUEST",
                 "RECORD_LAYER_FAILURE")  # fmt: skip


@dataclass(frozen=True, slots=True)
class Trust:
    """How a connection is secured.

    ca_file: PEM bundle to trust instead of the system's.   client_cert, client_key: PEM files this side shows (mutual
    TLS); the key may stand in the certificate's file.   allow_http: whether plain http may leave this machine.
    """

    ca_file: str | None = None
    client_cert: str | None = None
    client_key: str | None = None
    allow_http: bool = False

    @classmethod
    def of(cls, extra: Mapping[str, Any]) -> Self:
        """What a connection's extra says. Raises ConfigurationError for an ``allow_http`` that is no truth value."""
        allowed = extra.get("allow_http")
        if not isinstance(allowed, bool | None):
            raise ConfigurationError(f"allow_http is {allowed!r}; legal: true, false")
        files = {name: extra.get(name) or None for name in ("ca_file", "client_cert", "client_key")}
        return cls(**files, allow_http=bool(allowed))

    def permit(self, address: str | URL, *, name: str) -> None:
        """Raises ConfigurationError for an address that would be spoken to in the clear. name: of the connection."""
        url = URL(address) if isinstance(address, str) else address
        if url.scheme == "https" or self.allow_http or (url.scheme == "http" and _is_loopback(url.host or "")):
            return
        raise ConfigurationError(
            f"{name}: {url.origin() if url.host else url.scheme!r} is not https, so credentials and data would go over "
            "the network readable; write https:// in the connection's host, or, inside a network you trust, set its "
            "extra allow_http to true"
        )

    def context(self) -> ssl.SSLContext:
        """What aiohttp's ``ssl`` takes. Raises ConfigurationError when a file cannot be used."""
        if not (self.ca_file or self.client_cert or self.client_key):
            return _usual()
        context = _context(self.ca_file)
        if self.client_key and not self.client_cert:
            raise ConfigurationError("client_key is set without client_cert; give the PEM file of the certificate too")
        if self.client_cert:
            self._show_certificate(context)
        return context

    def _show_certificate(self, context: ssl.SSLContext) -> None:
        try:
            # Without a password given, OpenSSL would ask for one at the terminal.
            context.load_cert_chain(self.client_cert or "", self.client_key, password=lambda: "")
        except (OSError, ssl.SSLError) as error:
            raise ConfigurationError(
                f"client_cert {self.client_cert!r} with client_key {self.client_key!r} cannot be used "
                f"({_reason(error)}): give a PEM certificate and its private key without a pass phrase"
            ) from None


USUAL = Trust()
"""https, with the authorities this machine trusts."""


@lru_cache(maxsize=1)
def _usual() -> ssl.SSLContext:
    return _context(None)


def _context(ca_file: str | None) -> ssl.SSLContext:
    try:
        context = ssl.create_default_context(cafile=ca_file)
    except (OSError, ssl.SSLError) as error:
        raise ConfigurationError(f"ca_file {ca_file!r} cannot be used as a PEM bundle: {_reason(error)}") from None
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    return context


def _reason(error: OSError) -> str:
    return str(getattr(error, "reason", None) or error.strerror or type(error).__name__)


def _is_loopback(host: str) -> bool:
    if host == "localhost" or host.endswith(".localhost"):
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False


def refusal(error: BaseException) -> str | None:
    """Why TLS refused a connection and what to do; None when that is not what happened, or passes by itself."""
    if isinstance(error, aiohttp.ClientConnectorCertificateError):
        return _of_certificate(error.certificate_error)
    text = f"{error} {error.__cause__ or ''}"
    if "[SSL" not in text:
        return None
    if any(word in text for word in WANTS_A_CERTIFICATE):
        return "it refused our side of TLS: it wants a certificate; set the connection's client_cert and client_key"
    if any(word in text for word in OTHER_VERSION):
        return "no common version of TLS: it speaks plain http there, or nothing newer than TLS 1.1; check the port"
    return None


def _of_certificate(error: Exception) -> str:
    code, said = getattr(error, "verify_code", 0), getattr(error, "verify_message", "") or type(error).__name__
    if code in (EXPIRED, NOT_YET):
        return f"{said}: have it renewed over there, or correct the clock here"
    if code in (OTHER_HOST, OTHER_ADDRESS):
        return f"{said}: correct the connection's host to a name the certificate is for"
    return f"its certificate is not trusted ({said}): set the connection's ca_file to its authority's PEM file"


def onward(method: str, url: URL, status: int, location: str) -> URL | None:
    """Where a redirected read goes on; None for an answer that is none.

    A write is not repeated elsewhere: what aiohttp does by itself turns a POST into a GET, whose 200 is no delivery.
    """
    if status not in REDIRECTED or method not in ("GET", "HEAD") or not location:
        return None
    try:
        return url.join(URL(location, encoded=True))
    except ValueError:
        return None
