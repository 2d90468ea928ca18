"""What a refused call answers: ``{"errors": [...]}`` or ``{"errors": {field: message}}``.

Source: fact sheet section 1.1, from the shared descriptions in the published OpenAPI documents.
"""

from __future__ import annotations

from typing import Any

FieldErrors = dict[str, Any]


class ApiError(Exception):
    """One refusal: its HTTP status and its body."""

    def __init__(self, status: int, body: Any, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(f"{status}: {body}")
        self.status, self.body, self.headers = status, body, headers or {}


def refused(status: int, *sentences: str, headers: dict[str, str] | None = None) -> ApiError:
    """The list form."""
    return ApiError(status, {"errors": list(sentences)}, headers=headers)


def invalid(fields: FieldErrors) -> ApiError:
    """The field form, status 400."""
    return ApiError(400, {"errors": fields})


def bad_request(sentence: str = "Bad request") -> ApiError:
    return refused(400, sentence)


def not_found(what: str = "Requested page does not exist") -> ApiError:
    return refused(404, what)


def unauthorized() -> ApiError:
    return refused(401, "Token is invalid")


def forbidden() -> ApiError:
    return refused(403, "Permission denied")
