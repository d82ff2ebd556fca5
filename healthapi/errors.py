"""What went wrong with a request to the admin port, and the one shape in which that is told.

Both keys are always there: `detail` for clients of the original API, `error` for everything else.
"""

from __future__ import annotations

from typing import Final

from msgspec import Struct

_TYPES: Final = {
    400: "invalid_request",
    401: "unauthorized",
    403: "forbidden",
    404: "not_found",
    405: "method_not_allowed",
    503: "unavailable",
}


class Problem(Exception):  # noqa: N818 - it is an answer, not always an error of this program
    """An answer other than the one that was asked for.

    `code` is for programs, one word for each cause; `message` is for people and says what to do.
    """

    def __init__(self, status: int, code: str, message: str, headers: tuple[tuple[str, str], ...] = ()) -> None:
        """Answer with this HTTP status."""
        super().__init__(message)
        self.status = status
        self.code = code
        self.message = message
        self.headers = headers


class ErrorDetail(Struct, frozen=True):
    """The `error` of an answer."""

    type: str
    message: str
    code: str
    status: int
    request_id: str


class ErrorDocument(Struct, frozen=True):
    """The body of every answer that is not 2xx."""

    detail: str
    error: ErrorDetail


def document(problem: Problem, request_id: str) -> ErrorDocument:
    """The body that tells of a problem."""
    kind = _TYPES.get(problem.status, "internal_error")
    return ErrorDocument(
        detail=problem.message,
        error=ErrorDetail(
            type=kind, message=problem.message, code=problem.code, status=problem.status, request_id=request_id
        ),
    )


def quoted(text: str) -> str:
    """Something a caller sent, as it may stand in a message: in quotes, printable, at most 100 characters."""
    shown = "".join(c if c.isprintable() else "?" for c in text[:100])
    return f'"{shown}{"…" if len(text) > 100 else ""}"'
