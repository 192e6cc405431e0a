"""Which keys of the vault a store, or a backup of one, has secrets sealed by."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import sqlalchemy as sa

from spokekit.connections.backups import opened
from spokekit.connections.connection import credentials
from spokekit.connections.store import Store
from spokekit.connections.token_files import token_files
from spokekit.errors import StoreError
from spokekit.oauth.key_ring import KeyUser

FORM = b"sk1"
SEALED = (credentials.c.client_secret, credentials.c.sealed_grant)
# Somebody who writes for longer than this keeps the keys for now.
_PATIENCE = 1.0


def key_id(sealed: bytes) -> str:
    """Return the id of the key that a secret is sealed by; empty where it is damaged."""
    parts = bytes(sealed).split(b".")
    return parts[1].decode("ascii", "replace") if len(parts) == 4 and parts[0] == FORM and parts[1].isalnum() else ""


def beside(folder: Path | None) -> set[str]:
    """Return the ids of the keys that the tokens in files beside a store are sealed by."""
    found = set()
    for path in token_files(folder):
        with suppress(OSError):
            found.add(key_id(path.read_bytes()))
    return found - {""}


def in_use(db: sa.Connection) -> set[str]:
    """Return the ids of the keys that the secrets in a store are sealed by."""
    return {key_id(value) for row in db.execute(sa.select(*SEALED)).all() for value in row if value} - {""}


@contextmanager
def needed_by(user: KeyUser, ring: Path) -> Iterator[set[str] | None]:
    """Give the ids of the keys that `user` needs, and let nobody seal anything in it meanwhile; None where unknown."""
    path = user.path(ring)
    try:
        there = path is not None and path.stat().st_size > 0
    except OSError:
        there = False
    if path is None or not there:
        # Moved, on a disk that is not mounted, or on another computer.
        yield None
    elif user.kind == "backup":
        yield in_backup(path)
    else:
        store = Store(sa.URL.create("sqlite", database=str(path)), lock_timeout=_PATIENCE)
        told = False
        try:
            with store.write() as db:
                found = in_use(db) | beside(path.parent)
                told = True
                yield found
        except StoreError:
            if told:
                raise
            yield None
        finally:
            store.close()


def in_backup(path: Path) -> set[str] | None:
    """Return the ids of the keys that a backup's secrets are sealed by; None where it cannot be read."""
    try:
        with opened(path) as db:
            rows = db.execute("SELECT client_secret, sealed_grant FROM credentials").fetchall()
    except sqlite3.Error:
        return None
    return {key_id(value) for row in rows for value in row if isinstance(value, bytes)} - {""}
