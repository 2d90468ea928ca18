"""Events as they came -> Arrow columns, and the SQL that makes events of our words of them.

A message id alone identifies nothing: devices are known that send every message under one id. So an event's id is a
hash of device, type, message id, time and content; the same message delivered twice has the same id.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import msgspec
import pyarrow as pa

from commerce_sync.systems.opentext_iot.documents import Document, dig, moment_of
from commerce_sync.systems.opentext_iot.profile import EventSearch, Times

if TYPE_CHECKING:
    import duckdb

RAW = pa.schema(
    [
        ("message_id", pa.string()), ("device_id", pa.string()), ("type_id", pa.string()), ("stream_id", pa.string()),
        ("received_ms", pa.int64()), ("occurred", pa.string()), ("payload", pa.string()), ("raw", pa.string()),
        ("problem", pa.string()),
    ]
)  # fmt: skip
UNMAPPED = "unmapped"
NO_TYPE = "unknown event template"
Told = tuple[str | None, str | None, str | None]


def raw_table(items: Sequence[Document], spec: EventSearch, *, times: Times) -> pa.Table:
    """Envelopes as columns; times: how their time of receipt is written.

    ``payload`` is JSON text, or None with ``raw`` and the ``problem`` that it has. Worked column by column: a feed
    brings a million at a time.
    """
    told = _contents(items, spec)
    received = _received(_column(items, spec.fields.get("received", ())), times)
    problems = [
        problem or ("no time of receipt" if moment is None else None)
        for (_payload, _raw, problem), moment in zip(told, received, strict=True)
    ]
    ids = [
        _texts(_column(items, spec.fields.get(name, ()))) for name in ("message_id", "device_id", "type", "stream_id")
    ]
    occurred = _texts(_column(items, spec.fields.get("occurred", ())))
    columns = [*ids, received, occurred, [one[0] for one in told], [one[1] for one in told], problems]
    return pa.table([pa.array(column, field.type) for column, field in zip(columns, RAW, strict=True)], schema=RAW)


def _column(items: Sequence[Document], paths: Sequence[str]) -> list[Any]:
    """The values at the first of the paths that holds something, item by item."""
    values: list[Any] = [None] * len(items)
    for path in paths:
        found = [dig(item, path) for item in items] if "." in path else [item.get(path) for item in items]
        values = [old if old is not None else new for old, new in zip(values, found, strict=True)]
        if None not in values:
            break
    return values


def _texts(values: list[Any]) -> list[str | None]:
    return [value if value is None or type(value) is str else str(value) for value in values]


def _received(values: list[Any], times: Times) -> list[int | None]:
    """Epoch milliseconds."""
    if times == "epoch_ms" and all(type(value) is int for value in values):
        return values
    moments = (moment_of(value, times) for value in values)
    return [None if moment is None else round(moment.timestamp() * 1000) for moment in moments]


def _contents(items: Sequence[Document], spec: EventSearch) -> list[Told]:
    contents = _column(items, spec.fields.get("payload", ()))
    if spec.payload == "object":
        encode = msgspec.json.encode
        return [(encode(one).decode(), None, None) if isinstance(one, dict) else decoded(one, None) for one in contents]
    encodings = _column(items, spec.fields.get("encoding", ()))
    return [decoded(one, encoding) for one, encoding in zip(contents, encodings, strict=True)]


def decoded(message: Any, encoding: Any) -> Told:
    """(JSON text, None, None) of a message, or (None, the message, what is wrong with it).

    Without an encoding JSON is tried first, then base64.
    """
    if not isinstance(message, str):
        return None, None if message is None else str(message), "no message"
    if encoding is not None and str(encoding).upper() != "BASE64":
        return _object(message, message)
    if encoding is None and message.lstrip().startswith("{"):
        return _object(message, message)
    try:
        return _object(base64.b64decode(message, validate=True).decode(), message)
    except (binascii.Error, ValueError):
        return None, message, "bad base64"


def _object(text: str, message: str) -> Told:
    """Whether it is JSON is found out for all rows at once, in SQL; here only that it may be an object."""
    return (text, None, None) if text.lstrip().startswith("{") else (None, message, "bad JSON")


def packed(values: Mapping[str, Any]) -> str:
    """An object as a message: base64 of JSON."""
    return base64.b64encode(msgspec.json.encode(values)).decode()


def events_sql(spec: EventSearch, *, raw: str = "raw_events", types: str = "event_types") -> str:
    """SQL over the raw columns and a table (id, name): one row per envelope, in our words.

    id, source, subject, type, type_id, time TIMESTAMP, received TIMESTAMP, time_basis, message_id, stream, problem,
    data (JSON text, null where ``problem`` is not).
    """
    named = f"LEFT JOIN {types} AS t ON t.id = r.type_id" if spec.types else ""
    name, gap = ("t.name", f"CASE WHEN t.name IS NULL THEN '{NO_TYPE}' END") if spec.types else ("r.type_id", "NULL")
    return f"""
        WITH judged AS (
            SELECT *, CASE WHEN problem IS NOT NULL THEN problem
                           WHEN NOT json_valid(payload) THEN 'bad JSON' END AS fault FROM {raw}),
        timed AS (
            SELECT *, coalesce(occurred, CASE WHEN fault IS NULL
                          THEN json_extract_string(payload, '$."{spec.occurred}"') END) AS said,
                   epoch_ms(received_ms) AS received_at, coalesce(payload, raw, '') AS content FROM judged)
        SELECT {_identity(spec)} AS id, 'device/' || coalesce(r.device_id, '') AS source, r.device_id AS subject,
               coalesce({name}, r.type_id, '') AS type, r.type_id,
               coalesce(TRY_CAST(r.said AS TIMESTAMPTZ) AT TIME ZONE 'UTC', r.received_at) AS time,
               r.received_at AS received,
               CASE WHEN TRY_CAST(r.said AS TIMESTAMPTZ) IS NULL THEN 'received' ELSE 'occurred' END AS time_basis,
               r.message_id, r.stream_id AS stream, coalesce(r.fault, {gap}) AS problem,
               CASE WHEN r.fault IS NULL THEN r.payload END AS data, sha256(r.content) AS digest, r.content
        FROM timed AS r {named}"""


def _identity(spec: EventSearch) -> str:
    """A UUID (version 8: of one's own making) of a SHA-256 over what makes an event this one."""
    if spec.identity == "platform":
        return "coalesce(r.message_id, 'none')"
    parts = "r.device_id, r.type_id, r.message_id, coalesce(r.said, r.received_ms::VARCHAR), sha256(r.content)"
    text = ", ".join(f"coalesce({part}, '')" for part in parts.split(", ")[:3])
    rest = "coalesce(r.said, r.received_ms::VARCHAR, ''), sha256(r.content)"
    digest = f"sha256(concat_ws('|', {text}, {rest}))"
    return f"regexp_replace({digest}, '^(.{{8}})(.{{4}}).(.{{3}}).(.{{3}})(.{{12}}).*$', '\\1-\\2-8\\3-8\\4-\\5')"


def inbox_sql(events: str, *, refused: str) -> str:
    """SQL of the rows an inbox takes, with ``problem`` for those of the type ``refused``.

    What has an unknown type is kept under a type of its own, what cannot be read as it came; nothing is dropped.
    Needs the parameter ``now`` for events without any time.
    """
    return f"""
        SELECT id AS event_id, source, subject,
               coalesce(time AT TIME ZONE 'UTC', $now::TIMESTAMPTZ) AS occurred_at,
               CASE WHEN problem IS NULL THEN type WHEN problem = '{NO_TYPE}' THEN '{UNMAPPED}'
                    ELSE '{refused}' END AS type,
               CASE WHEN problem IS NULL THEN data
                    WHEN problem = '{NO_TYPE}' THEN CAST(json_object('typeId', type_id, 'data', data::JSON) AS VARCHAR)
                    ELSE CAST(json_object('problem', problem, 'type', type, 'messageId', message_id, 'sha256', digest,
                                          'message', content) AS VARCHAR) END AS data,
               CASE WHEN problem <> '{NO_TYPE}' THEN problem END AS problem
        FROM ({events}) QUALIFY row_number() OVER (PARTITION BY id ORDER BY received) = 1"""


def register_types(con: duckdb.DuckDBPyConnection, names: Mapping[str, str]) -> None:
    """The table ``event_types`` of the session: id, name."""
    con.execute("CREATE OR REPLACE TABLE event_types (id VARCHAR, name VARCHAR)")
    if names:
        con.executemany("INSERT INTO event_types VALUES (?, ?)", list(names.items()))
