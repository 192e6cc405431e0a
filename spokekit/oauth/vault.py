"""The vault: secrets are sealed in the store by a key that lies outside it.

Envelope encryption: each secret is sealed by a data key of its own, and the data key by the vault's key. A sealed
secret names the vault's key by its id, so an error can say which key is missing, and `Vault.rotate` seals the data
keys anew without opening a secret.
"""

from __future__ import annotations

import hashlib
import hmac
import os
import weakref
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from threading import Lock

import sqlalchemy as sa
from cryptography.fernet import Fernet, InvalidToken

from spokekit._home import home, memory_only
from spokekit.connections.connection import credentials
from spokekit.connections.store import Store
from spokekit.connections.token_files import folder_beside
from spokekit.errors import InputError, VaultError
from spokekit.oauth.key_ring import KeyUser, StoredKeys
from spokekit.oauth.key_users import FORM, SEALED, beside, in_use, needed_by
from spokekit.oauth.keys import (
    WAY_OUT,
    Key,
    MemoryKeys,
    Place,
    keyring_trouble,
    ring_path,
    wanted_place,
)

_PROTECTS: dict[Place, str] = {
    "keyring": (
        "A copy of the store or of the home folder does not open the secrets without your login's keyring. "
        "Programs that run as you, in an unlocked session, can still open them."
    ),
    "file": (
        "A copy of the store alone does not open the secrets; a copy of the store together with the key file does. "
        "It does not protect against somebody who can read all your files."
    ),
    "memory": "Nothing that is written down opens the secrets; they end with this process.",
}

_memories: weakref.WeakKeyDictionary[Store, MemoryKeys] = weakref.WeakKeyDictionary()
_memories_lock = Lock()


@dataclass(frozen=True)
class VaultStatus:
    """Which vault is used: its kind, where the key is in words, what that protects against, how many keys it holds."""

    kind: Place
    words: str
    protects: str
    keys: int
    key_id: str
    made_at: str


class Sealer:
    """One key, taken at the start of a transaction, that seals without asking the key's source again."""

    def __init__(self, key: Key) -> None:
        self._key = key

    @property
    def key_id(self) -> str:
        return self._key.id

    def seal(self, data: bytes) -> bytes:
        data_key = Fernet.generate_key()
        return b".".join((FORM, self._key.id.encode(), self.wrap(data_key), Fernet(data_key).encrypt(data)))

    def wrap(self, data_key: bytes) -> bytes:
        """Seal a data key by the vault's key."""
        return Fernet(self._key.value.reveal().encode()).encrypt(data_key)


