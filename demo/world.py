"""Everything a running demo consists of: its programs, its flows, what Salesforce holds."""

from __future__ import annotations

import time
from dataclasses import dataclass
from pathlib import Path

from demo.airflow_rest import AirflowRest
from demo.children import Children
from demo.crm import Crm, Record
from demo.folder import Folder
from demo.launch import Login
from demo.report import Report
from demo.screen import Screen
from demo.simulated import Simulated

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
    flows: tuple[str, ...]
    """DAG ids of the flows, the one that is triggered first."""

    @property
    def shop(self) -> Simulated:
        """The shop's control API."""
        return self.simulated["sap_commerce"]

    def has(self, family: str) -> bool:
        """Whether flows of a family (``iconik_``) run."""
        return any(flow.startswith(family) for flow in self.flows)

    @property
    def library(self) -> Simulated:
        """The media library's control API."""
        return self.simulated["iconik"]

    @property
    def fleet(self) -> Simulated:
        """The device platform's control API."""
        return self.simulated["opentext_iot"]


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
