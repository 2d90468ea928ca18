"""Single records, Collections and Composite over HTTP."""

from __future__ import annotations

import pytest


def error_of(answer):
    assert answer.status_code >= 400, answer.text
    return answer.status_code, answer.json()[0]["errorCode"]


def test_a_created_record_has_an_id_a_location_and_system_fields(api, salesforce):
    answer = api.post("sobjects/Account/", {"Name": "Acme"})
    key = answer.json()["id"]
    assert answer.json() == {"id": key, "success": True, "errors": []}
    assert key.startswith("001")
    assert len(key) == 18
    assert answer.headers["Location"] == f"/services/data/v60.0/sobjects/Account/{key}"
    record = api.get(f"sobjects/Account/{key}").json()
    assert record["attributes"] == {"type": "Account", "url": f"/services/data/v60.0/sobjects/Account/{key}"}
    assert record["CreatedDate"] == record["SystemModstamp"]
    assert record["CreatedDate"].endswith("+0000")
    assert record["Commerce_Active__c"] is False


@pytest.mark.parametrize(
    ("kind", "record", "code"),
    [
        ("Account", {}, "REQUIRED_FIELD_MISSING"),
        ("Account", {"Name": None}, "REQUIRED_FIELD_MISSING"),
        ("Account", {"Name": "x", "Foo__c": 1}, "INVALID_FIELD"),
        ("Account", {"Name": "x" * 256}, "STRING_TOO_LONG"),
        ("Account", {"Name": "x", "IsDeleted": True}, "INVALID_FIELD_FOR_INSERT_UPDATE"),
        ("Account", {"Name": "x", "ParentId": "001000000000999AAA"}, "INVALID_CROSS_REFERENCE_KEY"),
        ("Account", {"Name": "x", "ParentId": "nonsense"}, "MALFORMED_ID"),
        ("Account", {"Name": "x", "Lifetime_Spend__c": "abc"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ("Account", {"Name": "x", "Recency_Score__c": 12}, "NUMBER_OUTSIDE_VALID_RANGE"),
        ("Account", {"Name": "x", "First_Purchase__c": "2026-02-30"}, "INVALID_TYPE_ON_FIELD_IN_RECORD"),
        ("Account", {"Name": {"a": 1}}, "JSON_PARSER_ERROR"),
        ("Contact", {"LastName": "x", "Email": "Not a real email address"}, "INVALID_EMAIL_ADDRESS"),
        ("Contact", {"LastName": "x", "Account": {"Commerce_Id__c": "nobody"}}, "INVALID_FIELD"),
        ("Opportunity", {"Name": "x"}, "REQUIRED_FIELD_MISSING"),
        ("CampaignMember", {}, "REQUIRED_FIELD_MISSING"),
    ],
)
def test_a_bad_record_is_refused_with_the_platforms_code(api, salesforce, kind, record, code):
    assert error_of(api.post(f"sobjects/{kind}", record)) == (400, code)
    assert salesforce.records(kind) == []


def test_texts_of_refusals(api):
    assert api.post("sobjects/Account", {}).json() == [
        {"message": "Required fields are missing: [Name]", "errorCode": "REQUIRED_FIELD_MISSING", "fields": ["Name"]}
    ]
    missing = api.post("sobjects/Contact", {"LastName": "x", "Account": {"Commerce_Id__c": "c9"}}).json()[0]
    assert missing["message"] == "Foreign key external ID: c9 not found for field Commerce_Id__c in entity Account"


def test_numbers_are_rounded_half_up_to_the_fields_scale(api):
    key = api.create("Account", Name="x", Lifetime_Spend__c=2.675, Average_Order_Value__c="1.005", Order_Count__c=2.5)
    record = api.get(f"sobjects/Account/{key}").json()
    assert (record["Lifetime_Spend__c"], record["Average_Order_Value__c"], record["Order_Count__c"]) == (
        2.68,
        1.01,
        3.0,
    )


def test_update_sets_clears_and_leaves(api):
    key = api.create("Account", Name="x", Phone="1", Fax="2", Site="3")
    assert api.patch(f"sobjects/Account/{key}", {"Phone": None, "Fax": "9"}).status_code == 204
    record = api.get(f"sobjects/Account/{key}", params={"fields": "Phone,Fax,Site"}).json()
    assert (record["Phone"], record["Fax"], record["Site"]) == (None, "9", "3")


def test_ids_work_with_15_and_18_characters_and_are_checked(api):
    key = api.create("Account", Name="x")
    assert api.get(f"sobjects/Account/{key[:15]}").json()["Id"] == key
    assert error_of(api.get("sobjects/Account/001900K0001pPuOAAX")) == (400, "MALFORMED_ID")
    assert error_of(api.get(f"sobjects/Contact/{key}")) == (400, "MALFORMED_ID")
    assert error_of(api.get("sobjects/Account/001000000000999AAA")) == (404, "NOT_FOUND")


def test_a_deleted_record_is_in_the_recycle_bin(api, salesforce):
    key = api.create("Account", Name="gone")
    assert api.remove(f"sobjects/Account/{key}").status_code == 204
    assert error_of(api.remove(f"sobjects/Account/{key}")) == (404, "ENTITY_IS_DELETED")
    assert api.query("SELECT Id FROM Account") == []
    assert api.query("SELECT IsDeleted FROM Account", path="queryAll")[0]["IsDeleted"] is True


def test_upsert_by_external_id_creates_then_updates(api):
    path = "sobjects/Account/Commerce_Id__c/a%2Fb%20c"
    created, updated = api.patch(path, {"Name": "one"}), api.patch(path, {"Name": "two"})
    key = created.json()["id"]
    assert (created.status_code, created.json()) == (201, {"id": key, "success": True, "errors": [], "created": True})
    assert (updated.status_code, updated.json()) == (200, {"id": key, "success": True, "errors": [], "created": False})
    assert api.get("sobjects/Account/Commerce_Id__c/a%2Fb+c").json()["Name"] == "two"
    assert api.get(path).json()["Commerce_Id__c"] == "a/b c"


def test_old_api_versions_answer_an_update_with_204(api):
    assert (
        api.call("PATCH", "/services/data/v45.0/sobjects/Account/Commerce_Id__c/k", json={"Name": "a"}).status_code
        == 201
    )
    again = api.call("PATCH", "/services/data/v45.0/sobjects/Account/Commerce_Id__c/k", json={"Name": "b"})
    assert (again.status_code, again.content) == (204, b"")


def test_an_ambiguous_key_answers_300_with_the_records(api, salesforce):
    salesforce.put("Contact", [{"LastName": str(n), "Email": "same@x.org"} for n in range(2)])
    answer = api.patch("sobjects/Contact/Email/same@x.org", {"Title": "t"})
    assert answer.status_code == 300
    assert len(answer.json()) == 2
    assert answer.json()[0].startswith("/services/data/v60.0/sobjects/Contact/003")


def test_the_key_may_not_be_repeated_in_an_upsert_and_must_be_known(api):
    assert error_of(api.patch("sobjects/Account/Commerce_Id__c/k", {"Name": "a", "Commerce_Id__c": "k"})) == (
        400,
        "INVALID_FIELD",
    )
    assert error_of(api.patch("sobjects/Account/Site/k", {"Name": "a"})) == (404, "NOT_FOUND")
    assert error_of(api.patch("sobjects/Account/Commerce_Id__c/k?updateOnly=true", {"Name": "a"})) == (404, "NOT_FOUND")


def test_external_ids_differ_by_case_and_are_unique(api):
    api.create("Account", Name="lower", Commerce_Id__c="abc")
    api.create("Account", Name="upper", Commerce_Id__c="ABC")
    answer = api.post("sobjects/Account", {"Name": "again", "Commerce_Id__c": "abc"})
    assert error_of(answer) == (400, "DUPLICATE_VALUE")
    assert answer.json()[0]["message"].startswith(
        "duplicate value found: Commerce_Id__c duplicates value on record with id: 001"
    )


def test_unknown_objects_versions_and_methods(api):
    assert error_of(api.get("sobjects/Nothing/describe")) == (404, "NOT_FOUND")
    assert error_of(api.get("/services/data/v30.0/limits")) == (404, "NOT_FOUND")
    assert error_of(api.get("/services/data/v69.0/limits")) == (404, "NOT_FOUND")
    assert error_of(api.post("limits")) == (405, "METHOD_NOT_ALLOWED")
    for version in ("31.0", "68.0"):
        assert api.get(f"/services/data/v{version}/").json()["query"] == f"/services/data/v{version}/query"


def test_names_of_objects_and_fields_ignore_case_and_slashes_are_tolerated(api):
    key = api.post("sobjects/account//".rstrip("/") + "/", {"nAmE": "x"}).json()["id"]
    assert api.get(f"sobjects/ACCOUNT/{key}/").json()["Name"] == "x"


def test_describe_has_every_key_a_recorded_one_has(api):
    found = api.get("sobjects/Account/describe").json()
    fields = {field["name"]: field for field in found["fields"]}
    assert all(len(field) == 57 for field in fields.values())
    key = fields["Commerce_Id__c"]
    assert (key["externalId"], key["unique"], key["caseSensitive"], key["idLookup"], key["length"]) == (
        True,
        True,
        True,
        True,
        255,
    )
    assert (fields["Id"]["byteLength"], fields["Id"]["soapType"], fields["Id"]["type"]) == (18, "tns:ID", "id")
    spend = fields["Lifetime_Spend__c"]
    assert (spend["type"], spend["precision"], spend["scale"], spend["soapType"]) == ("currency", 18, 2, "xsd:double")
    assert {"field": "AccountId", "childSObject": "Contact", "relationshipName": "Contacts"}.items() <= next(
        child for child in found["childRelationships"] if child["childSObject"] == "Contact"
    ).items()
    required = [
        f["name"] for f in found["fields"] if f["createable"] and not f["nillable"] and not f["defaultedOnCreate"]
    ]
    assert required == ["Name"]
    assert (
        api.get("sobjects/Account/describe", headers={"If-Modified-Since": "Wed, 01 Jan 2020 00:00:00 GMT"}).status_code
        == 304
    )
    overview = api.get("sobjects").json()
    assert {entry["name"] for entry in overview["sobjects"]} >= {
        "Account",
        "Contact",
        "Order",
        "PricebookEntry",
        "Task",
    }
    assert len(overview["sobjects"][0]) == 28


def test_collections_answer_in_order_and_partially(api):
    results = api.upsert_all(
        "Account", "Commerce_Id__c", [{"Commerce_Id__c": "1", "Name": "a"}, {"Commerce_Id__c": "2"}, {"Name": "no key"}]
    )
    assert [result["success"] for result in results] == [True, False, False]
    assert results[0]["created"] is True
    assert results[1]["errors"] == [
        {"statusCode": "REQUIRED_FIELD_MISSING", "message": "Required fields are missing: [Name]", "fields": ["Name"]}
    ]
    assert results[2]["errors"][0]["statusCode"] == "MISSING_ARGUMENT"
    assert "id" not in results[1]


def test_all_or_none_rolls_the_others_back(api, salesforce):
    results = api.upsert_all(
        "Account", "Commerce_Id__c", [{"Commerce_Id__c": "1", "Name": "a"}, {"Commerce_Id__c": "2"}], allOrNone=True
    )
    assert results[0]["errors"][0]["statusCode"] == "ALL_OR_NONE_OPERATION_ROLLED_BACK"
    assert salesforce.records("Account") == []


def test_one_external_id_twice_in_a_request_fails_both_rows(api, salesforce):
    twice = [{"Commerce_Id__c": "1", "Name": "a"}, {"Commerce_Id__c": "1", "Name": "b"}]
    results = api.upsert_all("Account", "Commerce_Id__c", twice)
    assert [result["errors"][0]["message"] for result in results] == ["Duplicate external id specified: 1"] * 2
    salesforce.options(duplicate_keys_fail="later")
    assert [r["success"] for r in api.upsert_all("Account", "Commerce_Id__c", twice)] == [True, False]


def test_a_collection_takes_200_records(api):
    body = {"records": [{"attributes": {"type": "Account"}, "Name": str(n)} for n in range(201)]}
    assert error_of(api.post("composite/sobjects", body)) == (400, "EXCEEDED_MAX_SIZE_REQUEST")
    body["records"].pop()
    assert all(result["success"] for result in api.post("composite/sobjects", body).json())


def test_collections_of_mixed_types_update_retrieve_and_delete(api):
    body = {
        "records": [
            {"attributes": {"type": "Account"}, "Name": "a"},
            {"attributes": {"type": "Contact"}, "LastName": "c"},
        ]
    }
    account, contact = (result["id"] for result in api.post("composite/sobjects", body).json())
    change = {
        "records": [
            {"attributes": {"type": "Account"}, "id": account, "Name": "b"},
            {"attributes": {"type": "Contact"}, "id": "bad"},
        ]
    }
    results = api.patch("composite/sobjects", change).json()
    assert [result["success"] for result in results] == [True, False]
    found = api.post("composite/sobjects/Account", {"ids": [account, "001000000000999AAA"], "fields": ["Name"]}).json()
    assert (found[0]["Name"], found[1]) == ("b", None)
    gone = api.remove(f"composite/sobjects?ids={account},{contact},003000000000999AAA&allOrNone=false").json()
    assert [result["success"] for result in gone] == [True, True, False]


def test_composite_passes_ids_on_and_halts_as_a_whole(api, salesforce):
    def request(last_name):
        return {
            "allOrNone": True,
            "compositeRequest": [
                {
                    "method": "POST",
                    "url": "/services/data/v60.0/sobjects/Account",
                    "referenceId": "acc",
                    "body": {"Name": "a"},
                },
                {
                    "method": "POST",
                    "url": "/services/data/v60.0/sobjects/Contact",
                    "referenceId": "con",
                    "body": {"LastName": last_name, "AccountId": "@{acc.id}"},
                },
                {
                    "method": "GET",
                    "url": "/services/data/v60.0/query?q=SELECT+Id+FROM+Contact+WHERE+AccountId='@{acc.id}'",
                    "referenceId": "q",
                },
            ],
        }

    halted = api.post("composite", request("")).json()["compositeResponse"]
    assert [one["body"][0]["errorCode"] for one in halted] == [
        "PROCESSING_HALTED",
        "REQUIRED_FIELD_MISSING",
        "PROCESSING_HALTED",
    ]
    assert salesforce.records("Account") == []
    done = api.post("composite", request("x")).json()["compositeResponse"]
    assert [one["httpStatusCode"] for one in done] == [201, 201, 200]
    assert done[2]["body"]["totalSize"] == 1
    assert done[0]["httpHeaders"]["Location"].endswith(done[0]["body"]["id"])


@pytest.mark.parametrize("request_body", [{}, {"compositeRequest": [1]}, {"compositeRequest": [{"url": "/x"}]}])
def test_a_shapeless_composite_is_refused(api, request_body):
    assert error_of(api.post("composite", request_body))[0] == 400


def test_a_batch_runs_independent_requests(api):
    body = {
        "batchRequests": [
            {"method": "POST", "url": "v60.0/sobjects/Account", "richInput": {"Name": "a"}},
            {"method": "GET", "url": "v60.0/nothing"},
        ]
    }
    found = api.post("composite/batch", body).json()
    assert found["hasErrors"] is True
    assert [result["statusCode"] for result in found["results"]] == [201, 404]


def test_a_tree_is_written_whole_or_not_at_all(api, salesforce):
    def tree(email):
        return {
            "records": [
                {
                    "attributes": {"type": "Account", "referenceId": "r1"},
                    "Name": "a",
                    "Contacts": {
                        "records": [
                            {"attributes": {"type": "Contact", "referenceId": "r2"}, "LastName": "c", "Email": email}
                        ]
                    },
                }
            ]
        }

    refused = api.post("composite/tree/Account", tree("123"))
    assert (refused.status_code, refused.json()["results"][0]["errors"][0]["statusCode"]) == (
        400,
        "INVALID_EMAIL_ADDRESS",
    )
    assert salesforce.records("Account") == []
    done = api.post("composite/tree/Account", tree("a@b.cd"))
    assert (done.status_code, [r["referenceId"] for r in done.json()["results"]]) == (201, ["r1", "r2"])
    assert salesforce.records("Contact")[0]["AccountId"] == done.json()["results"][0]["id"]


def test_row_faults_hit_rest_and_collections_alike(api, salesforce):
    rule = {
        "action": "row_error",
        "object": "Account",
        "when": {"field": "Name", "regex": "^bad"},
        "message": "no bad ones",
        "fields": ["Name"],
    }
    salesforce.fault(**rule, times=2)
    assert api.post("sobjects/Account", {"Name": "bad"}).json()[0] == {
        "message": "no bad ones",
        "errorCode": "FIELD_CUSTOM_VALIDATION_EXCEPTION",
        "fields": ["Name"],
    }
    names = [{"Commerce_Id__c": str(n), "Name": name} for n, name in enumerate(["good", "bad1", "bad2"])]
    results = api.upsert_all("Account", "Commerce_Id__c", names)
    assert [result["success"] for result in results] == [True, False, True]
    salesforce.fault(action="lock", object="Account", when={"field": "Commerce_Id__c", "regex": "0"})
    assert api.upsert_all("Account", "Commerce_Id__c", names[:1])[0]["errors"][0]["statusCode"] == "UNABLE_TO_LOCK_ROW"


def test_duplicate_rules_refuse_creates_unless_the_header_allows_it(api, salesforce):
    salesforce.put("Account", [{"Name": "Acme", "Phone": "1"}])
    rule = {"object": "Account", "fields": ["Name", "Phone"], "rule": "Acme_Rule"}
    salesforce.options(duplicate_rules=[rule])
    refused = api.post("sobjects/Account", {"Name": "ACME", "Phone": "1"})
    assert error_of(refused) == (400, "DUPLICATES_DETECTED")
    assert refused.json()[0]["duplicateResut"]["matchResults"][0]["size"] == 1
    header = {"Sforce-Duplicate-Rule-Header": "allowSave=true"}
    assert api.post("sobjects/Account", {"Name": "Acme", "Phone": "1"}, headers=header).status_code == 201
    salesforce.options(duplicate_rules=[rule | {"block": True}])
    assert api.post("sobjects/Account", {"Name": "Acme", "Phone": "1"}, headers=header).status_code == 400


def test_updated_and_deleted_list_ids_within_a_window(api, salesforce):
    kept, gone = api.create("Account", Name="kept"), api.create("Account", Name="gone")
    api.remove(f"sobjects/Account/{gone}")
    salesforce.clock(advance_s=120)
    now = salesforce.clock()["now"]
    window = {"start": "2000", "end": now}
    assert (
        error_of(api.get("sobjects/Account/updated/", params=window | {"start": "2020-01-01T00:00:00+00:00"}))[0] == 400
    )
    start = salesforce.records("Account")[0]["CreatedDate"][:17] + "00+00:00"
    window = {"start": start, "end": now}
    assert api.get("sobjects/Account/updated/", params=window).json()["ids"] == [kept]
    deleted = api.get("sobjects/Account/deleted/", params=window).json()
    assert [record["id"] for record in deleted["deletedRecords"]] == [gone]
    assert set(deleted) == {"deletedRecords", "earliestDateAvailable", "latestDateCovered"}


def test_totals_follow_lines_that_are_deleted(api, salesforce):
    standard = salesforce.records("Pricebook2")[0]["Id"]
    product = api.create("Product2", Name="p", ProductCode="P1")
    entry = api.create("PricebookEntry", Pricebook2Id=standard, Product2Id=product, UnitPrice=5)
    account = api.create("Account", Name="a")
    order = api.create("Order", AccountId=account, EffectiveDate="2026-01-01", Status="Draft", Pricebook2Id=standard)
    lines = [api.create("OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=n, UnitPrice=1) for n in (1, 2, 4)]
    for line, total in zip(lines, (6.0, 4.0, 0.0), strict=True):
        assert api.call("DELETE", f"sobjects/OrderItem/{line}").status_code == 204
        assert api.get(f"sobjects/Order/{order}").json()["TotalAmount"] == total


def test_prices_orders_and_members_follow_their_rules(api, salesforce):
    standard = salesforce.records("Pricebook2")[0]["Id"]
    product = api.create("Product2", Name="p", ProductCode="P1")
    book = api.create("Pricebook2", Name="b", IsActive=True)
    early = api.post("sobjects/PricebookEntry", {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 1})
    assert error_of(early) == (400, "STANDARD_PRICE_NOT_DEFINED")
    api.create("PricebookEntry", Pricebook2Id=standard, Product2Id=product, UnitPrice=5)
    entry = api.create("PricebookEntry", Pricebook2Id=book, Product2Id=product, UseStandardPrice=True)
    again = api.post("sobjects/PricebookEntry", {"Pricebook2Id": book, "Product2Id": product, "UnitPrice": 1})
    assert error_of(again) == (400, "DUPLICATE_VALUE")
    account = api.create("Account", Name="a")
    order = api.create("Order", AccountId=account, EffectiveDate="2026-01-01", Status="Draft", Pricebook2Id=book)
    assert error_of(api.patch(f"sobjects/Order/{order}", {"Status": "Activated"}))[0] == 400
    api.create("OrderItem", OrderId=order, PricebookEntryId=entry, Quantity=2, UnitPrice=4.5)
    assert api.get(f"sobjects/Order/{order}").json()["TotalAmount"] == 9.0
    assert api.patch(f"sobjects/Order/{order}", {"Status": "Activated"}).status_code == 204
    assert error_of(api.patch(f"sobjects/Order/{order}", {"PoNumber": "x"}))[0] == 400
    opportunity = api.create(
        "Opportunity", Name="o", StageName="Prospecting", CloseDate="2026-12-31", AccountId=account
    )
    assert api.get(f"sobjects/Opportunity/{opportunity}").json()["Probability"] == 10.0
    line = {"OpportunityId": opportunity, "PricebookEntryId": entry, "Quantity": 3}
    assert error_of(api.post("sobjects/OpportunityLineItem", line))[0] == 400
    api.create("OpportunityLineItem", **line, UnitPrice=2)
    assert api.get(f"sobjects/Opportunity/{opportunity}").json()["Amount"] == 6.0
    campaign, contact = api.create("Campaign", Name="c"), api.create("Contact", LastName="l")
    api.create("CampaignMember", CampaignId=campaign, ContactId=contact, Status="Unheard of")
    twice = api.post("sobjects/CampaignMember", {"CampaignId": campaign, "ContactId": contact})
    assert error_of(twice) == (400, "DUPLICATE_VALUE")
    assert api.query("SELECT Status FROM CampaignMember")[0]["Status"] == "Sent"
    case = api.create("Case", Subject="s")
    assert (
        api.query("SELECT Status, Priority, CaseNumber, IsClosed FROM Case")[0].items()
        >= {"Status": "New", "IsClosed": False}.items()
    )
    assert api.patch(f"sobjects/Case/{case}", {"Status": "Closed"}).status_code == 204
    assert api.query("SELECT IsClosed FROM Case")[0]["IsClosed"] is True
