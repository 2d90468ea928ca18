"""Access tokens: who holds one, when it dies."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from simulators.clock import Clock


@dataclass(slots=True)
class Session:
    """``used`` is the simulated moment of the last call; inactivity ends a session."""

    token: str
    issued: float
    used: float


class Sessions:
    """All tokens of the org, by token."""

    def __init__(self, *, clock: Clock, settings: dict[str, Any], org_id: str) -> None:
        self.clock, self.settings, self.org_id = clock, settings, org_id
        self._open: dict[str, Session] = {}

    def open(self) -> Session:
        now = self.clock.timestamp()
        token = f"{self.org_id[:15]}!AQ{secrets.token_urlsafe(72).replace('-', '.')}"
        self._open[token] = Session(token, now, now)
        return self._open[token]

    def find(self, token: str) -> Session | None:
        """The living session of a token; dead ones are forgotten."""
        session = self._open.get(token)
        if session is None:
            return None
        if self.clock.timestamp() >= self.expires(session):
            del self._open[token]
            return None
        return session

    def touch(self, token: str) -> bool:
        session = self.find(token)
        if session is not None:
            session.used = max(session.used, self.clock.timestamp())
        return session is not None

    def expires(self, session: Session) -> float:
        return session.used + float(self.settings["session_timeout_s"])

    def revoke(self, token: str) -> None:
        self._open.pop(token, None)

    def expire_all(self, _spec: dict[str, Any] | None = None) -> int:
        """End every session; gives how many there were."""
        count = len(self._open)
        self._open.clear()
        return count
