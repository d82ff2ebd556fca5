"""Certificates, keys and authorities in files: whether they are what TLS needs, said before anybody connects.

Python's ssl tells little about files and reads no date, so a listener's certificate is tried out: a handshake with
itself, in memory, finds what a client would find.
"""

from __future__ import annotations

import ssl
from collections.abc import Iterator
from typing import TYPE_CHECKING, Final

from config.place import child
from config.problems import ConfigError, Problem
from config.reading import read_regular

if TYPE_CHECKING:
    from config.effective import Config
    from config.settings import Tls

LARGEST: Final = 4 << 20
"""Most bytes of such a file; a bundle of all public authorities has a quarter of a megabyte."""

CIPHERS: Final = "ECDHE+AESGCM:ECDHE+CHACHA20"
"""Of TLS 1.2: forward secrecy and authenticated encryption alone. Those of 1.3 are all of this kind."""

_NO_CHECK_TIME: Final = 0x200000
"""X509_V_FLAG_NO_CHECK_TIME of OpenSSL, which the ssl module has no name for."""


class FileError(Exception):
    """A file cannot be used; `key` is the setting's last word (`cert`, `key`, `client_ca`), the message says why."""

    def __init__(self, key: str, message: str) -> None:
        """Say which and why."""
        super().__init__(message)
        self.key = key


def server_context(tls: Tls) -> tuple[ssl.SSLContext, float]:
    """A listener's context, and the Unix time at which its certificate expires.

    Raises:
        FileError: one of the files is not what it should be.
    """
    cert, key = tls.cert or "", tls.key or tls.cert or ""
    if b"-----BEGIN CERTIFICATE" not in _read("cert", cert):
        raise FileError("cert", f"{cert} holds no certificate in PEM form")
    private = _read("key", key)
    if b"PRIVATE KEY-----" not in private:
        raise FileError("key" if tls.key else "cert", f"{key} holds no private key in PEM form")
    if b"ENCRYPTED" in private:
        raise FileError(
            "key", f"{key} is encrypted, and nobody is here to ask: write it with `openssl pkey -in … -out …`"
        )
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.options |= ssl.OP_NO_RENEGOTIATION | ssl.OP_CIPHER_SERVER_PREFERENCE
    context.set_ciphers(CIPHERS)
    context.set_alpn_protocols(["http/1.1"])
    try:
        context.load_cert_chain(cert, key, password=_no_password)
    except ssl.SSLError as error:
        raise FileError("cert", _mismatch(cert, key, error)) from error
    except (OSError, ValueError) as error:
        raise FileError("cert", f"{cert} and {key} cannot be loaded: {error}") from error
    expires = _try_out(context, cert)
    if tls.client_ca is not None:
        load_authorities(context, "client_ca", tls.client_ca)
        context.verify_mode = ssl.CERT_REQUIRED
        # A session resumed by a ticket would carry an earlier proof past the certificate's last day.
        context.options |= ssl.OP_NO_TICKET
        context.num_tickets = 0
    return context, expires


def client_context(bundle: str = "") -> ssl.SSLContext:
    """A verifying client's context that offers HTTP/1.1 alone; the authorities in `bundle` stand for the system's.

    Raises:
        FileError: the bundle cannot be used.
    """
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT) if bundle else ssl.create_default_context()
    context.minimum_version = ssl.TLSVersion.TLSv1_2
    context.set_alpn_protocols(["http/1.1"])
    if bundle:
        load_authorities(context, "ca_bundle", bundle)
        # What is in the file is trusted as it stands, an authority in the middle or the server's own too.
        context.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN
    return context


def load_authorities(context: ssl.SSLContext, key: str, path: str) -> None:
    """Trust the certificates in the file `path`.

    Raises:
        FileError: it holds none, or cannot be read.
    """
    if b"-----BEGIN " not in _read(key, path):
        raise FileError(key, f"{path} holds no certificate in PEM form")
    try:
        context.load_verify_locations(path)
    except (OSError, ValueError) as error:
        raise FileError(key, f"{path} cannot be loaded: {_words(error)}") from error


