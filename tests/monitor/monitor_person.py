"""Somebody in front of the monitor."""

from __future__ import annotations

from typing import Any

from benchmarks.monitor_web import token

PREFIX = "/commerce-sync"


class Person:
    """Somebody with a browser: keeps cookies, sends forms with the token of the page it got."""

    def __init__(self, web: Any, name: str, role: str) -> None:
        self._web = web
        self._login = {"Authorization": f"Bearer {token(name, role)}"}
        self.cookies: dict[str, str] = {}

    def get(self, path: str, **query: str) -> Any:
        self._web.cookies.clear()
        found = self._web.get(PREFIX + path, params=query or None, headers=self._login, cookies=self.cookies)
        self.cookies |= dict(found.cookies)
        return found

    def text(self, path: str, **query: str) -> str:
        found = self.get(path, **query)
        assert found.status_code == 200, found.text.partition("<main")[2][:600]
        return found.text

    def form_token(self) -> str:
        """The token that a form of this session carries."""
        text = self.get("/errors").text
        assert 'name="token" value="' in text, "there is no form on the page of errors"
        return text.partition('name="token" value="')[2].partition('"')[0]

    def post(
        self, path: str, *, token: str | None = None, origin: str | None = "http://testserver", **form: Any
    ) -> Any:
        sent = {"token": self.form_token() if token is None else token} | form
        headers = self._login | ({"Origin": origin} if origin else {})
        self._web.cookies.clear()
        return self._web.post(PREFIX + path, data=sent, headers=headers, cookies=self.cookies)
