"""``$batch`` deliveries of Outbound Sync: multipart bodies apart, and answers with every Content-ID put together.

Shape: https://www.odata.org/documentation/odata-version-2-0/batch-processing/ (read 2026-11); each part is an
``application/http`` request, alone or inside a ChangeSet.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from commerce_sync.receiver.refusals import unreadable, wrong

MOST_PARTS = 1000
"""Operations of one batch; SAP Commerce sends 200."""
_BOUNDARY = re.compile(r'boundary="?([^";,\s]{1,200})"?', re.IGNORECASE)
_REQUEST = re.compile(rb"^(POST|PUT|PATCH|MERGE|DELETE) (\S{1,8000})(?: HTTP/1\.[01])?$")


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of a batch; ``content_id`` is empty where it has none."""

    method: str
    path: str
    body: bytes
    content_id: str


def operations(content_type: str, body: bytes) -> list[Operation]:
    """The requests of a batch, in their order. Raises Refusal when it cannot be taken apart or is too long."""
    found: list[Operation] = []
    for headers, content in _parts(content_type, body):
        if headers.get("content-type", "").lower().startswith("multipart/"):
            found += [_operation(*inner) for inner in _parts(headers["content-type"], content)]
        else:
            found.append(_operation(headers, content))
        if len(found) > MOST_PARTS:
            raise wrong("too_many", f"a batch has at most {MOST_PARTS} operations")
    if not found:
        raise unreadable("malformed", "the batch has no operations")
    return found


def _parts(content_type: str, body: bytes) -> Iterator[tuple[dict[str, str], bytes]]:
    """Headers and content of each part."""
    named = _BOUNDARY.search(content_type)
    if named is None:
        raise unreadable("malformed", "the Content-Type of a batch names no boundary")
    mark = b"--" + named[1].encode()
    pieces = re.split(rb"(?:^|\r?\n)" + re.escape(mark) + rb"(--)?[ \t]*(?:\r?\n|$)", body)
    if len(pieces) < 3 or b"--" not in pieces[1::2]:
        raise unreadable("malformed", "the batch is cut off: its last boundary is missing")
    for ending, piece in zip(pieces[1::2], pieces[2::2], strict=True):
        if ending:
            return
        yield _split(piece)


def _split(piece: bytes) -> tuple[dict[str, str], bytes]:
    head, found, content = _cut(piece)
    if not found:
        raise unreadable("malformed", "a part of the batch has no empty line after its headers")
    return _headers(head), content


def _cut(text: bytes) -> tuple[bytes, bytes, bytes]:
    """Before and after the first empty line."""
    if text[:2] == b"\r\n" or text[:1] == b"\n":
        return b"", b"\n", text.lstrip(b"\r\n")
    found = re.search(rb"\r?\n\r?\n", text)
    return (text[: found.start()], b"\n", text[found.end() :]) if found else (text, b"", b"")


def _headers(head: bytes) -> dict[str, str]:
    lines = (line.partition(b":") for line in head.splitlines())
    return {name.strip().lower().decode("latin-1"): value.strip().decode("latin-1") for name, _, value in lines}


def _operation(headers: dict[str, str], content: bytes) -> Operation:
    head, _, body = _cut(content)
    line, _, rest = head.partition(b"\n")
    request = _REQUEST.match(line.strip())
    if request is None:
        raise unreadable("malformed", "a part of the batch has no request line such as 'POST Orders HTTP/1.1'")
    inner = _headers(rest)
    told = inner.get("content-length", "")
    body = body[: int(told)] if told.isdigit() and len(told) < 10 else body
    content_id = headers.get("content-id") or inner.get("content-id") or ""
    return Operation(request[1].decode(), request[2].decode("latin-1"), body, _printable(content_id))


def _printable(text: str) -> str:
    return text if re.fullmatch(r"[\x21-\x7e]{1,200}", text) else ""


def answer(results: Sequence[tuple[str, int, bytes]]) -> tuple[str, bytes]:
    """(Content-Type, body) for results (Content-ID, status, body): one ChangeSet each, as they were sent."""
    boundary = f"batchresponse_{uuid.uuid4()}"
    text = b"".join(_answered(boundary, *one) for one in results)
    return f"multipart/mixed; boundary={boundary}", text + f"--{boundary}--\r\n".encode()


def _answered(boundary: str, content_id: str, status: int, body: bytes) -> bytes:
    inner = f"changesetresponse_{uuid.uuid4()}"
    name = f"Content-ID: {content_id}\r\n" if content_id else ""
    head = f"--{boundary}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n--{inner}\r\n"
    head += f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{name}\r\n"
    head += f"HTTP/1.1 {status} {_WORDS.get(status, 'Answer')}\r\n{name}"
    head += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n\r\n"
    return head.encode() + body + f"\r\n--{inner}--\r\n".encode()


_WORDS = {200: "OK", 201: "Created", 400: "Bad Request", 422: "Unprocessable Content"}
