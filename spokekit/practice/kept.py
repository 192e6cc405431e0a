"""A practice site over a restart: what changed in it, in one private file, and back.

Tokens are kept as digests, client secrets not at all (they follow from the seed and a salt that stands elsewhere), and
of each world only what differs from its seed.
"""

from __future__ import annotations

import contextlib
import json
import os
from dataclasses import asdict, fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

from spokekit.errors import InputError
from spokekit.practice.apps import App, Grant
from spokekit.practice.changes import apply_changes, changes
from spokekit.practice.faults import Fault
from spokekit.practice.issued import Access, Family, RefreshToken
from spokekit.practice.start import Start, build
from spokekit.practice.triggers import Trigger

if TYPE_CHECKING:
    from collections.abc import Mapping

    from spokekit.practice.server import PracticeSite

LAYOUT = 1


def kept_of(site: PracticeSite) -> dict[str, Any]:
    """Return, as JSON takes it, all of a site that a restart must not lose: no request log.

    Of the faults, those that strike a number of times: one without an end would be forgotten overnight, and taken for a
    defect.
    """
    auth, start, now = site.auth, site.start_point, site.clock.now()
    grants = list(auth.grants.values())
    access = {key: one for key, one in auth.access_tokens.items() if one.expires_at > now}
    families = list({id(f): f for f in _families(auth.refresh_tokens.values(), access.values())}.values())
    # A family may be of a consent that was taken back since; then the grant stands in no list.
    grants += list({id(f.grant): f.grant for f in families if f.grant not in grants}.values())
    number = {id(grant): i for i, grant in enumerate(grants)}
    place = {id(family): i for i, family in enumerate(families)}
    return {
        "layout": LAYOUT,
        "start": {"size": start.size, "seed": start.seed, "sites": start.sites},
        "begun": site.begun,
        "signed_in": site.signed_in,
        "switches": site.switches.changed(),
        "clock": site.clock.offset,
        "worlds": [changes(world) for world in site.worlds.values()],
        "apps": [_app(app) for app in site.apps],
        "created": [app.client_id for app in site.console.created],
        "grants": [
            [g.app.client_id, g.account_id, list(g.scopes), sorted(g.sites), auth.grants.get(_pair(g)) is g]
            for g in grants
        ],
        "authorised": sorted(map(list, auth.authorised)),
        "families": [[number[id(f.grant)], list(f.scopes), f.born_at, f.dead] for f in families],
        "refresh": [[key, place[id(t.family)], t.made_at, t.used_at] for key, t in auth.refresh_tokens.items()],
        "access": [
            [key, number[id(a.grant)], list(a.scopes), a.expires_at, place[id(a.family)] if a.family else None]
            for key, a in access.items()
        ],
        "given": list(auth.given),
        "redirects": list(site.app_make.redirect_uris),
        "spent": site.limits.kept(),
        "faults": [asdict(f) for f in site.faults.active if f.times is not None and f.struck < f.times],
        "triggers": [asdict(t) for t in site.triggers.all if not t.done],
        "instance": site.instance_beside.kept(),
    }


def restore(site: PracticeSite, kept: Any) -> None:
    """Put a site to where `kept_of` found it. Raises `InputError` for another version's, and changes nothing."""
    before, instance = dict(vars(site)), site.instance_beside.kept()
    try:
        if kept["layout"] != LAYOUT:
            raise ValueError("another layout")
        _restore(site, kept)
    except (LookupError, ValueError, TypeError, AttributeError, OverflowError, InputError):
        vars(site).update(before)
        site.instance_beside.put_back(instance)
        raise InputError("What was kept of the practice site is not of this version.", field="kept") from None


