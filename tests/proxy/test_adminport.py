from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator

import pytest

from config.address import Listen
from proxy.adminport import NoAnswerError, ask

Serve = Callable[[bytes], tuple[int, list[bytes]]]


@pytest.fixture
def serve() -> Iterator[Serve]:
    """Answers one connection with these bytes; gives the port, and the request once it is there."""
    threads: list[threading.Thread] = []

    def start(said: bytes) -> tuple[int, list[bytes]]:
        sock = socket.create_server(("127.0.0.1", 0))
        heard: list[bytes] = []

        def answer() -> None:
            with sock:
                accepted, _ = sock.accept()
            with accepted:
                heard.append(accepted.recv(4096))
                accepted.sendall(said)

        threads.append(threading.Thread(target=answer))
        threads[-1].start()
        return sock.getsockname()[1], heard

    yield start
    for thread in threads:
        thread.join()


@pytest.mark.parametrize("host", ["127.0.0.1", "", "0.0.0.0", "localhost"])
def test_asking(serve: Serve, host: str) -> None:
    port, heard = serve(b"HTTP/1.1 418 x\r\nContent-Length: 4\r\n\r\nwell")
    answer = ask(Listen(host, port), "POST", "/a?b=c", {"Authorization": "Bearer t"}, 10)
    assert (answer.status, answer.body) == (418, b"well")
    assert heard[0].startswith(b"POST /a?b=c HTTP/1.1\r\n")
    assert b"Authorization: Bearer t\r\n" in heard[0]


@pytest.mark.parametrize("said", [b"", b"SSH-2.0-x\r\n\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nshort"])
def test_what_answers_no_http_is_somebody(serve: Serve, said: bytes) -> None:
    port, _ = serve(said)
    with pytest.raises(NoAnswerError, match=f"no answer on 127.0.0.1:{port}: ") as caught:
        ask(Listen("127.0.0.1", port), "GET", "/", {}, 10)
    assert not caught.value.nobody


def test_silence_is_somebody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock, pytest.raises(NoAnswerError, match="timed out") as caught:
        ask(Listen("127.0.0.1", sock.getsockname()[1]), "GET", "/", {}, 0.2)
    assert not caught.value.nobody


def test_nobody() -> None:
    with socket.create_server(("127.0.0.1", 0)) as sock:
        port = sock.getsockname()[1]
    with pytest.raises(NoAnswerError, match="refused") as caught:
        ask(Listen("127.0.0.1", port), "GET", "/", {}, 10)
    assert caught.value.nobody


@pytest.mark.parametrize("host", ["no such name", "name.invalid"])
def test_a_name_that_is_none_is_not_nobody(host: str) -> None:
    with pytest.raises(NoAnswerError) as caught:
        ask(Listen(host, 1), "GET", "/", {}, 10)
    assert not caught.value.nobody
