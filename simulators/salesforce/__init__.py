"""A Salesforce org with the REST, Collections, Composite and Bulk APIs; see simulators/README.md."""

from __future__ import annotations

import copy
from typing import Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.salesforce import (
    bulk1,
    bulk2,
    bulk_query,
    collections,
    composite,
    conversion,
    custom,
    graph,
    jobs,
    limits,
    oauth,
    query,
    search,
    soap,
    sobjects,
    versions,
    web,
)
from simulators.salesforce.alterations import KIND as FIELDS
from simulators.salesforce.alterations import Alterations
from simulators.salesforce.demo import load_demo
from simulators.salesforce.limits import Usage
from simulators.salesforce.locks import Locks
from simulators.salesforce.org import SETTINGS, Org
from simulators.salesforce.sessions import FIRST_REFRESH_TOKEN, Sessions
from simulators.salesforce.store import Store
from simulators.salesforce.writes import Writer
from simulators.system import Options, System, new_application

DATA = "/services/data/v{version}"
STANDING_FAULTS = {"row_error", "lock", "job_failed", "hold_jobs"}


def build(*, clock: Clock, faults: Faults, options: Options) -> System:
    """The org as a system of the process; ``options.org`` names another list of custom fields."""
    org = _org(clock=clock, faults=faults, options=options)
    key = _demo_key(org)
    org.routes = _routes(key)
    app = new_application()
    web.add_routes(app, org)
    faults.at_once["expire_tokens"] = org.sessions.expire_all
    faults.on_request["quota"] = web.quota_answer
    faults.standing |= STANDING_FAULTS
    return System(
        app=app,
        credentials=lambda url: _credentials(url, key),
        store=OrgStore(org, scale=options.scale),
        settings=org.settings,
        restored=org.store.restored,
        begin=lambda: jobs.resume(org),
        close=lambda: _close(org),
    )


def _close(org: Org) -> None:
    for job in org.jobs.values():
        if job.task is not None:
            job.task.cancel()
    org.store.db.close()


def _demo_key(org: Org) -> oauth.DemoKey:
    state = org.store.state
    key = oauth.DemoKey(state.fact("demo_key") if state else None)
    if state is not None:
        state.note("demo_key", key.private_pem)
    return key


def _org(*, clock: Clock, faults: Faults, options: Options) -> Org:
    known = custom.load(options.org)
    path = options.state / "salesforce.sqlite" if options.state else None
    store = Store(known, clock=clock, path=path)
    store.seed_rows = _delivered(store)
    settings, locks = copy.deepcopy(SETTINGS), Locks()
    return Org(
        schema=known,
        store=store,
        clock=clock,
        faults=faults,
        settings=settings,
        sessions=Sessions(clock=clock, settings=settings, org_id=store.org_id, state=store.state),
        usage=Usage(clock),
        writer=Writer(store, faults, locks, settings),
        locks=locks,
    )


def _routes(key: oauth.DemoKey) -> list[Any]:
    found = [*oauth.OAuth(key).routes(), *soap.routes(), *bulk1.routes()]
    for module in (
        versions,
        limits,
        query,
        search,
        collections,
        composite,
        graph,
        conversion,
        bulk2,
        bulk_query,
        sobjects,
    ):
        found += module.routes(DATA)
    return found


def _delivered(store: Store) -> dict[str, list[dict[str, Any]]]:
    """What a new org holds: its integration user, itself, the standard price book."""
    user = {
        "Id": store.user_id,
        "Username": oauth.USERNAME,
        "Email": oauth.USERNAME,
        "FirstName": "Integration",
        "LastName": "User",
        "Alias": "integ",
        "IsActive": True,
    }
    organization = {
        "Id": store.org_id,
        "Name": "Commerce Sync",
        "OrganizationType": "Enterprise Edition",
        "InstanceName": "SIM1",
        "IsSandbox": False,
    }
    book = {"Id": store.standard_book, "Name": "Standard Price Book", "IsActive": True, "IsStandard": True}
    kinds = [
        {"Id": kind.id, "Name": kind.label, "DeveloperName": kind.name, "SobjectType": item.name, "IsActive": True}
        for item in store.schema.objects.values()
        for kind in item.record_types
    ]
    return {"User": [user], "Organization": [organization], "Pricebook2": [book], "RecordType": kinds}


def _credentials(url: str, key: oauth.DemoKey) -> dict[str, Any]:
    return {
        "url": url,
        "client_id": oauth.CLIENT_ID,
        "client_secret": oauth.CLIENT_SECRET,
        "username": oauth.USERNAME,
        "password": oauth.PASSWORD,
        "security_token": oauth.SECURITY_TOKEN,
        "private_key": key.private_pem,
        "refresh_token": FIRST_REFRESH_TOKEN,
    }


class OrgStore:
    """The store as the control API sees it; a reset clears jobs, cursors, locks and usage as well.

    Sessions outlive a reset: ending them is a fault of its own, "expire_tokens".
    """

    def __init__(self, org: Org, *, scale: str) -> None:
        self.org, self.scale = org, scale
        self.alterations = Alterations(org.store)

    def records(self, kind: str, *, where: dict[str, str], limit: int | None, offset: int) -> Any:
        if kind == FIELDS:
            return self.alterations.records(where)
        return self.org.store.records(kind, where=where, limit=limit, offset=offset)

    def load(self, kind: str, rows: list[dict[str, Any]]) -> int:
        return self.alterations.add(rows) if kind == FIELDS else self.org.store.load(kind, rows)

    def patch(self, kind: str, key: str, values: dict[str, Any]) -> None:
        if kind == FIELDS:
            self.alterations.change(key, values)
        else:
            self.org.store.patch(kind, key, values)

    def delete(self, kind: str, key: str) -> None:
        if kind == FIELDS:
            self.alterations.remove(key)
        else:
            self.org.store.delete(kind, key)

    def reset(self, *, seed: str) -> None:
        for job in self.org.jobs.values():
            if job.task is not None:
                job.task.cancel()
        self.org.jobs.clear()
        self.org.classic_jobs.clear()
        self.org.cursors.clear()
        self.org.locks.clear()
        self.org.usage.clear()
        self.org.sessions.restore_refresh()
        self.alterations.restore()
        self.org.store.empty()
        if seed == "demo":
            load_demo(self.org.store, scale=self.scale)
        self.org.store.seeded()
