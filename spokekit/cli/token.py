"""Get a token for a connection, or look at the one there is."""

from __future__ import annotations

import os
import select
import sys
import time
from collections.abc import Callable, Iterable, Sequence
from typing import TYPE_CHECKING, Annotated

import typer

from spokekit._workspace import workspace
from spokekit.cli._output import ConnectionOption, Format, FormatOption, emit, out, say
from spokekit.errors import ConsentNeeded

if TYPE_CHECKING:
    from spokekit._workspace import Workspace
    from spokekit.connections.connection import Connection
    from spokekit.oauth.endpoint import Site
    from spokekit.oauth.status import TokenStatus

app = typer.Typer(no_args_is_help=True)

_PASTED_WITHIN = 0.05
_MOST_PASTED = 200_000

STATUS_COLUMNS = (
    "connection",
    "state",
    "expires_at",
    "consent_by",
    "scopes",
    "site",
    "account",
    "account_before",
    "words",
)


@app.command()
def get(
    connection: ConnectionOption = None,
    no_browser: Annotated[
        bool,
        typer.Option("--no-browser", help="Open no browser: print the address alone on a line, and wait."),
    ] = False,
    paste: Annotated[
        bool, typer.Option("--paste", help="Ask for the address of the page after the consent, which need not load.")
    ] = False,
    site: Annotated[
        str | None,
        typer.Option("--site", help="Address, name or cloud id of the site. A saved token that reaches it is used."),
    ] = None,
    yes: Annotated[
        bool, typer.Option("--yes", help="Take the token although another account consented than before; do not ask.")
    ] = False,
    timeout: Annotated[float, typer.Option("--timeout", min=1, max=600, help="Seconds to wait for the consent.")] = 600,
) -> None:
    """Consent in the browser, and keep the token.

    With --site, a token that is saved already is used: the site is chosen without another consent.
    Without --paste a listener waits on the port of the connection's redirect URI; where it cannot, the address of the
    page after the consent is asked for.
    For a service account nobody consents and no browser opens: the token is asked for with its client secret.
    When another account consents than before, you are asked before its token takes the place of the one there is.
    """
    from spokekit._browse import PrivateBrowser
    from spokekit.oauth.grant import get_token, take_waiting

    here = workspace()
    chosen = here.connection(connection)
    confirm = _confirmer(yes=yes)
    if yes or sys.stdin.isatty():
        taken = take_waiting(here, chosen, confirm_account=confirm, choose_site=_choose, site=site, tell=say)
        if taken is not None:
            say(taken.words)
            return
    if site is not None and (found := choose_saved(here, chosen, site)) is not None:
        say(found.words)
        return
    with PrivateBrowser(say) as browser:
        status = get_token(
            here,
            chosen,
            receiver="paste" if paste else None,
            # Without a browser the address is alone on its line, and can also be piped.
            open_browser=None if no_browser else browser.open,
            show_address=out if no_browser or paste else _show,
            choose_site=_choose,
            site=site,
            confirm_account=confirm,
            timeout=timeout,
            paste=_asker(timeout),
            tell=say,
        )
    say(status.words)


def choose_saved(here: Workspace, connection: Connection, site: str) -> TokenStatus | None:
    """Choose the site with the token that is saved; None where there is none that can be used."""
    from spokekit.oauth.grant import choose_site
    from spokekit.oauth.sites import check_wanted

    check_wanted(site)
    if here.tokens.status(connection).state not in ("valid", "expired"):
        return None
    try:
        return choose_site(here, connection, site)
    except ConsentNeeded as error:
        say(str(error))
        return None


def _confirmer(*, yes: bool) -> Callable[[str], bool | None]:
    """Return what asks whether another account is meant; where nobody is there to be asked, nothing is said."""

    def confirm(question: str) -> bool | None:
        say(question)
        if yes:
            return True
        return typer.confirm("Take the new token?", err=True) if sys.stdin.isatty() else None

    return confirm


def _show(address: str) -> None:
    say(f"If no browser opens, or it cannot read the page, open this address:\n{address}")


def _asker(timeout: float) -> Callable[[str], str | None]:
    """Return what asks for a line, but no longer than until `timeout` seconds from now."""
    from spokekit.oauth.attempt import timed_out

    ends, held = time.monotonic() + timeout, bytearray()

    def ask(question: str) -> str | None:
        sys.stderr.write(question)
        sys.stderr.flush()
        number = _waitable()
        if number is None:
            return sys.stdin.readline() or None
        # Read without a buffer: a line that came together with the one before would be in it, and not be waited for.
        while b"\n" not in held:
            if not select.select([number], [], [], max(ends - time.monotonic(), 0))[0]:
                sys.stderr.write("\n")
                raise timed_out(timeout)
            more = os.read(number, 65_536)
            if not more:
                break
            held.extend(more)
        # What was pasted as several lines is one answer: an address with a break in it, or with words around it.
        while b"\n" in held and select.select([number], [], [], _PASTED_WITHIN)[0]:
            more = os.read(number, 65_536)
            if not more or len(held) > _MOST_PASTED:
                break
            held.extend(more)
        line, end, rest = held.rpartition(b"\n") if b"\n" in held else (bytes(held), b"", b"")
        held[:] = rest
        return (line + end).decode(errors="replace") or None

    return ask


def _waitable() -> int | None:
    """Return the number of the input if its end of waiting can be set; not so on Windows, nor for what is no file."""
    try:
        number = sys.stdin.fileno()
        select.select([number], [], [], 0)
    except (AttributeError, OSError, ValueError):
        return None
    return number


def _choose(sites: Sequence[Site]) -> str | None:
    if not sys.stdin.isatty():
        return None
    for number, found in enumerate(sites, 1):
        say(f"{number}  {found.name}  {found.url}")
    sys.stderr.write("Which site? Number or address: ")
    sys.stderr.flush()
    answer = sys.stdin.readline().strip()
    return sites[int(answer) - 1].cloud_id if answer.isdigit() and 0 < int(answer) <= len(sites) else answer or None


def tell_unknown(here: Workspace, chosen: Iterable[Connection]) -> None:
    """Forget tokens that a practice site here never gave, and say so: it was started anew."""
    from spokekit.oauth.practice import forget_unknown

    for one in chosen:
        for name in forget_unknown(here.connections, here.tokens, only=one):
            say(
                f"The practice site was started anew and does not know the token of “{name}”, so it is forgotten here. "
                "Get one again: spokekit token get."
            )


@app.command()
def status(connection: ConnectionOption = None, format: FormatOption = Format.table) -> None:
    """Say how the tokens stand: of one connection, or of all of them."""
    here = workspace()
    chosen = here.connections.list() if connection is None else (here.connection(connection),)
    tell_unknown(here, chosen)
    rows = [{"connection": one.name, **vars(here.tokens.status(one))} for one in chosen]
    columns = STATUS_COLUMNS if format is not Format.table else ("connection", "state", "words")
    emit(rows, format, columns, empty="No connection is configured yet.")


@app.command()
def forget(connection: ConnectionOption = None) -> None:
    """Forget the token here. The consent itself ends in the Atlassian account, under Connected apps."""
    here = workspace()
    chosen = here.connection(connection)
    here.tokens.forget(chosen)
    say(f"The token of “{chosen.name}” is forgotten here; the client secret is kept.")