def check(config: Config, now: float, *, running: bool = False) -> tuple[str, ...]:
    """Look at all files that `config` names; returns warnings. `now` is Unix time in seconds.

    While a process is `running` with them, those of its listeners are no matter here: it has what they held before.

    Raises:
        ConfigError: files cannot be used, all of them at once.
    """
    problems: list[Problem] = []
    warnings: list[str] = []
    for path, tls in () if running else listeners(config):
        try:
            _, expires = server_context(tls)
        except FileError as error:
            problems.append(Problem(child(path, error.key), str(error)))
            continue
        if expires <= now:
            warnings.append(f"{child(path, 'cert')}: {expired(expires)}")
    for path, bundle in bundles(config):
        try:
            client_context(bundle)
        except FileError as error:
            problems.append(Problem(path, str(error)))
    if problems:
        raise ConfigError(problems)
    return tuple(warnings)


def listeners(config: Config) -> Iterator[tuple[str, Tls]]:
    """The ports that speak TLS: the path of the setting, and what it says."""
    if config.settings.tls.cert is not None:
        yield "tls", config.settings.tls
    if config.settings.admin.tls.cert is not None:
        yield "admin.tls", config.settings.admin.tls


def expired(at: float) -> str:
    """What to say of a certificate that expired `at` that Unix time."""
    return f"the certificate expired on {day(at)}: clients that verify it will not connect"


def day(at: float) -> str:
    """A Unix time as a date."""
    import datetime

    return datetime.datetime.fromtimestamp(at, datetime.UTC).strftime("%Y-%m-%d")


def bundles(config: Config) -> Iterator[tuple[str, str]]:
    """The files of authorities that vouch for providers: the path of the setting, and the file's."""
    if config.settings.upstream.ca_bundle is not None:
        yield "upstream.ca_bundle", config.settings.upstream.ca_bundle
    for name, provider in config.settings.providers.items():
        if provider.ca_bundle is not None:
            yield child(child("providers", name), "ca_bundle"), provider.ca_bundle


def _read(key: str, path: str) -> bytes:
    try:
        content = read_regular(path, LARGEST + 1)
    except (OSError, ValueError) as error:
        raise FileError(key, f"cannot read {path}: {_words(error)}") from None
    if len(content) > LARGEST:
        raise FileError(key, f"{path} is larger than {LARGEST >> 20} MiB")
    return content


def _no_password() -> str:
    """Asked for by OpenSSL where a key turns out to be encrypted; without this it would ask on the terminal."""
    raise ValueError("the key is encrypted")


def _mismatch(cert: str, key: str, error: ssl.SSLError) -> str:
    if error.reason == "KEY_VALUES_MISMATCH":
        return f"the key in {key} is not that of the certificate in {cert}"
    return f"{cert} and {key} cannot be loaded: {_words(error)}"


def _words(error: Exception) -> str:
    """What went wrong, without the place in OpenSSL's source."""
    if isinstance(error, ssl.SSLError) and error.reason:
        return error.reason.lower().replace("_", " ")
    return getattr(error, "strerror", None) or str(error)


def _try_out(server: ssl.SSLContext, cert: str) -> float:
    """Shake hands with `server` as a client that trusts this certificate; returns the Unix time at which it expires."""
    client = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    client.check_hostname = False
    client.load_verify_locations(cert)
    client.verify_flags |= ssl.VERIFY_X509_PARTIAL_CHAIN | _NO_CHECK_TIME
    there, back = ssl.MemoryBIO(), ssl.MemoryBIO()
    caller = client.wrap_bio(back, there)
    ends = [caller, server.wrap_bio(there, back, server_side=True)]
    try:
        for _ in range(8):
            ends = [end for end in ends if not _shaken(end)]
    except ssl.SSLError as error:
        why = getattr(error, "verify_message", "") or _words(error)
        raise FileError("cert", f"the certificate in {cert} does not work for a server: {why}") from error
    found = caller.getpeercert() or {}
    return float(ssl.cert_time_to_seconds(str(found["notAfter"])))


def _shaken(end: ssl.SSLObject) -> bool:
    try:
        end.do_handshake()
    except ssl.SSLWantReadError:
        return False
    return True
