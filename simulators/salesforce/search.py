"""/search: a stand-in for full text search, enough for clients that call it."""

from __future__ import annotations

import re
from typing import Any

from simulators.salesforce.call import Answer, Call, Route
from simulators.salesforce.errors import ApiError
from simulators.salesforce.query import attributes

SOSL = re.compile(r"^\s*FIND\s*\{(?P<words>[^}]*)\}(?:.*?RETURNING\s+(?P<kinds>.*))?$", re.IGNORECASE | re.DOTALL)
MOST_FOUND = 200


async def search(call: Call) -> Answer:
    """GET /search?q=FIND {words} RETURNING Account(Id), Contact: records whose name contains the words."""
    match = SOSL.match(call.query.get("q", ""))
    if match is None:
        raise ApiError(400, "MALFORMED_SEARCH", "No search term found. The search term must be enclosed in braces.")
    kinds = re.findall(r"([A-Za-z_]\w*)\s*(?:\([^)]*\))?", match["kinds"] or "Account,Contact,Lead,Opportunity")
    found: list[dict[str, Any]] = []
    for name in kinds:
        item = call.org.schema.find(name)
        if item is None:
            raise ApiError(400, "INVALID_TYPE", f"sObject type '{name}' is not supported.")
        title = next((spec.name for spec in item.fields.values() if spec.is_name), "Id")
        words = match["words"].strip().replace("*", "%")
        sql = f'SELECT "Id" FROM "{item.name}" WHERE "{title}" LIKE ? AND "IsDeleted" = 0 LIMIT {MOST_FOUND}'
        rows = call.org.store.db.execute(sql, (f"%{words}%",))
        found += [{"attributes": attributes(item.name, key, call=call), "Id": key} for (key,) in rows]
    return Answer(body={"searchRecords": found})


def routes(data: str) -> list[Route]:
    return [Route("GET", f"{data}/search", search)]
