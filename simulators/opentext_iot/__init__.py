"""Simulated OpenText IoT Platform in two profiles over one store; see README.md in this folder."""

from __future__ import annotations

import copy
from typing import Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.opentext_iot import (
    devices,
    disturbances,
    event_search,
    generic,
    generic_events,
    generic_groups,
    messages,
    odds,
    rules,
    sign_in,
    streams,
    web,
)
from simulators.opentext_iot.call import Call, Route
from simulators.opentext_iot.database import Database
from simulators.opentext_iot.documents import Documents
from simulators.opentext_iot.events import Events
from simulators.opentext_iot.far_side import FarSide
from simulators.opentext_iot.fleet_running import RunningFleet
from simulators.opentext_iot.platform import REALM, SETTINGS, Platform
from simulators.opentext_iot.profile import profile
from simulators.opentext_iot.pushing import Pusher
from simulators.opentext_iot.resources import Resource
from simulators.opentext_iot.tokens import CLIENTS, Tokens
from simulators.system import Options, System, new_application


def build(*, clock: Clock, faults: Faults, options: Options) -> System:
    """The platform, not yet seeded."""
    platform = _platform(clock=clock, faults=faults, options=options)
    pusher = Pusher(platform)
    app = new_application()
    web.add_routes(app, platform, _routes())
    app.cleanup_ctx.append(pusher.running)
    faults.at_once |= disturbances.at_once(platform)
    faults.on_request["quota"] = lambda rule, request: web.quota_answer(
        request, retry_after_s=rule.spec.get("retry_after_s", 1)
    )
    faults.standing |= disturbances.STANDING
    store = FarSide(platform, options=options, forget=pusher.reset)
    return System(app=app, credentials=_credentials, store=store, settings=platform.settings)


def _platform(*, clock: Clock, faults: Faults, options: Options) -> Platform:
    database = Database(options.state / "opentext_iot.sqlite" if options.state else None)
    settings = copy.deepcopy(SETTINGS)
    documents = Documents(database, clock=clock, settings=settings)
    events = Events(database)
    return Platform(
        database=database,
        documents=documents,
        events=events,
        clock=clock,
        faults=faults,
        settings=settings,
        tokens=Tokens(clock, settings),
        fleet=RunningFleet(database, documents, events, clock),
    )


def _routes() -> list[Route]:
    found: list[Route] = []
    for module in (sign_in, devices, streams, messages, event_search, rules, odds):
        found += module.routes()
    for kind, spec in profile("covisint_classic")["resources"].items():
        found += _resource(kind, spec).routes()
    for generic_module in (generic, generic_events, generic_groups):
        found += generic_module.routes()
    return found


def _resource(kind: str, spec: dict[str, Any]) -> Resource:
    finish = streams.complete if kind == "stream" else None
    checks = {"thresholdPolicy": rules.check_policy, "triggerDefinition": rules.check_trigger}
    settle = _settled if kind == "commandAudit" else None
    return Resource(
        kind, spec["path"], spec["media"], tuple(spec["calls"]), finish=finish, verify=checks.get(kind), before=settle
    )


def _settled(call: Call) -> None:
    messages.settle_commands(call.platform)


def _credentials(url: str) -> dict[str, Any]:
    client = CLIENTS[0]
    return {
        "url": url,
        "client_id": client.client_id,
        "client_secret": client.secret,
        "realm": REALM,
        "tenant": REALM.lower(),
        "application_id": client.application,
    }
