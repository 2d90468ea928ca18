"""Outbound ``$batch`` requests: one change per ChangeSet, matched to the answers by Content-ID.

Source: fact sheet section 3.2 (batch=true). The receiver must return each Content-ID; a part without it counts
as failed. Assumed: the request goes to the destination's address as it stands.
"""

from __future__ import annotations

import re
import uuid
from dataclasses import dataclass

_BOUNDARY = re.compile(r'boundary="?([^";,]+)"?', re.IGNORECASE)
_CONTENT_ID = re.compile(rb"^Content-ID:\s*(\S+)", re.IGNORECASE | re.MULTILINE)
_STATUS = re.compile(rb"^HTTP/\d\.\d\s+(\d{3})", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Operation:
    """One request of a batch; ``path`` is relative to the receiver's service."""

    method: str
    path: str
    body: bytes
    content_id: str


def new_operation(method: str, path: str, body: bytes) -> Operation:
    return Operation(method, path, body, str(uuid.uuid4()))


def multipart_body(operations: list[Operation]) -> tuple[str, bytes]:
    """(content type, body) of one batch request."""
    boundary = f"batch_{uuid.uuid4()}"
    chunks = []
    for operation in operations:
        inner = f"changeset_{uuid.uuid4()}"
        head = f"--{boundary}\r\nContent-Type: multipart/mixed; boundary={inner}\r\n\r\n--{inner}\r\n"
        head += "Content-Type: application/http\r\nContent-Transfer-Encoding: binary\r\n"
        head += f"Content-ID: {operation.content_id}\r\n\r\n{operation.method} {operation.path} HTTP/1.1\r\n"
        head += "Accept: application/json\r\nContent-Type: application/json\r\n"
        head += f"Content-Length: {len(operation.body)}\r\n\r\n"
        chunks.append(head.encode() + operation.body + f"\r\n--{inner}--\r\n".encode())
    return f"multipart/mixed; boundary={boundary}", b"".join(chunks) + f"--{boundary}--\r\n".encode()


def statuses_by_content_id(content_type: str, body: bytes) -> dict[str, int]:
    """The status of each part that carries a Content-ID."""
    found = _BOUNDARY.search(content_type)
    if found is None:
        return {}
    parts = re.split(rb"(?:^|\r?\n)--" + re.escape(found[1].strip().encode()) + rb"(?:--)?\s*?(?=\r?\n|$)", body)
    statuses: dict[str, int] = {}
    for part in parts:
        identity, status = _CONTENT_ID.search(part), _STATUS.search(part)
        if identity and status:
            statuses[identity[1].decode("utf-8", "replace")] = int(status[1])
    return statuses
