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
    limits,
    oauth,
    query,
    schema,
    search,
    soap,
    sobjects,
    versions,
    web,
)
from simulators.salesforce.limits import Usage
from simulators.salesforce.locks import Locks
from simulators.salesforce.org import SETTINGS, Org
from simulators.salesforce.sessions import Sessions
from simulators.salesforce.store import Store
from simulators.salesforce.writes import Writer
from simulators.system import Options, System, new_application

DATA = "/services/data/v{version}"
STANDING_FAULTS = {"row_error", "lock", "job_failed", "hold_jobs"}


def build(*, clock: Clock, faults: Faults, options: Options) -> System:
    """The org as a system of the process; ``options.org`` names another list of custom fields."""
    org = _org(clock=clock, faults=faults, options=options)
    key = oauth.DemoKey()
    org.routes = _routes(key)
    app = new_application()
    web.add_routes(app, org)
    faults.at_once["expire_tokens"] = org.sessions.expire_all
    faults.on_request["quota"] = web.quota_answer
    faults.standing |= STANDING_FAULTS
    return System(app=app, credentials=lambda url: _credentials(url, key), store=OrgStore(org), settings=org.settings)


def _org(*, clock: Clock, faults: Faults, options: Options) -> Org:
    known = schema.load(options.org)
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
        sessions=Sessions(clock=clock, settings=settings, org_id=store.org_id),
        usage=Usage(clock),
        writer=Writer(store, faults, locks, settings),
        locks=locks,
    )


def _routes(key: oauth.DemoKey) -> list[Any]:
    found = [*oauth.OAuth(key).routes(), *soap.routes(), *bulk1.routes()]
    for module in (versions, limits, query, search, collections, composite, bulk2, bulk_query, sobjects):
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
    return {"User": [user], "Organization": [organization], "Pricebook2": [book]}


def _credentials(url: str, key: oauth.DemoKey) -> dict[str, Any]:
    return {
        "url": url,
        "client_id": oauth.CLIENT_ID,
        "client_secret": oauth.CLIENT_SECRET,
        "username": oauth.USERNAME,
        "password": oauth.PASSWORD,
        "security_token": oauth.SECURITY_TOKEN,
        "private_key": key.private_pem,
    }


class OrgStore:
    """The store as the control API sees it; a reset clears jobs, cursors, locks and usage as well.

    Sessions outlive a reset: ending them is a fault of its own, "expire_tokens".
    """

    def __init__(self, org: Org) -> None:
        self.org = org
        self.records, self.load = org.store.records, org.store.load
        self.patch, self.delete = org.store.patch, org.store.delete

    def reset(self, *, seed: str) -> None:
        for job in self.org.jobs.values():
            if job.task is not None:
                job.task.cancel()
        self.org.jobs.clear()
        self.org.classic_jobs.clear()
        self.org.cursors.clear()
        self.org.locks.clear()
        self.org.usage.clear()
        self.org.store.reset(seed=seed)
