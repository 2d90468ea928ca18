"""Tokens, Basic, groups, channels: who gets in and with what."""

from __future__ import annotations

import pytest
import requests

UNITS = "UnitSync/B2BUnits"
MONITORING = "InboundIntegrationMonitoring/InboundRequests"


def token(side, **form):
    body = {"grant_type": "client_credentials", "client_id": "integration_client", "client_secret": "secret"} | form
    return requests.post(f"{side.url}/authorizationserver/oauth/token", data=body, timeout=30)


def plain(side, path, **options):
    return requests.get(f"{side.url}/odata2webservices/{path}", timeout=30, **options)


def test_the_same_token_is_given_until_it_expires(sap_commerce):
    first = token(sap_commerce).json()
    sap_commerce.clock(advance_s=43000)
    second = token(sap_commerce).json()
    assert second["access_token"] == first["access_token"]
    assert second["expires_in"] <= 200
    sap_commerce.clock(advance_s=300)
    assert token(sap_commerce).json()["access_token"] != first["access_token"]


def test_an_expired_token_is_refused_with_a_challenge(api, sap_commerce):
    sap_commerce.clock(advance_s=43201)
    answer = api.call("GET", UNITS)
    assert answer.status_code == 401
    assert 'error="invalid_token"' in answer.headers["WWW-Authenticate"]


def test_expire_tokens_makes_every_bearer_a_stranger(api, sap_commerce):
    sap_commerce.fault(action="expire_tokens")
    assert api.call("GET", UNITS).status_code == 401
    api.session.headers["Authorization"] = f"Bearer {api.new_token()}"
    assert api.call("GET", UNITS).status_code == 200


def test_client_credentials_may_come_as_basic_authentication(sap_commerce):
    url = f"{sap_commerce.url}/authorizationserver/oauth/token"
    body = {"grant_type": "client_credentials"}
    assert requests.post(url, data=body, auth=("integration_client", "secret"), timeout=30).status_code == 200


@pytest.mark.parametrize(
    ("form", "status", "error"),
    [
        ({"client_secret": "wrong"}, 401, "invalid_client"),
        ({"client_id": "nobody"}, 401, "invalid_client"),
        ({"grant_type": "password"}, 400, "unsupported_grant_type"),
        ({"grant_type": ""}, 400, "invalid_request"),
    ],
)
def test_wrong_credentials_get_no_token(sap_commerce, form, status, error):
    answer = token(sap_commerce, **form)
    assert (answer.status_code, answer.json()["error"]) == (status, error)


def test_each_service_accepts_only_the_scheme_of_its_channel(api, sap_commerce):
    basic = {"auth": ("integration", "nimda")}
    assert plain(sap_commerce, UNITS, **basic).status_code == 401
    assert plain(sap_commerce, MONITORING, **basic).status_code == 200
    assert api.call("GET", MONITORING).status_code == 401
    (channel,) = [
        c for c in sap_commerce.records("InboundChannelConfiguration") if c["integrationObject"] == "UnitSync"
    ]
    sap_commerce.patch("InboundChannelConfiguration", str(channel["pk"]), authenticationType="BASIC")
    assert plain(sap_commerce, UNITS, **basic).status_code == 200


def test_groups_decide_what_a_user_may_do(sap_commerce):
    viewer = {"Authorization": f"Bearer {token(sap_commerce, client_id='viewer_client').json()['access_token']}"}
    assert plain(sap_commerce, UNITS, headers=viewer).status_code == 200
    url = f"{sap_commerce.url}/odata2webservices/{UNITS}"
    answer = requests.post(url, json={"uid": "U1"}, headers=viewer, timeout=30)
    assert (answer.status_code, answer.json()["error"]["code"]) == (403, "forbidden")
    assert plain(sap_commerce, MONITORING, auth=("outsider", "nimda")).status_code == 403
    assert plain(sap_commerce, MONITORING, auth=("outsider", "wrong")).status_code == 401


def test_a_service_without_a_channel_is_not_exposed(api, sap_commerce):
    (channel,) = [
        c for c in sap_commerce.records("InboundChannelConfiguration") if c["integrationObject"] == "UnitSync"
    ]
    sap_commerce.delete("InboundChannelConfiguration", str(channel["pk"]))
    assert api.refused("GET", UNITS) == (404, "not_found")
