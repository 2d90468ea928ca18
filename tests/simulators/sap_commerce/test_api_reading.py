"""Collections, pages, filters, expansion: what a reader of the Integration API sees."""

from __future__ import annotations

import pytest

ORDERS = "OrderSync/Orders"


def codes(rows):
    return [row["code"] for row in rows]


def test_the_default_page_has_ten_rows_and_a_next_link(api, sap_commerce):
    sap_commerce.put("B2BUnit", [{"uid": f"U{n:02d}"} for n in range(12)])
    page = api.get("UnitSync/B2BUnits")
    assert len(page["results"]) == 10
    assert page["__next"].endswith("/UnitSync/B2BUnits?$skiptoken=10")
    assert "__next" not in api.get(page["__next"])


def test_top_is_a_page_size_and_following_next_reads_everything(api, shop):
    pages = api.pages(f"{ORDERS}?$top=2&$orderby=code")
    assert [codes(page) for page in pages] == [["o0", "o1"], ["o2", "o3"], ["o4"]]


def test_skip_is_an_absolute_offset_and_leaves_the_next_link(api, shop):
    page = api.get(f"{ORDERS}?$skip=2&$top=2&$orderby=code")
    assert codes(page["results"]) == ["o2", "o3"]
    assert "$skiptoken=4" in page["__next"]
    assert "$skip=" not in page["__next"]


def test_a_top_above_a_thousand_is_cut_to_a_thousand(api, sap_commerce):
    sap_commerce.put("B2BUnit", [{"uid": f"U{n}"} for n in range(1001)])
    page = api.get("UnitSync/B2BUnits?$top=5000")
    assert len(page["results"]) == 1000
    assert len(api.get(page["__next"])["results"]) == 1


def test_count_and_inlinecount_count_the_whole_filtered_set(api, shop):
    found = api.get(f"{ORDERS}?$filter=totalPrice gt 20&$inlinecount=allpages&$top=1")
    assert found["__count"] == "4"
    answer = api.call("GET", f"{ORDERS}/$count?$filter=totalPrice gt 20")
    assert (answer.text, answer.headers["Content-Type"]) == ("4", "text/plain;charset=utf-8")


def test_values_come_in_the_documented_json_forms(api, shop):
    order = api.get(f"{ORDERS}('o1')?$expand=entries")
    assert order["totalPrice"] == "21.0"
    assert order["date"] == "/Date(1704153600000)/"
    assert order["unit"]["__deferred"]["uri"].endswith("/OrderSync/Orders('o1')/unit")
    entry = order["entries"]["results"][1]
    assert (entry["entryNumber"], entry["quantity"], entry["basePrice"]) == (1, "2", "1.25")
    assert entry["integrationKey"] == "1|o1"
    assert entry["__metadata"]["uri"].endswith("/OrderSync/OrderEntries('1%7Co1')")
    assert entry["__metadata"]["type"] == "HybrisCommerceOData.OrderEntry"


def test_nested_expansion_reaches_categories_and_null_references_stay_null(api, shop):
    order = api.get(f"{ORDERS}('o1')?$expand=entries/product/supercategories,unit,user")
    product = order["entries"]["results"][0]["product"]
    assert codes(product["supercategories"]["results"]) == ["pumps"]
    assert order["unit"] is None
    assert order["user"]["integrationKey"] == "ann%40example.com"


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("code eq 'o1'", ["o1"]),
        ("code ne 'o1' and totalPrice le 21", ["o0"]),
        ("(code eq 'o1' or code eq 'o3') and totalPrice lt 40", ["o1"]),
        ("code eq 'o1' or code eq 'o3' and totalPrice lt 40", ["o1"]),
        ("user/uid eq 'ann@example.com'", ["o1", "o3"]),
        ("status/code eq 'CREATED'", ["o0"]),
        ("user/integrationKey eq 'ann%2540example.com'", ["o1", "o3"]),
        ("modifiedtime ge datetime'2024-02-04T00:00:00'", ["o3", "o4"]),
        ("modifiedtime gt DateTime'2024-02-04T00:00:00.500'", ["o4"]),
        ("modifiedtime ge datetime'2024-02-04T00:00:00.500'", ["o3", "o4"]),
        ("totalPrice eq 21m", ["o1"]),
        ("date eq null", []),
    ],
)
def test_filters_select_what_they_say(api, shop, condition, expected):
    assert codes(api.get(f"{ORDERS}?$filter={condition}&$orderby=code")["results"]) == expected


@pytest.mark.parametrize(
    ("path", "refusal"),
    [
        (f"{ORDERS}?$filter=startswith(code,'o')", (400, "operator_not_supported")),
        (f"{ORDERS}?$filter=code add 'o'", (400, "operator_not_supported")),
        (f"{ORDERS}?$filter=not code eq 'o'", (400, "operator_not_supported")),
        (f"{ORDERS}?$filter=integrationKey eq 'o1'", (400, "integration_key_not_supported")),
        ("ReturnSync/ReturnRequests?$filter=order/user/uid eq 'x'", (400, "filter_not_supported")),
        (f"{ORDERS}?$filter=code eq 5", (400, "odata_error")),
        (f"{ORDERS}?$filter=nothing eq 5", (400, "odata_error")),
        (f"{ORDERS}?$filter=code eq 'o", (400, "odata_error")),
        (f"{ORDERS}?$orderby=integrationKey", (400, "order_by_integration_key_not_supported")),
        (f"{ORDERS}?$orderby=user/uid", (400, "order_by_nested_attribute_not_supported")),
        (f"{ORDERS}?$top=-1", (400, "odata_error")),
        (f"{ORDERS}?$search=x", (400, "odata_error")),
        (f"{ORDERS}?$expand=code", (400, "odata_error")),
        ("OrderSync/OrderEntries('o1')", (400, "invalid_key")),
        (f"{ORDERS}('nothing')", (404, "not_found")),
        (f"{ORDERS}('o1')/nothing", (404, "not_found")),
        ("OrderSync/Nothings", (404, "not_found")),
        ("NothingSync/Orders", (404, "not_found")),
    ],
)
def test_what_the_api_refuses_is_refused_with_its_code(api, shop, path, refusal):
    assert api.refused("GET", path) == refusal


