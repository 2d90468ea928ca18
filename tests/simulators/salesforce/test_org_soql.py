"""SOQL: shapes of answers, paging, the grammar, and where-clauses against the same filter in Python."""

from __future__ import annotations

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st


def names(api, where, *, order="Name"):
    return [record["Name"] for record in api.query(f"SELECT Name FROM Account WHERE {where} ORDER BY {order}")]


@pytest.fixture
def people(api, salesforce):
    salesforce.put(
        "Account",
        [
            {
                "Name": "Alpha",
                "Commerce_Id__c": "a",
                "Order_Count__c": 1.0,
                "First_Purchase__c": "2026-01-10",
                "Site": None,
            },
            {
                "Name": "beta",
                "Commerce_Id__c": "b",
                "Order_Count__c": 2.0,
                "First_Purchase__c": "2026-02-10",
                "Site": "it's",
            },
            {
                "Name": "Österreich",
                "Commerce_Id__c": "B",
                "Order_Count__c": None,
                "First_Purchase__c": None,
                "Site": "100%_x",
            },
        ],
    )
    alpha = salesforce.records("Account", Commerce_Id__c="a")[0]["Id"]
    salesforce.put(
        "Contact",
        [{"LastName": f"C{n}", "AccountId": alpha if n < 2 else None, "Email": f"c{n}@x.org"} for n in range(3)],
    )
    return alpha


def test_rows_have_attributes_parents_and_children(api, people):
    record = api.query("SELECT Id, Account.Name, account.owner.username FROM Contact WHERE LastName = 'C0'")[0]
    assert record["Account"]["attributes"]["type"] == "Account"
    assert record["Account"]["Name"] == "Alpha"
    assert record["Account"]["Owner"]["Username"].endswith(".example")
    assert api.query("SELECT Account.Name FROM Contact WHERE LastName = 'C2'")[0]["Account"] is None
    found = api.query(
        "SELECT Name, (SELECT LastName FROM Contacts ORDER BY LastName DESC LIMIT 1) FROM Account ORDER BY Name"
    )
    assert found[0]["Contacts"]["records"][0]["LastName"] == "C1"
    assert found[1]["Contacts"] is None
    assert list(api.query("select nAmE, iD from account limit 1")[0]) == ["attributes", "Name", "Id"]


@pytest.mark.parametrize(
    ("where", "expected"),
    [
        ("Name = 'ALPHA'", ["Alpha"]),
        ("Name = 'österreich'", ["Österreich"]),
        ("Name LIKE '%ET%'", ["beta"]),
        ("Name LIKE 'Ö%'", ["Österreich"]),
        ("Name LIKE '_eta'", ["beta"]),
        ("Site LIKE '100\\%\\_%'", ["Österreich"]),
        ("Site = 'it\\'s'", ["beta"]),
        ("Commerce_Id__c = 'b'", ["beta"]),
        ("Commerce_Id__c IN ('B','a')", ["Alpha", "Österreich"]),
        ("Commerce_Id__c NOT IN ('B','a')", ["beta"]),
        ("Order_Count__c = null", ["Österreich"]),
        ("Order_Count__c != 1", ["beta", "Österreich"]),
        ("Order_Count__c >= 1.5", ["beta"]),
        ("NOT Order_Count__c > 1", ["Alpha", "Österreich"]),
        ("(Name = 'beta' OR Name = 'Alpha') AND Order_Count__c < 2", ["Alpha"]),
        ("First_Purchase__c > 2026-01-31", ["beta"]),
        ("CreatedDate = TODAY", ["Alpha", "beta", "Österreich"]),
        ("CreatedDate < YESTERDAY", []),
        ("CreatedDate > LAST_N_DAYS:7 AND Name != 'beta'", ["Alpha", "Österreich"]),
        (
            "SystemModstamp >= 2020-01-01T00:00:00.000000Z AND SystemModstamp < 2100-01-01T00:00:00.000+01:00",
            ["Alpha", "beta", "Österreich"],
        ),
        ("Id IN (SELECT AccountId FROM Contact WHERE Email LIKE 'c%')", ["Alpha"]),
        ("Id NOT IN (SELECT AccountId FROM Contact)", ["beta", "Österreich"]),
        ("Owner.Username LIKE 'integration%' AND IsDeleted = false", ["Alpha", "beta", "Österreich"]),
    ],
)
def test_where(api, people, where, expected):
    assert names(api, where) == expected


