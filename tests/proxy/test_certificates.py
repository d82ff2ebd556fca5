"""What is found out about files before anybody connects."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.x509.oid import ExtendedKeyUsageOID

from config.load import ConfigError, load_text
from config.settings import Tls
from proxy.certificates import FileError, check, client_context, server_context
from tests.e2e.authority import Authority

DAY = 86_400.0


@pytest.fixture
def ours(tmp_path: Path) -> Authority:
    return Authority(tmp_path, "ours")


def pair(both: Path) -> tuple[Path, Path]:
    """One file with certificate and key made into two."""
    text = both.read_text()
    cert, key = both.with_suffix(".crt"), both.with_suffix(".key")
    at = text.index("-----BEGIN PRIVATE")
    cert.write_text(text[:at])
    key.write_text(text[at:])
    return cert, key


def refused(tls: Tls) -> tuple[str, str]:
    with pytest.raises(FileError) as caught:
        server_context(tls)
    return caught.value.key, str(caught.value)


def test_one_file_or_two(ours: Authority) -> None:
    both = ours.issue("localhost", days=3)
    cert, key = pair(both)
    one, expires = server_context(Tls(cert=str(both)))
    two, again = server_context(Tls(cert=str(cert), key=str(key)))
    assert expires == again
    assert one.minimum_version is two.minimum_version is ssl.TLSVersion.TLSv1_2
    assert one.verify_mode is ssl.CERT_NONE


def test_when_it_expires(ours: Authority) -> None:
    import time

    _, expires = server_context(Tls(cert=str(ours.issue("localhost", days=3))))
    assert abs(expires - time.time() - 3 * DAY) < 60
    _, expires = server_context(Tls(cert=str(ours.issue("localhost", expired=True))))
    assert expires < time.time()


def test_ciphers_have_forward_secrecy(ours: Authority) -> None:
    context, _ = server_context(Tls(cert=str(ours.issue("localhost"))))
    names = {cipher["name"] for cipher in context.get_ciphers()}
    assert names
    assert all(name.startswith(("TLS_", "ECDHE-")) and "SHA1" not in name and "CBC" not in name for name in names)


def test_client_certificates_are_required_and_no_session_outlives_them(ours: Authority) -> None:
    context, _ = server_context(Tls(cert=str(ours.issue("localhost")), client_ca=str(ours.file)))
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.num_tickets == 0
    assert len(context.get_ca_certs()) == 1


def test_what_cannot_be_read(ours: Authority, tmp_path: Path) -> None:
    both = str(ours.issue("localhost"))
    gone = str(tmp_path / "gone.pem")
    assert refused(Tls(cert=gone)) == ("cert", f"cannot read {gone}: No such file or directory")
    assert refused(Tls(cert=both, key=gone)) == ("key", f"cannot read {gone}: No such file or directory")
    assert refused(Tls(cert=both, client_ca=gone)) == ("client_ca", f"cannot read {gone}: No such file or directory")
    assert refused(Tls(cert=str(tmp_path))) == ("cert", f"cannot read {tmp_path}: Is a directory")
    assert refused(Tls(cert="a\x00b"))[0] == "cert"


def test_what_is_something_else(ours: Authority, tmp_path: Path) -> None:
    both = ours.issue("localhost")
    cert, key = map(str, pair(both))
    odd = tmp_path / "odd.pem"
    for content in (b"", b"hello", b"\xff\xfe\x00", b"-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"):
        odd.write_bytes(content)
        assert refused(Tls(cert=str(odd), key=key))[0] == "cert"
        assert refused(Tls(cert=str(both), client_ca=str(odd)))[0] == "client_ca"
    odd.write_bytes(b"-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")
    assert refused(Tls(cert=cert, key=str(odd)))[1].startswith(f"{cert} and {odd} cannot be loaded")
    assert refused(Tls(cert=cert)) == ("cert", f"{cert} holds no private key in PEM form")
    assert refused(Tls(cert=cert, key=cert)) == ("key", f"{cert} holds no private key in PEM form")
    assert refused(Tls(cert=key, key=key)) == ("cert", f"{key} holds no certificate in PEM form")
    odd.write_bytes(b"-----BEGIN CERTIFICATE-----\n" + b"A" * (5 << 20))
    assert refused(Tls(cert=str(odd), key=key)) == ("cert", f"{odd} is larger than 4 MiB")


def test_another_ones_key(ours: Authority) -> None:
    cert, _ = pair(ours.issue("localhost"))
    _, key = pair(ours.issue("localhost"))
    assert refused(Tls(cert=str(cert), key=str(key))) == (
        "cert",
        f"the key in {key} is not that of the certificate in {cert}",
    )


def test_an_encrypted_key_asks_nobody(ours: Authority) -> None:
    both = ours.issue("localhost", password=b"secret")
    key, told = refused(Tls(cert=str(both)))
    assert key == "key"
    assert told.startswith(f"{both} is encrypted, and nobody is here to ask")


def test_a_traditional_encrypted_key_asks_nobody(ours: Authority) -> None:
    both = ours.issue("localhost")
    cert, plain = pair(both)
    key = serialization.load_pem_private_key(plain.read_bytes(), None)
    plain.write_bytes(
        key.private_bytes(
            serialization.Encoding.PEM,
            serialization.PrivateFormat.TraditionalOpenSSL,
            serialization.BestAvailableEncryption(b"secret"),
        )
    )
    assert "is encrypted" in refused(Tls(cert=str(cert), key=str(plain)))[1]


def test_a_clients_certificate_is_not_a_servers(ours: Authority) -> None:
    both = ours.issue("localhost", purpose=ExtendedKeyUsageOID.CLIENT_AUTH)
    assert refused(Tls(cert=str(both)))[1].startswith(f"the certificate in {both} does not work for a server: ")


def test_authorities_stand_in_the_place_of_the_systems(ours: Authority) -> None:
    context = client_context(str(ours.file))
    assert len(context.get_ca_certs()) == 1
    assert context.verify_mode is ssl.CERT_REQUIRED
    assert context.check_hostname
    assert context.minimum_version is ssl.TLSVersion.TLSv1_2


def test_all_mistakes_at_once(ours: Authority, tmp_path: Path) -> None:
    both = ours.issue("localhost")
    text = f"""
tls: {{cert: {tmp_path}/gone.pem}}
admin: {{tls: {{cert: {both}, client_ca: {tmp_path}/none.pem}}}}
upstream: {{ca_bundle: {tmp_path}/nothing.pem}}
providers: {{groq: {{ca_bundle: {tmp_path}/naught.pem}}}}
"""
    with pytest.raises(ConfigError) as caught:
        check(load_text(text, {}), 0.0)
    assert [problem.path for problem in caught.value.problems] == [
        "tls.cert",
        "admin.tls.client_ca",
        "upstream.ca_bundle",
        "providers.groq.ca_bundle",
    ]
    with pytest.raises(ConfigError) as caught:
        check(load_text(text, {}), 0.0, running=True)
    assert [problem.path for problem in caught.value.problems] == ["upstream.ca_bundle", "providers.groq.ca_bundle"]


def test_an_expired_one_is_a_warning(ours: Authority) -> None:
    both = ours.issue("localhost")
    config = load_text(f"tls: {{cert: {both}}}\nupstream: {{ca_bundle: {ours.file}}}\n", {})
    assert check(config, 0.0) == ()
    (warning,) = check(config, 1e11)
    assert warning.startswith("tls.cert: the certificate expired on ")
