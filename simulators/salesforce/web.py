"""HTTP around the handlers: routes, sessions, quota, error bodies, JSON."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from simulators.faults import Rule
from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError, not_found
from simulators.salesforce.limits import usage_header
from simulators.salesforce.org import Org

OLDEST, NEWEST = 31, 68
URI_LIMIT_BYTES = 16_384
EXPIRED = ApiError(401, "INVALID_SESSION_ID", "Session expired or invalid")
QUOTA = ApiError(403, "REQUEST_LIMIT_EXCEEDED", "TotalRequests Limit exceeded.")
UNEXPECTED = ApiError(500, "UNKNOWN_EXCEPTION", "An unexpected error occurred. Please include this ErrorId")
log = logging.getLogger(__name__)
HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application, org: Org) -> None:
    """Register every route, with and without a trailing slash; anything else answers 404 as a list."""
    for route in org.routes:
        handler = _http(route, org)
        for path in dict.fromkeys((route.template, route.template.rstrip("/") + "/")):
            app.router.add_route(route.method, _limited_version(path), handler)
    missing = _http(Route("*", "/services/{rest}", _missing), org)
    app.router.add_route("*", "/services/{rest:.*}", missing)


def _limited_version(path: str) -> str:
    return path.replace("{version}", r"{version:\d+\.\d}")


async def _missing(call: Call) -> Answer:
    known = {route.method for route in call.org.routes if matches(route.template, call.path) is not None}
    if known:
        message = f"HTTP Method '{call.method}' not allowed. Allowed are {','.join(sorted(known))}"
        raise ApiError(405, "METHOD_NOT_ALLOWED", message)
    raise not_found()


def _http(route: Route, org: Org) -> HttpHandler:
    async def handler(request: web.Request) -> web.StreamResponse:
        call = Call(
            org=org,
            method=request.method,
            path=request.path,
            given=dict(request.match_info),
            query=request.query,
            headers=request.headers,
            raw=await request.read(),
            scheme=request.scheme,
            host=request.host,
        )
        answer = await answered(route, call, outer=True)
        if route.dialect == "rest" and route.template != "/services/data":
            answer.headers["Sforce-Limit-Info"] = usage_header(call)
        return response_of(answer, pretty=call.header("X-PrettyPrint") == "1")

    return handler


async def answered(route: Route, call: Call, *, outer: bool) -> Answer:
    """Run one handler; refusals become answers in the words of its dialect."""
    try:
        if outer:
            _admit(route, call)
        return await route.handler(call)
    except ApiError as error:
        return DIALECTS[route.dialect](error, call)
    except Exception:
        # a gap of the simulator, or a body no client sends; the far side would say as little
        log.exception("%s %s", call.method, call.path)
        return DIALECTS[route.dialect](UNEXPECTED, call)


def _admit(route: Route, call: Call) -> None:
    if len(str(call.path)) + sum(map(len, call.query.values())) > URI_LIMIT_BYTES:
        raise ApiError(414, "URI_TOO_LONG", "The URI is longer than 16,384 bytes")
    version = call.given.get("version")
    if version is not None and not OLDEST <= float(version) <= NEWEST:
        raise not_found()
    if route.open:
        return
    call.org.usage.add_call()
    scheme, _, token = call.header("Authorization").partition(" ")
    bearer = token.strip() if scheme.lower() in ("bearer", "oauth") else ""
    if not call.org.sessions.touch(call.header("X-SFDC-Session") if route.dialect == "bulk1" else bearer):
        raise EXPIRED
    if call.org.usage.calls > int(call.org.settings["daily_api_requests"]):
        raise QUOTA


def response_of(answer: Answer, *, pretty: bool) -> web.Response:
    """The HTTP response; JSON is indented when the client asks for it."""
    body = answer.body
    if body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    if not isinstance(body, (bytes, str)):
        body = msgspec.json.encode(body)
        body = msgspec.json.format(body, indent=2) if pretty else body
    raw = body.encode() if isinstance(body, str) else body
    return web.Response(status=answer.status, body=raw, headers=answer.headers | {"Content-Type": answer.content_type})


def matches(template: str, path: str) -> dict[str, str] | None:
    """The parts of ``path``, or None when the template is another one."""
    pattern = re.sub(r"\\{(\w+)\\}", r"(?P<\1>[^/]+)", re.escape(template.rstrip("/")))
    pattern = pattern.replace("(?P<version>[^/]+)", r"(?P<version>\d+\.\d)")
    found = re.fullmatch(pattern, path.rstrip("/"))
    return found.groupdict() if found else None


def quota_answer(_rule: Rule, _request: web.Request) -> web.StreamResponse:
    """The fault action "quota": the day's calls are used up."""
    return response_of(Answer(QUOTA.status, QUOTA.body()), pretty=False)


def _rest_error(error: ApiError, _call: Call) -> Answer:
    return Answer(error.status, error.body())


def _bulk1_error(error: ApiError, call: Call) -> Answer:
    code, message, status = error.code, error.message, error.status
    if code == "INVALID_SESSION_ID":
        code, message, status = "InvalidSessionId", "Unable to find session id", 400
    if "json" in call.header("Content-Type"):
        body: Any = {"exceptionCode": code, "exceptionMessage": message}
        return Answer(status, body, content_type="application/json")
    text = (
        '<?xml version="1.0" encoding="UTF-8"?><error\n   xmlns="http://www.force.com/2009/06/asyncapi/dataload">\n'
        f" <exceptionCode>{code}</exceptionCode>\n <exceptionMessage>{message}</exceptionMessage>\n</error>"
    )
    return Answer(status, text, content_type="application/xml")


def _oauth_error(error: ApiError, _call: Call) -> Answer:
    return Answer(error.status, {"error": error.code, "error_description": error.message})


DIALECTS: dict[str, Callable[[ApiError, Call], Answer]] = {
    "rest": _rest_error,
    "bulk1": _bulk1_error,
    "oauth": _oauth_error,
}
