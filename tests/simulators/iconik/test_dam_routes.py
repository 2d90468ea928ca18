"""Every route of the domain, called with bodies that fit and bodies that do not."""

from __future__ import annotations

import functools
import random
import re

from simulators.iconik import MODULES

ROUTES = [
    (route.method, re.sub(r"\{(\w+):([^}|]+)[^}]*\}", choice, route.template))
    for module in MODULES
    for route in module.routes()
    for choice in (r"\2", r"{\1}")
]
PLAUSIBLE = {
    "title": "T",
    "name": "ORIGINAL",
    "label": "L",
    "field_type": "drop_down",
    "options": [{"label": "a", "value": "a"}],
    "view_fields": [{"name": "sku"}],
    "metadata_values": {"sku": {"field_values": [{"value": "1"}]}},
    "status": "APPROVED",
    "segment_type": "COMMENT",
    "operation_type": "CUSTOM",
    "base_dir": "/",
    "component_ids": [],
    "original_name": "a.jpg",
    "directory_path": "",
    "type": "FILE",
    "language": "en",
    "method": "GCS",
    "purpose": "FILES",
    "settings": {},
    "path": "/",
    "event_type": "assets",
    "url": "http://127.0.0.1:9/",
    "source_label": "a",
    "destination_label": "b",
    "object_type": "assets",
    "action": "RESTART",
    "criteria": {},
    "field_name": "title",
    "query": "a",
    "min_number": 1,
}


MADE = [
    ("job_id", "jobs/v1/jobs/", {"title": "J", "type": "CUSTOM", "status": "STARTED", "steps": [{"label": "a"}]}),
    ("segment_id", "assets/v1/assets/{key}/segments/", {"segment_type": "COMMENT"}),
    ("subtitle_id", "files/v1/assets/{key}/subtitles/", {"language": "en"}),
    ("entry_id", "assets/v1/assets/{key}/history/", {"operation_type": "CUSTOM"}),
    ("action_id", "assets/v1/custom_actions/ASSET/", {"title": "A", "url": "http://127.0.0.1:9/"}),
    ("search_id", "search/v1/search/saved/", {"name": "S", "criteria": {}}),
    (
        "webhook_id",
        "notifications/v1/webhooks/",
        {"event_type": "assets", "status": "DISABLED", "url": "http://127.0.0.1:9/"},
    ),
]


def place(api, package):
    """A fresh domain with one asset; (values for the placeholders of paths, a body that fits many routes)."""
    api.far.reset()
    home = api.ok("POST", "assets/v1/collections/", json={"title": "Home"})["id"]
    asset = package(approval="APPROVED", metadata={"sku": ["1"]}, collections=[home])
    key, file = asset["id"], api.far.records("files")[0]
    known = {"asset_id": key, "object_id": key, "version_id": asset["versions"][0]["id"], "collection_id": home}
    known |= {"view_id": api.far.metadata_view_id, "object_type": "assets", "kind": "proxies", "context": "ASSET"}
    known |= {"file_id": file["id"], "format_id": file["format_id"], "file_set_id": file["file_set_id"]}
    known |= {"related_id": key, "relation_type": "replaces", "field_name": "sku"}
    known |= {"item_id": api.far.records("proxies")[0]["id"]}
    for name, path, made in MADE:
        known[name] = api.ok("POST", path.format(key=key), json=made)["id"]
    known |= {"location_id": api.far.records("export_locations")[0]["id"], "user_id": api.far.user_id}
    body = PLAUSIBLE | {name: value for name, value in known.items() if name.endswith("_id")}
    body |= dict.fromkeys(("object_ids", "ids", "job_ids", "users"), [key])
    return known, body | {"related_to_asset_id": key, "storage_id": key}


def test_every_route_survives_plausible_and_spoiled_bodies(api, package):
    chance = random.Random(7)
    for number, (method, template) in enumerate([*dict.fromkeys(ROUTES)] * 2):
        known, body = place(api, package)
        if number % 2:
            del body["status"], body["type"]
        fill = functools.partial(filled, known)
        path = re.sub(r"\{(\w+)\}", fill, template)
        for name in chance.sample(list(body), number % 4):
            body[name] = chance.choice([None, 7, "", [], {}, [{}], "x" * 300, 2**62, -1, True, {"a": [None]}])
        answer = api.call(method, path.removeprefix("/API/"), json=body)
        assert answer.status_code < 500, f"{method} {path} {body}: {answer.text}"


def filled(known, found):
    return known.get(found[1], known["asset_id"])
