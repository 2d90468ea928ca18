"""deploy/helm-values.yaml says the same as docker-compose.yaml, with names the official chart has."""

from __future__ import annotations

import re
from typing import Any

import pytest
import yaml

from deploy.compose import FILLED, ROOT, resolved

OF_THE_CHART = {
    "executor", "airflowVersion", "defaultAirflowTag", "images", "uid", "gid", "securityContexts", "postgresql", "data",
    "fernetKeySecretName", "jwtSecretName", "apiSecretKeySecretName", "redis", "extraEnvFrom", "env", "apiServer",
    "migrateDatabaseJob", "scheduler", "dagProcessor", "triggerer", "workers", "logs", "dags",
}  # fmt: skip
"""Top-level names of the chart's values.schema.json that are used here; the chart refuses others."""
SET_BY_THE_CHART = {
    "AIRFLOW__CORE__EXECUTOR", "AIRFLOW__CORE__DAGS_FOLDER", "AIRFLOW__CORE__PLUGINS_FOLDER", "AIRFLOW__CORE__FERNET_KEY",
    "AIRFLOW__CORE__EXECUTION_API_SERVER_URL", "AIRFLOW__API__BASE_URL", "AIRFLOW__API__SECRET_KEY", "AIRFLOW__API__WORKERS",
    "AIRFLOW__API_AUTH__JWT_SECRET", "AIRFLOW__DATABASE__SQL_ALCHEMY_CONN", "AIRFLOW__CELERY__RESULT_BACKEND",
    "AIRFLOW__CELERY__BROKER_URL", "AIRFLOW__SCHEDULER__ENABLE_HEALTH_CHECK", "AIRFLOW_CONN_COMMERCE_SYNC_LEDGER",
}  # fmt: skip
ONLY_LOCAL = {
    "AIRFLOW__CORE__MP_START_METHOD", "AIRFLOW__CORE__MP_FORKSERVER_PRELOAD",
    "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_USERS", "AIRFLOW__CORE__SIMPLE_AUTH_MANAGER_PASSWORDS_FILE",
}  # fmt: skip
"""Of the LocalExecutor, and of a sign-in that is for one host."""
ELSEWHERE = {"COMMERCE_SYNC_HOME", "COMMERCE_SYNC_BATCHES"}
"""Pods share no folder."""


@pytest.fixture(scope="module")
def values() -> dict[str, Any]:
    return dict(yaml.safe_load((ROOT / "deploy" / "helm-values.yaml").read_text()))


def test_it_has_only_names_of_the_chart(values: dict[str, Any]) -> None:
    assert values.keys() <= OF_THE_CHART


def test_pods_are_set_up_as_the_containers_are(values: dict[str, Any]) -> None:
    env = {item["name"]: item["value"] for item in values["env"]}
    compose = resolved(FILLED)["services"]["airflow-worker"]["environment"]
    assert compose.keys() - env.keys() == SET_BY_THE_CHART | ONLY_LOCAL
    assert {name: env[name] for name in env.keys() - ELSEWHERE} == {
        name: str(compose[name]) for name in env.keys() - ELSEWHERE
    }


def test_batches_are_on_object_storage(values: dict[str, Any]) -> None:
    assert {item["name"]: item["value"] for item in values["env"]}["COMMERCE_SYNC_BATCHES"].startswith("s3://")


def test_the_version_is_the_locked_one(values: dict[str, Any]) -> None:
    locked = re.search(r"^apache-airflow==(\S+)", (ROOT / "requirements.txt").read_text(), re.MULTILINE)
    assert locked is not None
    assert values["airflowVersion"] == values["defaultAirflowTag"] == locked.group(1)


def test_it_holds_no_secret(values: dict[str, Any]) -> None:
    named = [
        values["fernetKeySecretName"],
        values["jwtSecretName"],
        values["apiSecretKeySecretName"],
        *values["data"].values(),
    ]
    assert all(name.startswith("commerce-sync-") for name in named)
    assert not {"fernetKey", "jwtSecret", "apiSecretKey", "secret", "extraSecrets"} & values.keys()
