"""Proxies that refuse, that are something else, or that are spoken to in the wrong way: what it is, and at once."""

from __future__ import annotations

import contextlib
import gc
import socket
import ssl
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from spokekit.confluence.spoke import Spoke
from spokekit.errors import SpokekitError, TransportError

from .fake import FakeTokens, connection
from .network import SETTINGS, answering, both, certificate, endpoint_says, serving, spoke_says, tls_site

SITE = "https://api.example.invalid/"
Handler = Callable[[socket.socket], None]


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


def closing(one: socket.socket) -> None:
    one.recv(65_536)


def nonsense(one: socket.socket) -> None:
    one.recv(65_536)
    one.sendall(b"SSH-2.0-OpenSSH_9.6\r\n")


def letting_through_and_closing(one: socket.socket) -> None:
    one.recv(65_536)
    one.sendall(b"HTTP/1.1 200 OK\r\n\r\n")
    one.recv(65_536)


def letting_through_to_plain(one: socket.socket) -> None:
    letting_through_and_closing(one)
    one.sendall(b"HTTP/1.1 400 Bad Request\r\n\r\n")


def socks(reply: int) -> Handler:
    def handle(one: socket.socket) -> None:
        one.recv(64)
        one.sendall(b"\x05\x00")
        one.recv(512)
        one.sendall(bytes([5, reply, 0, 1, 0, 0, 0, 0, 0, 0]))

    return handle


def socks_that_wants_a_password(one: socket.socket) -> None:
    one.recv(64)
    one.sendall(b"\x05\xff")


def socks_that_takes_no_password(one: socket.socket) -> None:
    one.recv(64)
    one.sendall(b"\x05\x02")
    one.recv(512)
    one.sendall(b"\x01\x01")


# What answers at the proxy's address, how the variable writes it, what is said, whether another try is worth while.
PROXIES: dict[str, tuple[Handler, str, str, bool]] = {
    "another port's program": (nonsense, "http", "ends the connection before it lets anything through", True),
    "closed at once": (closing, "http", "ends the connection before it lets anything through", True),
    "https for a plain one": (
        answering("400 Bad Request"),
        "https",
        "does not speak TLS, and PROXY says https://",
        False,
    ),
    "a guest network's page": (answering("302 Found"), "http", "wants somebody to sign in first (302 Found)", False),
    "a network's sign-in": (
        answering("511 Network Authentication Required"),
        "http",
        "somebody to sign in first",
        False,
    ),
    "a web server": (answering("405 Method Not Allowed"), "http", "is no proxy for encrypted requests (405", False),
    "a page that is not there": (answering("404 Not Found"), "http", "is no proxy for encrypted requests (404", False),
    "wants a password": (answering("401 Unauthorized"), "http", "wants a name and a password (401)", False),
    "by the rules": (answering("403 Forbidden"), "http", "does not let anything through to api.example.invalid", False),
    "too busy": (answering("429 Too Many Requests"), "http", "could not reach api.example.invalid (429", True),
    "no way on": (answering("504 Gateway Timeout"), "http", "could not reach api.example.invalid (504", True),
    "closes after the way is free": (letting_through_and_closing, "http", "was reset by the proxy", True),
    "leads to a plain port": (letting_through_to_plain, "http", "api.example.invalid does not speak TLS", False),
    "http instead of SOCKS": (answering("400 Bad Request"), "socks5", "does not speak SOCKS", False),
    "SOCKS, but another program": (nonsense, "socks5h", "does not speak SOCKS", False),
    "SOCKS that wants a password": (socks_that_wants_a_password, "socks5", "as socks5://NAME:PASSWORD@", False),
    "SOCKS with a wrong password": (socks_that_takes_no_password, "socks5", "wants a name and a password", False),
    "SOCKS by the rules": (socks(2), "socks5", "does not let anything through to api.example.invalid", False),
    "SOCKS without a way": (socks(4), "socks5", "could not reach api.example.invalid (Host unreachable)", True),
}


