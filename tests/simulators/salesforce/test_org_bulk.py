"""Bulk API 2.0: ingest and query jobs, what goes wrong in them, and what is left behind."""

from __future__ import annotations

import csv
import io

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

KEY = {"externalIdFieldName": "Commerce_Id__c"}


def table(header, *rows):
    return "\n".join([header, *rows]) + "\n"


def test_a_job_passes_its_states_and_reports(api, salesforce):
    job = api.post(
        "jobs/ingest", {"object": "Account", "operation": "upsert", **KEY, "contentType": "CSV", "lineEnding": "LF"}
    )
    body = job.json()
    key = body["id"]
    assert (job.status_code, body["state"], body["apiVersion"]) == (200, "Open", 60.0)
    assert body["contentUrl"] == f"services/data/v60.0/jobs/ingest/{key}/batches"
    assert key.startswith("750")
    uploaded = api.upload(key, table("Commerce_Id__c,Name", "1,a", "2,b"))
    assert (uploaded.status_code, uploaded.content) == (201, b"")
    assert api.close_job(key).json()["state"] == "UploadComplete"
    assert api.get(f"jobs/ingest/{key}").json()["state"] in ("UploadComplete", "InProgress")
    done = api.finish(key)
    assert (done["state"], done["jobType"], done["numberRecordsProcessed"], done["numberRecordsFailed"]) == (
        "JobComplete",
        "V2Ingest",
        2,
        0,
    )
    text = api.get(f"jobs/ingest/{key}/successfulResults/").content.decode()
    assert text.startswith('"sf__Id","sf__Created",Commerce_Id__c,Name\n"001')
    assert {row["Commerce_Id__c"]: row["sf__Created"] for row in api.rows(key, "successfulResults")} == {
        "1": "true",
        "2": "true",
    }
    assert api.get(f"jobs/ingest/{key}/failedResults").text == '"sf__Id","sf__Error",Commerce_Id__c,Name\n'
    assert (
        api.get(f"jobs/ingest/{key}/unprocessedRecords").text
        == api.get(f"jobs/ingest/{key}/unprocessedrecords/").text
        == "Commerce_Id__c,Name\n"
    )
    assert api.remove(f"jobs/ingest/{key}").status_code == 204
    assert api.get(f"jobs/ingest/{key}").status_code == 404


def test_every_bad_row_is_named_and_good_ones_are_written(api, salesforce):
    data = table(
        "Commerce_Id__c,LastName,Email,Title,Account.Commerce_Id__c",
        "1,ok,a@b.cd,,",
        "2,,,,",
        "3,x,nonsense,,",
        f"4,x,,{'t' * 129},",
        "5,x,,,nobody",
        ",x,,,",
        '6,"a, ""b""\nc",,,',
    )
    info, job = api.load("Contact", "upsert", data, **KEY)
    assert (info["state"], info["numberRecordsProcessed"], info["numberRecordsFailed"]) == ("JobComplete", 7, 5)
    errors = {row["Commerce_Id__c"]: row["sf__Error"] for row in api.rows(job, "failedResults")}
    assert errors["2"] == "REQUIRED_FIELD_MISSING:Required fields are missing: [LastName]:LastName --"
    assert errors["3"] == "INVALID_EMAIL_ADDRESS:Email: invalid email address: nonsense:Email --"
    assert errors["4"].startswith("STRING_TOO_LONG:Title: data value too large: ttt")
    assert (
        errors["5"]
        == "INVALID_FIELD:Foreign key external ID: nobody not found for field Commerce_Id__c in entity Account:--"
    )
    assert errors[""] == "MISSING_ARGUMENT:Commerce_Id__c not specified:--"
    assert {row["LastName"] for row in salesforce.records("Contact")} == {"ok", 'a, "b"\nc'}
    assert {row["LastName"] for row in api.rows(job, "successfulResults")} == {"ok", 'a, "b"\nc'}


