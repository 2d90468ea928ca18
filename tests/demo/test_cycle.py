"""The table of a cycle: a line per flow in 100 columns, what was refused and why, and no failure hidden."""

from __future__ import annotations

import io
from datetime import UTC, date, datetime, timedelta

import pytest

from demo import cycle
from demo.airflow_rest import Question, Run
from demo.balances import COUNTS, MORE_COUNTS, Balance, Refusal
from demo.cycle import Cycle, Outcome
from demo.errors import DemoError
from demo.flows import Watched
from demo.plan import CUSTOMERS
from demo.report import Report
from demo.screen import WIDTH, Screen
from demo.simulated import Calls
from demo.world import World

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)


def outcome(dag, *, state="success", started_by="hand", refusals=(), **counts):
    run = Run(dag, f"{dag}-1", state, NOON, NOON + timedelta(seconds=12.34), started_by != "hand")
    full = dict.fromkeys((*COUNTS, *MORE_COUNTS), 0) | counts
    balance = Balance("leg", "r", "changes", "green", True, full, {}, {}, None, date(2026, 6, 30))
    return Outcome(Watched(run, (), started_by), (balance,), tuple(refusals))


@pytest.fixture
def world():
    airflow = type("Airflow", (), {"log": lambda self, run, task: []})()
    return World(None, None, Screen(io.StringIO()), Report(scale="slice"), airflow, None, None, {}, ())


def shown(world, *outcomes, answers=()):
    found = Cycle({item.watched.run.dag: item for item in outcomes}, {"salesforce": Calls(0, {})}, answers)
    cycle.show(world, found)
    cycle._check(world, found, name="first")
    return world.screen._out.getvalue()


def test_a_flow_is_a_line_with_its_starter_counts_and_seconds(world):
    text = shown(
        world,
        outcome(CUSTOMERS, read=1234, sent=20, delivered=18, rejected=1, quarantined=1),
        outcome("salesforce_campaigns", started_by="salesforce_customers, salesforce_orders"),
    )
    assert "customers  hand                  1  1,234    20         18        2     12.3" in text
    assert "campaigns  customers, orders" in text
    assert max(map(len, text.splitlines())) <= WIDTH


def test_refused_rows_are_named_with_their_reason_and_fail_nothing(world):
    refusal = Refusal("orders_to_orders", 3, "FIELD_INTEGRITY_EXCEPTION", "activated " * 30)
    text = shown(world, outcome("salesforce_orders", rejected=3, refusals=[refusal]))
    assert "orders: 3 refused by orders_to_orders: FIELD_INTEGRITY_EXCEPTION activated" in text
    assert all(item.passed for item in world.report.checks)
    assert max(map(len, text.splitlines())) <= WIDTH


def test_what_a_person_agreed_to_is_shown(world):
    question = Question("salesforce_contract_prices", "r", "approve", -1, "Leg prices: send 12 changes?")
    text = shown(world, outcome("salesforce_contract_prices"), answers=(question,))
    assert "contract_prices: Leg prices: send 12 changes? Approved by admin." in text


def test_a_failed_flow_is_shown_and_fails_the_demo_but_lets_the_others_count(world):
    text = shown(world, outcome("salesforce_cases", state="failed"), outcome(CUSTOMERS))
    assert "cases FAILED" in text
    assert [item.name for item in world.report.checks if not item.passed] == ["first: cases succeeds"]


def test_a_flow_that_had_to_be_started_by_hand_fails_the_demo(world):
    shown(world, outcome("salesforce_cases", started_by="hand, did not follow"))
    assert "first: cases starts by assets" in [item.name for item in world.report.checks if not item.passed]


def test_the_demo_ends_when_a_flow_that_the_proofs_need_has_failed(world):
    with pytest.raises(DemoError, match="without salesforce_customers"):
        shown(world, outcome(CUSTOMERS, state="failed"))
