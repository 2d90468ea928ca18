"""The refusals of the API: one request refused (ApiError) or one row refused (RowError)."""

from __future__ import annotations

from typing import Any, NamedTuple

MISSING = "The requested resource does not exist"


class RowError(NamedTuple):
    """Why one record was not written."""

    code: str
    message: str
    fields: tuple[str, ...] = ()
    duplicates: dict[str, Any] | None = None

    def rest(self) -> dict[str, Any]:
        return {"message": self.message, "errorCode": self.code, "fields": list(self.fields)}

    def collection(self) -> dict[str, Any]:
        found = {"duplicateResult": self.duplicates} if self.duplicates else {}
        return {"statusCode": self.code, "message": self.message, "fields": list(self.fields)} | found

    def bulk(self) -> str:
        """``CODE:message:FIELD,FIELD --``, the text of sf__Error; no fields leave ``CODE:message:--``."""
        return (
            f"{self.code}:{self.message}:{','.join(self.fields)} --"
            if self.fields
            else (f"{self.code}:{self.message}:--")
        )


class ApiError(Exception):
    """A refused request; the body is a JSON list with one element."""

    def __init__(self, status: int, code: str, message: str, *, fields: list[str] | None = None) -> None:
        super().__init__(message)
        self.status, self.code, self.message, self.fields = status, code, message, fields

    def body(self) -> list[dict[str, Any]]:
        element: dict[str, Any] = {"message": self.message, "errorCode": self.code}
        return [element if self.fields is None else element | {"fields": self.fields}]


def not_found(message: str = MISSING) -> ApiError:
    return ApiError(404, "NOT_FOUND", message)


def no_column(name: str, *, kind: str) -> ApiError:
    return ApiError(400, "INVALID_FIELD", f"No such column '{name}' on sobject of type {kind}")
