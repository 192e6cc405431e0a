"""The key ring: one small file that lists the keys, the one in use first, and what has secrets that they open."""

from __future__ import annotations

import json
import logging
import os
import platform
import secrets
import threading
from collections.abc import Callable, Iterable, Mapping
from contextlib import AbstractContextManager, ExitStack, suppress
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

from spokekit._home import lock_file, write_private
from spokekit._secret import Secret
from spokekit.errors import Conflict, StoreError, VaultError
from spokekit.oauth.keys import NEW_KEY, Key, Place, best_place, forget_in_keyring, from_keyring, keep_in_keyring


@dataclass(frozen=True)
class KeyUser:
    """Something that holds secrets sealed by a ring's keys: a store, or a backup of one.

    ``where`` is the path of a file, or a server's address without its password. ``node`` is the computer on which the
    path means that file; empty for a server, and for a file beside the ring, whose path is then its name alone.
    """

    where: str
    node: str = ""
    kind: Literal["store", "backup"] = "store"

    @classmethod
    def of(cls, where: Path | str, ring: Path, kind: Literal["store", "backup"] = "store") -> KeyUser:
        """Return a user as `ring` names it."""
        if isinstance(where, str):
            return cls(where, kind=kind)
        path = where.resolve()
        if path.parent == ring.resolve().parent:
            # A home may be mounted elsewhere tomorrow, in a container of another name.
            return cls(path.name, kind=kind)
        return cls(str(path), platform.node(), kind)

    def path(self, ring: Path) -> Path | None:
        """Return the file as it is found from here; None where it cannot be: a server, or another computer's file."""
        if "://" in self.where or self.node not in ("", platform.node()):
            return None
        return ring.resolve().parent / self.where


@dataclass(frozen=True)
class _Ring:
    """What the file says: the keys, who uses them, and those of an older file, which did not name its users."""

    keys: tuple[Key, ...] = ()
    users: tuple[KeyUser, ...] = ()
    unknown_users: tuple[str, ...] = ()

    def used_by(self, user: KeyUser) -> _Ring:
        return replace(self, users=(*(one for one in self.users if one != user), user))

    @classmethod
    def parse(cls, text: str) -> _Ring:
        said = json.loads(text)
        keys = tuple(_key_of(entry) for entry in said["keys"])
        if "users" not in said:
            return cls(keys, unknown_users=tuple(key.id for key in keys))
        users = (KeyUser(str(u["where"]), str(u.get("node", "")), u.get("kind", "store")) for u in said["users"])
        return cls(keys, tuple(users), tuple(str(one) for one in said.get("unknown_users", ())))

    def text(self) -> bytes:
        entries = [
            {"id": key.id, "in": key.place, "made_at": key.made_at}
            | ({"key": key.value.reveal()} if key.place == "file" else {})
            for key in self.keys
        ]
        about = "The key ring of spokekit's vault. Whoever has this file and the store can open the sealed secrets."
        users = [{"where": user.where, "node": user.node, "kind": user.kind} for user in self.users]
        named = {key.id for key in self.keys}
        unknown = [one for one in self.unknown_users if one in named]
        return json.dumps(
            {"about": about, "version": 1, "keys": entries, "users": users, "unknown_users": unknown}, indent=1
        ).encode()


class _Damaged(Exception):
    def __init__(self, told: VaultError) -> None:
        self.told = told
        super().__init__(str(told))