def test_empty_leaves_and_the_null_mark_clears(api, salesforce):
    salesforce.put(
        "Account", [{"Name": "n", "Commerce_Id__c": "1", "Phone": "1", "Fax": "2", "First_Purchase__c": "2026-01-01"}]
    )
    api.load(
        "Account",
        "upsert",
        table("Commerce_Id__c,Phone,Fax,First_Purchase__c,Lifetime_Spend__c", "1,,#N/A,#N/A,1.005"),
        **KEY,
    )
    record = salesforce.records("Account")[0]
    assert (
        record["Name"],
        record["Phone"],
        record["Fax"],
        record["First_Purchase__c"],
        record["Lifetime_Spend__c"],
    ) == ("n", "1", None, None, 1.01)


def test_parents_are_found_by_external_id(api, salesforce):
    salesforce.put("Account", [{"Name": "p", "Commerce_Id__c": "P"}])
    api.load("Contact", "insert", table("LastName,Account.Commerce_Id__c,Owner.Username", f"x,P,{salesforce.username}"))
    assert salesforce.records("Contact")[0]["AccountId"] == salesforce.records("Account")[0]["Id"]
    info, _ = api.load("Contact", "insert", table("LastName,Contact:Account.Commerce_Id__c", "x,P"))
    assert info["state"] == "Failed"  # a type prefix on a lookup with one target


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (table("Commerce_Id__c,Industryy", "1,a"), "InvalidBatch : Field name not found : Industryy"),
        ("\ufeff" + table("Commerce_Id__c,Name", "1,a"), "InvalidBatch : Field name not found : \ufeffCommerce_Id__c"),
        (
            table("Commerce_Id__c,Name", "1,a").replace("\n", "\r\n"),
            "ClientInputError : LineEnding is invalid on user data. Current LineEnding setting is LF",
        ),
    ],
)
def test_a_spoiled_file_fails_the_job_and_writes_nothing(api, salesforce, data, message):
    info, job = api.load("Account", "upsert", data, **KEY)
    assert (info["state"], info["errorMessage"], info["numberRecordsProcessed"]) == ("Failed", message, 0)
    assert salesforce.records("Account") == []


def test_other_line_ends_and_delimiters(api, salesforce):
    info, job = api.load("Account", "insert", "Name;Site\r\na;b\r\n", lineEnding="CRLF", columnDelimiter="SEMICOLON")
    assert info["state"] == "JobComplete"
    assert salesforce.records("Account")[0]["Site"] == "b"
    assert api.get(f"jobs/ingest/{job}/successfulResults").text.startswith('"sf__Id";"sf__Created";Name;Site\r\n')


def test_misuse_is_refused(api):
    def codes(answer):
        return answer.status_code, answer.json()[0]["errorCode"]

    assert codes(api.post("jobs/ingest", {"object": "Nothing", "operation": "insert"})) == (400, "INVALIDENTITY")
    assert codes(api.post("jobs/ingest", {"object": "Account", "operation": "upsert"})) == (400, "INVALIDJOB")
    assert codes(
        api.post("jobs/ingest", {"object": "Account", "operation": "upsert", "externalIdFieldName": "Site"})
    ) == (400, "INVALIDJOB")
    job = api.open_job("Account", "insert", table("Name", "a"))
    assert codes(api.upload(job, "Name\nb\n")) == (400, "INVALIDBATCH")
    assert api.get(f"jobs/ingest/{job}/successfulResults").status_code == 409
    assert codes(api.remove(f"jobs/ingest/{job}"))[1] == "INVALIDJOBSTATE"
    api.close_job(job)
    assert codes(api.close_job(job)) == (409, "INVALIDJOBSTATE")
    assert codes(api.upload(job, "Name\nb\n")) == (409, "INVALIDJOBSTATE")
    assert api.finish(job)["numberRecordsProcessed"] == 1
    assert api.patch(f"jobs/ingest/{job}", {"state": "Aborted"}).status_code == 409


def test_a_multipart_request_is_a_whole_job(api, salesforce):
    body = (
        '--B\r\nContent-Disposition: form-data; name="job"\r\nContent-Type: application/json\r\n\r\n'
        '{"object":"Account","operation":"insert","contentType":"CSV"}\r\n'
        '--B\r\nContent-Disposition: form-data; name="content"; filename="content"\r\nContent-Type: text/csv\r\n\r\n'
        "Name\na\n\r\n--B--\r\n"
    )
    answer = api.call(
        "POST", "jobs/ingest", data=body.encode(), headers={"Content-Type": "multipart/form-data; boundary=B"}
    )
    assert answer.json()["state"] == "UploadComplete"
    assert api.finish(answer.json()["id"])["numberRecordsFailed"] == 0
    assert [row["Name"] for row in salesforce.records("Account")] == ["a"]


