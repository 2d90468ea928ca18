"""Contract 4.7 under any order of edits and runs, also of runs that overlap: it comes to rest and loses nothing unseen.

``HYPOTHESIS_EXAMPLES`` asks for more examples than the usual few; each is a dozen runs.
"""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from contracts.two_sides import BACK, CRM, OUT, OWNERS, SHOP, VALUES, Two, mappings

EXAMPLES = int(os.environ.get("HYPOTHESIS_EXAMPLES", "8"))
KEYS = ("p", "q")
edits = st.tuples(
    st.just("edit"), st.sampled_from((SHOP, CRM)), st.sampled_from(KEYS), st.sampled_from(VALUES),
    st.sampled_from(("fresh", "fresh", "same", None)),
)  # fmt: skip
runs = st.tuples(st.sampled_from(("run", "begin", "finish")), st.sampled_from((OUT, BACK)))


@pytest.fixture(scope="session")
def declared(tmp_path_factory):
    return mappings(tmp_path_factory.mktemp("mappings"))


@settings(max_examples=EXAMPLES, deadline=None, suppress_health_check=list(HealthCheck), database=None)
@given(st.lists(st.one_of(edits, edits, runs), min_size=2, max_size=12))
def test_in_any_order_both_sides_come_to_rest_and_no_value_is_lost_unseen(declared, acts):
    with tempfile.TemporaryDirectory(ignore_cleanup_errors=True) as folder:
        two = Two(Path(folder), declared)
        for leg in (OUT, BACK):
            two.alter(leg, options={"max_turns": 99})
        play(two, acts)
        two.settle()
        look(two)


def play(two: Two, acts: list[tuple]) -> None:
    begun: dict[str, str] = {}
    for number, (act, where, *what) in enumerate(acts):
        if act == "edit":
            key, name, kind = what
            two.sides[where].edit(key, **{name: f"{where} {number}" if kind == "fresh" else kind})
            continue
        if where in begun:
            two.finish(where, begun.pop(where))
        elif act == "run":
            two.run(where)
        elif act == "begin":
            begun[where] = two.begin(where)
    for leg, name in begun.items():
        two.finish(leg, name)


def look(two: Two) -> None:
    lost = {(item.key, item.field, item.lost) for item in two.conflicts()}
    for key, name in ((key, name) for key in two.shop.people for name in VALUES):
        assert two.shop.value(key, name) == two.crm.value(key, name), f"{name} of {key}: {lost}"
    assert set(two.shop.people) == set(two.crm.people)
    names = {"phone": "telephone", "email": "mail"}
    for side, other in ((two.shop, two.crm), (two.crm, two.shop)):
        for key, name, value in side.overwritten:
            seen = value is None or (key, name, value) in other.history or (key, names[name], value) in lost
            assert seen, f"{side.name}: {name} {value!r} of {key} is gone; listed: {lost}"
    for item in two.conflicts():
        owner = OWNERS["phone" if item.field == "telephone" else "email"]
        assert (item.owner, item.losing != owner) == (owner, True)
