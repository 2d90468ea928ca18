"""Forgetting: nothing of the record is found in any byte that we hold, and what is not hers stays."""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import Any

import pytest

from commerce_sync import forget, forget_files
from commerce_sync.errors import ConfigurationError
from commerce_sync.explain import explain
from commerce_sync.ledger.tombstones_rows import Erasing
from flows.walking import CONTACTS, CUSTOMERS, HOUSEHOLDS
from privacy.life import KEY, LOG, OLD, SECRETS, UID, UNIT, Life, rows_of, scan

TABLES = (
    "ledger_alert", "ledger_alias", "ledger_answer", "ledger_conflict", "ledger_event", "ledger_feed", "ledger_hold",
    "ledger_job", "ledger_receipt", "ledger_reject", "ledger_run",
)  # fmt: skip
STORES = ("runs", "stores", "markers", "history", "pages", "manifests", *TABLES, "freed pages")


def found(life: Life) -> set[str]:
    return {secret for _path, secret in scan(life.walk.folder)}


def test_before_she_is_forgotten_the_scan_finds_her_everywhere(life: Life) -> None:
    """A scan that finds nothing proves nothing unless it can find."""
    where = {path.split("/")[0] + "/" + "/".join(path.split("/")[1:2]) for path, _secret in scan(life.walk.folder)}
    assert {
        "batches/runs",
        "batches/stores",
        "batches/markers",
        "batches/history",
        "pages/customers_to_contacts",
    } <= where
    assert any(path.startswith("ledger.db") for path in where)
    assert found(life) == set(SECRETS)


def test_nothing_of_her_is_found_once_she_is_forgotten(life: Life) -> None:
    told = forget.forget(life.site, KEY, by="anna", dry_run=True)
    assert found(life) == set(SECRETS), "a dry run touches nothing"
    done = forget.forget(life.site, KEY, by="anna")
    assert list(scan(life.walk.folder)) == []
    assert done.done
    assert done.gone == told.gone, "the dry run said what would go"
    assert {"runs", "stores", "markers", "history", "pages", *TABLES} <= done.gone.keys()
    assert {KEY, OLD, UID} <= set(done.known_as)
    assert not explain(life.site, KEY).known
    assert not explain(life.site, UID).known


def test_what_we_log_never_names_her(life: Life) -> None:
    assert (life.walk.folder / LOG).stat().st_size > 0
    assert [secret for path, secret in scan(life.walk.folder / "logs")] == []


@pytest.mark.parametrize("name", [UID, OLD, "contact", "UPPER"])
def test_any_name_of_hers_leads_to_all_of_her(life: Life, name: str) -> None:
    names = {"contact": str(life.walk.markers(CONTACTS)[KEY]["target_id"]), "UPPER": UID.upper()}
    forget.forget(life.site, names.get(name, name), by="anna")
    assert list(scan(life.walk.folder)) == []


def test_what_is_not_hers_stays(life: Life) -> None:
    """Other customers, the company, and its order that she had placed: without her."""
    before = {leg: set(life.walk.markers(leg)) for leg in (CONTACTS, HOUSEHOLDS)}
    assert KEY in [row["_key"] for row in rows_of(life, f"runs/{CONTACTS}/run-1/before")]
    others = {row["_key"] for row in rows_of(life, "stores") if "_key" in row and row["_key"] not in (KEY, UID)}
    forget.forget(life.site, KEY, by="anna")
    assert {leg: set(life.walk.markers(leg)) for leg in before} == {leg: keys - {KEY} for leg, keys in before.items()}
    rows = rows_of(life, "stores")
    left = {row["_key"] for row in rows if "_key" in row}
    gone = {key for key in others - left if "C000" in key or key.startswith("OBOTH") or key == UNIT}
    assert gone == set()
    ordered = [row for row in rows if row.get("code") == "OBOTH" and "user" in row]
    assert ordered
    assert {row["user"]["customerID"] for row in ordered} == {None}
    assert all(row["unit"]["uid"] == UNIT for row in ordered), "the company's order stays the company's"
    figure = next(row for row in rows if row.get("owner") == UNIT and "contact" in row and row.get("rows") == 7)
    assert (figure["contact"], figure["uid"]) == (None, None)
    images = [row["_key"] for row in rows_of(life, f"runs/{CONTACTS}/run-1/before")]
    assert sorted(images) == ["C0001", "C0002", "C0003"], "what the targets held of the others can still be put back"


def test_forgetting_twice_is_forgetting_once(life: Life) -> None:
    forget.forget(life.site, KEY, by="anna")
    again = forget.forget(life.site, KEY, by="anna")
    assert (again.gone, again.done) == ({}, True)
    assert len(life.ledger.tombstones()) == 1


