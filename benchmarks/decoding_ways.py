"""Ways to turn an OData page of orders with entries into a table; each gives rows and a checksum."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

Found = dict[str, int]
PAGE_ROWS, PAGES, ENTRIES = 1000, 20, 3
COLUMNS = {
    "code": "VARCHAR",
    "totalPrice": "DECIMAL(18,2)",
    "date": "TIMESTAMP",
    "modifiedtime": "TIMESTAMP",
    "status": "STRUCT(code VARCHAR)",
    "user": "STRUCT(uid VARCHAR)",
    "entries": "STRUCT(entryNumber INTEGER, quantity DOUBLE, totalPrice DECIMAL(18,2), product STRUCT(code VARCHAR))[]",
}


def _pages() -> list[bytes]:
    return [json.dumps({"d": {"results": [_order(page * PAGE_ROWS + row) for row in range(PAGE_ROWS)]}}).encode()
            for page in range(PAGES)]  # fmt: skip


def _meta(kind: str, key: str) -> dict[str, Any]:
    uri = f"https://shop.example.com/odata2webservices/OrderSync/{kind}s('{key}')"
    return {"__metadata": {"id": uri, "uri": uri, "type": f"HybrisCommerceOData.{kind}"}}


def _order(number: int) -> dict[str, Any]:
    code = f"order-{number:08d}"
    deferred = {"uri": f"https://shop.example.com/odata2webservices/OrderSync/Orders('{code}')"}
    entries = [
        {
            **_meta("OrderEntry", f"{code}|{line}"), "integrationKey": f"{code}|{line}", "entryNumber": line,
            "quantity": 2.0, "totalPrice": f"{line + 1}9.90", "basePrice": "9.95",
            "product": {**_meta("Product", str(line)), "integrationKey": str(line), "code": f"sku-{number % 9}-{line}"},
            "order": {"__deferred": deferred},
        }
        for line in range(ENTRIES)
    ]  # fmt: skip
    return {
        **_meta("Order", code), "integrationKey": code, "code": code, "totalPrice": "123.45", "totalDiscounts": "0.0",
        "deliveryCost": "4.9", "date": f"/Date({1_760_000_000_000 + number})/", "creationtime": "/Date(1760000000000)/",
        "modifiedtime": f"/Date({1_770_000_000_000 + number})/",
        "status": {**_meta("OrderStatus", "OK"), "integrationKey": "COMPLETED", "code": "COMPLETED"},
        "user": {**_meta("Customer", str(number)), "integrationKey": str(number), "uid": f"u{number}@example.com"},
        "currency": {"__deferred": {"uri": "https://shop.example.com/odata2webservices/OrderSync/Currencies('USD')"}},
        "entries": {"results": entries},
    }  # fmt: skip


def ours() -> Callable[[], Found]:
    """The product's typed decoder."""
    import pandas as pd  # noqa: F401  # pyarrow imports it with its first array

    from commerce_sync.systems.sap_commerce.decode import layout

    pages, shape = _pages(), layout(COLUMNS)

    def work() -> Found:
        found = {"rows": 0, "entries": 0}
        for body in pages:
            table = shape.page(body).table
            found["rows"] += table.num_rows
            found["entries"] += len(table.column("entries").combine_chunks().values)
        return found

    return work


def json_arrow() -> Callable[[], Found]:
    """json, dictionaries picked by hand, Arrow."""
    import pandas as pd  # noqa: F401  # pyarrow imports it with its first array
    import pyarrow as pa

    pages = _pages()

    def work() -> Found:
        found = {"rows": 0, "entries": 0}
        for body in pages:
            table = pa.Table.from_pylist([_picked(row) for row in json.loads(body)["d"]["results"]])
            found["rows"] += table.num_rows
            found["entries"] += len(table.column("entries").combine_chunks().values)
        return found

    return work


def _picked(row: dict[str, Any]) -> dict[str, Any]:
    from decimal import Decimal

    return {
        "code": row["code"], "totalPrice": Decimal(row["totalPrice"]), "date": int(row["date"][6:-2]),
        "modifiedtime": int(row["modifiedtime"][6:-2]), "status": {"code": row["status"]["code"]},
        "user": {"uid": row["user"]["uid"]},
        "entries": [
            {"entryNumber": entry["entryNumber"], "quantity": entry["quantity"],
             "totalPrice": Decimal(entry["totalPrice"]), "product": {"code": entry["product"]["code"]}}
            for entry in row["entries"]["results"]
        ],
    }  # fmt: skip


def normalize() -> Callable[[], Found]:
    """json and ``pandas.json_normalize``, once for the orders and once for their entries."""
    import pandas as pd

    pages = _pages()

    def work() -> Found:
        found = {"rows": 0, "entries": 0}
        for body in pages:
            results = json.loads(body)["d"]["results"]
            found["rows"] += len(pd.json_normalize(results))
            found["entries"] += len(pd.json_normalize(results, record_path=["entries", "results"], meta=["code"]))
        return found

    return work


def parse_only() -> Callable[[], Found]:
    """The limit: msgspec parses the page into dictionaries and nothing is made of them."""
    import msgspec

    pages = _pages()

    def work() -> Found:
        found = {"rows": 0, "entries": 0}
        for body in pages:
            results = msgspec.json.decode(body)["d"]["results"]
            found["rows"] += len(results)
            found["entries"] += sum(len(row["entries"]["results"]) for row in results)
        return found

    return work