class StoredKeys:
    """Keys named in the key ring file at `path`, the key in use first; `place` says where a first key is to lie.

    The file also names the stores whose secrets its keys open, so that a key which one of them needs is not dropped by
    the rotation of another. A key that this process has read is put back when the file is gone or damaged.

    Parameters
    ----------
    needed:
        Tells whether there are secrets that only an earlier key opens: then no first key is made unasked.
    """

    def __init__(self, path: Path, place: Place | None = None, *, needed: Callable[[], bool] | None = None) -> None:
        self.path = path
        self._place = place
        self._needed = needed
        self._seen: tuple[int, int, int] | None = None
        self._ring = _Ring()
        # Every key that was read here and not dropped, also when another file has taken the ring's place.
        self._in_hand: dict[str, Key] = {}
        self._lock = threading.RLock()

    @property
    def where(self) -> str:
        return str(self.path)

    def load(self) -> tuple[Key, ...]:
        """Return the keys; makes the first one when there is no key ring yet.

        Raises `VaultError` when the ring is gone and there are secrets that need it; see `begin_anew`.
        """
        with self._lock:
            now = self._signature()
            if now is None:
                self._first_or_again()
                now = self._signature()
            if now != self._seen or not self._ring.keys:
                try:
                    self._ring = self._read()
                except _Damaged as error:
                    if not self._ring.keys:
                        raise error.told from None
                    self._mend()
                self._in_hand |= {key.id: key for key in self._ring.keys}
                self._seen = self._signature()
            return self._ring.keys

    def _first_or_again(self) -> None:
        if self._ring.keys:
            # A program that synchronises folders, or a mount that is late: with a new key every secret would be lost.
            self._create(self._ring)
            return
        if self._needed is not None and self._needed():
            raise VaultError(
                f"The key file {self.path} is gone, and the store holds secrets that only its key opens.",
                likely="It was moved or deleted, or the disk that it is on is not mounted.",
                hint=f"Put it back. {NEW_KEY}",
                next_step="fix_secret",
            )
        self._create(_Ring((Key.new(self._place or best_place()),)))

    def _mend(self) -> None:
        with lock_file(self.path):
            try:
                self._ring = self._read()  # another process was quicker
            except _Damaged:
                self._put_aside()
                self._create(self._ring)
                self._ring = self._read()

    def begin_anew(self) -> None:
        """Make a new key where the ring is gone or damaged, because a person said so; a damaged file is kept beside.

        Raises `Conflict` when the ring is there and can be read.
        """
        with self._lock, lock_file(self.path):
            if self._signature() is not None:
                try:
                    self._read()
                except _Damaged:
                    self._put_aside()
                else:
                    raise Conflict(
                        f"The key file {self.path} is there and can be read: no new one is needed.",
                        hint="For another key, run: spokekit vault rotate",
                    )
            self._ring = _Ring()
            self._create(_Ring((Key.new(self._place or best_place()),)))

    def find(self, key_id: str) -> Key | None:
        """Return a key that the file no longer names and this process has read; it is put back, since it is needed."""
        with self._lock:
            self.load()
            key = self._in_hand.get(key_id)
            if key is not None and key not in self._ring.keys:
                self._change(lambda ring: replace(ring, keys=(*ring.keys, key)))
            return key

    def put_first(self, key: Key) -> None:
        if key.place == "keyring":
            keep_in_keyring(key)
        self._change(lambda ring: replace(ring, keys=(key, *ring.keys)))

    def note(self, user: KeyUser) -> None:
        """Write down that a store, or a backup of one, has secrets that these keys open."""
        self.load()
        if user in self._ring.users:
            return
        try:
            self._change(lambda ring: ring.used_by(user))
        except StoreError:
            # A team's key file may be somebody else's to write.
            logging.getLogger("spokekit").warning(
                "The key file %s cannot be written, so it does not name %s: before its key is changed there, say that "
                "the key is needed here too.",
                *(self.path, user.where),
            )
            self._ring = self._ring.used_by(user)

    def drop(self, ids: Iterable[str], used_by: Callable[[KeyUser], AbstractContextManager[set[str] | None]]) -> None:
        """Drop those of the keys `ids` that nothing is sealed by any more.

        `used_by` opens a user and gives the ids of the keys that it needs, None where that cannot be known; nothing
        is sealed by it meanwhile.
        """
        with ExitStack() as held, self._lock:
            held.enter_context(lock_file(self.path))
            self.load()
            kept = set(self._ring.unknown_users)
            for user in self._ring.users:
                found = held.enter_context(used_by(user))
                kept |= set(ids) if found is None else found
            gone = set(ids) - kept
            keys = self._ring.keys
            self._write(replace(self._ring, keys=tuple(key for key in keys if key.id not in gone)))
            for key in keys:
                if key.id in gone:
                    self._in_hand.pop(key.id, None)
                    if key.place == "keyring":
                        forget_in_keyring(key.id)

    def _change(self, change: Callable[[_Ring], _Ring]) -> None:
        # Two stores that share a ring have no lock in common: one would write over what the other has just added.
        with self._lock, lock_file(self.path):
            self.load()
            self._write(change(self._ring))

    def _write(self, ring: _Ring) -> None:
        write_private(self.path, ring.text())
        self._ring, self._seen = ring, self._signature()
        self._in_hand |= {key.id: key for key in ring.keys}

    def _signature(self) -> tuple[int, int, int] | None:
        try:
            found = self.path.stat()
        except FileNotFoundError:
            return None
        except OSError as error:
            raise VaultError(f"The key file {self.path} cannot be read: {error.strerror or error}.") from None
        if os.name == "posix" and found.st_mode & 0o077:
            # A team's key file may belong to somebody else, who then decides who reads it.
            with suppress(PermissionError):
                self.path.chmod(0o600)
        return found.st_mtime_ns, found.st_size, found.st_ino

    def _put_aside(self) -> None:
        with suppress(OSError):
            self.path.replace(self.path.with_name(f"{self.path.name}.damaged-{datetime.now(UTC):%Y%m%d-%H%M%S}"))

    def _create(self, ring: _Ring) -> None:
        for key in ring.keys:
            if key.place == "keyring":
                keep_in_keyring(key)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(6)}")
        write_private(temporary, ring.text())
        try:
            # A hard link fails when the name is taken: of two processes that start together one wins, both use its key.
            os.link(temporary, self.path)
        except FileExistsError:
            for key in ring.keys:
                if key.place == "keyring" and key.id not in self._in_hand:
                    forget_in_keyring(key.id)
        except OSError:
            # Some network and Windows file systems know no hard links.
            if not self.path.exists():
                temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def _read(self) -> _Ring:
        try:
            ring = _Ring.parse(self.path.read_text("utf-8"))
        except OSError as error:
            raise VaultError(f"The key file {self.path} cannot be read: {error.strerror or error}.") from None
        except (ValueError, KeyError, TypeError, AttributeError):
            ring = _Ring()
        if not ring.keys:
            raise _Damaged(
                VaultError(
                    f"The key file {self.path} is damaged.",
                    likely="It was cut off, edited or restored from a broken copy.",
                    hint=f"Put a good copy back. {NEW_KEY}",
                    next_step="fix_secret",
                )
            )
        return ring


def _key_of(entry: Mapping[str, Any]) -> Key:
    place, key_id = entry["in"], str(entry["id"])
    if place == "keyring":
        value = from_keyring(key_id)
    else:
        value = Secret(str(entry["key"]))
        _check_form(value)
    key = Key.of(value, place, str(entry["made_at"]))
    if key.id != key_id:
        raise ValueError("The key does not fit its id.")
    return key


def _check_form(value: Secret) -> None:
    from cryptography.fernet import Fernet

    Fernet(value.reveal().encode())
