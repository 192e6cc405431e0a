"""Why nobody was reached, each cause with a sentence of its own: real TLS servers, real proxies, real sockets."""

from __future__ import annotations

import contextlib
import os
import socket
import threading
from datetime import datetime
from pathlib import Path
from typing import Any

import pytest

from spokekit._secret import Secret
from spokekit.confluence.spoke import Spoke
from spokekit.errors import SetupError, TransportError
from spokekit.oauth.endpoint import Endpoint

from .fake import FakeTokens, connection
from .network import SETTINGS, answering, both, certificate, endpoint_says, resetting, serving, spoke_says, tls_site


@pytest.fixture(autouse=True)
def _no_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in SETTINGS:
        monkeypatch.delenv(name, raising=False)


# -- certificates ------------------------------------------------------------------------------------------------------


def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    with tls_site(*certificate(tmp_path)) as port:
        said, slept = both(f"https://localhost:{port}/")
    assert "The certificate of localhost is not signed by anybody whom this computer's own list trusts" in said
    assert "root certificate" in said and "SSL_CERT_FILE" in said
    assert slept == [], "the same try would end the same"


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
def test_one_that_a_variable_names_is_trusted(tmp_path: Path, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path)
    monkeypatch.setenv(variable, str(pem))
    with (
        tls_site(pem, key) as port,
        Spoke(connection(url=f"https://localhost:{port}/"), FakeTokens()) as spoke,
    ):
        assert len(spoke.look_up_groups(with_access=False)) == 0


def test_the_first_variable_decides(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path)
    other, _ = certificate(tmp_path, name="elsewhere")
    monkeypatch.setenv("SSL_CERT_FILE", str(other))
    monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
    with tls_site(pem, key) as port:
        said, _ = both(f"https://localhost:{port}/")
    assert f"SSL_CERT_FILE ({other})" in said


