"""Batches on S3, against a server that speaks its protocol: what one worker wrote another one reads at once."""

from __future__ import annotations

import uuid
import warnings
from collections.abc import Iterator

import pyarrow as pa
import pytest

from commerce_sync.batches import Batches

ENVIRONMENT = {"AWS_ACCESS_KEY_ID": "test", "AWS_SECRET_ACCESS_KEY": "test", "AWS_DEFAULT_REGION": "us-east-1"}


@pytest.fixture(scope="module")
def s3() -> Iterator[str]:
    """Root of batches in a fresh bucket."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        import s3fs
        from moto.server import ThreadedMotoServer
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    with pytest.MonkeyPatch.context() as patch:
        for name, value in (ENVIRONMENT | {"AWS_ENDPOINT_URL": f"http://{host}:{port}"}).items():
            patch.setenv(name, value)
        s3fs.S3FileSystem().mkdir("bucket")
        yield "s3://bucket/batches"
        s3fs.S3FileSystem.clear_instance_cache()
    server.stop()


@pytest.fixture
def run() -> str:
    return f"manual__{uuid.uuid4().hex}+00:00"


def test_a_batch_is_written_read_extended_and_removed(s3: str, run: str) -> None:
    batches = Batches(s3)
    with batches.write("leg", run, "load") as into:
        into.add(pa.table({"_key": ["a", "b"]}))
        into.facts["seen"] = 2
    with batches.extend("leg", run, "load") as into:
        into.copy(batches.connect(), "SELECT 'c' AS _key")
    found = batches.read("leg", run, "load")
    con = batches.connect()
    assert con.execute(f"SELECT _key FROM {found.scan()} ORDER BY 1").fetchall() == [("a",), ("b",), ("c",)]
    assert (found.rows, found.facts) == (3, {"seen": 2})
    batches.remove(found.uri)
    assert batches.find("leg", run, "load") is None


def test_what_another_worker_wrote_is_there_at_once(s3: str, run: str) -> None:
    here, there = Batches(s3), Batches(s3)
    there._fs = type(here._fs)(skip_instance_cache=True, use_listings_cache=False)
    assert here.find("leg", run, "load") is None
    with here.write("leg", run, "changes") as into:
        into.add(pa.table({"_key": ["a"]}))
    here._fs.ls(here.address("leg", run, "changes"))
    with there.write("leg", run, "changes") as into:
        into.add(pa.table({"_key": ["b", "c"]}))
    with there.write("leg", run, "load") as into:
        into.add(pa.table({"_key": ["b", "c"]}))
    assert here.read("leg", run, "changes").rows == 2
    assert here.read("leg", run, "load").rows == 2
    assert here.remove_all(here.address("leg", run, "x").rpartition("/")[0], but=("load",)) == 1
    assert here.find("leg", run, "changes") is None
