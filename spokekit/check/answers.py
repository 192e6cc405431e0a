"""The single checks behind a connection's check: what each call's answer means, and what follows from all of them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from email.utils import parsedate_to_datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import msgspec

from spokekit.check.probes import NO_ACCOUNT, NO_GROUP, PROBES, V1, Probe
from spokekit.confluence.paging import GROUP_POINTS, OffsetPages
from spokekit.confluence.service_account import WHERE, to_get_scopes
from spokekit.confluence.shapes import GROUPS
from spokekit.connections.scopes import APP_ONLY, STEPS, missing_for, needed_for, published_first
from spokekit.errors import (
    AppNotInstalled,
    Cancelled,
    NotPermitted,
    NotThere,
    ScopeMissing,
    ServiceError,
    SiteRefuses,
    SpokekitError,
    TokenRejected,
    TransportError,
    UnexpectedAnswer,
)
from spokekit.oauth.status import to_choose_a_site

if TYPE_CHECKING:
    from spokekit.confluence.gateway import Gateway
    from spokekit.confluence.operation import Operation
    from spokekit.connections.connection import Connection
    from spokekit.oauth.status import TokenStatus

_CLOCKS_APART = timedelta(minutes=3)
_CONSENT_AGAIN = "press Save and Get OAuth Token"
_LEAVE_OUT = "It can be left out of the connection's scopes."


@dataclass
class Found:
    """What one check came to."""

    kind: str
    check: str
    state: str
    words: str
    fix: str = ""


@dataclass
class Check:
    """One run: what is known so far, and the rows of the frame."""

    connection: Connection
    status: TokenStatus
    gateway: Gateway
    operation: Operation
    rows: list[Found] = field(default_factory=list)
    me: dict[str, str] = field(default_factory=dict)
    present: set[str] = field(default_factory=set)
    absent: set[str] = field(default_factory=set)
    write: SpokekitError | None = None
    stopped: SpokekitError | None = None
    may_write: str = "unknown"

    def note(self, kind: str, check: str, state: str, words: str, fix: str = "") -> None:
        self.rows.append(Found(kind, check, state, words, fix))

    def stop(self, error: SpokekitError) -> None:
        """Note that the token does not carry any further: that is said in its own line, which stands first."""
        self.stopped = error
        self.rows = [row for row in self.rows if row.check != "Token"]
        self.rows.insert(0, Found("connection", "Token", "failed", error.message, next_of(error)))

    @property
    def service(self) -> bool:
        """Whether a service account calls: nobody consents, and nothing is enabled on an app."""
        return self.connection.is_service_account

    def _enable(self, *names: str) -> str:
        if self.service:
            return to_get_scopes(names)
        which = names[0] if len(names) == 1 else "it"
        return f"Enable {which} on the app (Permissions), then {_CONSENT_AGAIN}."

    # -------------------------------------------------------------------------------------------- the calls

    async def read(self, path: str, query: Sequence[tuple[str, str | int]] = (), body: Any = None) -> Any:
        """Return the decoded answer of a harmless call, or raise what it means."""
        at_root = not path.startswith("/wiki/")
        try:
            answer = await self.gateway.read(
                path,
                msgspec.json.Decoder(),
                operation=self.operation,
                worst=1,
                query=query,
                body=body,
                at_root=at_root,
            )
        finally:
            self.operation.advance()
        self._compare_clocks(answer.headers.get("date", ""))
        return answer.value

    def _compare_clocks(self, date: str) -> None:
        """Note once that this computer's clock is wrong: tokens would be renewed too late or too often."""
        try:
            there = parsedate_to_datetime(date)
        except ValueError:
            return
        behind = there - datetime.now(UTC) if there.tzinfo else timedelta()
        if abs(behind) < _CLOCKS_APART or any(row.check == "Clock" for row in self.rows):
            return
        minutes = round(abs(behind).total_seconds() / 60)
        side = "behind" if behind > timedelta() else "ahead of"
        words = f"This computer's clock is {minutes:,} minutes {side} the service's."
        fix = "Set this computer's clock. Until then a token is renewed too late or too often; none is lost by it."
        self.note("connection", "Clock", "failed", words, fix)

    async def run(self) -> None:
        """Do all checks, each with its own line; none of them stops the others except a token that is refused."""
        tested = {name for probe in PROBES for name in probe.scopes} & set(self.connection.scopes)
        self.operation.total = len(tested) + len(("resources", "me", "current user"))
        for step in (self._site, self._person, self._access, self._scopes, self._permission):
            if self.stopped is None:
                await step()
        self.steps()

    async def _site(self) -> None:
        """The token reaches the gateway, and the connection's site is among those that it was given for."""
        try:
            sites = await self.read("/oauth/token/accessible-resources")
        except Cancelled:
            raise
        except SpokekitError as error:
            # Only what the network or the service says is about the site; anything else is about the token.
            if isinstance(error, TokenRejected) or not isinstance(error, TransportError | ServiceError):
                self.stop(error)
            else:
                self.stopped = error
                self.note("connection", "Site", "failed", error.message, next_of(error))
            return
        entries = [site for site in sites if isinstance(site, dict)] if isinstance(sites, list) else []
        own = [site for site in entries if site.get("id") == self.connection.cloud_id]
        if own:
            name = str(own[0].get("name") or self.connection.site_name or "")
            self.note("connection", "Site", "ok", f"{name} ({own[0].get('url', '')}) is reached.")
            return
        others = ", ".join(sorted({str(site.get("name", "")) for site in entries})) or "none at all"
        wanted = self.connection.site_name or "the site of this connection"
        fix = f"Choose the site on the consent page: {_CONSENT_AGAIN}."
        if self.service:
            fix = f"Give it access to the site in {WHERE}, or choose another: {to_choose_a_site(self.connection)}"
        self.note("connection", "Site", "failed", f"The token is not for {wanted}; its sites: {others}.", fix)

    async def _person(self) -> None:
        """Who is signed in, from the identity API or else from Confluence."""
        for path, account, name in (("/me", "account_id", "name"), (f"{V1}/user/current", "accountId", "displayName")):
            try:
                answer = await self.read(path)
            except (TokenRejected, Cancelled):
                raise
            except SpokekitError as error:
                if path == "/me" and isinstance(error, ScopeMissing):
                    self.absent.add("read:me")
                continue
            if path == "/me":
                self.present.add("read:me")
            if isinstance(answer, dict) and answer.get(account):
                self.me = {"account_id": str(answer[account]), "name": str(answer.get(name) or answer[account])}
                break
        if not self.me:
            fix = f"Add read:me to the scopes and to the app, then {_CONSENT_AGAIN}."
            if self.service:
                fix = to_get_scopes(["read:confluence-user"])
            self.note("connection", "Person", "unknown", "Nobody says who is signed in.", fix)
            return
        known = self.connection.account_id
        if known and known != self.me["account_id"]:
            words = f"{self.me['name']} is signed in now; the connection was set up by {self.connection.account_name}."
        else:
            words = f"{self.me['name']} is {'the service account' if self.service else 'signed in'}."
        self.note("connection", "Person", "ok", words)

    async def _access(self) -> None:
        """The person may use Confluence at all; a scope that is missing is told by its own line."""
        tell = partial(self.note, "connection", "Access to Confluence")
        person = self.me.get("name", "The person")
        try:
            await self.read(f"{V1}/user/current")
        except (AppNotInstalled, NotThere, UnexpectedAnswer, SiteRefuses) as error:
            if isinstance(error, SiteRefuses):
                # Nothing of what follows could be told from it.
                self.stopped = error
            tell("failed", error.message, next_of(error))
        except NotPermitted:
            fix = "Ask a site administrator for access to Confluence, or sign in as somebody who has it."
            if self.service:
                fix = f"Give the service account access to Confluence in {WHERE}."
            tell("failed", f"{person} may not use Confluence on this site.", fix)
        except ScopeMissing:
            tell("unknown", "The token may not ask: see its scopes.")
        except (ServiceError, TransportError) as error:
            tell("unknown", error.message, next_of(error))
        else:
            tell("ok", f"{person} may use Confluence.")

    # -------------------------------------------------------------------------------------------- scopes

    async def _scopes(self) -> None:
        for name in published_first(self.connection.scopes):
            try:
                await self._scope(name)
            except (TokenRejected, SiteRefuses) as error:
                self.stop(error)
                return

    async def _scope(self, name: str) -> None:
        fitting = [probe for probe in PROBES if name in probe.scopes]
        # A call that no other scope of this connection allows tells most.
        fitting.sort(key=lambda probe: len(set(probe.scopes) & set(self.connection.scopes)))
        if name == "read:me":
            self._say(name, name in self.present if self.present | self.absent >= {name} else None, "GET /me")
        elif not fitting:
            self._as_told(name)
        else:
            probe = fitting[0]
            if probe.write and self.connection.read_only:
                words = (
                    "The connection is read-only: nothing is sent that could change anything, so this is not tested."
                )
                self.note("scope", name, "off", words, _LEAVE_OUT)
                return
            verdict, said = await self._ask(probe)
            if probe.write:
                self.write = said
            others = sorted((set(probe.scopes) & set(self.connection.scopes)) - {name})
            self._say(name, verdict, probe.name, said, others)

    async def _ask(self, probe: Probe) -> tuple[bool | None, SpokekitError | None]:
        """Return whether the scope is there (None: no telling), and what the call was answered."""
        try:
            if probe.write:
                self.operation.advance()
                await self.gateway.change_membership("DELETE", NO_GROUP, NO_ACCOUNT, operation=self.operation)
            else:
                await self.read(probe.path, probe.query, probe.body)
        except (ScopeMissing, AppNotInstalled) as error:
            return False, error
        except (TokenRejected, SiteRefuses, Cancelled):
            raise
        except UnexpectedAnswer as error:
            return None, error
        except ServiceError as error:
            return (True, error) if 400 <= error.status < 500 and error.status != 429 else (None, error)
        except TransportError as error:
            return None, error
        return True, None

    def _say(
        self,
        name: str,
        verdict: bool | None,
        call: str,
        said: SpokekitError | None = None,
        others: Sequence[str] = (),
    ) -> None:
        again = self._enable(name)
        if verdict is None:
            words = f"It could not be tested: {said.message}" if said else "It could not be tested."
            self.note("scope", name, "unknown", words, "Check again later.")
            return
        if not verdict:
            self.absent.add(name)
            gone = isinstance(said, AppNotInstalled)
            words = "The site does not let the app use it." if gone else f"The token does not have it ({call})."
            self.note("scope", name, "missing", words, again)
            return
        if self.status.scopes and name not in self.status.scopes:
            words = f"{call} is accepted, but the token endpoint did not name this scope when it gave the token."
            self.note("scope", name, "unknown", words, again)
            return
        self.present.add(name)
        also = f" or {' or '.join(others)}, which permits the same" if others else ""
        self.note("scope", name, "ok", f"The token has it{also} ({call}).")

    def _as_told(self, name: str) -> None:
        """Scopes that no harmless call tests: what the token endpoint said about the grant has to do."""
        told = name in self.status.scopes
        if name == "offline_access" and self.status.consent_by != self.status.expires_at:
            told = True
        if name == "ace:confluence":
            words = "Atlassian publishes no such scope, so there is nothing to test; " + (
                "the token lists it." if told else "the token does not list it."
            )
            self.note("scope", name, "unknown", words, _LEAVE_OUT)
        elif name in APP_ONLY:
            words = "It is enabled on the app; no consent gives it to a token."
            self.note("scope", name, "unknown", words, _LEAVE_OUT)
        elif told:
            self.present.add(name)
            words = "Granted, as the token says; no harmless call tests it."
            if name == "offline_access":
                words = "There is a refresh token: the connection renews itself."
            self.note("scope", name, "ok", words)
        else:
            self.absent.add(name)
            fix = self._enable(name)
            if name == "offline_access":
                fix = f"Keep offline_access in the connection's scopes and {_CONSENT_AGAIN}."
            self.note("scope", name, "missing", "The token does not list it.", fix)

    # -------------------------------------------------------------------------------------------- the right to write

    async def _permission(self) -> None:
        """Whether the person is a site administrator, by reading: only they may change membership."""
        lacks = missing_for("remove_member_from_group_by_group_id", self.connection.scopes)
        if lacks or self.connection.read_only:
            return
        person = self.me.get("name", "The person")
        fix = f"Sign in as a site administrator and {_CONSENT_AGAIN}, or ask one to make the changes."
        if self.service:
            fix = (
                f"Make the service account a site administrator in {WHERE}, or let a person's connection make changes."
            )
        try:
            admins = await self._ids(f"{V1}/group", (("accessType", "site-admin"),))
            account = self.me.get("account_id", "")
            own = await self._ids(f"{V1}/user/memberof", (("accountId", account),)) if account else {}
        except Cancelled:
            raise
        except SpokekitError as error:
            admins = own = {}
            reason = error.message
        else:
            reason = "nobody says who is signed in" if not account else ""
        refused = isinstance(self.write, NotPermitted)
        shared = [name for group_id, name in admins.items() if group_id in own]
        if shared and not refused:
            self.may_write, fix = "ok", ""
            words = f"{person} is a site administrator (group “{shared[0]}”) and may change membership."
        elif refused:
            self.may_write = "missing"
            words = f"Confluence refuses changes of membership to {person}: only site administrators may make them."
        elif admins and own:
            self.may_write = "missing"
            names = ", ".join(f"“{name}”" for name in sorted(admins.values())[:3])
            words = f"{person} is in no group of site administrators ({names}), and only they may change membership."
        else:
            words = f"It could not be found out without writing: {reason or 'the site names no administrators'}."
        self.note("person", "Right to change membership", self.may_write, words, fix)

    async def _ids(self, path: str, query: tuple[tuple[str, str | int], ...]) -> dict[str, str]:
        pages = OffsetPages(
            self.gateway, self.operation, path, GROUPS, key=lambda group: group.id, each=GROUP_POINTS, query=query
        )
        found: dict[str, str] = {}
        while (rows := await pages.next()) is not None:
            found |= {group.id: group.name for group in rows}
        return found

    # -------------------------------------------------------------------------------------------- what follows

    def steps(self) -> None:
        """Say for each step whether it will work, from what was found out."""
        asked = frozenset(self.connection.scopes)
        for step, actions in STEPS.items():
            if self.service:
                if step == "Stay connected":
                    self.note("step", step, "ok", "A new token is asked for when it is needed.")
                    continue
                # Who it is, Confluence says; the identity API is for people.
                actions = tuple(action for action in actions if action != "who_is_signed_in")
            if step == "Change membership" and self.connection.read_only:
                self.note("step", step, "off", "The connection is read-only: nothing is changed through it.")
                continue
            ways = [needed_for(action) for action in actions]
            lacks = tuple(dict.fromkeys(name for action in actions for name in missing_for(action, self.present)))
            wanted = tuple(dict.fromkeys(name for action in actions for name in missing_for(action, asked)))
            needed = {name for alternatives in ways for way in alternatives for name in way}
            if self.stopped is not None:
                words = "Not tested: the check came to an end before."
                self.note("step", step, "unknown", words, next_of(self.stopped))
            elif wanted:
                words = f"The connection does not ask for {' and '.join(wanted)}, which this needs."
                fix = f"If you want it: enable it on the app, add it to the connection's scopes and {_CONSENT_AGAIN}."
                if self.service:
                    fix = f"If you want it: {to_get_scopes(wanted)}"
                self.note("step", step, "off", words, fix)
            elif lacks and needed & self.absent:
                fix = self._enable(*lacks)
                self.note("step", step, "missing", f"The token lacks {' and '.join(lacks)}.", fix)
            elif lacks:
                self.note("step", step, "unknown", f"{' and '.join(lacks)} could not be tested.", "Check again later.")
            elif step == "Change membership" and self.may_write != "ok":
                words = {"missing": "The scopes are there, but not the right."}.get(self.may_write, "Probably works.")
                self.note("step", step, self.may_write, words, "See “Right to change membership”.")
            else:
                self.note("step", step, "ok", "Works.")


def next_of(error: SpokekitError) -> str:
    return error.hint or "Try again."
