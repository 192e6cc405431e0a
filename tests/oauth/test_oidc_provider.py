"""An OAuth server that nobody here wrote (npm's oidc-provider) accepts the grant and the rotation.

It is stricter than Atlassian: it takes forms only, gives no leeway to a refresh token that was used, and ends the whole
grant when one is used twice. So it also shows that no refresh token is ever sent twice.
"""

from __future__ import annotations

import base64
import json
import shutil
import subprocess
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx2
import pytest
from cryptography.hazmat.primitives.asymmetric import ec

from spokekit import errors
from spokekit._secret import Secret
from spokekit.connections.connection import ConnectionDraft
from spokekit.connections.store import default_store
from spokekit.oauth.callbacks import LoopbackReceiver
from spokekit.oauth.grant import Attempt
from spokekit.oauth.token_rows import update_row
from tests.oauth.support import Place, free_port, in_threads

FOLDER = Path(__file__).with_name("oidc")
CLIENT_ID, CLIENT_SECRET = "spokekit-test-client-0001", "a+secret/with=odd%characters&0001"
SCOPES = "openid read:me read:confluence-groups offline_access"


@pytest.fixture(scope="module")
def installed() -> None:
    if shutil.which("node") is None:
        pytest.skip("node is not installed")
    if not (FOLDER / "node_modules" / "oidc-provider").is_dir():
        if shutil.which("npm") is None:
            pytest.skip("npm is not installed, and oidc-provider is not there")
        command = ["npm", "install", "--no-package-lock", "--no-audit", "--no-fund", "--silent"]
        done = subprocess.run(command, cwd=FOLDER, capture_output=True, text=True, timeout=240, check=False)
        if done.returncode:
            pytest.skip(f"npm could not install oidc-provider: {done.stderr.strip()[-300:]}")


def signing_key() -> str:
    numbers = ec.generate_private_key(ec.SECP256R1()).private_numbers()

    def part(value: int) -> str:
        return base64.urlsafe_b64encode(value.to_bytes(32, "big")).rstrip(b"=").decode()

    public = numbers.public_numbers
    return json.dumps(
        {"kty": "EC", "crv": "P-256", "alg": "ES256", "use": "sig", "kid": "test",
         "x": part(public.x), "y": part(public.y), "d": part(numbers.private_value)}
    )  # fmt: skip


class Server:
    def __init__(self, url: str, redirect: str) -> None:
        self.url, self.redirect = url, redirect

    def counts(self) -> dict[str, int]:
        return dict(httpx2.get(self.url + "counts").json())


@pytest.fixture
def serve(installed: None) -> Iterator[Callable[..., Server]]:
    running: list[subprocess.Popen[str]] = []

    def start(**settings: Any) -> Server:
        port, redirect = free_port(), f"http://localhost:{free_port()}/callback"
        about = {
            "port": port, "client_id": CLIENT_ID, "client_secret": CLIENT_SECRET, "redirect_uri": redirect,
            "jwk": signing_key(), "pkce": True, "decline": False, **settings,
        }  # fmt: skip
        process = subprocess.Popen(
            ["node", "--no-warnings", "server.mjs", json.dumps(about)],
            cwd=FOLDER, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True,
        )  # fmt: skip
        running.append(process)
        assert process.stdout is not None
        line = ""
        while "listening" not in line:
            line = process.stdout.readline()
            assert line, "the server ended at once"
        return Server(f"http://127.0.0.1:{port}/", redirect)

    yield start
    for process in running:
        process.terminate()
        process.communicate(timeout=10)


class Clock:
    ahead = timedelta(0)

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


def connect(server: Server, **changes: Any) -> tuple[Place, Any, Clock]:
    clock = Clock()
    place = Place(default_store(), now=clock)
    connection = place.connections.save(
        ConnectionDraft(
            url=server.url,
            auth_url=server.url,
            client_id=CLIENT_ID,
            redirect_uri=server.redirect,
            scopes=SCOPES,
            **changes,
        )
    )
    place.tokens.set_client_secret(connection, Secret(CLIENT_SECRET))
    return place, connection, clock


