"""What the demo tells, stage by stage: load, prove, run again, change some orders, prove again."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from time import sleep
from typing import Any

from demo import balances, orders
from demo.airflow_rest import AirflowRest
from demo.crm import Record
from demo.exactness import Exactness, changed_keys, compare
from demo.oracle import Figures, Order, recompute
from demo.world import CUSTOMERS, DAGS, HISTORY, Outcome, World, accounts, contacts, run_dag

SHARE, SEED = 0.01, 7
TAKES = {"slice": timedelta(minutes=6), "full": timedelta(minutes=30)}
"""From the first run to the last, generously."""
BEST = 5
ACCOUNT_LEGS = ("units_to_accounts", "households_to_accounts")
CONTACT_LEGS = ("b2b_customers_to_contacts", "customers_to_contacts")


@dataclass(frozen=True, slots=True)
class Proven:
    """A state of the world that was compared: the shop's orders, the figures, the accounts shown."""

    index: orders.Index
    figures: dict[str, Figures]
    accounts: dict[str, Record]
    contacts: dict[str, Record]


def tell(world: World) -> None:
    """Run all stages. What turns out wrong is in the report's checks; DemoError is for what cannot go on."""
    seeded = count_seed(world)
    let_midnight_pass(world)
    first = [run_dag(world, CUSTOMERS, name="customers"), run_dag(world, HISTORY, name="purchases")]
    proven = prove(world, first[1], name="recompute", index=seeded)
    show_arrived(world, first, proven)
    second = [
        run_dag(world, CUSTOMERS, name="customers again"),
        run_dag(world, HISTORY, name="purchases again"),
    ]
    proven = prove_quiet(world, second, before=proven)
    index, said = change_orders(world, before=proven.index)
    third = run_dag(world, HISTORY, name="changes")
    after = prove(world, third, name="recompute all", index=index)
    prove_touched(world, third, before=proven, after=after, said=said)
    show_balance(world, [third])
    count_strangers(world, [*first, *second, third])


def count_seed(world: World) -> orders.Index:
    """Count what the shop holds at the start."""
    with world.screen.stage("shop") as stage:
        stage.live("counting what the shop holds")
        index = orders.index(world.shop.orders())
        rows = {
            "customers": world.shop.count("Customer"),
            "b2b_customers": world.shop.count("B2BCustomer"),
            "units": world.shop.count("B2BUnit"),
            "orders": len(index.orders),
            "entries": index.entries,
            "returns": index.returns,
        }
        world.report.rows_seeded = rows
        stage.done(f"{rows['orders']:,} orders with {rows['entries']:,} lines of {rows['customers']:,} customers")
    return index


def let_midnight_pass(world: World) -> None:
    """Wait when the day is about to end: a new UTC date moves recency scores, and the second run would write."""
    now = datetime.now(UTC)
    midnight = datetime.combine(now.date() + timedelta(days=1), time.min, tzinfo=UTC)
    if midnight - now > TAKES[world.report.scale]:
        return
    with world.screen.stage("midnight") as stage:
        while datetime.now(UTC) < midnight:
            left = int((midnight - datetime.now(UTC)).total_seconds())
            stage.live(f"the UTC day ends in {left} s; figures are of one day, so the runs begin after it")
            world.children.must_run()
            sleep(1)
        stage.done("waited for the UTC day to end")


def prove(world: World, outcome: Outcome, *, name: str, index: orders.Index) -> Proven:
    """Recompute every figure from the shop's orders and compare with what Salesforce shows."""
    with world.screen.stage(name) as stage:
        stage.live("computing every figure again in plain Python")
        figures = recompute(_orders(world), as_of=outcome.day)
        shown = accounts(world)
        result = compare(figures, shown)
        world.report.add_exactness(name, result)
        stage.done(_exactly(result))
    world.report.check(f"{name}: every figure is exact", passed=not result.differences, detail=_exactly(result))
    return Proven(index=index, figures=figures, accounts=shown, contacts=contacts(world))


def _orders(world: World) -> Iterator[Order]:
    return orders.read(world.shop.orders(), categories=world.shop.category_names())


def _exactly(result: Exactness) -> str:
    size = f"{result.figures_compared:,} figures of {result.accounts_compared:,} accounts"
    if not result.differences:
        return f"{size} recomputed, all equal"
    return f"{len(result.differences):,} of {size} differ\n" + "\n".join(result.differences[:3])


def show_arrived(world: World, first: list[Outcome], proven: Proven) -> None:
    """Print what Salesforce holds now, and check that it is what the legs say they delivered."""
    delivered = {item.leg: item.counts["delivered"] for outcome in first for item in outcome.balances}
    held = {"accounts": len(proven.accounts), "contacts": len(proven.contacts)}
    buyers = [row for row in proven.accounts.values() if row["Order_Count__c"]]
    held["accounts_with_purchases"] = len(buyers)
    world.report.arrived = held
    for kind, legs in (("accounts", ACCOUNT_LEGS), ("contacts", CONTACT_LEGS)):
        said = sum(delivered.get(leg, 0) for leg in legs)
        world.report.check(
            f"Salesforce holds the {kind} that were delivered",
            passed=held[kind] == said > 0,
            detail=f"{held[kind]:,} in Salesforce, {said:,} delivered",
        )
    world.screen.table("In Salesforce now", ("what", "records"), [[k.replace("_", " "), v] for k, v in held.items()])
    best = sorted(buyers, key=lambda row: row["Lifetime_Spend__c"], reverse=True)[:BEST]
    world.screen.table("Best customers, as a salesperson sees them", BEST_HEADERS, [_best_row(row) for row in best])
    show_balance(world, first)


