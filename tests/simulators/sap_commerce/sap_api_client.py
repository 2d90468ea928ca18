"""A bare client of the Integration API for these tests: requests, nothing clever."""

from __future__ import annotations

from typing import Any

import requests

TIMEOUT_S = 30


class Api:
    """One service caller; paths are relative to /odata2webservices."""

    def __init__(self, side: Any, *, client: str = "integration_client") -> None:
        self.side = side
        self.session = requests.Session()
        self.session.trust_env = False
        self.token = self.new_token(client)
        self.session.headers.update({"Authorization": f"Bearer {self.token}", "Accept": "application/json"})

    def new_token(self, client: str = "integration_client") -> str:
        form = {"grant_type": "client_credentials", "client_id": client, "client_secret": "secret"}
        answer = requests.post(f"{self.side.url}/authorizationserver/oauth/token", data=form, timeout=TIMEOUT_S)
        return answer.json()["access_token"]

    def call(self, method: str, path: str, **options: Any) -> requests.Response:
        url = path if path.startswith("http") else f"{self.side.url}/odata2webservices/{path}"
        return self.session.request(method, url, timeout=TIMEOUT_S, **options)

    def get(self, path: str, **options: Any) -> Any:
        """The ``d`` of an answer that must be 200."""
        answer = self.call("GET", path, **options)
        assert answer.status_code == 200, answer.text
        return answer.json()["d"]

    def post(self, path: str, body: Any, **options: Any) -> Any:
        answer = self.call("POST", path, json=body, **options)
        assert answer.status_code == 201, answer.text
        return answer.json()["d"]

    def refused(self, method: str, path: str, **options: Any) -> tuple[int, str]:
        """(status, error code) of an answer that must be an error."""
        answer = self.call(method, path, **options)
        assert answer.status_code >= 400, answer.text
        return answer.status_code, answer.json()["error"]["code"]

    def pages(self, path: str) -> list[list[dict[str, Any]]]:
        """All pages of a chain, following ``__next``."""
        found, address = [], path
        while address:
            page = self.get(address)
            found.append(page["results"])
            address = page.get("__next")
        return found


class Platform(Api):
    """The platform's own services, which ask for Basic."""

    def __init__(self, side: Any, *, user: str = "integration") -> None:
        self.side = side
        self.session = requests.Session()
        self.session.trust_env = False
        self.session.auth = (user, "nimda")
        self.session.headers["Accept"] = "application/json"
