"""The demo's proofs must be able to fail: a flow that does one thing wrong is found out."""

from __future__ import annotations

import io
from copy import deepcopy
from datetime import UTC, date, datetime, timedelta
from decimal import Decimal
from types import SimpleNamespace

import pytest

from demo import story
from demo.airflow_rest import Run
from demo.balances import COUNTS, MORE_COUNTS, Balance
from demo.cycle import Cycle, Outcome
from demo.faults import Wanted
from demo.flows import Watched
from demo.oracle import FIELDS, recompute
from demo.plan import CUSTOMERS, HISTORY
from demo.report import Report
from demo.screen import WIDTH, Screen
from demo.simulated import Calls
from demo.world import World

DAY = date(2026, 6, 30)


def raw_order(number, *, owner, price="10.00"):
    entry = {"entryNumber": 0, "quantity": 2, "totalPrice": price, "categories": ["c"], "product": "p1"}
    return {
        "code": f"o{number}",
        "status": "COMPLETED",
        "date": f"2026-06-{number + 1:02}T10:00:00+00:00",
        "unit": None,
        "user": {"customerID": owner},
        "entries": [entry],
        "returns": [],
    }


class Shop:
    """Ten customers with two orders each; a change doubles the price of the first order."""

    def __init__(self):
        self.raws = [raw_order(number, owner=f"C{number % 10}") for number in range(20)]

    def orders(self):
        return iter(deepcopy(self.raws))

    def category_names(self):
        return {"c": "Dairy"}

    def count(self, kind):
        return {"Customer": 10}.get(kind, 0)

    def first_seen(self, kind):
        return self.records(kind)

    def records(self, kind, *, limit=None):
        if kind == "Product":
            return [{"code": "p1"}, {"code": "never ordered"}]
        if kind == "Customer":
            buyer = {"itemtype": "B2BCustomer", "uid": "b@example.com", "customerID": "B1"}
            guest = {"itemtype": "Customer", "uid": "anonymous", "customerID": None}
            names = [{"uid": f"c{number}@example.com", "customerID": f"C{number}"} for number in range(10)]
            return [buyer, guest, *({"itemtype": "Customer"} | name for name in names)]
        return [{"productId": "p1", "price": 3.5, "ug": None}] if kind == "PriceRow" else []

    def mutate(self, *, share, seed):
        self.raws[0]["entries"][0]["totalPrice"] = "20.00"
        return {"orders": ["o0"], "accounts": ["C0"], "by_kind": {"edited": 1}}


class Salesforce:
    """Accounts and contacts by id."""

    def __init__(self):
        self.held = {"Account": {}, "Contact": {}}
        self.products = [{"Commerce_Id__c": "p1"}]
        self.clock = 0

    def snapshot(self, sobject, *, key):
        return deepcopy(self.held[sobject])

    def count(self, sobject, *, where=""):
        records = self.held[sobject].values()
        since = int(where.split("> ")[1]) if ">" in where else -1
        return sum(record.get("SystemModstamp", 0) > since for record in records)

    def query(self, soql):
        if "Product2" in soql:
            return self.products
        newest = max((record["SystemModstamp"] for record in self.held[soql.split()[3]].values()), default=None)
        return [] if newest is None else [{"SystemModstamp": newest}]

    def write(self, sobject, key, values):
        self.clock += 1
        record = self.held[sobject].setdefault(key, {"Name": key, "Commerce_Id__c": key, **dict.fromkeys(FIELDS)})
        record.update(values, SystemModstamp=self.clock)


