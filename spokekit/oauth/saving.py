"""Tokens in the hands of this process: written again and again until the store has them, or at least a sealed file.

A program that has nowhere to write a token does not end before it is down; one that has it in a file may end, and the
next one goes on.
"""

from __future__ import annotations

import logging
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from spokekit.connections.per_store import PerStore
from spokekit.connections.store import Store
from spokekit.errors import NotFound, SpokekitError
from spokekit.oauth.unsaved import Kept

FIRST_PAUSE, LONGEST_PAUSE = 0.5, 15.0
# So long somebody who needs the token waits for the first try, before it is used as it lies in its file.
_PATIENCE = 5.0


@dataclass(eq=False, repr=False)
class Held:
    """A token that is to be written down.

    Parameters
    ----------
    put:
        Writes it into the store, and tells whether it is there; False where something newer is.
    write:
        Writes its file, and returns the path.
    """

    kept: Kept
    name: str
    put: Callable[[Kept], bool]
    write: Callable[[Kept], Path]
    path: Path | None = None
    why: str = ""
    stored: bool = False
    tried: threading.Event = field(default_factory=threading.Event)
    over: threading.Event = field(default_factory=threading.Event)

    @property
    def words(self) -> str:
        """Where the token is, and why not in the store, for people."""
        if self.path is not None:
            return (
                f"{self.why} The new token of “{self.name}” is kept sealed in {self.path}, and goes into the store by "
                "itself once that can be written."
            ).strip()
        return (
            f"{self.why} The new token of “{self.name}” is in this program's memory only, since no file can be "
            "written beside the store either. Both are tried again and again: leave this program open, free some "
            "space on the disk, or give back the right to write."
        ).strip()

    def note(self, error: BaseException) -> None:
        """Keep in words why the store does not take it."""
        self.why = error.message if isinstance(error, SpokekitError) else f"The store fails ({type(error).__name__})."

    def to_file(self) -> bool:
        """Try to write the file; tells whether there is one."""
        if self.path is None:
            try:
                self.path = self.write(self.kept)
            except Exception:  # noqa: BLE001 - whatever keeps it from being written, it is tried again
                return False
        return True

    def to_store(self) -> bool:
        """Try to write it into the store; tells whether there is nothing more to do."""
        try:
            self.stored = self.put(self.kept)
        except NotFound:
            # Removed, or the store of another day stands there: what lies in a file stays.
            return True
        except Exception as error:  # noqa: BLE001 - whatever keeps it from being written, it is tried again
            self.note(error)
            return False
        return True


class Keeping:
    """The tokens that this process holds for one store."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._held: dict[str, Held] = {}

    def of(self, connection_id: str) -> list[Held]:
        """Return what is held for a connection, the oldest first."""
        with self._lock:
            found = [held for held in self._held.values() if held.kept.grant.connection_id == connection_id]
        return sorted(found, key=lambda held: held.kept.refreshed_at)

    def hold(self, held: Held, *, wait: bool = False) -> None:
        """Begin to write a token down, unless that is under way; with `wait` not before the first try is over."""
        with self._lock:
            there = self._held.setdefault(held.kept.name, held)
        if there is held:
            held.to_file()
            if held.why:
                _say(held.words)
            self._begin(held, at_once=wait)
            if wait:
                held.tried.wait(_PATIENCE)

    def keep(self, held: Held) -> None:
        """Hold a token that is not to go into the store before somebody says so: nothing but its file is written."""
        self.drop(held.kept)
        with self._lock:
            self._held[held.kept.name] = held
        if not held.to_file() and held.kept.asks:
            self._begin(held)

    def drop(self, kept: Kept) -> None:
        """Let go of a token: the store has it, or has a newer one, or it is not wanted."""
        with self._lock:
            held = self._held.pop(kept.name, None)
        if held is not None:
            held.over.set()

    def _begin(self, held: Held, *, at_once: bool = False) -> None:
        threading.Thread(
            target=self._go_on,
            args=(held, 0.0 if at_once else FIRST_PAUSE),
            name="spokekit-keep",
            daemon=held.path is not None,
        ).start()

    def _go_on(self, held: Held, pause: float) -> None:
        until_down = held.path is None
        while not held.over.wait(pause):
            done = not held.kept.asks and held.to_store()
            held.tried.set()
            if done:
                if held.stored and held.why:
                    _say(f"The store has the new token of “{held.name}” now.")
                self.drop(held.kept)
                return
            if until_down and held.to_file():
                # A program may end now; only a thread that it need not wait for goes on.
                if not held.kept.asks:
                    _say(held.words)
                    self._begin(held)
                return
            pause = min(max(pause * 2, FIRST_PAUSE), LONGEST_PAUSE)


def _say(words: str) -> None:
    logging.getLogger("spokekit").warning("%s", words)


_keeping = PerStore(Keeping)


def keeping(store: Store) -> Keeping:
    """Return what is held for `store`, shared by all who use it in this process."""
    return _keeping.of(store)
