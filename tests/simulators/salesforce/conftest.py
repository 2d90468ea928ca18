"""A signed-in HTTP client of the simulated org, as thin as can be."""

from __future__ import annotations

import csv
import io
import socket
import time
from typing import Any
from urllib.parse import urlsplit

import pytest
import requests

TIMEOUT_S = 30


class Api:
    """Calls below /services/data/vXX.0; answers are requests' own."""

    def __init__(self, far: Any, *, version: str = "60.0") -> None:
        self.far, self.version = far, version
        self.http = requests.Session()
        self.http.trust_env = False
        self.sign_in()

    def sign_in(self) -> None:
        form = {
            "grant_type": "client_credentials",
            "client_id": self.far.client_id,
            "client_secret": self.far.client_secret,
        }
        answer = self.http.post(f"{self.far.url}/services/oauth2/token", data=form, timeout=TIMEOUT_S)
        self.token = answer.json()["access_token"]
        self.http.headers["Authorization"] = f"Bearer {self.token}"

    def call(self, method: str, path: str, **more: Any) -> requests.Response:
        base = "" if path.startswith("/services") else f"/services/data/v{self.version}/"
        return self.http.request(method, f"{self.far.url}{base}{path}", timeout=TIMEOUT_S, **more)

    def get(self, path: str, **more: Any) -> requests.Response:
        return self.call("GET", path, **more)

    def post(self, path: str, body: Any = None, **more: Any) -> requests.Response:
        return self.call("POST", path, json=body, **more)

    def patch(self, path: str, body: Any, **more: Any) -> requests.Response:
        return self.call("PATCH", path, json=body, **more)

    def remove(self, path: str, **more: Any) -> requests.Response:
        return self.call("DELETE", path, **more)

    def create(self, kind: str, **values: Any) -> str:
        answer = self.post(f"sobjects/{kind}", values)
        assert answer.status_code == 201, answer.text
        return answer.json()["id"]

    def query(self, soql: str, *, path: str = "query") -> list[dict[str, Any]]:
        answer = self.get(path, params={"q": soql})
        assert answer.status_code == 200, answer.text
        return answer.json()["records"]

    def upsert_all(self, kind: str, key: str, records: list[dict[str, Any]], **more: Any) -> list[dict[str, Any]]:
        body = {"records": [{"attributes": {"type": kind}, **record} for record in records], **more}
        answer = self.patch(f"composite/sobjects/{kind}/{key}", body)
        assert answer.status_code == 200, answer.text
        return answer.json()

    # --- Bulk 2.0 ------------------------------------------------------------------------------------

    def open_job(self, kind: str, operation: str, data: bytes | str | None, **more: Any) -> str:
        job = self.post("jobs/ingest", {"object": kind, "operation": operation, "contentType": "CSV", **more})
        assert job.status_code == 200, job.text
        key = job.json()["id"]
        if data is not None:
            assert self.upload(key, data).status_code == 201
        return key

    def upload(self, job: str, data: bytes | str) -> requests.Response:
        raw = data.encode() if isinstance(data, str) else data
        return self.call("PUT", f"jobs/ingest/{job}/batches", data=raw, headers={"Content-Type": "text/csv"})

    def close_job(self, job: str) -> requests.Response:
        return self.patch(f"jobs/ingest/{job}", {"state": "UploadComplete"})

    def finish(self, job: str, *, kind: str = "ingest") -> dict[str, Any]:
        for _ in range(2000):
            info = self.get(f"jobs/{kind}/{job}").json()
            if info["state"] in ("JobComplete", "Failed", "Aborted"):
                return info
            time.sleep(0.01)
        raise AssertionError(f"job {job} never ended: {info}")

    def load(self, kind: str, operation: str, data: bytes | str, **more: Any) -> tuple[dict[str, Any], str]:
        """A whole job; (final info, job id)."""
        job = self.open_job(kind, operation, data, **more)
        assert self.close_job(job).status_code == 200
        return self.finish(job), job

    def rows(self, job: str, kind: str) -> list[dict[str, str]]:
        text = self.get(f"jobs/ingest/{job}/{kind}/").content.decode()
        return list(csv.DictReader(io.StringIO(text, newline="")))


@pytest.fixture
def api(salesforce: Any) -> Api:
    return Api(salesforce)


@pytest.fixture
def trusted(salesforce_tls: Any, monkeypatch: pytest.MonkeyPatch) -> Any:
    """The org over TLS, found under its My Domain name as real clients look for it."""
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", salesforce_tls.ca_file)
    monkeypatch.setenv("SSL_CERT_FILE", salesforce_tls.ca_file)
    monkeypatch.setenv("NO_PROXY", "*")
    port, real = urlsplit(salesforce_tls.url).port, socket.getaddrinfo

    def resolve(host: Any, asked: Any, *more: Any, **options: Any) -> Any:
        name = host.decode() if isinstance(host, bytes) else host
        if name is not None and name.endswith(".salesforce.com"):
            return real("127.0.0.1", port, *more, **options)
        return real(host, asked, *more, **options)

    monkeypatch.setattr(socket, "getaddrinfo", resolve)
    return salesforce_tls