class Vault:
    """Seal and open secrets. Make it with `Vault.open`; it is cheap, and safe to share between threads."""

    def __init__(self, store: Store, ring: StoredKeys | MemoryKeys, *, aside: StoredKeys | None = None) -> None:
        self._store = store
        self._ring = ring
        self._aside = aside

    @classmethod
    def open(cls, store: Store, *, environ: Mapping[str, str] | None = None) -> Vault:
        """Return the vault for `store`.

        The key lies in the keyring of the operating system when a trusted one is there, else in a private file of the
        home; in memory for a store in memory, on Binder and under standalone Voilà. ``SPOKEKIT_VAULT`` (keyring, file,
        memory) overrides the choice, ``SPOKEKIT_VAULT_FILE`` the path of the key ring.
        """
        environ = os.environ if environ is None else environ
        wanted = wanted_place(environ)
        if wanted == "memory" or (wanted is None and (store.in_memory or memory_only(environ))):
            with _memories_lock:
                return cls(store, _memories.setdefault(store, MemoryKeys()))
        needed = partial(_holds_secrets, store)
        if environ.get("SPOKEKIT_VAULT_FILE", "").strip():
            return cls(store, StoredKeys(ring_path(environ), wanted, needed=needed))
        usual = StoredKeys(home() / "vault.json", wanted, needed=needed)
        aside = StoredKeys(home() / "vault-file.json", "file")
        if wanted == "file" and usual.path.exists():
            try:
                usual.load()
            except VaultError:
                # The key lies in a keyring that is gone: secrets that are entered anew get a ring of their own.
                return cls(store, aside)
        return cls(store, usual, aside=aside)

    def __repr__(self) -> str:
        return f"Vault({self._ring.where})"

    @property
    def in_memory(self) -> bool:
        """True where nothing that is sealed now can be opened by another process."""
        return isinstance(self._ring, MemoryKeys)

    @property
    def kind(self) -> Place:
        """``keyring``, ``file`` or ``memory``: where the key in use lies."""
        return self._ring.load()[0].place

    def status(self) -> VaultStatus:
        """Say in words which vault is used and what it protects against."""
        keys = self._ring.load()
        first = keys[0]
        words = {
            "keyring": "The key is in the keyring of the operating system.",
            "file": f"The key is in the file {self._ring.where}, which only you can read.",
            "memory": "The key and all secrets are in memory only: they are gone when this process ends.",
        }[first.place]
        if first.place == "file" and (trouble := keyring_trouble()):
            words += f" There it is because the keyring fails: {trouble}"
        if len(keys) > 1:
            words += (
                f" Older keys are kept ({len(keys) - 1}), since something is still sealed by them, or may be (in "
                "another store or a backup that cannot be looked into now): rotate again."
            )
        return VaultStatus(first.place, words, _PROTECTS[first.place], len(keys), first.id, first.made_at)

    def sealer(self) -> Sealer:
        """Return the key in use for one transaction; take it after the row is locked (see `rotate`)."""
        if isinstance(self._ring, StoredKeys) and not self._store.in_memory:
            self._ring.note(self._as_user(self._ring))
        return Sealer(self._ring.load()[0])

    def _as_user(self, ring: StoredKeys) -> KeyUser:
        return KeyUser.of(self._store.path or self._store.address, ring.path)

    def note_backup(self, path: Path) -> None:
        """Write down that a backup's secrets need the keys of this vault, so that `rotate` keeps them."""
        if isinstance(self._ring, StoredKeys):
            self._ring.note(KeyUser.of(path, self._ring.path, "backup"))

    def opens(self, key_ids: set[str]) -> bool:
        """Tell whether the vault has all of these keys."""
        return key_ids <= set(self._keys(next(iter(key_ids), None)))

    def new_key(self) -> None:
        """Make a new key in place of one that is lost, because a person said so: what it sealed stays closed.

        Raises `Conflict` when the key file is there and can be read, and `InputError` when the vault has none.
        """
        if not isinstance(self._ring, StoredKeys):
            raise InputError("This vault is in memory only: it has no key file.")
        self._ring.begin_anew()

    def seal(self, data: bytes) -> bytes:
        """Return `data` sealed by the key in use."""
        try:
            return self.sealer().seal(data)
        except VaultError:
            # The traceback of an error shows the values of arguments; this one would be a secret.
            data = b""
            raise

    def unseal(self, sealed: bytes) -> bytes:
        """Return what was sealed; raises `VaultError` with a way out when the key is missing or the record damaged."""
        key_id, wrapped, body = _parts(sealed)
        key = self._keys(key_id).get(key_id) or self._ring.find(key_id)
        if key is None:
            raise VaultError(
                f"A secret was sealed by the key {key_id}, which is not in the vault ({self._ring.where}).",
                likely="The key file was replaced, or the secret was kept in memory by a process that has ended.",
                hint=f"Put the key file back. {WAY_OUT}",
                next_step="fix_secret",
            )
        try:
            return Fernet(Fernet(key.value.reveal().encode()).decrypt(wrapped)).decrypt(body)
        except (InvalidToken, ValueError):
            pass
        raise _damaged()

    def sign(self, data: bytes, purpose: str) -> str:
        """Return a signature of `data` that nobody makes without a key of this vault; `purpose` keeps uses apart."""
        key = self._ring.load()[0]
        return f"{key.id}.{_signature(key, purpose, data)}"

    def signed(self, data: bytes, purpose: str, signature: str) -> bool:
        """Tell whether `signature` was made by `sign` with a key that this vault still has."""
        key_id, _, ours = signature.partition(".")
        key = self._keys().get(key_id)
        return key is not None and hmac.compare_digest(ours.encode(), _signature(key, purpose, data).encode())

    def rotate(self, to: Place | None = None) -> int:
        """Make a new key, seal every secret by it, drop the old keys; returns how many secrets were sealed anew.

        Safe against a crash at any moment: the new key is written down before the first secret uses it, the secrets
        change in one transaction, and an old key goes only when nothing is sealed by it any more. Whoever seals takes
        the key after locking the row, so no secret is sealed by a key that is about to go.

        Parameters
        ----------
        to:
            ``keyring`` or ``file`` moves the key there; without it, it stays where it is.
        """
        if to is not None and (to == "memory") != isinstance(self._ring, MemoryKeys):
            raise InputError(
                f"The key cannot be moved from {self.kind} to {to}.",
                field="to",
                hint="Memory is chosen when spokekit starts: SPOKEKIT_VAULT=memory, or unset.",
            )
        self._store.ensure(credentials)
        with self._store.write() as db:
            self._take_turns(db)
            known = self._keys()
            place: Place = to or self.kind
            self._ring.put_first(Key.new(place))
            sealer, count = self.sealer(), 0
            for row in db.execute(sa.select(credentials).with_for_update()).mappings().all():
                anew = {
                    column.name: again
                    for column in SEALED
                    if row[column.name] and (again := _rewrap(row[column.name], known, sealer)) is not None
                }
                if anew:
                    which = credentials.c.credential_id == row["credential_id"]
                    db.execute(sa.update(credentials).where(which).values(**anew))
                    count += len(anew)
        with self._store.write() as db:
            self._take_turns(db)
            used = in_use(db) | beside(folder_beside(self._store))
            self._ring.drop(set(known) - used, partial(self._needed, used))
        return count

    @contextmanager
    def _needed(self, used_here: set[str], user: KeyUser) -> Iterator[set[str] | None]:
        ring = self._ring
        if not isinstance(ring, StoredKeys) or user == self._as_user(ring):
            yield used_here
        else:
            with needed_by(user, ring.path) as found:
                yield found

    def _keys(self, wanted: str | None = None) -> dict[str, Key]:
        """Return the keys by id; those of the way out (``SPOKEKIT_VAULT=file``) too if `wanted` is not among them."""
        found = {key.id: key for key in self._ring.load()}
        if self._aside is not None and wanted not in found and self._aside.path.exists():
            try:
                found = {key.id: key for key in self._aside.load()} | found
            except VaultError:
                # A damaged second ring must not close the first.
                return found
        return found

    def _take_turns(self, db: sa.Connection) -> None:
        if db.dialect.name == "postgresql":
            db.execute(sa.text("SELECT pg_advisory_xact_lock(5365322)"))


