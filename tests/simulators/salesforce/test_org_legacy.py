"""SOAP login and the CSV and XML dialects of Bulk 1.0, on the wire."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
import requests

NS = "{http://www.force.com/2009/06/asyncapi/dataload}"
SOAP = """<env:Envelope xmlns:env="http://schemas.xmlsoap.org/soap/envelope/"><env:Body>
<n1:login xmlns:n1="urn:partner.soap.sforce.com"><n1:username>{user}</n1:username><n1:password>{password}</n1:password></n1:login>
</env:Body></env:Envelope>"""


def sign_in(far, *, version="59.0", password=None):
    body = SOAP.format(user=far.username, password=password or far.password + far.security_token)
    return requests.post(f"{far.url}/services/Soap/u/{version}", data=body, headers={"SOAPAction": "login"}, timeout=10)


def test_soap_login_is_a_switch_and_ends_with_api_64(salesforce):
    assert "<sf:exceptionCode>INVALID_OPERATION</sf:exceptionCode>" in sign_in(salesforce).text
    salesforce.options(soap_login=True)
    welcome = sign_in(salesforce)
    assert welcome.status_code == 200
    assert f"<serverUrl>{salesforce.url}/services/Soap/u/59.0/00D" in welcome.text
    refused = sign_in(salesforce, password="wrong")
    assert (refused.status_code, "<sf:exceptionCode>INVALID_LOGIN</sf:exceptionCode>" in refused.text) == (500, True)
    assert "UNSUPPORTED_API_VERSION" in sign_in(salesforce, version="65.0").text


@pytest.fixture
def classic(api, salesforce):
    def call(method, path, data=None, *, content="application/xml"):
        headers = {"X-SFDC-Session": api.token, "Content-Type": content}
        raw = data.encode() if data is not None else None
        return requests.request(
            method, f"{salesforce.url}/services/async/60.0/{path}", data=raw, headers=headers, timeout=10
        )

    return call


def job_xml(operation, **more):
    fields = "".join(f"<{name}>{value}</{name}>" for name, value in more.items())
    return (
        '<?xml version="1.0" encoding="UTF-8"?><jobInfo xmlns="http://www.force.com/2009/06/asyncapi/dataload">'
        f"<operation>{operation}</operation><object>Account</object>{fields}<contentType>CSV</contentType></jobInfo>"
    )


def text(answer, name):
    return ElementTree.fromstring(answer.content).findtext(f"{NS}{name}")


def test_a_csv_job_answers_in_xml_and_keeps_the_order(classic, salesforce):
    created = classic("POST", "job", job_xml("upsert", externalIdFieldName="Commerce_Id__c"))
    assert (created.status_code, created.headers["Content-Type"], text(created, "state")) == (
        201,
        "application/xml",
        "Open",
    )
    assert text(created, "createdDate").endswith("Z")
    job = text(created, "id")
    data = "Commerce_Id__c,Name,Phone\n1,a,1\n2,,\n3,c,#N/A\n"
    posted = classic("POST", f"job/{job}/batch", data, content="text/csv; charset=UTF-8")
    assert (posted.status_code, text(posted, "state")) == (201, "Queued")
    batch = text(posted, "id")
    assert text(classic("GET", f"job/{job}/batch/{batch}"), "state") == "Completed"
    result = classic("GET", f"job/{job}/batch/{batch}/result")
    lines = result.text.splitlines()
    assert (result.headers["Content-Type"], lines[0]) == ("text/csv", '"Id","Success","Created","Error"')
    assert [line.split(",")[1] for line in lines[1:]] == ['"true"', '"false"', '"true"']
    assert "REQUIRED_FIELD_MISSING" in lines[2]
    assert (
        text(
            classic("POST", f"job/{job}", job_xml("x").replace("<operation>x</operation>", "<state>Closed</state>")),
            "state",
        )
        == "Closed"
    )
    assert classic("GET", f"job/{job}/batch/{batch}/request").text == data
    assert len(salesforce.records("Account")) == 2


def test_a_csv_query_has_result_ids_and_rows(classic, salesforce):
    salesforce.put("Account", [{"Name": "a"}])
    job = text(classic("POST", "job", job_xml("query")), "id")
    for soql, expected in (
        ("SELECT Name FROM Account", '"Name"\n"a"\n'),
        ("SELECT Name FROM Lead", '"Records not found for this query"\n'),
    ):
        batch = text(classic("POST", f"job/{job}/batch", soql, content="text/csv"), "id")
        rid = text(classic("GET", f"job/{job}/batch/{batch}/result"), "result")
        assert classic("GET", f"job/{job}/batch/{batch}/result/{rid}").text == expected
    failed = text(classic("POST", f"job/{job}/batch", "SELECT Nope FROM Account", content="text/csv"), "id")
    assert text(classic("GET", f"job/{job}/batch/{failed}"), "state") == "Failed"
    assert classic("GET", f"job/{job}/batch/{failed}/result").status_code == 400


def test_a_dead_session_is_a_400_in_the_dialect_of_the_request(classic, salesforce):
    salesforce.fault(action="expire_tokens")
    xml = classic("POST", "job", job_xml("insert"))
    assert (xml.status_code, text(xml, "exceptionCode")) == (400, "InvalidSessionId")
    answer = classic("POST", "job", "{}", content="application/json")
    assert (answer.status_code, answer.json()["exceptionCode"]) == (400, "InvalidSessionId")


def test_document_types_are_refused(classic):
    bomb = '<!DOCTYPE x [<!ENTITY a "aaaa">]><jobInfo><operation>&a;</operation></jobInfo>'
    assert text(classic("POST", "job", bomb), "exceptionCode") == "InvalidXML"
