"""A forked child (multiprocessing on Linux) neither waits for its parent's threads nor loses the token."""

from __future__ import annotations

import multiprocessing
import os
import threading
from pathlib import Path
from typing import Any

import httpx2
import pytest

from spokekit import _portal
from spokekit.connections.store import Store
from spokekit.errors import StoreError
from spokekit.practice import PracticeSite
from tests.oauth.support import Place, granted

pytestmark = [
    pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork"),
    pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning"),
]


def ends_well(work: Any, *arguments: Any) -> bool:
    """Run `work` in a forked child; False when it fails or hangs."""
    child = multiprocessing.get_context("fork").Process(target=work, args=arguments)
    child.start()
    child.join(15)
    if child.is_alive():
        child.kill()
        child.join()
    return child.exitcode == 0


class Held(httpx2.BaseTransport):
    """A network on which the first request of the parent waits until it is let go."""

    def __init__(self) -> None:
        self.sent, self.go, self.parent = threading.Event(), threading.Event(), os.getpid()

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        if os.getpid() == self.parent:
            self.sent.set()
            self.go.wait(30)
        with httpx2.HTTPTransport() as real:
            response = real.handle_request(request)
            response.read()
        return response


@pytest.mark.parametrize("kept", ["memory", "file"])
def test_a_child_forked_during_a_refresh_waits_for_no_thread_of_its_parent(
    home: Path, site: PracticeSite, kept: str
) -> None:
    held = Held()
    home.mkdir(exist_ok=True)
    url = "sqlite://" if kept == "memory" else f"sqlite:///{home / 'store.sqlite'}"
    place = Place(Store(url, lock_timeout=1.0), site, transport=held)
    connection = granted(place, site)
    first = place.tokens.access_token(connection)
    refreshing = threading.Thread(target=place.tokens.access_token, args=(connection,), kwargs={"rejected": first})
    refreshing.start()
    assert held.sent.wait(10)

    def ask() -> None:
        try:
            assert place.tokens.access_token(connection, rejected=first) != first
        except StoreError:
            # SQLite takes its parent's write lock for the child's own: no wait helps there, and the child is told so.
            assert kept == "file"

    assert ends_well(ask)
    held.go.set()
    refreshing.join(10)
    # Whatever the child did, the parent goes on.
    assert place.tokens.access_token(connection) != first
    site.advance(4_000)
    assert place.tokens.access_token(connection) != first


def test_a_child_has_an_io_thread_of_its_own() -> None:
    async def two() -> int:
        return 2

    assert _portal.call(two) == 2

    def ask() -> None:
        assert _portal.call(two) == 2

    assert ends_well(ask)
