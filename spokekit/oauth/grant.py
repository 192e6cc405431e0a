"""Save and Get OAuth Token, without a widget: consent, callback, exchange, sites, account, all saved."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from contextlib import closing, suppress
from functools import partial
from typing import Protocol

from spokekit._secret import Secret
from spokekit.connections.connection import Connection, Connections
from spokekit.errors import (
    CallbackRefused,
    ConsentCancelled,
    NoSite,
    OtherAccount,
    SiteChoiceNeeded,
    SpokekitError,
    StoreError,
    TokenRejected,
)
from spokekit.oauth.attempt import LIFETIME, Attempt, Granted, cancelled, identify, timed_out, who_consented
from spokekit.oauth.callbacks import Callback, Receiver, ReceiverName
from spokekit.oauth.endpoint import Site, in_a_thread
from spokekit.oauth.receivers import choose_receiver, make_receiver
from spokekit.oauth.sites import check_wanted, find_site, listed
from spokekit.oauth.status import TokenStatus, to_answer, to_choose_a_site, who
from spokekit.oauth.tokens import Tokens
from spokekit.oauth.unsaved import Kept

__all__ = [
    "Attempt",
    "Granted",
    "choose_site",
    "get_token",
    "pick_site",
    "reachable_sites",
    "take_waiting",
]

# How much of what was pasted before may belong to the line that comes now.
_HELD = 20_000

ChooseSite = Callable[[Sequence[Site]], "Site | str | None"]
ConfirmAccount = Callable[[str], "bool | None"]
_Pick = Callable[[Connection, Sequence[Site]], Site]
_Say = Callable[[str], object]


class Place(Protocol):
    """What `get_token` needs of a workspace."""

    @property
    def connections(self) -> Connections: ...

    @property
    def tokens(self) -> Tokens: ...


class Cancel(Protocol):
    """A `threading.Event`, or anything with its ``is_set``."""

    def is_set(self) -> bool: ...


def choose_site(
    workspace: Place, connection: Connection, site: str | None, *, choose: ChooseSite | None = None
) -> TokenStatus:
    """Choose the site of a connection whose token is there already: no new consent is needed.

    Parameters
    ----------
    site:
        Address, host, name or cloud id (`spokekit.oauth.sites.find_site`); without it, `choose` is asked.

    Raises
    ------
    ConsentNeeded
        There is no token that can be used.
    InputError, SiteChoiceNeeded, NoSite
        `site` can be none, fits none or several of the token's sites; or the token reaches none.
    """
    found = reachable_sites(workspace, connection)
    chosen = pick_site(connection, found, choose, site=site)
    workspace.connections.set_site(connection.connection_id, chosen.cloud_id, chosen.name, chosen.url)
    return workspace.tokens.status(connection)


def reachable_sites(workspace: Place, connection: Connection) -> tuple[Site, ...]:
    """Return the sites that the saved token reaches; who consented is noted, where that was not known."""
    tokens, endpoint = workspace.tokens, workspace.tokens.endpoint(connection)
    token = tokens.access_token(connection)
    try:
        sites = endpoint.sites(token)
    except TokenRejected:
        token = tokens.access_token(connection, rejected=token)
        sites = endpoint.sites(token)
    status = tokens.status(connection)
    if not status.account:
        account = who_consented(endpoint, token, status.scopes, sites)
        known = (None, None) if account is None else (account.account_id, account.name)
        workspace.connections.set_account(connection.connection_id, *known)
    return sites


def get_token(
    workspace: Place,
    connection: Connection,
    *,
    receiver: Receiver | ReceiverName | None = None,
    open_browser: Callable[[str], object] | None = None,
    show_address: Callable[[str], object] | None = None,
    choose_site: ChooseSite | None = None,
    site: str | None = None,
    confirm_account: ConfirmAccount | None = None,
    timeout: float = LIFETIME,
    paste: Callable[[str], str | None] | None = None,
    cancel: Cancel | None = None,
    tell: Callable[[str], object] | None = None,
) -> TokenStatus:
    """Get a token for `connection`: everything that the button does after saving. Blocks until then.

    Parameters
    ----------
    receiver:
        How the redirect comes back: a name, a receiver of your own (its `deliver` takes pasted addresses), or None to
        let `choose_receiver` decide.
    open_browser, show_address:
        Called with the address to open.
    choose_site:
        Called with the sites when the grant reaches several; returns one of them or its cloud id.
    site:
        The site that the token is for: address, host, name or cloud id. Without it, the connection's site, the only
        one, or what `choose_site` says.
    confirm_account:
        Asked, with a sentence to show, when the account that consented is not the one for which the connection has
        spoken so far. True takes the new token, False drops it, None leaves it kept aside (see `take_waiting`); until
        then, and without this, the token of before stays.
    timeout:
        How long to wait for the person, in seconds; at most ten minutes.
    paste:
        Asks for the pasted address, with a sentence to show; returns None when there is no more input. Used by the
        receiver ``paste``; without it, somebody else calls ``receiver.deliver``.
    cancel:
        Ends the attempt once it is set.
    tell:
        Called with a sentence at each step.

    Raises
    ------
    ConsentError
        One kind for each thing that can go wrong. With `SiteChoiceNeeded` and `NoSite` the token is saved already,
        with `OtherAccount` it is not.
    NotConfigured, VaultError, TransportError, ServiceError
        Client id or secret are missing, a sealed secret does not open, Atlassian gives no usable answer.
    """
    say = tell or (lambda words: None)
    pick = partial(pick_site, choose=choose_site, site=site)
    if connection.is_service_account:
        return _as_service_account(workspace, connection, pick, say)
    if site is not None:
        # Before the consent, as far as that goes: the sites are known only after it.
        check_wanted(site)
    receiver, reason = (receiver, "") if receiver else choose_receiver(connection.redirect_uri)
    if not isinstance(receiver, Receiver):
        receiver = make_receiver(receiver, connection.redirect_uri)
    with closing(receiver):
        attempt = Attempt.start(connection, workspace.tokens, receiver)
        if reason:
            # Not before: an attempt that does not begin waits for nothing.
            say(reason)
        for show in (show_address, open_browser):
            if show is not None:
                show(attempt.link())
        say("Waiting for your consent in the browser.")
        callback = _await(attempt, receiver, min(timeout, LIFETIME), paste, cancel, say)
        # The browser has its answer; nothing that comes later counts.
        receiver.close()
        say("Consent received. Getting the token.")
        # Not a daemon: an interrupted cell must not throw away a code that was sent.
        granted = in_a_thread("spokekit-exchange", partial(attempt.complete, callback), daemon=False).result()
    # First of all, since it holds whichever site is chosen: what the connection may do is what this person may.
    if granted.waiting is not None:
        _ask(workspace, connection, granted.waiting, confirm_account)
    return _at_a_site(workspace, connection, granted.sites, pick, say)


def _as_service_account(workspace: Place, connection: Connection, pick: _Pick, say: _Say) -> TokenStatus:
    """Get a token as a service account: nobody consents, no browser opens, and nothing comes back to wait for."""
    say("Asking for a token as a service account.")
    tokens = workspace.tokens
    # Anew even where one is there: whoever asks wants to know whether the credential still works.
    tokens.access_token(connection, rejected=tokens.stored(connection))
    return _at_a_site(workspace, connection, reachable_sites(workspace, connection), pick, say)


def _await(
    attempt: Attempt,
    receiver: Receiver,
    timeout: float,
    paste: Callable[[str], str | None] | None,
    cancel: Cancel | None,
    say: _Say,
) -> Callback:
    ends = time.monotonic() + timeout
    asked = "Paste the whole address of the page after the consent: "
    earlier = Secret("")
    while True:
        if cancel is not None and cancel.is_set():
            attempt.cancel()
            raise cancelled()
        left = min(ends - time.monotonic(), attempt.seconds_left())
        if left <= 0:
            attempt.cancel()
            raise timed_out(timeout)
        if paste is not None and receiver.name == "paste":
            pasted = _sealed(paste(asked))
            if pasted is None:
                attempt.cancel()
                raise ConsentCancelled(
                    "The input ended before an address was pasted.", hint="Run it again in a terminal, or use a widget."
                )
            earlier = Secret(f"{earlier.reveal()}\n{pasted.reveal()}"[-_HELD:])
            refused = _deliver(receiver, pasted, earlier)
            if refused is not None:
                say(str(refused))
                continue
        callback = receiver.wait(min(left, 0.2))
        if callback is not None:
            return callback


def _deliver(receiver: Receiver, pasted: Secret, with_earlier: Secret) -> CallbackRefused | None:
    """Deliver a pasted line, or it with the lines before: a terminal gives an address with a break in it line by line.

    Returns why the line was refused.
    """
    try:
        receiver.deliver(pasted)
    except CallbackRefused as error:
        refused = error.with_traceback(None)
    else:
        return None
    try:
        receiver.deliver(with_earlier)
    except CallbackRefused:
        return refused
    return None


def _sealed(text: str | None) -> Secret | None:
    return None if text is None else Secret(text)


def take_waiting(
    workspace: Place,
    connection: Connection,
    *,
    confirm_account: ConfirmAccount | None = None,
    choose_site: ChooseSite | None = None,
    site: str | None = None,
    tell: Callable[[str], object] | None = None,
) -> TokenStatus | None:
    """Ask about the token of another account that was kept aside, and take it or drop it; None where there is none.

    The parameters are those of `get_token`. Raises `OtherAccount` where it is not taken, and the errors of
    `choose_site`, with which it is taken.
    """
    tokens = workspace.tokens
    kept = tokens.pending.waiting(connection)
    if kept is None:
        return None
    if kept.account_id is None:
        # The attempt ended before that was known; a token that has expired since cannot tell.
        with suppress(SpokekitError):
            kept = kept.given_by(identify(tokens.endpoint(connection), kept)[1])
            tokens.pending.keep(connection, kept)
    if kept.account_id and kept.account_id == tokens.account(connection)[0]:
        tokens.adopt(connection, kept)
    else:
        _ask(workspace, connection, kept, confirm_account)
    pick = partial(pick_site, choose=choose_site, site=site)
    return _at_a_site(workspace, connection, reachable_sites(workspace, connection), pick, tell or (lambda words: None))


def account_question(workspace: Place, connection: Connection, kept: Kept) -> str:
    """Return what a person is asked before the token of another account takes the place of the one there is."""
    now, before = who(kept.account_id, kept.account_name), who(*workspace.tokens.account(connection))
    return (
        f"{now[0].upper()}{now[1:]} consented, and the connection “{connection.name}” has spoken for {before} so far. "
        "With the new token the connection may do what that account may."
    )


def _ask(workspace: Place, connection: Connection, kept: Kept, confirm: ConfirmAccount | None) -> None:
    question = account_question(workspace, connection, kept)
    answer = confirm(question) if confirm is not None else None
    if answer:
        workspace.tokens.adopt(connection, kept)
        return
    likely = "Somebody else was signed in to Atlassian in the browser, or the consent came from somebody else."
    if answer is None:
        raise OtherAccount(
            question,
            likely=likely,
            hint=f"The new token is kept aside, sealed, and the one of before stays in use. {to_answer(connection)}",
        )
    workspace.tokens.pending.drop(kept)
    raise OtherAccount(
        f"The token of {who(kept.account_id, kept.account_name)} was not taken; the one of before stays in use.",
        hint="Sign in to Atlassian with the right account, then get the token again.",
        next_step="consent",
    )


def _at_a_site(workspace: Place, connection: Connection, sites: Sequence[Site], pick: _Pick, say: _Say) -> TokenStatus:
    status = workspace.tokens.status(connection)
    if status.account_before:
        now = f"{status.account} consented" if status.account else "Who consented is not known"
        if connection.is_service_account:
            now = f"The token speaks for {status.account or 'an account that is not known'}"
        say(f"{now} (before: {status.account_before}). The connection may do what this account may.")
    elif not status.account and not connection.is_service_account:
        say("Who consented is not known: add the scope read:me to the app and the connection.")
    site = pick(connection, sites)
    try:
        workspace.connections.set_site(connection.connection_id, site.cloud_id, site.name, site.url)
    except StoreError:
        if kept := workspace.tokens.pending.words(connection):
            hint = f"The {_noun(connection)} is not lost. {to_choose_a_site(connection)}"
            raise StoreError(kept, hint=hint, next_step="choose_site") from None
        raise
    say(f"Connected to {site.name}{f' as {status.account}' if status.account else ''}.")
    return workspace.tokens.status(connection)


def _noun(connection: Connection) -> str:
    return "token" if connection.is_service_account else "consent"


def pick_site(
    connection: Connection, sites: Sequence[Site], choose: ChooseSite | None = None, *, site: str | None = None
) -> Site:
    """Return the site of the connection: `site`, the one that it is for, the only one, or the one chosen; no guess.

    Raises
    ------
    InputError
        `site` can be no site.
    NoSite
        The grant reaches no site with Confluence.
    SiteChoiceNeeded
        It reaches several, or another one than the connection was for, and nobody chose.
    """
    if not sites and connection.is_service_account:
        raise NoSite(
            "The service account's token reaches no site with Confluence.",
            likely="The service account has no access to Confluence on any site.",
            hint="In admin.atlassian.com (Directory, Service accounts) give it access to Confluence on the site, then "
            "get the token again.",
        )
    if not sites:
        raise NoSite(
            "The consent was given, but it reaches no site with Confluence.",
            likely="The account has no Confluence, or a site without Confluence was chosen on the consent page.",
            hint="Sign in with an account that uses Confluence, or ask a site admin for access, then try again.",
        )
    if site is not None:
        return find_site(site, sites, connection)
    known = next((site for site in sites if site.cloud_id == connection.cloud_id), None)
    if known is not None:
        return known
    if len(sites) == 1 and not connection.cloud_id:
        return sites[0]
    chosen = choose(tuple(sites)) if choose is not None else None
    if chosen is not None:
        return find_site(chosen.cloud_id if isinstance(chosen, Site) else chosen, sites, connection)
    names = listed(sites)
    if connection.cloud_id:
        was = connection.site_name or connection.cloud_id
        what = f"The connection was for {was}; this {_noun(connection)} reaches: {names}."
    else:
        what = f"The {_noun(connection)} reaches several sites: {names}."
    raise SiteChoiceNeeded(
        what,
        hint=f"The token is saved. {to_choose_a_site(connection)}",
        sites=tuple((site.cloud_id, site.name, site.url) for site in sites),
    )
