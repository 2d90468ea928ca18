"""Environment of the cluster's processes: the settings of docker-compose.yaml, with addresses of this machine."""

from __future__ import annotations

import json
import secrets
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cluster.policy import LOCAL_SETTINGS
from demo import settings as demo
from demo.errors import DemoError
from demo.folder import PROJECT, Folder
from demo.ports import is_free

USER, PASSWORD = "admin", secrets.token_urlsafe(12)
BUCKET = "commerce-sync"
FLOWS = ("salesforce_customers", "salesforce_purchase_history")
SHARDED = {"households_to_accounts": 40, "customers_to_contacts": 40, "purchase_history_to_accounts": 40}
"""Leg -> changes a shard has at least; the demo's slice has some 200 of each."""
SHARDS = 4
BLOCK, FIRST, LAST = 10, 9300, 9900


@dataclass(frozen=True, slots=True)
class Addresses:
    """Loopback ports of one cluster."""

    simulators: int
    airflow: int
    redis: int
    s3: int

    @property
    def s3_url(self) -> str:
        return f"http://127.0.0.1:{self.s3}"

    @property
    def airflow_url(self) -> str:
        return f"http://127.0.0.1:{self.airflow}"


def choose() -> Addresses:
    """The first free block of ports. Raises DemoError when there is none."""
    for start in range(FIRST, LAST, BLOCK):
        if all(is_free(port) for port in range(start, start + BLOCK)):
            return Addresses(simulators=start, airflow=start + 6, redis=start + 7, s3=start + 8)
    raise DemoError(f"no free block of {BLOCK} ports from {FIRST} to {LAST}")


def write_files(folder: Folder) -> None:
    """The two flows, their mappings with ``shards``, the local settings and the password."""
    shutil.copytree(PROJECT / "include", folder.root / "include", dirs_exist_ok=True)
    for leg, rows in SHARDED.items():
        path = folder.root / "include" / "mappings" / "salesforce" / f"{leg}.yaml"
        path.write_text(f"{path.read_text()}\nshards: {{count: {SHARDS}, rows: {rows}}}\n")
    dags = folder.root / "dags"
    dags.mkdir(exist_ok=True)
    for flow in FLOWS:
        shutil.copy(PROJECT / "dags" / f"{flow}.py", dags)
    (folder.airflow / "config").mkdir(exist_ok=True)
    (folder.airflow / "config" / "airflow_local_settings.py").write_text(LOCAL_SETTINGS)
    (folder.airflow / "passwords.json").write_text(json.dumps({USER: PASSWORD}))
    (folder.airflow / "passwords.json").chmod(0o600)


def airflow(
    folder: Folder, *, at: Addresses, postgres: Mapping[str, str], systems: Mapping[str, Any]
) -> dict[str, str]:
    """What api-server, scheduler, dag-processor, triggerer and workers share. postgres: URLs of airflow and ledger."""
    env = demo.common(folder) | {f"AIRFLOW__{name}": value for name, value in _airflow(folder, at, postgres).items()}
    env |= {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in demo.connections(systems).items()}
    return env | {
        "AIRFLOW_HOME": str(folder.airflow),
        "AIRFLOW_CONN_COMMERCE_SYNC_LEDGER": postgres["ledger"],
        "COMMERCE_SYNC_HOME": str(folder.sync),
        "COMMERCE_SYNC_MAPPINGS": str(folder.root / "include" / "mappings"),
        "COMMERCE_SYNC_FEEDS": str(folder.root / "include" / "feeds"),
        "COMMERCE_SYNC_BATCHES": f"s3://{BUCKET}/batches",
        "AWS_ENDPOINT_URL": at.s3_url,
        "AWS_ACCESS_KEY_ID": "cluster",
        "AWS_SECRET_ACCESS_KEY": "cluster-secret",
        "AWS_DEFAULT_REGION": "us-east-1",
        "OPENBLAS_NUM_THREADS": "1",
    }


def _airflow(folder: Folder, at: Addresses, postgres: Mapping[str, str]) -> dict[str, str]:
    return {
        "CORE__EXECUTOR": "CeleryExecutor",
        "CORE__DAGS_FOLDER": str(folder.root / "dags"),
        "CORE__PLUGINS_FOLDER": str(PROJECT / "plugins"),
        "CORE__LOAD_EXAMPLES": "False",
        "CORE__PARALLELISM": "4",
        "CORE__DAGS_ARE_PAUSED_AT_CREATION": "True",
        "CORE__HOSTNAME_CALLABLE": "cluster.node.name",
        "CORE__SIMPLE_AUTH_MANAGER_USERS": f"{USER}:admin",
        "CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE": str(folder.airflow / "passwords.json"),
        "CORE__EXECUTION_API_SERVER_URL": f"{at.airflow_url}/execution/",
        "DATABASE__SQL_ALCHEMY_CONN": postgres["airflow"],
        "CELERY__BROKER_URL": f"redis://127.0.0.1:{at.redis}/0",
        "CELERY__RESULT_BACKEND": f"db+{postgres['airflow']}",
        "CELERY__WORKER_CONCURRENCY": "2",
        "CELERY__WORKER_PREFETCH_MULTIPLIER": "1",
        "API__HOST": "127.0.0.1",
        "API__PORT": str(at.airflow),
        "API__WORKERS": "1",
        "API__BASE_URL": at.airflow_url,
        "API__SECRET_KEY": SECRETS[0],
        "API_AUTH__JWT_SECRET": SECRETS[1],
        "CORE__FERNET_KEY": "",
        "DAG_PROCESSOR__REFRESH_INTERVAL": "300",
        "DAG_PROCESSOR__PARSING_PROCESSES": "1",
        "WORKERS__MIN_HEARTBEAT_INTERVAL": "1",
        # A dead worker is noticed in a minute here, by default in five.
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT": "60",
        "SCHEDULER__TASK_INSTANCE_HEARTBEAT_TIMEOUT_DETECTION_INTERVAL": "5",
        # What it had taken from the queue and not begun is queued again after this.
        "SCHEDULER__TASK_QUEUED_TIMEOUT": "90",
        "SCHEDULER__TASK_QUEUED_TIMEOUT_CHECK_INTERVAL": "10",
        "LOGGING__NAMESPACE_LEVELS": "great_expectations=WARNING",
    }


SECRETS = (secrets.token_hex(32), secrets.token_hex(64))


def alone(folder: Folder, *, systems: Mapping[str, Any]) -> dict[str, str]:
    """The reference: one process, SQLite, a local folder, mappings as they are."""
    env = demo.common(folder)
    env |= {f"AIRFLOW_CONN_{name}": json.dumps(value) for name, value in demo.connections(systems).items()}
    home = folder.root / "alone"
    home.mkdir(exist_ok=True)
    return env | {
        "AIRFLOW_HOME": str(home),
        "AIRFLOW__CORE__DAGS_FOLDER": str(folder.root / "dags"),
        "AIRFLOW__CORE__LOAD_EXAMPLES": "False",
        "COMMERCE_SYNC_HOME": str(home / "sync"),
        "COMMERCE_SYNC_MAPPINGS": str(PROJECT / "include" / "mappings"),
        "COMMERCE_SYNC_FEEDS": str(PROJECT / "include" / "feeds"),
        "OPENBLAS_NUM_THREADS": "1",
    }


def airflow_program(python: str) -> str:
    """The ``airflow`` beside this Python."""
    return str(Path(python).with_name("airflow"))
