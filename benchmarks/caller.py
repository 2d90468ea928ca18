"""The plain HTTP caller of the case ``simulators``; it decodes nothing, so that no client is measured."""

from __future__ import annotations

import http.client
import json
from typing import Any
from urllib.parse import urlsplit

TIMEOUT_S = 120


class Caller:
    """One kept-alive connection."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self.http = http.client.HTTPConnection(str(parts.hostname), parts.port, timeout=TIMEOUT_S)
        self.headers: dict[str, str] = {}

    def call(self, method: str, path: str, body: Any = None, **headers: str) -> bytes:
        """The answer's bytes. Raises RuntimeError for anything but success."""
        sent = json.dumps(body).encode() if isinstance(body, dict) else body
        kind = {"Content-Type": "application/json"} if isinstance(body, dict) else {}
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self.http.request(method, path, body=sent, headers={**self.headers, **kind, **named})
        answer = self.http.getresponse()
        content = answer.read()
        if answer.status >= 300:
            raise RuntimeError(f"{method} {path} was answered {answer.status}: {content[:300]!r}")
        return content
