"""Plays the same flows twice: undisturbed in one process, and in the cluster with workers killed; compares the ends.

python -m cluster [--keep]    exit code 0 when both ended alike; --keep leaves the folder with all logs
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cluster import settings, state
from cluster.killing import Watched, kill
from cluster.services import Cluster
from cluster.state import End
from demo import web
from demo.airflow_rest import AirflowRest
from demo.children import Interrupted, raise_on_signals
from demo.errors import DemoError
from demo.folder import PROJECT, Folder
from demo.simulated import Simulated

RUN_S = 1200
SLOW = {"match": {"method": "POST|PATCH|PUT", "path": "/services/data/v[^/]+/(composite|jobs/ingest)"},
        "action": "delay", "delay_ms": 2000, "times": None}  # fmt: skip
"""Makes the loads last long enough for a worker to be killed in the middle of one."""
VICTIMS = {"salesforce_customers": "households_to_accounts.load",
           "salesforce_purchase_history": "purchase_history_to_accounts.load"}  # fmt: skip
"""Flow -> the task whose worker is killed."""


def main() -> int:
    """0 when the cluster ended as the undisturbed play, 1 otherwise."""
    parser = argparse.ArgumentParser(prog="python -m cluster", description=__doc__)
    parser.add_argument("--keep", action="store_true", help="leave the folder with all logs")
    options = parser.parse_args()
    raise_on_signals()
    root = Path(tempfile.mkdtemp(prefix="commerce-sync-cluster-"))
    root.chmod(0o755)  # PostgreSQL runs as another user when this is root
    began = time.monotonic()
    cluster = Cluster(Folder(root).take(), say=lambda text: say(text, began))
    try:
        faults = play(cluster)
    except (DemoError, Interrupted) as error:
        faults = [f"{type(error).__name__}: {error}"]
    finally:
        cluster.stop()
    for line in faults[:40]:
        print(f"DIFFERENT  {line}")
    print(f"{'FAILED' if faults else 'ok'} in {time.monotonic() - began:.0f} s")
    if faults or options.keep:
        print(f"logs: {root / 'logs'}")
    else:
        subprocess.run(["rm", "-rf", str(root)], check=True)
    return 1 if faults else 0


def say(text: str, began: float) -> None:
    """One line of progress."""
    print(f"{time.monotonic() - began:6.0f} s  {text}", flush=True)


def play(cluster: Cluster) -> list[str]:
    """Both plays; gives what differs, in words."""
    settings.write_files(cluster.folder)
    legs = legs_of_flows(cluster.folder)
    wanted = undisturbed(cluster, legs)
    cluster.start_stores()
    systems = cluster.start_simulators("simulators")
    rest = cluster.start_airflow(systems)
    seen = Watched()
    runs = [disturbed(cluster, rest, flow, systems, seen) for flow in settings.FLOWS]
    found = state.look(systems, env=cluster.env, legs=legs, only=runs)
    show(wanted, found, seen)
    return state.differences(wanted, found) + seen.faults() + idle(cluster, rest, systems)


def legs_of_flows(folder: Folder) -> list[str]:
    """Legs of the flows, asked of the product itself."""
    script = (
        "import json, runpy; from commerce_sync import flow\n"
        f"for name in {settings.FLOWS!r}: runpy.run_path(f'{folder.root}/dags/{{name}}.py')\n"
        "print('LEGS ' + json.dumps([m.leg for stages in flow.BUILT.values() for stage in stages for m in stage]))"
    )
    done = subprocess.run([sys.executable, "-c", script], env=settings.alone(folder, systems=nobody()), cwd=PROJECT,
                          capture_output=True, text=True, timeout=300, check=True)  # fmt: skip
    return list(json.loads(done.stdout.rpartition("LEGS ")[2]))


def nobody() -> dict[str, Any]:
    """Systems for a process that asks none."""
    from cluster.services import _no_systems

    return _no_systems()


def undisturbed(cluster: Cluster, legs: list[str]) -> End:
    """The reference: one process after the other, SQLite, a local folder, no shards."""
    systems = cluster.start_simulators("reference")
    env = settings.alone(cluster.folder, systems=systems)
    for flow in settings.FLOWS:
        cluster.say(f"{flow}, undisturbed, in one process")
        with (cluster.folder.logs / "alone.log").open("ab") as log:
            done = subprocess.run([sys.executable, "-m", "commerce_sync", "run", flow], env=env, cwd=PROJECT,
                                  stdout=log, stderr=log, timeout=RUN_S, check=False)  # fmt: skip
        if done.returncode:
            raise DemoError(f"{flow} failed undisturbed; look into {cluster.folder.logs / 'alone.log'}")
    end = state.look(systems, env=env, legs=legs)
    reference = cluster.children._children[-1]
    reference.ask_to_end()
    reference.wait()
    cluster.forget(reference)
    return end


def disturbed(cluster: Cluster, rest: AirflowRest, flow: str, systems: Mapping[str, Any], seen: Watched) -> str:
    """Run a flow in the cluster; kill a worker while it loads a shard, start it again. Gives the run's id."""
    leg_task = VICTIMS[flow]
    crm = systems["salesforce"]["url"]
    web.call("POST", f"{crm}/_sim/faults", json_body=SLOW)
    rest.unpause(flow)
    run = rest.trigger(flow)
    cluster.say(f"{flow} in the cluster")
    until, victim = time.monotonic() + RUN_S, ""
    while (now := rest.run(run)).state not in ("success", "failed"):
        cluster.children.must_run()
        if time.monotonic() > until:
            raise DemoError(f"{flow} did not end within {RUN_S} s")
        instances = seen.note(rest, run)
        if not victim and (victim := Watched.holder(instances, leg_task)):
            kill(cluster, victim)
            cluster.say(f"{victim} killed with SIGKILL while it ran {leg_task}")
            web.call("DELETE", f"{crm}/_sim/faults")
            cluster.start_worker(victim)
        time.sleep(0.3 if not victim else 1.0)
    seen.note(rest, run)
    if now.state != "success":
        failed = [task for task in rest.tasks(run) if task.state == "failed"]
        raise DemoError(f"{flow} failed: " + "; ".join(f"{t.name}: {rest.log(run, t)[-6:]}" for t in failed[:3]))
    if not victim:
        raise DemoError(f"no worker was seen running {leg_task}: nothing was killed")
    return run.run_id


