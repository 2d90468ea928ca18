"""A wire between us and a far side: remembers every credential that passed, and can answer by repeating what was sent."""

from __future__ import annotations

import base64
import binascii
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs

import pyarrow.parquet as pq
import requests

HOP = {"connection", "transfer-encoding", "content-length", "content-encoding", "keep-alive"}
CARRIERS = ("authorization", "auth-token", "x-csrf-token")
FIELDS = ("client_secret", "assertion", "password")
SHORTEST = 7


class Tap:
    """A proxy in front of ``far``; use its ``url`` as the connection's host."""

    def __init__(self, far: Any) -> None:
        self._far, self.secrets, self.echoes = far, set[str](), list[tuple[str, str, int]]()
        self._session = requests.Session()
        self._session.trust_env = False
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _handler(self))
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        self._thread = threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True)
        self._thread.start()

    def echo(self, method: str, path: str, status: int) -> None:
        """From now on answer such calls (a pattern of the path) with all they brought, as a debugging far side does."""
        self.echoes.append((method, path, status))

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join(10)
        self._server.server_close()
        self._session.close()

    def passed(self, method: str, path: str, headers: dict[str, str], body: bytes) -> tuple[int, dict[str, str], bytes]:
        """(status, headers, body) of an answer, with what is secret in both directions kept."""
        self._notice(headers, body)
        for wanted, pattern, status in self.echoes:
            if wanted in (method, "*") and re.search(pattern, path):
                said = f"you sent {headers} and {body[:500]!r} to {path}"
                text = {"error": said, "errors": [said], "message": said, "error_description": said, "detail": said}
                return status, {"Content-Type": "application/json"}, json.dumps(text).encode()
        answer = self._session.request(method, f"{self._far.url}{path}", headers=headers, data=body, timeout=60,
                                       allow_redirects=False)  # fmt: skip
        if "token" in path:
            self.secrets |= {text for name, text in _object(answer.content).items() if name.endswith("_token")}
        return answer.status_code, dict(answer.headers), answer.content

    def _notice(self, headers: dict[str, str], body: bytes) -> None:
        for name, value in headers.items():
            if name.lower() in CARRIERS:
                scheme, _, rest = value.partition(" ")
                self.secrets.add(rest or scheme)
                if scheme == "Basic":
                    self.secrets.add(_plain(rest))
        if headers.get("Content-Type", "").startswith("application/x-www-form-urlencoded"):
            for name, values in parse_qs(body.decode()).items():
                self.secrets |= set(values) if name in FIELDS else set()


def _plain(pair: str) -> str:
    try:
        return base64.b64decode(pair).decode().partition(":")[2]
    except (binascii.Error, UnicodeDecodeError):
        return pair


def _object(body: bytes) -> dict[str, str]:
    try:
        found = json.loads(body)
    except ValueError:
        return {}
    return {name: str(value) for name, value in found.items()} if isinstance(found, dict) else {}


def _handler(tap: Tap) -> type[BaseHTTPRequestHandler]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"
        timeout = 30

        def _take(self) -> None:
            body = _body(self)
            headers = {name: value for name, value in self.headers.items() if name.lower() not in HOP}
            status, told, text = tap.passed(self.command, self.path, headers, body)
            self.send_response(status)
            for name, value in told.items():
                if name.lower() not in HOP:
                    self.send_header(name, value)
            self.send_header("Content-Length", str(len(text)))
            self.end_headers()
            if self.command != "HEAD":
                self.wfile.write(text)

        do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = _take

        def log_message(self, *_: Any) -> None:
            """The far side keeps its own list of calls."""

    return Handler


def _body(request: BaseHTTPRequestHandler) -> bytes:
    if "chunked" not in request.headers.get("Transfer-Encoding", ""):
        return request.rfile.read(int(request.headers.get("Content-Length") or 0))
    parts = b""
    while size := int(request.rfile.readline(), 16):
        parts += request.rfile.read(size)
        request.rfile.readline()
    request.rfile.readline()
    return parts


def everything_in(folder: Path) -> str:
    """Every file below a folder as text; Parquet decoded, for compression hides what it holds."""
    found = []
    for path in folder.rglob("*"):
        if path.is_file():
            found.append(path.read_bytes().decode("latin-1"))
            if path.suffix == ".parquet":
                found.append(repr(pq.read_table(path).to_pylist()))
    return "\n".join(found)


def assert_no_secret(text: str, secrets: set[str], *, where: str) -> None:
    """The text has none of the secrets, neither as they are nor in base64 or percent encoding."""
    wanted = {one for one in secrets if len(one) >= SHORTEST}
    spelled = {one: {one, base64.b64encode(one.encode()).decode().rstrip("="), requests.utils.quote(one, safe="")}
               for one in wanted}  # fmt: skip
    found = [f"{one[:3]}... ({len(one)} characters)" for one in wanted if any(form in text for form in spelled[one])]
    assert not found, f"{where} shows secrets: {found}"
