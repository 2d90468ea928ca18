"""Watching a cycle: the first flow is triggered, the others follow, and none is waited for in vain."""

from __future__ import annotations

import io
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest

from demo import flows, web
from demo.airflow_rest import Question, Run
from demo.errors import DemoError
from demo.flows import run_flows
from demo.plan import Start
from demo.screen import Screen

NOON = datetime(2026, 6, 30, 12, tzinfo=UTC)


class Airflow:
    """Ends a run at the second look; ``after`` says which flows follow which, ``mute`` how often it gives no answer."""

    def __init__(self, after=(), *, asks=(), mute=0):
        self.after, self.asks, self.mute = dict(after), list(asks), mute
        self.busy_for = 0
        self.all, self.looks, self.answered, self.conf = [], 0, [], {}

    def runs(self):
        self.looks += 1
        if self.looks > 1 and self.mute:
            self.mute -= 1
            raise web.HttpError("no answer", status=0)
        now = list(reversed(self.all))
        for place, run in enumerate(self.all):
            if run.state == "running" and not self.asks:
                self.all[place] = replace(run, state="success", ended=NOON + timedelta(seconds=9))
                self.all += [
                    self._run(flow, by_assets=True) for flow, before in self.after.items() if before == run.dag
                ]
        return now

    def trigger(self, flow, *, conf):
        if self.busy_for:
            self.busy_for -= 1
            raise web.HttpError("database is locked", status=500)
        self.conf[flow] = dict(conf)
        self.all.append(self._run(flow, by_assets=False))
        return self.all[-1]

    def _run(self, flow, *, by_assets):
        started = NOON + timedelta(minutes=len(self.all))
        return Run(flow, f"{flow}-{len(self.all)}", "running", started, None, by_assets)

    def starters(self, run):
        return [self.after[run.dag]]

    def questions(self):
        return self.asks

    def answer(self, question, *, option, reason):
        self.answered.append((question.task, option))
        self.asks.remove(question)

    def busy(self):
        return []

    def tasks(self, run):
        return []

    def sick_components(self):
        return []


@pytest.fixture
def cycle(monkeypatch):
    """Runs flows over a stand-in without waiting; gives each flow's starter."""
    monkeypatch.setattr(flows, "POLL_S", 0)
    monkeypatch.setattr(flows, "STALLED_S", 0.05)

    def ran(airflow, *names, seconds=10, starts=None):
        plan = starts or [Start(names[0])]
        with Screen(io.StringIO()).stage("cycle") as stage:
            watch = run_flows(airflow, names, starts=plan, stage=stage, seconds=seconds, must_run=lambda: None)
        return watch, {name: item.started_by for name, item in watch.watched().items()}

    return ran


def test_flows_that_follow_are_waited_for_and_named_with_who_started_them(cycle):
    watch, starters = cycle(Airflow({"b": "a", "c": "b"}), "a", "b", "c")
    assert starters == {"a": "hand", "b": "a", "c": "b"}
    assert watch.by_hand == {"a": "hand"}


def test_a_flow_of_the_plan_starts_when_those_before_it_have_ended_and_with_its_parameters(cycle):
    airflow = Airflow()
    plan = [Start("b", after=("a", "not there"), conf={"limit": 5}), Start("a")]
    _, starters = cycle(airflow, "a", "b", starts=plan)
    assert starters == {"a": "hand", "b": "hand"}
    assert airflow.conf == {"a": {}, "b": {"limit": 5}}
    assert [run.dag for run in airflow.all] == ["a", "b"]


def test_a_flow_that_does_not_follow_is_triggered_and_said_to_be(cycle):
    _, starters = cycle(Airflow({"c": "b"}), "a", "b", "c")
    assert starters == {"a": "hand", "b": "hand, did not follow", "c": "b"}


def test_a_flow_is_triggered_again_when_the_database_was_busy(cycle):
    airflow = Airflow({"b": "a"})
    airflow.busy_for = 2
    _, starters = cycle(airflow, "a", "b")
    assert starters == {"a": "hand", "b": "a"}


def test_runs_of_an_earlier_cycle_are_not_taken_for_this_ones(cycle):
    airflow = Airflow({"b": "a"})
    cycle(airflow, "a", "b")
    watch, starters = cycle(airflow, "a", "b")
    assert {run.run_id for run in watch.runs.values()} == {"a-2", "b-3"}
    assert starters == {"a": "hand", "b": "a"}


def test_a_question_is_answered_with_yes_and_kept(cycle):
    question = Question("a", "a-0", "prices.approve", -1, "send 12 changes?")
    airflow = Airflow(asks=[question])
    watch, _ = cycle(airflow, "a")
    assert airflow.answered == [("prices.approve", "Approve")]
    assert watch.answers == [question]


def test_an_api_server_that_says_nothing_for_a_moment_is_borne(cycle):
    _, starters = cycle(Airflow({"b": "a"}, mute=3), "a", "b")
    assert starters == {"a": "hand", "b": "a"}


def test_a_cycle_that_takes_too_long_says_what_has_not_begun(cycle, monkeypatch):
    monkeypatch.setattr(flows, "STALLED_S", 60)
    with pytest.raises(DemoError, match="not begun: b"):
        cycle(Airflow(), "a", "b", seconds=0)
