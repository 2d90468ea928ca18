"""SOQL against the same question asked in Python: order, paging, groups, semi-joins."""

from __future__ import annotations

from collections import defaultdict

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUIET = settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
SITES = [None, "A", "b", "B", "it's"]
ROWS = [
    {"Name": f"n{number:02d}", "Site": SITES[number % 5], "Order_Count__c": None if number % 7 == 0 else number % 4}
    for number in range(24)
]


@pytest.fixture
def accounts(api, salesforce):
    salesforce.put("Account", ROWS)
    ids = {row["Name"]: row["Id"] for row in salesforce.records("Account")}
    salesforce.put("Contact", [{"LastName": f"c{n}", "AccountId": ids[f"n{n % 9:02d}"]} for n in range(20)])
    return ids


def sort_key(value):
    """Nulls first, text without regard to case."""
    return (value is not None, value.lower() if isinstance(value, str) else value or 0)


def test_order_limit_and_offset_agree_with_python(api, accounts):
    @QUIET
    @given(
        fields=st.permutations(["Site", "Order_Count__c"]),
        descending=st.tuples(st.booleans(), st.booleans()),
        limit=st.integers(0, 30),
        offset=st.integers(0, 30),
    )
    def agree(fields, descending, limit, offset):
        wanted = sorted(ROWS, key=lambda row: row["Name"])
        for field, down in reversed(list(zip(fields, descending, strict=True))):
            some = [row for row in wanted if row[field] is not None]
            nulls = [row for row in wanted if row[field] is None]
            some.sort(key=lambda row, field=field: sort_key(row[field]), reverse=down)
            # a stable sort keeps equal rows in order, also when it is turned round
            wanted = nulls + some
        order = ", ".join(f"{f} {'DESC' if down else 'ASC'}" for f, down in zip(fields, descending, strict=True))
        found = api.query(f"SELECT Name FROM Account ORDER BY {order}, Name LIMIT {limit} OFFSET {offset}")
        assert [row["Name"] for row in found] == [row["Name"] for row in wanted[offset : offset + limit]]

    agree()


def test_groups_and_having_agree_with_python(api, accounts):
    functions = {"COUNT(Id)": len, "SUM(Order_Count__c)": None, "MAX(Order_Count__c)": None, "MIN(Name)": None}

    @QUIET
    @given(function=st.sampled_from(sorted(functions)), least=st.integers(0, 6))
    def agree(function, least):
        groups = defaultdict(list)
        for row in ROWS:
            groups[row["Site"] and row["Site"].lower()].append(row)
        wanted = {key: calculate(function, rows) for key, rows in groups.items() if len(rows) >= least}
        soql = f"SELECT Site, {function} v FROM Account GROUP BY Site HAVING COUNT(Id) >= {least}"
        assert {row["Site"] and row["Site"].lower(): row["v"] for row in api.query(soql)} == wanted

    agree()


def calculate(function, rows):
    name = function[function.index("(") + 1 : -1]
    values = [row[name] for row in rows if row.get(name) is not None] if name != "Id" else rows
    if function.startswith("COUNT"):
        return len(rows)
    if not values:
        return None
    return {"SUM": sum, "MAX": max, "MIN": min}[function[:3]](values)


@pytest.mark.parametrize("negated", [False, True])
def test_semi_joins_and_children_agree_with_python(api, accounts, negated):
    parents = {f"n{n % 9:02d}" for n in range(20)}
    word = "NOT IN" if negated else "IN"
    found = {
        row["Name"] for row in api.query(f"SELECT Name FROM Account WHERE Id {word} (SELECT AccountId FROM Contact)")
    }
    assert found == ({row["Name"] for row in ROWS} - parents if negated else parents)
    nested = api.query("SELECT Name, (SELECT LastName FROM Contacts ORDER BY LastName) FROM Account")
    assert {row["Name"] for row in nested if row["Contacts"]} == parents
    assert sum(row["Contacts"]["totalSize"] for row in nested if row["Contacts"]) == 20
