"""Metadata fields, views and categories. Source: fact sheet section 9."""

from __future__ import annotations

import re

from simulators.iconik import shapes
from simulators.iconik.call import Answer, Call, Route, Row, created, nothing
from simulators.iconik.errors import bad_request, refused
from simulators.iconik.paging import after_last_name, listed
from simulators.iconik.shapes import Shape, boolean, decimal, list_of, mapping, one_of, text
from simulators.iconik.store import words

FIELDS, VIEWS = "/API/metadata/v1/fields/", "/API/metadata/v1/views/"
CATEGORIES = "/API/metadata/v1/{object_type:[a-z_]+}/categories/"
FIELD_TYPES = words("string string_exact text integer float boolean date datetime tag_cloud url drop_down email")
SEPARATOR = "__separator__"
FLAGS = words(
    "multi required read_only auto_set hide_if_not_set is_block_field is_warning_field representative sortable"
    " use_as_facet"
)
_NAME = re.compile(r"\w{1,100}", re.ASCII)
FIELD = Shape(
    fields={
        "name": text,
        "label": text,
        "field_type": one_of(*FIELD_TYPES),
        "options": list_of(mapping),
        "min_value": decimal,
        "max_value": decimal,
        **dict.fromkeys(
            ("description", "external_id", "source_url", "mapped_field_name", "ai_prompt_description"), text
        ),
        **dict.fromkeys(FLAGS, boolean),
    },
    required=("name", "label", "field_type"),
    read_only=("date_created", "date_modified"),
)
VIEW = Shape(
    fields={"name": text, "description": text, "view_fields": list_of(mapping), "write_access_for_everyone": boolean},
    required=("name", "view_fields"),
    read_only=("id", "date_created", "date_modified"),
)
CATEGORY = Shape(
    fields={"name": text, "label": text, "view_ids": list_of(shapes.identifier)},
    required=("name", "label"),
    read_only=("object_type", "views", "date_created", "date_modified"),
)


def routes() -> list[Route]:
    return [
        Route("GET", FIELDS, list_fields),
        Route("POST", FIELDS, create_field),
        Route("GET", FIELDS + "{field_name}/", read_field),
        Route("PATCH", FIELDS + "{field_name}/", change_field),
        Route("PUT", FIELDS + "{field_name}/", change_field),
        Route("DELETE", FIELDS + "{field_name}/", delete_field),
        Route("GET", VIEWS, list_views),
        Route("POST", VIEWS, create_view),
        Route("GET", VIEWS + "{view_id}/", read_view),
        Route("PATCH", VIEWS + "{view_id}/", change_view),
        Route("PUT", VIEWS + "{view_id}/", change_view),
        Route("DELETE", VIEWS + "{view_id}/", delete_view),
        Route("GET", CATEGORIES, list_categories),
        Route("POST", CATEGORIES, create_category),
        Route("GET", CATEGORIES + "{name}/", read_category),
        Route("GET", CATEGORIES + "{name}/views/", read_category),
        Route("PUT", CATEGORIES + "{name}/", change_category),
        Route("DELETE", CATEGORIES + "{name}/", delete_category),
    ]


def new_field(now: str, values: Row) -> Row:
    row: Row = dict.fromkeys(FIELD.fields)
    row |= {"options": [], "date_created": now, "date_modified": now} | dict.fromkeys(FLAGS, False)
    return row | {name: value for name, value in values.items() if value is not None}


def list_fields(call: Call) -> Answer:
    return Answer(after_last_name(call, listed(call, call.site.store.find("fields"))))


def create_field(call: Call) -> Answer:
    values = shapes.read(call, FIELD)
    if not _NAME.fullmatch(values["name"]):
        raise shapes.invalid({"name": "Only letters, digits and underscores are allowed."})
    if call.site.store.get("fields", values["name"]):
        raise bad_request("Field already exists")
    return created(call.site.store.put("fields", values["name"], new_field(call.now, values)))


def read_field(call: Call) -> Answer:
    return Answer(call.need("fields", call.given["field_name"]))


