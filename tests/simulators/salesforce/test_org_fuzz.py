"""Whatever a client sends, the org answers in its own words: never a 500, never a trace."""

from __future__ import annotations

import json

from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

QUIET = settings(
    max_examples=250, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow]
)

WORDS = st.sampled_from(
    ["Account", "Contact", "Task", "Order", "Price_Agreement__c", "Nope", "Id", "Name", "Commerce_Id__c", "Email", "AccountId",
     "0015g000000001cAAA", "0015g000000001c", "7505g000000001cAAA", "01g5g000000001cAAA-2000", "", "null", "x", "é", "'", "%00",
     "describe", "updated", "batches", "successfulResults", "results"]
)  # fmt: skip
SEGMENTS = st.one_of(WORDS, st.text(min_size=1, max_size=8).map(lambda text: text.replace("/", "").replace("\\", "")))
PATHS = st.sampled_from(
    ["sobjects", "sobjects/{}", "sobjects/{}/{}", "sobjects/{}/{}/{}", "query", "queryAll", "query/{}", "search", "limits",
     "limits/recordCount", "composite", "composite/batch", "composite/graph", "composite/tree/{}", "composite/sobjects",
     "composite/sobjects/{}", "composite/sobjects/{}/{}", "jobs/ingest", "jobs/ingest/{}", "jobs/ingest/{}/{}", "jobs/query",
     "jobs/query/{}", "jobs/query/{}/results", "jobs/query/{}/resultPages", "/services/async/60.0/job",
     "/services/async/60.0/job/{}", "/services/async/60.0/job/{}/batch", "/services/async/60.0/job/{}/batch/{}/result",
     "/services/oauth2/token", "/services/oauth2/introspect", "/services/oauth2/revoke", "/services/Soap/u/{}", "/services/{}"]
)  # fmt: skip
KEYS = st.sampled_from(
    ["Id", "Name", "LastName", "Commerce_Id__c", "AccountId", "Account", "attributes", "type", "records", "allOrNone", "method",
     "url", "body", "referenceId", "compositeRequest", "batchRequests", "graphs", "graphId", "ids", "fields", "object",
     "operation", "externalIdFieldName", "state", "query", "contentType", "lineEnding", "Order_Count__c", "Birthdate", "RecordType",
     "RecordTypeId", "StageName", "CloseDate", "Status", "Pricebook2Id", "Product2Id", "UnitPrice", "CampaignId", "ContactId"]
)  # fmt: skip
SCALARS = st.one_of(
    st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False, allow_infinity=False), st.text(max_size=12), WORDS,
    st.sampled_from(["insert", "upsert", "query", "Aborted", "UploadComplete", "CSV", "GET", "POST", "PATCH", "@{a.id}",
                     "/services/data/v60.0/query?q=SELECT+Id+FROM+Account", "SELECT Id FROM Account", "2026-13-45", "1e999"]),
)  # fmt: skip
VALUES = st.recursive(
    SCALARS,
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(KEYS, inner, max_size=5)),
    max_leaves=12,
)
SOQL_PARTS = st.sampled_from(
    ["SELECT", "Id", "Name", ",", "FROM", "Account", "Contact", "Task", "WHERE", "=", "!=", "<", "LIKE", "IN", "NOT", "(", ")",
     "'x'", "'%'", "1", "1.5", "null", "true", "TODAY", "LAST_N_DAYS:3", "LAST_N_DAYS:99999999999", "LAST_N_MONTHS:99999999", "2026-01-01", "2026-01-01T00:00:00Z", "9999-99-99T00:00:00Z", "AND", "OR",
     "ORDER BY", "DESC", "NULLS LAST", "LIMIT", "OFFSET", "GROUP BY", "HAVING", "COUNT()", "COUNT(Id)", "MAX(Name)", "c",
     "Account.Name", "Who.Name", "What.Type", "(SELECT Id FROM Contacts)", "(SELECT AccountId FROM Contact)", "FIELDS(ALL)",
     "IsDeleted", "CreatedDate", "Order_Count__c", "BillingAddress", "INCLUDES", "-1", "99999999999999999999", "''", "\\", "CALENDAR_YEAR(CreatedDate)", "t.Id", "Owner.Name"]
)  # fmt: skip
HEADERS = st.sampled_from(
    [{}, {"Content-Type": "application/json"}, {"Content-Type": "text/csv"}, {"Content-Type": "application/xml"},
     {"Content-Type": "multipart/form-data; boundary=x"}, {"Content-Encoding": "gzip"}, {"If-Modified-Since": "yesterday"},
     {"Sforce-Query-Options": "batchSize=²"}, {"Sforce-Duplicate-Rule-Header": "="}]
)  # fmt: skip


