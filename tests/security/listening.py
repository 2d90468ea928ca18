"""Far sides of our own for what simulators do not do: certificates of every kind, redirects, echoes of what was sent."""

from __future__ import annotations

import ipaddress
import json
import ssl
import threading
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

DAY = timedelta(days=1)


class Authority:
    """Makes certificates; ``ca_file`` is what to trust."""

    def __init__(self, folder: Path) -> None:
        self._folder, self._key, self._made = folder, ec.generate_private_key(ec.SECP256R1()), 0
        self._certificate = self._signed("An authority", self._key, days=30, ca=True)
        self.ca_file = str(folder / "ca.pem")
        Path(self.ca_file).write_bytes(self._certificate.public_bytes(serialization.Encoding.PEM))

    def chain(
        self, *, host: str | None = None, days: int = 10, client: bool = False, password: bytes | None = None
    ) -> Path:
        """A PEM file with key and certificate, of 127.0.0.1 unless a host is named; negative days: it has expired."""
        key = ec.generate_private_key(ec.SECP256R1())
        certificate = self._signed(host or "127.0.0.1", key, days=days, client=client)
        lock = serialization.BestAvailableEncryption(password) if password else serialization.NoEncryption()
        self._made += 1
        path = self._folder / f"{self._made}.pem"
        path.write_bytes(
            key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, lock)
            + certificate.public_bytes(serialization.Encoding.PEM)
        )
        return path

    def serving(self, **kind: Any) -> ssl.SSLContext:
        """The context of a server that shows such a certificate."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(self.chain(**kind))
        return context

    def _signed(self, name: str, key: Any, *, days: int, ca: bool = False, client: bool = False) -> x509.Certificate:
        now, usage = datetime.now(UTC), ExtendedKeyUsageOID
        subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
        begin = now - DAY if days > 0 else now + (days - 1) * DAY
        made = (
            x509.CertificateBuilder().subject_name(subject).public_key(key.public_key())
            .issuer_name(subject if ca else self._certificate.subject).serial_number(x509.random_serial_number())
            .not_valid_before(begin).not_valid_after(now + days * DAY)
            .add_extension(x509.BasicConstraints(ca=ca, path_length=None), critical=True)
            .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
            .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(self._key.public_key()), critical=False)
            .add_extension(x509.KeyUsage(not ca, False, False, False, False, ca, ca, False, False), critical=True)
        )  # fmt: skip
        if not ca:
            kind = usage.CLIENT_AUTH if client else usage.SERVER_AUTH
            made = made.add_extension(x509.SubjectAlternativeName([_named(name)]), critical=False)
            made = made.add_extension(x509.ExtendedKeyUsage([kind]), critical=False)
        return made.sign(self._key, hashes.SHA256())


def _named(name: str) -> x509.GeneralName:
    try:
        return x509.IPAddress(ipaddress.ip_address(name))
    except ValueError:
        return x509.DNSName(name)


class Listener:
    """A server that keeps what it is sent. ``answers``: path -> (status, headers, body), 200 {} for others.

    A body that is a function gets the request's headers and its body.
    """

    def __init__(self, context: ssl.SSLContext | None = None, *, answers: dict[str, Any] | None = None) -> None:
        self.seen: list[dict[str, Any]] = []
        self.answers = answers or {}
        self._server = _Server(self, context)
        self.port = self._server.server_address[1]
        self.url = f"{'https' if context else 'http'}://127.0.0.1:{self.port}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    @property
    def text(self) -> str:
        """All that arrived, as text."""
        return json.dumps(self.seen)

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()


class _Server(ThreadingHTTPServer):
    daemon_threads = True

    def __init__(self, owner: Listener, context: ssl.SSLContext | None) -> None:
        super().__init__(("127.0.0.1", 0), _handler(owner))
        if context:
            self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)

    def handle_error(self, *_: Any) -> None:
        """A handshake that failed is what the tests are about."""


def _handler(owner: Listener) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        timeout = 10

        def _take(self) -> None:
            body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
            path = self.path.partition("?")[0]
            headers = {name.lower(): value for name, value in self.headers.items()}
            owner.seen.append({"method": self.command, "path": self.path, "headers": headers, "body": body.decode()})
            status, told, text = owner.answers.get(path, (200, {}, "{}"))
            text = text(headers, body.decode()) if callable(text) else text
            self.send_response(status)
            for name, value in told.items():
                self.send_header(name, value)
            self.send_header("Content-Length", str(len(text.encode())))
            self.end_headers()
            self.wfile.write(text.encode())

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = _take

        def log_message(self, *_: Any) -> None:
            """Tests read ``seen``."""

    return Handler