def test_deletes_go_to_the_recycle_bin_and_hard_deletes_do_not(api, salesforce):
    keys = [api.create("Account", Name=str(n)) for n in range(2)]
    api.load("Account", "delete", table("Id", keys[0], "001000000000999AAA"))
    assert {row["Id"]: row["IsDeleted"] for row in salesforce.records("Account")} == {keys[0]: True, keys[1]: False}
    info, job = api.load("Account", "hardDelete", table("Id", *keys))
    assert [row["Id"] for row in salesforce.records("Account")] == [keys[0]]
    assert api.rows(job, "failedResults")[0]["sf__Error"] == "ENTITY_IS_DELETED:entity is deleted:--"
    assert api.load("Account", "delete", table("Id,Name", f"{keys[0]},x"))[0]["state"] == "Failed"


def test_an_aborted_job_leaves_its_rows_unprocessed(api, salesforce):
    salesforce.fault(action="hold_jobs")
    job = api.open_job("Account", "insert", table("Name", "a", "b"))
    api.close_job(job)
    assert api.get(f"jobs/ingest/{job}").json()["state"] in ("UploadComplete", "InProgress")
    assert api.patch(f"jobs/ingest/{job}", {"state": "Aborted"}).json()["state"] == "Aborted"
    salesforce.clear_faults()
    assert salesforce.records("Account") == []
    assert api.finish(job)["state"] == "Aborted"


def test_a_failing_job_keeps_what_it_wrote_and_names_the_rest(api, salesforce):
    salesforce.fault(action="job_failed", after_rows=30)
    data = table("Commerce_Id__c,Name", *(f"{n},x" for n in range(100)))
    info, job = api.load("Account", "upsert", data, **KEY)
    assert (info["state"], info["numberRecordsProcessed"]) == ("Failed", 30)
    assert info["errorMessage"]
    written = {row["Commerce_Id__c"] for row in api.rows(job, "successfulResults")}
    left = {row["Commerce_Id__c"] for row in api.rows(job, "unprocessedrecords")}
    assert written == {row["Commerce_Id__c"] for row in salesforce.records("Account")}
    assert (len(written), written | left, written & left) == (30, {str(n) for n in range(100)}, set())


def test_results_come_in_another_order(api):
    data = table("Commerce_Id__c,Name", *(f"{n},x" for n in range(300)))
    _, job = api.load("Account", "upsert", data, **KEY)
    order = [int(row["Commerce_Id__c"]) for row in api.rows(job, "successfulResults")]
    assert sorted(order) == list(range(300))
    assert order != list(range(300))


def test_a_key_twice_in_a_chunk_fails_and_in_two_chunks_updates(api, salesforce):
    near = table("Commerce_Id__c,Name", "1,a", "1,b")
    info, job = api.load("Account", "upsert", near, **KEY)
    assert info["numberRecordsFailed"] == 2
    assert "Duplicate external id specified: 1" in api.rows(job, "failedResults")[0]["sf__Error"]
    far = table("Commerce_Id__c,Name", "1,a", *(f"k{n},x" for n in range(200)), "1,b")
    info, job = api.load("Account", "upsert", far, **KEY)
    assert info["numberRecordsFailed"] == 0
    assert len(salesforce.records("Account", Commerce_Id__c="1")) == 1


def test_two_jobs_at_work_on_one_parent_lock_each_other_out(api, salesforce):
    salesforce.put("Account", [{"Name": "p", "Commerce_Id__c": "P"}])
    salesforce.options(lock_hold_ms=100)
    salesforce.fault(action="hold_jobs")
    jobs = [
        api.open_job("Contact", "insert", table("LastName,Account.Commerce_Id__c", *(f"{j}{n},P" for n in range(5))))
        for j in "ab"
    ]
    for job in jobs:
        api.close_job(job)
    salesforce.clear_faults()
    assert sorted(api.finish(job)["numberRecordsFailed"] for job in jobs) == [0, 5]
    failed = [row for job in jobs for row in api.rows(job, "failedResults")]
    parent = salesforce.records("Account")[0]["Id"]
    assert (
        failed[0]["sf__Error"]
        == f"UNABLE_TO_LOCK_ROW:unable to obtain exclusive access to this record or 1 records: {parent}:--"
    )
    again = table("LastName,Account.Commerce_Id__c", *(f"{row['LastName']},P" for row in failed))
    assert api.load("Contact", "insert", again)[0]["numberRecordsFailed"] == 0
    assert len(salesforce.records("Contact")) == 10


