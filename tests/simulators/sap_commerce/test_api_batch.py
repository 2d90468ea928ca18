"""$batch: one transaction per ChangeSet, answers in order, limits."""

from __future__ import annotations

import json

SERVICE = "UnitSync"


def operation(body, *, number=1, line="POST B2BUnits HTTP/1.1", headers=""):
    head = f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\nContent-ID: {number}\r\n\r\n"
    payload = json.dumps(body) if body is not None else ""
    return f"{head}{line}\r\nAccept: application/json\r\nContent-Type: application/json\r\n{headers}\r\n{payload}\r\n"


def changeset(*operations):
    inner = "".join(f"--cs\r\n{one}" for one in operations)
    return f"--b\r\nContent-Type: multipart/mixed; boundary=cs\r\n\r\n{inner}--cs--\r\n"


def send(api, *parts):
    headers = {"Content-Type": "multipart/mixed; boundary=b"}
    return api.call("POST", f"{SERVICE}/$batch", data="".join(parts) + "--b--\r\n", headers=headers)


def statuses(answer):
    return [int(line.split()[1]) for line in answer.text.splitlines() if line.startswith("HTTP/1.1 ")]


def test_every_operation_is_answered_in_order_with_its_content_id(api, sap_commerce):
    answer = send(
        api,
        changeset(operation({"uid": "U1"}, number=7), operation({"uid": "U2"}, number=8)),
        changeset(operation({"uid": "U3"}, number=9)),
    )
    assert answer.status_code == 202
    assert statuses(answer) == [201, 201, 201]
    assert [line for line in answer.text.splitlines() if line.startswith("Content-Id")][::2] == [
        "Content-Id: 7",
        "Content-Id: 8",
        "Content-Id: 9",
    ]
    assert [unit["uid"] for unit in sap_commerce.records("B2BUnit")] == ["U1", "U2", "U3"]


def test_a_failing_operation_rolls_back_its_own_changeset_only(api, sap_commerce):
    answer = send(
        api,
        changeset(operation({"uid": "U1"})),
        changeset(operation({"uid": "U2"}), operation({"name": "keyless"})),
        changeset(operation({"uid": "U3"})),
    )
    assert answer.status_code == 202
    assert statuses(answer) == [201, 400, 201]
    assert "missing_key" in answer.text
    assert [unit["uid"] for unit in sap_commerce.records("B2BUnit")] == ["U1", "U3"]
    outcomes = [record["status"] for record in sap_commerce.records("InboundRequest")]
    assert outcomes == ["SUCCESS", "ERROR", "SUCCESS"]


def test_more_than_two_hundred_changesets_are_refused_and_nothing_is_saved(api, sap_commerce):
    answer = send(api, *(changeset(operation({"uid": f"U{n}"})) for n in range(201)))
    assert (answer.status_code, answer.json()["error"]["code"]) == (400, "batch_limit_exceeded")
    assert sap_commerce.records("B2BUnit") == []


def test_operations_per_changeset_are_not_limited(api, sap_commerce):
    send(api, changeset(*(operation({"uid": f"U{n}"}, number=n) for n in range(300))))
    assert len(sap_commerce.records("B2BUnit")) == 300


def test_deletes_patches_and_single_reads_work_inside_a_batch(api, sap_commerce):
    sap_commerce.put("B2BUnit", [{"uid": "U1"}, {"uid": "U2"}])
    read = "--b\r\nContent-Type: application/http\r\n\r\nGET B2BUnits?$top=1 HTTP/1.1\r\nAccept: application/json\r\n\r\n\r\n"
    answer = send(
        api,
        changeset(operation(None, line="DELETE B2BUnits('U1') HTTP/1.1")),
        changeset(operation({"name": "x"}, line="PATCH B2BUnits('U2') HTTP/1.1")),
        read,
    )
    assert statuses(answer) == [200, 200, 200]
    assert [(u["uid"], u["name"]) for u in sap_commerce.records("B2BUnit")] == [("U2", "x")]


def test_operations_carry_headers_of_their_own(api, sap_commerce):
    body = {"uid": "U1"}
    answer = send(api, changeset(operation(body, headers="Pre-Persist-Hook: nothing\r\n")))
    assert "hook_not_found" in answer.text
    assert sap_commerce.records("B2BUnit") == []


def test_a_body_that_is_no_batch_is_refused(api):
    answer = api.call("POST", f"{SERVICE}/$batch", data="x", headers={"Content-Type": "text/plain"})
    assert answer.status_code == 415
