"""Which flows a demo runs and starts: a new DAG file is found by itself."""

from __future__ import annotations

from demo import plan
from demo.plan import CUSTOMERS, FIRST, LATER, REST, Start

FOLLOWS = 'dag = sync_dag("x", legs=[], after=["{0}"])\n'


def test_flows_are_the_dag_files_of_the_moment_the_first_one_first(tmp_path):
    for name in ("salesforce_b", CUSTOMERS, "iot_a", "iconik_x", "other_y"):
        (tmp_path / f"{name}.py").touch()
    assert plan.flow_names(tmp_path) == (CUSTOMERS, "iconik_x", "iot_a", "salesforce_b")


def test_flows_of_some_systems_are_chosen_and_the_first_one_stays(tmp_path):
    for name in (CUSTOMERS, "iot_a", "iconik_x"):
        (tmp_path / f"{name}.py").touch()
    assert plan.flow_names(tmp_path, families=[plan.ICONIK]) == (CUSTOMERS, "iconik_x")


def test_what_follows_an_inbox_without_news_is_started_by_hand(tmp_path):
    (tmp_path / "iot_a.py").write_text(FOLLOWS.format("iot_inbox"))
    (tmp_path / "iot_b.py").write_text(FOLLOWS.format("iot_a"))
    quiet = plan.quietly(["iot_a", "iot_b"], folder=tmp_path)
    assert quiet == (*LATER, Start("iot_a", after=("iot_inbox",)))


def test_followers_of_followers_belong_to_a_part_of_a_cycle(tmp_path):
    (tmp_path / "iot_insights.py").touch()
    (tmp_path / "iot_b.py").write_text(FOLLOWS.format("iot_insights"))
    (tmp_path / "iot_c.py").write_text(FOLLOWS.format("iot_b"))
    flows = ("iot_b", "iot_c", "iot_insights")
    assert plan.with_followers([Start("iot_insights")], flows, folder=tmp_path) == ("iot_insights", "iot_b", "iot_c")


def test_every_flow_of_the_project_is_started_or_follows_one_that_is():
    flows = plan.flow_names()
    for starts in (FIRST, LATER):
        assert set(plan.with_followers(starts, flows)) == set(flows)
    assert {start.flow for start in REST} <= set(flows)
