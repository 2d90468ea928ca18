"""Search over the index: criteria, facets, signed addresses on request, v1 and v2. Source: fact sheet section 10."""

from __future__ import annotations

from typing import Any

import msgspec

from simulators.iconik import criteria as sql_of
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import ApiError, bad_request, not_found
from simulators.iconik.paging import envelope, page_asked, page_of
from simulators.iconik.shapes import MISSING, Shape, invalid, mapping, read, text
from simulators.iconik.store import words

V1, V2 = "/API/search/v1/search/", "/API/search/v2/search/"
SAVED = V1 + "saved/"
SAVED_SHAPE = Shape(fields={"name": text, "criteria": mapping, "group_id": text}, required=("name", "criteria"))
ALWAYS = ("id", "object_type", "title")
_decode = msgspec.json.Decoder().decode


def routes() -> list[Route]:
    return [
        Route("POST", V1, search),
        Route("POST", V2, search_strictly),
        Route("POST", V1 + "suggest/", suggest),
        Route("GET", SAVED, list_saved),
        Route("POST", SAVED, save),
        Route("GET", SAVED + "{search_id}/", read_saved),
        Route("DELETE", SAVED + "{search_id}/", delete_saved),
        Route("GET", "/API/search/v2/ping/", lambda _call: Answer({"status": "ok"}), open=True),
    ]


def search(call: Call) -> Answer:
    return found(call, call.json_object())


def search_strictly(call: Call) -> Answer:
    """v2: unknown keys and wrong types answer 422 with the place of the fault."""
    body = call.json_object()
    kinds: dict[str, type | tuple[type, ...]] = {"query": str, "filter": dict, "metadata_view_id": str}
    lists = words("doc_types facets facets_filters sort search_after include_fields exclude_fields search_fields")
    kinds |= dict.fromkeys(lists, list)
    for name, value in body.items():
        if name not in kinds or (value is not None and not isinstance(value, kinds[name])):
            kind = "extra_forbidden" if name not in kinds else "type_error"
            detail = [{"loc": ["body", name], "msg": "Input should be valid", "type": kind}]
            raise ApiError(422, {"detail": detail})
    return found(call, body)


def index_page(call: Call, criteria: Row) -> Answer:
    """A list call served by the index; its ``sort`` is the mini-grammar of lists."""
    parts = [clause.partition(",") for clause in call.query.get("sort", "").split(";") if clause]
    sort = [{"name": name, "order": order or "asc"} for name, _, order in parts]
    for clause in filter(None, call.query.get("filter", "").split(";")):
        name, _, rest = clause.partition(",")
        operator, _, value = rest.partition(",")
        if operator not in ("eq", "ne"):
            raise bad_request(f"Bad request: filter {clause!r} must be field,eq,value")
        term = {"operator": "AND" if operator == "eq" else "NOT", "terms": [{"name": name, "value": value}]}
        criteria["filter"].setdefault("filters", []).append(term)
    return found(call, criteria | {"sort": sort}, plain=True)


def found(call: Call, criteria: Row, *, plain: bool = False) -> Answer:
    """One page of documents. Raises 400 beyond the window of page style; ``search_after`` has none."""
    call.site.index.catch_up()
    condition = sql_of.where(criteria)
    keys = sql_of.order_of(criteria)
    after = criteria.get("search_after")
    if after is not None and not isinstance(after, list):
        raise invalid({"search_after": "Not a valid list."})
    page, per_page = page_asked(call)
    if not after and page * per_page > int(call.site.settings["search_window"]):
        raise bad_request("Bad request: result window is too large, use search_after")
    rows = _rows(call, condition, keys, after=after, offset=0 if after else (page - 1) * per_page, limit=per_page)
    total = call.site.store.db.execute(f"SELECT count(*) FROM found WHERE {condition[0]}", condition[1]).fetchone()[0]
    if page > 1 and not rows and not after and plain:
        raise not_found("Page number does not exist")
    objects = [_kept(one, criteria) for one in rows] if not plain else rows
    answer = envelope(call, _signed(call, objects), total=total)
    if after:
        answer |= {"next_url": None, "prev_url": None}
    return Answer(answer if plain else answer | {"facets": _facets(call, criteria, condition)})


