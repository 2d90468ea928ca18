"""Airflow's own web application in this process, over a real port, with a filled ledger behind the monitor."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from typing import Any

from benchmarks.monitor_ledger import Scene, fill

BOOT_S = 120


def application() -> Any:
    """Airflow's core application over a fresh metadata database that knows the flows."""
    from airflow.api_fastapi.app import create_app
    from airflow.utils.db import initdb

    initdb()
    return create_app(apps="core")


def know_flows() -> None:
    """What the DAG processor does: parse the DAG files, write them down."""
    from airflow.dag_processing.dagbag import DagBag, sync_bag_to_db
    from airflow.models.dagbundle import DagBundleModel
    from airflow.utils.session import create_session

    with create_session() as session:
        if session.get(DagBundleModel, "dags-folder") is None:
            session.add(DagBundleModel(name="dags-folder"))
    sync_bag_to_db(DagBag(bundle_name="dags-folder"), "dags-folder", None)


def unpause(*, but: str = "") -> None:
    from airflow.models.dag import DagModel
    from airflow.utils.session import create_session

    with create_session() as session:
        for dag in session.query(DagModel).all():
            dag.is_paused = dag.dag_id == but


def token(name: str = "ada", role: str = "admin") -> str:
    from airflow.api_fastapi.app import get_auth_manager
    from airflow.api_fastapi.auth.managers.simple.user import SimpleAuthManagerUser

    return get_auth_manager().generate_jwt(SimpleAuthManagerUser(username=name, role=role))


def fill_all(scene: Scene | None = None) -> Scene:
    """The made-up ledger where the pages look for it."""
    from commerce_sync import places

    scene = scene or Scene(datetime.now(UTC).replace(second=0, microsecond=0))
    fill(places.open_ledger(), places.history(), places.pages(), scene=scene)
    return scene


@contextmanager
def serving(app: Any) -> Iterator[str]:
    """The address of a server in a thread."""
    import uvicorn

    server = uvicorn.Server(uvicorn.Config(app, host="127.0.0.1", port=0, log_config=None, lifespan="on"))
    thread = threading.Thread(target=server.run, daemon=True)
    thread.start()
    end = time.monotonic() + BOOT_S
    while not server.started:
        if not thread.is_alive() or time.monotonic() > end:
            raise RuntimeError("the web application did not start")
        time.sleep(0.05)
    try:
        yield f"http://127.0.0.1:{server.servers[0].sockets[0].getsockname()[1]}"
    finally:
        server.should_exit = True
        thread.join(timeout=20)
