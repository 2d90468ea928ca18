"""A ledger and a history as weeks of work leave them, made up in seconds, for the monitor to be looked at and timed.

Everything goes in through the ledger's and the history's own doors, except for runs, which those date themselves.
"""

from __future__ import annotations

import json
import random
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb
import sqlalchemy as sa

from commerce_sync import gate_page
from commerce_sync.gate_page import CheckResult, GateResult
from commerce_sync.history import History
from commerce_sync.ledger import COUNTS, Ledger, Receipt
from commerce_sync.ledger.tables import CONFLICT, HOLD, LEG, REJECT, RUN

STEPS = ("extract", "map_changes", "check", "load", "commit")
LATE, RED, STOPPED = "purchase_history_to_accounts", "approved_media_to_shop", "assets_to_media_texts"
NEVER = ("repair_carts", "context_to_device_tags")
SIZES = {
    "units_to_accounts": 9, "households_to_accounts": 204, "b2b_customers_to_contacts": 43,
    "customers_to_contacts": 2_469, "accounts_to_units": 9, "accounts_to_addresses": 9, "contacts_to_customers": 2_300,
    "contacts_to_b2b_customers": 43, "contacts_to_addresses": 2_300, "activity_to_contacts": 2_469,
    "carts_to_accounts": 60, "interests_to_opportunities": 12, "interests_to_leads": 20, "quotes_to_opportunities": 14,
    "agreements_to_price_rows": 5_200, "account_terms_to_units": 9, "account_owners_to_units": 9,
    "order_exceptions_to_cases": 380, "orders_to_orders": 16_246, "order_entries_to_order_items": 148_755,
    "consignments_to_shipments": 15_900, "return_requests_to_returns": 310, LATE: 213, "buying_intent_to_tasks": 23,
    "campaigns_to_groups": 27, "campaign_members_to_groups": 1_300, RED: 8_400, "approved_media_to_channels": 8_400,
    STOPPED: 8_400, "placements_to_assets": 6_100, "product_facts_to_assets": 9_233,
    "media_decisions_to_history": 8_900, "insights_to_product_features": 1_100, "condition_offers_to_groups": 340,
    "repair_carts": 0,
    "context_to_device_tags": 0,
}  # fmt: skip
"""Leg -> records it keeps in step."""
REFUSED = (
    ("customers_to_contacts", "duplicate", "DUPLICATES_DETECTED", "rejected", 14,
     "Use one of these records? 003Bq00000Gx{n:04d} has the same e-mail ***", "Email", 2),
    ("customers_to_contacts", "validation", "ExpectColumnValuesToMatchRegex", "quarantined", 9,
     "Email does not match ^[^@\\s]+@[^@\\s]+\\.[^@\\s]+$", "Email", 0),
    ("b2b_customers_to_contacts", "reference", "INVALID_FIELD", "rejected", 3,
     "Foreign key external ID: u-{n:03d} not found for field Commerce_Unit__c in entity Account", "AccountId", 1),
    ("customers_to_contacts", "validation", "STRING_TOO_LONG", "parked", 2,
     "Last Name: data value too large: *** (max length=80)", "LastName", 5),
    ("order_entries_to_order_items", "lock", "UNABLE_TO_LOCK_ROW", "rejected", 41,
     "unable to obtain exclusive access to this record or 1 records: 801Bq00000{n:05d}", "", 1),
    ("agreements_to_price_rows", "validation", "price_is_plausible", "quarantined", 6,
     "price_is_plausible is not true: the new price differs from the one before by more than half", "price", 0),
    (RED, "permission", "403", "rejected", 120,
     "catalog version productCatalog:Staged may not be written by user integration-media", "catalogVersion", 3),
    ("placements_to_assets", "transient", "503", "rejected", 7, "Service Unavailable, Retry-After 30", "", 1),
    ("interests_to_leads", "unknown", "", "parked", 1,
     "<script>alert('lead')</script> & \"quotes\" in an answer", "", 5),
)  # fmt: skip
"""Leg, reason class, code, status, rows, what the far side says, fields it names, attempts."""


@dataclass(frozen=True, slots=True)
class Scene:
    """Where the made-up ledger stands: its time, how long it has run, how many rows its history has."""

    now: datetime
    days: int = 7
    minutes: int = 30
    history_rows: int = 20_000


def fill(ledger: Ledger, history: History, pages: Path, *, scene: Scene) -> None:
    """Everything a page can show."""
    chance = random.Random(7)
    runs = sorted(_runs(scene, chance), key=lambda run: run["started"])
    _insert(ledger, RUN, runs)
    _insert(ledger, LEG, [_state(ledger, leg, scene) for leg in SIZES if leg not in NEVER])
    _insert(ledger, REJECT, list(_rejects(scene)))
    _insert(ledger, CONFLICT, list(_conflicts(scene)))
    _insert(ledger, HOLD, list(_holds(scene)))
    _jobs(ledger, runs)
    _receipts(ledger, scene, chance)
    _gates(pages, runs)
    write_history(history, runs, rows=scene.history_rows)


