"""Sign-in and sessions."""

from __future__ import annotations

import time

import jwt
import pytest
import requests
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

JWT_GRANT = "urn:ietf:params:oauth:grant-type:jwt-bearer"


def ask(far, form, **more):
    return requests.post(f"{far.url}/services/oauth2/token", data=form, timeout=10, **more)


def client(far):
    return {"client_id": far.client_id, "client_secret": far.client_secret}


def assertion(far, *, key=None, **claims):
    basic = {
        "iss": far.client_id,
        "sub": far.username,
        "aud": "https://login.salesforce.com",
        "exp": f"{time.time() + 180:.0f}",
    }
    return jwt.encode(basic | claims, key or far.private_key, algorithm="RS256")


def test_client_credentials_in_the_body_and_in_the_header(salesforce):
    body = ask(salesforce, {"grant_type": "client_credentials", **client(salesforce)})
    basic = ask(salesforce, {"grant_type": "client_credentials"}, auth=(salesforce.client_id, salesforce.client_secret))
    for answer in (body, basic):
        token = answer.json()
        assert answer.status_code == 200
        assert token["instance_url"] == salesforce.url
        assert token["token_type"] == "Bearer"
        assert isinstance(token["issued_at"], str)
        assert "expires_in" not in token
        assert token["id"].split("/")[-2].startswith("00D")


@pytest.mark.parametrize(
    ("form", "error"),
    [
        ({"grant_type": "client_credentials", "client_id": "x", "client_secret": "y"}, "invalid_client_id"),
        ({"grant_type": "magic"}, "unsupported_grant_type"),
        ({"grant_type": JWT_GRANT, "assertion": "rubbish"}, "invalid_grant"),
    ],
)
def test_a_refused_sign_in_says_why(salesforce, form, error):
    answer = ask(salesforce, form)
    assert (answer.status_code, answer.json()["error"]) == (400, error)


def test_a_wrong_secret_is_refused(salesforce):
    form = {"grant_type": "client_credentials", "client_id": salesforce.client_id, "client_secret": "wrong"}
    assert ask(salesforce, form).json()["error"] == "invalid_client"


def test_generic_login_hosts_refuse_client_credentials(salesforce):
    form = {"grant_type": "client_credentials", **client(salesforce)}
    assert ask(salesforce, form, headers={"Host": "login.salesforce.com"}).status_code == 400


def test_a_signed_assertion_opens_a_session(salesforce, api):
    answer = ask(salesforce, {"grant_type": JWT_GRANT, "assertion": assertion(salesforce)})
    bearer = {"Authorization": f"Bearer {answer.json()['access_token']}"}
    assert requests.get(f"{salesforce.url}/services/data/v60.0/limits", headers=bearer, timeout=10).status_code == 200


@pytest.mark.parametrize(
    "claims",
    [{"aud": "https://elsewhere.example"}, {"exp": "1"}, {"sub": "stranger@x"}, {"exp": str(int(time.time()) + 9999)}],
)
def test_a_bad_assertion_is_refused(salesforce, claims):
    answer = ask(salesforce, {"grant_type": JWT_GRANT, "assertion": assertion(salesforce, **claims)})
    assert (answer.status_code, answer.json()["error"]) == (400, "invalid_grant")


def test_the_key_of_the_app_can_be_another_one(salesforce):
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    public = key.public_key().public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    form = {"grant_type": JWT_GRANT, "assertion": assertion(salesforce, key=key)}
    assert ask(salesforce, form).status_code == 400
    salesforce.options(jwt_public_key=public.decode())
    assert ask(salesforce, form).status_code == 200


def test_username_and_password_work_only_when_switched_on(salesforce):
    form = {
        "grant_type": "password",
        "username": salesforce.username,
        "password": salesforce.password + salesforce.security_token,
        **client(salesforce),
    }
    refused = ask(salesforce, form)
    assert refused.json() == {"error": "invalid_grant", "error_description": "authentication failure"}
    salesforce.options(password_flow=True)
    assert ask(salesforce, form).status_code == 200


def test_a_session_ends_after_two_idle_hours(salesforce, api):
    salesforce.clock(advance_s=7100)
    assert api.get("limits").status_code == 200
    salesforce.clock(advance_s=7100)
    assert api.get("limits").status_code == 200
    salesforce.clock(advance_s=7300)
    dead = api.get("limits")
    assert dead.status_code == 401
    assert dead.json() == [{"message": "Session expired or invalid", "errorCode": "INVALID_SESSION_ID"}]


def test_all_sessions_can_be_ended_at_once(salesforce, api):
    salesforce.fault(action="expire_tokens")
    assert api.get("sobjects").status_code == 401
    api.sign_in()
    assert api.get("sobjects").status_code == 200


def test_introspection_tells_when_a_token_dies(salesforce, api):
    url = f"{salesforce.url}/services/oauth2/introspect"
    basic = (salesforce.client_id, salesforce.client_secret)
    alive = requests.post(url, data={"token": api.token}, auth=basic, timeout=10).json()
    assert alive["active"] is True
    assert isinstance(alive["exp"], int)
    requests.post(f"{salesforce.url}/services/oauth2/revoke", data={"token": api.token}, timeout=10)
    assert requests.post(url, data={"token": api.token}, auth=basic, timeout=10).json() == {"active": False}
    assert api.get("limits").status_code == 401


def test_identity_names_org_and_user(salesforce, api):
    form = {"grant_type": "client_credentials", **client(salesforce)}
    token = ask(salesforce, form).json()
    identity = requests.get(token["id"], params={"oauth_token": token["access_token"]}, timeout=10).json()
    assert token["id"].endswith(f"{identity['organization_id']}/{identity['user_id']}")
    assert identity["username"] == salesforce.username


def test_the_daily_quota_ends_in_403_and_opens_again_after_a_day(salesforce, api):
    salesforce.options(daily_api_requests=3)
    assert [api.get("limits").status_code for _ in range(4)] == [200, 200, 200, 403]
    assert api.get("limits").json()[0]["errorCode"] == "REQUEST_LIMIT_EXCEEDED"
    salesforce.clock(advance_s=25 * 3600)
    api.sign_in()
    assert api.get("limits").status_code == 200


def test_the_quota_fault_refuses_matching_calls(salesforce, api):
    salesforce.fault(action="quota", match={"path": "/query"})
    refused = api.get("query", params={"q": "SELECT Id FROM Account"})
    assert (refused.status_code, refused.json()[0]["errorCode"]) == (403, "REQUEST_LIMIT_EXCEEDED")


def test_usage_is_in_every_header_and_in_limits(api):
    first = api.get("sobjects").headers["Sforce-Limit-Info"]
    second = api.get("sobjects").headers["Sforce-Limit-Info"]
    assert (first, second) == ("api-usage=1/100000", "api-usage=2/100000")
    assert api.get("limits").json()["DailyApiRequests"] == {"Max": 100000, "Remaining": 99997}
