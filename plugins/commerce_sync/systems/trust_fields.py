"""The part of every connection's form that says how it is secured; free of imports, Airflow reads it while starting."""

from __future__ import annotations

from typing import Any


def _file(label: str, description: str) -> dict[str, Any]:
    return {"label": label, "description": description, "schema": {"type": ["string", "null"]}}


TRUST_FIELDS: dict[str, dict[str, Any]] = {
    "ca_file": _file("CA file", "PEM bundle to trust instead of the system's."),
    "client_cert": _file("Client certificate", "PEM file to show to a far side that asks for one (mutual TLS)."),
    "client_key": _file("Client key", "PEM file of its private key, without pass phrase; empty if in the same file."),
    "allow_http": {
        "label": "Allow http",
        "description": "Speak plain http to a host that is not this machine; only inside a network you trust.",
        "schema": {"type": ["boolean", "null"], "default": False},
    },
}  # fmt: skip
"""What ``trust.Trust.of`` reads."""
