"""Every route of every application of the plugin: behind Airflow's login, or behind credentials of its own."""

from __future__ import annotations

import re
from typing import Any

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts
RECEIVER = "/commerce-sync/receive"


def routes_of(app: Any, prefix: str) -> list[tuple[str, str]]:
    """(method, address) of every route, those of mounted applications included."""
    found: list[tuple[str, str]] = []
    for route in app.routes:
        below = getattr(route, "routes", None)
        if below:
            found += routes_of(route, prefix + route.path)
        address = prefix + re.sub(r"\{[^}]*\}", "x1", route.path)
        found += [(method, address) for method in sorted(getattr(route, "methods", None) or ["GET"])]
    return found


def applications() -> dict[str, Any]:
    """What the plugin registers, by address, as it is after the first request."""
    from commerce_sync import plugin
    from commerce_sync.monitor.app import build as pages
    from commerce_sync.receiver.app import build as receiver

    known = {plugin.pages: pages, plugin.receiver: receiver}
    return {one["url_prefix"]: known[one["app"]]() for one in plugin.CommerceSyncPlugin.fastapi_apps}


@pytest.fixture(scope="module")
def client():
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import initdb
    from fastapi.testclient import TestClient

    initdb()
    with TestClient(create_app(apps="core")) as found:
        yield found


@pytest.fixture(autouse=True)
def open_sources(tmp_path, monkeypatch):
    """All sources exist and have credentials, so that it is these that refuse."""
    from commerce_sync import plugin

    names = ("sap_commerce", "iconik", "opentext_iot", "x1")
    file = tmp_path / "receiver.yaml"
    file.write_text("sources:\n" + "".join(f"  {name}: {{}}\n" for name in names))
    monkeypatch.setenv("COMMERCE_SYNC_RECEIVER", str(file))
    for name in names:
        text = '{"conn_type": "http", "login": "x", "password": "y"}'
        monkeypatch.setenv(f"AIRFLOW_CONN_COMMERCE_SYNC_RECEIVER_{name.upper()}", text)
    plugin._receiver.cache_clear()
    yield
    plugin._receiver.cache_clear()


def test_every_route_refuses_those_who_have_not_proven_who_they_are(client):
    checked = [
        (method, address) for prefix, app in applications().items() for method, address in routes_of(app, prefix)
    ]
    assert len([one for one in checked if one[1].startswith(RECEIVER)]) == 7
    assert len(checked) > 8, "the pages are missing"
    for method, address in checked:
        answer = client.request(method, address, content=b"{}", headers={"Content-Type": "application/json"})
        assert answer.status_code == 401, f"{method} {address} answered {answer.status_code}"


def test_airflows_login_opens_no_source_and_a_sources_password_no_page(client):
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="admin", role="admin"))
    for _method, address in routes_of(applications()[RECEIVER], RECEIVER):
        answer = client.post(address, content=b"{}", headers={"Authorization": f"Bearer {token}"})
        assert answer.status_code in (401, 405), address
    for method, address in routes_of(applications()["/commerce-sync"], "/commerce-sync"):
        assert client.request(method, address, auth=("x", "y")).status_code == 401, address


def test_an_address_below_the_receiver_that_is_none_is_not_a_page(client):
    assert client.get(f"{RECEIVER}/runs").status_code == 404
    assert client.post(f"{RECEIVER}/sap_commerce").status_code == 404


def test_a_delivery_gets_through_airflows_own_application(client, tmp_path):
    from commerce_sync import places

    answer = client.post(f"{RECEIVER}/sap_commerce/sync/OutboundOrder", json={"integrationKey": "o1"}, auth=("x", "y"))
    assert answer.status_code == 201
    rows = [row for batch in places.open_ledger().events("sap_commerce") for row in batch.to_pylist()]
    assert "o1" in {row["subject"] for row in rows}
