"""References that change together: a group arrives as a whole or not at all, whatever goes wrong."""

from __future__ import annotations

from typing import Any

import pytest

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems import rest
from commerce_sync.systems.sap_commerce.together_rows import NEEDED, OPTIONAL

FIELDS = tuple(Field(name, "") for name in (*NEEDED, *OPTIONAL))
BATCH = "/odata2webservices/CampaignSync/.batch"
STRINGS = dict.fromkeys((*NEEDED, *OPTIONAL, "_target_id"), "string") | {"batch_rows": "int64", "may_clear": "bool"}


def aim(**options: Any) -> Target:
    more = {"on_delete": options.pop("on_delete", "ignore")}
    sets = {"BannerComponents": ["media"], "SimpleResponsiveBannerComponents": ["media"], "Products": ["picture"]}
    return Target(
        system="sap_commerce", conn_id="sap_test", object="Places", external_id="place", **more,
        options={"style": "together", "service": "CampaignSync", "entity_sets": sets, **options},
    )  # fmt: skip


def row(code: str, value: str | None = "new", *, group: str = "a", of: int = 3, **values: Any) -> dict[str, Any]:
    home = {"version": "Staged", "catalog": "Default"}
    found = {"_key": f"{group}/{code}", "_kind": "NEW", "_target_id": None, "group": group, "batch": f"{group}:1",
             "batch_rows": of, "entity_set": "BannerComponents", "attribute": "media", "code": code, **home}  # fmt: skip
    found |= {"value": value, "value_version": value and "Staged", "value_catalog": value and "Default"}
    found |= {"follows": None, "fallback": None, "fallback_version": None, "fallback_catalog": None, "may_clear": False}
    return found | values


def trio(value: str = "new", **values: Any) -> list[dict[str, Any]]:
    """Rows of one group over three entity sets."""
    box = row("r", f"{value}-box", entity_set="SimpleResponsiveBannerComponents", **values)
    return [row("b", value, **values), box, row("p", value, entity_set="Products", attribute="picture", **values)]


