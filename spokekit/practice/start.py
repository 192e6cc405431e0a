"""What a practice site begins from, and putting it back there while it runs."""

from __future__ import annotations

import secrets
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from spokekit.errors import InputError
from spokekit.practice.api.gateway import ROUTES, Gateway
from spokekit.practice.apps import (
    DEFAULT_SCOPES,
    REPORT_SCOPE,
    SPOKEKIT_SCOPES,
    TICKED_SCOPES,
    App,
    Clock,
    made_up,
    secret_of,
)
from spokekit.practice.faults import Faults
from spokekit.practice.limits import Limits
from spokekit.practice.oauth import AuthServer
from spokekit.practice.pages.account import console_sections
from spokekit.practice.pages.console import Console
from spokekit.practice.switches import Switches
from spokekit.practice.triggers import Triggers
from spokekit.practice.world import World

if TYPE_CHECKING:
    from spokekit.practice.server import PracticeSite

OPERATIONS = frozenset(
    (
        "authorize",
        "consent",
        "exchange",
        "refresh",
        "service-token",
        "token",
        "accessible-resources",
        "me",
        "report-accounts",
        *(route.name for route in ROUTES),
    )
)
"""Names that a request can have; see `PracticeSite.count`."""

DEFAULT_REDIRECT_URI = "http://localhost:8751/callback"
MOST_SITES = 50


@dataclass(frozen=True)
class Start:
    """The world, who is signed in, the switches and the faults that a practice site begins with."""

    size: str = "class"
    seed: int = 1
    sites: int = 1
    signed_in: str = "admin"
    faults: tuple[str, ...] = ()
    switches: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class AppMake:
    """What the built-in apps are made from: the same for as long as a site runs, whatever world it is put back to.

    Parameters
    ----------
    seed:
        Client ids, and secrets unless there is a `salt`, follow from it.
    client_id, client_secret:
        Of the first app, where they are not to follow from the seed.
    redirect_uris:
        Callback URLs of both apps.
    salt:
        What only this person's processes know; see `secret_of`.
    """

    seed: int = 1
    client_id: str = ""
    client_secret: str = field(default="", repr=False)
    redirect_uris: tuple[str, ...] = (DEFAULT_REDIRECT_URI,)
    salt: str = field(default="", repr=False)

    def secret(self, which: int | str, turn: int = 0) -> str:
        """Return the client secret of an app in its present turn."""
        if which == 1 and not turn and self.client_secret:
            return self.client_secret
        return secret_of(self.seed, which, self.salt, turn)

    def apps(self) -> list[App]:
        """Return the two built-in apps as they are on the first day."""
        all_scopes = tuple(dict.fromkeys((*DEFAULT_SCOPES, *SPOKEKIT_SCOPES, REPORT_SCOPE)))
        first = self.client_id or made_up("client", self.seed, 1)
        return [
            App("spokekit practice app", first, self.secret(1), all_scopes, which=1),
            App("Four ticked scopes", made_up("client", self.seed, 2), self.secret(2), TICKED_SCOPES, which=2),
        ]


def check_start(start: Start) -> Start:
    """Return a start that a site can have; raises `InputError` for a world, person, switch or fault that is none.

    Raises before anything changes, so that an order that is refused leaves the site as it was.
    """
    if not isinstance(start.sites, int) or not 1 <= start.sites <= MOST_SITES:
        raise InputError(f"A practice server has 1 to {MOST_SITES} sites.", field="sites")
    World(start.size, start.seed).account(start.signed_in)
    Switches().update(**start.switches)
    Faults(start.faults, OPERATIONS)
    return start


def build(site: PracticeSite, start: Start) -> None:
    """Give a site the worlds, apps, clock, limits and faults of a start. Its address and its key stay."""
    switches = Switches()
    switches.update(**start.switches)
    worlds = [World(start.size, start.seed, number) for number in range(start.sites)]
    worlds[0].account(start.signed_in)
    faults = Faults(start.faults, OPERATIONS)
    site.start_point = start
    site.begun = secrets.token_hex(8)
    site.instance_beside.forget()
    site.switches = switches
    site.clock = Clock()
    site.worlds = {world.cloud_id: world for world in worlds}
    site.world = worlds[0]
    site.signed_in = start.signed_in
    site.apps = site.app_make.apps()
    site.faults = faults
    site.triggers = Triggers()
    site.limits = Limits(switches, site.clock)
    site.auth = AuthServer(tuple(worlds), site.apps, switches, site.clock)
    site.console = Console(site.auth, site.app_make, lambda: console_sections(site))
    site.gateway = Gateway(site.worlds, site.auth, switches, strict=site.strict, faults=faults)
    site.writes = defaultdict(int)
    site.requests = []
    site.written = []
    for uri in site.app_make.redirect_uris:
        site.allow_redirect(uri)


_OF_THE_PLACE = ("quota_window",)


def as_start(values: Mapping[str, Any], usual: Start, first: Start) -> Start:
    """Return the start that a JSON object asks for; what it leaves out is as `usual`, but no switch and no fault.

    How long spent points stay away is as the site was started (`first`): whoever started it has decided how long
    people wait there, whatever a lesson begins with.

    Raises `InputError` for a name or a kind of value that a start does not have.
    """
    kinds = {"size": str, "seed": int, "sites": int, "signed_in": str, "faults": list, "switches": dict}
    for name, value in values.items():
        if name not in kinds:
            raise InputError(f"A start has no {name!r}.", field=name, hint=f"Use {', '.join(kinds)}.")
        if not isinstance(value, kinds[name]) or isinstance(value, bool):
            raise InputError(f"{name} cannot be {value!r}.", field=name)
    faults: Iterable[str] = values.get("faults", ())
    kept = {name: first.switches[name] for name in _OF_THE_PLACE if name in first.switches}
    return check_start(
        Start(
            size=values.get("size", usual.size),
            seed=values.get("seed", usual.seed),
            sites=values.get("sites", usual.sites),
            signed_in=values.get("signed_in", "admin"),
            faults=tuple(faults),
            switches={**kept, **values.get("switches", {})},
        )
    )
