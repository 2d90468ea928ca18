"""docker-compose.yaml, checked without an engine: its shape, its variables, its order, and that its commands exist."""

from __future__ import annotations

import json
import re
import shlex
import subprocess
import sys
from typing import Any

import pytest

from deploy.compose import FILE, FILLED, REQUIRED, ROOT, Missing, raw, resolved

COMMON = ("airflow-apiserver", "airflow-scheduler", "airflow-dag-processor", "airflow-triggerer", "airflow-worker")
PROFILES = {"redis": ["celery"], "airflow-worker": ["celery"], "simulators": ["simulators"]}
SECRET = re.compile(r"password|secret|fernet|token", re.IGNORECASE)


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    return dict(resolved(FILLED)["services"])


def test_it_is_what_the_compose_specification_says() -> None:
    """Read by a typed implementation of the specification, which refuses unknown keys and wrong types."""
    import compose_spec

    compose_spec.PyCompose.from_json(json.dumps(resolved(FILLED)))
    broken = resolved(FILLED)
    broken["services"]["postgres"]["helthcheck"] = {}
    with pytest.raises(ValueError, match="helthcheck"):
        compose_spec.PyCompose.from_json(json.dumps(broken))


@pytest.mark.parametrize("name", REQUIRED)
@pytest.mark.parametrize("value", [None, ""], ids=["unset", "empty"])
def test_a_missing_secret_stops_it_with_a_message(name: str, value: str | None) -> None:
    environment = {key: text for key, text in FILLED.items() if key != name}
    with pytest.raises(Missing, match=rf"^{name}: set {name} in \.env"):
        resolved(environment if value is None else environment | {name: value})


def test_no_secret_has_a_default() -> None:
    """Wherever a secret is named, its value comes from a variable without a default; nothing is a password itself."""
    text = FILE.read_text()
    assert not re.findall(r"\$\{\w*(?:PASSWORD|SECRET|KEY|USERS)\w*:?-[^}]*\}", text)
    for service in raw()["services"].values():
        for name, value in (service.get("environment") or {}).items():
            if SECRET.search(name) and not name.endswith("_FILE"):
                assert "${" in str(value), name


def test_the_example_names_every_variable_and_fills_no_secret() -> None:
    example = (ROOT / ".env.example").read_text()
    given = dict(line.split("=", 1) for line in example.splitlines() if re.match(r"^\w+=", line))
    used = set(re.findall(r"(?<!\$)\$\{(\w+)", FILE.read_text()))
    assert used - given.keys() == {"COMMERCE_SYNC_TAG", "API_WORKERS"}, "those have a sensible default"
    assert all(given[name] == "" for name in REQUIRED if name != "AIRFLOW_USERS")


def test_images_are_pinned_and_run_without_root(services: dict[str, Any]) -> None:
    for name, service in services.items():
        assert re.search(r":\S*\d+\.\d+|:local$", service["image"]), f"{name}: {service['image']}"
        if name != "postgres":  # gives up root by itself, once it owns its volume
            assert re.fullmatch(r"[1-9]\d*:\d+", service["user"]), name
            assert service["cap_drop"] == ["ALL"], name


def test_everything_that_lasts_is_watched_bounded_and_started_again(services: dict[str, Any]) -> None:
    for name, service in services.items():
        if name == "airflow-init":
            assert service["restart"] == "no"
            continue
        assert service["restart"] == "unless-stopped", name
        assert service["deploy"]["resources"]["limits"]["memory"], name
        assert service["healthcheck"]["test"][0] in ("CMD", "CMD-SHELL"), name


def test_no_health_check_starts_airflow(services: dict[str, Any]) -> None:
    """Each would cost seconds of CPU twice a minute."""
    for name, service in services.items():
        test = " ".join(service.get("healthcheck", {}).get("test", []))
        assert not re.search(r"(^|\s)airflow (jobs|celery|db|version)|celery .*inspect|python", test), name


def test_the_databases_are_migrated_before_anything_uses_them(services: dict[str, Any]) -> None:
    init = services["airflow-init"]
    script = init["command"][-1]
    assert "airflow db migrate" in script
    assert "places.open_ledger()" in script
    assert init["depends_on"]["postgres"]["condition"] == "service_healthy"
    for name in COMMON:
        assert services[name]["depends_on"]["airflow-init"]["condition"] == "service_completed_successfully", name
    for name in ("airflow-scheduler", "airflow-worker"):
        assert services[name]["depends_on"]["airflow-apiserver"]["condition"] == "service_healthy", name


def test_profiles(services: dict[str, Any]) -> None:
    assert {name: service["profiles"] for name, service in services.items() if "profiles" in service} == PROFILES


def test_only_the_api_server_is_reached_from_outside_and_by_default_from_this_host_only(
    services: dict[str, Any],
) -> None:
    assert {name: service["ports"] for name, service in services.items() if "ports" in service} == {
        "airflow-apiserver": ["127.0.0.1:8080:8080"]
    }


def test_files_it_mounts_are_there(services: dict[str, Any]) -> None:
    for service in services.values():
        for mount in service.get("volumes", []):
            place = mount.split(":")[0]
            if place.startswith("./"):
                assert (ROOT / place).exists(), place
            else:
                assert place in raw()["volumes"], place


def test_every_setting_is_one_airflow_knows(services: dict[str, Any]) -> None:
    from airflow.configuration import conf
    from airflow.providers.celery.get_provider_info import get_provider_info

    described = conf.configuration_description | get_provider_info()["config"]
    known = {f"AIRFLOW__{part}__{key}".upper() for part, about in described.items() for key in about["options"]}
    given = {name for name in services["airflow-scheduler"]["environment"] if name.startswith("AIRFLOW__")}
    assert given - known == set()


@pytest.mark.parametrize("name", [*COMMON, "simulators"])
def test_its_command_exists(services: dict[str, Any], name: str, tmp_path: Any) -> None:
    """Parsed by the program itself, with the executor the profile has: options it does not know would be refused."""
    command = services[name]["command"]
    words = shlex.split(command) if isinstance(command, str) else list(command)
    program = {"airflow": [sys.executable, "-m", "airflow"], "python": [sys.executable]}[words[0]]
    executor = "CeleryExecutor" if name == "airflow-worker" else "LocalExecutor"
    environment = {"AIRFLOW_HOME": str(tmp_path), "AIRFLOW__CORE__EXECUTOR": executor, "PATH": "/usr/bin:/bin",
                   "AIRFLOW__CORE__LOAD_EXAMPLES": "False"}  # fmt: skip
    done = subprocess.run([*program, *words[1:], "--help"], env=environment, cwd=ROOT, capture_output=True, text=True,
                          timeout=180, check=False)  # fmt: skip
    assert done.returncode == 0, done.stderr[-1000:]
    for option in (word for word in words if word.startswith("--")):
        assert option in done.stdout