class Flows:
    """Stands for the flows of a cycle; ``wrong(flows, what)`` may spoil something after a cycle."""

    def __init__(self, shop, salesforce, *, wrong):
        self.shop, self.salesforce, self.wrong, self.ran, self.shop_writes = shop, salesforce, wrong, 0, 0

    def run_cycle(self, world, *, name, **_plan):
        self.ran += 1
        before, self.shop_writes = self.salesforce.clock, 0
        legs = {CUSTOMERS: self._customers(), HISTORY: self._history(world)}
        self.wrong(self, name)
        crm = {"PATCH /services/data/vXX.0/composite": self.salesforce.clock - before}
        shop = {"POST /odata2webservices/{service}/$batch": self.shop_writes}
        calls = {"salesforce": Calls(total=9, by_route=crm), "sap_commerce": Calls(total=9, by_route=shop)}
        with world.screen.stage(name) as stage:
            stage.done("done")
        world.report.check(f"{name} balances", passed=True, detail="")
        return Cycle({dag: self._outcome(dag, balances) for dag, balances in legs.items()}, calls)

    def _outcome(self, dag, balances):
        run = Run(dag, f"{dag}-{self.ran}", "success", datetime.now(UTC), datetime.now(UTC))
        return Outcome(Watched(run, ()), tuple(balances))

    def _customers(self):
        known = self.salesforce.held
        legs = []
        for leg, sobject in (("households_to_accounts", "Account"), ("customers_to_contacts", "Contact")):
            new = [f"C{number}" for number in range(10) if f"C{number}" not in known[sobject]]
            for key in new:
                self.salesforce.write(sobject, key, {})
            legs.append(balance(leg, sent=len(new)))
        return legs

    def _history(self, world):
        sent = 0
        for key, figures in recompute(story._orders(world), as_of=DAY).items():
            shown = {name: value.isoformat() if isinstance(value, date) else value for name, value in figures.items()}
            record = self.salesforce.held["Account"][key]
            if any(record[name] != value for name, value in shown.items()):
                self.salesforce.write("Account", key, shown)
                sent += 1
        return [balance("purchase_history_to_accounts", sent=sent)]


def balance(leg, *, sent):
    counts = dict.fromkeys((*COUNTS, *MORE_COUNTS), 0) | {"sent": sent, "delivered": sent}
    return Balance(leg, "run", "changes", "green", True, counts, {}, {}, None, DAY)


def stand_in_for_media_and_devices(monkeypatch):
    """Their proofs have tests of their own; here nothing happens to them."""
    for module, names in ((story.fleet, ["stand_still"]), (story.gallery, ["decide", "prove"])):
        for name in names:
            monkeypatch.setattr(module, name, lambda *args, **options: None)
    monkeypatch.setattr(story.appliances, "claims", lambda world: {})
    monkeypatch.setattr(story.appliances, "prove", lambda world, said, name: Wanted(set(), set(), set()))
    monkeypatch.setattr(story.marks, "take", lambda world: {})
    monkeypatch.setattr(story.edits, "edit", lambda world, said, before: None)
    monkeypatch.setattr(story, "prove_followed", lambda *args, **options: None)
    monkeypatch.setattr(story, "run_rest", lambda world: [])
    monkeypatch.setattr(story, "let_midnight_pass", lambda world: None)


@pytest.fixture
def tell(monkeypatch, tmp_path):
    """Tells the story over the stand-ins; gives the report and what was printed."""

    def told(*, wrong=lambda flows, name: None):
        shop, salesforce, out = Shop(), Salesforce(), io.StringIO()
        flows = Flows(shop, salesforce, wrong=wrong)
        report = Report(scale="slice")
        airflow = type("Airflow", (), {"runs": lambda self: []})()
        folder = SimpleNamespace(sync=tmp_path)
        world = World(folder, None, Screen(out), report, airflow, None, salesforce, {"sap_commerce": shop}, ())
        monkeypatch.setattr(story, "run_cycle", flows.run_cycle)
        monkeypatch.setattr(story.stamps, "written_objects", lambda: ["Account", "Contact"])
        stand_in_for_media_and_devices(monkeypatch)
        story.tell(world)
        report.finish(seconds_per_stage={}, error=None)
        return report, out.getvalue()

    return told


def failed(report):
    return [check.name for check in report.checks if not check.passed]


def test_flows_that_do_everything_right_pass(tell):
    report, printed = tell()
    assert failed(report) == []
    assert report.passed
    assert report.second_run_writes == 0
    assert report.rows_seeded["orders"] == 20
    assert report.changes["accounts_changed"] == 1
    assert max(map(len, printed.splitlines())) <= WIDTH


