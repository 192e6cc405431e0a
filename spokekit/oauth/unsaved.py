"""A token that the store does not have yet: in hand, or sealed in a private file beside the store.

Such a file names what it belongs to inside the seal: the connection, the account, the row that it follows. So it can
neither be moved to another connection nor be put in the place of something newer.
"""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any, Literal

from spokekit._home import reserve_private, write_private
from spokekit.connections.connection import Connection
from spokekit.connections.store import Store
from spokekit.connections.token_files import folder_beside, token_file, token_files
from spokekit.errors import SpokekitError, StoreError
from spokekit.oauth.answers import TokenAnswer
from spokekit.oauth.endpoint import Account
from spokekit.oauth.grants import Grant, fields_of, grant_of, opened_grant, read_sealed, seal_grant
from spokekit.oauth.status import Record
from spokekit.oauth.vault import Sealer, Vault

_ROOM = 32_768
_LEFT_BEHIND = 3600.0


@dataclass(frozen=True)
class Kept:
    """A token from the token endpoint, with all that its row is to say.

    Attributes
    ----------
    generation, before:
        Of the row that it follows: its number, and a fingerprint of its token (empty where it had none).
    account_id, account_name:
        Of a consent: who gave it, empty where nobody could say, None where that was not asked yet. Of a renewal: whom
        the connection spoke for.
    consent:
        A person has just consented; otherwise it is a renewal.
    asks:
        A person has to say first that it may take the place of the one there is.
    """

    grant: Grant
    scopes: str
    generation: int
    before: str
    account_id: str | None
    account_name: str | None
    granted_at: datetime | None
    refreshed_at: datetime
    expires_at: datetime
    consent: bool = False
    asks: bool = False

    @classmethod
    def renewed(
        cls,
        connection: Connection,
        answer: TokenAnswer,
        grant: Grant | None,
        record: Record,
        account_id: str | None,
        now: datetime,
    ) -> Kept:
        """Return what renewing `grant`, the one in `record`, gave for the account that the connection speaks for.

        A service account's is asked for anew, whether there was one before or not.
        """
        return cls(
            Grant.of(connection, answer, None if connection.is_service_account else grant),
            record.scopes if answer.scopes is None else " ".join(answer.scopes),
            record.generation,
            "" if grant is None else _fingerprint(grant),
            account_id,
            None,
            record.granted_at,
            now,
            now + timedelta(seconds=answer.lifetime),
        )

    @classmethod
    def consented(cls, connection: Connection, answer: TokenAnswer, record: Record, now: datetime) -> Kept:
        """Return what a consent gave, by whom is not known yet."""
        return cls(
            Grant.of(connection, answer),
            " ".join(connection.scopes if answer.scopes is None else answer.scopes),
            record.generation,
            "",
            None,
            None,
            now,
            now,
            now + timedelta(seconds=answer.lifetime),
            consent=True,
        )

    @property
    def name(self) -> str:
        """A fingerprint that tells it from every other token."""
        return _fingerprint(self.grant)

    def given_by(self, account: Account | None) -> Kept:
        """Return it with who consented; None where nobody could say."""
        known = ("", "") if account is None else (account.account_id, account.name)
        return replace(self, account_id=known[0], account_name=known[1])

    def values(self, record: Record, sealer: Sealer) -> dict[str, Any]:
        """Return what its row says once it is in the place of `record`."""
        return {
            "sealed_grant": seal_grant(self.grant, sealer),
            "generation": record.generation + 1,
            "scopes": self.scopes,
            "state": "valid",
            "reason": "",
            "granted_at": self.granted_at,
            "refreshed_at": self.refreshed_at,
            "expires_at": self.expires_at,
            "refresh_started_at": None,
        }

    def stands_to(
        self, record: Record, present: Grant | None, account_id: str | None
    ) -> Literal["there", "newer", "older"]:
        """Tell how it stands to a row, its opened token and the connection's account: only a newer one goes in."""
        if present is not None and _fingerprint(present) == self.name:
            return "there"
        if record.sealed_grant is None and record.generation > self.generation:
            # The token was forgotten since, or the app was changed.
            return "older"
        if self.consent:
            newer = record.granted_at is None or (self.granted_at is not None and self.granted_at > record.granted_at)
        elif None not in (account_id, self.account_id) and account_id != self.account_id:
            newer = False
        elif record.generation >= self.generation:
            newer = (
                record.generation == self.generation and present is not None and _fingerprint(present) == self.before
            )
        else:
            # The row is of an earlier day than the one that this follows: a backup was put in the store's place.
            newer = _moment(record.granted_at) <= _moment(self.granted_at)
        return "newer" if newer else "older"


