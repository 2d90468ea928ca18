"""HTTP around the handlers: routes, tokens, realm, media types, rate limit, error bodies, JSON."""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable

import msgspec
from aiohttp import web

from simulators.middleware import is_control
from simulators.opentext_iot import media
from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.errors import ApiError
from simulators.opentext_iot.platform import Platform

GENERIC_PATHS = ("/api/", "/tenants/")
PROBLEM = "application/problem+json"
UNSAFE = ("POST", "PUT", "PATCH", "DELETE")
log = logging.getLogger(__name__)
Handler = Callable[[web.Request], Awaitable[web.StreamResponse]]


def add_routes(app: web.Application, platform: Platform, routes: list[Route]) -> None:
    """Register every route, and the answer for every other path."""
    for route in routes:
        app.router.add_route(route.method, route.template, _http(route, platform))
    app.middlewares.append(_unrouted)


def _http(route: Route, platform: Platform) -> Handler:
    async def handler(request: web.Request) -> web.StreamResponse:
        if route.reads_events:
            await platform.fleet.catch_up()
        call = Call(
            platform=platform,
            method=request.method,
            path=request.path,
            given=dict(request.match_info),
            query=request.query,
            headers=request.headers,
            raw=await request.read(),
        )
        return response_of(answered(route, call), route, accept=call.header("Accept"))

    return handler


def answered(route: Route, call: Call) -> Answer:
    """Run one handler; refusals become answers in the words of the profile."""
    try:
        _admit(route, call)
        return route.handler(call)
    except ApiError as error:
        return refusal(error, dialect=route.dialect)
    except Exception:
        log.exception("%s %s", call.method, call.path)  # a gap of the simulator
        return refusal(ApiError(500, "An unexpected error occurred"), dialect=route.dialect)


def _admit(route: Route, call: Call) -> None:
    platform = call.platform
    if not platform.admits_another_call():
        headers = {"Retry-After": "1"} if platform.settings["rate_limit_retry_after"] else {}
        raise ApiError(429, "Too many calls in this second", headers=headers)
    if not route.open:
        _authorize(route, call)
    if "\x00" in "".join((*call.given.values(), *call.query.keys(), *call.query.values())):
        raise ApiError(400, "The address holds a zero character")
    media.check(route, call)


def _authorize(route: Route, call: Call) -> None:
    scheme, _, token = call.header("Authorization").partition(" ")
    call.grant = call.platform.tokens.grant(token.strip()) if scheme.lower() == "bearer" else None
    if call.grant is None:
        raise ApiError(401, "The access token is missing, unknown or expired", headers={"WWW-Authenticate": "Bearer"})
    realm = call.header("x-realm")
    if realm and realm != call.grant.client.realm and call.platform.settings["check_realm"]:
        raise ApiError(403, f"The token does not belong to the realm {realm[:80]}")
    if call.method in UNSAFE and not call.grant.client.may_write:
        raise ApiError(403, "This application may only read")


def response_of(answer: Answer, route: Route, *, accept: str) -> web.Response:
    """The HTTP response; bodies that are no text become JSON."""
    if answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    kind = answer.content_type or media.chosen(route, accept)
    body = answer.body if isinstance(answer.body, str) else msgspec.json.encode(answer.body)
    raw = body.encode() if isinstance(body, str) else body
    return web.Response(status=answer.status, body=raw, headers=answer.headers | {"Content-Type": kind})


def refusal(error: ApiError, *, dialect: str) -> Answer:
    if dialect == "problem":
        return Answer(error.status, error.problem(), headers=error.headers, content_type=PROBLEM)
    return Answer(error.status, error.classic(), headers=error.headers, content_type="application/json")


@web.middleware
async def _unrouted(request: web.Request, handler: Handler) -> web.StreamResponse:
    """Unknown paths and methods in the words of the profile the path belongs to."""
    try:
        return await handler(request)
    except web.HTTPException as error:
        if is_control(request) or error.status not in (400, 404, 405):
            raise
        dialect = "problem" if request.path.startswith(GENERIC_PATHS) else "classic"
        headers = {"Allow": error.headers["Allow"]} if "Allow" in error.headers else {}
        message = f"{request.method} {request.path[:200]} is not a call of this API"
        refused = ApiError(error.status, message, headers=headers)
        route = Route(request.method, request.path, _never, dialect=dialect)
        return response_of(refusal(refused, dialect=dialect), route, accept="")


def _never(_call: Call) -> Answer:
    raise AssertionError("no handler")


def quota_answer(request: web.Request, *, retry_after_s: float | None) -> web.Response:
    """The fault action "quota": one 429 in the words of the profile."""
    headers = {} if retry_after_s is None else {"Retry-After": f"{retry_after_s:g}"}
    dialect = "problem" if request.path.startswith(GENERIC_PATHS) else "classic"
    answer = refusal(ApiError(429, "Too many calls", headers=headers), dialect=dialect)
    return response_of(answer, Route(request.method, request.path, _never), accept="")