def check(answer):
    assert answer.status_code < 500 or "Soap" in answer.url, f"{answer.request.method} {answer.url}: {answer.text}"
    assert "Traceback" not in answer.text


@QUIET
@given(data=st.data())
def test_random_requests_are_refused_in_the_orgs_own_words(api, data):
    path = data.draw(PATHS)
    path = path.format(*[data.draw(SEGMENTS) for _ in range(path.count("{}"))])
    method = data.draw(st.sampled_from(["GET", "POST", "PATCH", "PUT", "DELETE"]))
    names = st.sampled_from(
        ["q", "explain", "ids", "fields", "start", "end", "locator", "maxRecords", "allOrNone", "sObjects"]
    )
    params = data.draw(st.dictionaries(names, st.one_of(WORDS, st.text(max_size=20)), max_size=2))
    raw = data.draw(st.one_of(VALUES.map(json.dumps), st.text(max_size=40))).encode("utf-8", "replace")
    headers = {**data.draw(HEADERS), "X-SFDC-Session": api.token}
    headers = {name: value.encode("latin-1", "replace") for name, value in headers.items()}
    check(api.call(method, path, params=params, data=raw, headers=headers))


@QUIET
@given(parts=st.lists(SOQL_PARTS, min_size=1, max_size=14), start=st.booleans())
def test_random_soql_is_answered_or_refused(api, parts, start):
    text = ("SELECT Id FROM Account " if start else "") + " ".join(parts)
    check(api.get("query", params={"q": text}))
    check(api.post("jobs/query", {"operation": "queryAll", "query": text}))


@QUIET
@given(
    kind=st.sampled_from(["Account", "Contact", "Lead", "Opportunity", "Order", "OrderItem", "CampaignMember", "PricebookEntry",
                          "OpportunityLineItem", "Contract", "Task", "Case", "Commerce_Shipment__c", "User", "RecordType"]),
    rows=st.lists(st.dictionaries(KEYS, VALUES, max_size=6), min_size=1, max_size=3),
)  # fmt: skip
def test_random_records_are_written_or_refused(api, kind, rows):
    check(api.post(f"sobjects/{kind}", rows[0]))
    check(api.patch(f"sobjects/{kind}/Commerce_Id__c/k", rows[0]))
    records = [{**row, "attributes": {"type": kind}} for row in rows]
    check(api.post("composite/sobjects", {"records": records}))
    check(api.patch(f"composite/sobjects/{kind}/Commerce_Id__c", {"records": records}))
    check(api.post(f"composite/tree/{kind}", {"records": records}))
    requests = [
        {"method": "POST", "url": f"/services/data/v60.0/sobjects/{kind}", "referenceId": "a", "body": row}
        for row in rows
    ]
    check(api.post("composite", {"compositeRequest": requests}))
    check(api.post("composite/graph", {"graphs": [{"graphId": "g", "compositeRequest": requests}]}))


@settings(QUIET, max_examples=40)
@given(
    header=st.lists(st.one_of(KEYS, st.sampled_from(["Account.Commerce_Id__c", "Contact:Who.Email", "Name", ""])), min_size=1, max_size=4),
    body=st.text(alphabet='ab1,"\n\r#N/A;é\x00 ', max_size=60),
    operation=st.sampled_from(["insert", "update", "upsert", "delete"]),
)  # fmt: skip
def test_random_files_end_as_a_job_that_says_why(api, header, body, operation):
    more = {"externalIdFieldName": "Commerce_Id__c"} if operation == "upsert" else {}
    job = api.open_job("Account", operation, ",".join(header) + "\n" + body, **more)
    check(api.close_job(job))
    info = api.finish(job)
    assert "InternalServerError" not in info.get("errorMessage", "")
    for kind in ("successfulResults", "failedResults", "unprocessedrecords"):
        check(api.get(f"jobs/ingest/{job}/{kind}"))
