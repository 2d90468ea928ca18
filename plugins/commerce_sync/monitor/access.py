"""Who asks, and whether they may: Airflow's login for every page, the right to trigger runs for every change.

A change is taken only from a form of these pages: its origin is this server, and it carries the token of the browser's
session (a random cookie of ours, signed together with the user by Airflow's own secret).
Source: https://cheatsheetseries.owasp.org/cheatsheets/Cross-Site_Request_Forgery_Prevention_Cheat_Sheet.html (2026-11).
"""

from __future__ import annotations

import hashlib
import hmac
import secrets
from collections.abc import Iterable
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Annotated, Any
from urllib.parse import parse_qs, urlsplit

from airflow.api_fastapi.app import get_auth_manager
from airflow.api_fastapi.auth.managers.models.resource_details import AccessView, DagAccessEntity, DagDetails
from airflow.api_fastapi.core_api.security import GetUserDep, requires_access_view
from fastapi import Depends, HTTPException, Request

from commerce_sync.monitor import catalogue, references

COOKIE = "commerce_sync_session"
KEYS = ("key", "query-key")
"""Values of addresses and forms that are keys of records."""
FORM_BYTES = 4_000_000
"""Some 20,000 ticked rows."""
MAY_SEE = requires_access_view(AccessView.JOBS)


@dataclass(frozen=True)
class Visit:
    """One request: who asks, from which browser session, for what.

    fresh: whether the session began with this request and its cookie has to be set.   form: what a person filled in.
    """

    request: Request
    user: Any
    session: str
    fresh: bool
    form: dict[str, list[str]] = field(default_factory=dict)

    @property
    def root(self) -> str:
        """Path under which the pages are mounted."""
        return str(self.request.scope.get("root_path", ""))

    @property
    def name(self) -> str:
        """The user's name, as it is noted beside what they did."""
        return str(self.user.get_name())

    @property
    def token(self) -> str:
        """What a form of this session has to bring along."""
        text = f"{self.session} {self.user.get_id()}"
        return hmac.new(secret("forms"), text.encode(), hashlib.sha256).hexdigest()

    def asked(self, name: str, default: str = "") -> str:
        """A value of the query, without blanks around it; a key that stands there as a reference is the key."""
        return self._meant(name, (self.request.query_params.get(name) or default).strip())

    def given(self, name: str) -> str:
        """A value of the form, like ``asked``."""
        return self._meant(name, next(iter(self.form.get(name, ())), "").strip())

    def _meant(self, name: str, text: str) -> str:
        return references.key_of(text) if name in KEYS else text

    def may_change(self, legs: Iterable[str]) -> bool:
        """Whether the user may trigger runs of the flows of all these legs."""
        known = catalogue.read()
        flows = {flow.dag_id if (flow := known.flow_of(leg)) else None for leg in legs} or {None}
        return all(_may_trigger(self.user, dag_id) for dag_id in flows)

    def demand(self, legs: Iterable[str]) -> None:
        """Raises 403 unless the user may change something about these legs."""
        if not self.may_change(legs):
            raise HTTPException(
                403, f"{self.name} may look, but not change anything: that needs the right to trigger runs of the flow."
            )


def _may_trigger(user: Any, dag_id: str | None) -> bool:
    """A leg without a flow needs the right for all DAGs."""
    return bool(
        get_auth_manager().is_authorized_dag(
            method="POST", access_entity=DagAccessEntity.RUN, details=DagDetails(id=dag_id, team_name=_team(dag_id)),
            user=user,
        )
    )  # fmt: skip


def _team(dag_id: str | None) -> str | None:
    from airflow.models.dag import DagModel

    return DagModel.get_team_name(dag_id) if dag_id else None


@lru_cache(maxsize=8)
def secret(purpose: str) -> bytes:
    """32 bytes, the same in all processes of the API server; without a secret configured, good for this process."""
    from airflow.configuration import conf

    configured = conf.get("api", "secret_key", fallback="") or conf.get("api_auth", "jwt_secret", fallback="")
    return hashlib.sha256(f"commerce-sync {purpose} {configured or secrets.token_hex()}".encode()).digest()


def visited(request: Request, user: GetUserDep, _may: Annotated[None, Depends(MAY_SEE)]) -> Visit:
    """A request that reads."""
    session = request.cookies.get(COOKIE, "")
    return Visit(request, user, session or secrets.token_urlsafe(24), fresh=not session)


async def changed(request: Request, visit: Annotated[Visit, Depends(visited)]) -> Visit:
    """A request that changes something. Raises 403 for one that does not come from a form of these pages."""
    if not _same_origin(request):
        raise HTTPException(403, "This change was asked for by another site and was not made.")
    form = parse_qs(await _body(request), keep_blank_values=True)
    order = Visit(request, visit.user, visit.session, visit.fresh, form)
    if visit.fresh or not hmac.compare_digest(order.given("token").encode(), order.token.encode()):
        raise HTTPException(
            403, "This form belongs to another session, nothing was changed. Load the page again, then repeat it."
        )
    return order


def _same_origin(request: Request) -> bool:
    """Browsers say where a form comes from; a request that says neither is refused.

    Sec-Fetch-Site cannot be forged by a page, but is only sent over HTTPS and to localhost.
    """
    site, origin = request.headers.get("sec-fetch-site"), request.headers.get("origin")
    if site is not None:
        return site == "same-origin"
    return origin is not None and urlsplit(origin).netloc == request.headers.get("host", "")


async def _body(request: Request) -> str:
    parts, size = [], 0
    async for part in request.stream():
        size += len(part)
        if size > FORM_BYTES:
            raise HTTPException(413, "Too many rows at once, nothing was changed. Choose fewer.")
        parts.append(part)
    return b"".join(parts).decode("utf-8", errors="replace")


Reader = Annotated[Visit, Depends(visited)]
Writer = Annotated[Visit, Depends(changed)]
