"""The pages: nobody sees one without Airflow's login, and a gate's page is shown as it was written."""

import pytest

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # Airflow's own while it starts


@pytest.fixture(scope="module")
def client():
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import initdb
    from fastapi.testclient import TestClient

    initdb()
    with TestClient(create_app(apps="core")) as found:
        yield found


@pytest.fixture
def login(client):
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    token = get_auth_manager().generate_jwt(SimpleAuthManagerUser(username="viewer", role="viewer"))
    return {"Authorization": f"Bearer {token}"}


def test_every_route_refuses_those_who_are_not_logged_in(client):
    from commerce_sync.monitor.app import build

    for route in build().routes:
        path = "/commerce-sync" + route.path.format(leg="customers", run="manual__1", name="monitor.css")
        for method in route.methods:
            assert client.request(method, path).status_code == 401, (method, path)


def test_a_gate_page_is_shown_to_a_viewer(client, login):
    from commerce_sync import places

    page = places.pages() / "customers" / "manual__2026-11-21T04_00_00_00_00" / "gate.html"
    page.parent.mkdir(parents=True)
    page.write_text("<h1>Gate</h1>")
    found = client.get("/commerce-sync/gates/customers/manual__2026-11-21T04:00:00+00:00", headers=login)
    assert (found.status_code, found.text) == (200, "<h1>Gate</h1>")


def test_a_run_without_a_gate_says_so(client, login):
    found = client.get("/commerce-sync/gates/customers/never", headers=login)
    assert found.status_code == 404
    assert "only runs when there is something to send" in found.text
