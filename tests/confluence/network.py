"""What the tests of the network share: certificates, little TLS servers and proxies, and the two clients that ask."""

from __future__ import annotations

import contextlib
import ipaddress
import socket
import ssl
import struct
import threading
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import NameOID

from spokekit._secret import Secret
from spokekit.confluence import RetryPolicy
from spokekit.confluence.spoke import Spoke
from spokekit.errors import SpokekitError, TransportError
from spokekit.oauth.endpoint import Endpoint

from .fake import FakeTokens, connection
from .helpers import Time

NAMES_OF_PROXIES = ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY", "NO_PROXY")
SETTINGS = (
    *NAMES_OF_PROXIES,
    *(name.lower() for name in NAMES_OF_PROXIES),
    "SSL_CERT_FILE",
    "SSL_CERT_DIR",
    "REQUESTS_CA_BUNDLE",
    "CURL_CA_BUNDLE",
    "SSLKEYLOGFILE",
)


# -- servers -----------------------------------------------------------------------------------------------------------


def certificate(
    folder: Path,
    *,
    name: str = "localhost",
    begins: int = -1,
    ends: int = 30,
    ip: str | None = None,
    weak: bool = False,
) -> tuple[Path, Path]:
    """Make a self-signed certificate and its key, valid from and to so many days from now."""
    key = rsa.generate_private_key(65537, 1024) if weak else ec.generate_private_key(ec.SECP256R1())
    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    names: list[x509.GeneralName] = [x509.DNSName(name)]
    if ip:
        names.append(x509.IPAddress(ipaddress.ip_address(ip)))
    made = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now + timedelta(days=begins))
        .not_valid_after(now + timedelta(days=ends))
        .add_extension(x509.SubjectAlternativeName(names), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
        .sign(key, hashes.SHA256())
    )
    where = folder / f"{name}.pem"
    where.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    private = folder / f"{name}.key"
    private.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return where, private


@contextlib.contextmanager
def serving(handle: Callable[[socket.socket], None]) -> Iterator[int]:
    """Answer each connection on a port of this machine with `handle`, until the end."""
    listener = socket.socket()
    listener.bind(("127.0.0.1", 0))
    listener.listen(16)
    listener.settimeout(0.1)
    ended = threading.Event()

    def serve() -> None:
        while not ended.is_set():
            with contextlib.suppress(OSError):
                one, _ = listener.accept()
                one.settimeout(3)
                with contextlib.suppress(OSError):
                    handle(one)
                one.close()

    thread = threading.Thread(target=serve, daemon=True)
    thread.start()
    yield listener.getsockname()[1]
    ended.set()
    thread.join(5)
    listener.close()


@contextlib.contextmanager
def tls_site(pem: Path, key: Path, *, wants_one: bool = False) -> Iterator[int]:
    """Serve an empty list of groups over TLS; `wants_one` asks for a certificate of the client's."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    # What the client makes of a weak key is the matter, not what the server does.
    context.set_ciphers("DEFAULT:@SECLEVEL=0")
    context.load_cert_chain(pem, key)
    if wants_one:
        context.verify_mode = ssl.CERT_REQUIRED
        context.load_verify_locations(pem)
    body = b'{"results": [], "_links": {}}'

    def handle(one: socket.socket) -> None:
        with context.wrap_socket(one, server_side=True) as inside:
            inside.recv(65_536)
            inside.sendall(b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))

    with serving(handle) as port:
        yield port


def answering(line: str) -> Callable[[socket.socket], None]:
    def handle(one: socket.socket) -> None:
        one.recv(65_536)
        one.sendall(f"HTTP/1.1 {line}\r\nContent-Length: 0\r\nConnection: close\r\n\r\n".encode())

    return handle


def resetting(one: socket.socket) -> None:
    one.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))


# -- the two that ask --------------------------------------------------------------------------------------------------


def spoke_says(url: str) -> tuple[SpokekitError, list[float]]:
    """Ask for the groups and return the error, and what was waited for."""
    time = Time()
    spoke = Spoke(
        connection(url=url),
        FakeTokens(),
        clock=time,
        sleep=time.sleep,
        retry=RetryPolicy(),
    )
    with pytest.raises(SpokekitError) as caught, spoke:
        spoke.look_up_groups(with_access=False)
    return caught.value, time.slept


def endpoint_says(url: str) -> SpokekitError:
    """Ask the token endpoint and return the error."""
    with pytest.raises(SpokekitError) as caught:
        Endpoint(connection(url=url, auth_url=url)).refresh(Secret("refresh-token"), Secret("secret"))
    return caught.value


def both(url: str) -> tuple[str, list[float]]:
    """Return what the spoke and the token endpoint say; the same cause in the same words."""
    first, slept = spoke_says(url)
    second = endpoint_says(url)
    assert isinstance(first, TransportError) and isinstance(second, TransportError)
    assert first.message.split(": no connection in")[0].rstrip(".") == second.message.rstrip(".")
    assert first.likely == second.likely
    assert str(second).endswith("; the saved token is kept.")
    for secret in ("token-1", "refresh-token", "secret-of-proxy"):
        assert secret not in f"{first}{second}"
    return str(first), slept