def keys_at_hand(environ: Mapping[str, str] | None = None) -> dict[str, Place]:
    """Return the ids of the keys that the key files of this home name, and where each lies; makes none.

    A key file that cannot be read counts as none: what it would open stays closed.
    """
    environ = os.environ if environ is None else environ
    chosen = environ.get("SPOKEKIT_VAULT_FILE", "").strip()
    paths = [ring_path(environ)] if chosen else [home() / "vault.json", home() / "vault-file.json"]
    found: dict[str, Place] = {}
    for path in paths:
        with suppress(VaultError):
            found |= {key.id: key.place for key in StoredKeys(path).load()} if path.exists() else {}
    return found


def _parts(sealed: bytes) -> tuple[str, bytes, bytes]:
    parts = bytes(sealed).split(b".")
    if len(parts) != 4 or parts[0] != FORM or not parts[1].isalnum():
        raise _damaged()
    return parts[1].decode("ascii", "replace"), parts[2], parts[3]


def _holds_secrets(store: Store) -> bool:
    if beside(folder_beside(store)):
        return True
    with store.read() as db:
        there = credentials.name in sa.inspect(db).get_table_names()
        return there and bool(in_use(db))


def _rewrap(sealed: bytes, known: Mapping[str, Key], sealer: Sealer) -> bytes | None:
    """Return the secret with its data key sealed anew, or None when it cannot be: then it stays as it is."""
    try:
        key_id, wrapped, body = _parts(sealed)
        data_key = Fernet(known[key_id].value.reveal().encode()).decrypt(wrapped)
    except (VaultError, KeyError, InvalidToken, ValueError):
        return None
    return b".".join((FORM, sealer.key_id.encode(), sealer.wrap(data_key), body))


def _signature(key: Key, purpose: str, data: bytes) -> str:
    # A key derived for this purpose alone: what it signs says nothing about the key that seals.
    derived = hmac.digest(key.value.reveal().encode(), f"spokekit signature: {purpose}".encode(), hashlib.sha256)
    return hmac.new(derived, data, hashlib.sha256).hexdigest()


def _damaged() -> VaultError:
    return VaultError(
        "A sealed secret in the store is damaged.",
        likely="The record was cut off or changed outside spokekit.",
        hint=f"Other connections are not touched. {WAY_OUT}",
        next_step="fix_secret",
    )
