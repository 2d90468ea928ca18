"""One function for every HTTP call of the demo: JSON in, JSON out, exact numbers, never through a proxy."""

from __future__ import annotations

import json
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Iterator, Mapping
from decimal import Decimal
from typing import Any

from demo.errors import DemoError

TIMEOUT_S = 30.0
_OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


class HttpError(DemoError):
    """An answer other than 2xx; ``status`` is 0 when there was no answer at all."""

    def __init__(self, message: str, *, status: int) -> None:
        super().__init__(message)
        self.status = status


def call(
    method: str,
    url: str,
    *,
    json_body: Any = None,
    form: Mapping[str, str] | None = None,
    token: str | None = None,
    timeout_s: float = TIMEOUT_S,
) -> Any:
    """Send one request and decode the answer; fractions become Decimal. Raises HttpError."""
    with _open(_request(method, url, json_body=json_body, form=form, token=token), timeout_s=timeout_s) as answer:
        body = answer.read()
    return json.loads(body, parse_float=Decimal) if body else None


def lines(url: str, *, timeout_s: float = 300.0) -> Iterator[Any]:
    """Yield the records of a newline-delimited JSON answer one by one."""
    with _open(_request("GET", url), timeout_s=timeout_s) as answer:
        for line in answer:
            if line.strip():
                yield json.loads(line, parse_float=Decimal)


def content(url: str, *, timeout_s: float = TIMEOUT_S) -> bytes:
    """The bytes at an address."""
    with _open(urllib.request.Request(url), timeout_s=timeout_s) as answer:
        return bytes(answer.read())


def with_query(url: str, **values: Any) -> str:
    """``url`` with query parameters, encoded."""
    return f"{url}?{urllib.parse.urlencode(values)}"


def _request(
    method: str,
    url: str,
    *,
    json_body: Any = None,
    form: Mapping[str, str] | None = None,
    token: str | None = None,
) -> urllib.request.Request:
    headers = {"Accept": "application/json"}
    data = None
    if json_body is not None:
        data, headers["Content-Type"] = json.dumps(json_body).encode(), "application/json"
    if form is not None:
        data = urllib.parse.urlencode(form).encode()
        headers["Content-Type"] = "application/x-www-form-urlencoded"
    if token:
        headers["Authorization"] = f"Bearer {token}"
    return urllib.request.Request(url, data=data, headers=headers, method=method)


def _open(request: urllib.request.Request, *, timeout_s: float) -> Any:
    what = f"{request.get_method()} {request.full_url.split('?')[0]}"
    try:
        return _OPENER.open(request, timeout=timeout_s)
    except urllib.error.HTTPError as error:
        with error:
            text = error.read(2000).decode(errors="replace")
        raise HttpError(f"{what} answered {error.code}: {text[:500]}", status=error.code) from error
    except OSError as error:  # refused, reset, timed out
        raise HttpError(f"{what} got no answer: {error}", status=0) from error
