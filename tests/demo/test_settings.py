"""What Airflow is started with: loopback only, files in the demo's folder, nothing of the caller's own Airflow."""

from __future__ import annotations

import json
import os
import runpy
from pathlib import Path

import pytest
from airflow.sdk import DAG, Asset, AssetAll, AssetOrTimeSchedule, CronDataIntervalTimetable
from airflow.sdk.definitions.timetables.assets import AssetTriggeredTimetable
from airflow.sdk.definitions.timetables.simple import NullTimetable

from demo import settings
from demo.folder import Folder
from demo.policy import dag_policy
from demo.ports import Ports

SYSTEM = {"url": "http://127.0.0.1:8080", "client_id": "c", "client_secret": "s", "username": "u", "password": "p"}
SHOP = SYSTEM | {"occ_client_id": "t", "occ_client_secret": "ts", "hot_folder": "http://127.0.0.1:8080/hybris"}
SHOP |= {"hot_folder_signature": "sig"}
MEDIA = {"url": "http://127.0.0.1:8082", "app_id": "a", "auth_token": "at"}
SYSTEMS = {"sap_commerce": SHOP, "salesforce": SYSTEM, "iconik": MEDIA, "opentext_iot": SYSTEM}


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


def test_a_flow_is_started_by_other_flows_but_not_by_the_clock():
    before = Asset(name="flow a", uri="commerce-sync://flow/a")
    hourly = CronDataIntervalTimetable("5 * * * *", timezone="UTC")
    follower = DAG("follower", schedule=AssetOrTimeSchedule(timetable=hourly, assets=[before]))
    first = DAG("first", schedule=hourly)
    for dag in (first, follower):
        dag_policy(dag)
    assert follower.timetable.asset_condition == AssetAll(before)
    assert type(follower.timetable) is AssetTriggeredTimetable
    assert type(first.timetable) is NullTimetable


def test_airflow_finds_the_policy(tmp_path):
    folder = Folder(tmp_path / "d").take()
    settings.write_policy(folder)
    found = runpy.run_path(str(folder.airflow / "config" / "airflow_local_settings.py"))
    assert found["dag_policy"] is dag_policy
    os.close(folder.lock_fd)


def test_the_password_file_is_for_its_owner_only(env):
    path = Path(env["AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE"])
    assert path.stat().st_mode & 0o077 == 0
    assert json.loads(path.read_text()) == {"admin": "secret"}


def test_connections_name_the_simulators(env):
    crm = json.loads(env["AIRFLOW_CONN_SALESFORCE_DEFAULT"])
    assert (crm["conn_type"], crm["host"]) == ("commerce_sync_salesforce", "http://127.0.0.1:8080")
    shop = json.loads(env["AIRFLOW_CONN_SAP_COMMERCE_DEFAULT"])
    assert (shop["conn_type"], shop["login"]) == ("commerce_sync_sap_commerce", "u")
    trusted = json.loads(env["AIRFLOW_CONN_SAP_COMMERCE_OCC"])
    assert (trusted["host"], trusted["extra"]["client_id"]) == (SHOP["url"], "t")
    folder = json.loads(env["AIRFLOW_CONN_SAP_COMMERCE_HOT_FOLDER"])
    assert (folder["conn_type"], folder["host"], folder["password"]) == ("http", SHOP["hot_folder"], "sig")
    media = json.loads(env["AIRFLOW_CONN_ICONIK_DEFAULT"])
    assert (media["conn_type"], media["login"], media["password"]) == ("commerce_sync_iconik", "a", "at")
    assert json.loads(env["AIRFLOW_CONN_OPENTEXT_IOT_DEFAULT"])["conn_type"] == "commerce_sync_opentext_iot"


def test_a_long_path_does_without_the_forkserver_whose_socket_would_not_fit(tmp_path):
    folder = Folder(tmp_path / ("x" * 60) / "d")
    folder.root.parent.mkdir()
    folder.take()
    env = settings.airflow(folder, ports=Ports(8080, 8088), password="secret", systems=SYSTEMS)
    assert "AIRFLOW__CORE__MP_START_METHOD" not in env
    os.close(folder.lock_fd)
