"""One entry of the corpus: bytes that a client sends in one go, and what must come of them at both ends."""

from __future__ import annotations

from msgspec import Struct, structs

Wanted = tuple[bytes, bytes, bytes]
"""Method, target and body of a request as the upstream must see it."""

SMUGGLED = b"GET /lab/smuggled HTTP/1.1\r\nHost: localhost\r\n\r\n"
"""Sent behind bytes after which nothing may be taken for a request."""
AFTER = b"GET /lab/after HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n"
"""Sent behind requests that leave their connection as it should be."""
SEEN_AFTER: Wanted = (b"GET", b"/after", b"")
X: Wanted = (b"GET", b"/x", b"")
POSTED: Wanted = (b"POST", b"/x", b"abc")
JUDGED = b"/lab/v1/chat/completions"


class Case(Struct, frozen=True):
    """What is sent, the statuses of all answers, and the requests that the upstream sees whole.

    The connection ends behind the last answer, which says so. Well-formed requests that come in one read with what must
    be refused may be refused with it.

    `cut` says that the upstream may have seen the beginning of
    one more request, whose end never comes; `whole` that the bytes have to come in one read to come to this.
    """

    name: str
    raw: bytes
    statuses: tuple[int, ...]
    seen: tuple[Wanted, ...] = ()
    cut: bool = False
    whole: bool = False


def refused(name: str, raw: bytes, status: int = 400, *before: Wanted) -> Case:
    """Bytes that must be refused, behind well-formed requests for `before`."""
    return Case(name, raw + SMUGGLED, (*(200 for _ in before), status), before)


def cut(name: str, raw: bytes, status: int = 400) -> Case:
    """A request whose head is well-formed and whose body, which is sent on as it comes, is not."""
    return Case(name, raw + SMUGGLED, (status,), cut=True)


def answered(name: str, raw: bytes, status: int) -> Case:
    """A well-formed request that gets an answer of Detour's own, and leaves its connection as it should be."""
    return Case(name, raw + AFTER, (status, 200), (SEEN_AFTER,))


def passes(name: str, raw: bytes, *seen: Wanted) -> Case:
    """Well-formed requests."""
    return Case(name, raw + AFTER, (200,) * (len(seen) + 1), (*seen, SEEN_AFTER))


def last(name: str, raw: bytes, *seen: Wanted) -> Case:
    """Well-formed requests, the last of which ends its connection: what follows is no request."""
    return Case(name, raw + SMUGGLED, (200,) * len(seen), seen)


def in_one_read(case: Case) -> Case:
    """A case that is another one when its bytes come apart."""
    return structs.replace(case, whole=True)


def ask(
    line: bytes = b"GET /lab/x HTTP/1.1", *fields: bytes, host: bytes = b"Host: localhost", body: bytes = b""
) -> bytes:
    """A request's bytes: its line, Host, fields, a blank line and whatever follows; nothing is added for the body."""
    return b"\r\n".join((line, *([host] if host else ()), *fields)) + b"\r\n\r\n" + body


def get(*fields: bytes) -> bytes:
    """`GET /lab/x` with these field lines."""
    return ask(b"GET /lab/x HTTP/1.1", *fields)


def post(*fields: bytes, body: bytes = b"", path: bytes = b"/lab/x") -> bytes:
    """A POST with these field lines and bytes behind its head."""
    return ask(b"POST %b HTTP/1.1" % path, *fields, body=body)


def judged(*fields: bytes, body: bytes = b"") -> bytes:
    """A POST that is judged as a generation: its body is read before anything is sent on."""
    return post(b"Authorization: Bearer sk-caller", *fields, body=body, path=JUDGED)


def number(byte: int) -> str:
    """A byte's name in names of cases."""
    return f"{byte:02x}"
