"""Between the Jupyter server and the kernel: small private files in the runtime folder.

What came back from the consent page goes to the kernel in files that are each taken once::

    HASH.waiting    the kernel waits for a callback whose state has this hash; where it leads, until when
    HASH.taken      the server has taken the waiting file (an atomic rename: only one delivery can)
    HASH.answer     what came back, read and removed by the kernel

The state itself is written nowhere.

A person whose browser is elsewhere comes to the practice site's pages through the Jupyter server as well. On a hub, on
Binder or on a server far away the practice site listens beside the kernel, where the person's browser cannot come. The
Jupyter server can be reached; spokekit's extension in it passes the practice site's pages on
(`spokekit.server_extension.pages`), on the ports that a kernel of the same user has named here, and on no others. What
programs ask, the token endpoint and the API, goes to the practice site directly as ever::

    practice-PORT.json    a kernel's practice site is on this port; its key

The practice site opens its console, and lets somebody sign in as another person, only where its key is known. The
extension finds it in the kernel's note, which is private to the user; a browser on this machine comes by a link made
with it, which works once.
"""

from __future__ import annotations

import hashlib
import hmac
import json
import os
import secrets
import time
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import msgspec

from spokekit._home import private_folder, write_private
from spokekit._secret import Secret
from spokekit._surroundings import LOOPBACK_NAMES
from spokekit.errors import ConsentError, StoreError
from spokekit.oauth.callbacks import Callback, Judge, Receiver, ReceiverName
from spokekit.oauth.environment import (
    CALLBACK_PATH,
    browser_is_elsewhere,
    extended_server,
    handover_folder,
    where_to_go_back,
)

POLL = 0.25
START_PATH = CALLBACK_PATH.replace("callback", "start")
PAGES_PATH = "spokekit/practice"
PAGES = ("authorize", "console", "connected-apps", "happened", "instance")
KEY_HEADER = "X-Practice-Key"
# A port that a practice site has left may be another program's tomorrow.
NAMED_FOR = 86_400.0
_LEFT_BEHIND = 3600.0
_KINDS = (".waiting", ".taken", ".answer")


@dataclass(frozen=True)
class Waiting:
    """What a kernel waits for."""

    authorize_url: str
    redirect_uri: str
    until: float
    place: str = ""
    """Where the person came from, for the page after the consent."""


class _Answer(msgspec.Struct):
    code: str | None = None
    error: str | None = None
    error_description: str | None = None

    def __repr__(self) -> str:
        return "_Answer(…)"


def _name(state: Secret) -> str:
    return hashlib.sha256(state.reveal().encode()).hexdigest()


def announce(state: Secret, waiting: Waiting) -> None:
    """Write down that a callback with `state` is waited for."""
    folder = private_folder(handover_folder())
    _sweep((path for path in folder.iterdir() if path.suffix in _KINDS), _LEFT_BEHIND)
    write_private(folder / f"{_name(state)}.waiting", msgspec.json.encode(waiting))


def waiting_for(state: Secret) -> Waiting | None:
    """Return what is waited for with `state`, or None when nothing is, or no longer."""
    return _read_waiting(handover_folder() / f"{_name(state)}.waiting")


def take(state: Secret) -> Waiting | None:
    """Use the state up: the first call returns what was waited for, every later one None."""
    folder, name = handover_folder(), _name(state)
    try:
        (folder / f"{name}.waiting").rename(folder / f"{name}.taken")
    except OSError:
        return None
    return _read_waiting(folder / f"{name}.taken")


def was_taken(state: Secret) -> bool:
    """Tell whether a callback with `state` came before."""
    name = _name(state)
    return any((handover_folder() / f"{name}.{kind}").exists() for kind in ("taken", "answer"))


def hand_over(callback: Callback) -> None:
    """Write the callback for the kernel that waits for it."""
    assert callback.state is not None  # noqa: S101 - it was found by its state
    write_private(
        handover_folder() / f"{_name(callback.state)}.answer",
        msgspec.json.encode(
            _Answer(callback.code.reveal() if callback.code else None, callback.error, callback.error_description)
        ),
    )


def collect(state: Secret) -> Callback | None:
    """Return the callback that was handed over, and remove its file; None while there is none."""
    path = handover_folder() / f"{_name(state)}.answer"
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Answer)
        path.unlink()
    except (OSError, ValueError):
        return None
    return Callback(Secret(found.code) if found.code else None, state, found.error, found.error_description or "")


def withdraw(state: Secret) -> None:
    """Remove what is left of an attempt."""
    for kind in _KINDS:
        (handover_folder() / f"{_name(state)}{kind}").unlink(missing_ok=True)


def _read_waiting(path: Path) -> Waiting | None:
    try:
        waiting = msgspec.json.decode(path.read_bytes(), type=Waiting)
    except (OSError, ValueError):
        return None
    return waiting if time.time() < waiting.until else None


def _sweep(paths: Iterable[Path], older_than: float) -> None:
    """Remove what kernels left behind that ended in the middle of an attempt, or whose practice site has."""
    for path in paths:
        # Another kernel may sweep it first.
        with suppress(OSError):
            if time.time() - path.stat().st_mtime > older_than:
                path.unlink()