def change_field(call: Call) -> Answer:
    row = call.need("fields", call.given["field_name"])
    values = shapes.read(call, FIELD, partial=call.method == "PATCH")
    row |= {name: value for name, value in values.items() if value is not None or name not in FLAGS}
    row |= {"name": call.given["field_name"], "options": row["options"] or [], "date_modified": call.now}
    return Answer(call.site.store.put("fields", row["name"], row))


def delete_field(call: Call) -> Answer:
    """Also taken out of every view."""
    row = call.need("fields", call.given["field_name"])
    call.site.store.remove("fields", row["name"])
    for view in call.site.store.find("views"):
        kept = [one for one in view["view_fields"] if one["name"] != row["name"]]
        if len(kept) != len(view["view_fields"]):
            call.site.store.put("views", view["id"], view | {"view_fields": kept})
    return nothing()


# --- views -------------------------------------------------------------------------------------------


def merged(call: Call, view: Row) -> Row:
    """The view with full field definitions; what the view says about a field wins."""
    fields = []
    for one in view["view_fields"]:
        base = call.site.store.get("fields", one["name"]) or {"label": one["name"], "field_type": "string"}
        fields.append(base | {name: value for name, value in one.items() if value is not None})
    return view | {"view_fields": fields}


def list_views(call: Call) -> Answer:
    """Not paged."""
    return Answer({"objects": call.site.store.find("views")})


def _checked(call: Call, values: Row) -> Row:
    for one in values.get("view_fields") or []:
        name = one.get("name")
        if not isinstance(name, str):
            raise shapes.invalid({"view_fields": {"name": shapes.MISSING}})
        if name != SEPARATOR and call.site.store.get("fields", name) is None:
            raise shapes.invalid({"view_fields": f"Field {name} does not exist."})
    return values


def create_view(call: Call) -> Answer:
    values = _checked(call, shapes.read(call, VIEW))
    key, now = call.site.store.new_id(), call.now
    row = {"id": key, "description": None, "date_created": now, "date_modified": now} | values
    row.pop("write_access_for_everyone", None)
    call.site.store.put("views", key, row)
    return created(merged(call, row))


def read_view(call: Call) -> Answer:
    view = call.need("views", call.given["view_id"])
    return Answer(merged(call, view) if call.flag("merge_fields", True) else view)


def change_view(call: Call) -> Answer:
    row = call.need("views", call.given["view_id"])
    values = _checked(call, shapes.read(call, VIEW, partial=call.method == "PATCH"))
    values.pop("write_access_for_everyone", None)
    row |= values | {"date_modified": call.now}
    call.site.store.put("views", row["id"], row)
    return Answer(merged(call, row))


def delete_view(call: Call) -> Answer:
    row = call.need("views", call.given["view_id"])
    call.site.store.remove("views", row["id"])
    return nothing()


# --- categories --------------------------------------------------------------------------------------


def _shown(call: Call, row: Row) -> Row:
    views = [call.site.store.get("views", key) for key in row["view_ids"]]
    return row | {"views": [merged(call, view) for view in views if view]}


def _key(call: Call, name: str) -> str:
    return f"{call.given['object_type']}:{name}"


def list_categories(call: Call) -> Answer:
    rows = call.site.store.find("categories", owner=call.given["object_type"])
    return Answer({"objects": [_shown(call, row) for row in rows]})


def create_category(call: Call) -> Answer:
    values = shapes.read(call, CATEGORY)
    key = _key(call, values["name"])
    if call.site.store.get("categories", key):
        raise refused(409, "Category already exists")
    row = {"object_type": call.given["object_type"], "view_ids": [], "date_created": call.now} | values
    row["date_modified"] = row["date_created"]
    call.site.store.put("categories", key, row, owner=call.given["object_type"])
    return created(_shown(call, row))


def read_category(call: Call) -> Answer:
    return Answer(_shown(call, call.need("categories", _key(call, call.given["name"]))))


def change_category(call: Call) -> Answer:
    key = _key(call, call.given["name"])
    row = call.need("categories", key) | shapes.read(call, CATEGORY) | {"date_modified": call.now}
    row["name"] = call.given["name"]
    call.site.store.put("categories", key, row)
    return Answer(_shown(call, row))


def delete_category(call: Call) -> Answer:
    key = _key(call, call.given["name"])
    call.need("categories", key)
    call.site.store.remove("categories", key)
    return nothing()