@pytest.mark.parametrize("store", STORES)
def test_a_store_that_is_left_out_is_found_by_the_scan(life: Life, store: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """The scan is worth something: it notices each store that would not be erased."""
    leave_out(store, monkeypatch)
    forget.forget(life.site, KEY, by="anna")
    assert found(life), f"nobody noticed that {store} was left out"


def leave_out(store: str, patch: pytest.MonkeyPatch) -> None:
    def nothing(*_given: Any) -> int:
        return 0

    below, table, file = forget_files._erase_below, Erasing._from_table, forget_files._erase_file
    if store in ("stores", "markers"):
        patch.setattr(
            forget_files, "_erase_below", lambda work, root, name: None if name == store else below(work, root, name)
        )
    elif store == "freed pages":
        patch.setattr(Erasing, "scour", lambda _self: "")
        # Some builds of SQLite overwrite by themselves.
        patch.setattr("commerce_sync.ledger.tombstones_rows._secure",
                      lambda connection: connection.exec_driver_sql("PRAGMA secure_delete = OFF"))  # fmt: skip
    elif store in TABLES:
        patch.setattr(
            Erasing, "_from_table",
            lambda self, which, *given, **options: 0 if which.name == store else table(self, which, *given, **options),
        )  # fmt: skip
    else:
        name = {"manifests": "_erase_manifest", "runs": "_erase_runs", "history": "_erase_history"}.get(
            store, "_erase_pages"
        )
        patch.setattr(forget_files, name, nothing)
    assert file


@pytest.mark.parametrize("at", [1, 2, 5, 20, 60, 120])
def test_killed_in_the_middle_it_is_finished_by_doing_it_again(
    life: Life, at: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Whatever died, and whoever goes on: the same command, or the night with nothing but the tombstone."""
    with pytest.MonkeyPatch.context() as patch:
        _die_at(at, patch)
        with pytest.raises(KeyboardInterrupt):
            forget.forget(life.site, KEY, by="anna")
    assert [item.erased_at for item in life.ledger.tombstones(pending=True)] == [None]
    if at % 2:
        forget.forget(life.site, KEY, by="anna")
    else:
        assert forget.erase_pending(life.site) == 1
    assert list(scan(life.walk.folder)) == []
    assert life.ledger.tombstones(pending=True) == []


def _die_at(number: int, patch: pytest.MonkeyPatch) -> None:
    """The process is killed at the n-th change it makes to a file or a row."""
    made = 0

    def dying(real: Callable[..., Any]) -> Callable[..., Any]:
        def call(*given: Any, **options: Any) -> Any:
            nonlocal made
            made += 1
            if made == number:
                raise KeyboardInterrupt
            return real(*given, **options)

        return call

    patch.setattr(os, "replace", dying(os.replace))
    patch.setattr("commerce_sync.ledger.tombstones_rows._erase", dying(_real_erase()))


def _real_erase() -> Callable[..., Any]:
    from commerce_sync.ledger import tombstones_rows

    return tombstones_rows._erase


def test_a_run_at_work_keeps_what_it_has_until_it_ends(life: Life) -> None:
    work = life.walk.begin(CONTACTS, "complete", "at-work")
    with work.write("changes") as into:
        into.add(_row_of(life))
    done = forget.forget(life.site, KEY, by="anna")
    assert (done.done, done.waits) == (False, (f"{CONTACTS}/at-work",))
    assert found(life), "it is still at work"
    assert forget.erase_pending(life.site) == 0
    life.ledger.update(work.run, status="stopped", message="killed")
    assert forget.erase_pending(life.site) == 1
    assert found(life) == set()


def _row_of(life: Life) -> Any:
    import pyarrow as pa

    return pa.table({"_key": [KEY], "Email": [UID]})


def test_in_one_leg_she_is_forgotten_in_that_leg_only(life: Life) -> None:
    forget.forget(life.site, KEY, by="anna", leg=HOUSEHOLDS)
    assert KEY not in life.walk.markers(HOUSEHOLDS)
    assert KEY in life.walk.markers(CONTACTS)
    held = [path for path, secret in scan(life.walk.folder, (KEY,)) if HOUSEHOLDS in path]
    assert held == []


def test_a_key_that_could_be_anything_is_refused(life: Life) -> None:
    with pytest.raises(ConfigurationError, match="could be any value"):
        forget.forget(life.site, "7", by="anna")
    with pytest.raises(ConfigurationError, match="no leg reads or writes system 'sap'"):
        forget.forget(life.site, KEY, by="anna", system="sap")
    assert life.ledger.tombstones() == []


def test_the_tombstone_says_nothing_of_whom_it_is_about(life: Life) -> None:
    forget.forget(life.site, KEY, by="anna")
    (stone,) = life.ledger.tombstones()
    assert (stone.by, stone.scope, stone.erased_at is not None) == ("anna", "*", True)
    raw = (life.walk.folder / "ledger.db").read_bytes()
    assert KEY.encode() not in raw
    assert CUSTOMERS, "the flows are walked by other files"
