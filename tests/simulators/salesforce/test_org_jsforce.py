"""jsforce (npm), unmodified, over plain HTTP; ``npm ci`` in tests/clients brings it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parents[2] / "clients"
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENTS / "node_modules" / "jsforce").exists(),
    reason="needs node, and `npm ci` in tests/clients",
)


@pytest.fixture
def tell(salesforce):
    """Run one story of jsforce_story.js; what it saw."""

    def run(story):
        command = ["node", "jsforce_story.js", salesforce.url, salesforce.client_id, salesforce.client_secret, story]
        done = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_jsforce_signs_in_describes_and_writes_records(tell, salesforce):
    seen = tell("records")
    assert len(set(seen["ids"])) == 1
    assert (seen["created"], seen["name"], seen["refused"]) == (False, "three", "REQUIRED_FIELD_MISSING")
    assert (seen["sameUser"], seen["relationship"], seen["children"]) == (True, "Account", True)
    assert (seen["calls"], seen["limitInfo"]) == (100_000, 100_000)
    assert (seen["deleted"], seen["gone"]) == (True, "ENTITY_IS_DELETED")
    assert [row["IsDeleted"] for row in salesforce.records("Account")] == [True]


def test_jsforce_works_with_collections(tell, salesforce):
    assert tell("collections") == {"failed": [[3, "STRING_TOO_LONG"]], "read": 250, "removed": [True, True]}
    assert len(salesforce.records("Account")) == 449


def test_jsforce_queries(tell, salesforce):
    salesforce.put("Account", [{"Name": f"n {n}"} for n in range(2300)])
    parent = salesforce.records("Account", Name="n 1")[0]["Id"]
    salesforce.put("Contact", [{"LastName": name, "AccountId": parent} for name in "cd"])
    seen = tell("query")
    assert (seen["all"], seen["some"], seen["nested"]) == (2300, ["n 1999", "n 1998"], ["c", "d"])
    assert (seen["count"], seen["found"], seen["plans"]) == (1, 111, 1)
    assert (seen["bad"], seen["removed"]) == ("INVALID_FIELD", 1)


def test_jsforce_loads_and_queries_with_bulk_2(tell, salesforce):
    seen = tell("bulk2")
    assert (seen["good"], seen["bad"], seen["left"]) == (300, ["STRING_TOO_LONG"], 0)
    assert (seen["state"], seen["rows"], seen["sample"]) == ("JobComplete", 301, 'Zoë "0", GmbH')
    assert len(salesforce.records("Account")) == 301


def test_jsforce_loads_and_queries_with_bulk_1(tell, salesforce):
    assert tell("bulk1") == {"made": [True, False], "rows": ["Zoë"]}


def test_jsforce_sees_that_a_session_ended(tell):
    assert tell("sessions") == {"dead": "INVALID_SESSION_ID", "bulk": "InvalidSessionId"}