def test_ids_match_with_15_characters(api, people):
    assert names(api, f"Id = '{people[:15]}'") == ["Alpha"]


def test_ordering_limits_and_offsets(api, people):
    assert names(api, "Name != ''", order="Order_Count__c") == ["Österreich", "Alpha", "beta"]
    assert names(api, "Name != ''", order="Order_Count__c DESC NULLS LAST") == ["beta", "Alpha", "Österreich"]
    assert [r["Name"] for r in api.query("SELECT Name FROM Account ORDER BY Name LIMIT 1 OFFSET 1")] == ["beta"]


def test_counts_and_aggregates(api, people):
    assert api.get("query", params={"q": "select count() from Contact"}).json() == {
        "totalSize": 3,
        "done": True,
        "records": [],
    }
    rows = api.query(
        "SELECT AccountId, COUNT(Id), MAX(LastName) newest FROM Contact GROUP BY AccountId HAVING COUNT(Id) > 1"
    )
    assert rows == [{"attributes": {"type": "AggregateResult"}, "AccountId": people, "expr0": 2, "newest": "C1"}]
    assert api.query("SELECT SUM(Order_Count__c) s, AVG(Order_Count__c), COUNT_DISTINCT(Name) FROM Account")[0] == {
        "attributes": {"type": "AggregateResult"},
        "s": 3.0,
        "expr0": 1.5,
        "expr1": 3,
    }
    assert (
        api.query(
            "SELECT CALENDAR_MONTH(First_Purchase__c) m, COUNT(Id) n FROM Account WHERE First_Purchase__c != null "
            "GROUP BY CALENDAR_MONTH(First_Purchase__c) ORDER BY CALENDAR_MONTH(First_Purchase__c)"
        )[1]["m"]
        == 2
    )


