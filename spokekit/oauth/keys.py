"""The keys of the vault and where they lie: in the keyring of the operating system, in a private file, in memory.

One small file in the home, the key ring, lists the keys, the one in use first. A key that lies in the keyring is
only named there, by its id; a key without a keyring lies in the file itself. Since the file is replaced in one step
and an entry of the keyring is never changed, two processes that start at the same moment agree on one key.
"""

from __future__ import annotations

import hashlib
import json
import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal, Protocol

from spokekit._home import write_private
from spokekit._secret import Secret
from spokekit._surroundings import expanded
from spokekit.errors import InputError, StoreError, VaultError

Place = Literal["keyring", "file", "memory"]

SERVICE = "spokekit"
# keyrings.alt and keyrings.cryptfile write plain text or ask on the terminal once they are merely installed, so only
# what the operating systems themselves bring is trusted.
TRUSTED_BACKENDS = (
    "keyring.backends.SecretService",
    "keyring.backends.libsecret",
    "keyring.backends.kwallet",
    "keyring.backends.macOS",
    "keyring.backends.Windows",
)
WAY_OUT = "Or enter the client secret again and press Get OAuth Token: that replaces what cannot be opened."


@dataclass(frozen=True)
class Key:
    """A key of the vault; its id is a short fingerprint that may be shown."""

    id: str
    place: Place
    made_at: str
    value: Secret

    @classmethod
    def new(cls, place: Place) -> Key:
        from cryptography.fernet import Fernet

        return cls.of(Secret(Fernet.generate_key().decode()), place, datetime.now(UTC).isoformat(timespec="seconds"))

    @classmethod
    def of(cls, value: Secret, place: Place, made_at: str) -> Key:
        return cls(hashlib.sha256(value.reveal().encode()).hexdigest()[:12], place, made_at, value)


class KeyRing(Protocol):
    """Where keys lie. `load` answers from the source each time it may have changed, the key in use first."""

    def load(self) -> tuple[Key, ...]: ...

    def put_first(self, key: Key) -> None: ...

    def drop(self, ids: Iterable[str]) -> None: ...

    @property
    def where(self) -> str: ...


class MemoryKeys:
    """Keys that end with the process."""

    where = "the memory of this process"

    def __init__(self) -> None:
        self._keys: tuple[Key, ...] = (Key.new("memory"),)

    def load(self) -> tuple[Key, ...]:
        return self._keys

    def put_first(self, key: Key) -> None:
        self._keys = (key, *self._keys)

    def drop(self, ids: Iterable[str]) -> None:
        gone = set(ids)
        self._keys = tuple(key for key in self._keys if key.id not in gone)


class StoredKeys:
    """Keys named in the key ring file at `path`; `place` says where a first key is to lie."""

    def __init__(self, path: Path, place: Place | None = None) -> None:
        self.path = path
        self._place = place
        self._seen: tuple[int, int, int] | None = None
        self._keys: tuple[Key, ...] = ()
        self._lock = threading.Lock()

    @property
    def where(self) -> str:
        return str(self.path)

    def load(self) -> tuple[Key, ...]:
        """Return the keys; makes the first one when there is no key ring yet."""
        with self._lock:
            now = self._signature()
            if now is None:
                self._create(Key.new(self._place or best_place()))
                now = self._signature()
            if now != self._seen or not self._keys:
                self._keys = self._read()
                self._seen = now
            return self._keys

    def put_first(self, key: Key) -> None:
        keys = self.load()
        if key.place == "keyring":
            _keep_in_keyring(key)
        write_private(self.path, _ring((key, *keys)))

    def drop(self, ids: Iterable[str]) -> None:
        gone = set(ids)
        keys = self.load()
        write_private(self.path, _ring(key for key in keys if key.id not in gone))
        for key in keys:
            if key.id in gone and key.place == "keyring":
                _forget_in_keyring(key.id)

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

    def _create(self, key: Key) -> None:
        if key.place == "keyring":
            _keep_in_keyring(key)
        temporary = self.path.with_name(f".{self.path.name}.{secrets.token_hex(6)}")
        write_private(temporary, _ring((key,)))
        try:
            # A hard link fails when the name is taken: of two processes that start together one wins, both use its key.
            os.link(temporary, self.path)
        except FileExistsError:
            if key.place == "keyring":
                _forget_in_keyring(key.id)
        except OSError:
            # Some network and Windows file systems know no hard links.
            if not self.path.exists():
                temporary.replace(self.path)
        finally:
            temporary.unlink(missing_ok=True)

    def _read(self) -> tuple[Key, ...]:
        damaged = VaultError(
            f"The key file {self.path} is damaged.",
            likely="It was cut off, edited or restored from a broken copy.",
            hint=f"Put a good copy back. Or move the file away: then {WAY_OUT[3:]}",
            next_step="fix_secret",
        )
        try:
            entries = json.loads(self.path.read_text("utf-8"))["keys"]
            keys = tuple(_key_of(entry) for entry in entries)
        except OSError as error:
            raise VaultError(f"The key file {self.path} cannot be read: {error.strerror or error}.") from None
        except (ValueError, KeyError, TypeError):
            keys = ()
        if not keys:
            raise damaged
        return keys


def _key_of(entry: Mapping[str, Any]) -> Key:
    place, key_id = entry["in"], str(entry["id"])
    if place == "keyring":
        value = _from_keyring(key_id)
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