BEST_HEADERS = ("account", "orders", "spend", "average", "last", "next", "favourite", "share", "RFM")


def _best_row(row: Record) -> list[object]:
    return [
        str(row["Name"])[:18],
        int(row["Order_Count__c"]),
        money(row["Lifetime_Spend__c"]),
        money(row["Average_Order_Value__c"]),
        row["Last_Purchase__c"],
        row["Expected_Next_Purchase__c"],
        str(row["Top_Category_1__c"])[:12],
        f"{row['Top_Category_1_Share__c']} %",
        row["RFM_Score__c"],
    ]


def money(value: Any) -> str:
    """An amount with two decimals and thousands separated."""
    return "" if value is None else f"{value:,.2f}"


def show_balance(world: World, outcomes: list[Outcome]) -> None:
    """Print each leg's counts: what became of the rows it read, and of those it sent."""
    legs = [item for outcome in outcomes for item in outcome.balances]
    for title, names in (
        ("Rows read: extracted = unchanged + filtered + quarantined + sent", balances.READING),
        ("Rows sent: sent = delivered + rejected + unprocessed", balances.SENDING),
    ):
        world.screen.table(title, ("leg", *names), balances.rows(legs, names))
    world.screen.line()


def prove_quiet(world: World, second: list[Outcome], *, before: Proven) -> Proven:
    """Show that running everything again wrote nothing: no writing call, no record touched. Gives what is there now."""
    writes = sum(outcome.calls["salesforce"].writes for outcome in second)
    now = replace(before, accounts=accounts(world), contacts=contacts(world))
    touched = changed_keys(before.accounts, now.accounts) | changed_keys(before.contacts, now.contacts)
    sent = sum(outcome.total("sent") for outcome in second)
    world.report.second_run_writes = writes + len(touched)
    detail = f"{writes} writing calls, {sent} rows sent, {len(touched)} records touched"
    is_quiet = not (writes or touched or sent)
    world.report.check("the second run writes nothing", passed=is_quiet, detail=detail)
    with world.screen.stage("nothing twice") as stage:
        stage.done(f"second run: {detail}")
    return now


def change_orders(world: World, *, before: orders.Index) -> tuple[orders.Index, dict[str, Any]]:
    """Have the shop change about one percent of its orders; gives what it then holds and says it did."""
    with world.screen.stage("change orders") as stage:
        stage.live("customers order late, change their mind, cancel, send back")
        said = world.shop.mutate(share=SHARE, seed=SEED)
        after = orders.index(world.shop.orders())
        number = len(orders.changed(before, after))
        kinds = ", ".join(f"{value:,} {name}" for name, value in said["by_kind"].items())
        stage.done(f"{number:,} of {len(after.orders):,} orders\n{kinds}")
    return after, said


def prove_touched(world: World, outcome: Outcome, *, before: Proven, after: Proven, said: dict[str, Any]) -> None:
    """Show that exactly the accounts whose figures moved were written, all owners of changed orders."""
    codes = orders.changed(before.index, after.index)
    touched = orders.owners(codes, before=before.index, after=after.index)
    moved = {key for key in after.figures if after.figures[key] != before.figures.get(key)}
    changed = changed_keys(before.accounts, after.accounts)
    world.report.changes = {
        "orders_changed": len(codes),
        "by_kind": said["by_kind"],
        "accounts_touched": len(touched),
        "accounts_with_other_figures": len(moved),
        "accounts_changed": len(changed),
        "accounts_changed_but_not_touched": len(changed - touched),
    }
    detail = f"{len(changed):,} of {len(touched):,} owners of such orders changed"
    is_right = bool(changed) and changed <= touched and changed == moved
    world.report.check("only touched accounts changed", passed=is_right, detail=detail)
    with world.screen.stage("only touched") as stage:
        stage.done(f"{detail}, {len(after.accounts) - len(changed):,} left alone")


def count_strangers(world: World, outcomes: list[Outcome]) -> None:
    """Note runs that somebody else triggered meanwhile (in the UI): they may explain a difference."""
    ours = {outcome.watched.run.run_id for outcome in outcomes}
    world.report.runs_not_ours = len(_run_ids(world.airflow) - ours)
    if world.report.runs_not_ours:
        world.screen.line(f"  note: {world.report.runs_not_ours} more runs happened that the demo did not trigger")


def _run_ids(airflow: AirflowRest) -> set[str]:
    return {run_id for dag in DAGS for run_id in airflow.run_ids(dag)}
