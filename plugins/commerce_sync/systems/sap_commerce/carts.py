"""Saved carts that wait for a customer, one record per cart, by OCC.

Target: ``object: SavedCart, external_id: name, options: {style: saved_cart, site: ...}``; fields ``name``, ``user``
(uid), ``product`` (code), ``quantity`` and, optional, ``description``. A cart is known by its name among the saved
carts of the user. A new one has no name yet: which nameless empty carts the user had is written down before it is made,
and one that came since is taken up. So a lost answer, a killed load and a repeated one end in one. What the customer
changed is the customer's: a cart whose entries are not those that were put there is neither changed nor deleted.
The target id is ``user|code|product|quantity``. The connection needs an OAuth client with ROLE_TRUSTED_CLIENT.
Source: OCC "Commerce Webservices 2.2.9", carts; ``cartId`` is the cart's code.
"""

from __future__ import annotations

import contextlib
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, fields
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

import fsspec
import pyarrow.parquet as pq

from commerce_sync.batches import Batch, BatchWriter
from commerce_sync.errors import ConfigurationError, LedgerError, RejectedError, RetryableError
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.answers import UnknownOutcomeError
from commerce_sync.systems.jobs import Jobs, Loaded, MemoryJobs
from commerce_sync.systems.rest import OK, Response
from commerce_sync.systems.sap_commerce.client import SapCommerceClient
from commerce_sync.systems.sap_commerce.outcomes import LOAD_SCHEMA, delivered, refusal

if TYPE_CHECKING:
    import pyarrow as pa

STYLE = "saved_cart"
NEEDED = ("name", "user", "product", "quantity")
LEGAL = (*NEEDED, "description")
ANSWERED = frozenset({*OK, 400, 404, 409})
PAGE = 100
CREATES = 2
"""Tries to make a cart; between them is looked whether it is there."""
FAILED_CARTS = 3
"""After so many failed carts in a row the shop counts as down."""
Cart = Mapping[str, Any]
Outcome = dict[str, Any]


@dataclass(frozen=True, slots=True)
class CartOptions:
    """``options`` of such a target. site: base site of the OCC address.   occ_path: what stands before it."""

    style: str
    site: str
    occ_path: str = "/occ/v2"

    @classmethod
    def of(cls, target: Target) -> CartOptions:
        """Validate a target's options. Raises ConfigurationError naming the legal ones."""
        legal = [item.name for item in fields(cls)]
        unknown = sorted(set(target.options) - set(legal))
        if unknown or "site" not in target.options:
            wrong = f"unknown {unknown}" if unknown else "no 'site' (the base site of the OCC address)"
            raise ConfigurationError(f"options of target {target.object!r} have {wrong}; legal: {', '.join(legal)}")
        if isinstance(target.on_delete, dict):
            raise ConfigurationError(f"on_delete of target {target.object!r} sets fields; legal: ignore, delete")
        return cls(**target.options)


def is_cart(target: Target) -> bool:
    """Whether a target is written the way of this module."""
    return target.options.get("style") == STYLE


@dataclass(frozen=True, slots=True)
class Known:
    """A cart as it was delivered: whose, its code, and what was put into it."""

    user: str
    code: str
    product: str
    quantity: int

    @property
    def target_id(self) -> str:
        return "|".join(_escaped(str(part)) for part in (self.user, self.code, self.product, self.quantity))

    @classmethod
    def of(cls, target_id: str | None) -> Known | None:
        """What a target id says, None when it is none."""
        parts = [part.replace("%7C", "|").replace("%25", "%") for part in (target_id or "").split("|")]
        if len(parts) != 4 or not parts[3].isdecimal():
            return None
        return cls(parts[0], parts[1], parts[2], int(parts[3]))

    def is_untouched(self, cart: Cart) -> bool:
        """Whether the cart holds what was put there, and nothing else."""
        return _held(cart) in ({self.product: self.quantity}, {})


def _escaped(text: str) -> str:
    return text.replace("%", "%25").replace("|", "%7C")


def _held(cart: Cart) -> dict[str, int]:
    """Product code -> pieces in a cart."""
    found: Counter[str] = Counter()
    for entry in cart.get("entries") or []:
        found[str(entry["product"]["code"])] += int(entry["quantity"])
    return dict(found)


