"""``$batch``: operations as a multipart body, and the answer's parts matched to them.

A ChangeSet is the unit of a transaction; SAP runs them one after another and answers in their order. One
operation per ChangeSet makes each record succeed or fail by itself; several share one fate, and a failed
ChangeSet is answered by a single error part. Source: SAP Commerce 2211 documentation, batch chapter; framing
as in OData 2.0 batch.
"""

from __future__ import annotations

import re
import uuid
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec

from commerce_sync.errors import RetryableError
from commerce_sync.systems.sap_commerce.protocol import MAX_CHANGESETS, Failure, failure

_BOUNDARY = re.compile(r'boundary="?([^";,\s]+)"?', re.IGNORECASE)
_STATUS = re.compile(rb"HTTP/1\.\d (\d{3})[^\r\n]*\r?\n")
_BLANK = re.compile(rb"\r?\n\r?\n")


@dataclass(frozen=True, slots=True)
class Operation:
    """One write: ``path`` below the service (``Products``, ``Products('key')``), ``id`` its Content-ID."""

    id: str
    method: str
    path: str
    body: dict[str, Any] | None = field(default=None, repr=False)
    headers: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Answer:
    """What one operation was answered."""

    status: int
    body: bytes = field(repr=False)

    @property
    def is_success(self) -> bool:
        """Any 2xx."""
        return 200 <= self.status < 300

    def entity(self) -> dict[str, Any]:
        """The entity in ``d``; empty when there is no body (DELETE)."""
        if not self.body.strip():
            return {}
        decoded = msgspec.json.decode(self.body)
        found = decoded.get("d", {}) if isinstance(decoded, dict) else {}
        return found if isinstance(found, dict) else {}

    def failure(self) -> Failure:
        """The error it carries."""
        return failure(self.status, self.body)


@dataclass(frozen=True, slots=True)
class Part:
    """One top-level part of the answer: the answers in it by order, each with its Content-ID or None.

    ``shared``: a ChangeSet that failed as a whole, its only answer holds for every operation in it.
    """

    answers: tuple[tuple[str | None, Answer], ...]
    shared: bool


def changesets(operations: Sequence[Operation], *, size: int = 1) -> list[list[Operation]]:
    """Cut operations, in order, into ChangeSets of ``size``."""
    return [list(operations[start : start + size]) for start in range(0, len(operations), size)]


def encode(sets: Sequence[Sequence[Operation]]) -> tuple[str, bytes]:
    """Content type and body of one request. Raises ValueError above the limit of 200 ChangeSets."""
    if len(sets) > MAX_CHANGESETS:
        raise ValueError(f"{len(sets)} ChangeSets in one batch; the limit is {MAX_CHANGESETS}")
    outer = f"batch_{uuid.uuid4().hex}"
    lines: list[bytes] = []
    for number, operations in enumerate(sets):
        inner = f"changeset_{uuid.uuid4().hex}_{number}"
        lines += [f"--{outer}".encode(), f"Content-Type: multipart/mixed; boundary={inner}".encode(), b""]
        for operation in operations:
            lines += [f"--{inner}".encode(), *_operation(operation)]
        lines += [f"--{inner}--".encode(), b""]
    lines += [f"--{outer}--".encode(), b""]
    return f"multipart/mixed; boundary={outer}", b"\r\n".join(lines)


def _operation(operation: Operation) -> list[bytes]:
    body = msgspec.json.encode(operation.body) if operation.body is not None else b""
    headers = {"Accept": "application/json", **operation.headers}
    if body:
        headers |= {"Content-Type": "application/json", "Content-Length": str(len(body))}
    lines = [
        "Content-Type: application/http",
        "Content-Transfer-Encoding: binary",
        f"Content-ID: {operation.id}",
        "",
    ]
    lines += [f"{operation.method} {operation.path} HTTP/1.1"]
    lines += [f"{name}: {value}" for name, value in headers.items()]
    return [line.encode() for line in lines] + [b"", body]


def parse(content_type: str, body: bytes) -> list[Part]:
    """The parts of an answer, in order. Raises RetryableError when it is no complete multipart document."""
    found = _BOUNDARY.search(content_type)
    if not found:
        raise RetryableError(f"the batch was answered with {content_type!r} instead of multipart/mixed; try again")
    return [_part(raw) for raw in _split(body, found[1])]


def _split(body: bytes, boundary: str) -> list[bytes]:
    mark = rb"(?:\A|\r?\n)--" + re.escape(boundary.encode()) + rb"(--)?[ \t]*(?:\r?\n|\Z)"
    pieces, start, closed = [], -1, False
    for found in re.finditer(mark, body):
        if start >= 0:
            pieces.append(body[start : found.start()])
        start, closed = found.end(), found[1] is not None
        if closed:
            break
    if not closed:
        raise RetryableError(f"the batch's answer ends before its closing boundary {boundary}; try again")
    return pieces


def _part(raw: bytes) -> Part:
    headers, content = _headers(raw)
    content_type = headers.get("content-type", "")
    if content_type.startswith("multipart/"):
        nested = _BOUNDARY.search(content_type)
        answers = tuple(_answer(piece) for piece in _split(content, nested[1])) if nested else ()
        return Part(answers, shared=False)
    return Part((_answer(raw),), shared=True)


def _headers(raw: bytes) -> tuple[dict[str, str], bytes]:
    if raw.startswith((b"\r\n", b"\n")):
        return {}, raw.lstrip(b"\r\n")
    cut = _BLANK.search(raw)
    head, content = (raw[: cut.start()], raw[cut.end() :]) if cut else (raw, b"")
    pairs = (line.partition(":") for line in head.decode("utf-8", "replace").splitlines())
    return {name.strip().lower(): value.strip() for name, _, value in pairs}, content


def _answer(raw: bytes) -> tuple[str | None, Answer]:
    outer, content = _headers(raw)
    content = content.lstrip(b"\r\n")
    status = _STATUS.match(content)
    if not status:
        return outer.get("content-id"), Answer(0, content)
    inner, body = _headers(content[status.end() :])
    identity = outer.get("content-id") or inner.get("content-id")
    return identity, Answer(int(status[1]), body.rstrip(b"\r\n"))


def settle(sets: Sequence[Sequence[Operation]], parts: Sequence[Part]) -> dict[str, Answer]:
    """Operation id -> its answer, for every operation whose answer is beyond doubt.

    An echoed Content-ID decides. Answers without one are taken by their order, only when nothing is missing:
    as many parts as ChangeSets, as many answers as operations. A ChangeSet that failed as a whole answers all
    its operations.
    """
    known = {operation.id for operations in sets for operation in operations}
    settled = {
        identity: answer
        for part in parts
        for identity, answer in part.answers
        if identity is not None and identity in known
    }
    if len(parts) == len(sets):
        for operations, part in zip(sets, parts, strict=True):
            settled |= {
                key: value for key, value in _by_order(operations, part).items() if key not in settled or part.shared
            }
    return settled


def _by_order(operations: Sequence[Operation], part: Part) -> dict[str, Answer]:
    ids = {operation.id for operation in operations}
    if any(identity is not None and identity not in ids for identity, _ in part.answers):
        return {}  # the part speaks of another ChangeSet: order says nothing here
    if part.shared and len(part.answers) == 1 and not part.answers[0][1].is_success:
        return {operation.id: part.answers[0][1] for operation in operations}
    if len(part.answers) != len(operations):
        return {}
    return {operation.id: answer for operation, (_, answer) in zip(operations, part.answers, strict=True)}
