"""The error tree, grouped by what happens next.

SyncError
|-- RetryableError       429, 5xx, time-outs, locks          -> Airflow retries the step
|   `-- LedgerError      the ledger did not answer           -> as well, whatever the step could still do without it
|-- ConfigurationError   bad YAML, unknown object, 401/403   -> fails at once, a person corrects it
|-- QuotaError           an allowance is used up or kept     -> the step waits until there is room again
|-- RejectedError        the target refused one record       -> that record is rejected, the others go on
|-- GateError            data that fails its checks          -> the leg stops, nothing was sent
|-- GuardError           too many deletes, changes, rejects  -> the leg stops, a person decides
`-- BalanceError         a run with an unaccounted row       -> the run is red and does not advance
"""

from __future__ import annotations


class SyncError(Exception):
    """Anything this project raises on purpose. Messages say what, where, which value, what to do."""


class RetryableError(SyncError):
    """Trouble that passes by itself; ``retry_after`` is the number of seconds the far side asked for."""

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class LedgerError(RetryableError):
    """The ledger did not answer: no trouble of the far side, and nothing that a record could be refused for."""


class ConfigurationError(SyncError):
    """Something a person has to correct; trying again cannot help."""


class QuotaError(SyncError):
    """The far side's allowance is used up, or what is left is kept for others; no failure of the step that meets it.

    ``retry_after`` is the number of seconds after which there may be room.
    """

    def __init__(self, message: str, *, retry_after: float | None = None) -> None:
        super().__init__(message)
        self.retry_after = retry_after


class RejectedError(SyncError):
    """The far side refused one record. ``code`` is the far side's, ``reason_class`` is ours."""

    def __init__(self, message: str, *, code: str, reason_class: str = "unknown") -> None:
        super().__init__(message)
        self.code = code
        self.reason_class = reason_class


class GateError(SyncError):
    """The data failed its checks; nothing of it was sent."""


class GuardError(SyncError):
    """A limit of the leg was passed; a person decides."""


class BalanceError(SyncError):
    """Rows went in that did not come out; the run does not advance."""