def _ring(keys: Iterable[Key]) -> bytes:
    entries = [
        {"id": key.id, "in": key.place, "made_at": key.made_at}
        | ({"key": key.value.reveal()} if key.place == "file" else {})
        for key in keys
    ]
    about = "The key ring of spokekit's vault. Whoever has this file and the store can open the sealed secrets."
    return json.dumps({"about": about, "version": 1, "keys": entries}, indent=1).encode()


# ------------------------------------------------------------------ keyring


def trusted_backend() -> Any | None:
    """Return the keyring of the operating system, or None where there is none that can be trusted."""
    active, _ = _active_keyring()
    if active is None:
        return None
    candidates = getattr(active, "backends", None) or [active]
    for backend in candidates:
        if type(backend).__module__.startswith(TRUSTED_BACKENDS):
            return backend
    return None


def keyring_trouble() -> str:
    """Say in a sentence why a setting of this computer leaves no keyring, naming it; empty where none does."""
    _, trouble = _active_keyring()
    return trouble


def _active_keyring() -> tuple[Any | None, str]:
    try:
        import keyring

        return keyring.get_keyring(), ""
    except Exception as error:  # noqa: BLE001 - a setting may name any module, which raises what it likes at its import
        what = type(error).__name__
    chosen = os.environ.get("PYTHON_KEYRING_BACKEND", "")
    if chosen:
        return None, f"PYTHON_KEYRING_BACKEND names {chosen[:80]}, which cannot be used ({what})."
    try:
        from keyring.util import platform_ as places

        config = Path(places.config_root()) / "keyringrc.cfg"
        named = f"the file {config}" if config.exists() else "this computer's keyring"
    except Exception:  # noqa: BLE001 - without a home folder there is no such file
        named = "this computer's keyring"
    return None, f"{named[0].upper()}{named[1:]} cannot be used ({what})."


def best_place() -> Place:
    """Return ``keyring`` when one of the trusted kinds keeps what it is given, else ``file``."""
    backend = trusted_backend()
    if backend is None:
        return "file"
    probe, kept = secrets.token_hex(8), False

    def ask() -> None:
        nonlocal kept
        try:
            backend.set_password(SERVICE, f"probe {probe}", probe)
            kept = backend.get_password(SERVICE, f"probe {probe}") == probe
            backend.delete_password(SERVICE, f"probe {probe}")
        except Exception:  # noqa: BLE001 - a back end raises what its D-Bus or its system library raises
            kept = False

    # A locked keyring may wait for a person at a screen that nobody looks at.
    asking = threading.Thread(target=ask, daemon=True, name="spokekit-keyring-probe")
    asking.start()
    asking.join(20)
    return "keyring" if kept else "file"


def _keep_in_keyring(key: Key) -> None:
    backend = trusted_backend()
    failure: str | None = "no keyring of the operating system is there"
    if backend is not None:
        try:
            backend.set_password(SERVICE, f"vault key {key.id}", key.value.reveal())
            failure = None if backend.get_password(SERVICE, f"vault key {key.id}") else "it did not keep the key"
        except Exception as error:  # noqa: BLE001 - a back end raises what its D-Bus or its system library raises
            failure = type(error).__name__
    if failure is not None:
        raise VaultError(
            f"The keyring of the operating system cannot be used: {failure}.",
            hint="Unlock it, or keep the key in a private file: set SPOKEKIT_VAULT=file.",
        )


_known: dict[str, Secret] = {}


def _from_keyring(key_id: str) -> Secret:
    # An entry never changes, so one read for each process is enough.
    if key_id in _known:
        return _known[key_id]
    backend, value = trusted_backend(), None
    if backend is not None:
        for _ in range(2):
            try:
                value = backend.get_password(SERVICE, f"vault key {key_id}")
                break
            except Exception:  # noqa: BLE001 - a back end raises what its D-Bus or its system library raises
                time.sleep(0.2)
    if not value:
        raise VaultError(
            f"The key {key_id} of the vault is not in the keyring of the operating system.",
            likely="The keyring is locked, or this session (SSH, service, container) has none.",
            hint=f"Unlock the keyring and try again. {WAY_OUT} For that, set SPOKEKIT_VAULT=file first.",
            next_step="fix_secret",
        )
    _known[key_id] = Secret(value)
    return _known[key_id]


def _forget_in_keyring(key_id: str) -> None:
    backend = trusted_backend()
    _known.pop(key_id, None)
    if backend is not None:
        try:
            backend.delete_password(SERVICE, f"vault key {key_id}")
        except Exception:  # noqa: BLE001 - an entry that stays behind opens nothing any more
            return


# ------------------------------------------------------------------ choice


def wanted_place(environ: Mapping[str, str]) -> Place | None:
    """Return what ``SPOKEKIT_VAULT`` asks for, or None when it is not set."""
    wanted = environ.get("SPOKEKIT_VAULT", "").strip().lower()
    if not wanted:
        return None
    if wanted not in ("keyring", "file", "memory"):
        raise InputError(
            "SPOKEKIT_VAULT is not one of keyring, file, memory.",
            field="SPOKEKIT_VAULT",
            hint="Leave it unset to let spokekit choose.",
        )
    return wanted  # type: ignore[return-value]


def ring_path(environ: Mapping[str, str]) -> Path:
    """Return the key ring that ``SPOKEKIT_VAULT_FILE`` names, for a team whose machines share a store."""
    path = expanded(environ["SPOKEKIT_VAULT_FILE"].strip(), "SPOKEKIT_VAULT_FILE")
    if path.is_dir():
        raise StoreError(f"SPOKEKIT_VAULT_FILE names a folder: {path}.")
    return path