def _restore(site: PracticeSite, kept: dict[str, Any]) -> None:
    start = Start(**kept["start"], signed_in=kept["signed_in"], switches=kept["switches"])
    build(site, start)
    site.clock.offset = float(kept["clock"])
    for world, changed in zip(site.worlds.values(), kept["worlds"], strict=True):
        apply_changes(world, changed)
    auth = site.auth
    # In place: the authorisation server and the console hold the same list.
    site.apps[:] = [_as_app(site, one) for one in kept["apps"]]
    site.console.created[:] = [app for key in kept["created"] if (app := auth.app(key)) is not None]
    apps = {app.client_id: app for app in site.apps}
    grants = []
    for client_id, account_id, scopes, sites, alive in kept["grants"]:
        grant = Grant(apps[client_id], str(account_id), tuple(scopes), set(sites))
        grants.append(grant)
        if alive:
            auth.grants[_pair(grant)] = grant
    auth.authorised.update((str(client), str(cloud)) for client, cloud in kept["authorised"])
    families = [Family(grants[i], tuple(scopes), float(born), bool(dead)) for i, scopes, born, dead in kept["families"]]
    for key, i, made_at, used_at in kept["refresh"]:
        auth.refresh_tokens[str(key)] = RefreshToken(families[i], float(made_at), used_at)
    for key, i, scopes, expires_at, family in kept["access"]:
        of = None if family is None else families[family]
        auth.access_tokens[str(key)] = Access(grants[i], tuple(scopes), float(expires_at), of)
    auth.given.update((str(key), None) for key in kept["given"])
    site.limits.put_back(kept["spent"])
    site.begun = str(kept.get("begun") or site.begun)
    site.faults.add(*(Fault(**told) for told in kept.get("faults", ())))
    site.triggers.add(*(Trigger(**{**told, "orders": tuple(told["orders"])}) for told in kept.get("triggers", ())))
    site.instance_beside.put_back(kept.get("instance"))
    # What the site is told today and was not told then: the address of a hub that has moved.
    for uri in site.app_make.redirect_uris:
        if uri not in kept["redirects"]:
            site.allow_redirect(uri)


def _families(refresh: Any, access: Any) -> list[Family]:
    return [one.family for one in (*refresh, *access) if one.family is not None]


def _pair(grant: Grant) -> tuple[str, str]:
    return grant.app.client_id, grant.account_id


def _app(app: App) -> dict[str, Any]:
    told = {f.name: getattr(app, f.name) for f in fields(App) if f.name != "client_secret"}
    return {**told, "scopes": list(app.scopes)}


def _as_app(site: PracticeSite, told: dict[str, Any]) -> App:
    secret = site.app_make.secret(told["which"], told["turn"])
    return App(**{**told, "scopes": tuple(told["scopes"])}, client_secret=secret)


class Keeper:
    """Writes a site's state into a file of its own, whole or not at all, whenever it has changed.

    Parameters
    ----------
    path:
        The file, readable by its owner alone.

    Attributes
    ----------
    words:
        What became of the file at the start: empty, or a sentence for the person.
    """

    def __init__(self, path: Path) -> None:
        self.path = path
        self.words = ""
        self._written = ""

    def load(self, site: PracticeSite, today: Mapping[str, Any]) -> None:
        """Put the site to where the file says; a file that cannot be read is laid aside, and the site is new.

        The faults that the site has, and the switches `today`, count for more than what was so yesterday.
        """
        ordered = site.faults.active
        self._load(site)
        kept = [] if site.faults.active is ordered else [one for one in site.faults.active if one not in ordered]
        site.faults.active = kept + ordered
        site.switches.update(**today)

    def _load(self, site: PracticeSite) -> None:
        try:
            text = self.path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return
        except (OSError, ValueError):
            text = ""
        try:
            restore(site, json.loads(text))
        except (ValueError, RecursionError, InputError):
            with contextlib.suppress(OSError):
                self.path.replace(self.path.with_suffix(".unreadable"))
            self.words = (
                "What was kept of the practice site cannot be read by this version, so the practice site begins anew: "
                "what you did on it is gone from it, and a token has to be got again."
            )

    def save(self, site: PracticeSite) -> None:
        """Write the file, if anything changed since it was written last."""
        text = json.dumps(kept_of(site), separators=(",", ":"))
        if text == self._written:
            return
        beside = self.path.with_suffix(f".{os.getpid()}")
        handle = os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w", encoding="utf-8") as file:
            file.write(text)
        beside.replace(self.path)
        self._written = text
