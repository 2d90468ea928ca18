"""``python -m demo``: see ``--help``."""

from __future__ import annotations

import argparse
import sys
from contextlib import suppress
from typing import Any

from demo import launch, plan, ports
from demo.children import Children, Interrupted, raise_on_signals
from demo.crm import Crm
from demo.errors import DemoError
from demo.folder import PROJECT, Folder
from demo.report import Report
from demo.screen import Screen
from demo.simulated import Simulated
from demo.story import tell
from demo.world import World, hold, relative

REPORT = PROJECT / "demo" / "report.json"
SYSTEMS = ("sap_commerce", "salesforce", "iconik", "opentext_iot")
"""Where the flows of the demo read and write."""
SIDES = {"salesforce": plan.SALESFORCE, "iconik": plan.ICONIK, "opentext_iot": plan.IOT}
"""Whose flows there are -> how their DAG ids begin."""


def options(argv: list[str] | None = None) -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        prog="python -m demo",
        description="Runs the flows between a shop, Salesforce, iconik and connected devices on real shop data through "
        "Airflow, proves the result, leaves the UI up.",
    )
    add = parser.add_argument
    add(
        "--scale",
        choices=("slice", "full"),
        default="slice",
        help="how much of the shop's data (default: slice)",
    )
    add(
        "--systems",
        nargs="+",
        choices=SIDES,
        default=list(SIDES),
        metavar="SYSTEM",
        help=f"whose flows run, of {', '.join(SIDES)}; those of salesforce always do (default: all)",
    )
    add("--check", action="store_true", help=f"unattended: exit code 0 or 1, {relative(REPORT, to=PROJECT)}")
    add("--port-base", type=int, default=0, metavar="N", help="first of nine neighbouring ports; 0: free ones")
    add("--keep", action="store_true", help="with --check: leave everything running until Ctrl-C")
    return parser.parse_args(argv)


def main(argv: list[str] | None = None) -> int:
    """Run the demo; 0 when everything it says is proved, 1 when not, 130 when it was interrupted."""
    chosen, screen, children = options(argv), Screen(), Children()
    report = Report(scale=chosen.scale)
    raise_on_signals()
    try:
        return _main(chosen, screen=screen, children=children, report=report)
    except DemoError as error:
        screen.line(f"\n  {error}")
        return 1
    except Interrupted:
        screen.line("\n  Interrupted.")
        return 130
    finally:
        if children.any():
            screen.line("  Ending everything the demo started ...")
            children.stop()
            screen.line("  Nothing is left running.")


def _main(chosen: argparse.Namespace, *, screen: Screen, children: Children, report: Report) -> int:
    folder = Folder(PROJECT / ".demo").take()
    block = ports.choose(chosen.port_base)
    screen.line("\n  Commerce Sync: a shop, its CRM, media and devices, kept in step by flows that prove what they did")
    screen.line(f"  scale {chosen.scale}; files in {relative(folder.root, to=PROJECT)}/; Ctrl-C ends everything\n")
    world: World | None = None
    error: DemoError | None = None
    try:
        families = [SIDES[name] for name in chosen.systems]
        flows = plan.flow_names(families=families)
        world, systems = start(folder, children, block=block, screen=screen, report=report, flows=flows)
        tell(world)
    except DemoError as problem:
        error = problem
    passed = report.finish(seconds_per_stage=screen.seconds, error=str(error) if error else None)
    if chosen.check:
        report.write(REPORT)
    show_verdict(screen, report)
    if world is None:
        return 1
    if chosen.keep or not chosen.check:
        show_addresses(screen, world, systems)
        with suppress(Interrupted):
            hold(world)
    return 0 if passed else 1


def start(
    folder: Folder, children: Children, *, block: ports.Ports, screen: Screen, report: Report, flows: tuple[str, ...]
) -> tuple[World, dict[str, Any]]:
    """Start simulators and Airflow; gives the running world and the simulators' addresses."""
    with screen.stage("simulators") as stage:
        systems = launch.start_simulators(folder, children, ports=block, scale=report.scale, stage=stage)
        stage.done(
            f"SAP Commerce, Salesforce, iconik, OpenText IoT on ports {block.simulators} to {block.simulators + 3}"
        )
    with screen.stage("airflow") as stage:
        airflow, login = launch.start_airflow(folder, children, ports=block, systems=systems, stage=stage)
        report.versions |= airflow.versions()
        stage.done(f"all components healthy, {login.url}")
    with screen.stage("flows") as stage:
        launch.wait_for_dags(airflow, children, dags=flows, look=folder.logs / "airflow.log", stage=stage)
        for flow in flows:
            airflow.unpause(flow)
        stage.done(f"{len(flows)} between SAP Commerce and its neighbours")
    world = World(
        folder=folder,
        children=children,
        screen=screen,
        report=report,
        airflow=airflow,
        login=login,
        crm=Crm(systems["salesforce"]),
        simulated={name: Simulated(systems[name]["url"]) for name in SYSTEMS},
        flows=flows,
    )
    return world, systems


def show_verdict(screen: Screen, report: Report) -> None:
    """Say what was proved and what was not."""
    screen.line()
    if report.error:
        screen.line(f"  {report.error}\n")
    wrong = [item for item in report.checks if not item.passed]
    for item in wrong:
        screen.line(f"  NOT TRUE  {item.name}: {item.detail}")
    good = len(report.checks) - len(wrong)
    verdict = "PASSED" if report.passed else "FAILED"
    seconds = sum(report.seconds_per_stage.values())
    screen.line(f"  {verdict}: {good} of {len(report.checks)} statements proved in {seconds:.0f} s")


def show_addresses(screen: Screen, world: World, systems: dict[str, Any]) -> None:
    """Say where to look around."""
    shop, login = systems["sap_commerce"], world.login
    rows = [
        ("Airflow", login.url, f"user {login.user}, password {login.password}"),
        (
            "SAP Commerce",
            f"{shop['url']}/odata2webservices",
            f"user {shop['username']}, password {shop['password']}",
        ),
        (
            "Salesforce",
            systems["salesforce"]["url"],
            "credentials in .demo/simulators/ready.json",
        ),
    ]
    screen.table("Look around (SAP Commerce and Salesforce are simulated)", ("what", "address", "sign in"), rows)
    screen.line()
    screen.line("  The clock starts nothing in the demo: trigger salesforce_customers and the others follow.")


if __name__ == "__main__":
    sys.exit(main())
