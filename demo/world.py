"""Everything a running demo consists of, and the few things every stage does with it."""

from __future__ import annotations

import time
from dataclasses import dataclass
from datetime import date
from pathlib import Path

from demo.airflow_rest import AirflowRest
from demo.balances import Balance, read_balances
from demo.children import Children
from demo.crm import Crm, Record
from demo.errors import DemoError
from demo.flows import Watched, run_flow
from demo.folder import Folder
from demo.launch import Login
from demo.report import Report
from demo.screen import Screen, Stage
from demo.simulated import Calls, Simulated

CUSTOMERS = "salesforce_customers"
HISTORY = "salesforce_purchase_history"
DAGS = (CUSTOMERS, HISTORY)
RUN_S = {"slice": 900.0, "full": 5400.0}
KEY = "Commerce_Id__c"


@dataclass(frozen=True, slots=True)
class World:
    """A demo whose programs all answer."""

    folder: Folder
    children: Children
    screen: Screen
    report: Report
    airflow: AirflowRest
    login: Login
    crm: Crm
    simulated: dict[str, Simulated]
    """Control API by system."""

    @property
    def shop(self) -> Simulated:
        """The shop's control API."""
        return self.simulated["sap_commerce"]


@dataclass(frozen=True, slots=True)
class Outcome:
    """One DAG run with what it did."""

    watched: Watched
    balances: tuple[Balance, ...]
    calls: dict[str, Calls]

    @property
    def day(self) -> date:
        """The UTC date the figures' scores refer to."""
        return max(balance.as_of for balance in self.balances)

    def total(self, count: str) -> int:
        """A count over all legs."""
        return sum(balance.counts[count] for balance in self.balances)


def run_dag(world: World, dag: str, *, name: str) -> Outcome:
    """Run a DAG as one stage; notes run, balances and calls in the report. Raises DemoError when it fails."""
    with world.screen.stage(name) as stage:
        outcome = _run(world, dag, stage=stage)
        world.report.add_run(name, outcome.watched, balances=outcome.balances, calls=outcome.calls)
        stage.done(_summary(outcome))
    for balance in outcome.balances:
        world.report.check(
            f"{name}: {balance.leg} balances",
            passed=balance.is_balanced and balance.status == "green",
            detail=f"{balance.status}, {balance.counts}",
        )
    return outcome


def _run(world: World, dag: str, *, stage: Stage) -> Outcome:
    for system in world.simulated.values():
        system.reset_calls()
    seconds = RUN_S[world.report.scale]
    watched = run_flow(world.airflow, dag, stage=stage, seconds=seconds, must_run=world.children.must_run)
    calls = {name: system.calls() for name, system in world.simulated.items()}
    balances = read_balances(world.folder.sync, run_id=watched.run.run_id)
    if not balances:
        raise DemoError(f"run {watched.run.run_id} of {dag} left nothing in the ledger below {world.folder.sync}")
    return Outcome(watched=watched, balances=tuple(balances), calls=calls)


def _summary(outcome: Outcome) -> str:
    calls = outcome.calls["salesforce"]
    refused = outcome.total("rejected") + outcome.total("unprocessed") + outcome.total("quarantined")
    parts = [f"{outcome.total('read'):,} read", f"{outcome.total('sent'):,} sent"]
    parts += [f"{refused:,} refused"] if refused else []
    return ", ".join([*parts, f"{calls.total:,} Salesforce calls, {calls.writes:,} to write"])


def accounts(world: World) -> dict[str, Record]:
    """Every account in Salesforce that came from the shop, by its external id."""
    return world.crm.snapshot("Account", key=KEY)


def contacts(world: World) -> dict[str, Record]:
    """Every contact in Salesforce that came from the shop, by its external id."""
    return world.crm.snapshot("Contact", key=KEY)


def hold(world: World) -> None:
    """Leave everything running until somebody ends it. Raises DemoError when a program ends by itself."""
    while True:
        world.children.must_run()
        time.sleep(1)


def relative(path: Path, *, to: Path) -> str:
    """A path as a person in the project folder would write it."""
    return str(path.relative_to(to)) if path.is_relative_to(to) else str(path)
