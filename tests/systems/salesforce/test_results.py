"""Result files in every state a job may leave them: each change comes out once, with what is known of it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pytest

from commerce_sync.batches import Batches
from commerce_sync.mapping import Field, Target
from commerce_sync.systems.salesforce import results
from commerce_sync.systems.salesforce.pieces import Piece
from commerce_sync.systems.salesforce.stage import Round, Stage

UPSERT, DELETE = Round("upsert", 0, "true"), Round("delete", 0, "true")
PIECE = Piece(first=0, end=5, rows=5, size_bytes=0, shape=0, waits=False)


class Job:
    """Five changes a..e, and what a job that had them left behind."""

    def __init__(self, folder: Path, kind: str) -> None:
        self.folder, self.batches = folder, Batches(str(folder))
        names = list("abcde")
        table = pa.table({
            "_key": names, "_kind": [kind] * 5, "_target_id": [f"id-{name}" for name in names], "K__c": names,
        })  # fmt: skip
        with self.batches.write("l", "r", "changes") as into:
            into.add(table)
        self.changes = self.batches.read("l", "r", "changes")
        target = Target(system="salesforce", conn_id="x", object="Contact", external_id="K__c", on_delete="delete")
        self.stage = Stage(folder, target, (Field(name="K__c", value="K__c"),), self.changes)

    def settle(self, round_: Round, **files: str) -> tuple[results.Loaded, dict[str, dict[str, Any]]]:
        paths = {kind: self.folder / f"{kind}.csv" for kind in results.KINDS}
        for kind, text in zip(results.KINDS, ("success", "failed", "unprocessed"), strict=True):
            if text in files:
                paths[kind].write_text(files[text])
        with self.batches.write("l", "r", "load") as into:
            if results.deliver(self.stage, round_, PIECE, paths[results.SUCCESS], into) < PIECE.rows:
                results.refuse(self.stage, round_, PIECE, paths, code="UNPROCESSED", reason="in none of the files")
            loaded = results.publish(self.stage, self.changes, into)
        with duckdb.connect() as con:
            rows = con.sql(f"FROM {self.batches.read('l', 'r', 'load').scan()}").to_arrow_table().to_pylist()
        assert sorted(row["_key"] for row in rows) == list("abcde")
        return loaded, {row["_key"]: row for row in rows}


@pytest.fixture
def job(tmp_path: Path) -> Any:
    made: list[Job] = []

    def make(kind: str = "NEW") -> Job:
        made.append(Job(tmp_path, kind))
        return made[-1]

    yield make
    for one in made:
        one.stage.close()


def test_every_row_through_is_one_delivered_row(job: Any) -> None:
    lines = "".join(f'"01t{key}","{str(key == "a").lower()}","{key}"\n' for key in "edcba")
    loaded, rows = job().settle(UPSERT, success=f'"sf__Id","sf__Created","K__c"\n{lines}')
    assert (loaded.delivered, loaded.created) == (5, 1)
    assert {key: row["target_id"] for key, row in rows.items()} == {key: f"01t{key}" for key in "abcde"}


def test_a_row_named_twice_does_not_stand_in_for_one_that_is_missing(job: Any) -> None:
    loaded, rows = job().settle(
        UPSERT,
        success='"sf__Id","sf__Created","K__c"\n"01ta","true","a"\n"01ta","true","a"\n"01tb","false","b"\n',
        failed='"sf__Id","sf__Error","K__c"\n"","STRING_TOO_LONG:too long:K__c --","c"\n'
        '"","UNABLE_TO_LOCK_ROW:locked --","a"\n',
        unprocessed='"K__c"\n"d"\n',
    )
    assert (loaded.delivered, loaded.rejected, loaded.unprocessed, loaded.created) == (2, 1, 2, 1)
    assert {key: row["outcome"] for key, row in rows.items()} == {
        "a": "delivered", "b": "delivered", "c": "rejected", "d": "unprocessed", "e": "unprocessed",
    }  # fmt: skip
    assert (rows["c"]["code"], rows["c"]["fields"], rows["c"]["reason"]) == ("STRING_TOO_LONG", "K__c", "too long")
    assert rows["e"]["reason"] == "in none of the files"


def test_rows_that_were_never_sent_do_not_come_out(job: Any) -> None:
    lines = "".join(f'"01t","true","{key}"\n' for key in "vwxyz")
    loaded, _ = job().settle(UPSERT, success=f'"sf__Id","sf__Created","K__c"\n{lines}')
    assert (loaded.delivered, loaded.unprocessed) == (0, 5)


def test_without_any_file_nothing_was_processed(job: Any) -> None:
    loaded, rows = job().settle(UPSERT)
    assert loaded.unprocessed == 5
    assert {row["target_id"] for row in rows.values()} == {f"id-{key}" for key in "abcde"}


def test_a_delete_of_what_is_gone_already_is_done(job: Any) -> None:
    failed = "".join(f'"id-{key}","ENTITY_IS_DELETED:entity is deleted:--","id-{key}"\n' for key in "cd")
    success = "".join(f'"id-{key}","false","id-{key}"\n' for key in "abc")
    loaded, rows = job("DELETED").settle(
        DELETE,
        success=f'"sf__Id","sf__Created","Id"\n{success}',
        failed=f'"sf__Id","sf__Error","Id"\n{failed}"id-e","INSUFFICIENT_ACCESS:no:--","id-e"\n',
    )
    assert (loaded.delivered, loaded.rejected) == (4, 1)
    assert rows["e"]["reason_class"] == "permission"
