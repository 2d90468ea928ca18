"""Media types: which one a request asks for and sends. Source: fact sheet 1.2.

The version is part of the media type, so in the strict mode ``*/*`` does not choose one.
"""

from __future__ import annotations

from simulators.opentext_iot.call import Call, Route
from simulators.opentext_iot.errors import ApiError


def essence(text: str) -> str:
    """A media type without its parameters, in small letters."""
    return text.partition(";")[0].strip().lower()


def parameters(header: str) -> dict[str, str]:
    """All parameters of all media ranges of an Accept header, in small letters."""
    found: dict[str, str] = {}
    for part in header.replace(",", ";").split(";"):
        name, _, value = part.strip().lower().partition("=")
        if "/" not in name:
            found[name] = value.strip('"') or "true"
    return found


def check(route: Route, call: Call) -> None:
    """ApiError 406 or 415 when the request speaks another version; nothing in the lenient mode."""
    strict = route.dialect == "classic" and call.platform.settings["media"] != "lenient"
    asked = call.header("Accept")
    if strict and route.accepts and not any(_wanted(part, route) for part in asked.split(",")):
        raise ApiError(406, f"Accept is {asked[:200]!r}; this call answers {', '.join(route.accepts)}")
    sent = call.header("Content-Type")
    if (strict or route.dialect == "problem") and call.raw and route.sends and not _known(sent, route):
        raise ApiError(415, f"Content-Type is {sent[:200]!r}; this call takes {', '.join(route.sends)}")


def chosen(route: Route, accept: str) -> str:
    """The media type of the answer."""
    for part in accept.split(","):
        for legal in route.accepts:
            if essence(part) == legal.lower():
                return legal
    return route.accepts[0] if route.accepts else "application/json"


def _wanted(part: str, route: Route) -> bool:
    return essence(part) in {legal.lower() for legal in route.accepts}


def _known(sent: str, route: Route) -> bool:
    return essence(sent) in {legal.lower() for legal in route.sends}