@pytest.mark.parametrize(("began", "waits_s"), [((23, 59, 50), 10), ((23, 44, 0), 0), ((0, 0, 0), 0)])
def test_runs_that_would_end_after_midnight_begin_after_it(monkeypatch, began, waits_s):
    class Clock(datetime):
        present = datetime(2026, 6, 30, *began, tzinfo=UTC)

        @classmethod
        def now(cls, zone):
            return cls.present.astimezone(zone)

    def sleep(seconds):
        Clock.present += timedelta(seconds=seconds)

    monkeypatch.setattr(story, "datetime", Clock)
    monkeypatch.setattr(story, "sleep", sleep)
    asked, start = [], Clock.present
    children = SimpleNamespace(must_run=lambda: asked.append(Clock.present))
    world = World(None, children, Screen(io.StringIO()), Report(scale="slice"), None, None, None, {}, ())
    story.let_midnight_pass(world)
    assert Clock.present - start == timedelta(seconds=waits_s)
    assert len(asked) == waits_s  # a child that ended is noticed while it waits


def test_a_flow_that_writes_the_same_again_is_found(tell):
    def wrong(flows, name):
        if name == "second cycle":
            flows.salesforce.write("Account", "C3", {})

    report, _ = tell(wrong=wrong)
    assert failed(report) == ["the second cycle writes nothing"]
    assert report.second_run_writes > 0


def test_a_flow_that_writes_to_the_shop_again_is_found(tell):
    def wrong(flows, name):
        flows.shop_writes = int(name == "second cycle")

    report, _ = tell(wrong=wrong)
    assert failed(report) == ["the second cycle writes nothing"]


def test_an_account_that_is_written_for_nothing_is_found(tell):
    def wrong(flows, name):
        if name == "changes":
            flows.salesforce.write("Account", "C1", {})

    report, _ = tell(wrong=wrong)
    assert failed(report) == ["only touched accounts changed"]
    assert report.changes["accounts_written_for_nothing"] == 1


def test_a_contact_that_was_touched_again_is_found(tell):
    def wrong(flows, name):
        if name == "second cycle":
            flows.salesforce.held["Contact"]["C1"]["SystemModstamp"] = 10**6

    report, _ = tell(wrong=wrong)
    assert failed(report) == ["the second cycle writes nothing"]


def test_a_flow_that_touches_an_account_whose_orders_did_not_change_is_found(tell):
    def wrong(flows, name):
        if name == "changes":
            flows.salesforce.write("Account", "C3", {})

    report, _ = tell(wrong=wrong)
    assert failed(report) == ["only touched accounts changed"]
    assert report.changes["accounts_changed_but_not_touched"] == 1


def test_a_flow_that_misses_a_changed_order_is_found(tell):
    def wrong(flows, name):
        if name == "changes":
            flows.salesforce.held["Account"] = deepcopy(flows.kept)
        flows.kept = deepcopy(flows.salesforce.held["Account"])

    report, _ = tell(wrong=wrong)
    assert failed(report) == ["recompute all: every figure is exact", "only touched accounts changed"]


def test_a_figure_that_is_a_cent_off_is_found(tell):
    def wrong(flows, name):
        if name == "first cycle":
            flows.salesforce.held["Account"]["C2"]["Lifetime_Spend__c"] += Decimal("0.01")

    report, _ = tell(wrong=wrong)
    assert "recompute: every figure is exact" in failed(report)
    assert report.exactness["max_difference"] == "0.01"


def test_a_product_that_nobody_ordered_is_found(tell):
    def wrong(flows, name):
        flows.salesforce.products = [{"Commerce_Id__c": "p1"}, {"Commerce_Id__c": "never ordered"}]

    report, _ = tell(wrong=wrong)
    assert failed(report) == ["Salesforce has the ordered products, no others"]


def test_a_contact_that_is_not_there_is_found(tell):
    def wrong(flows, name):
        if name == "first cycle":
            del flows.salesforce.held["Contact"]["C5"]

    report, _ = tell(wrong=wrong)
    assert "every Contact the shop has is in Salesforce, once" in failed(report)
