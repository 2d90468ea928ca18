"""One OCC call: who asks, about which site and user, with which parameters and body.

Source: fact sheet section 4. Roles come from the OAuth client's authorities and the user's groups.
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from typing import Any

from aiohttp import web

from simulators.sap_commerce.oauth import Tokens, groups_of
from simulators.sap_commerce.occ.failures import OccError, forbidden, invalid, unauthorized, unknown
from simulators.sap_commerce.store import Store

ALL_USERS = {"ROLE_TRUSTED_CLIENT", "ROLE_CUSTOMERMANAGERGROUP"}


@dataclass(slots=True)
class OccCall:
    """``user`` is the pk of the person behind the token, None for a client of its own."""

    store: Store
    site: str
    path: dict[str, str]
    query: dict[str, str]
    body: Any
    roles: set[str] = field(default_factory=set)
    user: int | None = None

    @property
    def serves_all(self) -> bool:
        return bool(self.roles & ALL_USERS)

    def require_all(self) -> None:
        """Only for trusted clients and customer managers."""
        if not self.roles:
            raise unauthorized()
        if not self.serves_all:
            raise forbidden()

    def subject(self) -> int:
        """The pk of the user a path names: ``current``, uid or customerID; raises when it may not be asked for."""
        name = self.path["user"]
        if not self.roles:
            raise unauthorized()
        if name == "current":
            if self.user is None:
                raise forbidden()
            return self.user
        found = find_user(self.store, name)
        if found is not None and found == self.user:
            return found
        if not self.serves_all:
            raise forbidden()
        if found is None:
            raise unknown("user", name)
        return found

    def text(self, name: str) -> str:
        """A required text of the body."""
        value = self.body.get(name) if isinstance(self.body, dict) else None
        if not isinstance(value, str) or not value:
            raise invalid("This field is required.", subject=name, reason="missing")
        return value

    def whole(self, name: str, default: int) -> int:
        """A whole number of the query; negative ones and texts are refused."""
        text = self.query.get(name)
        if text is None:
            return default
        if not (text.isascii() and text.isdigit()):
            raise invalid(f"{text!r} is not a whole number.", subject=name)
        return int(text)


def find_user(store: Store, name: str) -> int | None:
    """A user by uid or customerID."""
    codes = store.types.subtypes("User")
    for column in ("uid", "customerID"):
        if found := store.find(codes, {column: name}):
            return found[0]
    return None


async def read_call(request: web.Request, *, store: Store, tokens: Tokens) -> OccCall:
    """The call behind a request; raises OccError for a bad token, site or body."""
    path = dict(request.match_info)
    site = path.pop("site", "")
    call = OccCall(store, site, path, dict(request.query), await _body(request))
    call.roles, call.user = _caller(request.headers.get("Authorization", ""), store=store, tokens=tokens)
    if site and not store.find(["BaseSite"], {"uid": site}):
        message = f"Base site {site} doesn't exist"
        raise OccError(400, "InvalidResourceError", message, reason="invalid", subject=site, subjectType="baseSite")
    return call


async def _body(request: web.Request) -> Any:
    raw = await request.read()
    if not raw.strip():
        return {}
    if request.content_type == "application/x-www-form-urlencoded":
        return {name: str(value) for name, value in (await request.post()).items()}
    try:
        return json.loads(raw)
    except (ValueError, RecursionError) as error:
        raise OccError(400, "HttpMessageNotReadableError", "The request body is not readable.") from error


def _caller(header: str, *, store: Store, tokens: Tokens) -> tuple[set[str], int | None]:
    kind, _, token = header.partition(" ")
    if kind.lower() != "bearer":
        return set(), None
    client, uid = tokens.holder_of(token.strip())
    if client is None:
        raise OccError(401, "InvalidTokenError", f"Invalid access token: {token.strip()}")
    (details,) = store.find(store.types.subtypes("OAuthClientDetails"), {"clientId": client}) or (None,)
    roles = {role.strip() for role in (store.value(details, "authorities") or "").split(",") if role.strip()}
    if uid is None:
        return roles, None
    user = find_user(store, uid)
    if user is None:
        raise OccError(401, "InvalidTokenError", f"Invalid access token: {token.strip()}")
    groups = {f"ROLE_{group.upper()}" for group in groups_of(user, store=store)}
    if store.types.is_a(store.itemtype(user), ancestor="Customer"):
        groups.add("ROLE_CUSTOMERGROUP")
    return groups | {"ROLE_CLIENT"}, user


def page_of(call: OccCall, rows: list[Any], *, name: str, default: int = 20) -> dict[str, Any]:
    """One page of rows under a name, with the pagination object."""
    size, current = call.whole("pageSize", default), call.whole("currentPage", 0)
    size = size or default
    pages = -(-len(rows) // size)
    pagination = {
        "currentPage": current,
        "pageSize": size,
        "sort": call.query.get("sort", "byDate"),
        "totalPages": pages,
        "totalResults": len(rows),
    }
    return {name: rows[current * size : (current + 1) * size], "pagination": pagination}
