"""The keys of the vault and where they lie: in the keyring of the operating system, in a private file, in memory.

One small file in the home, the key ring (`spokekit.oauth.key_ring`), lists the keys. A key that lies in the keyring is
only named there, by its id; a key without a keyring lies in the file itself. Since the file is replaced in one step
and an entry of the keyring is never changed, two processes that start at the same moment agree on one key.
"""

from __future__ import annotations

import hashlib
import os
import secrets
import threading
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Literal

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
NEW_KEY = (
    "If it is lost for good, make a new key (in a terminal: spokekit vault new-key), then enter the client secrets "
    "again and press Get OAuth Token."
)
WAY_OUT = (
    "Or enter the client secret again and press Get OAuth Token (on the command line: spokekit connections edit NAME "
    "--client-secret-file FILE, then spokekit token get): that replaces what cannot be opened."
)


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


class MemoryKeys:
    """Keys that end with the process; what `spokekit.oauth.key_ring.StoredKeys` does, as far as it applies."""

    where = "the memory of this process"

    def __init__(self) -> None:
        self._keys: tuple[Key, ...] = (Key.new("memory"),)

    def load(self) -> tuple[Key, ...]:
        return self._keys

    def put_first(self, key: Key) -> None:
        self._keys = (key, *self._keys)

    def find(self, _key_id: str) -> Key | None:
        return None

    def drop(self, ids: Iterable[str], _used_by: object) -> None:
        gone = set(ids)
        self._keys = tuple(key for key in self._keys if key.id not in gone)


# ------------------------------------------------------------------ keyring


def trusted_backend() -> Any | None:
    """Return the keyring of the operating system, or None where there is none that can be trusted."""
    active, _ = _active_keyring()
    if active is None:
        return None
    candidates = getattr(active, "backends", None) or [active]
    return next((one for one in candidates if type(one).__module__.startswith(TRUSTED_BACKENDS)), None)


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


def keep_in_keyring(key: Key) -> None:
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


def from_keyring(key_id: str) -> Secret:
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


def forget_in_keyring(key_id: str) -> None:
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
