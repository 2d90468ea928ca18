"""The rights that docs/connecting/sap_commerce.md lists are enough, and each of them is needed."""

from __future__ import annotations

import importlib.util
import json
import sys
from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError
from flows.walking import ROOT, UNITS, Org, Shop, Walk, connection, mapping_of

VIEWER = "viewer"
"""A user without integrationadmingroup, who may do on types what is said and nothing else."""


@pytest.fixture(scope="module")
def rights() -> Any:
    """What the documentation's tables are made by."""
    spec = importlib.util.spec_from_file_location("docs_rights_of_security", ROOT / "docs" / "rights.py")
    assert spec is not None
    assert spec.loader is not None
    found = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = found
    spec.loader.exec_module(found)
    yield found
    del sys.modules[spec.name]


@pytest.fixture
def narrow(shop: Shop, monkeypatch: pytest.MonkeyPatch) -> Shop:
    """The shop checks rights on types, and the connection's client belongs to a user without any."""
    fields = json.loads(connection(shop.far))
    fields["extra"]["client_id"] = "viewer_client"
    monkeypatch.setenv("AIRFLOW_CONN_SAP_COMMERCE_DEFAULT", json.dumps(fields | {"login": VIEWER}))
    shop.far.options(access_rights=True)
    shop.units("acme")
    return shop


def grant(shop: Shop, types: set[str]) -> None:
    shop.far.put("AccessRight", [{"principal": VIEWER, "type": name, "read": True} for name in sorted(types)])


def listed(rights: Any, leg: str) -> set[str]:
    """Types the documentation says have to be readable for a leg."""
    objects, read = rights._Objects(), set[str]()
    name = next((ROOT / "include/mappings").rglob(f"{leg}.yaml")).relative_to(ROOT / "include/mappings").with_suffix("")
    for source in rights.sources(rights._mapping(str(name)), "sap_commerce"):
        read |= objects.read(source)
    return read


def test_the_listed_rights_are_enough(rights: Any, narrow: Shop, org: Org, walk: Walk) -> None:
    walk.gated = False
    types = listed(rights, UNITS)
    assert len(types) > 1
    grant(narrow, types)
    assert walk.leg(UNITS, "complete").delivered == 1
    assert [row["Name"] for row in org.far.records("Account")] == ["acme Ltd"]


def test_with_one_right_less_the_run_names_the_type_and_writes_nothing(
    rights: Any, narrow: Shop, org: Org, walk: Walk
) -> None:
    walk.gated = False
    types = listed(rights, UNITS)
    granted = set[str]()
    for name in sorted(types):
        run = walk.attempt(UNITS, "complete")
        error = walk.errors[UNITS]
        assert isinstance(error, ConfigurationError), error
        missing = [one for one in types - granted if f"[{one}]" in str(error)]
        assert missing, f"the error names none of the types that lack: {error}"
        assert run.delivered == 0
        granted.add(name)
        grant(narrow, {name})
    assert walk.leg(UNITS, "complete").delivered == 1
    assert mapping_of(UNITS).target.system == "salesforce"
