"""Touched records are found by the far side's time stamps, whatever our legs say."""

from __future__ import annotations

import pytest

from demo import stamps
from demo.crm import Crm


@pytest.fixture
def crm(salesforce):
    salesforce.put("Lead", [{"LastName": "A", "Company": "C"}, {"LastName": "B", "Company": "C"}])
    return Crm({"url": salesforce.url} | salesforce.credentials)


def test_nothing_touched_is_nothing(crm):
    assert stamps.touched(crm, stamps.take(crm, ["Lead", "Task"])) == {}


def test_a_record_that_was_only_touched_counts(crm, salesforce):
    before = stamps.take(crm, ["Lead", "Task"])
    salesforce.clock(advance_s=60)
    salesforce.patch("Lead", salesforce.records("Lead")[0]["Id"], LastName="A")
    assert stamps.touched(crm, before) == {"Lead": 1}


def test_a_record_that_went_counts(crm, salesforce):
    before = stamps.take(crm, ["Lead"])
    salesforce.delete("Lead", salesforce.records("Lead")[0]["Id"])
    assert stamps.touched(crm, before) == {"Lead": 1}


def test_every_object_the_flows_write_is_watched():
    assert {"Account", "Contact", "Order", "OrderItem", "Case", "Task"} <= set(stamps.written_objects())