@pytest.mark.parametrize(
    ("more", "words"),
    [
        ({"name": "example.com"}, "is made out to another name than localhost"),
        ({"begins": -9, "ends": -2}, "has expired, by this computer's clock"),
        ({"begins": 3, "ends": 9}, "is not valid yet, by this computer's clock"),
    ],
)
def test_what_else_is_wrong_with_a_certificate(
    tmp_path: Path, more: dict[str, Any], words: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    pem, key = certificate(tmp_path, **more)
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    with tls_site(pem, key) as port:
        said, slept = both(f"https://localhost:{port}/")
    assert words in said
    assert slept == []
    if "clock" in words:
        assert f"{datetime.now().astimezone():%Y-%m-%d}" in said


def test_plain_http_where_tls_is_spoken() -> None:
    with serving(answering("400 Bad Request")) as port:
        said, slept = both(f"https://localhost:{port}/")
    assert "does not speak TLS" in said
    assert slept == []


# -- names and ports ---------------------------------------------------------------------------------------------------


def test_a_name_that_does_not_resolve(monkeypatch: pytest.MonkeyPatch) -> None:
    said, slept = both("https://no-such-host.invalid/")
    assert "The name no-such-host.invalid does not resolve" in said and "VPN" in said
    assert len(slept) <= 1


def test_nobody_listens() -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    said, _ = both(f"http://127.0.0.1:{port}/")
    assert f"Nobody listens at 127.0.0.1:{port}" in said and "spokekit practice" in said


def test_a_connection_that_is_reset() -> None:
    with serving(resetting) as port:
        first, _ = spoke_says(f"https://localhost:{port}/")
        second = endpoint_says(f"https://localhost:{port}/")
    for error in (first, second):
        assert isinstance(error, TransportError)
        assert "was reset" in str(error) or "cut off" in str(error), str(error)


# -- proxies -----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("line", "words"),
    [
        ("407 Proxy Authentication Required", "wants a name and a password (407)"),
        ("403 Forbidden", "does not let anything through to api.example.invalid (403 Forbidden)"),
        ("451 Unavailable For Legal Reasons", "does not let anything through"),
    ],
)
@pytest.mark.parametrize("variable", ["HTTPS_PROXY", "https_proxy", "ALL_PROXY"])
def test_a_proxy_that_refuses_is_told_at_once(
    line: str, words: str, variable: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with serving(answering(line)) as port:
        monkeypatch.setenv(variable, f"http://me:secret-of-proxy@127.0.0.1:{port}")
        said, slept = both("https://api.example.invalid/")
    assert words in said and f"127.0.0.1:{port}" in said
    if "407" in line:
        assert variable in said
    assert slept == [], "not after 80 s of tries"


def test_a_proxy_that_has_no_way_there_is_asked_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with serving(answering("502 Bad Gateway")) as port:
        monkeypatch.setenv("HTTPS_PROXY", f"127.0.0.1:{port}")
        said, slept = both("https://api.example.invalid/")
    assert "could not reach api.example.invalid (502 Bad Gateway)" in said
    assert slept


def test_a_proxy_that_is_off_and_one_without_an_address(monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{port}")
    said, _ = both("https://api.example.invalid/")
    assert f"The proxy 127.0.0.1:{port}, named in HTTPS_PROXY, is not listening" in said
    monkeypatch.setenv("HTTPS_PROXY", "http://no-such-proxy.invalid:3128")
    said, _ = both("https://api.example.invalid/")
    assert "The proxy no-such-proxy.invalid:3128, named in HTTPS_PROXY, cannot be found" in said


@pytest.mark.parametrize("scheme", ["socks5", "socks5h", "socks"])
def test_a_socks_proxy_carries_the_request(scheme: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pem, key = certificate(tmp_path, name="api.example.invalid")
    monkeypatch.setenv("SSL_CERT_FILE", str(pem))
    wanted: list[bytes] = []

    with tls_site(pem, key) as site:

        def socks(one: socket.socket) -> None:
            one.recv(64)
            one.sendall(b"\x05\x00")
            wanted.append(one.recv(512))
            one.sendall(b"\x05\x00\x00\x01\x7f\x00\x00\x01\x00\x50")
            with socket.create_connection(("127.0.0.1", site), 3) as beyond:
                for _ in range(2):
                    one.settimeout(0.5)
                pump = threading.Thread(target=_pump, args=(beyond, one), daemon=True)
                pump.start()
                _pump(one, beyond)

        with serving(socks) as port:
            monkeypatch.setenv("ALL_PROXY", f"{scheme}://127.0.0.1:{port}/")
            with Spoke(connection(url="https://api.example.invalid/"), FakeTokens()) as spoke:
                assert len(spoke.look_up_groups(with_access=False)) == 0
    assert b"api.example.invalid" in wanted[0], "the proxy resolves the name"


def _pump(one: socket.socket, other: socket.socket) -> None:
    with contextlib.suppress(OSError):
        while data := one.recv(65_536):
            other.sendall(data)


def test_without_its_package_a_socks_proxy_names_the_package(monkeypatch: pytest.MonkeyPatch) -> None:
    from spokekit import _surroundings

    monkeypatch.setattr(_surroundings, "_has", lambda _package: False)
    monkeypatch.setenv("ALL_PROXY", "socks5://127.0.0.1:1080")
    with pytest.raises(SetupError, match=r"socksio\) is not installed.*httpx2\[socks\]") as caught:
        Spoke(connection(), FakeTokens())
    assert caught.value.setting == "ALL_PROXY"


@pytest.mark.parametrize(
    "said", ["ftp://127.0.0.1:1", "http://", "http://host:notaport", "socks4://h:1", "http://a b:1"]
)
def test_a_proxy_setting_that_cannot_be_used_is_named(said: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", said)
    with pytest.raises(SetupError, match="HTTPS_PROXY names a proxy") as caught:
        Spoke(connection(), FakeTokens())
    assert caught.value.next_step == "fix_computer"
    with pytest.raises(SetupError, match="HTTPS_PROXY names a proxy"):
        Endpoint(connection()).refresh(Secret("a-token"), Secret("a-secret"))


@pytest.mark.parametrize("no", ["api.example.invalid", ".example.invalid", "*"])
def test_no_proxy_is_obeyed(no: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HTTPS_PROXY", "http://127.0.0.1:9")
    monkeypatch.setenv("NO_PROXY", no)
    said, _ = both("https://api.example.invalid/")
    assert "api.example.invalid does not resolve" in said


# -- never a proxy for loopback ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost", "[::1]", "LOCALHOST"])
@pytest.mark.parametrize("variable", ["HTTP_PROXY", "ALL_PROXY", "http_proxy"])
def test_no_loopback_request_goes_through_a_proxy(host: str, variable: str, monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def note(one: socket.socket) -> None:
        seen.append(one.recv(65_536))

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    with serving(note) as port:
        monkeypatch.setenv(variable, f"http://127.0.0.1:{port}")
        assert "proxy" not in os.environ.get("NO_PROXY", "")
        spoke_says(f"http://{host}:{nobody}/")
        endpoint_says(f"http://{host}:{nobody}/")
    assert seen == []


def test_a_remote_and_a_local_address_in_one_connection_keep_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[bytes] = []

    def note(one: socket.socket) -> None:
        seen.append(one.recv(65_536))
        one.sendall(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 0\r\n\r\n")

    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        nobody = probe.getsockname()[1]
    with serving(note) as port:
        monkeypatch.setenv("ALL_PROXY", f"http://127.0.0.1:{port}")
        mixed = connection(url="https://api.example.invalid/", auth_url=f"http://127.0.0.1:{nobody}/")
        with pytest.raises(TransportError, match="Nobody listens"):
            Endpoint(mixed).refresh(Secret("a-token"), Secret("a-secret"))
        assert seen == []
        with pytest.raises(TransportError, match="does not let anything through"):
            Endpoint(mixed).sites(Secret("a-token"))
        assert len(seen) == 1


# -- certificates' variables that cannot be used -----------------------------------------------------------------------


@pytest.mark.parametrize("variable", ["SSL_CERT_FILE", "SSL_CERT_DIR", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE"])
@pytest.mark.parametrize("kind", ["missing", "not PEM", "empty file"])
def test_a_certificates_variable_that_cannot_be_used_is_named(
    variable: str, kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "bundle.pem"
    if kind != "missing":
        path.write_text("" if kind == "empty file" else "no certificate\n")
    monkeypatch.setenv(variable, str(path))
    for make in (
        lambda: Spoke(connection(), FakeTokens()),
        lambda: Endpoint(connection()).refresh(Secret("a-token"), Secret("a-secret")),
    ):
        with pytest.raises(SetupError, match=rf"{variable} says .*bundle\.pem (is not there|holds no)") as caught:
            make()
        assert (caught.value.setting, caught.value.next_step) == (variable, "fix_computer")
        assert f"unset {variable}" in str(caught.value)


def test_a_folder_of_certificates_is_taken_where_folders_are_meant(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_DIR", str(tmp_path))
    Spoke(connection(), FakeTokens()).close()
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path))
    with pytest.raises(SetupError, match="is a folder; SSL_CERT_DIR is for folders"):
        Spoke(connection(), FakeTokens())


def test_keys_are_logged_where_that_is_possible_and_else_the_variable_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "keys.log"))
    Spoke(connection(), FakeTokens()).close()
    monkeypatch.setenv("SSLKEYLOGFILE", str(tmp_path / "nowhere" / "keys.log"))
    with pytest.raises(SetupError, match=r"SSLKEYLOGFILE names .* cannot be written"):
        Spoke(connection(), FakeTokens())


def test_on_loopback_no_such_setting_matters(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "SSLKEYLOGFILE"):
        monkeypatch.setenv(name, "/nowhere/at/all")
    monkeypatch.setenv("ALL_PROXY", "nonsense://")
    Spoke(connection(url="http://127.0.0.1:9/"), FakeTokens()).close()
