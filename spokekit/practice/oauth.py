"""The authorisation server of the practice site: apps, consent, codes and rotating refresh tokens."""

from __future__ import annotations

import base64
import hashlib
import secrets
from typing import Any
from urllib.parse import parse_qsl, urlencode, urlsplit

from spokekit.errors import InputError
from spokekit.practice.apps import JIRA_SCOPES, REPORT_SCOPE, App, Clock, Grant
from spokekit.practice.exchange import Answer, gateway_error, json_answer, oauth_error, read_object
from spokekit.practice.issued import Access, Code, Family, Pending, RefreshToken, digest_of, made_token
from spokekit.practice.keys import same
from spokekit.practice.service_accounts import token_for
from spokekit.practice.switches import Switches
from spokekit.practice.world import World

_MOST_GIVEN = 1_000


class Refusal(Exception):
    """The authorise request is refused; with ``redirect`` the app hears of it, otherwise only the person does."""

    def __init__(self, error: str, description: str, *, redirect: str = "", status: int = 400) -> None:
        self.error = error
        self.description = description
        self.redirect = redirect
        self.status = status
        super().__init__(description)


class AuthServer:
    """State of the authorisation server and the rules of its endpoints, apart from HTML."""

    def __init__(self, worlds: tuple[World, ...], apps: list[App], switches: Switches, clock: Clock) -> None:
        self.worlds = worlds
        self.apps = apps
        self.switches = switches
        self.clock = clock
        self.grants: dict[tuple[str, str], Grant] = {}
        self.site_scopes: dict[str, frozenset[str]] = {}
        self.authorised: set[tuple[str, str]] = set()
        """Client ids and cloud ids: apps that a site's administrator has consented to, which opens them for all."""
        self._pending: dict[str, Pending] = {}
        self._codes: dict[str, Code] = {}
        # By the token's digest: the tokens themselves are kept nowhere.
        self.refresh_tokens: dict[str, RefreshToken] = {}
        self.access_tokens: dict[str, Access] = {}
        self.given: dict[str, None] = {}
        """Digests of the access tokens that were given, dead ones included, the newest last."""

    def app(self, client_id: str) -> App | None:
        """Return the app with a client id."""
        return next((app for app in self.apps if app.client_id == client_id), None)

    # -- authorise ------------------------------------------------------------------------------------------

    def ask(self, query: dict[str, str], account_id: str, *, strict: bool) -> tuple[str, Pending]:
        """Check an authorise request; return the number of the pending request and the request. Raises `Refusal`."""
        app = self.app(query.get("client_id", ""))
        if app is None or app.service_account:
            raise Refusal("unauthorized_client", "No app has this client id.")
        if app.distribution == "private" and app.owner not in ("", account_id):
            words = "You don't have access to this app: it is private, and only its owner can use it."
            raise Refusal("access_denied", words)
        target = query.get("redirect_uri", "")
        if target not in app.redirect_uris:
            raise Refusal("unauthorized_client", f"redirect_uri is not registered for client: {target}")
        known = {
            *("audience", "client_id", "scope", "redirect_uri", "state", "response_type", "prompt"),
            *("code_challenge", "code_challenge_method"),
        }
        unknown = sorted(set(query) - known)
        if strict and unknown:
            raise Refusal("invalid_request", f"Unknown parameter: {', '.join(unknown)}")
        if query.get("audience") != "api.atlassian.com":
            raise Refusal("invalid_request", "The audience has to be api.atlassian.com.")
        if query.get("response_type") != "code":
            raise Refusal("unsupported_response_type", "The response_type has to be code.", redirect=target)
        if strict and query.get("prompt") != "consent":
            raise Refusal("invalid_request", "The prompt has to be consent.")
        if query.get("code_challenge") and self.switches.pkce == "refused":
            raise Refusal("invalid_request", "This app does not take a code_challenge.")
        scopes = tuple(dict.fromkeys(query.get("scope", "").split()))
        # offline_access is asked for in the address and never ticked in the console.
        foreign = [scope for scope in scopes if scope not in app.scopes and scope != "offline_access"]
        told = target if self.switches.refusal == "redirect" else ""
        scopes = tuple(scope for scope in scopes if scope != REPORT_SCOPE)
        if foreign or not scopes:
            words = "No scope was asked for that a person can consent to."
            if foreign:
                words = "This app has requested scopes that have not been added to the app. "
                words += f"Add the following scopes to the app: {', '.join(foreign)}"
            raise Refusal("invalid_scope", words, redirect=told)
        sites = tuple(world for world in self.worlds if self._may_use(world, account_id))
        if not sites:
            raise Refusal(
                "access_denied",
                "This app requires access to a Confluence site which you don't have "
                "or don't have the permission to access.",
            )
        if self.switches.user_apps_blocked:
            host = sites[0].site_host
            sites = tuple(world for world in sites if self._may_authorise(app, world, account_id))
        if not sites:
            words = f"Your site admin must authorize this app for the site {host} before it can access your account."
            raise Refusal("access_denied", words, redirect=told)
        number = secrets.token_urlsafe(16)
        self._pending[number] = pending = Pending(
            app, account_id, scopes, target, query.get("state", ""), query.get("code_challenge", ""),
            self.clock.now() + 600, sites,
        )  # fmt: skip
        return number, pending

    def _may_authorise(self, app: App, world: World, account_id: str) -> bool:
        return is_site_admin(world, account_id) or (app.client_id, world.cloud_id) in self.authorised

    def quiet(self) -> bool:
        """Whether nobody is in the middle of a consent: no page on a screen, no code that could still be exchanged."""
        now = self.clock.now()
        return not any(pending.expires_at >= now for pending in self._pending.values()) and not any(
            not code.used and code.expires_at >= now for code in self._codes.values()
        )

    def forget_pages(self) -> None:
        """End every consent that is on a screen, as whoever signs in as somebody else does."""
        self._pending.clear()

    def _may_use(self, world: World, account_id: str) -> bool:
        row = world.user_row(account_id)
        return row is not None and bool(world.licensed[row])

    def decide(self, number: str, decision: str, site: str) -> str:
        """End a pending request with the person's answer; return the callback address to send the browser to."""
        pending = self._pending.pop(number, None)
        if pending is None or self.clock.now() > pending.expires_at:
            raise Refusal("invalid_request", "This page is no longer valid. Start again from the app.")
        if decision != "accept":
            return callback_address(
                pending.redirect_uri, error="access_denied",
                error_description="User did not authorize the request", state=pending.state,
            )  # fmt: skip
        chosen = [world.cloud_id for world in pending.sites if site in ("", world.cloud_id)]
        if not chosen:
            raise Refusal("invalid_request", "There is no such site to choose.")
        if self.switches.grant_level == "resource":
            chosen = chosen[:1]
        grant = self.consent(pending.app, pending.account_id, pending.scopes, chosen)
        code = made_token("AUTH_CODE", 40)
        self._codes[code] = Code(
            grant,
            pending.redirect_uri,
            pending.scopes,
            self.clock.now() + self.switches.code_lifetime,
            pending.challenge,
        )
        return callback_address(pending.redirect_uri, code=code, state=pending.state)

    def consent(self, app: App, account_id: str, scopes: tuple[str, ...], sites: list[str]) -> Grant:
        """Record a consent: its scopes replace those of an earlier one, its sites are added."""
        grant = self.grants.get((app.client_id, account_id))
        if grant is None:
            grant = self.grants[app.client_id, account_id] = Grant(app, account_id, scopes, set(sites))
        grant.scopes = scopes
        grant.sites.update(sites)
        for world in self.worlds:
            if world.cloud_id in sites and is_site_admin(world, account_id):
                self.authorised.add((app.client_id, world.cloud_id))
        return grant

    # -- token ----------------------------------------------------------------------------------------------

    def token_operation(self, fields: dict[str, str] | None) -> str:
        """Return what a token request wants: exchange, refresh, service-token, or token for anything else."""
        names = {"authorization_code": "exchange", "refresh_token": "refresh", "client_credentials": "service-token"}
        return names.get((fields or {}).get("grant_type", ""), "token")

    def token(self, fields: dict[str, str] | None) -> Answer:
        """Answer the token endpoint; `fields` as `read_fields` found them."""
        if fields is None:
            return oauth_error(400, "invalid_request", "The body is neither JSON nor a form.")
        kind = fields.get("grant_type", "")
        app = self.app(fields.get("client_id", ""))
        if app is None or app.revoked or not same(app.client_secret, fields.get("client_secret", "")):
            return oauth_error(401, "access_denied", "Unauthorized")
        if kind == "authorization_code":
            return self._exchange(app, fields)
        if kind == "refresh_token":
            return self._renew(app, fields.get("refresh_token", ""))
        if kind == "client_credentials":
            return token_for(self, app, fields)
        return oauth_error(403, "unsupported_grant_type", "Unsupported grant type")

    def _exchange(self, app: App, fields: dict[str, str]) -> Answer:
        code = self._codes.get(fields.get("code", ""))
        if (
            code is None
            or code.used
            or code.grant.app is not app
            or self.clock.now() > code.expires_at
            or fields.get("redirect_uri") != code.redirect_uri
            or (self.switches.pkce == "enforced" and not _verified(code.challenge, fields.get("code_verifier", "")))
        ):
            return oauth_error(400, "invalid_request", "authorization_code is invalid")
        code.used = True
        return json_answer(200, self.issue(code.grant, code.scopes))

    def issue(self, grant: Grant, scopes: tuple[str, ...]) -> dict[str, Any]:
        """Start a token family for a grant and return the token endpoint's answer."""
        return self.tokens_of(Family(grant, scopes, self.clock.now()))

    def tokens_of(self, family: Family) -> dict[str, Any]:
        """Return the token endpoint's answer with new tokens of a family."""
        now = self.clock.now()
        access = made_token("ACCESS", 280)
        ends = now + self.switches.access_lifetime
        self.given[digest_of(access)] = None
        while len(self.given) > _MOST_GIVEN:
            self.given.pop(next(iter(self.given)))
        self.access_tokens[digest_of(access)] = Access(family.grant, family.scopes, ends, family)
        answer: dict[str, Any] = {
            "access_token": access,
            "expires_in": self.switches.access_lifetime,
            "token_type": "Bearer",
            "scope": " ".join(family.scopes),
        }
        if "offline_access" in family.scopes:
            refresh = made_token("ROTATING_REFRESH", 700)
            self.refresh_tokens[digest_of(refresh)] = RefreshToken(family, now)
            answer["refresh_token"] = refresh
        return answer

    def _renew(self, app: App, presented: str) -> Answer:
        now = self.clock.now()
        token = self.refresh_tokens.get(digest_of(presented))
        if token is None or token.family.grant.app is not app:
            return oauth_error(403, "unauthorized_client", "refresh_token is invalid")
        family = token.family
        if not self._lives(token):
            return oauth_error(403, "invalid_grant", "Unknown or invalid refresh token.")
        if token.used_at is not None and now - token.used_at > self.switches.reuse_leeway:
            family.dead = self.switches.reuse_ends_family
            return oauth_error(403, "unauthorized_client", "refresh_token is invalid")
        if token.used_at is None:
            token.used_at = now
        if self.switches.access_dies_on_refresh:
            for key in [key for key, access in self.access_tokens.items() if access.family is family]:
                self.access_tokens.pop(key, None)
        if self.switches.earlier_consent == "replaced":
            family.scopes = family.grant.scopes
        return json_answer(200, self.tokens_of(family))

    def _lives(self, token: RefreshToken) -> bool:
        now, absolute = self.clock.now(), self.switches.refresh_absolute
        return (
            not token.family.dead
            and now - token.made_at <= self.switches.refresh_inactivity
            and (absolute is None or now - token.family.born_at <= absolute)
        )

    def renews(self, token: RefreshToken) -> bool:
        """Whether a refresh token would get new ones if it came now."""
        used = token.used_at is not None and self.clock.now() - token.used_at > self.switches.reuse_leeway
        return self._lives(token) and not used

    def end_families(
        self, account_id: str | None = None, *, access_too: bool = False, client_id: str | None = None
    ) -> None:
        """End refresh tokens (of an account, an app), as a changed password does; with ``access_too`` as a removal."""

        def meant(grant: Grant) -> bool:
            return account_id in (None, grant.account_id) and client_id in (None, grant.app.client_id)

        for refresh in list(self.refresh_tokens.values()):
            if meant(refresh.family.grant):
                refresh.family.dead = True
        if access_too:
            for key, access in list(self.access_tokens.items()):
                if meant(access.grant):
                    self.access_tokens.pop(key, None)
            for pair, grant in list(self.grants.items()):
                if meant(grant):
                    self.grants.pop(pair, None)

    def kill_access(self) -> None:
        """End all access tokens given until now; refresh tokens live on."""
        self.access_tokens.clear()

    def set_redirects(self, app: App, uris: list[str]) -> None:
        """Replace the callback URLs of an app; raises `InputError`."""
        self.check_redirects(uris)
        app.redirect_uris = list(dict.fromkeys(uris))

    def check_redirects(self, uris: list[str]) -> None:
        """Raise `InputError` when an app cannot have these callback URLs."""
        for uri in uris:
            host = _host(uri)
            if not host:
                raise InputError(f"{uri} is not an http or https address.", field="redirect_uris")
            if self.switches.loopback_ip == "refused" and host == "127.0.0.1":
                raise InputError("Callback URLs on 127.0.0.1 are not taken.", field="redirect_uris")
        most = self.switches.callback_urls
        if most is not None and len(set(uris)) > most:
            raise InputError(f"An app can have {most} callback URLs at most.", field="redirect_uris")

    # -- what a bearer may see ------------------------------------------------------------------------------

    def access(self, authorization: str) -> Access | None:
        """Return what a bearer token stands for, or None when it is unknown or expired."""
        scheme, _, token = authorization.partition(" ")
        access = self.access_tokens.get(digest_of(token.strip())) if scheme.lower() == "bearer" else None
        return access if access is not None and self.clock.now() < access.expires_at else None

    def gave(self, authorization: str) -> bool:
        """Whether a bearer token was given here, alive or dead."""
        return digest_of(authorization.partition(" ")[2].strip()) in self.given

    def scopes_on(self, access: Access, cloud_id: str) -> frozenset[str]:
        """Return the scopes of a token that count on one site."""
        allowed = self.site_scopes.get(cloud_id)
        held = frozenset(access.scopes)
        return held if allowed is None else held & allowed

    def resources(self, access: Access) -> list[dict[str, Any]]:
        """Return the list of accessible resources for a token."""
        out: list[dict[str, Any]] = []
        if self.switches.no_resources:
            return out
        for world in self.worlds:
            if world.cloud_id not in access.grant.sites:
                continue
            held = self.scopes_on(access, world.cloud_id)
            entry = {
                "id": world.cloud_id,
                "url": f"https://{world.site_host}",
                "name": world.site_name,
                "scopes": [s for s in access.scopes if s in held and "confluence" in s],
                "avatarUrl": f"https://{world.site_host}/avatar.png",
            }
            if self.switches.duplicate_resource:
                out.append({**entry, "scopes": JIRA_SCOPES})
            out.append(entry)
        return out

    def me(self, access: Access) -> Answer:
        """Answer who the token's owner is; needs read:me."""
        if "read:me" not in access.scopes:
            return gateway_error(401, "Unauthorized; scope does not match")
        world = self.worlds[0]
        person = world.find_person(access.grant.account_id)
        return json_answer(
            200,
            {
                "account_type": person.account_type,
                "account_id": person.account_id,
                "email": person.email,
                "name": person.display_name,
                "picture": f"https://{world.site_host}/avatar/{person.account_id}.png",
                "account_status": person.account_status,
                "nickname": person.public_name,
                "zoneinfo": person.time_zone,
                "locale": "en-GB",
                "extended_profile": {"job_title": "", "organization": "", "department": "", "location": ""},
            },
        )