def _insert(ledger: Ledger, table: sa.Table, rows: Sequence[dict[str, Any]]) -> None:
    with ledger._engine.execution_options(ledger_writes=True).begin() as connection:
        for start in range(0, len(rows), 5_000):
            connection.execute(sa.insert(table), list(rows[start : start + 5_000]))


def _runs(scene: Scene, chance: random.Random) -> Iterator[dict[str, Any]]:
    """Oldest first: runs of every leg on its beat, as far as the scene goes."""
    beats = scene.days * 24 * 60 // scene.minutes
    for leg, size in SIZES.items():
        for beat in range(beats if leg not in NEVER else 0):
            age = timedelta(minutes=scene.minutes * (beats - beat) - 8)
            if leg == LATE and age < timedelta(hours=5):
                continue
            at = scene.now - age + timedelta(seconds=chance.randrange(60))
            yield _run(leg, size, at=at, number=beat, last=beat == beats - 1, chance=chance)


def _run(leg: str, size: int, *, at: datetime, number: int, last: bool, chance: random.Random) -> dict[str, Any]:
    complete = at.hour == 2 and at.minute < 30
    # Drawn whether needed or not: what comes after must not depend on the hour at which the scene is made.
    some, few = chance.randrange(max(2, size // 90)), chance.randrange(max(2, size // 180))
    refused = sum(row[4] for row in REFUSED if row[0] == leg and row[3] == "rejected")
    shown = 3 * refused if last else 0
    read = size if complete else max(some, shown)
    sent = min(read, size if number == 0 else max(few, shown))
    rejected = min(sent, refused if last else chance.choice((0, 0, 0, 1, 2)))
    quarantined = min(read - sent, chance.choice((0, 0, 0, 0, 1)))
    status, message, settled = "green", None, number + 1
    if last and leg == RED:
        read, sent, rejected, quarantined, status = 131, 131, 120, 0, "red"
        message = (
            f"leg {leg}: 120 rejected and 0 unprocessed of 131 sent rows is more than max_rejected allows; what "
            'arrived is kept, the others are offered again. Reasons: {"permission/403": 120}'
        )
    if last and leg == STOPPED:
        read, sent, rejected, quarantined, status, settled = 640, 0, 0, 610, "stopped", None
        message = (
            f"leg {leg}: gate: 610 of 640 changes fail alt_text_is_there, more than max_quarantined allows (64); "
            "nothing was sent. Look at the gate's result, correct the values or raise the limit"
        )
    counts = dict.fromkeys(COUNTS, 0) | {
        "read": read,
        "extracted": read,
        "quarantined": quarantined,
        "sent": sent,
        "rejected": rejected,
        "delivered": sent - rejected,
        "unchanged": read - sent - quarantined,
        "modified": sent,
    }
    took = 2.5 + sent / 900
    return {
        "leg": leg,
        "run": f"scheduled__{at.isoformat(timespec='seconds')}",
        "kind": "complete" if complete else "changes",
        "mapping_version": 1,
        "since": None if complete else at - timedelta(minutes=35),
        "until": at,
        "started": at,
        "ended": at + timedelta(seconds=took),
        "status": status,
        "settled_version": settled,
        **counts,
        "digest": f"{chance.getrandbits(64):016x}",
        "calls": {"sap_commerce": 1 + read // 1000, "salesforce": 2 + sent // 200},
        "seconds": {step: round(took / len(STEPS), 3) for step in (STEPS if sent else STEPS[:1])},
        "message": message,
    }


def _markers(ledger: Ledger, leg: str) -> dict[str, Any]:
    """Files of markers that say every record has arrived."""
    with duckdb.connect() as con:
        rows = f"""SELECT {_key(leg)} AS key, range::UBIGINT AS fingerprint, printf('001Bq%010d', range) AS target_id,
            false AS gone FROM range({min(SIZES[leg], 5_000)})"""
        return asdict(ledger.stage_delta(leg, con, rows))


def _state(ledger: Ledger, leg: str, scene: Scene) -> dict[str, Any]:
    high = scene.now - (timedelta(hours=5, minutes=12) if leg == LATE else timedelta(minutes=8))
    return {
        "leg": leg,
        "version": 300,
        "high_water": None if leg.startswith("campaign") else high,
        "complete_at": scene.now.replace(hour=2, minute=0),
        "markers": {"base": [_markers(ledger, leg)], "deltas": []},
        "carry": None,
        "replica": {},
        "retired": [],
        "mapping_version": 1,
        "updated": high,
    }


def _rejects(scene: Scene) -> Iterator[dict[str, Any]]:
    for leg, reason_class, code, status, rows, reason, fields, attempts in REFUSED:
        for number in range(rows):
            age = timedelta(minutes=8 + 37 * number)
            again = scene.now + timedelta(minutes=5 * 2**attempts) if status == "rejected" else None
            yield {
                "leg": leg,
                "key": f"{leg[:1].upper()}{code[:1] or '0'}{number:07d}",
                "status": status,
                "code": code or None,
                "reason_class": reason_class,
                "reason": reason.format(n=number),
                "fields": fields or None,
                "payload": json.dumps(_payload(leg, number)),
                "fingerprint": number,
                "attempts": attempts,
                "next_attempt": again,
                "first_run": f"scheduled__{(scene.now - 2 * age).isoformat(timespec='seconds')}",
                "last_run": f"scheduled__{(scene.now - age).isoformat(timespec='seconds')}",
                "updated": scene.now - age,
            }


def _payload(leg: str, number: int) -> dict[str, Any]:
    if leg == "customers_to_contacts":
        return {
            "Commerce_Id__c": f"C{number:07d}",
            "Commerce_Uid__c": "***",
            "FirstName": "***",
            "LastName": "***",
            "Salutation": "Mrs.",
            "Email": "***",
            "Phone": None,
            "MailingStreet": "***",
            "MailingCity": "Berlin",
            "MailingPostalCode": "10115",
            "MailingCountry": "DE",
            "Commerce_Language__c": "de",
            "Commerce_Active__c": True,
            "Registered_At__c": "2026-03-02T09:15:00",
            "AccountId": f"C{number:07d}",
        }
    return {
        "code": f"{leg[:3]}-{number:05d}",
        "name": f"Record {number}",
        "price": 12.5 + number,
        "active": number % 2 == 0,
    }


def _conflicts(scene: Scene) -> Iterator[dict[str, Any]]:
    known = (
        ("people", "customers_to_contacts", "phone", "+49 30 5550 {n:03d}", "+49 30 5551 {n:03d}"),
        ("people", "customers_to_contacts", "town", "Berlin", "Potsdam"),
        ("people", "customers_to_contacts", "name", "Ada Example {n}", "Ada Sample {n}"),
        ("units", "accounts_to_units", "name", "Upton Bakery Inc", "Upton Bakeries"),
        ("people", "contacts_to_addresses", "postal_code", "10115", None),
    )
    for number in range(38):
        pair, leg, field, kept, lost = known[number % len(known)]
        at = scene.now - timedelta(hours=3 * number)
        texts = {"kept": kept.format(n=number), "lost": lost.format(n=number) if lost else None}
        yield {
            "pair": pair,
            "key": f"C{number:07d}",
            "field": field,
            "owner": "salesforce" if pair == "units" else "sap_commerce",
            "losing": "sap_commerce" if pair == "units" else "salesforce",
            **texts,
            "digest": f"d{number}",
            "leg": leg,
            "run": f"scheduled__{at.isoformat(timespec='seconds')}",
            "status": "open" if number < 23 else "resolved",
            "seen": 1 + number % 4,
            "first_at": at - timedelta(hours=2),
            "last_at": at,
        }


def _holds(scene: Scene) -> Iterator[dict[str, Any]]:
    for number in range(7):
        at = scene.now - timedelta(minutes=38 + 11 * number)
        answered = number == 6
        yield {
            "leg": "agreements_to_price_rows",
            "key": f"PA-{2000 + number}",
            "fingerprint": number,
            "run": f"scheduled__{at.isoformat(timespec='seconds')}",
            "status": "approved" if answered else "waiting",
            "asked_at": at,
            "answered_at": scene.now if answered else None,
            "answered_by": "ada" if answered else None,
            "reason": "agreed with sales" if answered else "unusual price: 62 % below the list price",
            "payload": json.dumps(
                {
                    "product": f"10{number:04d}",
                    "price": 3.19,
                    "currency": "USD",
                    "unit": "pieces",
                    "customer": "u-014",
                    "minqtd": 10,
                }
            ),
        }


def _jobs(ledger: Ledger, runs: Sequence[dict[str, Any]]) -> None:
    newest = next(run for run in reversed(runs) if run["leg"] == "customers_to_contacts")
    jobs = ledger.jobs(newest["leg"], newest["run"])
    jobs.update(jobs.plan("upsert-1"), remote_id="750Bq000001xYzAIAU", state="JobComplete")


def _receipts(ledger: Ledger, scene: Scene, chance: random.Random) -> None:
    for number in range(140):
        at = scene.now - timedelta(minutes=9 * (140 - number))
        source = ("sap_commerce", "iconik", "opentext_iot")[number % 3]
        fails = number % 29 == 0
        events = 0 if fails else 1 + chance.randrange(6)
        ledger.note_receipt(
            Receipt(
                at=at,
                source=source,
                kind="outbound" if source == "sap_commerce" else "webhook",
                status=401 if fails else 200,
                reason="signature" if fails else None,
                size_bytes=420 + chance.randrange(9000),
                took_ms=4 + 9 * chance.random(),
                events=events,
                new=max(events - 1, 0),
                doubled=min(events, 1),
                types=() if fails else ("asset.changed",) if source == "iconik" else ("order.changed",),
            )
        )


def _gates(pages: Path, runs: Sequence[dict[str, Any]]) -> None:
    """Pages of the last few runs that had something to send."""
    for run in [run for run in runs if run["sent"] or run["quarantined"] or run["message"]][-160:]:
        changes, stopped = run["sent"] + run["quarantined"], run["status"] == "stopped"
        checks = (
            CheckResult(
                "ExpectColumnValuesToMatchRegex",
                "changes",
                ("Email",),
                "regex: ^[^@]+@[^@]+$",
                changes,
                run["quarantined"],
                not run["quarantined"],
                "stop" if stopped else "quarantine",
            ),
            CheckResult(
                "ExpectTableRowCountToBeBetween", "source", (), "min_value: 1", 0, 0, True, "stop", str(run["read"])
            ),
        )
        address = gate_page.address(pages, leg=run["leg"], run=run["run"])
        why = run["message"] if stopped else ""
        gate_page.write(GateResult(run["leg"], run["run"], changes, run["quarantined"], 64, checks, why, address, 1.25))


def write_history(history: History, runs: Sequence[dict[str, Any]], *, rows: int) -> None:
    """About ``rows`` messages, spread over the runs as these delivered and refused; the last run of a leg as it was."""
    factor = rows / max(sum(run["delivered"] + run["rejected"] for run in runs), 1)
    last = {run["leg"]: run["run"] for run in runs}
    Path(history.files.root).mkdir(parents=True, exist_ok=True)
    with duckdb.connect() as con:
        con.execute("SET TimeZone = 'UTC'")
        for number, run in enumerate(runs):
            if number == len(runs) * 19 // 20:
                history.sweep(now=run["started"])  # as the maintenance does every night
            share = 1 if run["run"] == last[run["leg"]] and factor < 1 else factor
            delivered, refused = (round(share * run[name]) for name in ("delivered", "rejected"))
            if delivered or refused:
                _write_run(con, history, run, delivered=delivered, refused=refused)
    for leg in history.files.legs():
        history.merge(leg)  # as commits do


def _key(leg: str) -> str:
    """SQL of a key from ``range``: people have those of the shop, everything else one that begins like its leg."""
    people = any(word in leg for word in ("customer", "contact", "household", "carts", "activity"))
    return f"printf('{'C' if people else leg[:2].upper() + '-'}%07d', range)"


def _write_run(
    con: duckdb.DuckDBPyConnection, history: History, run: dict[str, Any], *, delivered: int, refused: int
) -> None:
    draft, key = Path(history.files.root) / "draft.parquet", _key(run["leg"])
    if delivered:
        con.execute(f"""COPY (SELECT {key} AS key, 'MODIFIED' AS kind, printf('001Bq%010d', range) AS target_id,
            range % 50 = 17 AS created, 1::INTEGER AS attempt, '750Bq000001xYzAIAU' AS job, NULL::VARCHAR AS message_id
            FROM range({refused}, {refused + delivered}) ORDER BY key)
            TO '{draft}' (FORMAT parquet, COMPRESSION zstd)""")
    known = ((row[2], row[1], row[5]) for row in REFUSED if row[0] == run["leg"])
    code, kind, reason = next(known, ("400", "unknown", "no"))
    errors = f"""SELECT {key} AS key, 'MODIFIED' AS kind, NULL::VARCHAR AS target_id, NULL::BOOLEAN AS created,
        2::INTEGER AS attempt, '750Bq000001xYzAIAU' AS job, NULL::VARCHAR AS message_id, 'rejected' AS outcome,
        '{code}' AS code, '{kind}' AS reason_class, $reason AS reason,
        $payload AS payload FROM range({refused})"""
    texts = {"$reason": reason.format(n=1), "$payload": json.dumps(_payload(run["leg"], 1))}
    for name, text in texts.items():
        errors = errors.replace(name, "'" + text.replace("'", "''") + "'")
    history.write(
        con,
        leg=run["leg"],
        run=run["run"],
        at=run["ended"],
        delivered=(str(draft), delivered) if delivered else None,
        refused=errors,
    )
    draft.unlink(missing_ok=True)
