"""``$batch``: multipart in, multipart out; every ChangeSet is its own transaction.

Source: fact sheet section 2.8. A failed ChangeSet is answered by one error part.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Callable
from dataclasses import dataclass, replace
from http import HTTPStatus

from multidict import CIMultiDict

from simulators.sap_commerce.calls import Call, Reply, refusal
from simulators.sap_commerce.errors import ODataError, bad_request

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_REQUEST_LINE = re.compile(rb"(\w+)\s+(\S+)(?:\s+HTTP/\d\.\d)?\s*$")


@dataclass(frozen=True, slots=True)
class Operation:
    """One request inside a part."""

    content_id: str | None
    call: Call


@dataclass(frozen=True, slots=True)
class Part:
    """One ``--batch`` part: a ChangeSet, or a single retrieve request."""

    operations: tuple[Operation, ...]
    is_changeset: bool


def parse_batch(call: Call) -> list[Part]:
    """The parts of a batch request; raises ODataError when it cannot be read."""
    boundary = _boundary(call.headers.get("Content-Type", ""))
    return [_part(section, call) for section in _sections(call.body, boundary)]


def _boundary(content_type: str) -> str:
    found = _BOUNDARY.search(content_type)
    if not content_type.lower().startswith("multipart/mixed") or found is None:
        raise ODataError(415, "unknown_error", f"Media type [{content_type}] is not supported.")
    return found[1].strip()


def _sections(body: bytes, boundary: str) -> list[bytes]:
    """The raw parts between the delimiter lines."""
    pieces = re.split(rb"(?:^|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?=\r?\n|$)", body)
    found = []
    for place in range(2, len(pieces), 2):
        if pieces[place - 1] == b"--":
            break
        found.append(pieces[place].lstrip(b"\r\n"))
    if not found:
        raise bad_request("odata_error", "The batch body has no parts.")
    return found


def _head(section: bytes) -> tuple[CIMultiDict[str], bytes]:
    """Headers and body of a MIME part."""
    match = re.search(rb"\r?\n\r?\n", section)
    head, body = (section[: match.start()], section[match.end() :]) if match else (section, b"")
    return _headers(head.splitlines()), body


def _headers(lines: list[bytes]) -> CIMultiDict[str]:
    headers: CIMultiDict[str] = CIMultiDict()
    for line in lines:
        name, separator, value = line.decode("utf-8", "replace").partition(":")
        if separator:
            headers[name.strip()] = value.strip()
    return headers


def _part(section: bytes, call: Call) -> Part:
    headers, body = _head(section)
    content_type = headers.get("Content-Type", "")
    if content_type.lower().startswith("multipart/mixed"):
        inner = _sections(body, _boundary(content_type))
        return Part(tuple(_operation(one, call) for one in inner), is_changeset=True)
    return Part((_operation(section, call),), is_changeset=False)


def _operation(section: bytes, call: Call) -> Operation:
    part_headers, request = _head(section)
    line, _, rest = request.lstrip(b"\r\n").partition(b"\n")
    found = _REQUEST_LINE.match(line.strip())
    if found is None:
        raise bad_request("odata_error", f"Cannot read the request line {line.decode('utf-8', 'replace')!r}.")
    headers, body = _head(b"\r\n" + rest)
    path, _, query = _relative(found[2].decode(), call).partition("?")
    inner = replace(
        call, method=found[1].decode().upper(), path=path, query=query, headers=headers, body=body.strip(b"\r\n")
    )
    return Operation(part_headers.get("Content-ID") or headers.get("Content-ID"), inner)


def _relative(address: str, call: Call) -> str:
    """The path below the service, whether the request line was relative or absolute."""
    marker = f"/odata2webservices/{call.service.code}/"
    return address.partition(marker)[2] if marker in address else address.lstrip("/")


def answer_batch(parts: list[Part], *, run: Callable[[Part], list[Reply] | ODataError]) -> Reply:
    """Run the parts in order and frame their answers."""
    boundary = f"batch_{uuid.uuid4()}"
    chunks: list[bytes] = []
    for part in parts:
        chunks.append(f"--{boundary}\r\n".encode() + _framed(part, run(part)))
    chunks.append(f"--{boundary}--\r\n".encode())
    return Reply(202, b"".join(chunks), f"multipart/mixed; boundary={boundary}")


def _framed(part: Part, outcome: list[Reply] | ODataError) -> bytes:
    first = part.operations[0]
    if isinstance(outcome, ODataError):
        return _http(refusal(outcome, as_json=first.call.wants_json), first.content_id)
    if not part.is_changeset:
        return _http(outcome[0], first.content_id)
    inner = f"changeset_{uuid.uuid4()}"
    chunks = [f"Content-Type: multipart/mixed; boundary={inner}\r\n\r\n".encode()]
    for operation, reply in zip(part.operations, outcome, strict=True):
        chunks.append(f"--{inner}\r\n".encode() + _http(reply, operation.content_id))
    chunks.append(f"--{inner}--\r\n\r\n".encode())
    return b"".join(chunks)


def _http(reply: Reply, content_id: str | None) -> bytes:
    identity = f"Content-Id: {content_id}\r\n" if content_id else ""
    head = f"Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n{identity}\r\n"
    headers = {**reply.headers, "Content-Type": reply.content_type, "Content-Length": str(len(reply.body))}
    if content_id:
        headers["Content-Id"] = content_id
    status = f"HTTP/1.1 {reply.status} {HTTPStatus(reply.status).phrase}\r\n"
    lines = "".join(f"{name}: {value}\r\n" for name, value in headers.items())
    return f"{head}{status}{lines}\r\n".encode() + reply.body + b"\r\n"
