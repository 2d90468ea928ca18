"""Random upserts against a model, random filters against the same filter in Python."""

from __future__ import annotations

import operator
from urllib.parse import quote

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

RELAXED = settings(
    max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture], derandomize=True
)
TEXTS = st.text(st.characters(codec="utf-8", exclude_categories=["Cs", "Cc"]), min_size=1, max_size=6)
UNITS = "UnitSync/B2BUnits"
COMPARE = {
    "eq": operator.eq,
    "ne": operator.ne,
    "gt": operator.gt,
    "ge": operator.ge,
    "lt": operator.lt,
    "le": operator.le,
}

upserts = st.lists(
    st.fixed_dictionaries(
        {"uid": st.sampled_from(["a", "b|c", "d e"])},
        optional={
            "name": st.none() | TEXTS,
            "active": st.booleans(),
            "addresses": st.lists(
                st.fixed_dictionaries(
                    {"publicKey": st.sampled_from(["k1", "k2", "k3"])}, optional={"town": st.none() | TEXTS}
                ),
                max_size=3,
            ),
        },
    ),
    max_size=8,
)


def applied(model, body):
    """The same upsert on a dictionary; addresses belong to whoever named them last."""
    unit = model["units"].setdefault(body["uid"], {"name": None, "active": True})
    unit |= {name: body[name] for name in ("name", "active") if name in body}
    for address in body.get("addresses", ()):
        known = model["addresses"].setdefault(address["publicKey"], {"town": None, "owner": None})
        known |= {"owner": body["uid"]} | {name: address[name] for name in ("town",) if name in address}


@RELAXED
@given(bodies=upserts)
def test_random_upserts_leave_what_the_model_says(api, sap_commerce, bodies):
    sap_commerce.reset()
    api.session.headers["Authorization"] = f"Bearer {api.new_token()}"
    model = {"units": {}, "addresses": {}}
    for body in bodies:
        api.post(UNITS, body)
        applied(model, body)
    units = {u["uid"]: {"name": u["name"], "active": u["active"]} for u in sap_commerce.records("B2BUnit")}
    addresses = {a["publicKey"]: {"town": a["town"], "owner": a["owner"]} for a in sap_commerce.records("Address")}
    assert units == model["units"]
    assert addresses == model["addresses"]


literals = st.one_of(
    st.tuples(st.just("totalPrice"), st.sampled_from([0.0, 10.5, 21.0, 40.0])),
    st.tuples(st.just("code"), st.sampled_from(["o0", "o2", "o4", "p"])),
    st.tuples(st.just("unit/uid"), st.sampled_from(["U1", "U2"])),
    st.tuples(st.just("user/uid"), st.sampled_from(["ann@example.com", "bob@example.com"])),
)
comparisons = st.tuples(st.just("test"), st.sampled_from(sorted(COMPARE)), literals)
conditions = st.recursive(
    comparisons, lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner), max_leaves=5
)


def written(condition):
    if condition[0] == "test":
        _, name, (path, value) = condition
        return f"{path} {name} " + (f"'{value}'" if isinstance(value, str) else str(value))
    return f"({written(condition[1])}) {condition[0]} ({written(condition[2])})"


def holds(condition, row):
    if condition[0] == "test":
        _, name, (path, value) = condition
        return row[path] is not None and COMPARE[name](row[path], value)
    left, right = holds(condition[1], row), holds(condition[2], row)
    return (left and right) if condition[0] == "and" else (left or right)


@RELAXED
@given(condition=conditions)
def test_random_filters_select_what_python_selects(api, shop, condition):
    api.session.headers["Authorization"] = f"Bearer {api.new_token()}"
    rows = [
        {"code": o["code"], "totalPrice": o["totalPrice"], "unit/uid": o["unit"], "user/uid": o["user"]}
        for o in shop.records("Order")
    ]
    expected = {row["code"] for row in rows if holds(condition, row)}
    found = api.get(f"OrderSync/Orders?$top=100&$filter={quote(written(condition))}")["results"]
    assert {row["code"] for row in found} == expected
