"""Starts what the demo needs and waits until it answers: the simulators, then Airflow."""

from __future__ import annotations

import json
import secrets
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from demo import settings
from demo.airflow_rest import AirflowRest
from demo.children import Child, Children
from demo.errors import DemoError
from demo.folder import PROJECT, Folder
from demo.ports import Ports
from demo.screen import Stage

POLL_S = 0.5
SIMULATORS_S = {"slice": 180, "full": 900}
AIRFLOW_S = 240
DAGS_S = 120


@dataclass(frozen=True, slots=True)
class Login:
    """How a person gets into the Airflow UI."""

    url: str
    user: str
    password: str


def start_simulators(folder: Folder, children: Children, *, ports: Ports, scale: str, stage: Stage) -> dict[str, Any]:
    """Start all four systems with the demo's data; gives the line they announce themselves with."""
    ready = folder.simulators / "ready.json"
    command = [sys.executable, "-m", "simulators", "--port-base", str(ports.simulators), "--control"]
    command += ["--seed", "demo", "--scale", scale]
    command += ["--state", str(folder.simulators / "state")]
    children.add(
        Child(
            "the simulators",
            command,
            env=settings.common(folder),
            cwd=PROJECT,
            log=folder.logs / "simulators.log",
            stdout=ready,
            keep_open=(folder.lock_fd,),
        )
    )
    text = wait_for(
        lambda: _first_line(ready),
        children,
        seconds=SIMULATORS_S[scale],
        what="the simulators to load the shop's data",
        look=folder.logs / "simulators.log",
        say=lambda: stage.live("loading the shop's data"),
    )
    return dict(json.loads(text))


def _first_line(path: Path) -> str:
    text = path.read_text() if path.exists() else ""
    return text.splitlines()[0] if "\n" in text else ""


def start_airflow(
    folder: Folder, children: Children, *, ports: Ports, systems: dict[str, Any], stage: Stage
) -> tuple[AirflowRest, Login]:
    """Start ``airflow standalone`` and wait until all four components are healthy."""
    login = Login(url=f"http://127.0.0.1:{ports.airflow}", user=settings.USER, password=secrets.token_urlsafe(9))
    settings.write_policy(folder)
    settings.write_launcher(folder, airflow=str(Path(sys.executable).with_name("airflow")))
    children.add(
        Child(
            "Airflow",
            [str(folder.bin / "airflow"), "standalone"],
            env=settings.airflow(folder, ports=ports, password=login.password, systems=systems),
            cwd=PROJECT,
            log=folder.logs / "airflow.log",
            grace_s=6,
            keep_open=(folder.lock_fd,),
        )
    )
    rest = AirflowRest(login.url, user=login.user, password=login.password)
    wait_for(
        lambda: not rest.sick_components(),
        children,
        seconds=AIRFLOW_S,
        what="Airflow's components to be healthy",
        look=folder.logs / "airflow.log",
        say=lambda: stage.live("waiting for " + ", ".join(rest.sick_components())),
    )
    rest.warm_up()
    return rest, login


def wait_for_dags(rest: AirflowRest, children: Children, *, dags: tuple[str, ...], look: Path, stage: Stage) -> None:
    """Wait until the scheduler knows the DAGs. Raises DemoError with the error of a broken file."""
    wait_for(
        lambda: set(dags) <= rest.dag_names() or bool(rest.import_errors()),
        children,
        seconds=DAGS_S,
        what=f"the DAGs {', '.join(dags)}",
        look=look,
        say=lambda: stage.live("reading the DAG files"),
    )
    missing = sorted(set(dags) - rest.dag_names())
    if missing:
        raise DemoError(f"DAGs missing: {', '.join(missing)}; import errors: {'; '.join(rest.import_errors())}")


def wait_for(
    is_true: Callable[[], Any],
    children: Children,
    *,
    seconds: float,
    what: str,
    look: Path,
    say: Callable[[], None],
) -> Any:
    """Poll until ``is_true`` gives something true. Raises DemoError when a program ended or time is over."""
    until = time.monotonic() + seconds
    while not (value := is_true()):
        children.must_run()
        if time.monotonic() > until:
            raise DemoError(f"waited {seconds:.0f} s for {what}; look into {look}")
        say()
        time.sleep(POLL_S)
    return value
