"""Users, groups, tokens, settings: enough to know who one is. Source: fact sheet sections 1 and 13."""

from __future__ import annotations

from datetime import datetime, timedelta

from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import not_found
from simulators.iconik.paging import listed, page_of
from simulators.iconik.site import APP_ID, AUTH_TOKEN, EDITOR_TOKEN, EDITOR_USER, INTEGRATION_USER, SYSTEM_DOMAIN
from simulators.iconik.store import Store, stamp

USERS, AUTH = "/API/users/v1/", "/API/auth/v1/"
TOKEN_TERM_S = 86_400


def routes() -> list[Route]:
    token = AUTH + "auth/token/"
    return [
        Route("GET", USERS + "users/", list_users),
        Route("GET", USERS + "users/basic/", list_users),
        Route("GET", USERS + "users/current/", current),
        Route("GET", USERS + "users/{user_id}/", read_user),
        Route("GET", USERS + "groups/", list_groups),
        Route("GET", USERS + "groups/{group_id}/", read_group),
        Route("GET", token, read_token),
        Route("POST", token, renew),
        Route("PUT", token, renew),
        Route("DELETE", token, end),
        Route("POST", AUTH + "apps/{app_id}/token/", new_app_token),
        Route("GET", "/API/settings/v1/system/current/", settings),
        Route("GET", "/API/settings/v1/merged/current/", settings),
    ]


def seed_people(store: Store) -> None:
    """Two users with a token each: the integration's own, and an editor whose edits are somebody else's."""
    now = store.now()
    people = (
        (INTEGRATION_USER, "Commerce", "Integration", AUTH_TOKEN, True),
        (EDITOR_USER, "Erin", "Editor", EDITOR_TOKEN, False),
    )
    for key, first, last, token, admin in people:
        store.put("users", key, _user(now, key=key, first=first, last=last, admin=admin))
        row = new_token(now, key=key[:-4] + "70cc", token=token, user_id=key)
        store.put("tokens", row["id"], row | {"expires": None}, part=APP_ID)
    store.put("apps", APP_ID, {"id": APP_ID, "name": "Commerce Sync", "date_created": now, "date_modified": now})


def _user(now: str, *, key: str, first: str, last: str, admin: bool) -> Row:
    row: Row = {"id": key, "email": f"{first.lower()}@example.com", "first_name": first, "last_name": last}
    row |= {"type": "POWER", "status": "ACTIVE", "is_admin": admin, "groups": [], "primary_group": None}
    row |= {"system_domain_id": SYSTEM_DOMAIN, "date_created": now, "date_modified": now, "photo": None}
    return row | {"phone": None, "is_super_admin": False, "hide_email": False, "hide_phone": False}


def new_token(now: str, *, key: str, token: str, user_id: str) -> Row:
    row: Row = {"id": key, "token": token, "app_id": APP_ID, "user_id": user_id, "is_admin": True, "denies": []}
    return row | {"system_domain_id": SYSTEM_DOMAIN, "date_created": now, "date_modified": now, "expires": None}


def list_users(call: Call) -> Answer:
    return Answer(page_of(call, listed(call, call.site.store.find("users"))) | {"facets": {}})


def current(call: Call) -> Answer:
    return Answer(call.need("users", call.user_id))


def read_user(call: Call) -> Answer:
    return Answer(call.need("users", call.given["user_id"]))


def list_groups(call: Call) -> Answer:
    return Answer(page_of(call, listed(call, call.site.store.find("groups"))) | {"facets": {}})


def read_group(call: Call) -> Answer:
    return Answer(call.need("groups", call.given["group_id"]))


def _shown(row: Row) -> Row:
    return {name: value for name, value in row.items() if name != "denies"}


def read_token(call: Call) -> Answer:
    return Answer(_shown(call.need("tokens", call.token_id)))


def _issue(call: Call) -> Row:
    seconds = call.number("expires_in", TOKEN_TERM_S, least=1, most=10**8)
    expires = stamp(datetime.fromisoformat(call.now) + timedelta(seconds=seconds))
    key = call.site.store.new_id()
    row = new_token(call.now, key=key, token=f"{AUTH_TOKEN}.{key}", user_id=call.user_id) | {"expires": expires}
    call.site.store.put("tokens", key, row, part=APP_ID)
    return _shown(row)


def renew(call: Call) -> Answer:
    """POST: another token (201); PUT: this one, longer (200)."""
    if call.method == "POST":
        return created(_issue(call))
    row = call.need("tokens", call.token_id)
    if row["expires"] is not None:
        row["expires"] = stamp(datetime.fromisoformat(call.now) + timedelta(seconds=TOKEN_TERM_S))
    return Answer(_shown(call.site.store.put("tokens", row["id"], row)))


def end(call: Call) -> Answer:
    call.site.store.remove("tokens", call.token_id)
    return nothing()


def new_app_token(call: Call) -> Answer:
    if call.given["app_id"] != APP_ID:
        raise not_found()
    return created(_issue(call))


def settings(call: Call) -> Answer:
    return Answer({"id": SYSTEM_DOMAIN, "system_domain_id": SYSTEM_DOMAIN, "name": "Commerce Sync", "language": "en"})


def expire_tokens(store: Store) -> int:
    """The fault "expire_tokens": every token ends now; a reset brings the two of the start back."""
    rows = store.find("tokens")
    for row in rows:
        store.put("tokens", row["id"], row | {"expires": "0001-01-01T00:00:00.000000+00:00"})
    return len(rows)