def consent(place: Place, connection: Any, **more: Any) -> None:
    """Walk through the server's pages with cookies, as a browser does, to our listener."""
    receiver = LoopbackReceiver(connection.redirect_uri)
    attempt = Attempt.start(connection, place.tokens, receiver, **more)
    try:
        with httpx2.Client(follow_redirects=False, timeout=10) as browser:
            address = attempt.authorize_url()
            for _ in range(10):
                answer = browser.get(address)
                if answer.status_code not in (302, 303):
                    break
                address = urljoin(address, answer.headers["location"])
        callback = receiver.wait(1)
        assert callback is not None, answer.text
        try:
            attempt.complete(callback)
        except errors.UnexpectedAnswer as problem:
            # The server knows nothing of Atlassian's list of sites; the token is saved before it is asked for.
            assert problem.status == 404
    finally:
        attempt.cancel()


def test_grant_and_rotation(home: Path, serve: Callable[..., Server]) -> None:
    server = serve()
    place, connection, clock = connect(server)
    consent(place, connection)
    first = place.tokens.access_token(connection)
    status = place.tokens.status(connection)
    assert status.state == "valid" and set(status.scopes) == set(SCOPES.split())
    seen = {first}
    for turn in range(1, 4):
        clock.ahead = timedelta(hours=2 * turn)
        found = in_threads([lambda: place.tokens.access_token(connection)] * 8)
        assert len(set(found)) == 1 and isinstance(found[0], Secret)
        seen.add(found[0])
    assert len(seen) == 4
    # One exchange and one refresh each, of which the first of each kind was sent as JSON and refused unread.
    counts = server.counts()
    assert counts["token"] - counts["refused"] == 4


def test_a_refresh_token_used_by_somebody_else_ends_the_grant_and_is_told(
    home: Path, serve: Callable[..., Server]
) -> None:
    server = serve()
    place, connection, clock = connect(server)
    consent(place, connection)
    sealed = place.tokens._record(connection)
    clock.ahead = timedelta(hours=2)
    place.tokens.access_token(connection)
    # What a second program with a copy of the old token does.
    with place.store.write() as db:
        update_row(db, connection, sealed_grant=sealed.sealed_grant, expires_at=sealed.expires_at)
    with pytest.raises(errors.ConsentNeeded):
        place.tokens.access_token(connection)
    consent(place, connection)
    assert place.tokens.status(connection).state == "valid"


def test_declined_wrong_secret_and_pkce_left_out(home: Path, serve: Callable[..., Server]) -> None:
    place, connection, _ = connect(serve(decline=True))
    with pytest.raises(errors.ConsentDeclined):
        consent(place, connection)
    place.connections.remove(connection.connection_id)

    place, connection, _ = connect(serve())
    with pytest.raises(errors.ConsentError):
        consent(place, connection, pkce=False)
    place.tokens.set_client_secret(connection, Secret("another+secret"))
    with pytest.raises(errors.ClientSecretRefused):
        consent(place, connection)


def test_pkce_is_switched_on_by_the_metadata_of_this_server_and_never_by_atlassians(
    home: Path, serve: Callable[..., Server]
) -> None:
    place, connection, _ = connect(serve(pkce=False))
    assert not connection.pkce and place.tokens.endpoint(connection).advertises_pkce()

    def atlassians(request: httpx2.Request) -> httpx2.Response:
        return httpx2.Response(200, json={"code_challenge_methods_supported": ["S256"]})

    real = place.connections.add_child(ConnectionDraft(name="Real", client_id=CLIENT_ID))
    place.tokens._transport = httpx2.MockTransport(atlassians)
    assert not place.tokens.endpoint(real).advertises_pkce()
    assert place.tokens.endpoint(connection).advertises_pkce()
