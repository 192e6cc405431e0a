"""``spokekit connections``: list, show, add, edit, remove and check connections."""

from __future__ import annotations

import sys
from dataclasses import replace
from shlex import quote
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from spokekit._workspace import workspace
from spokekit.cli._output import FAILED, Format, FormatOption, emit, out, say
from spokekit.cli._secrets import read_secret
from spokekit.cli.token import tell_unknown
from spokekit.errors import InputError, NotFound

if TYPE_CHECKING:
    from spokekit._secret import Secret
    from spokekit._workspace import RowStatus, Workspace
    from spokekit.connections.connection import Connection

app = typer.Typer(no_args_is_help=True)


_LIST = ("alias", "name", "state", "status", "site_name", "url", "alias_id", "connection_id")
_TABLE = ("alias", "name", "status", "site_name", "url")
# What one is shown with: its row, the app's side, the site and the person, and the rest.
_ROW = ("alias", "alias_id", "name", "connection_id", "url", "site_name", "state", "status")
_APP = ("auth_url", "client_id", "client_secret", "grant", "read_only", "redirect_uri", "scopes")
_SITE = ("cloud_id", "site_url", "account_id", "account_name")
_REST = ("pkce", "active", "created_at", "updated_at")

NameArgument = Annotated[
    str | None, typer.Argument(metavar="NAME", help="Name, id or alias; without it, the default alias's connection.")
]
NameOption = Annotated[str | None, typer.Option("--name", help="What the connection is called.")]
UrlOption = Annotated[
    str | None, typer.Option("--url", help="Connection URL: https://api.atlassian.com/ or a practice site's.")
]
AuthUrlOption = Annotated[
    str | None,
    typer.Option("--auth-url", help="Authorisation server; without it Atlassian's, or the practice site's own."),
]
ClientIdOption = Annotated[str | None, typer.Option("--client-id", help="Client ID of the OAuth app.")]
SecretOption = Annotated[
    str | None,
    typer.Option(
        "--client-secret-file", metavar="FILE|-", help="File that holds the client secret, or - for standard input."
    ),
]
RedirectOption = Annotated[
    str | None, typer.Option("--redirect-uri", help="Callback URL, exactly as it stands in the app.")
]
ScopesOption = Annotated[str | None, typer.Option("--scopes", help="Scopes, with spaces or commas between them.")]
UnpublishedOption = Annotated[
    bool, typer.Option("--without-unpublished", help="Leave out ace:confluence, which Atlassian does not publish.")
]
SiteOption = Annotated[
    str | None,
    typer.Option("--site", help="Address, name or cloud id of one of the sites that the saved token reaches."),
]
GrantOption = Annotated[
    Literal["consent", "service-account"] | None,
    typer.Option("--grant", help="What gets the token: a person's consent (the default), or a service account."),
]
ReadOnlyOption = Annotated[
    bool | None,
    typer.Option(
        "--read-only/--may-write", help="Refuse every change through this connection, whatever is registered."
    ),
]
PkceOption = Annotated[bool | None, typer.Option("--pkce/--no-pkce", help="Send a PKCE challenge; off for Atlassian.")]


@app.command("list")
def list_(format: FormatOption = Format.table) -> None:
    """List the connections with their status: the default alias first, the others from A to Z."""
    here = workspace()
    tell_unknown(here, here.connections.list())
    rows = [_row(status) for status in here.status()]
    emit(rows, format, columns=_TABLE if format is Format.table else _LIST)


@app.command()
def show(name: NameArgument = None, format: FormatOption = Format.table) -> None:
    """Show a connection with all its fields; the client secret is never shown."""
    _emit_one(workspace(), name, format)


