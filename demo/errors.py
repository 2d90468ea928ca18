"""What may go wrong in a demo: something cannot start, or something it promised to prove is not true."""

from __future__ import annotations


class DemoError(Exception):
    """The demo cannot go on; the message says what happened, where to look and what to do."""


class ProofError(DemoError):
    """A statement the demo makes about the flows turned out to be wrong."""
