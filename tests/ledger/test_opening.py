"""Opening a ledger: from nothing to the newest revision, by any number of processes, on both databases."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import sqlalchemy as sa
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory

from commerce_sync.errors import ConfigurationError, RetryableError
from commerce_sync.ledger import Ledger, database
from commerce_sync.ledger.tables import VERSION_TABLE, metadata

SPEND = """
import sys
from commerce_sync.ledger import Ledger
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
for _ in range(10):
    ledger.spend("salesforce", 1)
"""

FORK = """
import os, sys
from commerce_sync.ledger import Ledger
ledger = Ledger.open(sys.argv[1], files=sys.argv[2])
ledger.spend("salesforce", 1)
child = os.fork()
ledger.spend("salesforce", 2)
if child:
    print(os.waitpid(child, 0)[1])
    ledger.spend("salesforce", 4)
"""


def test_the_migrations_make_exactly_the_tables_of_the_models(url, tmp_path):
    Ledger.open(url, files=str(tmp_path))
    with database.reading(database.connect(url)) as connection:
        context = MigrationContext.configure(connection, opts={"version_table": VERSION_TABLE})
        assert compare_metadata(context, metadata) == []


def test_the_newest_file_is_the_newest_revision(url):
    with database.connect(url).connect() as connection:
        script = ScriptDirectory.from_config(database.alembic_config(connection))
    assert script.get_heads() == [database.head()]


def test_the_migrations_can_be_taken_back(url, tmp_path):
    from alembic import command

    Ledger.open(url, files=str(tmp_path))
    with database.writing(database.connect(url)) as connection:
        command.downgrade(database.alembic_config(connection), "base")
        assert set(sa.inspect(connection).get_table_names()) <= {VERSION_TABLE}


def test_many_processes_open_a_fresh_ledger_at_once_and_lose_no_write(url, tmp_path, processes):
    processes(SPEND, url, str(tmp_path), number=6)
    assert Ledger.open(url, files=str(tmp_path)).spent("salesforce") == 60


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_a_forked_child_can_use_the_ledger_its_parent_opened(url, tmp_path, processes):
    assert processes(FORK, url, str(tmp_path), number=1) == ["0"]
    assert Ledger.open(url, files=str(tmp_path)).spent("salesforce") == 9


def test_a_database_newer_than_the_program_is_refused(url, tmp_path):
    Ledger.open(url, files=str(tmp_path))
    engine = database.connect(url)
    with database.writing(engine) as connection:
        connection.exec_driver_sql(f"UPDATE {VERSION_TABLE} SET version_num = '9999'")
    with pytest.raises(ConfigurationError, match="revision 9999.*deploy the newer program"):
        database.migrate(engine)


@pytest.mark.parametrize("wrong", ["sqlite://", "mysql://root@localhost/x", "no url at all"])
def test_a_database_that_cannot_hold_a_ledger_is_refused(wrong, tmp_path):
    with pytest.raises(ConfigurationError, match=r"use sqlite:///path"):
        Ledger.open(wrong, files=str(tmp_path))


def test_an_unreachable_database_is_worth_another_try_and_keeps_its_password(tmp_path):
    with pytest.raises(RetryableError) as caught:
        Ledger.open("postgresql://sync:s3cret@127.0.0.1:1/none", files=str(tmp_path))
    assert "s3cret" not in str(caught.value)


def test_a_ledger_whose_address_has_spaces_and_percent_signs_opens(tmp_path: Path):
    folder = tmp_path / "50% of it"
    ledger = Ledger.open(f"sqlite:///{folder}/ledger.db", files=str(folder))
    assert ledger.spend("salesforce", 4) == 4


def test_sqlite_writes_ahead_and_keeps_foreign_keys(tmp_path):
    engine = database.connect(f"sqlite:///{tmp_path}/ledger.db")
    database.migrate(engine)
    with database.reading(engine) as connection:
        assert connection.exec_driver_sql("PRAGMA journal_mode").scalar() == "wal"
        assert connection.exec_driver_sql("PRAGMA foreign_keys").scalar() == 1
        assert connection.exec_driver_sql("PRAGMA busy_timeout").scalar() == 30_000
