"""What the demo tells, stage by stage: load, prove, run again, change something on all sides, prove again."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from datetime import UTC, datetime, time, timedelta
from time import sleep
from typing import Any

from demo import appliances, balances, edits, fleet, gallery, marks, orders, plan, stamps, storefront
from demo.appliances import Claim
from demo.crm import Record
from demo.cycle import Cycle, run_cycle
from demo.exactness import Exactness, changed_keys, compare
from demo.faults import Wanted
from demo.oracle import FIELDS, Figures, Order, recompute
from demo.plan import HISTORY
from demo.world import KEY, World, accounts, contacts

Stamps = dict[str, stamps.Stamp]
SHARE, SEED = 0.01, 7
TAKES = {"slice": timedelta(minutes=15), "full": timedelta(minutes=60)}
"""From the first run to the last, generously."""
BEST = 5
PRICES, PRODUCTS = 500, 60
"""Of so many of the shop's list prices so many of the dearest products are looked at."""
NAMES = {
    "sap_commerce": "SAP Commerce",
    "salesforce": "Salesforce",
    "iconik": "iconik",
    "opentext_iot": "OpenText IoT",
}
STAMPS = ("SystemModstamp", "LastModifiedDate", "LastModifiedById")


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
    open_shop(world)
    let_midnight_pass(world)
    if world.has(plan.IOT):
        fleet.stand_still(world)
    there, decided, said = held(world), gallery.decide(world), appliances.claims(world)
    if world.has(plan.IOT):
        edits.keep_one_open(world, said)
    first = run_cycle(world, name="first cycle", starts=plan.FIRST)
    rest = run_rest(world)
    proven = prove(world, first, name="recompute", index=seeded)
    show_arrived(world, first, proven, there=there)
    prove_products(world, seeded)
    repairs = prove_far(world, decided, said, name="")
    before, held_then = stamps.take(world.crm, stamps.written_objects()), marks.take(world)
    second = run_cycle(world, name="second cycle", starts=plan.quietly(world.flows))
    proven = prove_quiet(world, second, before=proven, since=before, held_then=held_then)
    index, told = change_orders(world, before=proven.index)
    edited = edits.edit(world, said, before=repairs) if repairs else None
    decided, held_then = gallery.decide(world), marks.take(world)
    third = run_cycle(world, name="changes", starts=plan.LATER)
    after = prove(world, third, name="recompute all", index=index)
    prove_touched(world, before=proven, after=after, said=told)
    after_repairs = prove_far(world, decided, said, name=" again")
    if repairs and after_repairs and edited:
        prove_followed(world, edited, held_then=held_then, before=repairs, after=after_repairs)
    show_touched(world, since=before)
    show_balance(world, third)
    count_strangers(world, [first, *rest, second, third])


def run_rest(world: World) -> list[Cycle]:
    """What the first load leaves to a second run."""
    starts = [start for start in plan.REST if start.flow in world.flows]
    wanted = plan.with_followers(starts, world.flows)
    return [run_cycle(world, name="its rest", starts=starts, flows_run=wanted)] if starts else []


def prove_far(world: World, decided: gallery.Decided, said: dict[str, Claim], *, name: str) -> Wanted | None:
    """Prove what the shop shows of library and devices, as far as their flows run; None without both."""
    if world.has(plan.ICONIK):
        gallery.prove(world, decided, name=f"media{name}")
    wanted = appliances.prove(world, said, name=f"devices say{name}") if world.has(plan.IOT) else None
    return wanted if world.has(plan.ICONIK) else None


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


def open_shop(world: World) -> None:
    """Let visitors come: write what they did where the flows' feeds look for it."""
    with world.screen.stage("visitors") as stage:
        prices = {
            row["productId"]: row["price"] for row in world.shop.records("PriceRow", limit=PRICES) if not row["ug"]
        }
        dearest = sorted(prices.items(), key=lambda item: (-item[1], item[0]))[:PRODUCTS]
        catalog = storefront.Catalog(
            customers=sorted(row["uid"] for row in people(world, "Customer")),
            buyers=sorted(row["uid"] for row in people(world, "B2BCustomer")),
            products=[(code, str(price)) for code, price in dearest],
        )
        world.report.events = storefront.write(world.folder.sync, catalog, now=datetime.now(UTC))
        stage.done(", ".join(f"{number:,} {kind}" for kind, number in world.report.events.items()))


