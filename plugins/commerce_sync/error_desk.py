"""The error desk: what did not arrive, over all legs, and what people do about it.

Every word is kept in the ledger with who said it and when, and brought into the history.
"""

from __future__ import annotations

from collections.abc import Mapping as Values
from collections.abc import Sequence
from typing import Any

from commerce_sync import binding, editing, mapping_file, places, recording
from commerce_sync.errors import ConfigurationError
from commerce_sync.ledger import Reject, RejectGroup, RejectStatus
from commerce_sync.leg import Site
from commerce_sync.mapping import Mapping

WAITING: tuple[RejectStatus, ...] = ("rejected", "parked", "quarantined")


def groups(site: Site, *, legs: Sequence[str] = (), statuses: Sequence[RejectStatus] = WAITING) -> list[RejectGroup]:
    """Rejects by reason class and code with their number per leg, the largest first."""
    return site.ledger.reject_groups(legs=legs, statuses=statuses)


def row(site: Site, leg: str, key: str) -> Reject | None:
    """One reject with its masked payload."""
    return next(iter(site.ledger.find_rejects([leg], keys=[key])), None)


def retry(site: Site, leg: str, keys: Sequence[str], *, by: str, reason: str | None = None) -> int:
    """The next run offers these at once, as if they had never been tried; gives the number of rejects found."""
    done = site.ledger.retry_rejects(leg, keys=keys, by=by, reason=reason)
    recording.note_said(site, leg)
    return done


def dismiss(site: Site, leg: str, keys: Sequence[str], *, by: str, reason: str) -> int:
    """These stay out until their payload changes; gives the number of rejects found.

    Raises ConfigurationError without a reason.
    """
    if not reason.strip():
        raise ConfigurationError(f"leg {leg}: say why these records need not arrive")
    done = site.ledger.dismiss_rejects(leg, keys=keys, by=by, reason=reason)
    recording.note_said(site, leg)
    return done


def editable(leg: str) -> dict[str, tuple[str, str]]:
    """Field -> its type, and why it may not be edited (empty when it may); nothing for a leg without a mapping."""
    try:
        mapping = mapping_of(leg)
        types = binding.field_types(mapping)
    except ConfigurationError:
        return {}
    return {name: (types[name], objection) for name, objection in editing.legal(mapping).items()}


def edit(
    site: Site, mapping: Mapping, key: str, values: Values[str, Any], *, by: str, reason: str | None = None
) -> None:
    """The next run sends these values in place of the mapped ones, unless the record changes at its source before.

    values: field of the target -> JSON value or its text; None clears. Raises ConfigurationError for a record that is
    not rejected, a field the mapping does not have or that may not be edited, and a value of another type.
    """
    editing.refuse_illegal(mapping, binding.field_types(mapping), values)
    site.ledger.edit_reject(mapping.leg, key=key, values=dict(values), by=by, reason=reason, personal=mapping.personal)
    recording.note_said(site, mapping.leg)


def mapping_of(leg: str) -> Mapping:
    """The mapping of a leg, from the folder of the mapping files. Raises ConfigurationError when there is none."""
    paths = sorted(places.mappings().rglob("*.yaml"))
    for path in sorted(paths, key=lambda item: item.stem != leg):
        if path.stem == leg or f"leg: {leg}" in path.read_text(encoding="utf-8"):
            found = mapping_file.load(path)
            if found.leg == leg:
                return found
    known = ", ".join(path.stem for path in paths) or "none"
    raise ConfigurationError(f"no mapping of leg {leg!r} below {places.mappings()}; there are: {known}")
