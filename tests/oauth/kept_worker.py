"""One process whose disk is filled between Atlassian's rotation and the store: it gets a token, says so, and ends.

Usage: kept_worker.py CONNECTION_ID SECONDS_AHEAD RESERVE(0|1); without the reserve nothing is left on the disk at all.
"""

from __future__ import annotations

import os
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path

import httpx2

from spokekit._home import home
from spokekit.connections.connection import Connections
from spokekit.connections.store import default_store
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.vault import Vault


def fill(folder: Path) -> None:
    """Leave not one byte on the disk that `folder` is on."""
    with (folder / "spokekit.sqlite-filler").open("wb", buffering=0) as filler:
        for size in (65_536, 4_096, 1):
            try:
                while True:
                    filler.write(b"x" * size)
            except OSError:
                continue


class FullDisk(httpx2.BaseTransport):
    def __init__(self, folder: Path, *, reserve: bool) -> None:
        self._folder, self._reserve = folder, reserve

    def handle_request(self, request: httpx2.Request) -> httpx2.Response:
        with httpx2.HTTPTransport() as real:
            answer = real.handle_request(request)
            answer.read()
        for path in self._folder.glob(".token-*"):
            if not self._reserve:
                path.unlink()
        fill(self._folder)
        return answer


def main(connection_id: str, ahead: float, reserve: bool) -> None:
    store = default_store()
    connection = Connections(store).get(connection_id)
    tokens = Tokens(
        store,
        Vault.open(store),
        transport=FullDisk(home(), reserve=reserve),
        now=lambda: datetime.now(UTC) + timedelta(seconds=ahead),
    )
    token = tokens.access_token(connection)
    answer = httpx2.get(connection.url + "me", headers={"Authorization": f"Bearer {token.reveal()}"})
    print(answer.status_code, flush=True)
    print(tokens.status(connection).words, flush=True)
    if reserve and os.environ.get("STAY"):
        sys.stdin.readline()
    print("the end", flush=True)


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3] == "1")