def _host(uri: str) -> str:
    """Return the host of an http or https address that can stand in a header as it is; empty for anything else."""
    try:
        parts = urlsplit(uri)
        parts.port  # noqa: B018 - reading it checks it
    except ValueError:
        return ""
    fits = parts.scheme in ("http", "https") and uri.isascii() and uri.isprintable() and " " not in uri
    return (parts.hostname or "") if fits else ""


def is_site_admin(world: World, account_id: str) -> bool:
    """Whether somebody administers a site, and so may authorise an app for everybody on it."""
    row = world.user_row(account_id)
    return row is not None and bool(world.site_admins[row])


def callback_address(target: str, **values: str) -> str:
    """Return a redirect URI with the values that are not empty added to its query."""
    glue = "&" if "?" in target else "?"
    return target + glue + urlencode({key: value for key, value in values.items() if value})


def read_fields(body: bytes, content_type: str) -> dict[str, str] | None:
    """Return the fields of a token request; None when its body is neither JSON nor a form."""
    if content_type.partition(";")[0].strip().lower() == "application/x-www-form-urlencoded":
        try:
            return dict(parse_qsl(body.decode(), keep_blank_values=True))
        except ValueError:
            return None
    found = read_object(body)
    return None if found is None else {key: value for key, value in found.items() if isinstance(value, str)}


def _verified(challenge: str, verifier: str) -> bool:
    if not challenge:
        return True
    sent = verifier.encode("utf-8", "surrogatepass")
    digest = base64.urlsafe_b64encode(hashlib.sha256(sent).digest()).rstrip(b"=").decode()
    return same(digest, challenge)