def _moment(at: datetime | None) -> float:
    return 0.0 if at is None else at.timestamp()


def _fingerprint(grant: Grant) -> str:
    refresh = grant.refresh_token.reveal() if grant.refresh_token else ""
    return hashlib.sha256(f"{grant.access_token.reveal()} {refresh}".encode()).hexdigest()[:24]


def _seal(kept: Kept, sealer: Sealer) -> bytes:
    about = {
        "v": 1,
        "scopes": kept.scopes,
        "generation": kept.generation,
        "before": kept.before,
        "account": [kept.account_id, kept.account_name],
        "times": [
            at.isoformat() if at is not None else None for at in (kept.granted_at, kept.refreshed_at, kept.expires_at)
        ],
        "consent": kept.consent,
        "asks": kept.asks,
    }
    return sealer.seal(json.dumps({**about, "grant": fields_of(kept.grant)}).encode())


def _kept_of(found: Mapping[str, Any]) -> Kept:
    granted, refreshed, expires = (at and datetime.fromisoformat(at) for at in found["times"])
    account_id, account_name = found["account"]
    return Kept(
        grant_of(found["grant"]),
        str(found["scopes"]),
        int(found["generation"]),
        str(found["before"]),
        account_id,
        account_name,
        granted,
        refreshed,
        expires,
        bool(found["consent"]),
        bool(found["asks"]),
    )


class Aside:
    """The sealed files beside a store."""

    def __init__(self, store: Store, vault: Vault) -> None:
        self._store = store
        self._vault = vault

    @property
    def _folder(self) -> Path | None:
        # What is sealed by a key that ends with the process opens nothing in the next one.
        return None if self._vault.in_memory else folder_beside(self._store)

    def reserve(self, connection: Connection) -> Path | None:
        """Take the room on the disk that a token of `connection` may need; None where there is none to take."""
        folder = self._folder
        if folder is None:
            return None
        begin = f".{token_file(folder, connection.connection_id, '').name}"
        with suppress(OSError), os.scandir(folder) as entries:
            for entry in entries:
                # Of a process that was killed.
                if entry.name.startswith(begin) and entry.stat().st_mtime < time.time() - _LEFT_BEHIND:
                    Path(entry.path).unlink(missing_ok=True)
        return reserve_private(token_file(folder, connection.connection_id, ""), _ROOM)

    def write(self, kept: Kept, sealer: Sealer, reserved: Path | None = None) -> Path:
        """Write a token down in its file; raises `StoreError`."""
        folder = self._folder
        if folder is None:
            raise StoreError("There is no file beside a store that is in memory.")
        path = token_file(folder, kept.grant.connection_id, kept.name)
        # Of the seal, since the error of a full disk shows the values of arguments.
        write_private(path, _seal(kept, sealer), reserved=reserved)
        return path

    def path_of(self, kept: Kept) -> Path | None:
        """Return the file of a token; None where it has none."""
        folder = self._folder
        path = None if folder is None else token_file(folder, kept.grant.connection_id, kept.name)
        return path if path is not None and path.exists() else None

    def read(self, connection: Connection) -> list[Kept]:
        """Return the tokens of a connection that lie in files, the oldest first; what cannot be opened stays there."""
        if self._store.in_memory:
            return []
        found = [
            self._open(path, connection) for path in token_files(folder_beside(self._store), connection.connection_id)
        ]
        return sorted((kept for kept in found if kept is not None), key=lambda kept: kept.refreshed_at)

    def _open(self, path: Path, connection: Connection) -> Kept | None:
        try:
            kept = read_sealed(path.read_bytes(), self._vault, _kept_of)
        except (SpokekitError, OSError):
            return None
        if kept is None or kept.grant.connection_id != connection.connection_id or not kept.grant.fits(connection):
            return None
        # Its name is the token's, so that whoever removes it removes no other.
        return kept if path.name == token_file(path.parent, connection.connection_id, kept.name).name else None

    def remove(self, kept: Kept) -> None:
        """Remove the file of a token, if it has one."""
        if (path := self.path_of(kept)) is not None:
            with suppress(OSError):
                path.unlink(missing_ok=True)

    def stands_to(self, kept: Kept, record: Record, connection: Connection, account_id: str | None) -> str:
        """Do what `Kept.stands_to` does, for a row as it is stored."""
        return kept.stands_to(record, opened_grant(record.sealed_grant, self._vault, connection), account_id)