def test_latency_is_simulated_time(api, salesforce):
    salesforce.options(job_latency_ms=60_000)
    job = api.open_job("Account", "insert", table("Name", "a"))
    api.close_job(job)
    assert {api.get(f"jobs/ingest/{job}").json()["state"] for _ in range(5)} <= {"UploadComplete", "InProgress"}
    salesforce.clock(advance_s=61)
    assert api.get(f"jobs/ingest/{job}").json()["state"] == "JobComplete"


def test_csv_answers_name_a_charset_only_when_switched_on(api, salesforce):
    _, job = api.load("Account", "insert", table("Name", "Zoë"))
    bare = api.get(f"jobs/ingest/{job}/successfulResults")
    assert (bare.headers["Content-Type"], "Zoë" in bare.content.decode()) == ("text/csv", True)
    salesforce.options(csv_charset=True)
    assert api.get(f"jobs/ingest/{job}/successfulResults").headers["Content-Type"] == "text/csv; charset=UTF-8"


def test_jobs_are_listed(api):
    jobs = {api.load("Account", "insert", table("Name", "a"))[1] for _ in range(2)}
    listed = api.get("jobs/ingest?jobType=V2Ingest").json()
    assert {job["id"] for job in listed["records"]} == jobs
    assert (listed["done"], listed["nextRecordsUrl"]) == (True, None)


def test_a_query_job_is_read_in_pages(api, salesforce):
    salesforce.put(
        "Account", [{"Name": f"{n:02d}", "Commerce_Id__c": f'q"{n}', "Order_Count__c": None} for n in range(25)]
    )
    created = api.post(
        "jobs/query",
        {
            "operation": "query",
            "query": "SELECT Commerce_Id__c, Name, Owner.Username, Order_Count__c, IsDeleted, CreatedDate FROM Account ORDER BY Name",
        },
    )
    job = created.json()["id"]
    assert (created.status_code, created.json()["state"], created.json()["object"]) == (
        200,
        "UploadComplete",
        "Account",
    )
    done = api.finish(job, kind="query")
    assert (done["state"], done["jobType"], done["numberRecordsProcessed"]) == ("JobComplete", "V2Query", 25)
    rows, locator = [], ""
    while locator != "null":
        page = api.get(
            f"jobs/query/{job}/results", params={"maxRecords": 10, **({"locator": locator} if locator else {})}
        )
        text = page.content.decode()
        assert text.startswith('"Commerce_Id__c","Name","Owner.Username","Order_Count__c","IsDeleted","CreatedDate"\n')
        found = list(csv.DictReader(io.StringIO(text, newline="")))
        assert int(page.headers["Sforce-NumberOfRecords"]) == len(found)
        rows += found
        locator = page.headers["Sforce-Locator"]
    assert [row["Name"] for row in rows] == [f"{n:02d}" for n in range(25)]
    assert (rows[3]["Commerce_Id__c"], rows[3]["Order_Count__c"], rows[3]["IsDeleted"]) == ('q"3', "", "false")
    assert rows[0]["CreatedDate"].endswith("Z")
    assert api.get(f"/services/data/v59.0/jobs/query/{job}/results").status_code == 409
    assert api.get(f"jobs/query/{job}/resultPages").json()["done"] is True
    assert api.remove(f"jobs/query/{job}").status_code == 204