@app.command()
def add(
    client_id: Annotated[str, typer.Option("--client-id", help="Client ID of the OAuth app.")],
    name: NameOption = None,
    url: UrlOption = None,
    auth_url: AuthUrlOption = None,
    client_secret_file: SecretOption = None,
    redirect_uri: RedirectOption = None,
    scopes: ScopesOption = None,
    alias: Annotated[
        str | None,
        typer.Option(
            "--alias",
            help="An alias that is not configured yet, by label or id, or the label of a new child alias. Without it: "
            "the default alias if it is not configured yet, else a new child alias.",
        ),
    ] = None,
    grant: GrantOption = None,
    read_only: ReadOnlyOption = None,
    pkce: PkceOption = None,
    without_unpublished: UnpublishedOption = False,
    format: FormatOption = Format.table,
) -> None:
    """Save a new connection. The token comes afterwards: spokekit token get.

    With --grant service-account, client ID and secret are those of a service account's OAuth 2.0 credential
    (admin.atlassian.com, Directory, Service accounts): nobody consents, and the token comes without a browser.
    """
    from spokekit.connections.connection import ConnectionDraft
    from spokekit.connections.scopes import CONSENT, proposed_scopes

    work = workspace()
    kind, restricted = grant or CONSENT, bool(read_only)
    asked = proposed_scopes(kind, read_only=restricted) if scopes is None else scopes
    draft = ConnectionDraft(
        name=work.connections.propose_name() if name is None else name,
        auth_url=auth_url or "",
        client_id=client_id,
        scopes=_scopes(asked, without_unpublished),
        grant=kind,
        read_only=restricted,
        pkce=bool(pkce),
        **_given(url=url, redirect_uri=redirect_uri),
    )
    secret = _secret(client_secret_file)
    if alias is None or _exists(work, alias):
        saved = work.connections.add(draft, alias_id=alias)
    else:
        saved = work.connections.add_child(draft, label=alias)
    _finish(work, saved, secret, draft.notes(), format)


@app.command()
def edit(
    connection: NameArgument = None,
    name: NameOption = None,
    url: UrlOption = None,
    auth_url: AuthUrlOption = None,
    client_id: ClientIdOption = None,
    client_secret_file: SecretOption = None,
    redirect_uri: RedirectOption = None,
    scopes: ScopesOption = None,
    grant: GrantOption = None,
    read_only: ReadOnlyOption = None,
    pkce: PkceOption = None,
    site: SiteOption = None,
    without_unpublished: UnpublishedOption = False,
    format: FormatOption = Format.table,
) -> None:
    """Change the fields that are named and leave the others, the scopes too, as they are."""
    from spokekit.connections.records import host_notes

    work = workspace()
    saved = work.connection(connection)
    changes = _given(name=name, url=url, auth_url=auth_url, client_id=client_id, redirect_uri=redirect_uri)
    changes |= _given(grant=grant, read_only=read_only, pkce=pkce)
    if scopes is not None or without_unpublished:
        changes["scopes"] = _scopes(saved.scopes if scopes is None else scopes, without_unpublished)
    if url is not None and auth_url is None:
        from spokekit.connections.connection import ConnectionDraft

        # A connection that moves between a practice site and Atlassian needs the other authorisation server as well.
        there = ConnectionDraft(url=url, auth_url="", client_id="unused").values()
        changes |= {"auth_url": there["auth_url"]} if _moves(saved, there["url"]) else {}
    if site is not None:
        _choose_site(work, saved, site, changes)
    secret = _secret(client_secret_file)
    had_secret = work.tokens.has_client_secret(saved)
    changed = work.connections.edit(saved.connection_id, **changes)
    if had_secret and secret is None and not work.tokens.has_client_secret(changed):
        say(
            "The client secret was given for another app or server and is forgotten: give it with --client-secret-file."
        )
    _finish(work, changed, secret, tuple(host_notes(vars(changed)).values()), format)


