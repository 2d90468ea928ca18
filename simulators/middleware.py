"""What surrounds every handler: faults, latency, counting and compression."""

from __future__ import annotations

import asyncio
import gzip
from collections.abc import Awaitable, Callable
from typing import Any

from aiohttp import web
from aiohttp.typedefs import Middleware

from simulators.calls import Calls
from simulators.faults import Faults, Rule

Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]
SMALLEST_COMPRESSED_BYTES = 4096
INLINE_COMPRESSED_BYTES = 256 * 1024


def is_control(request: web.Request) -> bool:
    return request.path.startswith("/_sim/") or request.path == "/healthz"


def surround(*, faults: Faults, calls: Calls, latency_ms: float) -> Middleware:
    """The outermost middleware of a system's application; control calls pass untouched."""

    @web.middleware
    async def middleware(request: web.Request, handler: Handler) -> web.StreamResponse:
        if is_control(request):
            return await handler(request)
        period = calls.period
        if latency_ms:
            await asyncio.sleep(latency_ms / 1000)
        try:
            response = await _answer(request, handler=handler, faults=faults)
        except web.RequestPayloadError as error:  # a body that is not what Content-Encoding says
            response = web.Response(status=400, text=str(error))
            request.content.feed_eof()  # or the server would stumble over the rest of it once more
            response.force_close()
        except web.HTTPException as error:
            calls.note(request, status=error.status, period=period)
            raise
        except Exception as error:
            if not (isinstance(error, ConnectionResetError) and request.transport is None):
                calls.note(request, status=500, period=period)
                raise
            response = _dropped(request)  # the client went away before its body was here: nothing to do, nobody to tell
        calls.note(request, status=None if response.headers.get("X-Dropped") else response.status, period=period)
        return await _compressed(request, response)

    return middleware


async def _answer(request: web.Request, *, handler: Handler, faults: Faults) -> web.StreamResponse:
    rule = await faults.for_request(request) if faults.rules else None
    if rule is None:
        return await handler(request)
    if rule.action == "delay":
        restarts = faults.restarts
        await asyncio.sleep(rule.spec.get("delay_ms", 0) / 1000)
        return await handler(request) if restarts == faults.restarts else _dropped(request)
    if rule.action == "status":
        await asyncio.sleep(rule.spec.get("delay_ms", 0) / 1000)
        return _canned(rule)
    if rule.action == "drop_before":
        return _dropped(request)
    if rule.action == "drop_after":
        await handler(request)
        return _dropped(request)
    if rule.action == "truncate":
        return await _truncated(request, await handler(request), keep=int(rule.spec.get("bytes", 0)))
    return faults.on_request[rule.action](rule, request)


def _canned(rule: Rule) -> web.Response:
    body: Any = rule.spec.get("body")
    status = int(rule.spec.get("status", 503))
    headers = {str(name): str(value) for name, value in (rule.spec.get("headers") or {}).items()}
    if body is None or isinstance(body, str):
        return web.Response(status=status, headers=headers, text=body or "")
    return web.json_response(body, status=status, headers=headers)


def _dropped(request: web.Request) -> web.Response:
    if request.transport is not None:
        request.transport.abort()
    return web.Response(status=500, headers={"X-Dropped": "1"})


async def _truncated(request: web.Request, response: web.StreamResponse, *, keep: int) -> web.StreamResponse:
    """Promise the whole body, send the first bytes of it, hang up."""
    body = response.body if isinstance(response, web.Response) else b""
    raw = body if isinstance(body, bytes) else b""
    headers = {name: value for name, value in response.headers.items() if name.lower() != "content-length"}
    partial = web.StreamResponse(status=response.status, headers=headers | {"Content-Length": str(len(raw))})
    await partial.prepare(request)
    await partial.write(raw[: min(keep, max(len(raw) - 1, 0))])
    if request.transport is not None:
        request.transport.close()
    return partial


async def _compressed(request: web.Request, response: web.StreamResponse) -> web.StreamResponse:
    if not isinstance(response, web.Response) or "Content-Encoding" in response.headers:
        return response
    body = response.body
    if not isinstance(body, bytes) or len(body) < SMALLEST_COMPRESSED_BYTES:
        return response
    if "gzip" not in request.headers.get("Accept-Encoding", ""):
        return response
    # level 1: a stand-in on the same machine should spend its time on answers, not on ratios
    if len(body) < INLINE_COMPRESSED_BYTES:
        response.body = gzip.compress(body, compresslevel=1)
    else:
        response.body = await asyncio.to_thread(gzip.compress, body, 1)
    response.headers["Content-Encoding"] = "gzip"
    return response
