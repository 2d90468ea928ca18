"""@odata/client (npm), unmodified; ``npm ci`` in tests/clients brings it."""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path

import pytest

CLIENTS = Path(__file__).resolve().parents[2] / "clients"
pytestmark = pytest.mark.skipif(
    shutil.which("node") is None or not (CLIENTS / "node_modules" / "@odata" / "client").exists(),
    reason="needs node, and `npm ci` in tests/clients",
)


@pytest.fixture
def tell(shop):
    """Run one story of odata_story.js; what it saw."""

    def run(story):
        command = ["node", "odata_story.js", shop.url, shop.client_id, shop.client_secret, story]
        done = subprocess.run(command, cwd=CLIENTS, capture_output=True, text=True, timeout=90, check=False)
        assert done.returncode == 0, done.stderr
        return json.loads(done.stdout)

    return run


def test_a_javascript_client_filters_expands_orders_and_counts(tell):
    seen = tell("reads")
    assert (seen["codes"], seen["count"]) == (["o3", "o2", "o1"], 5)
    assert seen["users"] == ["ann@example.com", "bob@example.com", "ann@example.com"]
    assert (seen["quantities"], seen["product"]) == (["1", "2"], "p1")
    assert "nothing" in seen["gone"]


def test_a_javascript_client_creates_updates_and_deletes(tell, shop):
    seen = tell("writes")
    assert (seen["key"], seen["same"], seen["name"]) == ("it%27s%7Cnew", True, "Three")
    assert "colour" in seen["refused"]
    assert sorted(unit["uid"] for unit in shop.records("B2BUnit")) == ["U1", "it's|new"]
    assert shop.records("Address")[0]["town"] == "Köln"


def test_a_javascript_client_reads_each_answer_of_a_batch(tell):
    seen = tell("batches")
    assert (seen["statuses"], seen["made"]) == ([201, 400, 200], "B1")
    assert (seen["refused"], sorted(seen["listed"])) == ("invalid_property", ["B1", "U1"])
