"""Environment of the programs a demo starts: Airflow on a small machine, and nothing from other projects.

Every program gets a home and a temporary folder inside ``.demo/``, so that nothing is written elsewhere.
"""

from __future__ import annotations

import json
import os
import secrets
from collections.abc import Mapping
from typing import Any

from demo.folder import PROJECT, Folder
from demo.policy import LOCAL_SETTINGS
from demo.ports import Ports

USER = "admin"
OWN_PREFIXES = ("AIRFLOW", "COMMERCE_SYNC_", "GX_", "PYTHON", "XDG_")
PRELOAD = (
    "airflow",
    "airflow.executors.local_executor",
    "airflow.sdk.execution_time.supervisor",
    "airflow.sdk.execution_time.task_runner",
    "airflow.dag_processing.dagbag",
    "pandas",
    "great_expectations",
    "commerce_sync.flow",
    "commerce_sync.systems.iconik.hook",
    "commerce_sync.systems.opentext_iot.hook",
    "commerce_sync.systems.salesforce.hook",
    "commerce_sync.systems.sap_commerce.hook",
)
UNTHROTTLED = {"extra": {"max_per_second": 500}}
"""The simulators have no limit of calls; without this the flows would keep to those of the real services."""
LONGEST_TMP = 75
"""A forkserver listens on a socket file in the temporary folder; its path may have 107 characters."""


def common(folder: Folder) -> dict[str, str]:
    """What every program gets: the caller's environment without other projects' settings, a home here."""
    env = {name: value for name, value in os.environ.items() if not name.startswith(OWN_PREFIXES)}
    return env | {
        "HOME": str(folder.home),
        "TMPDIR": str(folder.tmp),
        "PYTHONPATH": str(PROJECT),
        "PYTHONUNBUFFERED": "1",
        "NO_PROXY": "127.0.0.1,localhost",
        "no_proxy": "127.0.0.1,localhost",
        "GX_ANALYTICS_ENABLED": "false",
    }


def airflow(folder: Folder, *, ports: Ports, password: str, systems: Mapping[str, Any]) -> dict[str, str]:
    """Environment of ``airflow standalone``. systems: the line the simulators print when they are ready."""
    env = common(folder)
    env["PATH"] = os.pathsep.join([str(folder.bin), env.get("PATH", "")])
    env |= {f"AIRFLOW__{name}": value for name, value in _core(folder, password=password).items()}
    env |= {f"AIRFLOW__{name}": value for name, value in _server(f"http://127.0.0.1:{ports.airflow}", ports).items()}
    env |= {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in connections(systems).items()}
    return env | {
        "AIRFLOW_HOME": str(folder.airflow),
        "COMMERCE_SYNC_HOME": str(folder.sync),
        "COMMERCE_SYNC_MAPPINGS": str(PROJECT / "include" / "mappings"),
        "COMMERCE_SYNC_FEEDS": str(PROJECT / "include" / "feeds"),
    }


def _core(folder: Folder, *, password: str) -> dict[str, str]:
    passwords = folder.airflow / "passwords.json"
    passwords.write_text(json.dumps({USER: password}))
    passwords.chmod(0o600)
    return _forkserver(folder) | {
        "CORE__DAGS_FOLDER": str(PROJECT / "dags"),
        "CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__EXECUTOR": "LocalExecutor",
        "CORE__PARALLELISM": "8",  # SQLite has one writer; 32 tasks at once bring the scheduler down
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(passwords),
        "CORE__TEST_CONNECTION": "Enabled",
        "DATABASE__SQL_ALCHEMY_POOL_SIZE": "64",  # the default is less than the API server's threads
        "DAG_PROCESSOR__REFRESH_INTERVAL": "30",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",  # else every finished task keeps its slot for up to 5 s
        "LOGGING__NAMESPACE_LEVELS": "great_expectations=WARNING",
    }


def _forkserver(folder: Folder) -> dict[str, str]:
    """A check then takes 0.1 s instead of the 3 s that importing Great Expectations costs."""
    if len(str(folder.tmp)) > LONGEST_TMP:
        return {}
    return {"CORE__MP_START_METHOD": "forkserver", "CORE__MP_FORKSERVER_PRELOAD": ",".join(PRELOAD)}


def _server(address: str, ports: Ports) -> dict[str, str]:
    return {
        "API__HOST": "127.0.0.1",
        "API__PORT": str(ports.airflow),
        "API__WORKERS": "1",
        "API__BASE_URL": address,
        "API__SECRET_KEY": secrets.token_hex(32),
        "API_AUTH__JWT_SECRET": secrets.token_hex(64),
        "CORE__EXECUTION_API_SERVER_URL": f"{address}/execution/",
    }


def connections(systems: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """Airflow connections to the simulators, by the name that follows ``AIRFLOW_CONN_``."""
    shop, crm, media, things = (systems[name] for name in ("sap_commerce", "salesforce", "iconik", "opentext_iot"))
    extra = {"auth": "oauth", "client_id": shop["client_id"], "client_secret": shop["client_secret"]}
    trusted = {"auth": "oauth", "client_id": shop["occ_client_id"], "client_secret": shop["occ_client_secret"]}
    sap = {"conn_type": "commerce_sync_sap_commerce", "host": shop["url"]}
    user = {"login": shop["username"], "password": shop["password"]}
    return {
        "SAP_COMMERCE_DEFAULT": sap | user | {"extra": extra | {"test_service": "CustomerSync"}},
        "SAP_COMMERCE_OCC": sap | {"extra": trusted},
        "SAP_COMMERCE_HOT_FOLDER": {
            "conn_type": "http",
            "host": shop["hot_folder"],
            "password": shop["hot_folder_signature"],
        },
        "SALESFORCE_DEFAULT": _connection("salesforce", crm, login="client_id", password="client_secret"),
        "ICONIK_DEFAULT": _connection("iconik", media, login="app_id", password="auth_token") | UNTHROTTLED,
        "OPENTEXT_IOT_DEFAULT": _connection("opentext_iot", things, login="client_id", password="client_secret")
        | UNTHROTTLED,
    }


def _connection(kind: str, system: Mapping[str, str], *, login: str, password: str) -> dict[str, Any]:
    """A connection of one of our types; ``login`` and ``password`` name what the simulator announces."""
    names = {"conn_type": f"commerce_sync_{kind}", "host": system["url"]}
    return names | {"login": system[login], "password": system[password]}


def write_policy(folder: Folder) -> None:
    """Put the demo's cluster policy where Airflow looks for one."""
    config = folder.airflow / "config"
    config.mkdir()
    (config / "airflow_local_settings.py").write_text(LOCAL_SETTINGS)


def write_launcher(folder: Folder, *, airflow: str) -> None:
    """Write an ``airflow`` into ``bin`` that starts scheduler and triggerer without their log servers.

    ``standalone`` finds ``airflow`` by PATH and gives it no options. The log servers listen on all
    interfaces and are for logs on other machines; here the API server reads the files itself.
    """
    launcher = folder.bin / "airflow"
    launcher.write_text(
        "#!/bin/sh\n"
        'case "$1" in\n'
        f"  scheduler|triggerer) exec '{airflow}' \"$@\" --skip-serve-logs ;;\n"
        f"  *) exec '{airflow}' \"$@\" ;;\n"
        "esac\n"
    )
    launcher.chmod(0o755)
