"""A package index behind a company's own CA: a run on a local host trusts what the laptop trusts (newcomer m1)."""

from __future__ import annotations

import datetime as dt
import ipaddress
import ssl
import threading
import zipfile
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.serialization import Encoding, NoEncryption, PrivateFormat
from cryptography.x509.oid import NameOID

from localcloud import daemon
from tests.support.cli import Cli, make_project

WHEEL = "tinydep-1.0-py3-none-any.whl"
DAY = dt.timedelta(days=1)


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        """Nothing."""


def issue(name: str, key: ec.EllipticCurvePrivateKey, by: str, with_key: ec.EllipticCurvePrivateKey) -> bytes:
    """A certificate of a CA when it is issued by itself, else of a server on loopback."""
    subject, issuer = (x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, one)]) for one in (name, by))
    now = dt.datetime.now(dt.UTC)
    loopback = x509.SubjectAlternativeName([x509.IPAddress(ipaddress.ip_address("127.0.0.1"))])
    return (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(issuer)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - DAY)
        .not_valid_after(now + DAY)
        .add_extension(x509.BasicConstraints(ca=name == by, path_length=None), critical=True)
        .add_extension(loopback, critical=False)
        .sign(with_key, hashes.SHA256())
        .public_bytes(Encoding.PEM)
    )


@pytest.fixture
def index(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """An HTTPS server on loopback that has one package, and the file with its CA."""
    folder = tmp_path / "index"
    folder.mkdir()
    with zipfile.ZipFile(folder / WHEEL, "w") as wheel:
        wheel.writestr("tinydep.py", "VERSION = '1.0'\n")
        info = "tinydep-1.0.dist-info"
        wheel.writestr(f"{info}/METADATA", "Metadata-Version: 2.1\nName: tinydep\nVersion: 1.0\n")
        wheel.writestr(f"{info}/WHEEL", "Wheel-Version: 1.0\nGenerator: x\nRoot-Is-Purelib: true\nTag: py3-none-any\n")
        wheel.writestr(f"{info}/RECORD", "")
    authority, server_key = ec.generate_private_key(ec.SECP256R1()), ec.generate_private_key(ec.SECP256R1())
    ca, chain = tmp_path / "ca.pem", tmp_path / "server.pem"
    ca.write_bytes(issue("company", authority, "company", authority))
    private = server_key.private_bytes(Encoding.PEM, PrivateFormat.PKCS8, NoEncryption())
    chain.write_bytes(issue("index", server_key, "company", authority) + private)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(chain)
    with ThreadingHTTPServer(("127.0.0.1", 0), partial(Quiet, directory=str(folder))) as server:
        server.socket = context.wrap_socket(server.socket, server_side=True)
        server.handle_error = lambda *_: None  # type: ignore[method-assign]  # a client that does not trust us
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        yield f"https://127.0.0.1:{server.server_port}/{WHEEL}", ca
        server.shutdown()
        thread.join()


def test_a_run_trusts_what_the_laptop_trusts_now_also_on_a_cloud_that_is_up(
    tmp_path: Path, index: tuple[str, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR", "UV_SYSTEM_CERTS", "UV_NATIVE_TLS"):
        monkeypatch.delenv(name, raising=False)
    url, ca = index
    script = f"# /// script\n# dependencies = ['tinydep @ {url}']\n# ///\nimport tinydep\nprint('tinydep', tinydep.VERSION)\n"
    cli = Cli(tmp_path / "state", make_project(tmp_path / "project", needs=script))
    try:
        refused = cli("train", "needs.py", code=69)
        trusted = cli("train", "needs.py", SSL_CERT_FILE=str(ca))
        again = cli("exec", "trainer", "--", "sh", "-c", "echo $SSL_CERT_FILE")
    finally:
        daemon.stop(tmp_path / "state/local")

    assert "certificate" in refused.out
    assert "tinydep 1.0" in trusted.out
    assert again.out.strip() == str(ca), "until the next command that makes sure that the cloud is up"
