"""What the tests of this room share: a workspace on a practice site's clock, and a browser that is played."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Sequence
from datetime import UTC, datetime
from typing import Any

import httpx2

from spokekit._secret import Secret
from spokekit.connections.connection import Connection, ConnectionDraft, Connections
from spokekit.connections.store import Store
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.vault import Vault
from spokekit.practice import PracticeSite


class Place:
    """What `get_token` needs of a workspace, on any store, with the practice site's clock."""

    def __init__(self, store: Store, site: PracticeSite | None = None, **options: Any) -> None:
        self.store = store
        self.connections = Connections(store)
        self.vault = Vault.open(store)
        if site is not None:
            options.setdefault("now", lambda: datetime.fromtimestamp(site.clock.now(), UTC))
        self.tokens = Tokens(store, self.vault, **options)

    def connection(self) -> Connection:
        return self.connections.get()


def configured(place: Place, site: PracticeSite, **changes: Any) -> Connection:
    """Save a connection to `site` with its client secret, without a token."""
    draft = ConnectionDraft(
        **{
            "url": site.url,
            "auth_url": site.auth_url,
            "client_id": site.client_id,
            "redirect_uri": site.redirect_uris[0],
            **changes,
        }
    )
    connection = place.connections.save(draft)
    place.tokens.set_client_secret(connection, Secret(site.client_secret))
    return connection


def granted(place: Place, site: PracticeSite, **changes: Any) -> Connection:
    """The same with a token."""
    connection = configured(place, site, **changes)
    place.tokens.save_grant(connection, site.issue_token(scopes=connection.scopes))
    return connection


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


class Player:
    """A person with a browser: opens the consent page, decides, and follows the redirect unless told not to."""

    def __init__(self, site: PracticeSite, decision: str = "accept", *, follow: bool = True) -> None:
        self.site, self.decision, self.follow = site, decision, follow
        self.callback_url = ""
        self.answers: list[httpx2.Response] = []
        self._threads: list[threading.Thread] = []

    def __call__(self, authorize_url: str) -> None:
        thread = threading.Thread(target=self._play, args=(authorize_url,))
        thread.start()
        self._threads.append(thread)

    def _play(self, authorize_url: str) -> None:
        self.callback_url = self.site.play_browser(authorize_url, decision=self.decision)
        if self.follow:
            self.answers.append(httpx2.get(self.callback_url, timeout=5))

    def wait(self) -> None:
        for thread in self._threads:
            thread.join(10)


def in_threads(works: Sequence[Callable[[], Any]]) -> list[Any]:
    """Run all at once; returns results and exceptions in order."""
    out: list[Any] = [None] * len(works)

    def run(number: int, work: Callable[[], Any]) -> None:
        try:
            out[number] = work()
        except Exception as error:  # noqa: BLE001 - the test looks at it
            out[number] = error

    threads = [threading.Thread(target=run, args=(n, work)) for n, work in enumerate(works)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return out


def until(what: Callable[[], object]) -> None:
    """Wait until something is so."""
    deadline = time.monotonic() + 30
    while not what():
        assert time.monotonic() < deadline, "it did not happen within 30 seconds"
        time.sleep(0.02)
