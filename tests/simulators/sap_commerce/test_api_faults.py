"""What can be made to go wrong, and what the control API loads and changes."""

from __future__ import annotations

ORDERS = "OrderSync/Orders"


def read_codes(api, path):
    return [order["code"] for page in api.pages(path) for order in page]


def test_a_truncated_chain_ends_early_without_a_next_link(api, shop):
    shop.fault(action="truncate", path="Orders", after_rows=3)
    assert read_codes(api, f"{ORDERS}?$top=2&$orderby=code") == ["o0", "o1", "o2"]
    assert len(read_codes(api, f"{ORDERS}?$top=2&$orderby=code")) == 5


def test_a_page_shift_loses_one_row_between_two_pages(api, shop):
    shop.fault(action="page_shift", path="Orders")
    assert read_codes(api, f"{ORDERS}?$top=2&$orderby=code") == ["o0", "o1", "o3", "o4"]
    (moved,) = shop.records("Order", code="o0")
    assert moved["modifiedtime"] > "2024-03"
    assert len(read_codes(api, f"{ORDERS}?$top=2&$orderby=code")) == 5


def test_a_row_changed_between_pages_shifts_the_rest_of_the_chain(api, shop):
    path = f"{ORDERS}?$top=2&$orderby=modifiedtime"
    first = api.get(path)
    shop.patch("Order", "o0", modifiedtime="2024-03-01T00:00:00Z")
    rest = read_codes(api, first["__next"])
    assert rest == ["o3", "o4", "o0"]


def test_a_deadlock_is_a_500_without_effect(api, shop):
    shop.fault(action="deadlock", match={"method": "POST"})
    assert api.refused("POST", "UnitSync/B2BUnits", json={"uid": "U9"}) == (500, "internal_error")
    api.post("UnitSync/B2BUnits", {"uid": "U9"})
    assert len(shop.records("B2BUnit")) == 2


def test_a_late_commit_can_carry_an_earlier_timestamp(api, shop):
    shop.patch("Order", "o2", modifiedtime="2023-12-31T23:59:59.999Z", totalPrice=1.0)
    found = api.get(f"{ORDERS}?$filter=modifiedtime lt datetime'2024-01-01T00:00:00'")["results"]
    assert [(o["code"], o["totalPrice"]) for o in found] == [("o2", "1.0")]


def test_raw_deletes_leave_references_that_read_as_null(api, shop):
    shop.delete("B2BUnit", "U1")
    assert api.get(f"{ORDERS}('o0')?$expand=unit")["unit"] is None


def test_raw_loads_refuse_unknown_types_and_attributes(shop):
    for kind, row, status in (("Nothing", {}, 404), ("Order", {"colour": "red"}, 400)):
        answer = shop._session.post(f"{shop.url}/_sim/records/{kind}", json=[row], timeout=30)
        assert answer.status_code == status
        assert "known" in answer.json()["error"] or "it has" in answer.json()["error"]


def test_a_reset_forgets_everything_but_keeps_the_services(api, shop):
    shop.reset()
    api.session.headers["Authorization"] = f"Bearer {api.new_token()}"
    assert api.get(ORDERS)["results"] == []