def idle(cluster: Cluster, rest: AirflowRest, systems: Mapping[str, Any]) -> list[str]:
    """A second cycle finds nothing to send; what cannot be mapped over nothing is skipped."""
    crm = Simulated(systems["salesforce"]["url"])
    crm.reset_calls()
    for flow in settings.FLOWS:
        run = rest.trigger(flow)
        cluster.say(f"{flow} again, with nothing to do")
        until = time.monotonic() + RUN_S
        while (now := rest.run(run)).state not in ("success", "failed"):
            if time.monotonic() > until:
                return [f"{flow}: the second cycle did not end within {RUN_S} s"]
            time.sleep(1)
        if now.state != "success":
            return [f"{flow}: the second cycle failed"]
    writes = crm.calls().writes
    return [f"the second cycle made {writes} writing calls to Salesforce"] if writes else []


def show(wanted: End, found: End, seen: Watched) -> None:
    """One line per leg."""
    form = "{:30} {:>7} {:>6} {:>9} {:>8} {:>7} {:>16}  {}"
    print(form.format("leg", "read", "sent", "delivered", "rejected", "shards", "workers", "as undisturbed"))
    for leg, known in found.ledger.items():
        if not known["runs"]:
            continue  # reported as a difference
        run = known["runs"][0]
        counts, tasks = run["counts"], seen.shards(leg)
        one, two = (state.of_leg(end.ledger[leg]) for end in (wanted, found))
        print(form.format(leg, counts["read"], counts["sent"], counts["delivered"], counts["rejected"], len(tasks) or 1,
                          ",".join(sorted(set(tasks.values()))) or "-", "yes" if one == two else "NO"))  # fmt: skip
    print(f"tasks that were begun again: {', '.join(seen.again()) or 'none'}", flush=True)


if __name__ == "__main__":
    raise SystemExit(main())