@pytest.mark.parametrize(
    ("soql", "code", "text"),
    [
        ("SELECT Nope FROM Account", "INVALID_FIELD", "No such column 'Nope' on entity 'Account'"),
        ("select count() from XYZZY", "INVALID_TYPE", "sObject type 'XYZZY' is not supported."),
        ("SELECT Id FROM Account WHERE", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Account WHERE Name = 'a' AND Site = 'b' OR Fax = 'c'", "MALFORMED_QUERY", "unexpected token"),
        ("SELECT Id FROM Account OFFSET 2001", "NUMBER_OUTSIDE_VALID_RANGE", "2000"),
        ("SELECT Id FROM Account WHERE Order_Count__c = '1'", "INVALID_FIELD", "must be of type double"),
        (
            "SELECT Id, (SELECT Id FROM Nephews) FROM Account",
            "INVALID_TYPE",
            "Didn't understand relationship 'Nephews'",
        ),
        (
            "SELECT Name, Site FROM Account GROUP BY Name",
            "MALFORMED_QUERY",
            "Field must be grouped or aggregated: Site",
        ),
        ("SELECT Bad.Name FROM Account", "INVALID_FIELD", "Didn't understand relationship 'Bad'"),
    ],
)
def test_bad_soql_is_refused_in_the_platforms_words(api, soql, code, text):
    answer = api.get("query", params={"q": soql})
    assert answer.status_code == 400
    assert answer.json()[0]["errorCode"] == code
    assert text in answer.json()[0]["message"]


def test_the_excerpt_points_at_the_unknown_object(api):
    message = api.get("query", params={"q": "select count() from XYZZY"}).json()[0]["message"]
    assert message.startswith("\nselect count() from XYZZY\n                    ^\nERROR at Row:1:Column:21\n")


def test_pages_follow_locators_and_can_be_read_again(api, salesforce):
    salesforce.put("Account", [{"Name": f"{n:04d}"} for n in range(450)])
    headers = {"Sforce-Query-Options": "batchSize=200"}
    page = api.get("query", params={"q": "SELECT Name FROM Account ORDER BY Name"}, headers=headers).json()
    assert (page["totalSize"], page["done"], len(page["records"])) == (450, False, 200)
    second = api.get(page["nextRecordsUrl"]).json()
    assert second == api.get(page["nextRecordsUrl"].replace("/query/", "/queryAll/")).json()
    third = api.get(second["nextRecordsUrl"]).json()
    assert third["done"] is True
    assert "nextRecordsUrl" not in third
    found = [record["Name"] for part in (page, second, third) for record in part["records"]]
    assert found == [f"{n:04d}" for n in range(450)]
    bad = api.get("query/01gRO0000016PIAYA2-200")
    assert (bad.status_code, bad.json()[0]["errorCode"]) == (400, "INVALID_QUERY_LOCATOR")


def test_fields_all_needs_a_small_limit(api, people):
    assert len(api.query("SELECT FIELDS(ALL) FROM Account LIMIT 1")[0]) > 60
    assert set(api.query("SELECT FIELDS(CUSTOM) FROM Contact LIMIT 1")[0]) >= {"Commerce_Id__c"}
    assert api.get("query", params={"q": "SELECT FIELDS(ALL) FROM Account"}).status_code == 400


ROWS = [
    {"Name": name, "Order_Count__c": count, "Site": site}
    for name, count, site in [
        ("ann", 1.0, None),
        ("Bob", 2.0, "x"),
        ("cy", None, "X"),
        ("dé", 5.0, "y"),
        ("Eve", -3.0, ""),
    ]
]
ROWS[4]["Site"] = None
comparison = st.tuples(st.sampled_from(["=", "!=", "<", "<=", ">", ">="]), st.integers(-4, 6))
text_test = st.tuples(
    st.sampled_from(["Name", "Site"]), st.sampled_from(["=", "!="]), st.sampled_from(["ann", "BOB", "x", "DÉ", "zz"])
)


def number_clause(test):
    operator, value = test
    tests = {"=": "__eq__", "<": "__lt__", "<=": "__le__", ">": "__gt__", ">=": "__ge__"}

    def python(row):
        count = row["Order_Count__c"]
        if operator == "!=":
            return count is None or count != value
        return count is not None and getattr(count, tests[operator])(float(value))

    return f"Order_Count__c {operator} {value}", python


def text_clause(test):
    field, operator, value = test

    def python(row):
        same = row[field] is not None and row[field].casefold() == value.casefold()
        return same if operator == "=" else not same

    return f"{field} {operator} '{value}'", python


clauses = st.recursive(
    comparison.map(number_clause) | text_test.map(text_clause),
    lambda inner: st.one_of(
        inner.map(lambda one: (f"(NOT {one[0]})", lambda row: not one[1](row))),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]} AND {two[1][0]})", lambda row: two[0][1](row) and two[1][1](row))
        ),
        st.tuples(inner, inner).map(
            lambda two: (f"({two[0][0]} OR {two[1][0]})", lambda row: two[0][1](row) or two[1][1](row))
        ),
    ),
    max_leaves=6,
)


def test_where_clauses_agree_with_the_same_filter_in_python(api, salesforce):
    salesforce.put("Account", ROWS)

    @settings(max_examples=60, deadline=None, suppress_health_check=list(HealthCheck))
    @given(clauses)
    def agree(clause):
        soql, python = clause
        found = {record["Name"] for record in api.query(f"SELECT Name FROM Account WHERE {soql}")}
        assert found == {row["Name"] for row in ROWS if python(row)}

    agree()


def test_numbers_and_moments_cannot_be_grouped_by(api, people):
    for name in ("Order_Count__c", "SystemModstamp"):
        answer = api.get("query", params={"q": f"SELECT {name}, COUNT(Id) FROM Account GROUP BY {name}"})
        assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "MALFORMED_QUERY")
        assert answer.json()[0]["message"].endswith(f"field '{name}' can not be grouped in a query call")
    by_day = "SELECT DAY_ONLY(CreatedDate), COUNT(Id) FROM Account GROUP BY DAY_ONLY(CreatedDate)"
    assert api.get("query", params={"q": by_day}).status_code == 200


def test_an_aggregate_query_has_one_page(api, salesforce):
    salesforce.put("Account", [{"Name": f"A {number:04d}"} for number in range(2001)])
    grouped = "SELECT Name, COUNT(Id) n FROM Account GROUP BY Name"
    answer = api.get("query", params={"q": grouped})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, "EXCEEDED_ID_LIMIT")
    assert len(api.query(f"{grouped} LIMIT 2000")) == 2000
