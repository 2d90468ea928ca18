"""What Airflow is started with: loopback only, files in the demo's folder, nothing of the caller's own Airflow."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from demo import settings
from demo.folder import Folder
from demo.ports import Ports

SYSTEM = {"url": "http://127.0.0.1:8080", "client_id": "c", "client_secret": "s", "username": "u", "password": "p"}
SYSTEMS = {"sap_commerce": SYSTEM, "salesforce": SYSTEM}


@pytest.fixture
def env(tmp_path, monkeypatch):
    monkeypatch.setenv("AIRFLOW__CORE__DAGS_FOLDER", "/home/somebody/dags")
    monkeypatch.setenv("AIRFLOW_CONN_PRODUCTION", "http://production")
    monkeypatch.setenv("HTTP_PROXY", "http://proxy:3128")
    folder = Folder(tmp_path / "d").take()
    yield settings.airflow(folder, ports=Ports(8080, 8088), password="secret", systems=SYSTEMS)
    os.close(folder.lock_fd)


def test_nothing_of_the_callers_own_airflow_gets_in(env):
    assert "AIRFLOW_CONN_PRODUCTION" not in env
    assert env["AIRFLOW__CORE__DAGS_FOLDER"] == str(settings.PROJECT / "dags")


def test_everything_written_stays_in_the_demos_folder(env, tmp_path):
    names = ["AIRFLOW_HOME", "COMMERCE_SYNC_HOME", "HOME", "TMPDIR"]
    assert all(Path(env[name]).is_relative_to(tmp_path / "d") for name in names)


def test_airflow_listens_on_loopback_and_is_not_reached_through_a_proxy(env):
    assert env["AIRFLOW__API__HOST"] == "127.0.0.1"
    assert env["AIRFLOW__CORE__EXECUTION_API_SERVER_URL"] == "http://127.0.0.1:8088/execution/"
    assert "127.0.0.1" in env["NO_PROXY"]


def test_only_the_demo_starts_runs(env):
    assert env["AIRFLOW__SCHEDULER__USE_JOB_SCHEDULE"] == "False"


def test_the_password_file_is_for_its_owner_only(env):
    path = Path(env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text()) == {"admin": "secret"}


def test_connections_name_the_simulators(env):
    crm = json.loads(env["AIRFLOW_CONN_SALESFORCE_DEFAULT"])
    assert (crm["conn_type"], crm["host"]) == ("commerce_sync_salesforce", "http://127.0.0.1:8080")
    shop = json.loads(env["AIRFLOW_CONN_SAP_COMMERCE_DEFAULT"])
    assert (shop["conn_type"], shop["login"]) == ("commerce_sync_sap_commerce", "u")


def test_a_long_path_does_without_the_forkserver_whose_socket_would_not_fit(tmp_path):
    folder = Folder(tmp_path / ("x" * 60) / "d")
    folder.root.parent.mkdir()
    folder.take()
    env = settings.airflow(folder, ports=Ports(8080, 8088), password="secret", systems=SYSTEMS)
    assert "AIRFLOW__CORE__MP_START_METHOD" not in env
    os.close(folder.lock_fd)
