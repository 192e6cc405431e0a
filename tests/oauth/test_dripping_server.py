"""A sign-in service that sends and never ends: one deadline over the whole exchange, headers included."""

from __future__ import annotations

import contextlib
import socket
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from spokekit._secret import Secret
from spokekit.confluence import RetryPolicy, Timeouts
from spokekit.confluence.spoke import Spoke
from spokekit.connections.store import Store
from spokekit.errors import SpokekitError
from spokekit.oauth import endpoint
from spokekit.oauth.endpoint import AnswerLate, Endpoint
from spokekit.practice import PracticeSite
from tests.confluence.fake import FakeTokens, connection
from tests.oauth.support import Place, granted

DRIPS = {
    "one header": (b"HTTP/1.1 200 OK\r\nX-Long: ", b"x"),
    "header after header": (b"HTTP/1.1 200 OK\r\n", b"X-More: 1\r\n"),
    "the status line": (b"HTTP/1.1 200 ", b"O"),
    "the body": (b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 100000\r\n\r\n", b" "),
}


@pytest.fixture
def dripping() -> Iterator[Callable[[str], str]]:
    """Serve answers of which a piece comes every twentieth of a second, for ever."""
    ended = threading.Event()
    listeners: list[socket.socket] = []

    def serve(kind: str) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        listeners.append(listener)
        first, piece = DRIPS[kind]

        def answer(one: socket.socket) -> None:
            with contextlib.suppress(OSError), one:
                one.recv(65_536)
                one.sendall(first)
                while not ended.wait(0.05):
                    one.sendall(piece)

        def listen() -> None:
            with contextlib.suppress(OSError):
                while True:
                    threading.Thread(target=answer, args=(listener.accept()[0],), daemon=True).start()

        threading.Thread(target=listen, daemon=True).start()
        return f"http://127.0.0.1:{listener.getsockname()[1]}/"

    yield serve
    ended.set()
    for listener in listeners:
        listener.shutdown(socket.SHUT_RDWR)
        listener.close()


@pytest.mark.parametrize("kind", DRIPS)
def test_the_sign_in_service_is_waited_for_no_longer_than_the_deadline(
    kind: str, dripping: Callable[[str], str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(endpoint, "DEADLINE", 0.6)
    url = dripping(kind)
    for ask in (
        lambda: Endpoint(connection(url=url, auth_url=url)).refresh(Secret("a-token"), Secret("a-secret")),
        lambda: Endpoint(connection(url=url, auth_url=url)).sites(Secret("a-token")),
    ):
        began = time.monotonic()
        with pytest.raises(AnswerLate):
            ask()
        assert time.monotonic() - began < 30


@pytest.mark.parametrize("kind", DRIPS)
def test_so_is_confluence(kind: str, dripping: Callable[[str], str]) -> None:
    began = time.monotonic()
    spoke = Spoke(
        connection(url=dripping(kind)),
        FakeTokens(),
        retry=RetryPolicy(retries=0),
        timeouts=Timeouts(connect=1, read=1, request=0.6),
    )
    with spoke, pytest.raises(SpokekitError, match="not answered within"):
        spoke.look_up_accessible_resources()
    assert time.monotonic() - began < 30


def test_the_stores_lock_is_free_again_and_the_token_is_kept(
    dripping: Callable[[str], str], site: PracticeSite, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = Place(Store("sqlite://"), site)
    saved = granted(place, site)
    site.advance(4000)
    moved = place.connections.edit(saved.connection_id, url=(url := dripping("one header")), auth_url=url)
    monkeypatch.setattr(endpoint, "DEADLINE", 0.6)
    before = place.tokens.status(moved).state
    with pytest.raises(SpokekitError):
        place.tokens.access_token(moved)
    with place.store.write():
        pass
    assert place.tokens.status(moved).state == before
