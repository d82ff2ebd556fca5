"""Taking over files that change."""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import ssl
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
import uvloop

from config.load import load_text
from proxy import tls
from proxy.certificates import FileError
from proxy.tls import Certificates, ServerContext, options, trusted
from tests.e2e.authority import Authority


def test_the_system_s_authorities_are_read_once_and_not_before_somebody_needs_them(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made: list[ssl.SSLContext] = []

    def context() -> ssl.SSLContext:
        made.append(ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT))
        return made[-1]

    monkeypatch.setattr(tls, "client_context", context)
    certificates = Certificates(load_text("", {}))
    assert made == []
    with ThreadPoolExecutor(4) as threads:
        found = set(threads.map(lambda _: certificates.client(""), range(8)))
    assert found == set(made)
    assert len(made) == 1


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


class Files:
    """The certificate of one listener, and what it came to."""

    def __init__(self, ours: Authority, folder: Path) -> None:
        self.ours = ours
        self.cert = folder / "tls.pem"
        self.now = 0.0
        shutil.copy(ours.issue("one"), self.cert)
        config = load_text(f"tls: {{cert: {self.cert}}}\nupstream: {{ca_bundle: {ours.file}}}\n", {})
        self.certificates = Certificates(config, lambda: self.now)

    @property
    def name(self) -> str:
        """The name that a client is shown."""
        context = self.certificates.server("tls")
        assert context is not None
        client = self.ours.client()
        client.check_hostname = False
        there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
        caller = client.wrap_bio(back, there)
        served = context.wrap_bio(there, back, server_side=True)
        for end in (caller, served, caller, served):
            try:
                end.do_handshake()
            except ssl.SSLWantReadError:
                continue
        shown = caller.getpeercert()
        assert shown is not None
        return str(shown["subjectAltName"][0][1])  # type: ignore[index]

    @property
    def trouble(self) -> str | None:
        return self.certificates.states[0].trouble

    def settle(self) -> None:
        self.certificates.look()
        self.certificates.look()


@pytest.fixture
def files(ours: Authority, tmp_path: Path) -> Files:
    return Files(ours, tmp_path)


def test_new_content_is_taken_over_once_it_stays(files: Files) -> None:
    shutil.copy(files.ours.issue("two", days=9), files.cert)
    before = files.certificates.states[0].expires
    files.certificates.look()
    assert files.name == "one"
    files.certificates.look()
    assert files.name == "two"
    after = files.certificates.states[0].expires
    assert before is not None
    assert after is not None
    assert after > before


def test_the_same_content_written_again_is_nothing_new(files: Files) -> None:
    context = files.certificates.server("tls")
    assert context is not None
    current = context.current
    files.cert.write_bytes(files.cert.read_bytes())
    files.settle()
    assert context.current is current


def test_a_swapped_link_is_a_change(ours: Authority, tmp_path: Path) -> None:
    """As Kubernetes swaps what a Secret holds: the file's own path never changes."""
    for turn, name in (("a", "one"), ("b", "two")):
        (tmp_path / turn).mkdir()
        shutil.copy(ours.issue(name), tmp_path / turn / "tls.pem")
    (tmp_path / "..data").symlink_to("a")
    (tmp_path / "mounted").symlink_to("..data/tls.pem")
    config = load_text(f"tls: {{cert: {tmp_path}/mounted}}\n", {})
    files = Files(ours, tmp_path)
    files.certificates = Certificates(config)
    (tmp_path / "..next").symlink_to("b")
    os.replace(tmp_path / "..next", tmp_path / "..data")
    files.settle()
    assert files.name == "two"


@pytest.mark.parametrize("bad", [b"", b"nothing of the kind", None])
def test_what_cannot_be_used_changes_nothing(files: Files, bad: bytes | None, caplog: pytest.LogCaptureFixture) -> None:
    good = files.cert.read_bytes()
    if bad is None:
        files.cert.unlink()
    else:
        files.cert.write_bytes(bad)
    files.settle()
    assert files.name == "one"
    assert files.trouble is not None
    assert files.trouble.startswith("cert: ")
    assert len(caplog.records) == 1
    files.settle()
    assert len(caplog.records) == 1, "said once"
    files.cert.write_bytes(good)
    files.settle()
    assert files.trouble is None
    assert files.name == "one"


def test_half_of_a_pair_is_waited_for(files: Files, caplog: pytest.LogCaptureFixture) -> None:
    text = files.ours.issue("two").read_text()
    files.cert.write_text(text[: text.index("-----BEGIN PRIVATE")])
    files.certificates.look()
    files.cert.write_text(text)
    files.settle()
    assert (files.trouble, files.name) == (None, "two")
    assert [record.levelname for record in caplog.records if record.levelname == "ERROR"] == []


def test_an_expired_one_is_not_taken_over(files: Files) -> None:
    files.now = 1e11
    shutil.copy(files.ours.issue("two"), files.cert)
    files.settle()
    assert files.name == "one"
    assert "expired" in (files.trouble or "")


