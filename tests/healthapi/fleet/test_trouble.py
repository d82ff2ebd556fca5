from __future__ import annotations

import socket
import ssl

import pytest
from redis import exceptions

from healthapi.fleet.trouble import explain


def after(error: Exception, cause: Exception) -> Exception:
    """What the driver makes of a trouble of the system's."""
    try:
        try:
            raise cause
        except Exception:
            raise error  # noqa: B904
    except Exception as raised:
        return raised


@pytest.mark.parametrize(
    ("error", "text"),
    [
        (exceptions.OutOfMemoryError("command not allowed", status_code="OOM"), "out of memory (OOM)"),
        (exceptions.ResponseError("MISCONF Redis is configured to"), "cannot write its snapshot to disk"),
        (exceptions.ResponseError("NOREPLICAS Not enough good replicas"), "too few replicas"),
        (exceptions.BusyLoadingError("Redis is loading", status_code="LOADING"), "still loading its data (LOADING)"),
        (exceptions.ResponseError("ERR something\r\nelse" + "x" * 500), "ERR something else" + "x" * 182),
        (exceptions.ConnectionError("Connection closed by server."), "connection closed by the server"),
        (after(exceptions.ConnectionError("1"), ConnectionRefusedError(111, "x")), "connection refused"),
        (after(exceptions.ConnectionError("1"), ConnectionResetError(104, "x")), "connection lost"),
        (after(exceptions.ConnectionError("1"), socket.gaierror(-2, "x")), "no such host"),
        (after(exceptions.ConnectionError("1"), OSError(113, "x")), "no route to host"),
        (after(exceptions.ConnectionError("1"), ssl.SSLError(1, "x")), "TLS failed (no reason given)"),
        (FileNotFoundError(2, "x"), "no such file or directory"),
        (exceptions.TimeoutError("Timeout connecting to server"), "no connection in time"),
        (TimeoutError(), "no connection in time"),
        (exceptions.InvalidResponse("Protocol error"), "does not speak the Redis protocol"),
        (exceptions.RedisError(), "RedisError"),
    ],
)
def test_troubles_in_plain_words(error: Exception, text: str) -> None:
    assert str(explain(error, "h:1", "hunter2")).startswith(text)
    assert str(explain(error, "h:1", None)).endswith(": h:1")
    assert not str(explain(error, "", None)).endswith(": ")


def test_a_password_is_hidden_wherever_it_stands() -> None:
    error = exceptions.ResponseError("ERR unknown command, with args beginning with: " + "hunter2 " * 40)
    assert "hunter" not in str(explain(error, "h:1", "hunter2"))