class ExtensionReceiver(Receiver):
    """The Jupyter server that started this kernel takes the redirect and hands it over."""

    name: ReceiverName = "extension"

    def __init__(self, redirect_uri: str) -> None:
        super().__init__(redirect_uri)
        self._state: Secret | None = None
        self._base = "/"

    def open(self, judge: Judge, authorize_url: Callable[[], str], state: Secret, seconds: float) -> None:
        server = extended_server()
        if server is None:
            raise ConsentError(
                "spokekit's extension is not running in the Jupyter server that started this kernel.",
                likely="The package was installed after the server had started, or this is not a Jupyter kernel.",
                hint="Restart the Jupyter server, or paste the address of the page after the consent instead.",
                next_step="retry",
            )
        super().open(judge, authorize_url, state, seconds)
        self._base = server.base_url
        ends = time.time() + seconds
        announce(state, Waiting(for_the_browser(authorize_url()), self.redirect_uri, ends, where_to_go_back()))
        self._state = state

    def link(self, authorize_url: str) -> str:
        """Return the path in the Jupyter server that leads to the consent page: the browser knows the host."""
        if self._state is None:
            return authorize_url
        return f"{self._base.rstrip('/')}/{START_PATH}?flow={self._state.reveal()}"

    def wait(self, timeout: float) -> Callback | None:
        ends = time.monotonic() + timeout
        while True:
            state = self._state
            found = collect(state) if state is not None else None
            if found is not None:
                self._take(found)
            callback = super().wait(min(POLL, max(0.0, ends - time.monotonic())))
            if callback is not None or time.monotonic() >= ends:
                return callback

    def close(self) -> None:
        super().close()
        state, self._state = self._state, None
        if state is not None:
            # Else the sweep of the next attempt takes it away.
            with suppress(OSError, StoreError):
                withdraw(state)


# ------------------------------------------------------------------ the practice site's pages


def for_the_browser(address: str, environ: Mapping[str, str] | None = None, *, key: str = "") -> str:
    """Return where the person opens `address`, a page that the kernel knows.

    A page of a practice site on this machine becomes a path in the Jupyter server when the browser is elsewhere and
    spokekit's extension is on in that server: the browser knows the host. For a browser on this machine it becomes a
    link that works once. Every other address stays as it is, Atlassian's above all. It is for showing only; it may hold
    a state, and is kept nowhere.

    Parameters
    ----------
    address:
        What the kernel knows the page by.
    environ:
        The environment variables; this process's when left out.
    key:
        The practice site's key; without it, the one in ``SPOKEKIT_PRACTICE`` if that is the site of the address.
    """
    environ = os.environ if environ is None else environ
    try:
        parts = urlsplit(address)
        host, port = parts.hostname or "", parts.port
    except ValueError:
        return address
    page = parts.path.lstrip("/")
    if parts.scheme != "http" or host not in LOOPBACK_NAMES or port is None or page not in PAGES:
        return address
    key = key or _told_key(port, environ)
    server = extended_server(environ)
    if server is None or browser_is_elsewhere(environ) is None:
        return _once(address, key) if key else address
    try:
        _name_port(port, key)
    except (OSError, StoreError):
        # The extension would not know the port: the address itself says more than a page that refuses.
        return address
    query = f"?{parts.query}" if parts.query else ""
    return f"{server.base_url.rstrip('/')}/{PAGES_PATH}/{port}/{page}{query}"


def _told_key(port: int, environ: Mapping[str, str]) -> str:
    with suppress(ValueError, AttributeError):
        told = json.loads(environ.get("SPOKEKIT_PRACTICE") or "{}")
        if urlsplit(str(told.get("url"))).port == port:
            return str(told.get("key") or "")
    return ""


def _once(address: str, key: str) -> str:
    """Return a link that lets the browser in once; the form is told in `spokekit.practice.keys`."""
    body = f"{int(time.time())}.{secrets.token_hex(8)}"
    total = hmac.new(key.encode(), body.encode(), hashlib.sha256).hexdigest()
    return f"{address}{'&' if urlsplit(address).query else '?'}open={body}.{total}"


def key_of(port: int) -> str:
    """Return the key that a kernel of this user named with the practice site on `port`; empty when it named none."""
    with suppress(OSError, ValueError, AttributeError):
        return str(json.loads(_note(port).read_text(encoding="utf-8")).get("key") or "")
    return ""


def is_named(port: int) -> bool:
    """Tell whether a kernel of this user said within the last day that a practice site is on `port`."""
    try:
        return time.time() - _note(port).stat().st_mtime < NAMED_FOR
    except OSError:
        return False


def _name_port(port: int, key: str) -> None:
    folder = private_folder(handover_folder())
    _sweep(folder.glob("practice-*"), NAMED_FOR)
    write_private(_note(port), json.dumps({"key": key or key_of(port)}).encode())


def _note(port: int) -> Path:
    return handover_folder() / f"practice-{port}.json"
