"""Token endpoints of both profiles. Source: fact sheet 1.1 (classic) and 11 (conventional, assumed)."""

from __future__ import annotations

from simulators.opentext_iot.call import Answer, Call, Route
from simulators.opentext_iot.errors import ApiError, invalid
from simulators.opentext_iot.profile import profile
from simulators.opentext_iot.tokens import Client, basic, client_of

GRANT = "client_credentials"
TOKEN_MEDIA = "application/vnd.com.covisint.platform.oauth.token.v1+json"
FORM = "application/x-www-form-urlencoded"
CHALLENGE = {"WWW-Authenticate": 'Basic realm="iot"'}


def routes() -> list[Route]:
    path = profile("covisint_classic")["auth"]["token_path"]
    root = path.rsplit("/", 1)[0]
    accepts, sends = ("application/json", TOKEN_MEDIA), (FORM,)
    generic = profile("generic_rest")["auth"]["token_path"]
    return [
        Route("POST", path, issue, accepts=accepts, sends=sends, open=True),
        Route("GET", path, issue_by_header, accepts=(*accepts[::-1],), open=True),
        Route("POST", f"{root}/introspect", introspect, accepts=accepts, sends=sends, open=True),
        Route("POST", f"{root}/revoke", revoke, accepts=accepts, sends=sends, open=True),
        Route("POST", generic, issue_generic, sends=sends, open=True, dialect="problem"),
    ]


def issue(call: Call) -> Answer:
    """Client credentials by Basic only; the lifetime is a string of seconds."""
    client, form = _client(call), call.form()
    if form.get("grant_type") != GRANT:
        raise invalid(f"grant_type {form.get('grant_type')!r} is not supported; legal: {GRANT}")
    return _token(call, client, scope=form.get("scope") or "all")


def issue_by_header(call: Call) -> Answer:
    client = _client(call)
    if call.header("type") != GRANT:
        raise invalid(f"The header type must be {GRANT}")
    return _token(call, client, scope=call.header("scope") or "all")


def _client(call: Call) -> Client:
    pair = basic(call.header("Authorization"))
    client = client_of(*pair) if pair else None
    if client is None:
        raise ApiError(401, "The client credentials are missing or wrong", headers=CHALLENGE)
    return client


def _token(call: Call, client: Client, *, scope: str) -> Answer:
    token = call.platform.tokens.issue(client, scope=scope)
    lifetime = f"{float(call.platform.settings['token_ttl_s']):.0f}"
    return Answer(
        body={"access_token": token, "expires_in": lifetime, "scope": scope, "token_type": "BearerToken"},
        headers={"Cache-Control": "no-store"},
    )


def introspect(call: Call) -> Answer:
    _client(call)
    grant = call.platform.tokens.grant(call.form().get("token", ""))
    if grant is None:
        return Answer(body={"active": False})
    return Answer(
        body={
            "active": True,
            "client_id": grant.client.client_id,
            "scope": grant.scope,
            "exp": int(grant.expires_s),
            "token_type": "BearerToken",
        }
    )


def revoke(call: Call) -> Answer:
    _client(call)
    call.platform.tokens.revoke(call.form().get("token", ""))
    return Answer(body={})


def issue_generic(call: Call) -> Answer:
    """The conventional form: credentials by Basic or in the body, the lifetime a number."""
    form = call.form()
    pair = basic(call.header("Authorization")) or (form.get("client_id", ""), form.get("client_secret", ""))
    client = client_of(*pair)
    if client is None:
        raise ApiError(401, "The client credentials are missing or wrong", headers=CHALLENGE)
    if client.realm.lower() != call.given["tenant"].lower():
        raise ApiError(403, f"The client does not belong to the tenant {call.given['tenant']}")
    if form.get("grant_type") != GRANT:
        raise invalid(f"grant_type {form.get('grant_type')!r} is not supported; legal: {GRANT}")
    token = call.platform.tokens.issue(client, scope=form.get("scope") or "all")
    lifetime = int(float(call.platform.settings["token_ttl_s"]))
    return Answer(
        body={"access_token": token, "expires_in": lifetime, "token_type": "Bearer"},
        headers={"Cache-Control": "no-store"},
    )
