"""A real mail server for tests, what it took, and the connection that leads to it."""

from __future__ import annotations

import email
import json
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from aiosmtpd.controller import Controller


class Mailbox:
    """What a real mail server took. ``dies``: called before a letter is taken."""

    def __init__(self) -> None:
        self.letters: list[str] = []
        self.dies: Callable[[], None] | None = None
        self.refuses = False

    async def handle_DATA(self, server: Any, session: Any, envelope: Any) -> str:
        if self.dies is not None:
            self.dies()
        if self.refuses:
            return "451 not now"
        self.letters.append(envelope.content.decode())
        return "250 taken"


@contextmanager
def mail_server() -> Iterator[tuple[Mailbox, int]]:
    """The box and the port of a server on this machine."""
    box = Mailbox()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    server = Controller(box, hostname="127.0.0.1", port=port)
    server.start()
    try:
        yield box, port
    finally:
        server.stop()


def connection(port: int) -> str:
    """The environment's form of an Airflow connection to it."""
    extra = {"to": "ops@example.com", "from_email": "sync@example.com", "disable_ssl": True, "disable_tls": True,
             "retry_limit": 1}  # fmt: skip
    fields = {"conn_type": "smtp", "host": "127.0.0.1", "port": port, "login": "", "password": "", "extra": extra}
    return json.dumps(fields)


def read(letter: str) -> tuple[str, str]:
    """Subject and text."""
    found = email.message_from_string(letter)
    body = next(part for part in found.walk() if part.get_content_maintype() == "text")
    return found["Subject"], body.get_payload(decode=True).decode()
