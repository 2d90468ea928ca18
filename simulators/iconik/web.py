"""HTTP around the handlers: routes, the trailing slash, tokens, the rate limit, error bodies, events."""

from __future__ import annotations

import logging
import re
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
from aiohttp import web

from simulators.faults import Rule
from simulators.iconik.call import Answer, Call, Route
from simulators.iconik.errors import ApiError, bad_request, forbidden, not_found, refused, unauthorized
from simulators.iconik.site import Site

log = logging.getLogger(__name__)
HttpHandler = Callable[[web.Request], Awaitable[web.StreamResponse]]
_PLACE = re.compile(r"\{(\w+)(?::([^}]+))?\}")
RATE_SENTENCE = "Too many requests"


def add_routes(app: web.Application, site: Site) -> None:
    """Register every route with its slash, and without it for the switch ``missing_slash``."""
    for route in site.routes:
        app.router.add_route(route.method, route.template, _http(route, site))
        app.router.add_route(route.method, route.template.rstrip("/"), _slashless(route, site))
    missing = _http(Route("*", "/API/", _missing), site)
    app.router.add_route("*", "/API/{rest:.*}", missing)


def _missing(call: Call) -> Answer:
    known = {route.method for route in call.site.routes if _matches(route.template, call.path)}
    raise refused(405, "Method not allowed") if known else not_found()


def _matches(template: str, path: str) -> bool:
    pattern, end = "", 0
    for place in _PLACE.finditer(template):
        pattern += re.escape(template[end : place.start()]) + f"(?:{place.group(2) or '[^/]+'})"
        end = place.end()
    return re.fullmatch(pattern + re.escape(template[end:]).rstrip("/") + "/?", path) is not None


def _slashless(route: Route, site: Site) -> HttpHandler:
    serve = _http(route, site)
    missing = _http(Route(route.method, route.template, lambda _call: _gone()), site)

    async def handler(request: web.Request) -> web.StreamResponse:
        how = site.settings["missing_slash"]
        if how == "serve":
            return await serve(request)
        if how == "404":
            return await missing(request)
        query = f"?{request.rel_url.raw_query_string}" if request.rel_url.raw_query_string else ""
        return web.Response(status=308, headers={"Location": f"{request.rel_url.raw_path}/{query}"})

    return handler


def _gone() -> Answer:
    raise not_found()


def _http(route: Route, site: Site) -> HttpHandler:
    async def handler(request: web.Request) -> web.StreamResponse:
        headers = dict(request.headers)
        raw = await request.read()
        try:
            call = _call(site, request, raw=raw, headers=headers)
            answer = answered(route, call)
        except ApiError as error:
            answer = Answer(error.body, error.status, error.headers)
        return response_of(answer)

    return handler


def _call(site: Site, request: web.Request, *, raw: bytes, headers: dict[str, str]) -> Call:
    given, query = dict(request.match_info), dict(request.query)
    try:
        "".join([*given.values(), *query, *query.values(), request.path]).encode()
    except UnicodeEncodeError:
        raise bad_request("Bad request: the address is not UTF-8") from None
    return Call(
        site=site,
        method=request.method,
        path=request.path,
        given={name: value.lower() if name.endswith("_id") else value for name, value in given.items()},
        query=query,
        headers=headers,
        base_url=f"{request.scheme}://{request.host}",
        content=raw,
    )


def answered(route: Route, call: Call) -> Answer:
    """Admit and run one call; its writes, snapshots and events stand or fall together."""
    site = call.site
    headers: dict[str, str] = {}
    try:
        site.jobs.settle()
        with site.store.transaction():
            if not route.open:
                headers |= _admit(call)
            call.content = _content(call.content)
            answer = route.handler(call)
            site.index.flush()
    except ApiError as error:
        site.index.forget()
        return Answer(error.body, error.status, headers | error.headers)
    except Exception:
        # a gap of the simulator, or a body no client sends; the far side would say as little
        log.exception("%s %s", call.method, call.path)
        site.index.forget()
        return Answer({"errors": ["Internal server error"]}, 500, headers)
    site.hooks.send(call.events)
    answer.headers = headers | answer.headers
    return answer


def _content(raw: bytes) -> Any:
    if not raw.strip():
        return None
    try:
        content = msgspec.json.decode(raw)
        msgspec.json.encode(content)  # numbers that cannot be written back are refused here
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError, OverflowError):
        raise bad_request("Bad request: Invalid JSON") from None
    return content


def _admit(call: Call) -> dict[str, str]:
    """Check both headers, the token's term, its rate and its rights; gives the rate's header."""
    lowered = {name.lower(): value for name, value in call.headers.items()}
    app_id, token = lowered.get("app-id", ""), lowered.get("auth-token", "")
    found = [row for row in call.site.store.find("tokens", part=app_id.lower()) if row["token"] == token]
    if not found or not token or (found[0].get("expires") or LATE) <= call.now:
        raise unauthorized()
    call.token_id, call.user_id = found[0]["id"], found[0]["user_id"]
    headers = _rate(call)
    for rule in found[0].get("denies") or []:  # "PUT /API/metadata/": a right this token does not have
        method, _, start = str(rule).partition(" ")
        if call.method == method and call.path.startswith(start):
            raise forbidden()
    return headers


LATE = "9999"


def _rate(call: Call) -> dict[str, str]:
    settings = call.site.settings
    limit, window = int(settings["rate_limit"]), float(settings["rate_window_s"])
    if limit <= 0:
        return {}
    now = call.site.clock.timestamp()
    recent = [moment for moment in call.site.rates.get(call.token_id, []) if moment > now - window]
    if len(recent) >= limit:
        headers = {"RateLimit-Remaining": "0"}
        if settings["retry_after"]:
            headers["Retry-After"] = str(max(1, round(recent[0] + window - now)))
        raise refused(429, RATE_SENTENCE, headers=headers)
    call.site.rates[call.token_id] = [*recent, now]
    return {"RateLimit-Remaining": str(limit - len(recent) - 1)}


def response_of(answer: Answer) -> web.Response:
    if answer.text is not None:
        body, kind = answer.text.encode(), answer.content_type
    elif answer.body is None:
        return web.Response(status=answer.status, headers=answer.headers)
    else:
        body, kind = msgspec.json.encode(answer.body), "application/json"
    return web.Response(status=answer.status, body=body, headers=answer.headers | {"Content-Type": kind})


def storm_answer(rule: Rule, _request: web.Request) -> web.StreamResponse:
    """The fault action "rate_limit": 429, with Retry-After when the rule has ``retry_after``."""
    headers = {"RateLimit-Remaining": "0"}
    if rule.spec.get("retry_after") is not None:
        headers["Retry-After"] = str(rule.spec["retry_after"])
    return response_of(Answer({"errors": [RATE_SENTENCE]}, 429, headers))
