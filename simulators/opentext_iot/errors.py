"""Refusals of the platform, apart from how a profile words them."""

from __future__ import annotations

# Only framework:resource:missing is seen in public code; the others are assumed. Clients branch on the status.
CODES = {
    400: "framework:validation:failed",
    401: "framework:auth:unauthorized",
    403: "framework:auth:forbidden",
    404: "framework:resource:missing",
    405: "framework:method:unsupported",
    406: "framework:mediatype:unsupported",
    409: "framework:version:conflict",
    412: "framework:version:conflict",
    415: "framework:mediatype:unsupported",
    428: "framework:version:required",
    429: "framework:rate:exceeded",
}
TITLES = {
    400: "Bad Request",
    401: "Unauthorized",
    403: "Forbidden",
    404: "Not Found",
    405: "Method Not Allowed",
    406: "Not Acceptable",
    409: "Conflict",
    412: "Precondition Failed",
    415: "Unsupported Media Type",
    428: "Precondition Required",
    429: "Too Many Requests",
}


class ApiError(Exception):
    """A refused call: HTTP status, a sentence, headers of the answer."""

    def __init__(self, status: int, message: str, *, headers: dict[str, str] | None = None) -> None:
        super().__init__(message)
        self.status, self.message, self.headers = status, message, headers or {}

    @property
    def code(self) -> str:
        return CODES.get(self.status, "framework:internal")

    def classic(self) -> dict[str, object]:
        """The error body of the classic API."""
        return {"status": self.status, "apiMessage": self.message, "apiStatusCode": self.code}

    def problem(self) -> dict[str, object]:
        """The error body of the assumed conventional API: RFC 9457."""
        title = TITLES.get(self.status, "Internal Server Error")
        return {"type": "about:blank", "title": title, "status": self.status, "detail": self.message}


def invalid(message: str) -> ApiError:
    return ApiError(400, message)


def missing(key: str) -> ApiError:
    return ApiError(404, f"A resource with the following ID was not found: {key}")
