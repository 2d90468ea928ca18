"""Access tokens: who holds one, when it dies."""

from __future__ import annotations

import secrets
from dataclasses import dataclass
from typing import Any

from simulators.clock import Clock
from simulators.salesforce.state import State

KEEP_EVERY_S = 60  # how stale the kept moment of the last call may be
FIRST_REFRESH_TOKEN = "5Aep861simulatedRefreshToken"


@dataclass(slots=True)
class Session:
    """``used`` is the simulated moment of the last call; inactivity ends a session."""

    token: str
    issued: float
    used: float


class Sessions:
    """All tokens of the org, by token."""

    def __init__(self, *, clock: Clock, settings: dict[str, Any], org_id: str, state: State | None = None) -> None:
        self.clock, self.settings, self.org_id, self.state = clock, settings, org_id, state
        self._open: dict[str, Session] = {}
        self._kept: dict[str, float] = {}
        self._refresh: str | None = FIRST_REFRESH_TOKEN
        if state is not None:
            self._open = {token: Session(token, issued, used) for token, issued, used in state.sessions()}
            self._refresh = state.fact("refresh_token") or FIRST_REFRESH_TOKEN

    def open(self) -> Session:
        now = self.clock.timestamp()
        token = f"{self.org_id[:15]}!AQ{secrets.token_urlsafe(72).replace('-', '.')}"
        self._open[token] = Session(token, now, now)
        self._keep(self._open[token])
        return self._open[token]

    def _keep(self, session: Session) -> None:
        if self.state is not None and session.used - self._kept.get(session.token, 0.0) >= KEEP_EVERY_S:
            self._kept[session.token] = session.used
            self.state.keep_session(session.token, issued=session.issued, used=session.used)

    def find(self, token: str) -> Session | None:
        """The living session of a token; dead ones are forgotten."""
        session = self._open.get(token)
        if session is None:
            return None
        if self.clock.timestamp() >= self.expires(session):
            self.revoke(token)
            return None
        return session

    def touch(self, token: str) -> bool:
        session = self.find(token)
        if session is not None:
            session.used = max(session.used, self.clock.timestamp())
            self._keep(session)
        return session is not None

    def expires(self, session: Session) -> float:
        return session.used + float(self.settings["session_timeout_s"])

    def revoke(self, token: str) -> None:
        """End one session; the refresh token ends all of them and itself."""
        if self.knows_refresh(token):
            self.expire_all()
            self._set_refresh("")
        elif self._open.pop(token, None) is not None and self.state is not None:
            self.state.drop_session(token)

    def knows_refresh(self, token: str) -> bool:
        return bool(token) and token == self._refresh

    def rotate_refresh(self) -> str:
        """A new refresh token; the one before is dead."""
        token = f"5Aep861{secrets.token_urlsafe(48)}"
        self._set_refresh(token)
        return token

    def restore_refresh(self) -> None:
        """The refresh token of the ready line is good again."""
        self._set_refresh(FIRST_REFRESH_TOKEN)

    def _set_refresh(self, token: str) -> None:
        self._refresh = token
        if self.state is not None:
            self.state.note("refresh_token", token)

    def expire_all(self, _spec: dict[str, Any] | None = None) -> int:
        """End every session; gives how many there were."""
        count = len(self._open)
        self._open.clear()
        if self.state is not None:
            self.state.drop_session()
        return count