@app.command()
def remove(
    connection: Annotated[str, typer.Argument(metavar="NAME", help="Name or id of the connection, or its alias.")],
    yes: Annotated[bool, typer.Option("--yes", "-y", help="Do not ask.")] = False,
    keep_alias: Annotated[
        bool, typer.Option("--keep-alias", help="Keep the child alias and its registered groups.")
    ] = False,
) -> None:
    """Remove a connection with its client secret and token, and a child alias with its registered groups.

    It asks first on a terminal. The consent itself ends in the account's settings at Atlassian.
    """
    work = workspace()
    saved = work.connection(connection)
    if not yes and sys.stdin.isatty() and not typer.confirm(f"Remove “{saved.name}”?", err=True):
        say("Nothing was removed.")
        raise typer.Exit(FAILED)
    work.connections.remove(saved.connection_id, keep_alias=keep_alias)
    say(f"Removed the connection “{saved.name}”.")


@app.command()
def check(connection: NameArgument = None, format: FormatOption = Format.table) -> None:
    """Check a connection: site, person, every scope one at a time, and what that allows. Nothing is changed by it.

    The exit code is 1 when something is missing that a step needs.
    """
    from spokekit.check import trouble

    found = workspace().check(connection)
    emit(found, format, columns=["check", "state", "words", "fix"] if format is Format.table else None)
    if trouble(found):
        raise typer.Exit(FAILED)


# ------------------------------------------------------------------------------------------------- inside


def _row(status: RowStatus) -> dict[str, Any]:
    """Return what is known of a row of the list; without a connection, what it would say is left out."""
    known = vars(status.connection) if status.connection else {}
    alias = status.alias
    return {**known, "alias": alias.label, "alias_id": alias.alias_id, "state": status.state, "status": status.words}


def _emit_one(work: Workspace, name: str | None, format: Format) -> None:
    saved = work.connection(name)
    status = work.status(saved.connection_id)[0]
    secret = "saved" if work.tokens.has_client_secret(saved) else "not saved"
    known = {**_row(status), "client_secret": secret}
    fields = {field: known[field] for field in (*_ROW, *_APP, *_SITE, *_REST)}
    if format is not Format.table:
        emit(fields, format)
        return
    emit([{"field": field.replace("_", " "), "value": value} for field, value in fields.items()], format)


def _given(**fields: Any) -> dict[str, Any]:
    """Return the fields that were named on the command line."""
    return {field: value for field, value in fields.items() if value is not None}


def _exists(work: Workspace, alias: str) -> bool:
    try:
        work.aliases.get(alias)
    except NotFound:
        return False
    return True


def _scopes(scopes: Any, without: bool) -> Any:
    from spokekit.connections.scopes import parse_scopes, without_unpublished

    return without_unpublished(parse_scopes(scopes)) if without else scopes


def _choose_site(work: Workspace, saved: Connection, site: str, changes: dict[str, Any]) -> None:
    from spokekit.oauth.grant import choose_site

    if other := {"url", "auth_url", "client_id", "grant"} & changes.keys():
        raise InputError(
            f"--site cannot be given together with --{min(other).replace('_', '-')}, which needs a new token.",
            field="site",
            hint=f"Change that first, then run: spokekit token get --connection {quote(saved.name)} --site SITE",
        )
    choose_site(work, saved, site)


def _moves(saved: Connection, url: str) -> bool:
    from spokekit._surroundings import is_loopback
    from spokekit.connections.fields import host_of

    return url != saved.url and (is_loopback(host_of(url)) or replace(saved, url=url).is_practice != saved.is_practice)


def _secret(source: str | None) -> Secret | None:
    """Read the client secret from a file, or from standard input."""
    if source is None:
        return None
    from spokekit.connections.fields import check_client_secret

    return check_client_secret(read_secret(source, "client secret").reveal())


def _finish(
    work: Workspace,
    saved: Connection,
    secret: Secret | None,
    notes: tuple[str, ...],
    format: Format,
) -> None:
    if secret is not None:
        work.tokens.set_client_secret(saved, secret)
    for note in notes:
        say(f"Note: {note}")
    if format is Format.table:
        out(f"Saved the connection “{saved.name}”.")
        if not work.tokens.has_client_secret(saved):
            say(f"It has no client secret yet: spokekit connections edit {quote(saved.name)} --client-secret-file FILE")
    else:
        _emit_one(work, saved.connection_id, format)
