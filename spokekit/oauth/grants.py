"""A grant as it stands sealed in the store, bound to the connection, app and server that it was given for."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from typing import Any, TypeVar

from spokekit._secret import Secret
from spokekit.connections.connection import Connection
from spokekit.connections.fields import same_server
from spokekit.errors import SpokekitError, VaultError
from spokekit.oauth.answers import TokenAnswer
from spokekit.oauth.keys import WAY_OUT
from spokekit.oauth.vault import Sealer, Vault

T = TypeVar("T")


@dataclass(frozen=True)
class Grant:
    """An opened grant. ``lifetime`` is the access token's, in seconds."""

    connection_id: str
    client_id: str
    auth_url: str
    access_token: Secret
    refresh_token: Secret | None
    lifetime: int

    @classmethod
    def of(cls, connection: Connection, answer: TokenAnswer, earlier: Grant | None = None) -> Grant:
        """Return the grant for a new answer; a server that does not rotate leaves the earlier refresh token valid."""
        kept = earlier.refresh_token if earlier is not None else None
        return cls(
            connection.connection_id,
            connection.client_id,
            connection.auth_url,
            answer.access_token,
            answer.refresh_token or kept,
            answer.lifetime,
        )

    def fits(self, connection: Connection) -> bool:
        """Tell whether it was given to this app by this server: it must never be sent to another one."""
        return self.client_id == connection.client_id and same_server(self.auth_url, connection.auth_url)


def seal_grant(grant: Grant, sealer: Sealer) -> bytes:
    """Return the grant sealed."""
    return sealer.seal(json.dumps(fields_of(grant)).encode())


def fields_of(grant: Grant) -> dict[str, Any]:
    """Return what is sealed of a grant, tokens in clear: stand it only in the expression that seals it."""
    return {
        "v": 1,
        "connection": grant.connection_id,
        "client": grant.client_id,
        "server": grant.auth_url,
        "access": grant.access_token.reveal(),
        "refresh": grant.refresh_token.reveal() if grant.refresh_token else None,
        "lifetime": grant.lifetime,
    }


def open_grant(sealed: bytes, vault: Vault, connection: Connection) -> Grant:
    """Return the opened grant; raises `VaultError` when it is damaged or another connection's."""
    grant = read_sealed(sealed, vault, grant_of)
    if grant is None or grant.connection_id != connection.connection_id:
        raise VaultError(
            f"The saved token of “{connection.name}” is damaged.",
            likely="The record was changed or copied from another connection outside spokekit.",
            hint=f"Other connections are not touched. {WAY_OUT}",
            next_step="consent",
        )
    return grant


def opened_grant(sealed: bytes | None, vault: Vault, connection: Connection) -> Grant | None:
    """Return the opened grant; None where there is none, or none that opens."""
    with suppress(SpokekitError):
        return None if sealed is None else open_grant(sealed, vault, connection)
    return None


def read_sealed(sealed: bytes, vault: Vault, read: Callable[[Any], T]) -> T | None:
    """Return what `read` makes of the sealed JSON, None where that is damaged; raises `VaultError` like `unseal`."""
    try:
        return read(json.loads(vault.unseal(sealed)))
    except (ValueError, KeyError, TypeError):
        return None


def grant_of(found: Mapping[str, Any]) -> Grant:
    """Return the grant that `fields_of` took apart; raises `ValueError`, `KeyError` or `TypeError` where it is none."""
    refresh = found["refresh"]
    return Grant(
        str(found["connection"]),
        str(found["client"]),
        str(found["server"]),
        Secret(found["access"]),
        Secret(refresh) if refresh else None,
        int(found["lifetime"]),
    )


def seal_secret(secret: Secret, connection: Connection, sealer: Sealer) -> bytes:
    """Return the client secret sealed, bound to its connection."""
    return sealer.seal(json.dumps({"connection": connection.connection_id, "secret": secret.reveal()}).encode())


def open_secret(sealed: bytes, vault: Vault, connection: Connection) -> Secret:
    """Return the client secret; raises `VaultError` when it is damaged or another connection's."""
    secret = read_sealed(sealed, vault, partial(_secret_of, connection.connection_id))
    if secret is None:
        raise VaultError(
            f"The saved client secret of “{connection.name}” is damaged.",
            hint="Enter the client secret again. Other connections are not touched.",
            next_step="fix_secret",
        )
    return secret


def _secret_of(connection_id: str, found: Mapping[str, Any]) -> Secret | None:
    return Secret(found["secret"]) if found["connection"] == connection_id else None