def test_errors_come_as_xml_when_xml_is_accepted(api):
    answer = api.call("GET", f"{ORDERS}('nothing')", headers={"Accept": "application/xml"})
    assert "<code>not_found</code>" in answer.text
    assert answer.headers["Content-Type"].startswith("application/xml")


def test_navigation_paths_give_related_entities_and_properties(api, shop):
    assert [e["entryNumber"] for e in api.get(f"{ORDERS}('o0')/entries")["results"]] == [0, 1]
    assert api.get(f"{ORDERS}('o0')/unit")["uid"] == "U1"
    assert api.get(f"{ORDERS}('o0')/code") == {"code": "o0"}
    assert api.call("GET", f"{ORDERS}('o1')/unit").status_code == 204


def test_a_key_is_found_whether_the_bar_is_encoded_or_not(api, shop):
    for key in ("0%7Co1", "0|o1"):
        assert api.get(f"OrderSync/OrderEntries('{key}')")["quantity"] == "1"


def test_odd_characters_in_codes_survive_the_way_through_keys_and_addresses(api, sap_commerce):
    for code in ("a|b", "x y", "it's", "50%", "ü+/"):
        made = api.post("UnitSync/B2BUnits", {"uid": code, "name": code})
        assert api.get(made["__metadata"]["uri"])["uid"] == code
    assert api.get("UnitSync/B2BUnits?$filter=uid eq 'a|b'")["results"][0]["integrationKey"] == "a%7Cb"


def test_an_item_restricted_to_its_type_leaves_subtypes_out(api, shop):
    assert codes_of_users(api, "CustomerSync/Customers") == ["ann@example.com"]
    assert codes_of_users(api, "B2BCustomerSync/B2BCustomers") == ["bob@example.com"]


def codes_of_users(api, path):
    return [row["uid"] for row in api.get(path)["results"]]


def test_orders_sort_by_several_attributes_and_by_a_reference(api, shop):
    rows = api.get(f"{ORDERS}?$orderby=status desc,totalPrice desc&$expand=status")["results"]
    assert len(rows) == 5
    assert codes(api.get(f"{ORDERS}?$orderby=modifiedtime desc&$top=2")["results"]) == ["o4", "o3"]


def test_plain_localized_values_follow_the_accepted_language(api, sap_commerce):
    sap_commerce.put("Category", [{"code": "pumps", "name": {"en": "Pumps", "de": "Pumpen"}}])
    path = "OrderSync/Categories('pumps')"
    assert api.get(path)["name"] == "Pumps"
    assert api.get(path, headers={"Accept-Language": "de-DE,de;q=0.9"})["name"] == "Pumpen"
    assert api.get(path, headers={"Accept-Language": "fr"})["name"] is None
    assert api.refused("GET", path, headers={"Accept-Language": "xx"}) == (400, "invalid_language")
    every = api.get(f"{path}?$expand=localizedAttributes")["localizedAttributes"]["results"]
    assert [(e["language"], e["name"]) for e in every] == [("de", "Pumpen"), ("en", "Pumps")]


def test_a_large_answer_is_compressed_only_for_those_who_accept_it(api, sap_commerce):
    sap_commerce.put("B2BUnit", [{"uid": f"U{n}"} for n in range(100)])
    plain = api.call("GET", "UnitSync/B2BUnits?$top=100", headers={"Accept-Encoding": "identity"})
    packed = api.call("GET", "UnitSync/B2BUnits?$top=100", headers={"Accept-Encoding": "gzip"})
    assert "Content-Encoding" not in plain.headers
    assert packed.headers["Content-Encoding"] == "gzip"
    assert packed.json() == plain.json()


def test_rows_can_come_scattered_when_no_order_is_asked_for(api, shop):
    in_order = codes(api.get(ORDERS)["results"])
    shop.options(default_order="scattered")
    scattered = [code for page in api.pages(f"{ORDERS}?$top=2") for code in codes(page)]
    assert scattered != in_order
    assert sorted(scattered) == in_order


def test_the_way_a_null_is_written_in_a_key_is_a_switch(api, sap_commerce):
    sap_commerce.put("B2BCustomer", [{"uid": "c", "email": "c@example.com"}])
    path = "InboundB2BCustomer/B2BCustomers"
    assert api.get(path)["results"][0]["integrationKey"] == "null|c"
    assert api.get(f"{path}('null%7Cc')")["uid"] == "c"
    sap_commerce.options(null_key_part="")
    assert api.get(path)["results"][0]["integrationKey"] == "|c"
    assert api.get(f"{path}('%7Cc')")["uid"] == "c"
