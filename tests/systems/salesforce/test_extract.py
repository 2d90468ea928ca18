"""Reading Salesforce loses nothing and doubles nothing, and gives values as they are there."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.systems.salesforce.paging import decoded
from commerce_sync.systems.salesforce.shape import shape_of
from systems.salesforce.reads import COLUMNS, KEY, START, account, accounts, at, keys, numbers, read, read_table

QUERY, NEXT = r"/query(All)?\?q=", r"/query/01g"
GONE = json.dumps([{"errorCode": "INVALID_QUERY_LOCATOR", "message": "invalid query locator"}])


def ids(org: Any, kind: str = "Account") -> dict[str, str]:
    """Record ids by external id, deleted records included."""
    return {row[KEY]: row["Id"] for row in org.far.records(kind)}


def data_calls(org: Any) -> int:
    """Calls since the last ``reset_calls`` but for signing in."""
    return sum(count for route, count in org.far.calls()["by_route"].items() if "oauth2" not in route)


def test_a_complete_scan_reads_every_record_once(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(5100)])
    org.far.reset_calls()
    found, rows = read(org, accounts())
    assert keys(rows) == numbers(*range(5100))
    assert (found.rows, found.complete, found.high_water) == (5100, True, at(5099))
    assert found.facts["way"] == "rest"
    assert found.calls == data_calls(org) == 5, "three pages and two counts"


def test_parts_are_written_while_reading(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(1700)])
    org.runs += 1
    source = accounts(options={"page_rows": 200, "part_rows": 500})
    with org.batches.write("leg", f"run-{org.runs}", "extract") as into:
        org.hook.extract(source, since=None, until=None, complete=True, into=into)
    assert [part.rows for part in into.parts] == [600, 600, 500]


def test_an_org_without_records_is_an_empty_batch_with_its_columns(org: Any) -> None:
    found, rows = read(org, accounts())
    assert (rows, found.rows, found.complete, found.high_water) == ([], 0, True, None)
    found, rows = read(org, accounts(), since=START, complete=False)
    assert (rows, found.complete, found.high_water, found.calls) == ([], False, None, 1)


def test_changes_are_read_from_the_lower_bound_up_to_but_without_the_upper_one(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(60)])
    found, rows = read(org, accounts(), since=at(10), until=at(20), complete=False)
    assert keys(rows) == numbers(*range(10, 20))
    assert (found.complete, found.high_water) == (False, at(19))
    elsewhere = at(50).astimezone(timezone(timedelta(hours=5)))
    assert keys(read(org, accounts(), since=elsewhere, complete=False)[1]) == numbers(*range(50, 60))


def test_the_filter_holds_whatever_its_operators(org: Any) -> None:
    org.far.put(
        "Account", [account(n, Site="x" if n % 3 else None, Rating="Hot" if n % 2 else None) for n in range(30)]
    )
    source = accounts(filter="Site = null OR Rating = 'Hot'")
    _, rows = read(org, source, since=at(10), until=at(20), complete=False)
    assert keys(rows) == numbers(11, 12, 13, 15, 17, 18, 19)
    assert read(org, source)[0].rows == 20


def test_three_thousand_records_of_one_moment_are_all_read(org: Any) -> None:
    org.far.put("Account", [account(n, SystemModstamp=START.isoformat()) for n in range(3000)])
    org.far.fault(action="status", status=400, body=GONE, match={"path": NEXT}, times=1)
    found, rows = read(org, accounts(options={"page_rows": 200}), since=START, complete=False)
    assert keys(rows) == numbers(*range(3000))
    assert found.facts["restarts"] == 1


@pytest.mark.parametrize("modified", ["SystemModstamp", None])
def test_a_lost_cursor_is_replaced_where_it_stood(org: Any, modified: str | None) -> None:
    org.far.put("Account", [account(number) for number in range(1500)])
    org.far.fault(action="status", status=400, body=GONE, match={"path": NEXT}, skip=2, times=1)
    org.far.fault(action="status", status=400, body=GONE, match={"path": NEXT}, skip=4, times=1)
    found, rows = read(org, accounts(modified=modified, options={"page_rows": 200}))
    assert keys(rows) == numbers(*range(1500))
    assert (found.complete, found.facts["restarts"], found.facts["superseded"]) == (True, 2, 0)


def test_a_record_that_changed_before_a_lost_cursor_is_there_once_and_new(org: Any, monkeypatch: Any) -> None:
    org.far.put("Account", [account(number) for number in range(900)])
    first = ids(org)["a-00003"]
    org.far.fault(action="status", status=400, body=GONE, match={"path": NEXT}, skip=1, times=1)
    from commerce_sync.systems.salesforce import paging

    real, asked = paging.Pages._next, []

    async def next_page(pages: Any, url: str) -> Any:
        asked.append(url)
        if len(asked) == 2:
            org.far.patch("Account", first, Name="Changed meanwhile")
        return await real(pages, url)

    monkeypatch.setattr(paging.Pages, "_next", next_page)
    found, rows = read(org, accounts(options={"page_rows": 200, "part_rows": 200}))
    assert keys(rows) == numbers(*range(900))
    assert [row["Name"] for row in rows if row["Id"] == first] == ["Changed meanwhile"]
    assert (found.rows, found.facts["superseded"]) == (900, 1)


def test_an_answer_that_ends_too_early_is_an_error(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(900)])
    short = json.dumps({"totalSize": 900, "done": True, "records": []})
    org.far.fault(action="status", status=200, body=short, match={"path": NEXT}, skip=1, times=1)
    with pytest.raises(RetryableError, match="read 400 of 900"):
        read(org, accounts(options={"page_rows": 200}), since=START, complete=False)
    empty = json.dumps({"totalSize": 0, "done": True, "records": []})
    org.far.clear_faults()
    org.far.fault(action="status", status=200, body=empty, match={"path": r"q=SELECT(\+|%20)Id"}, times=1)
    with pytest.raises(RetryableError, match="read 0 of 900"):
        read(org, accounts())
    assert read(org, accounts())[0].rows == 900


def test_records_deleted_during_the_scan_do_not_make_it_short(org: Any, monkeypatch: Any) -> None:
    org.far.put("Account", [account(number) for number in range(500)])
    found_ids = ids(org)
    from commerce_sync.systems.salesforce import reading

    real = reading.Pages.read

    async def after_deletes(pages: Any, query: Any) -> Any:
        for number in numbers(1, 2, 3):
            org.far.delete("Account", found_ids[number])
        async for page in real(pages, query):
            yield page

    monkeypatch.setattr(reading.Pages, "read", after_deletes)
    found, _ = read(org, accounts())
    assert (found.rows, found.facts["count_before"], found.facts["count_after"]) == (497, 500, 497)


def test_trouble_that_passes_is_waited_out(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(1100)])
    org.far.fault(action="status", status=503, body="<html>busy</html>", match={"path": QUERY}, times=2)
    org.far.fault(action="status", status=429, headers={"Retry-After": "0"}, match={"path": NEXT}, times=1)
    org.far.fault(action="truncate", bytes=300, match={"path": NEXT}, skip=1, times=1)
    org.far.fault(action="drop_before", match={"path": NEXT}, skip=3, times=1)
    _, rows = read(org, accounts(options={"page_rows": 200}))
    assert keys(rows) == numbers(*range(1100))
    assert all(rule["left"] == 0 for rule in org.far.control("GET", "faults")["rules"])
    org.far.clear_faults()
    org.far.fault(action="status", status=503, match={"path": NEXT}, times=None)
    with pytest.raises(RetryableError):
        read(org, accounts(options={"page_rows": 200}))


def test_a_token_that_ends_between_two_pages_is_renewed(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(900)])
    said = json.dumps([{"errorCode": "INVALID_SESSION_ID", "message": "Session expired or invalid"}])
    org.far.fault(action="status", status=401, body=said, match={"path": NEXT}, skip=1, times=1)
    _, rows = read(org, accounts(options={"page_rows": 200}))
    assert keys(rows) == numbers(*range(900))


def test_every_call_is_told_for_the_budget(org: Any) -> None:
    from commerce_sync.systems.salesforce.hook import SalesforceHook
    from systems.salesforce.conftest import CONN_ID

    org.far.put("Account", [account(number) for number in range(5)])
    heard: list[Any] = []
    org.hook = SalesforceHook(CONN_ID, on_call=heard.append)
    org.far.reset_calls()
    found, _ = read(org, accounts())
    assert len(heard) == found.calls == data_calls(org) == 3


# Deleted and merged records


def test_deleted_and_merged_records_come_only_when_asked_for(org: Any) -> None:
    org.far.put("Account", [account(number) for number in range(10)])
    found_ids = ids(org)
    org.far.patch("Account", found_ids["a-00001"], IsDeleted=True, SystemModstamp=at(100).isoformat())
    org.far.patch(
        "Account", found_ids["a-00002"], IsDeleted=True, MasterRecordId=found_ids["a-00003"],
        SystemModstamp=at(101).isoformat(),
    )  # fmt: skip
    found, rows = read(org, accounts())
    assert (found.rows, found.high_water) == (8, at(9))
    source = accounts(plus={"IsDeleted": "BOOLEAN", "MasterRecordId": "VARCHAR"}, options={"deleted": True})
    found, rows = read(org, source, since=at(50), complete=False)
    assert {row[KEY]: (row["IsDeleted"], row["MasterRecordId"]) for row in rows} == {
        "a-00001": (True, None), "a-00002": (True, found_ids["a-00003"])}  # fmt: skip
    assert found.high_water == at(101)
    found, rows = read(org, source)
    assert (found.rows, sum(row["IsDeleted"] for row in rows)) == (10, 2)


def test_deleted_records_are_not_read_without_a_column_that_tells_them(org: Any) -> None:
    with pytest.raises(ConfigurationError, match="IsDeleted: BOOLEAN"):
        read(org, accounts(options={"deleted": True}))


# Parents and children


def family(org: Any) -> dict[str, str]:
    """Two accounts, one of them the parent, with contacts; gives account ids."""
    org.far.put("Account", [account(1, Site="Berlin"), account(2)])
    found = ids(org)
    org.far.patch("Account", found["a-00002"], ParentId=found["a-00001"], SystemModstamp=at(2).isoformat())
    people = [(1, "Ada", found["a-00001"]), (2, "Grace", found["a-00001"]), (3, "Edsger", None)]
    org.far.put("Contact", [{KEY: f"c-{n}", "LastName": name, "AccountId": link} for n, name, link in people])
    return found


def test_parents_are_read_by_their_relationship_names(org: Any) -> None:
    family(org)
    parent = "STRUCT(Commerce_Id__c VARCHAR, Site VARCHAR, Owner STRUCT(LastName VARCHAR), Parent STRUCT(Name VARCHAR))"
    source = accounts(entity_set="Contact", columns={KEY: "VARCHAR", "Account": parent}, modified=None)
    rows = {row[KEY]: row["Account"] for row in read(org, source)[1]}
    assert rows["c-1"] == {KEY: "a-00001", "Site": "Berlin", "Owner": {"LastName": "User"}, "Parent": None}
    assert rows["c-3"] is None
    below = {row[KEY]: row["Parent"] for row in read(org, accounts(plus={"Parent": "STRUCT(Name VARCHAR)"}))[1]}
    assert below == {"a-00001": None, "a-00002": {"Name": "Account 1"}}


def test_a_column_may_be_named_otherwise_than_its_field(org: Any) -> None:
    family(org)
    options = {"fields": {"parent_key": "Parent.Commerce_Id__c", "label": "Name"}}
    source = accounts(plus={"parent_key": "VARCHAR", "label": "VARCHAR"}, options=options)
    rows = {row[KEY]: (row["parent_key"], row["label"], row["Name"]) for row in read(org, source)[1]}
    assert rows == {"a-00001": (None, "Account 1", "Account 1"), "a-00002": ("a-00001", "Account 2", "Account 2")}


def test_children_are_lists_in_the_order_of_their_ids(org: Any) -> None:
    family(org)
    children = "STRUCT(Commerce_Id__c VARCHAR, LastName VARCHAR, Account STRUCT(Name VARCHAR))[]"
    rows = {row[KEY]: row["Contacts"] for row in read(org, accounts(plus={"Contacts": children}))[1]}
    assert [child["LastName"] for child in rows["a-00001"]] == ["Ada", "Grace"]
    assert rows["a-00001"][0] == {KEY: "c-1", "LastName": "Ada", "Account": {"Name": "Account 1"}}
    assert rows["a-00002"] == []


def test_children_are_filtered_and_deleted_ones_left_out(org: Any) -> None:
    found = family(org)
    grace = ids(org, "Contact")["c-2"]
    plus = {"Contacts": "STRUCT(LastName VARCHAR)[]", "IsDeleted": "BOOLEAN"}
    options = {"deleted": True, "children": {"Contacts": "LastName LIKE 'G%' OR LastName LIKE 'A%'"}}

    def names() -> list[str]:
        rows = read(org, accounts(plus=plus, options=options))[1]
        return [child["LastName"] for row in rows if row["Id"] == found["a-00001"] for child in row["Contacts"]]

    org.far.put("Contact", [{KEY: "c-9", "LastName": "Zuse", "AccountId": found["a-00001"]}])
    assert names() == ["Ada", "Grace"]
    org.far.delete("Contact", grace)
    assert names() == ["Ada"]
    options["children"] = {"Contact": "LastName = 'x'"}
    with pytest.raises(ConfigurationError, match=r"\['Contact'\].*there are: Contacts"):
        names()


def test_a_child_list_of_several_pages_is_read_to_its_end(org: Any) -> None:
    org.far.options(child_page_rows=40)
    org.far.put("Account", [account(number) for number in range(60)])
    found = ids(org)
    rows = [{KEY: f"c-{n}-{m}", "LastName": f"{m:04d}", "AccountId": found[f"a-{n:05d}"]}
            for n in range(60) for m in range(41 if n else 450)]  # fmt: skip
    org.far.put("Contact", rows)
    source = accounts(plus={"Contacts": "STRUCT(LastName VARCHAR)[]"}, options={"page_rows": 200})
    lists = {row[KEY]: [child["LastName"] for child in row["Contacts"]] for row in read(org, source)[1]}
    assert lists["a-00000"] == [f"{m:04d}" for m in range(450)]
    assert {len(children) for key, children in lists.items() if key != "a-00000"} == {41}


# Values


def test_values_keep_their_types(org: Any) -> None:
    text = "Grüße 🛒 \"quoted\", 'single' \\ \n second line; 漢字"
    org.far.put("Account", [
        account(1, Description=text, Lifetime_Spend__c=12345678901234.56, Average_Order_Value__c=0.07,
                NumberOfEmployees=7, Order_Count__c=3, First_Purchase__c="2026-02-28", Commerce_Active__c=True,
                BillingLatitude=52.520008, SystemModstamp="2026-11-01T14:00:01.250+02:00"),
        account(2),
    ])  # fmt: skip
    plus = {
        "Description": "VARCHAR", "Lifetime_Spend__c": "DECIMAL(18,2)", "Average_Order_Value__c": "DECIMAL(38,10)",
        "NumberOfEmployees": "INTEGER", "Order_Count__c": "BIGINT", "First_Purchase__c": "DATE",
        "Commerce_Active__c": "BOOLEAN", "BillingLatitude": "DOUBLE",
    }  # fmt: skip
    one, two = sorted(read(org, accounts(plus=plus))[1], key=lambda row: row[KEY])
    assert one["Description"] == text
    assert (one["Lifetime_Spend__c"], one["Average_Order_Value__c"]) == (Decimal("12345678901234.56"), Decimal("0.07"))
    assert (one["NumberOfEmployees"], one["Order_Count__c"], one["Commerce_Active__c"]) == (7, 3, True)
    assert (one["First_Purchase__c"], one["BillingLatitude"]) == (date(2026, 2, 28), 52.520008)
    assert one["SystemModstamp"] == datetime(2026, 11, 1, 12, 0, 1, 250_000, tzinfo=UTC)
    empty = {name: two[name] for name in plus}
    assert empty == dict.fromkeys(plus) | {"Commerce_Active__c": False}
    naive = accounts(columns=COLUMNS | {"SystemModstamp": "TIMESTAMP"})
    found, rows = read(org, naive)
    assert rows[0]["SystemModstamp"].tzinfo is None
    assert found.high_water is not None
    assert found.high_water.tzinfo is UTC


def test_numbers_are_never_rounded_by_a_float() -> None:
    body = b'{"records": [{"n": 1234567890123456.78, "w": 123456789012345678, "e": 1.0E7, "p": "a;b", "t": "10:30:00.000Z"}]}'
    columns = {"n": "DECIMAL(18,2)", "w": "DECIMAL(18,0)", "e": "BIGINT", "p": "VARCHAR[]", "t": "TIME"}
    (row,) = shape_of(columns).table(decoded(body)["records"]).to_pylist()
    assert (row["n"], row["w"], row["e"]) == (Decimal("1234567890123456.78"), Decimal(123456789012345678), 10_000_000)
    assert (row["p"], row["t"].isoformat()) == (["a", "b"], "10:30:00")


@pytest.mark.parametrize(
    ("type_text", "value", "said"),
    [("BIGINT", 2.5, "2.5 is not whole"), ("DECIMAL(4,2)", 1234.5, "cannot hold"), ("BOOLEAN", "yes", "neither true"),
     ("DATE", "soon", "soon"), ("VARCHAR", {"city": "Berlin"}, "compound"), ("INTEGER", True, "no number")],
)  # fmt: skip
def test_a_value_that_does_not_fit_names_its_column(type_text: str, value: Any, said: str) -> None:
    with pytest.raises(ConfigurationError, match=rf"column 'x'.*{said}"):
        shape_of({"x": type_text}).table([{"x": value}])


# What cannot be read


def test_a_field_that_is_not_there_is_named_with_its_likeness(org: Any) -> None:
    org.far.put("Account", [account(1)])
    with pytest.raises(
        ConfigurationError, match=r"no field 'Lifetime_Spent__c'.*did you mean Lifetime_Spend__c"
    ) as said:
        read(org, accounts(plus={"Lifetime_Spent__c": "DOUBLE", "Contact": "STRUCT(Name VARCHAR)[]"}))
    assert "no child relationship 'Contact' (did you mean Contacts" in str(said.value)
    with pytest.raises(ConfigurationError, match="did you mean Account"):
        read(org, accounts(entity_set="Acount"))
    with pytest.raises(ConfigurationError, match="did you mean Name"):
        read(org, accounts(columns={KEY: "VARCHAR", "name": "VARCHAR"}, modified=None))


def test_a_source_the_org_would_refuse_is_told_before_anything_is_read(org: Any) -> None:
    def found(**more: Any) -> list[str]:
        plus = {name: more.pop(name) for name in list(more) if name not in ("filter", "entity_set", "options")}
        return org.hook.problems_of_source(accounts(plus=plus, **more))

    assert found(Owner="STRUCT(LastName VARCHAR)", Contacts="STRUCT(LastName VARCHAR)[]") == []
    assert "Order_Count__c is double, declared VARCHAR" in found(Order_Count__c="VARCHAR")[0]
    assert found(Order_Count__c="BIGINT") == []
    assert "DECIMAL(10,2) is too narrow" in found(Lifetime_Spend__c="DECIMAL(10,2)")[0]
    assert "compound address; read its parts" in found(BillingAddress="VARCHAR")[0]
    assert "no relationship 'ParentId'" in found(ParentId="STRUCT(Name VARCHAR)")[0]
    assert "'Parent'" in found(ParentId="STRUCT(Name VARCHAR)")[0]
    assert (
        "Contact has no field 'Nam' this user may see (did you mean Name" in found(Contacts="STRUCT(Nam VARCHAR)[]")[0]
    )
    assert "Nonsense__c" in found(filter="Nonsense__c = 1")[0]
    assert "there is no object 'Kontakt'" in found(entity_set="Kontakt")[0]
    assert "no field 'Nme'" in found(label="VARCHAR", options={"fields": {"label": "Parent.Nme"}})[0]
    tasks = accounts(entity_set="Task", columns={"Id": "VARCHAR", "Who": "STRUCT(Name VARCHAR, Birthdate DATE)"},
                     key="Id", modified=None)  # fmt: skip
    assert "not 'Birthdate'" in org.hook.problems_of_source(tasks)[0]


@pytest.mark.parametrize(
    ("change", "said"),
    [({"options": {"paging": 1}}, r"unknown options \['paging'\]; legal: deleted, bulk"),
     ({"options": {"bulk": "yes"}}, "legal: auto, always, never"),
     ({"options": {"page_rows": 50}}, "legal: 200 to 2000"),
     ({"options": {"bulk_from": "many"}}, "bulk_from is 'many'; legal: int such as 50000"),
     ({"options": {"deleted": 1}}, "deleted is 1; legal: bool such as False"),
     ({"options": {"children": "x"}}, "children is 'x'; legal: dict"),
     ({"options": {"fields": {"nope": "Name"}}}, "'nope', which is no scalar column"),
     ({"columns": COLUMNS | {"SystemModstamp": "VARCHAR"}}, "declare it TIMESTAMP"),
     ({"plus": {"Contacts": "STRUCT(Cases STRUCT(Id VARCHAR)[])[]"}}, "only be read of the object itself"),
     ({"plus": {"x": "UUID"}}, "legal types are"),
     ({"modified": "LastViewedDate", "plus": {"LastViewedDate": "TIMESTAMP"}}, "LastViewedDate.*choose SystemModstamp")],
)  # fmt: skip
def test_a_source_that_cannot_be_says_why(org: Any, change: dict[str, Any], said: str) -> None:
    org.far.put("Account", [account(1)])
    with pytest.raises(ConfigurationError, match=said):
        read(org, accounts(**change))


def test_a_user_without_rights_is_told_what_salesforce_said(org: Any) -> None:
    said = json.dumps([{"errorCode": "API_DISABLED_FOR_ORG", "message": "The REST API is not enabled"}])
    org.far.fault(action="status", status=403, body=said, match={"path": r"/query|/sobjects"}, times=None)
    with pytest.raises(ConfigurationError, match="API_DISABLED_FOR_ORG"):
        read_table(org, accounts(), since=None, until=None, complete=True)