@pytest.fixture
def send(sap_commerce: Any, load: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.setattr(rest, "_pause", lambda _state: 0.0)
    home = {"catalogVersion": "Staged|Default"}
    sap_commerce.put("Catalog", [{"id": "Default"}])
    sap_commerce.put("CatalogVersion", [{"catalog": "Default", "version": "Staged"}])
    sap_commerce.put("Media", [{"code": code} | home for code in ("old", "new", "spare", "other")])
    sap_commerce.put("MediaContainer", [{"qualifier": f"{code}-box"} | home for code in ("old", "new", "other")])
    sap_commerce.put("BannerComponent", [{"uid": uid, "media": "old|Staged|Default"} | home for uid in ("b", "c")])
    sap_commerce.put("SimpleResponsiveBannerComponent", [{"uid": "r", "media": "old-box|Staged|Default"} | home])
    sap_commerce.put("Product", [{"code": "p", "picture": "old|Staged|Default"} | home])
    return lambda rows, target=None: load(target or aim(), FIELDS, rows, **STRINGS)


def shown(sap_commerce: Any) -> dict[str, str | None]:
    rows = {row["uid"]: row["media"] for kind in ("BannerComponent", "SimpleResponsiveBannerComponent")
            for row in sap_commerce.records(kind)}  # fmt: skip
    rows |= {row["code"]: row["picture"] for row in sap_commerce.records("Product")}
    return {place: value and value.split("|")[0] for place, value in rows.items()}


OLD = {"b": "old", "c": "old", "r": "old-box", "p": "old"}
NEW = OLD | {"b": "new", "r": "new-box", "p": "new"}


def test_a_group_arrives_in_one_call_and_again_without_harm(sap_commerce, send):
    sap_commerce.reset_calls()
    for _ in range(2):
        done, outcomes = send(trio())
        assert (done.delivered, outcomes["a/b"]["target_id"]) == (3, "Staged|Default|b")
        assert shown(sap_commerce) == NEW
    writes = [
        route for route in sap_commerce.calls(log=True)["log"] if route["method"] == "POST" and "batch" in route["path"]
    ]
    assert len(writes) == 2


def test_one_bad_row_keeps_its_group_and_no_other_and_is_named(sap_commerce, send):
    done, outcomes = send([*trio(value="lost"), row("c", group="b", of=1)])
    assert (done.delivered, done.rejected) == (1, 3)
    assert shown(sap_commerce) == OLD | {"c": "new"}
    assert {row["outcome"] for key, row in outcomes.items() if key.startswith("a/")} == {"rejected"}
    rows = trio()
    rows[2] |= {"value": "lost"}
    _, outcomes = send(rows)
    assert "Staged|Default|lost is not in the shop" in outcomes["a/p"]["reason"]
    assert outcomes["a/p"]["code"] == "missing_nav_property"
    assert outcomes["a/b"]["code"] == outcomes["a/r"]["code"] == "group_refused"
    assert "rolled back as a whole" in outcomes["a/b"]["reason"]
    assert shown(sap_commerce) == OLD | {"c": "new"}


@pytest.mark.parametrize(
    ("rows", "options", "code"),
    [
        (trio()[:2], {}, "group_incomplete"),
        (trio(), {"largest": 2}, "group_too_large"),
        ([*trio()[:2], row("p", entity_set="Products", attribute="thumbnail")], {}, "place_unknown"),
    ],
)
def test_a_group_that_is_not_whole_too_large_or_astray_is_refused_and_never_cut(
    sap_commerce, send, rows, options, code
):
    sap_commerce.reset_calls()
    done, outcomes = send(rows, aim(**options))
    assert (done.rejected, {row["code"] for row in outcomes.values()}) == (len(rows), {code})
    assert shown(sap_commerce) == OLD
    assert not any("batch" in route for route in sap_commerce.calls()["by_route"])


def test_groups_that_hand_a_place_over_share_their_fate(sap_commerce, send):
    first = [row("c", "lost", group="gone", of=1)]
    rows = [*first, *trio(follows="gone")]
    done, _ = send(rows)
    assert (done.rejected, shown(sap_commerce)) == (4, OLD)
    rows[0] |= {"value": "new"}
    done, _ = send(rows)
    assert (done.delivered, shown(sap_commerce)) == (4, NEW | {"c": "new"})


def test_a_value_that_is_gone_is_replaced_by_its_fallback_or_by_nothing(sap_commerce, send):
    spare = {"fallback_version": "Staged", "fallback_catalog": "Default"}
    rows = [row("b", "lost", fallback="spare", **spare), row("c", "lost", may_clear=True),
            row("p", "lost", entity_set="Products", attribute="picture", fallback="gone too", may_clear=True, **spare)]  # fmt: skip
    done, outcomes = send(rows)
    assert (done.delivered, shown(sap_commerce)) == (3, OLD | {"b": "spare", "c": None, "p": None})
    assert {row["code"] for row in outcomes.values()} == {"fallback"}


@pytest.mark.parametrize("times", [1, 20])
def test_an_answer_that_never_came_is_settled_by_reading_back(sap_commerce, send, times):
    sap_commerce.fault(action="drop_after", match={"path": BATCH}, times=times)
    done, _ = send(trio())
    assert (done.delivered, shown(sap_commerce)) == (3, NEW)


def test_a_shop_that_is_down_is_a_retry_and_nothing_has_changed(sap_commerce, send):
    sap_commerce.fault(action="status", status=503, match={"path": BATCH}, times=20)
    with pytest.raises(RetryableError):
        send(trio())
    assert shown(sap_commerce) == OLD


def test_a_cut_answer_is_asked_for_again_and_read_back(sap_commerce, send):
    sap_commerce.fault(action="truncate", bytes=200, match={"path": BATCH}, times=20)
    done, _ = send(trio())
    assert (done.delivered, shown(sap_commerce)) == (3, NEW)


def test_a_deleted_row_is_let_go(sap_commerce, send):
    done, outcomes = send([row("b") | {"_kind": "DELETED", "group": None, "batch": None, "batch_rows": None}])
    assert (done.delivered, outcomes["a/b"]["code"], shown(sap_commerce)) == (1, "ignored", OLD)


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"entity_sets": {"Nothing": ["media"]}}, "no entity set 'Nothing'"),
        ({"entity_sets": {"Products": ["code"]}}, "no single reference 'code'.*picture"),
        ({"largest": 0}, "legal: 1 to 10000"),
        ({"big": 1}, "unknown \\['big'\\].*largest"),
        ({"on_delete": "delete"}, "legal: ignore"),
    ],
)
def test_faults_of_such_a_target_are_told(hook, send, options, told):
    with pytest.raises(ConfigurationError, match=told):
        send(trio(), aim(**options))
    assert hook.problems(aim(**options), FIELDS) != []
    assert hook.problems(aim(), FIELDS) == []
    assert "lacks the fields" in hook.problems(aim(), FIELDS[1:])[0]
