"""Salesforce as anybody sees it: signing in and reading by SOQL through the public REST API.

Source: REST API Developer Guide, "Query", "sObject Describe"; OAuth 2.0 client credentials flow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from demo import web

Record = dict[str, Any]


class Crm:
    """A reader with a token of its own; it writes nothing."""

    def __init__(self, system: Mapping[str, str]) -> None:
        """system: url, client_id and client_secret as the simulators announce them."""
        form = {
            "grant_type": "client_credentials",
            "client_id": system["client_id"],
            "client_secret": system["client_secret"],
        }
        answer = web.call("POST", f"{system['url']}/services/oauth2/token", form=form)
        self._token: str = answer["access_token"]
        self._instance: str = answer["instance_url"].rstrip("/")
        newest = self._get("/services/data/")[-1]
        self._base: str = newest["url"]

    def field_names(self, sobject: str) -> list[str]:
        """Every field of an object that a query can return as one value."""
        described = self._get(f"{self._base}/sobjects/{sobject}/describe")
        return [item["name"] for item in described["fields"] if item["type"] not in ("address", "location")]

    def count(self, sobject: str, *, where: str = "") -> int:
        """Number of records, ``where`` being a SOQL condition."""
        soql = f"SELECT count() FROM {sobject}" + (f" WHERE {where}" if where else "")
        return int(self._get(web.with_query(f"{self._base}/query", q=soql))["totalSize"])

    def query(self, soql: str) -> list[Record]:
        """Every row of a query, page after page, without the ``attributes`` of each."""
        page = self._get(web.with_query(f"{self._base}/query", q=soql))
        rows = list(page["records"])
        while not page["done"]:
            page = self._get(page["nextRecordsUrl"])
            rows += page["records"]
        return [{name: value for name, value in row.items() if name != "attributes"} for row in rows]

    def snapshot(self, sobject: str, *, key: str) -> dict[str, Record]:
        """Every record with every field, by the value of ``key``; records without one are left out."""
        names = ", ".join(self.field_names(sobject))
        return {row[key]: row for row in self.query(f"SELECT {names} FROM {sobject} WHERE {key} != null")}

    def _get(self, path: str) -> Any:
        return web.call("GET", self._instance + path, token=self._token, timeout_s=60)
