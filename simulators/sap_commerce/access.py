"""Type access rights: which user may read, create, change or remove items of a type.

Rights are ``AccessRight`` items (principal, type, four Booleans). The nearest type of the lineage that says
anything about one of the user's principals decides; a grant of any of them is enough. Where nothing is said,
members of integrationadmingroup may, others may not [assumed]. Checked only while the switch ``access_rights``
is on (``integrationservices.authorization.accessrights.enabled``). Source: fact sheet section 2.10.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from simulators.sap_commerce.errors import forbidden
from simulators.sap_commerce.oauth import groups_of
from simulators.sap_commerce.schema import IntegrationObject, Item
from simulators.sap_commerce.store import Store

_ADMIN = "integrationadmingroup"


@dataclass(frozen=True, slots=True)
class AccessRights:
    """The rights of one user, asked type by type."""

    store: Store
    settings: dict[str, Any]
    user: str

    @property
    def enforced(self) -> bool:
        return bool(self.settings["access_rights"])

    def require(self, right: str, code: str) -> None:
        """Raise forbidden unless the user has the right ("read", "create", "change", "remove") on a type."""
        if self.enforced and not self._has(right, code):
            message = f"The user lacks [{right}] privileges for accessing the [{code}] type."
            raise forbidden(message)

    def require_read(self, item: Item, expand: dict[str, Any], *, service: IntegrationObject) -> None:
        """The right to read an item and everything that is expanded."""
        if not self.enforced:
            return
        self.require("read", item.type.code)
        for name, below in expand.items():
            attribute = item.attributes.get(name)
            target = service.items.get(attribute.target) if attribute else None
            if target is not None:
                self.require_read(target, below, service=service)

    def _has(self, right: str, code: str) -> bool:
        names = self._principals()
        for ancestor in self.store.types.lineage(code):
            said = self._said(right, ancestor, names)
            if said:
                return any(said)
        return _ADMIN in names

    def _said(self, right: str, code: str, names: set[str]) -> list[bool]:
        kinds = self.store.find(["ComposedType"], {"code": code})
        rows = self.store.find(["AccessRight"], {"type": kinds[0]}) if kinds else []
        value = self.store.value
        said = [value(row, right) for row in rows if value(value(row, "principal"), "uid") in names]
        return [bool(one) for one in said if one is not None]

    def _principals(self) -> set[str]:
        (pk,) = self.store.find(["Employee"], {"uid": self.user}) or (None,)
        return {self.user} | (groups_of(pk, store=self.store) if pk is not None else set())
