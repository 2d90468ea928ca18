"""Keys in addresses: one that is a personal value goes as an opaque reference, so that no log of addresses tells it.

    /commerce-sync/explain?key=~Z0FBQUFB...

The same key always gives the same reference, so that links can be kept; only this installation can read it (AES-SIV
with a secret of Airflow's). Keys that people type are taken as they are.
Source: https://www.rfc-editor.org/rfc/rfc5297 (read 2026-11).
"""

from __future__ import annotations

import base64
import binascii
from functools import lru_cache

from cryptography.exceptions import InvalidTag
from cryptography.hazmat.primitives.ciphers.aead import AESSIV

from commerce_sync import disguise
from commerce_sync.monitor.catalogue import Moves

SIGN = "~"


def linked(key: str, moves: Moves | None) -> str:
    """A key as it may stand in an address or a form."""
    hides = moves is not None and moves.hides_key
    return of(key) if hides or disguise.shown(key) != key or key.startswith(SIGN) else key


def of(key: str) -> str:
    """The opaque reference to a key."""
    sealed = _cipher().encrypt(key.encode() or b"\x00", [b"key"])
    return SIGN + base64.urlsafe_b64encode(sealed).decode().rstrip("=")


def key_of(text: str) -> str:
    """The key that a text from an address means; a text that is no reference of ours means itself."""
    if not text.startswith(SIGN):
        return text
    try:
        sealed = base64.urlsafe_b64decode(text[1:] + "=" * (-len(text[1:]) % 4))
        return _cipher().decrypt(sealed, [b"key"]).decode()
    except (binascii.Error, InvalidTag, ValueError):
        return text


@lru_cache(maxsize=1)
def _cipher() -> AESSIV:
    from commerce_sync.monitor.access import secret

    return AESSIV(secret("keys in addresses"))