@dataclass
class Carts:
    """One load; carts one after the other."""

    client: SapCommerceClient
    options: CartOptions
    ignores: bool
    jobs: Jobs = field(default_factory=MemoryJobs)
    outcomes: dict[str, Outcome] = field(default_factory=dict)
    stopped: RetryableError | None = None
    _failed: int = 0

    async def settle(self, row: Mapping[str, Any]) -> None:
        """One change, with its outcome."""
        if self.stopped is not None and self._failed >= FAILED_CARTS:
            self.outcomes[row["_key"]] = refusal("unprocessed", "unprocessed", "transient", str(self.stopped), "")
            return
        try:
            self.outcomes[row["_key"]] = await self._settled(row)
            self._failed = 0
        except RejectedError as error:
            self.outcomes[row["_key"]] = refusal("rejected", error.code, error.reason_class, str(error), "")
        except LedgerError:
            raise
        except RetryableError as error:
            self.stopped, self._failed = error, self._failed + 1
            self.outcomes[row["_key"]] = refusal("unprocessed", "unprocessed", "transient", str(error), "")

    async def _settled(self, row: Mapping[str, Any]) -> Outcome:
        known = Known.of(row["_target_id"])
        if row["_kind"] == "DELETED":
            return await self._withdrawn(known)
        if missing := [name for name in NEEDED if row.get(name) in (None, "")]:
            raise RejectedError(f"a cart needs {', '.join(missing)}", code="missing_value", reason_class="validation")
        wanted = Known(str(row["user"]), "", str(row["product"]), int(row["quantity"]))
        if known is not None and known.user != wanted.user:
            await self._withdrawn(known)
            known = None
        return await self._prepared(row, wanted, known)

    async def _prepared(self, row: Mapping[str, Any], wanted: Known, known: Known | None) -> Outcome:
        cart = await self._find(wanted.user, str(row["name"]), known)
        is_new = cart is None
        if cart is None:
            cart = await self._created(wanted.user, str(row["_key"]))
        elif known is not None and not known.is_untouched(cart):
            return delivered(known.target_id) | {"code": "touched"}
        made = Known(wanted.user, str(cart["code"]), wanted.product, wanted.quantity)
        try:
            await self._named_and_filled(row, made, cart)
        except (RejectedError, RetryableError):
            if is_new:
                await self._undone(made)
            raise
        return delivered(made.target_id) | {"created": is_new}

    async def _named_and_filled(self, row: Mapping[str, Any], made: Known, cart: Cart) -> None:
        # Named first: from now on a repeated load finds this cart instead of making another one.
        name = {"saveCartName": str(row["name"]), "saveCartDescription": str(row.get("description") or row["name"])}
        await self._call("PATCH", made.user, f"/{_path(made.code)}/save", None, name)
        try:
            await self._fill(made, cart)
        except UnknownOutcomeError:
            await self._fill(made, await self._read(made))

    async def _created(self, user: str, key: str) -> Cart:
        """A new cart, or the one that a try before left without a name. Raises UnknownOutcomeError when neither is."""
        bare = await self._bare(user)
        before = set(self.jobs.plan(f"cart {key}", before=sorted(bare)).facts["before"])
        for _ in range(CREATES):
            if left := sorted(bare - before):
                return {"code": left[0]}
            try:
                return dict((await self._call("POST", user, "", {})).json())
            except UnknownOutcomeError as error:
                lost, bare = error, await self._bare(user)
        if left := sorted(bare - before):
            return {"code": left[0]}
        raise lost

    async def _bare(self, user: str) -> set[str]:
        """Codes of the user's carts that have neither a name nor an entry."""
        found = await self._carts(user, saved=False)
        return {str(cart["code"]) for cart in found if not cart.get("name") and not cart.get("entries")}

    async def _read(self, known: Known) -> Cart:
        answer = await self._call("GET", known.user, f"/{_path(known.code)}", None, {"fields": "FULL"})
        return dict(answer.json())

    async def _undone(self, made: Known) -> None:
        """Take a cart away that was only just made; one that cannot be is left to the shop's own purge."""
        with contextlib.suppress(RejectedError, RetryableError):
            await self._call("DELETE", made.user, f"/{_path(made.code)}", None)

    async def _fill(self, made: Known, cart: Cart) -> None:
        """Bring the entries to what is wanted; each call may be repeated by the next load, which looks first."""
        path = f"/{_path(made.code)}/entries"
        for entry in cart.get("entries") or []:
            if entry["product"]["code"] != made.product:
                await self._call("DELETE", made.user, f"{path}/{entry['entryNumber']}", None)
            elif entry["quantity"] != made.quantity:
                await self._call("PATCH", made.user, f"{path}/{entry['entryNumber']}", {"quantity": made.quantity})
        if made.product not in _held(cart):
            body = {"product": {"code": made.product}, "quantity": made.quantity}
            await self._call("POST", made.user, path, body)

    async def _find(self, user: str, name: str, known: Known | None) -> Cart | None:
        """The cart of that name, or the one that was delivered before, None when there is neither."""
        found = [cart for cart in await self._carts(user, saved=True) if cart.get("name") == name]
        found.sort(key=lambda cart: (known is None or cart["code"] != known.code, str(cart["code"])))
        return found[0] if found else None

    async def _carts(self, user: str, *, saved: bool) -> list[Cart]:
        """The user's saved carts, or all; OCC pages the saved ones only."""
        page, pages = 0, 1
        found: list[Cart] = []
        while page < pages:
            query = {"savedCartsOnly": str(saved).lower(), "pageSize": PAGE, "currentPage": page, "fields": "FULL"}
            answer = (await self._call("GET", user, "", None, query)).json()
            found += answer.get("carts") or []
            page, pages = page + 1, int((answer.get("pagination") or {}).get("totalPages") or 1)
        return found

    async def _withdrawn(self, known: Known | None) -> Outcome:
        """Delete a cart that is as it was made; one that is gone, or was changed, is left."""
        if known is None:
            raise RejectedError(
                "the cart to delete is not known in the shop", code="missing_target_id", reason_class="reference"
            )
        if self.ignores:
            return delivered(known.target_id) | {"code": "ignored"}
        try:
            if not known.is_untouched(await self._read(known)):
                return delivered(known.target_id) | {"code": "touched"}
            await self._call("DELETE", known.user, f"/{_path(known.code)}", None)
        except RejectedError as error:
            if error.reason_class != "reference":
                raise
            return delivered(known.target_id) | {"code": "gone"}
        return delivered(known.target_id)

    async def _call(
        self, method: str, user: str, path: str, body: Any, query: Mapping[str, Any] | None = None
    ) -> Response:
        """Raises RejectedError for what the shop refuses. A POST is not repeated: the next load looks first."""
        root = f"{self.options.occ_path.strip('/')}/{quote(self.options.site, safe='')}/users/{_path(user)}/carts"
        answer = await self.client.call(
            method, root + path, query=query, json=body, ok=ANSWERED, repeatable=method != "POST", route="occ/carts"
        )
        if answer.status in OK:
            return answer
        raise _refused(answer)