def test_an_expired_one_serves_when_there_is_no_other(ours: Authority, caplog: pytest.LogCaptureFixture) -> None:
    config = load_text(f"tls: {{cert: {ours.issue('one', expired=True)}}}\n", {})
    assert isinstance(Certificates(config).server("tls"), ServerContext)
    assert "tls.cert: the certificate expired on " in caplog.text


def test_authorities_are_taken_over_too(files: Files, tmp_path: Path) -> None:
    bundle = str(files.ours.file)
    before = files.certificates.client(bundle)
    assert files.certificates.client(bundle) is before
    other = Authority(tmp_path, "other")
    files.ours.file.write_bytes(other.file.read_bytes())
    files.settle()
    after = files.certificates.client(bundle)
    assert [cert["subject"] for cert in after.get_ca_certs()] != [cert["subject"] for cert in before.get_ca_certs()]
    files.ours.file.write_text("nothing")
    files.settle()
    assert files.certificates.client(bundle) is after
    assert files.certificates.states[1].trouble == f"ca_bundle: {bundle} holds no certificate in PEM form"


def test_a_bundle_nobody_named_before(files: Files, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    assert files.certificates.client(str(other.file)) is files.certificates.client(str(other.file))
    with pytest.raises(FileError):
        files.certificates.client(str(tmp_path / "gone"))


def test_another_configuration_names_other_bundles(files: Files, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    text = f"tls: {{cert: {files.cert}}}\nproviders: {{groq: {{ca_bundle: {other.file}}}}}\n"
    config = load_text(text, {})
    files.certificates.adopt(config, trusted(config))
    assert [state.name for state in files.certificates.states] == ["tls", f"ca_bundle {other.file}"]
    files.certificates.adopt(load_text("", {}), {})
    assert [state.name for state in files.certificates.states] == ["tls"], "a listener stays as it is"
    shutil.copy(files.ours.issue("two"), files.cert)
    files.settle()
    assert files.name == "two"


@pytest.mark.parametrize("how", ["pipe", "folder", "loop", "endless"])
@pytest.mark.parametrize("which", [0, 1], ids=["cert", "bundle"])
def test_what_stands_in_a_files_place_is_told_and_waited_for_never(files: Files, how: str, which: int) -> None:
    path = (files.cert, files.ours.file)[which]
    content = path.read_bytes()
    path.unlink()
    match how:
        case "pipe":
            os.mkfifo(path)
        case "folder":
            path.mkdir()
        case "loop":
            path.symlink_to(path.name)
        case "endless":
            path.symlink_to("/dev/zero")
    files.settle()
    state = files.certificates.states[which]
    assert "cannot read" in (state.trouble or "")
    assert which == 1 or files.name == "one"
    path.rmdir() if how == "folder" else path.unlink()
    path.write_bytes(content)
    files.settle()
    assert state.trouble is None


def test_a_bundle_is_loaded_where_it_holds_up_nobody(files: Files, tmp_path: Path) -> None:
    other = Authority(tmp_path, "other")
    config = load_text(f"providers: {{groq: {{ca_bundle: {other.file}}}}}\n", {})
    made = trusted(config)
    other.file.unlink()
    files.certificates.adopt(config, made)
    assert files.certificates.client(str(other.file)) is made[str(other.file)].context


def test_a_bundle_that_stays_keeps_its_context(files: Files) -> None:
    """So that who has connected with it can resume its sessions, and what is told of it goes on."""
    config = load_text(f"upstream: {{ca_bundle: {files.ours.file}}}\n", {})
    before, state = files.certificates.client(str(files.ours.file)), files.certificates.states[1]
    files.certificates.adopt(config, trusted(config))
    assert files.certificates.client(str(files.ours.file)) is before
    assert files.certificates.states[1] is state


def test_looks_go_on_after_a_bug_and_end_when_told(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    looked = threading.Semaphore(0)
    looks = 0

    def look() -> None:
        nonlocal looks
        looks += 1
        looked.release()
        if looks == 1:
            raise RuntimeError("a bug")

    monkeypatch.setattr(tls, "PERIOD", 0.01)
    monkeypatch.setattr(files.certificates, "look", look)
    before = set(threading.enumerate())
    files.certificates.start()
    (thread,) = set(threading.enumerate()) - before
    assert thread.daemon, "a look that hangs does not hold up the end of the process"
    for _ in range(3):
        assert looked.acquire(timeout=20)
    files.certificates.stop()
    thread.join(20)
    assert not thread.is_alive()


def test_a_port_without_tls() -> None:
    certificates = Certificates(load_text("", {}))
    assert certificates.server("tls") is None
    assert options(None) == {}
    assert certificates.states == []
    certificates.start()
    certificates.stop()


def test_a_handshake_that_never_ends_is_given_up(files: Files, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tls, "HANDSHAKE", 0.2)

    async def go() -> None:
        context = files.certificates.server("tls")
        server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, **options(context))
        reader, writer = await asyncio.open_connection(*server.sockets[0].getsockname())
        with contextlib.suppress(ConnectionError):
            assert await asyncio.wait_for(reader.read(), 20) == b""
        writer.close()
        server.close()

    uvloop.run(go())