def people(world: World, kind: str) -> list[Record]:
    """Customers of exactly this type (a buyer is a customer too), without the one that stands for all guests."""
    return [row for row in world.shop.records(kind) if row["itemtype"] == kind and row["customerID"]]


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


def prove(world: World, cycle: Cycle, *, name: str, index: orders.Index) -> Proven:
    """Recompute every figure from the shop's orders and compare with what Salesforce shows."""
    with world.screen.stage(name) as stage:
        stage.live("computing every figure again in plain Python")
        figures = recompute(_orders(world), as_of=cycle.outcomes[HISTORY].day)
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


def held(world: World) -> dict[str, int]:
    """How many accounts and contacts with the shop's ids Salesforce holds; some were there before the first run."""
    return {kind: world.crm.count(kind, where=f"{KEY} != null") for kind in ("Account", "Contact")}


def show_arrived(world: World, first: Cycle, proven: Proven, *, there: dict[str, int]) -> None:
    """Print what Salesforce holds now, and check that every customer and unit of the shop is among it."""
    buyers = [row for row in proven.accounts.values() if row["Order_Count__c"]]
    shown = {"Account": proven.accounts, "Contact": proven.contacts}
    world.report.arrived = {kind: len(rows) for kind, rows in shown.items()}
    world.report.arrived["accounts_with_purchases"] = len(buyers)
    for kind, keys in wanted(world).items():
        missing, more = keys - shown[kind].keys(), len(shown[kind].keys() - keys)
        world.report.check(
            f"every {kind} the shop has is in Salesforce, once",
            passed=bool(keys) and not missing and not more,
            detail=f"{len(keys):,} in the shop, {there[kind]:,} were in Salesforce before; {len(missing):,} missing, "
            f"{more:,} too many",
        )
    best = sorted(buyers, key=lambda row: row["Lifetime_Spend__c"], reverse=True)[:BEST]
    world.screen.table("Best customers, as a salesperson sees them", BEST_HEADERS, [_best_row(row) for row in best])
    show_balance(world, first)


def wanted(world: World) -> dict[str, set[str]]:
    """External ids the shop's people and units must have in Salesforce: accounts and contacts."""
    private = {row["customerID"] for row in people(world, "Customer")}
    buyers = {row["customerID"] for row in people(world, "B2BCustomer")}
    units = {row["uid"] for row in world.shop.records("B2BUnit")}
    return {"Account": private | units, "Contact": private | buyers}


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


def show_balance(world: World, cycle: Cycle) -> None:
    """Print each leg's counts: what became of the rows it read, and of those it sent."""
    legs = cycle.balances
    for title, names in (
        ("Rows read: extracted = unchanged + filtered + quarantined + sent", balances.READING),
        ("Rows sent: sent = delivered + rejected + unprocessed", balances.SENDING),
    ):
        world.screen.table(title, ("leg", *names), balances.rows(legs, names))
    world.screen.line()


def prove_products(world: World, index: orders.Index) -> None:
    """Show that products of Salesforce are those that were ordered, although the shop has more."""
    held = {row["Commerce_Id__c"] for row in world.crm.query(f"SELECT {KEY} FROM Product2 WHERE {KEY} != null")}
    there = {row["code"] for row in world.shop.first_seen("Product")}
    detail = f"{len(index.products):,} of {len(there):,} products of the shop were ordered; {len(held):,} in Salesforce"
    is_right = index.products == held and index.products < there
    world.report.check("Salesforce has the ordered products, no others", passed=is_right, detail=detail)


def prove_followed(
    world: World, edited: edits.Edited, *, held_then: marks.Marks, before: Wanted, after: Wanted
) -> None:
    """Show that only what was edited, and what hangs on it, has moved in library and shop."""
    keys = {f"{row['pk']}": row["code"][7:43] for row in world.shop.records("Media")}
    found = marks.touched(held_then, marks.take(world))
    media = {keys[key] for key in found.get("Media", ()) if key in keys}
    described = found.get("assets", set()) & edited.assets
    members, carts = before.members ^ after.members, before.carts ^ after.carts
    world.report.changes["far_records_touched"] = {kind: len(listed) for kind, listed in found.items()}
    for name, passed, detail in (
        ("only media of edited assets moved", bool(media) and media <= edited.assets, f"{len(media)} assets"),
        ("only edited assets were touched in the library", found.get("assets", set()) <= edited.assets,
         f"{len(described)} of {len(found.get('assets', ()))} touched assets were edited"),
        ("a fault that came and one that went moved offers and carts", bool(members) and bool(carts),
         f"{len(members)} memberships, {len(carts)} carts"),
    ):  # fmt: skip
        world.report.check(name, passed=passed, detail=detail)


