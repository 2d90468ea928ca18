"""Simulated SAP Commerce Cloud: the Integration API (OData V2) with its authorization server.

``build`` plugs it into ``python -m simulators``; what it does not do is said in simulators/README.md.
"""

from __future__ import annotations

from typing import Any

from simulators.clock import Clock
from simulators.faults import Faults
from simulators.sap_commerce.far_side import FarSide
from simulators.sap_commerce.hot_folder import CONTAINER, SIGNATURE, HotFolder
from simulators.sap_commerce.oauth import Tokens
from simulators.sap_commerce.occ.routes import add_occ_routes
from simulators.sap_commerce.outbound import OUTBOUND_SETTINGS, build_outbound
from simulators.sap_commerce.page_faults import ACTIONS
from simulators.sap_commerce.reading import Reader
from simulators.sap_commerce.schema import Schemas
from simulators.sap_commerce.seeding import new_store
from simulators.sap_commerce.service import Service, deadlock_reply
from simulators.sap_commerce.writing import Editor
from simulators.system import Options, System, new_application

# switches for what the fact sheet leaves open, and for limits; POST /_sim/options changes them
SETTINGS: dict[str, Any] = {
    "platform_language": "en",
    "item_type_match": "ALL_SUBTYPES",
    "default_order": "pk",
    "null_key_part": "null",
    "null_navigation_status": 204,
    "unexposed_status": 404,
    "batch_limit": 200,
    "token_lifetime_s": 43200,
    "monitoring": True,
    "success_payload_retention": False,
    "error_payload_retention": False,
    "return_touches_order": False,
    "access_rights": False,
    "password_grant": False,
    "hot_folder": "import",
    **OUTBOUND_SETTINGS,
}


def build(*, clock: Clock, faults: Faults, options: Options) -> System:
    """The system, not yet seeded."""
    settings = dict(SETTINGS)
    path = options.state / "sap_commerce.sqlite" if options.state else None
    store = new_store(str(path or ":memory:"), clock=clock)
    tokens = Tokens(store, clock, settings)
    schemas = Schemas(store)
    reader = Reader(store, schemas=schemas, settings=settings, faults=faults)
    service = Service(store, schemas, reader, Editor(store, reader, settings), tokens, settings)
    far_side = FarSide(store, options=options, schemas=schemas, tokens=tokens, page_faults=reader.page_faults)
    app = new_application()
    service.add_routes(app)
    add_occ_routes(app, store=store, tokens=tokens)
    hot_folder = HotFolder(store, settings)
    hot_folder.add_routes(app)
    far_side.on_reset.append(hot_folder.clear)
    outbound = build_outbound(store, schemas=schemas, settings=settings, faults=faults)
    app.cleanup_ctx.append(outbound.clockwork.context)
    far_side.on_reset.append(outbound.clockwork.clear)
    if options.control:
        far_side.add_routes(app)
        outbound.control.add_routes(app)
    faults.at_once["expire_tokens"] = lambda _spec: tokens.clear()
    faults.on_request["deadlock"] = lambda _rule, _request: deadlock_reply()
    faults.standing |= ACTIONS
    return System(app=app, credentials=_credentials, store=far_side, settings=settings)


def _credentials(url: str) -> dict[str, Any]:
    return {
        "url": url,
        "username": "integration",
        "password": "nimda",
        "client_id": "integration_client",
        "client_secret": "secret",
        "occ_client_id": "trusted_client",
        "occ_client_secret": "secret",
        "hot_folder": f"{url}/{CONTAINER}",
        "hot_folder_signature": f"sv=2021-08-06&sig={SIGNATURE}",
    }
