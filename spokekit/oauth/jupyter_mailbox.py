"""From the Jupyter server to the kernel: small private files in the runtime folder, each taken once.

::

    HASH.waiting    the kernel waits for a callback whose state has this hash; where it leads, until when
    HASH.taken      the server has taken the waiting file (an atomic rename: only one delivery can)
    HASH.answer     what came back, read and removed by the kernel

The state itself is written nowhere.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from spokekit._home import private_folder, write_private
from spokekit._secret import Secret
from spokekit.errors import ConsentError, StoreError
from spokekit.oauth.callbacks import Callback, Judge, Receiver, ReceiverName
from spokekit.oauth.environment import CALLBACK_PATH, handover_folder, this_server, where_to_go_back
from spokekit.oauth.passage import for_the_browser

POLL = 0.25
START_PATH = CALLBACK_PATH.replace("callback", "start")


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
    _sweep(folder)
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
    for kind in ("waiting", "taken", "answer"):
        (handover_folder() / f"{_name(state)}.{kind}").unlink(missing_ok=True)


def _read_waiting(path: Path) -> Waiting | None:
    try:
        waiting = msgspec.json.decode(path.read_bytes(), type=Waiting)
    except (OSError, ValueError):
        return None
    return waiting if time.time() < waiting.until else None


def _sweep(folder: Path) -> None:
    """Remove what kernels left behind that ended in the middle of an attempt."""
    for path in folder.iterdir():
        if path.suffix in (".waiting", ".taken", ".answer"):
            try:
                if time.time() - path.stat().st_mtime > 3600:
                    path.unlink()
            except OSError:
                # Another kernel swept it first.
                continue


class ExtensionReceiver(Receiver):
    """The Jupyter server that started this kernel takes the redirect and hands it over."""

    name: ReceiverName = "extension"

    def __init__(self, redirect_uri: str) -> None:
        super().__init__(redirect_uri)
        self._state: Secret | None = None
        self._base = "/"

    def open(self, judge: Judge, authorize_url: Callable[[], str], state: Secret, seconds: float) -> None:
        server = this_server()
        if server is None or not server.extension:
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
            try:
                withdraw(state)
            except (OSError, StoreError):
                # The sweep of the next attempt takes it away.
                return