def _rows(
    call: Call, condition: sql_of.Sql, keys: list[Any], *, after: list[Any] | None, offset: int, limit: int
) -> list[Row]:
    tests = [condition, sql_of.behind(keys, after)] if after else [condition]
    clause, given = sql_of.joined(tests, by="AND")
    shown = ", ".join(sql for _, sql, _ in keys)
    order = ", ".join(f"{place} {direction}" for place, (direction, _, _) in enumerate(keys, 2))
    more = [value for _, _, values in keys for value in values]
    # documents are fetched for the page alone: carrying them through the sort of all costs four times as much
    sql = f"SELECT rowid, {shown} FROM found WHERE {clause} ORDER BY {order} LIMIT ? OFFSET ?"
    db = call.site.store.db
    chosen = db.execute(sql, [*more, *given, limit, offset]).fetchall()
    fetch = "SELECT doc FROM found WHERE rowid = ?"
    return [_decode(db.execute(fetch, row[:1]).fetchone()[0]) | {"_sort": list(row[1:])} for row in chosen]


def _kept(document: Row, criteria: Row) -> Row:
    """``include_fields`` and ``exclude_fields``; ``metadata.x`` names one field inside."""
    wanted, unwanted = criteria.get("include_fields") or [], criteria.get("exclude_fields") or []
    if not isinstance(wanted, list) or not isinstance(unwanted, list):
        raise invalid({"include_fields": "Not a valid list."})
    names = {str(name).partition(".")[0] for name in wanted}
    kept = {
        name: value
        for name, value in document.items()
        if (not names or name in names or name in ALWAYS or name == "_sort") and name not in unwanted
    }
    return kept | {"_highlight": {}}


def _facets(call: Call, criteria: Row, condition: sql_of.Sql) -> Row:
    facets: Row = {}
    for name in criteria.get("facets") or []:
        path = sql_of.path_of(name)
        shown = "CASE type WHEN 'true' THEN 'true' WHEN 'false' THEN 'false' ELSE value END"
        sql = (
            f"SELECT {shown}, count(*) FROM (SELECT doc FROM found WHERE {condition[0]}) AS d,"
            " json_each(d.doc, ?) WHERE type NOT IN ('null', 'object', 'array') GROUP BY 1"
            " ORDER BY 2 DESC, 1 LIMIT 100"
        )
        buckets = call.site.store.db.execute(sql, [*condition[1], path]).fetchall()
        facets[name] = {"buckets": [{"key": key, "doc_count": count} for key, count in buckets]}
    return facets


def _signed(call: Call, documents: list[Row]) -> list[Row]:
    """Addresses inside the documents: keyframes by default, files and proxies on request."""
    wanted = [
        kind
        for kind, name, default in (
            ("keyframes", "generate_signed_url", True),
            ("files", "generate_signed_download_url", False),
            ("proxies", "generate_signed_proxy_url", False),
        )
        if call.flag(name, default)
    ]
    for document in documents:
        for kind in wanted:
            for row in document.get(kind) or []:
                if isinstance(row, dict) and row.get("status") == "CLOSED":
                    row["url"] = call.site.links.signed(call.base_url, kind, row)
    return documents


def suggest(call: Call) -> Answer:
    body = call.json_object()
    name, query = body.get("field_name"), body.get("query")
    if not isinstance(name, str) or not isinstance(query, str):
        raise invalid({key: MISSING for key in ("field_name", "query") if not isinstance(body.get(key), str)})
    call.site.index.catch_up()
    pattern = "".join("_" if letter in "%_" else letter for letter in query.casefold()) + "%"
    sql = "SELECT DISTINCT value FROM found, json_each(doc, ?) WHERE lower(value) LIKE ? ORDER BY value LIMIT 20"
    rows = call.site.store.db.execute(sql, (sql_of.path_of(name), pattern))
    return Answer({"objects": [{"value": value} for (value,) in rows]})


# --- saved searches ----------------------------------------------------------------------------------


def list_saved(call: Call) -> Answer:
    return Answer(page_of(call, call.site.store.find("saved_searches")))


def save(call: Call) -> Answer:
    values = read(call, SAVED_SHAPE)
    key, now = call.site.store.new_id(), call.now
    row = values | {"id": key, "date_created": now, "date_modified": now, "favoured": False, "permissions": []}
    return created(call.site.store.put("saved_searches", key, row))


def read_saved(call: Call) -> Answer:
    """The saved search with its results, unless ``include_results=false``."""
    row = call.need("saved_searches", call.given["search_id"])
    if not call.flag("include_results", True):
        return Answer(row)
    results = found(call, row["criteria"])
    return Answer(row | results.body)


def delete_saved(call: Call) -> Answer:
    if not call.site.store.remove("saved_searches", call.given["search_id"]):
        raise not_found()
    return nothing()
