"""The records of this room: a saved connection, a form that is being filled in, a line of the list."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from functools import partial
from typing import Any

from spokekit._surroundings import is_loopback
from spokekit.connections.aliases import Alias
from spokekit.connections.fields import (
    AUTH_HOST,
    GATEWAY_HOST,
    check_auth_url,
    check_client_id,
    check_name,
    check_pair,
    check_redirect_uri,
    check_url,
    host_of,
    refuse,
)
from spokekit.connections.scopes import (
    CONSENT,
    GRANTS,
    SERVICE_ACCOUNT,
    GrantKind,
    advice,
    parse_scopes,
    proposed_scopes,
)
from spokekit.errors import InputError, NotConfigured

DEFAULT_NAME = "Confluence Cloud Spoke Connection"
DEFAULT_URL = "https://api.atlassian.com/"
DEFAULT_AUTH_URL = "https://auth.atlassian.com/"
DEFAULT_REDIRECT_URI = "http://localhost:8751/callback"

FIELDS = ("name", "url", "grant", "read_only", "scopes", "client_id", "redirect_uri", "auth_url", "pkce")


@dataclass(frozen=True)
class Connection:
    """One saved connection, without any secret.

    ``cloud_id``, ``site_name`` and ``site_url`` are None until a site is known, ``account_id`` and ``account_name``
    until somebody signed in. ``grant`` says what gets the token: ``consent`` (a person's) or ``service-account``.
    With ``read_only`` nothing is changed through it, whatever the token and the registered groups permit.
    """

    connection_id: str
    alias_id: str
    name: str
    url: str
    auth_url: str
    scopes: tuple[str, ...]
    client_id: str
    redirect_uri: str
    cloud_id: str | None
    site_name: str | None
    site_url: str | None
    account_id: str | None
    account_name: str | None
    active: bool
    pkce: bool
    created_at: datetime
    updated_at: datetime
    grant: GrantKind = CONSENT
    read_only: bool = False

    @property
    def is_service_account(self) -> bool:
        """True when a service account's credential gets the token: nobody consents, and nothing is renewed."""
        return self.grant == SERVICE_ACCOUNT

    @property
    def api_base(self) -> str:
        """The address that every Confluence call starts with, without a slash at its end.

        Raises `NotConfigured` as long as no site was chosen.
        """
        if not self.cloud_id:
            raise NotConfigured(
                f"The connection “{self.name}” has no site yet.",
                likely="Its first token was not got yet, or none of the sites that it reaches was chosen."
                if self.is_service_account
                else "Nobody has consented with it, or none of the sites that the consent reaches was chosen.",
                hint="Press Save and Get OAuth Token, or run: spokekit token get.",
                next_step="consent",
            )
        return f"{self.url.rstrip('/')}/ex/confluence/{self.cloud_id}"

    @property
    def is_practice(self) -> bool:
        """True when the connection leads to a practice site on this computer."""
        return is_loopback(host_of(self.url))


@dataclass
class ConnectionDraft:
    """What stands in a connection form: as typed, right or wrong.

    ``scopes`` may be a text or a sequence; without them, those that are proposed for the kind.
    An empty ``auth_url`` means: Atlassian's, or the practice site's own when
    ``url`` is one. With a ``connection_id``, saving changes that connection; with an ``alias_id``, it configures
    that alias.
    """

    name: str = DEFAULT_NAME
    url: str = DEFAULT_URL
    auth_url: str = DEFAULT_AUTH_URL
    scopes: str | Iterable[str] | None = None
    client_id: str = ""
    redirect_uri: str = DEFAULT_REDIRECT_URI
    pkce: bool = False
    grant: str = CONSENT
    read_only: bool = False
    alias_id: str | None = None
    connection_id: str | None = None

    def __post_init__(self) -> None:
        if self.scopes is None:
            self.scopes = ", ".join(proposed_scopes(self.grant, read_only=self.read_only is True))

    def validate(self) -> dict[str, InputError]:
        """Return what is wrong, by field; empty when the draft can be saved."""
        return self._checked()[1]

    def notes(self) -> tuple[str, ...]:
        """Return what is worth knowing although it can be saved (see `spokekit.connections.scopes.advice`)."""
        return (*self.host_notes().values(), *self.scope_notes())

    def scope_notes(self) -> tuple[str, ...]:
        """Return what `notes` says of the scopes."""
        scopes = self._checked()[0].get("scopes")
        return advice(scopes, self.grant, read_only=self.read_only is True) if scopes else ()

    def host_notes(self) -> dict[str, str]:
        """Return, by field, the warning about an address that leads neither to Atlassian nor to this computer."""
        return host_notes(self._checked()[0])

    def values(self) -> dict[str, Any]:
        """Return the clean values, ready to be stored; raises the first error in the order of the form."""
        values, wrong = self._checked()
        for error in wrong.values():
            raise error
        return values

    def _checked(self) -> tuple[dict[str, Any], dict[str, InputError]]:
        values: dict[str, Any] = {}
        wrong: dict[str, InputError] = {}

        def take(field: str, check: Callable[[Any], Any]) -> None:
            try:
                values[field] = check(getattr(self, field))
            except InputError as error:
                wrong[field] = error

        take("name", check_name)
        take("url", check_url)
        if "url" in values:
            values["url"], values["cloud_id"] = values["url"]
        if self.auth_url == "" and "url" in values:
            values["auth_url"] = values["url"] if is_loopback(host_of(values["url"])) else DEFAULT_AUTH_URL
        else:
            take("auth_url", check_auth_url)
        take("grant", _check_grant)
        take("read_only", partial(_check_switch, "read_only"))
        take("scopes", parse_scopes)
        take("client_id", check_client_id)
        take("redirect_uri", check_redirect_uri)
        take("pkce", partial(_check_switch, "pkce"))
        if "url" in values and "auth_url" in values:
            try:
                check_pair(values["url"], values["auth_url"])
            except InputError as error:
                wrong["auth_url"] = error
        return values, {field: wrong[field] for field in FIELDS if field in wrong}


def _check_switch(field: str, value: Any) -> bool:
    if not isinstance(value, bool):
        refuse(field, "this is either on or off.", hint="Give True or False.")
    return value


def _check_grant(value: Any) -> str:
    if value not in GRANTS:
        refuse("grant", "nothing gets one in this way.", hint=f"Choose {' or '.join(GRANTS)}.")
    return str(value)


@dataclass(frozen=True)
class ConnectionRow:
    """One line of the list of connections: an alias, and its connection if it has one.

    How its token stands, `spokekit.Workspace.status` says.
    """

    alias: Alias
    connection: Connection | None

    @property
    def is_default(self) -> bool:
        """True for the row of the default alias."""
        return self.alias.is_default

    @property
    def configured(self) -> bool:
        """True when the alias has a connection; the panel then offers **Edit**, otherwise **Configure**."""
        return self.connection is not None


def host_notes(values: Mapping[str, Any]) -> dict[str, str]:
    """Return, by field, what to mind of a checked ``url`` or ``auth_url`` that is neither Atlassian's nor loopback.

    They are not forbidden: a company may run a gateway of its own in between.
    """
    sent = {"url": (GATEWAY_HOST, "the token and all requests"), "auth_url": (AUTH_HOST, "the secret and the consent")}
    notes = {}
    for field, (usual, what) in sent.items():
        host = host_of(values.get(field) or "")
        if host and host != usual and not is_loopback(host):
            notes[field] = (
                f"Warning: {host} is not Atlassian ({usual} is), but {what} would go there. "
                "Keep it only if you run this server or know who does."
            )
    return notes
