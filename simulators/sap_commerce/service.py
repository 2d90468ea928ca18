"""The HTTP surface: routes, authentication, dispatch, transactions.

Source: fact sheet sections 2.1, 2.8, 2.10.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from aiohttp import web

from simulators.sap_commerce.atom import as_atom
from simulators.sap_commerce.batch import Part, answer_batch, parse_batch
from simulators.sap_commerce.calls import JSON, Call, Reply, refusal
from simulators.sap_commerce.errors import ODataError, bad_request, not_allowed
from simulators.sap_commerce.monitoring import record_request
from simulators.sap_commerce.oauth import Tokens, Unauthenticated, authenticate, authorize
from simulators.sap_commerce.reading import Reader
from simulators.sap_commerce.schema import IntegrationObject, Schemas
from simulators.sap_commerce.store import Store
from simulators.sap_commerce.writing import Editor

ROOT = "/odata2webservices"
_WRITES = ("POST", "PATCH", "DELETE")


@dataclass(slots=True)
class Service:
    """All integration objects of one store, over HTTP."""

    store: Store
    schemas: Schemas
    reader: Reader
    editor: Editor
    tokens: Tokens
    settings: dict[str, Any]

    def add_routes(self, app: web.Application) -> None:
        app.router.add_post("/authorizationserver/oauth/token", self.tokens.endpoint)
        for path in ("", "/", "/$metadata", "/$batch", "/{path:.+}"):
            app.router.add_route("*", f"{ROOT}/{{service}}{path}", self.handle)

    async def handle(self, request: web.Request) -> web.Response:
        """Any request below /odata2webservices."""
        body = await request.read()
        as_json = "xml" not in request.headers.get("Accept", "")
        try:
            reply = self._answer(self._call(request, body))
        except Unauthenticated as error:
            headers = {"WWW-Authenticate": error.challenge}
            return web.json_response(error.body, status=401, headers=headers)
        except ODataError as error:
            reply = refusal(error, as_json=as_json)
        except (OverflowError, UnicodeError, RecursionError) as error:  # what no store and no stack can hold
            reply = refusal(bad_request("odata_error", f"The request cannot be read: {error}"), as_json=as_json)
        headers = {"DataServiceVersion": "2.0", **reply.headers, "Content-Type": reply.content_type}
        if not reply.body:
            headers.pop("Content-Type")
        return web.Response(status=reply.status, body=reply.body, headers=headers)

    def _call(self, request: web.Request, body: bytes) -> Call:
        raw_path, _, query = request.raw_path.partition("?")
        code = request.match_info["service"]
        service = self._service(code)
        user = authenticate(
            request.headers.get("Authorization", ""),
            scheme=service.authentication or "BASIC",
            tokens=self.tokens,
            store=self.store,
        )
        path = raw_path.partition(f"{ROOT}/{code}")[2].lstrip("/")
        method = request.headers.get("X-HTTP-Method", request.method) if request.method == "POST" else request.method
        authorize(user, method=method, service=code, metadata=path == "$metadata", store=self.store)
        return Call(
            method=method,
            path=path,
            query=query,
            headers=request.headers,
            body=body,
            service=service,
            base=f"{request.scheme}://{request.host}{ROOT}/{code}/",
            user=self.store.value(user, "uid"),
        )

    def _service(self, code: str) -> IntegrationObject:
        service = self.schemas.get(code)
        if service is None or service.authentication is None:
            status = int(self.settings["unexposed_status"])
            names = {404: "not_found", 403: "forbidden"}
            message = f"There is no exposed service [{code}]."
            raise ODataError(status, names.get(status, "unknown_error"), message)
        return service

    def _answer(self, call: Call) -> Reply:
        if call.path == "$batch":
            if call.method != "POST":
                raise not_allowed("$batch accepts POST only.")
            return self._batch(call)
        if call.method in ("GET", "HEAD"):
            return _readable(self.reader.answer(call), call)
        if call.method not in _WRITES:
            raise not_allowed(f"{call.method} is not supported.")
        return self._write(call)

    def _write(self, call: Call) -> Reply:
        """One write in its own transaction, with its monitoring record outside of it."""
        try:
            with self.store.transaction():
                reply = self._applied(call)
        except ODataError as error:
            self._record(call, key=self.editor.last_key, error=error)
            raise
        self._record(call, key=self.editor.last_key, error=None)
        return reply

    def _applied(self, call: Call) -> Reply:
        try:
            return _readable(self.editor.apply(call), call)
        except (TypeError, KeyError, AttributeError, OverflowError, UnicodeError, RecursionError) as error:
            raise bad_request("odata_error", f"The payload does not fit the EDMX: {error!r}") from error

    def _batch(self, call: Call) -> Reply:
        try:
            parts = parse_batch(call)
        except ODataError as error:
            self._record(call, key="", error=error)
            raise
        limit = int(self.settings["batch_limit"])
        if len(parts) > limit:
            message = f"The number of batches [{len(parts)}] exceeds the limit of [{limit}]."
            excess = bad_request("batch_limit_exceeded", message)
            self._record(call, key="", error=excess, body=b"")
            raise excess
        return answer_batch(parts, run=lambda part: self._run(part, call))

    def _run(self, part: Part, outer: Call) -> list[Reply] | ODataError:
        """One part: all of its operations or none of them."""
        first = part.operations[0].call
        if not part.is_changeset and first.method == "GET":
            return self._retrieved(first)
        body = b"\r\n".join(operation.call.body for operation in part.operations)
        try:
            with self.store.transaction():
                replies = [self._batched(operation.call) for operation in part.operations]
        except ODataError as error:
            self._record(outer, key=self.editor.last_key, error=error, body=body, method=first.method)
            return error
        self._record(outer, key=self.editor.last_key, error=None, body=body, method=first.method)
        return replies

    def _batched(self, call: Call) -> Reply:
        if call.method not in _WRITES:
            raise not_allowed(f"{call.method} is not supported inside a ChangeSet.")
        return self._applied(call)

    def _retrieved(self, call: Call) -> list[Reply] | ODataError:
        try:
            return [_readable(self.reader.answer(call), call)]
        except ODataError as error:
            return error

    def _record(
        self, call: Call, *, key: str, error: ODataError | None, body: bytes | None = None, method: str | None = None
    ) -> None:
        record_request(
            self.store,
            settings=self.settings,
            service=call.service.code,
            method=method or call.method,
            headers=call.headers,
            user=call.user,
            key=key,
            body=call.body if body is None else body,
            error=error,
        )


def _readable(reply: Reply, call: Call) -> Reply:
    """Entities in the form the caller asks for: JSON, or Atom."""
    if reply.content_type == JSON and reply.body and not call.wants_json:
        return as_atom(reply, service=call.service, base=call.base)
    return reply


def deadlock_reply() -> web.Response:
    """The answer of the fault action "deadlock": a transaction that lost against another one."""
    message = "Deadlock found when trying to get lock; try restarting transaction"
    body = {"error": {"code": "internal_error", "message": {"lang": "en", "value": message}}}
    return web.Response(status=500, body=json.dumps(body).encode(), content_type="application/json")
