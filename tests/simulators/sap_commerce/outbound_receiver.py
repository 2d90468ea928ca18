"""The other end of outbound requests: keeps them, and answers as the test says."""

from __future__ import annotations

import json
import re
import threading
import time
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


@dataclass
class Received:
    method: str
    path: str
    headers: dict[str, str]
    body: bytes

    @property
    def json(self) -> Any:
        return json.loads(self.body)

    def header(self, name: str) -> str:
        return next((value for key, value in self.headers.items() if key.lower() == name.lower()), "")


@dataclass
class Receiver:
    """``statuses`` are used up one per request, then ``status`` is the answer."""

    status: int = 201
    statuses: list[int] = field(default_factory=list)
    answer: bytes = b""
    delay_s: float = 0.0
    received: list[Received] = field(default_factory=list)
    skip_content_ids: int = 0

    def __enter__(self) -> Receiver:
        outer = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def handle_one(self) -> None:
                length = int(self.headers.get("Content-Length") or 0)
                body = self.rfile.read(length)
                outer.reply(self, Received(self.command, self.path, dict(self.headers), body))

            do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = handle_one

            def log_message(self, *_: Any) -> None: ...

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self.server.server_address[1]}"
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def posts(self) -> list[Received]:
        return [one for one in self.received if one.method == "POST" and "/token" not in one.path]

    def reply(self, handler: BaseHTTPRequestHandler, request: Received) -> None:
        time.sleep(self.delay_s)
        headers, status, body = {"Content-Type": "application/json"}, self.status, self.answer
        if request.path.endswith("/token"):
            status, body = 200, b'{"access_token": "t-1", "token_type": "bearer", "expires_in": 100}'
        elif request.path.endswith("/csrf"):
            status, headers["X-CSRF-Token"] = 200, "csrf-1"
        elif "multipart" in request.header("Content-Type"):
            status = 202
            headers["Content-Type"], body = self.batch_answer(request)
        elif self.statuses:
            status = self.statuses.pop(0)
        self.received.append(request)
        handler.send_response(status)
        for name, value in headers.items():
            handler.send_header(name, value)
        handler.send_header("Content-Length", str(len(body)))
        handler.end_headers()
        handler.wfile.write(body)

    def batch_answer(self, request: Received) -> tuple[str, bytes]:
        identities = re.findall(rb"Content-ID: (\S+)", request.body)
        parts = []
        for number, identity in enumerate(identities):
            line = b"" if number < self.skip_content_ids else b"Content-ID: " + identity + b"\r\n"
            status = self.statuses.pop(0) if self.statuses else self.status
            parts.append(
                b"--b\r\nContent-Type: multipart/mixed; boundary=c\r\n\r\n--c\r\nContent-Type: application/http\r\n"
                + line
                + b"\r\nHTTP/1.1 %d X\r\nContent-Length: 0\r\n\r\n\r\n--c--\r\n" % status
            )
        return "multipart/mixed; boundary=b", b"".join(parts) + b"--b--\r\n"