# The HTTP library leaves the socket to the garbage collector where SOCKS comes to nothing.
@pytest.mark.filterwarnings("ignore::ResourceWarning")
@pytest.mark.parametrize("name", PROXIES)
def test_what_answers_at_the_proxys_address_is_told(name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    handle, scheme, words, again = PROXIES[name]
    variable = "ALL_PROXY" if scheme.startswith("socks") else "HTTPS_PROXY"
    with serving(handle) as port:
        who = "me:secret-of-proxy@" if scheme in ("http", "https") or "password" in name else ""
        monkeypatch.setenv(variable, f"{scheme}://{who}127.0.0.1:{port}")
        said, slept = both(SITE)
        gc.collect()
    assert words.replace("PROXY says", f"{variable} says") in said
    assert f"127.0.0.1:{port}" in said or "does not speak TLS" in said
    assert bool(slept) is again, "a try more only where it might end otherwise"
    assert len(slept) <= 1, "and then no more: nothing has ever come through"


def test_each_of_them_has_a_sentence_of_its_own() -> None:
    assert len({words for _, _, words, _ in PROXIES.values()}) >= 14


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({}, "The certificate of the proxy localhost is not signed by anybody"),
        ({"begins": -9, "ends": -2}, "The certificate of the proxy localhost has expired"),
        ({"name": "elsewhere.example"}, "is made out to another name than localhost. "),
    ],
)
def test_an_https_proxys_own_certificate_is_not_taken_for_the_sites(
    more: dict[str, str | int], words: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, key = certificate(tmp_path, **more)  # type: ignore[arg-type]
    if more:
        monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with tls_site(pem, key) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"https://localhost:{port}")
        said, slept = both(SITE)
    assert words in said and slept == []
    if "another name" in words:
        assert "Check HTTPS_PROXY" in said


def test_an_https_address_spoken_to_in_plain_http(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with tls_site(*certificate(tmp_path)) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://localhost:{port}")
        said, slept = both(SITE)
    assert "ends the connection before it lets anything through" in said and "https://" in said
    assert len(slept) <= 1


def test_an_inspecting_proxys_certificate(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path, name="api.example.invalid")
    with inspecting(pem, key) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        said, slept = both(SITE)
        assert "The certificate of api.example.invalid is not signed by anybody" in said and slept == []
        assert "company's root certificate" in said
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        with Spoke(connection(url=SITE), FakeTokens()) as spoke:
            assert len(spoke.look_up_groups(with_access=False)) == 0


@contextlib.contextmanager
def inspecting(pem: Path, key: Path, requests: int = 1) -> Iterator[int]:
    """Be a company's proxy that opens what goes through it, and answers `requests` on each connection."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem, key)
    body = b'{"results": [], "_links": {}}'

    def handle(one: socket.socket) -> None:
        one.recv(65_536)
        one.sendall(b"HTTP/1.1 200 Connection established\r\n\r\n")
        with context.wrap_socket(one, server_side=True) as inside:
            for _ in range(requests):
                inside.recv(65_536)
                inside.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body))
            inside.recv(65_536)

    with serving(handle) as port:
        yield port


def test_what_is_cut_off_on_a_tunnel_that_is_there_already_may_have_arrived(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from spokekit.confluence.wire import NeverSent

    pem, key = certificate(tmp_path, name="api.example.invalid")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with inspecting(pem, key) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
        with Spoke(connection(url=SITE), FakeTokens()) as spoke:
            spoke.look_up_groups(with_access=False)
            with pytest.raises(SpokekitError) as caught:
                spoke.add_member_to_group_by_group_id("5b10ac8d-2222-4aaa-8888-1234567890ab", "712020:someone")
    assert not isinstance(caught.value, NeverSent)


# -- TLS without a proxy -----------------------------------------------------------------------------------------------


def test_a_certificate_that_is_too_weak(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path, weak=True)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with tls_site(pem, key) as port:
        said, slept = both(f"https://localhost:{port}/")
    assert "The certificate of localhost cannot be accepted: EE certificate key too weak" in said and slept == []


def test_a_gateway_that_wants_a_certificate_of_ours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with tls_site(pem, key, wants_one=True) as port:
        for error in (spoke_says(f"https://localhost:{port}/")[0], endpoint_says(f"https://localhost:{port}/")):
            assert isinstance(error, TransportError)
            words = ("wants a certificate of this computer's own", "was cut off", "was reset")
            assert any(word in str(error) for word in words), error