def prove_quiet(world: World, second: Cycle, *, before: Proven, since: Stamps, held_then: marks.Marks) -> Proven:
    """Show that running everything again wrote nothing: no writing call anywhere, no record touched."""
    now = replace(before, accounts=accounts(world), contacts=contacts(world))
    found = stamps.touched(world.crm, since)
    differ = changed_keys(before.accounts, now.accounts) | changed_keys(before.contacts, now.contacts)
    moved = marks.touched(held_then, marks.take(world))
    found |= {kind: len(keys) for kind, keys in moved.items()}
    touched = max(sum(found.values()), len(differ))
    writes, sent = second.writes, second.total("sent")
    world.report.second_run_writes = sum(writes.values()) + touched
    calls = ", ".join(f"{number} on {NAMES[system]}" for system, number in writes.items())
    detail = f"writing calls: {calls}; {sent} rows sent, {touched} records touched"
    where = ", ".join(f"{name} {number}" for name, number in found.items())
    is_quiet = not (any(writes.values()) or touched or sent)
    world.report.check("the second cycle writes nothing", passed=is_quiet, detail=f"{detail} {where}".rstrip())
    with world.screen.stage("nothing twice") as stage:
        stage.done(detail)
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


def prove_touched(world: World, *, before: Proven, after: Proven, said: dict[str, Any]) -> None:
    """Show that only owners of changed orders were written, and figures only where they moved."""
    codes = orders.changed(before.index, after.index)
    touched = orders.owners(codes, before=before.index, after=after.index)
    moved = {key for key in after.figures if after.figures[key] != before.figures.get(key)}
    changed = changed_keys(before.accounts, after.accounts)
    figures = changed_keys(_only(before.accounts, FIELDS), _only(after.accounts, FIELDS))
    for_nothing = changed - changed_keys(_but(before.accounts, STAMPS), _but(after.accounts, STAMPS))
    world.report.changes = {
        "orders_changed": len(codes),
        "by_kind": said["by_kind"],
        "accounts_touched": len(touched),
        "accounts_with_other_figures": len(moved),
        "accounts_changed": len(changed),
        "accounts_changed_but_not_touched": len(changed - touched),
        "accounts_written_for_nothing": len(for_nothing),
    }
    detail = f"{len(changed):,} of {len(touched):,} owners of such orders changed"
    is_right = bool(changed) and changed <= touched and figures == moved and not for_nothing
    world.report.check("only touched accounts changed", passed=is_right, detail=detail)
    with world.screen.stage("only touched") as stage:
        stage.done(f"{detail}, {len(after.accounts) - len(changed):,} accounts left alone")


def _only(records: dict[str, Record], names: Iterable[str]) -> dict[str, Record]:
    return {key: {name: row.get(name) for name in names} for key, row in records.items()}


def _but(records: dict[str, Record], names: Iterable[str]) -> dict[str, Record]:
    return {key: {name: value for name, value in row.items() if name not in names} for key, row in records.items()}


def show_touched(world: World, *, since: Stamps) -> None:
    """Print how many records of each object the change reached."""
    found = stamps.touched(world.crm, since)
    world.report.changes["records_written"] = found
    rows = [[name, number, world.crm.count(name)] for name, number in found.items()]
    world.screen.table("What the change reached in Salesforce", ("object", "written", "there are"), rows)


def count_strangers(world: World, cycles: list[Cycle]) -> None:
    """Note runs that somebody else triggered meanwhile (in the UI): they may explain a difference."""
    ours = {run_id for cycle in cycles for run_id in cycle.run_ids}
    world.report.runs_not_ours = len({run.run_id for run in world.airflow.runs()} - ours)
    if world.report.runs_not_ours:
        world.screen.line(f"  note: {world.report.runs_not_ours} more runs happened that the demo did not trigger")
