"""Refusals as OCC words them. Source: fact sheet section 4 (errors)."""

from __future__ import annotations

from typing import Any


class OccError(Exception):
    """One refusal: status, type, and what it is about."""

    def __init__(self, status: int, kind: str, message: str, **details: str) -> None:
        super().__init__(message)
        self.status, self.kind, self.message, self.details = status, kind, message, details

    def body(self) -> dict[str, Any]:
        return {"errors": [{"type": self.kind, "message": self.message, **self.details}]}


def unknown(subject_type: str, subject: str) -> OccError:
    """400, not 404, for an identifier that leads nowhere."""
    message = f"{subject_type.capitalize()} with code '{subject}' not found!"
    return OccError(
        400, "UnknownIdentifierError", message, reason="unknownIdentifier", subject=subject, subjectType=subject_type
    )


def invalid(message: str, *, subject: str, reason: str = "invalid") -> OccError:
    return OccError(400, "ValidationError", message, reason=reason, subject=subject, subjectType="parameter")


def forbidden() -> OccError:
    return OccError(403, "ForbiddenError", "Access is denied")


def unauthorized(message: str = "Full authentication is required to access this resource") -> OccError:
    return OccError(401, "UnauthorizedError", message)


def no_resource(path: str) -> OccError:
    return OccError(404, "UnknownResourceError", f"There is no resource for path {path}")


def conflict(kind: str, message: str) -> OccError:
    return OccError(400, kind, message)