def _path(text: str) -> str:
    return quote(text, safe="")


def _refused(answer: Response) -> RejectedError:
    """The first error of an OCC answer."""
    try:
        error = dict(answer.json()["errors"][0])
    except (RetryableError, KeyError, TypeError, IndexError, ValueError):
        error = {"type": f"http_{answer.status}", "message": answer.body[:200].decode("utf-8", "replace")}
    code = str(error.get("type"))
    absent = answer.status == 404 or "Unknown" in code or error.get("reason") == "notFound"
    return RejectedError(
        f"{code}: {error.get('message')}", code=code, reason_class="reference" if absent else "validation"
    )


def _rows(changes: Batch) -> Iterator[dict[str, Any]]:
    for path in changes.paths():
        with fsspec.open(path, "rb") as source:
            for piece in pq.ParquetFile(source).iter_batches():
                yield from piece.to_pylist()


def check_fields(given: Sequence[Field]) -> None:
    """Raise ConfigurationError naming the legal fields."""
    names = {item.name for item in given}
    if not set(NEEDED) <= names <= set(LEGAL):
        raise ConfigurationError(
            f"a target of style {STYLE} has the fields {', '.join(LEGAL)}; it has: {sorted(names)}"
        )


async def load(
    client: SapCommerceClient, target: Target, given: Sequence[Field], changes: Batch, *, jobs: Jobs | None,
    into: BatchWriter,
) -> Loaded:  # fmt: skip
    """Prepare or withdraw the carts, and write one outcome per row into ``into``.

    Raises ConfigurationError for wrong options or refused credentials, RetryableError when nothing got through.
    """
    import pyarrow as pa

    check_fields(given)
    work = Carts(client, CartOptions.of(target), ignores=target.on_delete == "ignore", jobs=jobs or MemoryJobs())
    for row in _rows(changes):
        await work.settle(row)
    rows = [{"_key": key, **outcome} for key, outcome in work.outcomes.items()]
    counts = Counter(row["outcome"] for row in rows)
    if work.stopped and not counts["delivered"]:
        raise work.stopped
    into.add(pa.Table.from_pylist(rows, schema=LOAD_SCHEMA))
    return Loaded(counts["delivered"], counts["rejected"], counts["unprocessed"])


async def current(client: SapCommerceClient, target: Target, given: Sequence[Field], keys: Sequence[str]) -> pa.Table:
    """``_target_key`` and the asked fields of those carts that are there. keys: target ids."""
    import pyarrow as pa

    work = Carts(client, CartOptions.of(target), ignores=True)
    rows = []
    for key in keys:
        known = Known.of(key)
        if known is None:
            continue
        try:
            cart = await work._read(known)
        except RejectedError:
            continue
        product, quantity = next(iter(_held(cart).items()), (None, None))
        rows.append({"_target_key": key, "name": cart.get("name"), "user": known.user, "product": product,
                     "quantity": quantity, "description": cart.get("description")})  # fmt: skip
    names = ["_target_key", *(item.name for item in given)]
    schema = pa.schema([(name, pa.int64() if name == "quantity" else pa.string()) for name in names])
    return pa.Table.from_pylist([{name: row[name] for name in names} for row in rows], schema=schema)
