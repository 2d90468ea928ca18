"""Forgetting a record from its page: first what would go, then, once that is confirmed, it goes.

It reaches into every leg, so it needs the right to trigger runs of all flows, not only of those that know the record.
"""

from __future__ import annotations

from fastapi import HTTPException
from fastapi.responses import HTMLResponse, RedirectResponse

from commerce_sync import forget as erasing
from commerce_sync.errors import ConfigurationError
from commerce_sync.monitor import catalogue, explaining, page
from commerce_sync.monitor.access import Reader, Visit, Writer
from commerce_sync.monitor.masking import masked_key

ALL_FLOWS: tuple[str, ...] = ()
"""No leg in particular: the right is asked for all flows."""
WORDS = {
    "runs": "rows and payloads in batches of runs, before-images among them",
    "stores": "records and figures in the replicas",
    "markers": "markers and agreed values",
    "history": "messages of the history",
    "pages": "gate pages that name it",
    "ledger_alert": "alerts that name it",
    "ledger_alias": "names from before a merge",
    "ledger_answer": "what people said about it",
    "ledger_conflict": "conflicts",
    "ledger_event": "events of the inbox",
    "ledger_feed": "cursors of feeds that name it",
    "ledger_hold": "holds",
    "ledger_job": "remote jobs that name it",
    "ledger_receipt": "receipts that name it",
    "ledger_reject": "rejects",
    "ledger_run": "messages of runs that name it",
}


def ask(visit: Reader) -> HTMLResponse:
    """What would go. 403 for those who may not."""
    _demand(visit)
    key = _key(visit.asked("key"))
    try:
        found = erasing.forget(explaining.site(), key, dry_run=True)
    except ConfigurationError as error:
        raise HTTPException(400, f"{error}.") from error
    return page.show(
        visit, "forget", tab="explain", title="Forget", key=key, shown=masked_key(key, None), found=found,
        names=[masked_key(name, None) for name in found.known_as], known=catalogue.read(), words=WORDS,
    )  # fmt: skip


def forget(visit: Writer) -> RedirectResponse:
    """Erase it, once it is confirmed. 400 without a confirmation."""
    _demand(visit)
    key = _key(visit.given("key"))
    if visit.given("confirmed") != "yes":
        raise HTTPException(400, "Nothing was erased. Tick that you mean it: what is erased cannot be brought back.")
    found = erasing.forget(explaining.site(), key, by=visit.name)
    return page.back(
        visit, "explain", done="forgotten" if found.done else "forgotten_later", rows=sum(found.gone.values())
    )


def _demand(visit: Visit) -> None:
    if not visit.may_change(ALL_FLOWS):
        raise HTTPException(
            403, f"{visit.name} may not forget records: that needs the right to trigger runs of all flows."
        )


def _key(text: str) -> str:
    if not text:
        raise HTTPException(400, "Which record? Explain it first, then choose Forget there.")
    return text