@pytest.mark.parametrize(
    ("soql", "code"),
    [
        ("SELECT BillingAddress FROM Account", "INVALID_FIELD"),
        ("SELECT COUNT(Id) FROM Account", "API_ERROR"),
        ("SELECT Id FROM Account LIMIT 1 OFFSET 1", "API_ERROR"),
        ("SELECT Nope FROM Account", "INVALID_FIELD"),
    ],
)
def test_bulk_queries_refuse_what_they_cannot_do(api, soql, code):
    answer = api.post("jobs/query", {"operation": "query", "query": soql})
    assert (answer.status_code, answer.json()[0]["errorCode"]) == (400, code)


def test_bulk_query_all_shows_deleted_rows_and_an_empty_result_is_a_header(api, salesforce):
    key = api.create("Account", Name="gone")
    api.remove(f"sobjects/Account/{key}")
    for operation, count in (("query", 0), ("queryAll", 1)):
        job = api.post("jobs/query", {"operation": operation, "query": "SELECT Id FROM Account"}).json()["id"]
        api.finish(job, kind="query")
        page = api.get(f"jobs/query/{job}/results")
        assert (page.headers["Sforce-NumberOfRecords"], page.headers["Sforce-Locator"]) == (str(count), "null")


ids = st.sampled_from([f"k{n}" for n in range(8)])
value = st.one_of(
    st.none(), st.just("leave"), st.text("aé,\"' \n", min_size=1, max_size=6).filter(lambda text: text != "leave")
)
step = st.dictionaries(ids, st.tuples(value, st.floats(-9999, 9999).map(lambda f: round(f, 2))), min_size=1, max_size=5)


def test_random_upserts_leave_what_a_dictionary_would_hold(api, salesforce):
    @settings(max_examples=12, deadline=None, suppress_health_check=list(HealthCheck))
    @given(st.lists(st.tuples(st.booleans(), step), min_size=1, max_size=3))
    def agree(steps):
        salesforce.reset()
        model: dict[str, dict] = {}
        for bulk, rows in steps:
            (by_bulk if bulk else by_collection)(api, rows)
            for key, (site, spend) in rows.items():
                record = model.setdefault(key, {"Site": None})
                record["Lifetime_Spend__c"] = spend
                if site != "leave":
                    record["Site"] = site
        found = {
            row["Commerce_Id__c"]: {"Site": row["Site"], "Lifetime_Spend__c": row["Lifetime_Spend__c"]}
            for row in salesforce.records("Account")
        }
        assert found == model

    agree()


def by_bulk(api, rows):
    buffer = io.StringIO()
    writer = csv.writer(buffer, lineterminator="\n")
    writer.writerow(["Commerce_Id__c", "Name", "Site", "Lifetime_Spend__c"])
    for key, (site, spend) in rows.items():
        writer.writerow([key, "n", "#N/A" if site is None else "" if site == "leave" else site, spend])
    info, _ = api.load("Account", "upsert", buffer.getvalue(), **KEY)
    assert info["numberRecordsFailed"] == 0


def by_collection(api, rows):
    records = []
    for key, (site, spend) in rows.items():
        record = {"Commerce_Id__c": key, "Name": "n", "Lifetime_Spend__c": spend}
        records.append(record if site == "leave" else record | {"Site": site})
    assert all(result["success"] for result in api.upsert_all("Account", "Commerce_Id__c", records))


def test_blank_ids_insert_and_an_open_quote_fails_the_job(api, salesforce):
    assert (
        api.load("Account", "upsert", table("Id,Name", ",a", ",b"), externalIdFieldName="Id")[0]["numberRecordsFailed"]
        == 0
    )
    assert len(salesforce.records("Account")) == 2
    info, _ = api.load("Account", "insert", 'Name\n"open\n')
    assert (info["state"], info["errorMessage"].split(":")[0]) == ("Failed", "InvalidBatch ")


def test_rows_of_the_wrong_width_fail_alone(api, salesforce):
    info, job = api.load("Account", "insert", table("Name,Site", "a", "b,c,d", "e,f"))
    assert (info["state"], info["numberRecordsFailed"]) == ("JobComplete", 2)
    assert [row["Name"] for row in salesforce.records("Account")] == ["e"]


def test_a_header_in_the_wrong_case_is_understood_but_echoed_empty(api, salesforce):
    _, job = api.load("Account", "insert", table("name", "a"))
    assert salesforce.records("Account")[0]["Name"] == "a"
    assert api.rows(job, "successfulResults")[0]["name"] == ""
