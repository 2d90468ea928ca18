"""A plain HTTP client of the simulated domain."""

from __future__ import annotations

import time
from typing import Any

import pytest
import requests

TIMEOUT_S = 20


class Api:
    """Calls with both headers; ``ok`` insists on a status below 400 and gives the body."""

    def __init__(self, far: Any, *, token: str) -> None:
        self.far, self.session = far, requests.Session()
        self.session.trust_env = False
        self.session.headers.update({"App-ID": far.app_id, "Auth-Token": token})

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        return self.session.request(method, f"{self.far.url}/API/{path}", timeout=TIMEOUT_S, **more)

    def ok(self, method: str, path: str, **more: Any) -> Any:
        answer = self.call(method, path, **more)
        assert answer.ok, f"{method} {path}: {answer.status_code} {answer.text}"
        return answer.json() if answer.content else None

    def asset(self, title: str = "Jar", **values: Any) -> dict[str, Any]:
        return self.ok("POST", "assets/v1/assets/", json={"title": title, **values})

    def search(self, **body: Any) -> dict[str, Any]:
        return self.ok("POST", "search/v1/search/?per_page=100&generate_signed_url=false", json=body)

    def metadata(self, asset_id: str, **fields: Any) -> dict[str, Any]:
        values = {
            name: {"field_values": [{"value": one} for one in (given if isinstance(given, list) else [given])]}
            for name, given in fields.items()
        }
        path = f"metadata/v1/assets/{asset_id}/views/{self.far.metadata_view_id}/"
        return self.ok("PUT", path, json={"metadata_values": values})

    def upload(self, asset_id: str, content: bytes, *, name: str = "jar.jpg") -> dict[str, Any]:
        """The whole chain: format, file set, file, bytes, CLOSED."""
        root = f"files/v1/assets/{asset_id}"
        form = self.ok("POST", f"{root}/formats/", json={"name": "ORIGINAL"})
        home = {"name": name, "base_dir": "/", "component_ids": [], "format_id": form["id"]}
        place = self.ok("POST", f"{root}/file_sets/", json=home)
        body = {"original_name": name, "directory_path": "", "type": "FILE", "size": str(len(content))}
        body |= {"format_id": form["id"], "file_set_id": place["id"]}
        file = self.ok("POST", f"{root}/files/", json=body)
        sent = requests.request(
            file["upload_method"], file["upload_url"], data=content, headers=file["upload_headers"], timeout=TIMEOUT_S
        )
        assert sent.status_code == 200
        return self.ok("PATCH", f"{root}/files/{file['id']}/", json={"status": "CLOSED"})


@pytest.fixture
def api(iconik) -> Api:
    iconik.options(index_lag_s=0, job_duration_s=0)
    return Api(iconik, token=iconik.auth_token)


@pytest.fixture
def editor(iconik) -> Api:
    return Api(iconik, token=iconik.editor_token)


@pytest.fixture
def package(iconik):
    """Put one complete asset in place; gives its record."""

    def put(**values: Any) -> dict[str, Any]:
        iconik.put("complete_assets", [{"title": "Pickles", "media": "image", **values}])
        return iconik.records("assets")[-1]

    return put


@pytest.fixture
def eventually():
    """Wait for something that another thread or process does."""

    def wait(look: Any, *, seconds: float = 10.0) -> Any:
        end = time.monotonic() + seconds
        while not (found := look()):
            assert time.monotonic() < end, "it did not happen in time"
            time.sleep(0.02)
        return found

    return wait
