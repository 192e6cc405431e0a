"""The listener for the redirect has both loopback addresses or none: whoever has the other one would get the code."""

from __future__ import annotations

import os
import shutil
import socket
import subprocess
from collections.abc import Iterator

import pytest

from spokekit._secret import Secret
from spokekit.errors import ConsentError
from spokekit.oauth.callbacks import LoopbackReceiver, loopback_hosts, port_in_use
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, configured

HAS_IPV6 = socket.has_ipv6 and not port_in_use(0, "::1")


@pytest.fixture
def port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def _listen(host: str, port: int) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    one = socket.socket(family, socket.SOCK_STREAM)
    one.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    if family == socket.AF_INET6:
        one.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)
    one.bind((host, port))
    one.listen()
    return one


def _open(uri: str) -> LoopbackReceiver:
    made = LoopbackReceiver(uri)
    made.open(lambda _callback: None, lambda: "", Secret("state"), 5)
    return made


def _reached(host: str, port: int) -> bool:
    try:
        with socket.create_connection((host, port), 1):
            return True
    except OSError:
        return False


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize("taken", ["127.0.0.1", "::1"])
def test_with_one_of_the_two_taken_nothing_listens(taken: str, port: int) -> None:
    with _listen(taken, port):
        with pytest.raises(ConsentError, match=f"Port {port} at {taken}"):
            _open(f"http://localhost:{port}/callback")
        other = "::1" if taken == "127.0.0.1" else "127.0.0.1"
        assert not _reached(other, port)
        assert port_in_use(port).startswith(taken)


@pytest.mark.skipif(not HAS_IPV6, reason="this machine has no IPv6 loopback")
@pytest.mark.parametrize(
    ("uri", "hosts"),
    [
        ("http://localhost:{}/callback", {"127.0.0.1", "::1"}),
        ("http://127.0.0.1:{}/callback", {"127.0.0.1"}),
        ("http://[::1]:{}/callback", {"::1"}),
    ],
)
def test_the_address_of_the_redirect_decides(uri: str, hosts: set[str], port: int) -> None:
    receiver = _open(uri.format(port))
    try:
        assert {host for host in ("127.0.0.1", "::1") if _reached(host, port)} == hosts
    finally:
        receiver.close()
    assert set(loopback_hosts(uri.format(port).split("/")[2].rsplit(":", 1)[0])) == hosts


def test_without_ipv6_the_other_one_is_enough(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    original = socket.socket.bind

    def bind(self: socket.socket, address: tuple[object, ...]) -> None:
        if self.family == socket.AF_INET6:
            raise OSError(99, "Cannot assign requested address")
        original(self, address)

    monkeypatch.setattr(socket.socket, "bind", bind)
    receiver = _open(f"http://localhost:{port}/callback")
    receiver.close()
    assert port_in_use(port) == ""


@pytest.fixture
def stranger(port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Another user's program, which listens at [::1] and notes what it is sent."""
    if not HAS_IPV6 or not hasattr(os, "geteuid") or os.geteuid() != 0 or shutil.which("setpriv") is None:
        pytest.skip("only root can become another user, and only where there is IPv6")
    code = (
        "import socket\ns = socket.socket(socket.AF_INET6)\n"
        "s.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)\n"
        "s.setsockopt(socket.IPPROTO_IPV6, socket.IPV6_V6ONLY, 1)\n"
        f"s.bind(('::1', {port}))\ns.listen()\nprint('ready', flush=True)\n"
        "while True:\n    c, _ = s.accept()\n    print(c.recv(4096), flush=True)\n    c.close()\n"
    )
    here = ("setpriv", "--reuid", "54321", "--regid", "54321", "--clear-groups", "/usr/bin/env", "python3", "-c", code)
    running = subprocess.Popen(here, stdout=subprocess.PIPE, cwd="/")
    assert running.stdout is not None
    assert running.stdout.readline() == b"ready\n"
    yield running
    running.kill()
    running.wait(5)
    running.stdout.close()


def test_another_users_program_gets_neither_code_nor_state(
    stranger: subprocess.Popen[bytes], port: int, site: PracticeSite
) -> None:
    from spokekit.connections.store import Store
    from spokekit.oauth.grant import get_token

    place = Place(Store("sqlite://"), site)
    site.apps[0].redirect_uris[:] = [f"http://localhost:{port}/callback"]
    saved = configured(place, site)
    saved = place.connections.edit(saved.connection_id, redirect_uri=f"http://localhost:{port}/callback")
    opened: list[str] = []
    with pytest.raises(ConsentError, match="::1"):
        get_token(place, saved, receiver="loopback", open_browser=opened.append, timeout=5)  # type: ignore[arg-type]
    assert opened == [], "no consent page is opened whose answer somebody else would get"
    stranger.kill()
    assert stranger.stdout is not None
    assert stranger.stdout.read() == b""
