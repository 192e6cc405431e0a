"""What a person has open: the store and the services on it, composed once and made when they are first used.

Notebooks, components and the command line start here; everything below can be used without it.
"""

from __future__ import annotations

import os
import threading
from dataclasses import dataclass
from datetime import datetime
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import pandas as pd

    from spokekit.confluence.spoke import Spoke
    from spokekit.connections.aliases import Alias, Aliases
    from spokekit.connections.connection import Connection, Connections
    from spokekit.connections.store import Store
    from spokekit.groups.registry import Registry
    from spokekit.oauth.tokens import Tokens
    from spokekit.oauth.vault import Vault


@dataclass(frozen=True)
class RowStatus:
    """The status of one row of the list of connections.

    ``state`` is ``not_configured``, ``no_token``, ``valid``, ``expired``, ``consent_needed`` or ``inactive``;
    ``words`` is the sentence for people; ``needs_consent`` tells whether **Get OAuth Token** is to be offered,
    ``needs_site`` that a token is there and one of its sites is to be chosen, and ``waits`` that another account than
    before consented and its token waits for an answer; ``reason`` is why the last renewal failed.
    """

    alias: Alias
    connection: Connection | None
    state: str
    words: str
    expires_at: datetime | None = None
    needs_site: bool = False
    reason: str = ""
    waits: bool = False

    @property
    def needs_consent(self) -> bool:
        """True when a person has to consent before the connection works."""
        return self.state in ("no_token", "consent_needed")


class Workspace:
    """Store, vault and services of one home.

    Parameters
    ----------
    store:
        Without it, the store of this home (``SPOKEKIT_HOME``, ``SPOKEKIT_STORE_URL``).
    vault:
        Without it, the vault that fits the store and this computer.

    Example
    -------
    >>> work = Workspace()
    >>> spoke = work.spoke("Confluence Cloud Spoke Connection")
    >>> spoke.look_up_groups(access="user")
    """

    def __init__(self, store: Store | None = None, vault: Vault | None = None) -> None:
        if store is None:
            from spokekit.connections.store import default_store

            store = default_store()
        self.store = store
        self._vault = vault
        # Two threads that ask first at the same time must not make two keys.
        self._making = threading.RLock()

    def __repr__(self) -> str:
        return f"Workspace({self.store.describe()})"

    @cached_property
    def connections(self) -> Connections:
        """The connections."""
        from spokekit.connections.connection import Connections

        return Connections(self.store)

    @property
    def aliases(self) -> Aliases:
        """The aliases."""
        return self.connections.aliases

    @property
    def vault(self) -> Vault:
        """What seals the secrets."""
        from spokekit.oauth.vault import Vault

        with self._making:
            if self._vault is None:
                self._vault = Vault.open(self.store)
            return self._vault

    @cached_property
    def tokens(self) -> Tokens:
        """The tokens, refreshed when they are needed."""
        from spokekit.oauth.tokens import Tokens

        _ = self.connections
        return Tokens(self.store, self.vault)

    def connection(self, name: str | None = None) -> Connection:
        """Return a connection by name, id or alias; without a name, the default alias's (`Connections.get`)."""
        return self.connections.get(name)

    def sited(self, name: str | None = None) -> Connection:
        """Return a connection that has a site; raises `NotConfigured` with what is missing where it has none."""
        from spokekit.oauth.status import without_site

        connection = self.connection(name)
        if not connection.cloud_id and self.tokens.status(connection).needs_site:
            raise without_site(connection)
        _ = connection.api_base
        return connection

    def registry(self, name: str | None = None) -> Registry:
        """Return the registered groups of a connection."""
        from spokekit.groups.registry import Registry

        return Registry(self.store, self.connection(name))

    def spoke(self, name: str | None = None, *, in_flight: int = 8) -> Spoke:
        """Return a `Spoke` whose group changes are limited to the registered groups of the connection.

        Parameters
        ----------
        in_flight:
            How many requests may be under way at once.

        Raises
        ------
        NotConfigured
            The connection lacks a site.
        NotFound
            There is no such connection.
        """
        from spokekit.confluence.quota import Ledger
        from spokekit.confluence.spoke import Spoke
        from spokekit.groups.registry import Registry

        connection = self.connection(name)
        return Spoke(
            connection,
            self.tokens.source(connection),
            guard=Registry(self.store, connection),
            ledger=Ledger(self.store, connection.client_id),
            in_flight=in_flight,
        )

    def status(self, name: str | None = None) -> tuple[RowStatus, ...]:
        """Return the status of every row of the list of connections, or of the one connection `name`.

        Tokens of a practice site that does not know them (`forget_unknown`) are forgotten first.
        """
        from spokekit.oauth.practice import forget_unknown

        forget_unknown(self.connections, self.tokens)
        rows = self.connections.rows()
        if name is not None:
            wanted = self.connection(name).connection_id
            rows = tuple(row for row in rows if row.connection and row.connection.connection_id == wanted)
        return tuple(self._status(row.alias, row.connection) for row in rows)

    def _status(self, alias: Alias, connection: Connection | None) -> RowStatus:
        if connection is None:
            return RowStatus(alias, None, "not_configured", "not configured")
        if not connection.active:
            return RowStatus(alias, connection, "inactive", "switched off")
        now = self.tokens.status(connection)
        return RowStatus(
            alias, connection, now.state, now.words, now.expires_at, now.needs_site, now.reason, bool(now.waits)
        )

    def check(self, name: str | None = None, **options: Any) -> pd.DataFrame:
        """Check a connection, every scope one at a time; see `spokekit.check.check_connection`.

        Raises `NotFound` and `NotConfigured` where there is nothing to check.
        """
        from spokekit.check import check_connection

        return check_connection(self.connection(name), self.tokens, **options)

    def close(self) -> None:
        """Close the store's connections of this process."""
        self.store.close()


_open: dict[tuple[int, int], Workspace] = {}
_lock = threading.Lock()


def workspace() -> Workspace:
    """Return the workspace of this process; it follows ``SPOKEKIT_HOME`` and ``SPOKEKIT_STORE_URL``."""
    from spokekit.connections.store import default_store

    store = default_store()
    with _lock:
        place = (os.getpid(), id(store))
        if place not in _open:
            _open[place] = Workspace(store)
        return _open[place]


def connect(name: str | None = None, *, in_flight: int = 8) -> Spoke:
    """Return a `Spoke` for a connection; without a name, for the default alias's.

    Example
    -------
    >>> import spokekit
    >>> spoke = spokekit.connect("Confluence Cloud Spoke Connection")
    >>> spoke.look_up_groups()
    """
    return workspace().spoke(name, in_flight=in_flight)
