"""Airflow itself for the slow tests: ``airflow standalone`` with the DAG files of one test."""

from __future__ import annotations

import os
import socket
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from demo import settings
from demo.airflow_rest import AirflowRest
from demo.children import Child, Children
from demo.folder import PROJECT, Folder
from demo.ports import Ports
from receiver.receiving import until


@contextmanager
def airflow_standalone(
    root: Path, *, dags: Mapping[str, str], systems: dict[str, Any], env: Mapping[str, str]
) -> Iterator[tuple[AirflowRest, Folder]]:
    """Scheduler, triggerer, DAG processor and API server, with ``dags`` (id -> text of its file) unpaused."""
    folder = Folder(root).take()
    (folder.root / "dags").mkdir()
    for name, text in dags.items():
        (folder.root / "dags" / f"{name}.py").write_text(text)
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        ports = Ports(simulators=0, airflow=probe.getsockname()[1])
    environment = settings.airflow(folder, ports=ports, password="pw", systems=systems)
    environment |= {"AIRFLOW__CORE__DAGS_FOLDER": str(folder.root / "dags"), **env}
    settings.write_policy(folder)
    settings.write_launcher(folder, airflow=str(Path(sys.executable).with_name("airflow")))
    children, log = Children(), folder.logs / "airflow.log"
    command = [str(folder.bin / "airflow"), "standalone"]
    children.add(Child("Airflow", command, env=environment, cwd=PROJECT, log=log, grace_s=6))
    rest = AirflowRest(f"http://127.0.0.1:{ports.airflow}", user=settings.USER, password="pw")
    try:
        until(lambda: not rest.sick_components(), what=f"Airflow; look into {log}", seconds=300, pause_s=1)
        rest.warm_up()
        until(lambda: set(dags) <= rest.dag_names() or rest.import_errors(),
              what=f"the flows; look into {log}", seconds=180, pause_s=1)  # fmt: skip
        assert rest.import_errors() == [], "\n".join(rest.import_errors())
        for name in dags:
            rest.unpause(name)
        yield rest, folder
    finally:
        children.stop()
        os.close(folder.lock_fd)
